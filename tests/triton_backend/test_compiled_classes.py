"""Changing group sizes do not go on compiling: one kernel per class, whatever the numbers of a call."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from op_samples import ids_of, offsets_of, rewards_of

pytest.importorskip("triton")

from triton.backends.compiler import GPUTarget

from gapo_kernels import ESTIMATORS, warmup
from gapo_kernels.triton_kernels import launch, launch_shared, ops, tiers
from gapo_kernels.triton_kernels.long_groups import long_groups
from gapo_kernels.triton_kernels.memory_sort import sort_groups
from gapo_kernels.triton_kernels.options import options
from gapo_kernels.triton_kernels.shared_groups import shared_groups
from gapo_kernels.triton_kernels.short_groups import short_groups
from gapo_kernels.triton_kernels.tokens import broadcast_rows, row_sums

KERNELS = {
    kernel.__name__: kernel
    for kernel in (short_groups, long_groups, sort_groups, shared_groups, row_sums, broadcast_rows)
}


class Recorder:
    """Stands for a kernel: notes what a launch would be compiled for, and launches nothing."""

    def __init__(self, kernel, compiled):
        self.kernel, self.compiled = kernel, compiled

    def __getitem__(self, grid):
        assert all(size >= 1 for size in grid)
        return self.launch

    def launch(self, *arguments, **options):
        key = [self.kernel.__name__, *sorted(options.items())]
        given, named = self.kernel.params[: len(arguments)], self.kernel.params[len(arguments) :]
        assert {parameter.name for parameter in named} <= set(options)
        for parameter, value in zip(given, arguments, strict=True):
            if parameter.is_constexpr:
                key.append(value)
            elif not isinstance(value, int | float):  # numbers are run-time arguments: the next test
                key.append(getattr(value, "dtype", None))
        self.compiled.add(tuple(key))


@pytest.fixture
def compiled(monkeypatch):
    found: set[tuple] = set()
    for name, kernel in KERNELS.items():
        module = launch if hasattr(launch, name) else launch_shared
        monkeypatch.setattr(module, name, Recorder(kernel, found))
    return found


@pytest.mark.parametrize("name", KERNELS)
def test_numbers_are_never_specialised(name):
    """Neither 1 nor a multiple of 16 nor a number above 2^31 compiles a kernel of its own."""
    numbers = [p for p in KERNELS[name].params if p.annotation_type]
    assert {p.name for p in numbers} >= {"count"}
    assert all(p.do_not_specialize for p in numbers)
    assert {p.annotation_type for p in numbers} <= {"i64", "fp64"}
    pointers = [p for p in KERNELS[name].params if not p.is_constexpr and not p.annotation_type]
    wide = {"rewards", "advantage", "tokens", "sums", "values", "mask", "out"}  # alignment is worth a kernel of its own
    assert {p.name for p in pointers if not p.do_not_specialize_on_alignment} <= wide


def test_dense(compiled):
    for size in range(1, 1200, 1):
        ops.advantage(rewards_of(1, size))
    steps = 3  # of scoring long groups, a kernel each
    assert len(compiled) == 2 * len(tiers.TIERS) + steps  # for the class's own size and for every other size


def test_varlen(compiled):
    for size in (3, *range(1, 1200, 7)):
        ops.advantage_varlen(rewards_of(size), offsets_of(size), size)
    assert len(compiled) == len(tiers.TIERS) + 1


def test_by_id(compiled):
    for rows in range(1, 3000, 37):
        ops.advantage_by_id(rewards_of(rows), ids_of(rows, 5))
    assert len(compiled) <= len(tiers.TIERS) + 1


def test_tokens(compiled):
    for length in (*range(1, 70), 128, 200, 300, 600, 1024, 1025, 3000):
        tokens = torch.zeros(2, length)
        launch.broadcast(launch.sum_rows(tokens), tokens, tokens)
    assert len(compiled) == 2 * 11  # lengths to 1, 2, 4, … 1024 and above


def test_float64_groups_that_may_spill_are_sorted_in_memory(compiled):
    for size, served in ((512, {"short_groups"}), (513, {"shared_groups"})):
        compiled.clear()
        ops.advantage(rewards_of(1, size, dtype=torch.float64))
        assert {kernel for kernel, *_ in compiled} == served


@pytest.mark.parametrize(
    ("target", "warps", "registers"),
    [
        (GPUTarget("cuda", 90, 32), 2, (None, 255)),
        (GPUTarget("cuda", 80, 32), 2, (255, 255)),
        (GPUTarget("hip", "gfx942", 64), 1, (None, None)),
        (GPUTarget("hip", "gfx1201", 32), 2, (None, None)),
    ],
    ids=lambda value: str(getattr(value, "arch", "")) or None,
)
def test_options_of_a_target(target, warps, registers):
    """The register limit is an option of NVIDIA's compiler alone."""
    for extras, most in zip(((None, None), (None, "a mask")), registers, strict=True):
        given = options(64, target, extras)
        assert (given["num_warps"], given.get("maxnreg")) == (warps, most)
        assert not given["enable_fp_fusion"]


