"""The same bits for any number of threads, run to run, whatever else is in the batch; on every CPU capability."""

import functools
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from op_samples import CENTERS, SAMPLES, SCALES, group_of_row, ids_of, offsets_of, rewards_of
from same_bits import assert_same_bits

import gapo_numpy

pytestmark = pytest.mark.usefixtures("one_thread")  # of which the tests make several
CAPABILITIES = ("baseline", "avx2", "avx512")  # each CPU that has one has those before it
HERE = CAPABILITIES.index(gapo_numpy.build_info()["cpu_capability"])

every_center = pytest.mark.parametrize("center", CENTERS)
every_scale = pytest.mark.parametrize("scale", SCALES)
# every centre and every scale once, where each combination would take long
some_rules = pytest.mark.parametrize(
    ("center", "scale"), [(center, SCALES[i % 3]) for i, center in enumerate(CENTERS)] + [("hdi_median", "mad")]
)
every_float = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def assert_same_for_all_threads(call) -> None:
    torch.set_num_threads(1)
    expected = call()
    for threads in (2, 4, 1):  # the last one is the run-to-run comparison
        torch.set_num_threads(threads)
        assert_same_bits(call(), expected, f"{threads} threads")


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_threads(sample):
    assert_same_for_all_threads(sample.call)


