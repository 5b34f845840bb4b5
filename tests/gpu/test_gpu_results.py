"""The op on a CUDA device: golden cases, the float64 reference, every tier's boundaries, ragged mixes, corner cases.

Whoever serves CUDA tensors is tested: the CUDA library, or the backend that GAPO_BACKEND names. Where the library is
interpreted (device_ops.py), the same tests run with fewer and smaller groups.
"""

from __future__ import annotations

import math
import os

import pytest
import torch
from device_ops import INTERPRETED, gpu_ops, needs_gpu, needs_gpu_or_interpreter
from golden_cases import assert_golden, every_case
from hypothesis import HealthCheck, given, seed, settings
from op_samples import CENTERS, DTYPES, SAMPLES, SCALES, group_of_row, ids_of, offsets_of, rewards_of
from same_bits import as_tuple, assert_same_bits
from test_against_reference import calls, compare
from tolerances import TOLERANCE, assert_close, by_definition

from gapo_numpy import _core

pytestmark = [pytest.mark.gpu, needs_gpu_or_interpreter]
GPU = gpu_ops()
RANDOM_CALLS = int(os.environ.get("GAPO_GPU_EXAMPLES", "10000"))
PARTS = 40  # of the random calls: pytest-xdist runs them side by side
CAPACITIES = [shape["largest"] for shape in _core.cuda_size_classes()]
# each class's largest group and its neighbours; one tile, one block, several of a binned group; the largest of all
EDGES = sorted({size + step for size in CAPACITIES for step in (-1, 0, 1)} | {1, 2, 6000, 8192, 16384, 32769, 131072})
# what takes the interpreter seconds is left out there
FEW, MANY, LARGEST, RULES = (3, 131, 2**20, 3) if INTERPRETED is None else (2, 9, 16384, 1)

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
every_center = pytest.mark.parametrize("center", CENTERS)
every_scale = pytest.mark.parametrize("scale", SCALES)


@every_case
def test_golden(case):
    options = {"tau": case["tau"], "center": f"hdi_{case['center']}", "scale": "rms" if case["normalize"] else "none"}
    assert_golden(GPU.advantage_by_id(case["rewards"], case["group"], **options), case["advantage"])
    order, sizes = torch.argsort(case["group"], stable=True), torch.bincount(case["group"]).tolist()
    result = GPU.advantage_varlen(case["rewards"][order], offsets_of(*sizes), max(sizes), **options)
    assert_golden(result, case["advantage"][order])