@pytest.mark.parametrize("size", [8, 1100])
def test_a_mask_ids_and_statistics_lift_the_limit_of_registers(compiled, size):
    rewards, valid = rewards_of(1, size), torch.ones(1, size, dtype=torch.bool)

    def limits(call) -> set[bool]:
        compiled.clear()
        call()
        return {("maxnreg", 255) in key for key in compiled}

    assert limits(lambda: ops.advantage(rewards)) == {False}
    assert limits(lambda: ops.advantage(rewards, valid=valid)) == {True}
    assert limits(lambda: ops.advantage_stats(rewards)) == {True}
    assert limits(lambda: ops.advantage_varlen(rewards[0], offsets_of(size), size)) == {False}
    assert limits(lambda: ops.advantage_varlen(rewards[0], offsets_of(size), size, valid=valid[0])) == {True}
    assert limits(lambda: ops.advantage_by_id(rewards[0], ids_of(size, 1))) == {True}


def test_every_launch_is_on_the_device_of_its_tensors(compiled, monkeypatch):
    """Triton launches on the current device, which need not be theirs."""
    current, launch_of = [], Recorder.__getitem__

    @contextmanager
    def on_device(device):
        current.append(device)
        yield
        current.pop()

    def launch_there(kernel, grid):
        assert current == [torch.device("cpu")]
        return launch_of(kernel, grid)

    monkeypatch.setattr(launch, "on_device", on_device)
    monkeypatch.setattr(Recorder, "__getitem__", launch_there)
    rewards, tokens = rewards_of(1100), rewards_of(8, 5)
    ops.advantage(rewards)
    ops.advantage_varlen(rewards, offsets_of(1100), 1100)
    ops.token_advantage(tokens, tokens, ids_of(8, 2))
    assert {kernel for kernel, *_ in compiled} == {*KERNELS} - {"sort_groups"}


def test_another_tau_compiles_nothing(compiled):
    for tau, eps in ((0.5, 1e-6), (0.25, 0.0), (1.0, 1.0)):
        ops.advantage(rewards_of(2, 16), tau, eps=eps)
    assert len(compiled) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_warmup_compiles_what_a_step_calls(compiled, monkeypatch, dtype):
    """Every op, offsets of both types, and token-level rewards, whose sums are not in the rewards' dtype."""
    monkeypatch.setattr(torch.ops, "gapo", ops)
    warmup([(30, 16)], dtypes=[dtype], tokens=5)
    ahead = set(compiled)
    rewards, ids = rewards_of(480, dtype=dtype), ids_of(480, 30)
    for kind in (torch.int32, torch.int64):
        ops.advantage_varlen(rewards, offsets_of(*[16] * 30, dtype=kind), 16)
    for groups in ((rewards.view(30, 16),), (rewards, ids)):
        ops.advantage_stats(*groups)
    ops.advantage(rewards.view(30, 16))
    ops.advantage_by_id(rewards, ids)
    tokens = rewards_of(480, 5, dtype=dtype)
    ops.token_advantage(tokens, torch.ones_like(tokens, dtype=torch.int64), ids)
    assert compiled == ahead


def test_warmup_asks_for_what_it_was_told(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "gapo_kernels.warm_up._call_all", lambda rewards, valid, *what: asked.append((valid is not None, *what))
    )
    warmup([(2, 4)], estimators=("gapo", "rloo"), valid=True, tokens=7, device="cpu")
    warmup([(2, 4)], device="cpu")
    assert asked[:2] == [(True, ESTIMATORS[name], 7) for name in ("gapo", "rloo")]
    assert [with_mask for with_mask, *_ in asked[2:]] == [False] * len(asked[2:])


@pytest.mark.parametrize(("shapes", "got"), [([()], r"\[\]"), ([(2, 0)], r"\[2, 0\]"), ((2, 3), "2")])
def test_warmup_says_which_shape_is_none(shapes, got):
    with pytest.raises(ValueError, match=rf"^shapes expects shapes \[..., G\] of at least one reward, got {got}$"):
        warmup(shapes)


def test_runs_are_merged_until_one_is_left():
    for size in range(512, 10_000, 512):
        run, merges = tiers.LONG_RUNS.capacity, 0
        while run < size:
            run, merges = 2 * run, merges + 1
        assert tiers.merges_of(size) == merges


def test_every_group_size_has_a_class():
    for itemsize in (4, 8):
        largest = tiers.largest_short(itemsize)
        for size in range(1, largest + 1):
            tier = tiers.tier_of(size)
            assert size <= tier.capacity < 2 * max(size, 2)
            ranges = tiers.ragged_tiers(size)
            ends = [tier.capacity for _, tier in ranges]
            assert [above for above, _ in ranges[1:]] == ends[:-1]
            assert ends[-1] >= size
