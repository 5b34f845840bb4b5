"""Where arguments lie on a CUDA device decides nothing: any alignment, any strides, and whatever fresh memory holds."""

from __future__ import annotations

import pytest
import torch
from device_ops import INTERPRETED, needs_gpu, needs_gpu_or_interpreter
from op_samples import DTYPES, ids_of, offsets_of, rewards_of
from same_bits import as_tuple, assert_same_bits
from test_gpu_execution import large_calls
from tolerances import TOLERANCE

from gapo_kernels import plan
from gapo_kernels.backends import list_backends

pytestmark = [pytest.mark.gpu, needs_gpu_or_interpreter]
DEVICE, OPS = ("cuda", torch.ops.gapo) if INTERPRETED is None else ("cpu", torch.ops.gapo_ptx)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
# in elements: 16 bytes at a time can be read at none of them, and float32 and float64 at their own size only
OFFSETS = (1, 2, 3, 5) if INTERPRETED is None else (1, 2)
SIZES = (1, 3, 4, 8, 16, 32, 64, 500, 512, 1024, 2048, 4096, 9000, 20_000)[: None if INTERPRETED is None else -2]
CUDA_LIBRARY = INTERPRETED is not None or any(backend.name == "cuda" and backend.serves for backend in list_backends())


def assert_same(found, wanted) -> None:
    """Bit by bit. Triton chooses by alignment how many values a lane takes, and with it the order of sums."""
    if CUDA_LIBRARY:
        return assert_same_bits(found, wanted)
    for result, expected in zip(as_tuple(found), as_tuple(wanted), strict=True):
        tolerance = TOLERANCE[expected.dtype]
        torch.testing.assert_close(result, expected, rtol=tolerance, atol=tolerance, equal_nan=True)


def withdrawn(size: int) -> bool:
    """Whether groups of this size are not scored where offsets decrease: they would share parts of a workspace."""
    return CUDA_LIBRARY and plan(1, size, "cuda")["tier"] == "binned"


def shifted(values: torch.Tensor, offset: int) -> torch.Tensor:
    """The same values on the device, ``offset`` elements behind where an allocation begins."""
    memory = torch.empty(offset + values.numel(), dtype=values.dtype, device=DEVICE)
    memory[offset:] = values.flatten().to(DEVICE)
    result = memory[offset:].view(values.shape)
    assert result.storage_offset() == offset
    return result


@every_dtype
@pytest.mark.parametrize("size", SIZES)
def test_misaligned_groups(size, dtype):
    rewards, valid = rewards_of(5, size, dtype=dtype), rewards_of(5, size, seed=1) > 0.1
    short = OPS.advantage(rewards.to(DEVICE))
    statistics = OPS.advantage_stats(rewards.to(DEVICE), valid=valid.to(DEVICE))
    for offset in OFFSETS:
        assert_same(OPS.advantage(shifted(rewards, offset)), short)
        found = OPS.advantage_stats(shifted(rewards, offset), valid=shifted(valid, offset))
        assert_same(found, statistics)


@every_dtype
def test_misaligned_ragged_groups(dtype):
    sizes = (16, 700, 5, 33, 2000, 64, 9000, 1024)
    rewards, ids = rewards_of(sum(sizes), dtype=dtype), ids_of(sum(sizes), 40)
    for kind in (torch.int32, torch.int64):
        offsets = offsets_of(*sizes, dtype=kind)
        expected = OPS.advantage_varlen(rewards.to(DEVICE), offsets.to(DEVICE), max(sizes))
        for offset in OFFSETS:
            found = OPS.advantage_varlen(shifted(rewards, offset), shifted(offsets, offset), max(sizes))
            assert_same(found, expected)
    for kind in (torch.int32, torch.int64):
        expected = OPS.advantage_stats(rewards.to(DEVICE), ids.to(kind).to(DEVICE))
        for offset in OFFSETS:
            assert_same(OPS.advantage_stats(shifted(rewards, offset), shifted(ids.to(kind), offset)), expected)