@pytest.mark.parametrize("part", range(PARTS))
def test_random_calls(part):
    @seed(part)
    @given(calls())
    @settings(
        max_examples=max(1, RANDOM_CALLS // PARTS),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def agrees(call):
        compare(call, GPU)

    agrees()


@pytest.mark.parametrize("size", [size for size in EDGES if size <= LARGEST])
@every_dtype
def test_the_boundaries_of_the_tiers(size, dtype):
    groups = FEW if size > 1024 else MANY  # of the small ones several blocks, the last one not full
    rewards = rewards_of(groups, size, dtype=dtype, seed=size)
    for tau, center, scale in ((0.5, "hdi_median", "rms"), (0.8, "hdi_mean", "mad"), (0.3, "quantile", "none")):
        expected, stats = by_definition(rewards, tau=tau, center=center, scale=scale)
        assert_close(GPU.advantage(rewards, tau, center, scale), expected, dtype, "advantage")
        result, found = GPU.advantage_stats(rewards, None, tau, center, scale)
        assert_close(result, expected, dtype, "advantage with statistics")
        assert_close(found, stats, dtype, "statistics")


@needs_gpu
@pytest.mark.parametrize("size", [2**18 + 1, 2**20])
def test_one_huge_group(size):
    rewards = rewards_of(1, size).double().add_(torch.randn(1, size, generator=torch.Generator().manual_seed(0)) * 1e-3)
    for dtype in (torch.float32, torch.float64):
        given_rewards = rewards.to(dtype)
        expected, stats = by_definition(given_rewards)
        result, found = GPU.advantage_stats(given_rewards)
        assert_close(result, expected, dtype, "advantage")
        assert_close(found, stats, dtype, "statistics")


SIZES = (64, 5, 9000, 1, 16, 17, 2048, 0, 2049, 3, 31, 1024, 1025, 4096, 4097, 32, 33, 7)
SIZES += (min(40_000, LARGEST // 3), 8, 2, 0)


@every_dtype
@pytest.mark.parametrize("masked", [False, True])
def test_tiny_and_huge_groups_in_one_batch(dtype, masked):
    total = sum(SIZES)
    rewards, valid = rewards_of(total, dtype=dtype), rewards_of(total, seed=1) > 0.1 if masked else None
    ids = group_of_row(SIZES)
    order = torch.randperm(total, generator=torch.Generator().manual_seed(0))
    for center, scale in (("hdi_median", "rms"), ("loo_mean", "mad"), ("median", "rms")):
        options = {"center": center, "scale": scale}
        expected, stats = by_definition(rewards, ids, valid, **options)
        for kind in (torch.int32, torch.int64):
            result = GPU.advantage_varlen(rewards, offsets_of(*SIZES, dtype=kind), max(SIZES), valid=valid, **options)
            assert_close(result, expected, dtype, "varlen")
        shuffled = None if valid is None else valid[order]
        result, found = GPU.advantage_stats(rewards[order], ids[order] * 977 - 5, valid=shuffled, **options)
        assert_close(result, expected[order], dtype, "by id")
        assert_close(found, stats[order], dtype, "statistics by id")


@pytest.mark.parametrize("most", [1, 4, 7, 32, 33, 64, 100, 256, 257, 512])
@pytest.mark.parametrize("masked", [False, True])
def test_ragged_groups_up_to_a_bound(most, masked):
    sizes = torch.randint(0, most + 1, (MANY,), generator=torch.Generator().manual_seed(most)).tolist()
    sizes += [most, 0, most, 1]
    total = sum(sizes)
    ids = group_of_row(sizes)
    valid = rewards_of(total, seed=1) > 0.1 if masked else None
    for dtype in DTYPES:
        rewards = rewards_of(total, dtype=dtype)
        for center, scale in (("hdi_median", "rms"), ("loo_mean", "mad")):
            options = {"center": center, "scale": scale}
            expected = by_definition(rewards, ids, valid, **options)[0]
            result = GPU.advantage_varlen(rewards, offsets_of(*sizes), most, valid=valid, **options)
            assert_close(result, expected, dtype, f"{center}, {scale}")


# of the kernels that bring ids together: the rows that a block's threads hold, and what is beyond one block
@pytest.mark.parametrize("rows", [1, 2, 33, 1023, 1024, 1025, 4096, 4097, 8191, 8192, 8193, 20_000])
def test_unordered_ids_of_any_number(rows):
    rewards, draw = rewards_of(rows), torch.Generator().manual_seed(rows)
    far = torch.randint(-(2**63), 2**63 - 1, (max(1, rows // 9),), generator=draw)
    kinds = {
        "equal": torch.full((rows,), -1),
        "distinct": torch.randperm(rows, generator=draw) - rows // 2,
        "few": torch.randint(0, 7, (rows,), generator=draw, dtype=torch.int32),
        "far apart": far[torch.randint(0, len(far), (rows,), generator=draw)],
    }
    for name, ids in kinds.items():
        order = torch.argsort(ids, stable=True)
        offsets = offsets_of(*torch.unique_consecutive(ids[order], return_counts=True)[1].tolist())
        for options in ({}, {"center": "mean"}):  # a sum in the order of the rows
            expected = by_definition(rewards, ids, **options)[0]
            result = GPU.advantage_by_id(rewards, ids, **options)
            assert_close(result, expected, torch.float32, name)
            # to the bit as where they lie side by side, without a bound, as the ids have none
            side_by_side = GPU.advantage_varlen(rewards[order], offsets, max(rows, 1024), **options)
            assert_same_bits(result[order], side_by_side, name)


@pytest.mark.parametrize(
    ("rows", "different"),
    [(20_000, 1024), (20_000, 1025), pytest.param(1_200_000, 1_100_000, marks=needs_gpu)],  # one, two, three passes
)
def test_the_digits_of_ids(rows, different):
    rewards, ids = rewards_of(rows), torch.randperm(rows, generator=torch.Generator().manual_seed(0)) % different
    expected = torch.ops.gapo.advantage_by_id(rewards, ids).numpy()
    assert_close(GPU.advantage_by_id(rewards, ids), expected, torch.float32, "by id")


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_every_call_as_on_the_cpu(sample):
    results = as_tuple(getattr(GPU, sample.op)(*sample.args, **sample.options))
    for found, wanted in zip(results, sample.results(), strict=True):
        assert found.dtype == wanted.dtype
        tolerance = TOLERANCE[wanted.dtype]
        torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)


INF, NAN = math.inf, math.nan
CORNERS = [
    [0.1] * 8, [-0.0, 0.0, -0.0], [3.0], [NAN], [INF], [NAN, 1.0, 2.0], [INF, 1.0, 2.0, 3.0], [-INF, INF, 0.0, 0.0],
    [INF, INF, INF], [-INF, -INF, 1.0, 2.0, 3.0, INF, INF], [1e30, -1e30, 1e30], [1e-42, 2e-42, -1e-42, 0.0],
    [0.0, 0.0, 1.0, 1.0], [i * 0.1 for i in range(40)], [1.0] * 33 + [2.0], [5.0] * 5000, [1.0, INF] * 2100,
    [0.0, 1.0] * 600, [NAN] + [1.0] * 1500, [0.0, 1.0, 3.0] * 500 + [-NAN],
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES if INTERPRETED is None else DTYPES[:2], ids=str)
@every_center
@every_scale
def test_corner_cases(dtype, center, scale):
    sizes = [len(group) for group in CORNERS]
    rewards = torch.tensor([value for group in CORNERS for value in group], dtype=torch.float64).to(dtype)
    ids = group_of_row(sizes)
    for tau, eps in ((0.5, 1e-6), (0.55, 0.0), (1.0, 1e-3))[:RULES]:
        options = {"tau": tau, "center": center, "scale": scale, "eps": eps}
        expected, stats = by_definition(rewards, ids, **options)
        assert_close(
            GPU.advantage_varlen(rewards, offsets_of(*sizes), max(sizes), **options), expected, dtype, "varlen"
        )
        result, found = GPU.advantage_stats(rewards, ids, **options)
        assert_close(result, expected, dtype, "by id")
        assert_close(found, stats, dtype, "statistics")
        first = 0
        for group in CORNERS:
            rows = slice(first, first + len(group))
            first += len(group)
            assert_close(GPU.advantage(rewards[rows], **options), expected[rows], dtype, f"dense {len(group)}")


@pytest.mark.parametrize("size", [4, 40, 1000, 2400, 5000])
def test_widths_beyond_float32(size):
    group = torch.tensor([-3e38, -2e38, 2.5e38, 2.6e38]).repeat_interleave(size // 4)  # the first window: 5.5e38 wide
    row = GPU.advantage_stats(group.flip(0), tau=0.75)[1]
    assert torch.equal(row[[0, 2, 3]], group[[size // 2, size // 4, -1]])


@every_dtype
def test_centre_and_window_are_those_of_the_cpu(dtype):
    for size in (5, 16, 64, 700, 2000):
        rewards = rewards_of(9, size, dtype=dtype)
        for center in ("hdi_median", "quantile", "median"):
            cpu = torch.ops.gapo.advantage_stats(rewards, center=center)[1]
            gpu = GPU.advantage_stats(rewards, center=center)[1]
            assert torch.equal(gpu[:, [0, 2, 3]], cpu[:, [0, 2, 3]])


def test_a_group_longer_than_max_group_size_is_nan_and_harms_no_other():
    for most, long in ((8, 52), (16, 52), (40, 52), (40, 300), (100, 300), (200, 300), (1500, 5000)):
        rewards = rewards_of(long + 8)
        result = GPU.advantage_varlen(rewards, offsets_of(4, long, 4), most)
        alone = GPU.advantage_varlen(rewards[:4], offsets_of(4), most)
        assert torch.equal(result[:4], alone)
        # what a tier can sort, it scores; what it cannot, it does not guess
        assert (most, long) == (40, 52) or result[4:-4].isnan().all()
        assert result[-4:].isfinite().all()


# rows that one block can sort, and more, and so long that a whole block takes one; read 16 bytes at a time, and value
# by value
@pytest.mark.parametrize(
    ("rows", "length"), [(300, 77), (300, 76), (9000, 8), (9000, 7), (60, 9000), (60, 18000), (60, 18001)]
)
def test_token_advantage(rows, length):
    tokens, mask = rewards_of(rows, length), rewards_of(rows, length, seed=1) > 0.2
    ids = ids_of(rows, rows // 30)
    kinds = (torch.bool, torch.uint8, torch.int8, torch.int64)
    floats = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    masks = [mask.to(kind) for kind in (kinds if rows == 300 else kinds[:1])]
    masks += [(rewards_of(rows, length, seed=1) * mask).to(kind) for kind in (floats if rows == 300 else ())]
    # whose ones are 2^64 - 1; and bools whose ones are another byte
    for typed in [*masks, (-mask.long()).view(torch.uint64), (mask.to(torch.uint8) * 255).view(torch.bool)]:
        expected = torch.ops.gapo.token_advantage(tokens, typed, ids)
        torch.testing.assert_close(GPU.token_advantage(tokens, typed, ids), expected, rtol=2e-6, atol=2e-6)


@needs_gpu
def test_more_rewards_than_an_int32_of_bytes():
    rows = 2**21 + 3
    free, _ = torch.cuda.mem_get_info()
    if free < 6 * rows * 1024:
        pytest.skip("needs 13 GB of GPU memory")
    rewards = torch.zeros(rows, 1024, dtype=torch.float16, device="cuda")
    rewards[-1] = torch.arange(1024)
    result = torch.ops.gapo.advantage(rewards)
    expected = by_definition(torch.arange(1024.0))[0]
    assert_close(result[-1].cpu(), expected, torch.float16, "last group")
    assert not result[0].any()
