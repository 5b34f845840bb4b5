"""How the op runs on a CUDA device: the same bits always, in graphs, on side streams and other devices, no waiting."""

from __future__ import annotations

import functools
import gc
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from device_ops import moved, needs_gpu
from op_samples import DTYPES, SAMPLES, WITHOUT_NAN, ids_of, offsets_of, rewards_of
from same_bits import as_tuple, assert_same_bits

from gapo_kernels.backends import list_backends

pytestmark = [pytest.mark.gpu, needs_gpu]
every_sample = pytest.mark.parametrize("sample", SAMPLES, ids=str)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)

# every tier, groups that go to the lists, and binned ones
SIZES = (64, 5, 9000, 1, 16, 2048, 0, 31, 1024, 1025, 4096, 4097, 33, 40_000, 8)


def on_gpu(sample, device: str = "cuda"):
    """The sample's call with everything on the device, ready to be made."""
    args = moved(sample.args, device)
    options = {name: moved(value, device) for name, value in sample.options.items()}
    return lambda: sample.packet(*args, **options)


def large_calls(dtype: torch.dtype = torch.float32) -> dict:
    """Calls that go through every kernel."""
    total = sum(SIZES)
    rewards, ids = rewards_of(total, dtype=dtype).cuda(), ids_of(total, 40).cuda()
    offsets = offsets_of(*SIZES).cuda()
    whole = total // 256 * 256
    tokens, mask = rewards_of(500, 130, dtype=dtype).cuda(), rewards_of(500, 130, seed=1).cuda() > 0.1
    ops = torch.ops.gapo
    calls = {f"dense {n}": lambda n=n: ops.advantage(rewards[: 3 * n].view(3, n)) for n in (4, 64, 1024, 4096, 9000)}
    return calls | {
        "varlen": lambda: ops.advantage_varlen(rewards, offsets, max(SIZES)),
        "by id": lambda: ops.advantage_stats(rewards, ids),
        "few ids": lambda: ops.advantage_stats(rewards, ids // 1_000_003 % 3),
        **{f"by id {n}": lambda n=n: ops.advantage_by_id(rewards[:n], ids[:n]) for n in (40, 3000, 8000)},
        **{f"varlen {n}": lambda n=n: equal_groups_as_ragged(rewards[:whole], n) for n in (32, 64, 256)},
        "mad": lambda: ops.advantage_stats(rewards[:50_000].view(5, 10_000), scale="mad"),
        "tokens": lambda: ops.token_advantage(tokens, mask, ids[:500]),
    }


def equal_groups_as_ragged(rewards: torch.Tensor, size: int) -> torch.Tensor:
    offsets = torch.arange(0, len(rewards) + 1, size, device=rewards.device)
    return torch.ops.gapo.advantage_varlen(rewards, offsets, size)


def test_who_serves():
    server = next(backend.name for backend in list_backends() if "cuda" in backend.serves)
    assert server in ("cuda", "triton", "reference")
    print(f"\nCUDA tensors are served by {server}")


@every_dtype
def test_run_to_run(dtype):
    for name, call in large_calls(dtype).items():
        first = call()
        for _ in range(5):
            assert_same_bits(call(), first, name)


@every_sample
def test_graph_replay_of_every_call(sample):
    call = on_gpu(sample)
    expected = call()
    assert_same_bits(replayed(call), expected)


@every_dtype
def test_graph_replay_through_every_kernel(dtype):
    for call in large_calls(dtype).values():
        expected = call()
        assert_same_bits(replayed(call), expected)


def replayed(call):
    """The call's results out of a graph that ran three times."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        call()  # what is set up once is set up before the capture
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = call()
    for _ in range(3):
        graph.replay()
    torch.cuda.synchronize()
    return results


@pytest.mark.parametrize("size", [4096, 36_864])  # of the larger, several blocks sort the ids
def test_calls_that_feed_each_other(size):
    """Each kernel may come before the one in front of it has ended: what it reads has to be written by then."""
    ops = torch.ops.gapo
    given, ids = rewards_of(size).cuda(), ids_of(size, 100).cuda()
    mask = torch.ones(size // 4, 4, device="cuda")
    steps = (
        lambda rewards: ops.advantage(rewards.view(-1, 16)).flatten(),
        lambda rewards: ops.advantage_by_id(rewards, ids),
        lambda rewards: ops.advantage(rewards.view(-1, 1024)).flatten(),
        lambda rewards: equal_groups_as_ragged(rewards, 128),
        lambda rewards: ops.token_advantage(rewards.view(-1, 4), mask, ids[: size // 4]).flatten(),
        lambda rewards: rewards.roll(5) - 0.5 * given,
    )

    def chain(after: Callable[[], None]) -> torch.Tensor:
        rewards = given
        for _ in range(20):
            for step in steps:
                rewards = step(rewards)
                after()
        return rewards

    expected = chain(torch.cuda.synchronize)
    for _ in range(3):
        if torch.cuda.is_available():  # the device waits while the host launches, so that kernels follow one another
            torch.cuda._sleep(50_000_000)
        assert_same_bits(chain(lambda: None), expected)
    assert_same_bits(replayed(lambda: chain(lambda: None)), expected)


# In a process of its own: in this one earlier tests have loaded the kernels.
CAPTURED_FIRST = """
import torch
import gapo_kernels

rewards = torch.rand(40_000, device="cuda")
ids = torch.arange(40_000, device="cuda") % 500
torch.cuda.synchronize()
calls = [
    lambda: torch.ops.gapo.advantage(rewards.view(400, 100)),
    lambda: torch.ops.gapo.advantage(rewards.view(2, 20_000)),
    lambda: torch.ops.gapo.advantage_by_id(rewards, ids),
]
graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    captured = [call() for call in calls]
graph.replay()
torch.cuda.synchronize()
for result, call in zip(captured, calls):
    assert torch.equal(result, call())
"""


@pytest.mark.skipif(
    not any(backend.name == "cuda" and backend.serves for backend in list_backends()),
    reason="Triton compiles and loads a kernel at its first call, which no capture takes",
)
@pytest.mark.timeout(90)  # a new process imports torch
def test_the_first_call_may_be_captured():
    """With drivers from 12.3 on, as docs/cuda.md says."""
    done = subprocess.run([sys.executable, "-c", CAPTURED_FIRST], capture_output=True, text=True, timeout=80)
    assert done.returncode == 0, done.stderr


def test_a_graph_reads_its_inputs_anew():
    rewards, offsets = rewards_of(100).cuda(), offsets_of(60, 40).cuda()
    call = functools.partial(torch.ops.gapo.advantage_varlen, rewards, offsets, 90)
    call()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = call()
    rewards.copy_(rewards_of(100, seed=5))
    offsets.copy_(offsets_of(10, 90))
    graph.replay()
    torch.cuda.synchronize()
    assert_same_bits(result, call())


@every_dtype
@pytest.mark.parametrize("size", [3, 16, 33, 100, 1000, 2000, 5000])
def test_a_group_alone_or_in_a_dense_batch(size, dtype):
    rewards = rewards_of(70, size, dtype=dtype).cuda()
    batch, statistics = torch.ops.gapo.advantage_stats(rewards)
    for group in (0, 1, 33, 69):
        alone = torch.ops.gapo.advantage_stats(rewards[group])
        assert_same_bits(alone, (batch[group], statistics[group]))


@every_dtype
@pytest.mark.parametrize("most", [32, 64, 256, max(SIZES)])
def test_a_group_alone_or_in_a_ragged_batch(dtype, most):
    groups = [rewards_of(min(n, most), dtype=dtype, seed=seed).cuda() for seed, n in enumerate(SIZES)]

    def run(chosen: list[torch.Tensor]) -> list[torch.Tensor]:
        sizes = [len(group) for group in chosen]
        result = torch.ops.gapo.advantage_varlen(torch.cat(chosen), offsets_of(*sizes).cuda(), most)
        return list(result.split(sizes))

    batch = run(groups)
    assert_same_bits([run([group])[0] for group in groups], batch)
    assert_same_bits(run(groups[::-1])[::-1], batch)


@every_sample
def test_nothing_waits_for_the_device(sample):
    call = on_gpu(sample)
    expected = call()
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = call()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert_same_bits(result, expected)


def test_nothing_waits_in_the_large_paths():
    calls = large_calls()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for call in calls.values():
            call()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_side_stream():
    stream = torch.cuda.Stream()
    source = rewards_of(4096, 1024).cuda()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):  # loads and allocates all that is used below: both may wait for the device
        torch.cuda._sleep(1)
        expected = torch.ops.gapo.advantage(source * 1)
        torch.ops.gapo.advantage(source * 1)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)  # what is enqueued behind it must wait for it, on this stream
        rewards = source * 1
        result = torch.ops.gapo.advantage(rewards)
    assert not stream.query()
    stream.synchronize()
    assert_same_bits(result, expected)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one CUDA device")
@every_sample
def test_a_second_device(sample):
    assert torch.cuda.current_device() == 0
    results = on_gpu(sample, "cuda:1")()
    assert torch.cuda.current_device() == 0
    assert all(result.device == torch.device("cuda", 1) for result in as_tuple(results))
    assert_same_bits(results, on_gpu(sample)())


def test_memory_comes_from_the_caching_allocator_and_goes_back():
    gc.collect()  # what earlier tests left, which would go in between
    torch.cuda.empty_cache()  # and what fits into their memory, once it is cut up
    for call in large_calls().values():
        call()
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        reserved = torch.cuda.memory_reserved()
        for _ in range(3):
            call()
        torch.cuda.synchronize()
        assert torch.cuda.memory_allocated() == before
        assert torch.cuda.memory_reserved() == reserved


def test_arguments_on_other_devices():
    rewards = rewards_of(8).cuda()
    with pytest.raises(
        RuntimeError, match="gapo::advantage_by_id expects group_ids on cuda:0, as the rewards, got cpu"
    ):
        torch.ops.gapo.advantage_by_id(rewards, ids_of(8, 2))
    with pytest.raises(RuntimeError, match="gapo::advantage expects valid on cuda:0, as the rewards, got cpu"):
        torch.ops.gapo.advantage(rewards, valid=torch.ones(8, dtype=torch.bool))
    with pytest.raises(RuntimeError, match="gapo::advantage_varlen expects max_group_size >= 0, got -1"):
        torch.ops.gapo.advantage_varlen(rewards, offsets_of(8).cuda(), -1)


@pytest.mark.parametrize("sample", WITHOUT_NAN, ids=str)
def test_opcheck(sample):
    args = moved(sample.args, "cuda")
    options = {name: moved(value, "cuda") for name, value in sample.options.items()}
    torch.library.opcheck(sample.packet.default, args, options)


def test_a_bound_beyond_all_rewards():
    rewards, offsets = rewards_of(14_000).cuda(), offsets_of(9000, 5000).cuda()
    expected = torch.ops.gapo.advantage_varlen(rewards, offsets, 9000)
    assert_same_bits(torch.ops.gapo.advantage_varlen(rewards, offsets, 2**40), expected)