# Enough rewards that every loop is split: many columns; columns one by one, where threads would be idle; sorted groups,
# at least one a thread; single ones that one thread sorts and several bin; fewer binned ones than threads; several
# chunks (of 32768)
SHAPES = [(6000, 17), (16, 1500), (8, 4097), (1, 12_000), (1, 30_000), (2, 40_000), (1, 100_001)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@every_float
@some_rules
def test_threads_share_a_large_call(shape, dtype, center, scale):
    rewards = rewards_of(*shape, dtype=dtype)
    assert_same_for_all_threads(lambda: torch.ops.gapo.advantage_stats(rewards, center=center, scale=scale))


def test_threads_share_large_calls_of_the_other_forms():
    rewards, ids, keep = rewards_of(120_000), ids_of(120_000, 900), rewards_of(120_000, seed=2) > 0.05
    assert_same_for_all_threads(lambda: torch.ops.gapo.advantage_stats(rewards, ids, valid=keep))
    offsets = torch.tensor([0, 5, 5, 70_000, 70_010, 75_000, 120_000])
    assert_same_for_all_threads(lambda: torch.ops.gapo.advantage_varlen(rewards, offsets, 69_995, valid=keep))
    tokens, few = rewards_of(1500, 1000), ids_of(1500, 100)  # larger than 4 MiB: written past the caches
    for mask in (tokens > 0.1, (tokens > 0.1).long(), tokens):
        assert_same_for_all_threads(lambda mask=mask: torch.ops.gapo.token_advantage(tokens, mask, few))


def test_threads_share_a_mask():
    rewards, keep = rewards_of(6000, 17), rewards_of(6000, 17, seed=2) > 0.05
    keep[:, -1] = False  # a thread's last step lies beside the next one's first reward
    assert_same_for_all_threads(lambda: torch.ops.gapo.advantage_stats(rewards, None, valid=keep))


# 1 … 64: columns, with and without remainders; 2048, 4096: the largest columns, summed and sorted; 4097: sorted alone;
# 9000: binned where vectors are short; 33000 and 70000: chunks
SIZES = (64, 5, 33_000, 1, 16, 17, 2048, 4096, 0, 2049, 4097, 3, 31, 64, 7, 70_000, 8, 2, 9000)


def ragged(dtype: torch.dtype) -> list[torch.Tensor]:
    return [rewards_of(size, dtype=dtype, seed=seed) for seed, size in enumerate(SIZES)]


def varlen(groups: list[torch.Tensor], **options) -> list[torch.Tensor]:
    sizes = [len(group) for group in groups]
    result = torch.ops.gapo.advantage_varlen(torch.cat(groups), offsets_of(*sizes), max(SIZES), **options)
    return list(result.split(sizes))


@every_float
@some_rules
def test_a_group_alone_or_in_a_ragged_batch(dtype, center, scale):
    options = {"center": center, "scale": scale}
    groups = ragged(dtype)
    batch = varlen(groups, **options)
    assert_same_bits([varlen([group], **options)[0] for group in groups], batch)
    assert_same_bits(varlen(groups[::-1], **options)[::-1], batch)


@every_float
@every_center
@every_scale
def test_a_group_alone_or_in_a_dense_batch(dtype, center, scale):
    # 16: columns beside each other; 700: several blocks of the network; 4097: sorted, one group a thread
    for size in (16, 700, 4097):
        rewards = rewards_of(19, size, dtype=dtype)  # lanes of any CPU, and a remainder
        batch, statistics = torch.ops.gapo.advantage_stats(rewards, center=center, scale=scale)
        for group in range(19):
            alone = torch.ops.gapo.advantage_stats(rewards[group], center=center, scale=scale)
            assert_same_bits(alone, (batch[group], statistics[group]))


@every_float
@pytest.mark.parametrize("center", ["mean", "loo_mean"])
def test_a_mean_is_the_same_whatever_else_is_asked_of_its_group(dtype, center):
    """2049 to 4096: where nothing is sorted such a group goes another way than where a window or the mad is wanted."""
    for size in (700, 2048, 2049, 3043, 3982, 4096, 4097):
        for count in (1, 19):
            rewards = rewards_of(count, size, dtype=dtype)
            for scale in SCALES:
                advantage = torch.ops.gapo.advantage(rewards, center=center, scale=scale)
                reported = torch.ops.gapo.advantage_stats(rewards, center=center, scale=scale)[0]
                assert_same_bits(advantage, reported, (size, scale))


@every_float
@some_rules
def test_shuffled_groups(dtype, center, scale):
    """Groups may lie anywhere among the others' rows and have any ids; a group's own rows keep their order."""
    groups = ragged(dtype)
    sizes = [len(group) for group in groups]
    in_order, together = group_of_row(sizes), torch.cat(groups)
    order = torch.randperm(len(together), generator=torch.Generator().manual_seed(0))
    shuffled = in_order[order]
    rewards = torch.empty_like(together)
    for g, group in enumerate(groups):
        rewards[shuffled == g] = group
    expected = torch.ops.gapo.advantage_by_id(together, in_order, center=center, scale=scale).split(sizes)
    for ids in (shuffled, shuffled.flip(0).max() - shuffled, ids_for(shuffled)):
        result = torch.ops.gapo.advantage_by_id(rewards, ids, center=center, scale=scale)
        assert_same_bits([result[shuffled == g] for g in range(len(groups))], expected)


def ids_for(numbers: torch.Tensor) -> torch.Tensor:
    """Ids with large gaps and of both signs, which are hashed rather than indexed."""
    return (numbers * 0x9E3779B97F4A7C1 - 2**61).to(torch.int64)


@pytest.mark.parametrize("capability", CAPABILITIES[:HERE])
def test_every_capability(capability):
    """This file again, on the kernels of a lesser CPU."""
    environment = {**os.environ, "GAPO_CPU_CAPABILITY": capability}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "not capability", __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stdout[-3000:]


STATISTICS = """
import sys, torch, gapo_kernels
sys.path.insert(0, sys.argv[1])
from op_samples import CENTERS, rewards_of
rows = [
    torch.ops.gapo.advantage_stats(change(rewards_of(17, size, dtype=dtype)), tau=tau, center=center)[1][:, [0, 2, 3]]
    for change in (torch.clone, torch.trunc)  # cut off: zeros of both signs
    for dtype in (torch.float32, torch.float64)
    for size in (5, 16, 700, 4100, 9000)
    for tau in (0.5, 0.8)
    for center in CENTERS
]
print(torch.cat([part.double() for part in rows]).numpy().tobytes().hex())
"""


def test_centre_and_window_are_the_same_on_every_capability():
    found = set()
    for capability in CAPABILITIES[: HERE + 1]:
        environment = {**os.environ, "GAPO_CPU_CAPABILITY": capability, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", STATISTICS, str(Path(__file__).parent)]
        found.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1


def test_an_infinite_centre_gives_the_same_bits_in_every_form():
    """The sign of a NaN included: columns beside each other, of several sizes, and one by one."""
    rewards = torch.tensor([math.inf, math.inf, 1.0])
    options = {"center": "median", "scale": "mad"}
    dense = torch.ops.gapo.advantage(rewards.repeat(20, 1), **options)
    beside = torch.ops.gapo.advantage_varlen(torch.cat([torch.rand(2), rewards]), torch.tensor([0, 2, 5]), 3, **options)
    assert_same_bits(dense, beside[2:].repeat(20, 1))
    many = rewards_of(16, 1500)
    many[:, ::2] = math.inf
    assert_same_for_all_threads(lambda: torch.ops.gapo.advantage_stats(many, **options))


def test_zeros_of_both_signs_give_a_scale_of_plus_zero():
    values = torch.tensor([0.0, -0.0, 0.0, -0.0, 0.0, -0.0, 0.0, 1.0, -1.0, 2.5])
    for size in (17, 3000, 17_000, 40_000):
        rewards = values[torch.randint(10, (size,), generator=torch.Generator().manual_seed(size))]
        for center in ("median", "hdi_median", "quantile", "mean"):
            call = functools.partial(torch.ops.gapo.advantage_stats, rewards, center=center, scale="mad")
            assert_same_for_all_threads(call)
            assert not call()[1][1].signbit()


@pytest.mark.parametrize("size", [3000, 12_000, 40_000])
def test_a_window_wider_than_any_number_is_one(size):
    """Every window spans from the lowest to the highest number: its width overflows, and the first of them wins."""
    rewards = rewards_of(size, dtype=torch.float64)
    rewards[::30], rewards[1::30] = 1.7e308, -1.7e308
    assert_same_for_all_threads(lambda: torch.ops.gapo.advantage_stats(rewards, tau=1.0, scale="none"))
    _, statistics = torch.ops.gapo.advantage_stats(rewards, tau=1.0, scale="none")
    assert statistics[0].isfinite()
    assert statistics[2:].tolist() == [-1.7e308, 1.7e308]