@every_dtype
@pytest.mark.parametrize("length", [1, 8, 77, 128, 1000, 5000])
def test_misaligned_tokens(length, dtype):
    tokens, ids = rewards_of(30, length, dtype=dtype), ids_of(30, 4).to(DEVICE)
    for kind in (torch.bool, torch.int32, torch.int64, torch.bfloat16, torch.float32, torch.float64):
        mask = (rewards_of(30, length, seed=1) > 0.1).to(kind)
        expected = OPS.token_advantage(tokens.to(DEVICE), mask.to(DEVICE), ids)
        for offset in OFFSETS:
            assert_same(OPS.token_advantage(shifted(tokens, offset), mask.to(DEVICE), ids), expected)
            assert_same(OPS.token_advantage(tokens.to(DEVICE), shifted(mask, offset), ids), expected)


@every_dtype
def test_strides(dtype):
    rewards, ids = rewards_of(64, 96, dtype=dtype).to(DEVICE), ids_of(64, 7).to(DEVICE)
    for view in (
        rewards.t(),
        rewards[:, ::2],
        rewards[::3],
        rewards[:, 1:],
        rewards[0].expand(4, 96),
        rewards.flip(0).t(),
    ):
        assert_same(OPS.advantage(view), OPS.advantage(view.contiguous()))
        valid = view > 0.1
        assert_same(OPS.advantage_stats(view, valid=valid), OPS.advantage_stats(view.contiguous(), valid=valid))
    column, every_second = rewards[:, 5], ids_of(128, 7).to(DEVICE)[::2]
    expected = OPS.advantage_by_id(column.contiguous(), every_second.contiguous())
    assert_same(OPS.advantage_by_id(column, every_second), expected)
    tokens, mask = rewards.t()[:64], (rewards > 0.2).t()[:64]
    expected = OPS.token_advantage(tokens.contiguous(), mask.contiguous(), ids)
    assert_same(OPS.token_advantage(tokens, mask, ids), expected)
    for begin, length in ((0, 48), (8, 48), (3, 48), (8, 51), (95, 1)):  # columns, which are not copied
        tokens = rewards[:, begin : begin + length]
        for mask in (tokens > 0.2, (rewards > 0.2)[:, begin : begin + length], (rewards[0] > 0).expand(64, 96)):
            mask = mask[:, :length]
            expected = OPS.token_advantage(tokens.contiguous(), mask.contiguous(), ids)
            assert_same(OPS.token_advantage(tokens, mask, ids), expected)


@pytest.mark.parametrize("size", [8, 100, 300, 1000, 3000, 9000])
@pytest.mark.parametrize("kind", [torch.int32, torch.int64], ids=str)
def test_groups_that_reach_behind_the_rewards_are_left_alone(size, kind):
    """Offsets of another batch, which nobody reads back to check: nothing beyond the rewards may be read or written."""
    rewards = rewards_of(2 * size).to(DEVICE)

    def scored(*offsets: int) -> torch.Tensor:
        return OPS.advantage_varlen(rewards, torch.tensor(offsets, dtype=kind).to(DEVICE), 2 * size)[:size]

    alone = scored(0, size)
    assert_same(scored(-size, 0, size, 2 * size + size // 2), alone)
    result = scored(0, size, 2 * size + size // 2, 2 * size, -size, size)
    if not withdrawn(size):
        assert_same(result, alone)


@pytest.mark.parametrize("size", [2000, 9000, 20_000])
def test_overlapping_groups_touch_nothing_else(size):
    """Offsets that go back and forth: more long groups than the rewards have room for, each scored or left out."""
    rewards = torch.rand(size + 8, generator=torch.Generator().manual_seed(size)).to(DEVICE)
    back_and_forth = torch.tensor([0, size, 0, size, 0, size, 0, size, size + 8], device=DEVICE)
    result = OPS.advantage_varlen(rewards, back_and_forth, size)
    behind = OPS.advantage_varlen(rewards[size:].clone(), torch.tensor([0, 8], device=DEVICE), size)
    assert_same(result[size:], behind)
    alone = OPS.advantage_varlen(rewards, back_and_forth[:2], size)
    if withdrawn(size):
        assert not torch.equal(result[:size], alone[:size])
    else:
        assert_same(result[:size], alone[:size])


@needs_gpu
@every_dtype
def test_fresh_memory_is_not_read(dtype, request):
    calls = large_calls(dtype)
    expected = {name: call() for name, call in calls.items()}
    request.getfixturevalue("poisoned_memory")  # results and workspaces are full of NaN, integers of the largest
    for name, call in calls.items():
        assert_same_bits(call(), expected[name])
