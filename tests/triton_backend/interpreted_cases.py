"""What test_interpreter.py runs in a process of its own: every kernel under Triton's interpreter, on small inputs."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import pytest
import torch
from golden_cases import CASES, assert_golden, name_of, needs_golden, options
from op_samples import CENTERS, SAMPLES, SCALES, group_of_row, ids_of, offsets_of, rewards_of
from same_bits import as_tuple, assert_same_bits
from tolerances import TOLERANCE, assert_close, by_definition

import gapo_kernels
from gapo_kernels import reference_ops
from gapo_kernels.triton_kernels import launch, launch_shared, tiers

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of inf - inf
RULES = list(itertools.product(CENTERS, SCALES))
INF, NAN = math.inf, math.nan


def assert_reference(rewards, center, scale, *, valid=None, **options) -> torch.Tensor:
    """The advantages, which are those of the reference, as the statistics are."""
    rule = {"center": center, "scale": scale, **options}
    expected = by_definition(rewards, valid=valid, **rule)
    found = torch.ops.gapo.advantage_stats(rewards, valid=valid, **rule)
    for result, wanted in zip(found, expected, strict=True):
        assert_close(result, wanted, rewards.dtype)
    return found[0]


# Every class: its capacity, where the batch is full, and a size that leaves some of it empty. 1025 and 2100: long, of
# one and of several chunks. Each size meets other rules, so that every rule meets several layouts.
SIZES = sorted({1, 3, 5, 11, 20, 48, 100, 150, 300, 700, 1025, 2100} | {tier.capacity for tier in tiers.TIERS})


@pytest.mark.parametrize(("i", "size"), list(enumerate(SIZES)))
def test_dense(i, size):
    few = size > 64
    for j in range(1 if few else 3):
        center, scale = RULES[(i * 5 + j * 8) % len(RULES)] if j else ("hdi_median", "rms")
        assert_reference(rewards_of(2 if few else 5, size, seed=i), center, scale, tau=(0.5, 0.3, 0.8)[(i + j) % 3])


@pytest.fixture
def short_spans(monkeypatch):
    """Blocks that share a long group walk over as little of it as they can, so that a group of 1,025 has two."""
    monkeypatch.setattr(tiers, "LONG_SPAN", tiers.LONG_CHUNK)


@pytest.mark.parametrize(("center", "scale"), RULES)
def test_every_rule(center, scale, short_spans):
    for size in (4, 7, 2100):
        groups = rewards_of(2, size, seed=size)
        groups[1].neg_()  # the narrowest window lies at the other end
        assert_reference(groups, center, scale, tau=0.6 if size < 10 else 0.1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_dtypes(dtype):
    for size, rule in ((6, ("hdi_median", "rms")), (40, ("hdi_mean", "mad")), (1030, ("median", "mad"))):
        assert_reference(rewards_of(2, size, dtype=dtype), *rule)
    step = 2.0 ** -(40 if dtype == torch.float64 else 6)
    group = (1 + torch.tensor([[0.0, 1.0, 2.0, 7.0]], dtype=torch.float64) * step).to(dtype)
    assert torch.equal(torch.ops.gapo.advantage(group, 0.5, "median", "none"), group - (1 + 1.5 * step))


def test_a_middle_whose_double_would_overflow():
    group = torch.tensor([1.5e308, 0.0, 1.5e308], dtype=torch.float64)
    assert torch.equal(torch.ops.gapo.advantage(group, 0.6, scale="none"), group - 1.5e308)


def test_a_mean_of_equal_rewards_is_that_reward():
    """In the window; 0.1 + 0.1 + 0.1 is not 0.3 in float64."""
    for size in (4, 1030):
        group = torch.full((size,), 0.1, dtype=torch.float64)
        group[0] = -5.0
        assert (torch.ops.gapo.advantage(group, 0.7, "hdi_mean", "none")[1:] == 0).all()


def test_groups_of_one():
    for scale in SCALES:
        assert_reference(torch.tensor([[2.0], [INF]]), "hdi_median", scale, eps=1.0)


def test_infinities(short_spans):
    for size, center, scale in itertools.product((2, 9, 1030), ("hdi_median", "hdi_mean", "mean"), ("rms", "mad")):
        groups = rewards_of(5, size)
        groups[0, 0], groups[1, : size // 2], groups[2], groups[3, -1] = INF, -INF, INF, -INF
        groups[4, : size // 3], groups[4, -(size // 3) :] = -INF, INF  # every window's width is infinite or NaN
        assert_reference(groups, center, scale)


@pytest.mark.parametrize("size", [2, 9, 40, 1030])
def test_a_nan_stays_in_its_group(size, short_spans):
    groups = rewards_of(3, size)
    clean = torch.ops.gapo.advantage(groups)
    groups[1, size // 2] = NAN
    result, stats = torch.ops.gapo.advantage_stats(groups)
    assert result[1].isnan().all()
    assert stats[1].isnan().all()
    assert torch.equal(result[::2], clean[::2])
    keep = (torch.arange(size) > 0).expand(3, size)
    assert torch.ops.gapo.advantage(groups, valid=keep)[1, 1:].isnan().all()


@pytest.mark.parametrize("nan", [NAN, -NAN])
def test_a_nan_is_found_where_a_sort_by_bits_puts_it(nan, short_spans, monkeypatch):
    """As torch's sort on a GPU does: one with the sign bit lies before everything else."""

    def by_bits(rewards):
        bits = rewards.view(torch.int32)
        order = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).sort(-1).indices
        return rewards.gather(-1, order)

    monkeypatch.setattr(launch_shared, "_sorted", by_bits)
    groups = rewards_of(2, 1030)
    groups[1, 7] = nan
    assert by_bits(groups)[1, 0 if math.copysign(1, nan) < 0 else -1].isnan()
    for center, scale in RULES:
        result = torch.ops.gapo.advantage(groups, 0.5, center, scale)
        assert result[1].isnan().all(), (center, scale)
        assert not result[0].isnan().any()


@pytest.mark.parametrize("size", [2, 9, 40, 1030])
def test_equal_rewards_have_advantage_zero(size):
    for reward, (center, scale) in itertools.product((0.1, -0.0, 1e30), RULES[:: 4 if size < 10 else 8]):
        result, stats = torch.ops.gapo.advantage_stats(torch.full((1, size), reward), None, 0.5, center, scale, 0.0)
        assert (result == 0).all()
        assert stats[0, 0] == torch.tensor(reward)
        assert not stats[stats == 0].signbit().any()  # nor are the ends of the window


def test_of_equal_windows_the_leftmost_wins(short_spans):
    for size in (4, 26, 64, 2050):
        order = torch.randperm(size, generator=torch.Generator().manual_seed(1))
        group = torch.arange(size, dtype=torch.float32)[order]
        expected = group - (size / 2 - 1) / 2
        assert torch.equal(torch.ops.gapo.advantage(group, scale="none"), expected)
        assert torch.equal(torch.ops.gapo.advantage_varlen(group, offsets_of(size), size, scale="none"), expected)


def test_widths_are_compared_in_float64():
    """On a grid of tenths float32 makes widths equal that float64, from the same stored rewards, tells apart."""
    for size in (5, 8, 16):
        groups = torch.stack([(torch.arange(first, first + size).double() / 10).float() for first in range(-20, 20)])
        assert_reference(groups, "hdi_median", "rms")


def test_the_window_holds_the_share():
    """0.07 * 100 and 0.55 * 100 are a little more than an integer in float64; how much is, grows with the group."""
    shares = (0.07, 100), (0.55, 100), (0.5 + 5e-10, 100), (1e-6, 8), (1e-10, 8), (1.0, 8), (1 / 3, 9), (0.7, 10)
    for tau, size in (*shares, (0.07, 1100)):
        order = torch.randperm(size, generator=torch.Generator().manual_seed(size))
        assert_reference(order.float()[None], "quantile", "rms", tau=tau)


def test_valid(short_spans):
    for size, center, scale in itertools.product((4, 20, 1500), ("hdi_median", "loo_mean"), ("rms", "mad")):
        groups = rewards_of(4, size)
        keep = torch.rand(4, size, generator=torch.Generator().manual_seed(size)) < 0.7
        keep[2], keep[3] = False, torch.arange(size) == 1
        groups[~keep] = NAN
        assert (assert_reference(groups, center, scale, valid=keep)[~keep] == 0).all()


# sizes of every range of a ragged batch, empty groups at both ends, a long group among short ones
RAGGED = (0, 3, 1, 32, 33, 0, 150, 2, 1030, 7, 1, 0)
LONGEST = max(RAGGED)


@pytest.mark.parametrize(("center", "scale", "masked"), [("hdi_median", "rms", False), ("mean", "mad", True)])
def test_ragged_and_by_id(center, scale, masked):
    rewards, offsets = rewards_of(sum(RAGGED)), offsets_of(*RAGGED, dtype=torch.int32)
    ids = group_of_row(RAGGED)
    keep = rewards_of(len(rewards), seed=4) > 0.05 if masked else None
    named = {"center": center, "scale": scale, "valid": keep}
    expected, stats = by_definition(rewards, ids, **named)
    assert_close(torch.ops.gapo.advantage_varlen(rewards, offsets, LONGEST, **named), expected, torch.float32)

    order = torch.randperm(len(rewards), generator=torch.Generator().manual_seed(0))
    shuffled = {**named, "valid": None if keep is None else keep[order]}
    found = torch.ops.gapo.advantage_stats(rewards[order], (7 - ids * 1_000_003)[order], **shuffled)
    for result, wanted in zip(found, (expected, stats), strict=True):
        assert_close(result, wanted[order.numpy()], torch.float32)


def test_a_group_by_id_that_only_the_last_row_looked_at_is_in():
    """Groups of more than 128 are looked for at every 129th row, by blocks of four: the fifth alone finds it."""
    rewards, ids = rewards_of(517), group_of_row((*[1] * 388, 129))
    assert_close(torch.ops.gapo.advantage_by_id(rewards, ids), by_definition(rewards, ids)[0], torch.float32)


def test_what_wrong_offsets_leave_out_is_nan():
    """Nobody reads offsets back from a device to check them; at least no old memory is returned."""
    rewards = rewards_of(100)
    result = torch.ops.gapo.advantage_varlen(rewards, offsets_of(4, 80, 6), 6)
    assert torch.equal(result[:4], torch.ops.gapo.advantage_varlen(rewards[:4], offsets_of(4), 6))
    assert result[4:84].isnan().all()
    assert result[84:90].isfinite().all()
    assert result[90:].isnan().all()


@pytest.mark.parametrize("size", [8, 100, 1100])
def test_groups_that_reach_behind_the_rewards_are_nan(size):
    """Nothing beyond the rewards is read or written for them."""
    rewards, offsets = rewards_of(2 * size), torch.tensor([0, size, 2 * size + 5, 2 * size, -5, 5])
    result = torch.ops.gapo.advantage_varlen(rewards, offsets, 2 * size)
    assert torch.equal(result[:size], torch.ops.gapo.advantage_varlen(rewards, offsets[:2], 2 * size)[:size])
    assert result[size:].isnan().all()


# whole runs, merged twice; merged three times, so sorted in the other place; and more runs than a block sorts at once
@pytest.mark.parametrize(("size", "dtype"), [(2048, torch.float32), (2500, torch.float64), (4097, torch.bfloat16)])
def test_long_groups_that_torch_does_not_sort(size, dtype, monkeypatch):
    """On ROCm, where its sort of many groups waits for the device: sorted by our own kernel, to the same bits."""
    groups = rewards_of(3, size, dtype=dtype)
    groups[:, ::2].neg_()
    keep = rewards_of(3, size, seed=1) > 0.1
    groups[1, size // 3] = NAN
    expected = [torch.ops.gapo.advantage_stats(groups, None, valid=valid) for valid in (None, keep)]
    monkeypatch.setattr(torch.version, "hip", "7.0")
    monkeypatch.setattr(launch_shared, "ROCM_SEGMENTED", len(groups))
    monkeypatch.setattr(torch.Tensor, "sort", None)
    monkeypatch.setattr(tiers, "LONG_BLOCKS", 2)
    for valid, results in zip((None, keep), expected, strict=True):
        assert_same_bits(torch.ops.gapo.advantage_stats(groups, None, valid=valid), results)


def test_a_group_of_very_many_rewards_has_longer_spans():
    """Each block reads what all blocks of its group found: their number is limited."""
    assert tiers.span_of(1025) == tiers.span_of(4096 * 1024) == 4096
    for size in (4096 * 1024 + 1, 2**26 + 5, 2**30):
        assert size / tiers.span_of(size) <= tiers.MOST_SPANS
        assert tiers.span_of(size) % tiers.LONG_CHUNK == 0


@pytest.mark.parametrize(("most", "size"), [(20, 40), (1200, 1500)])
def test_a_group_longer_than_promised_is_nan(most, size):
    rewards = rewards_of(size + 8)
    result = torch.ops.gapo.advantage_varlen(rewards, offsets_of(4, size, 4), most)
    assert result[4:-4].isnan().all()
    assert result[:4].isfinite().all()
    assert result[-4:].isfinite().all()


# side by side; and among so many others that a block looks at their sizes more than once, and may visit none
@pytest.mark.parametrize(
    "sizes", [(1030, 3, 1100, 1, 1200), (*[0] * 70, 1030, 2, *[0] * 40, 1100)], ids=("few", "many")
)
def test_blocks_that_score_several_long_groups(sizes, monkeypatch):
    monkeypatch.setattr(tiers, "LONG_BLOCKS", 1)
    rewards = rewards_of(sum(sizes))
    ids = group_of_row(sizes)
    expected = by_definition(rewards, ids)[0]
    ragged = torch.ops.gapo.advantage_varlen(rewards, offsets_of(*sizes), max(sizes))
    assert_close(ragged, expected, torch.float32)
    assert_close(torch.ops.gapo.advantage_by_id(rewards, ids), expected, torch.float32)


def test_a_group_alone_or_in_a_ragged_batch():
    """The same bits for one max_group_size, which may be larger than all that there is."""
    rule = (0.5, "mean", "rms", 0.0)  # the order of its sums tells the class, in some groups of 20 and of 60
    draw = torch.Generator().manual_seed(0)
    sizes = (*RAGGED, 33, 100, 150, 200, *(20, 60) * 10)
    groups = [torch.randn(size, dtype=torch.float64, generator=draw) for size in sizes]
    batch = torch.ops.gapo.advantage_varlen(torch.cat(groups), offsets_of(*sizes), LONGEST, *rule).split(sizes)
    for group, together in zip(groups, batch, strict=True):
        alone = torch.ops.gapo.advantage_varlen(group, offsets_of(len(group)), LONGEST, *rule)
        assert torch.equal(alone, together)


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_samples(sample):
    """Every op in every dtype and with every kind of argument, against the reference backend."""
    by_definition = getattr(reference_ops, f"_{sample.op}")
    names = [argument.name for argument in sample.packet.default._schema.arguments]
    defaults = {a.name: a.default_value for a in sample.packet.default._schema.arguments}
    given = {**defaults, **dict(zip(names, sample.args, strict=False)), **sample.options}
    expected = by_definition(*[given[name] for name in names])
    for result, wanted in zip(sample.results(), as_tuple(expected), strict=True):
        assert (result.shape, result.dtype) == (wanted.shape, wanted.dtype)
        assert result.is_contiguous()
        tolerance = TOLERANCE[result.dtype]
        torch.testing.assert_close(result, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)


def test_token_rows_of_several_tiles():
    tokens, mask = rewards_of(3, 2500), (rewards_of(3, 2500, seed=1) > 0.2).int()
    ids, sums = torch.tensor([1, 0, 1]), tokens.double().sum(1).float()
    tokens[1, 7] = NAN
    sums[1] = NAN
    values = torch.from_numpy(by_definition(sums, ids)[0]).float()
    expected = torch.where(mask == 0, 0.0, values[:, None] * mask)
    for typed in (mask, (mask.to(torch.uint8) * 255).view(torch.bool)):  # any byte but 0 is true
        result = torch.ops.gapo.token_advantage(tokens, typed, ids)
        torch.testing.assert_close(result, expected, rtol=2e-6, atol=2e-6, equal_nan=True)


def test_tokens_are_summed_in_float64():
    tokens = torch.zeros(1, 2500)
    tokens[0, 5::1024] = torch.tensor([1e8, 1.0, -1e8])
    assert launch.sum_rows(tokens) == 1


def test_nothing_behind_the_last_row_is_written():
    rows, length = 3, 5
    out = torch.full((launch.token_tile(length)[0], length), 7.0)
    launch.broadcast(torch.ones(rows), torch.ones(rows, length), out[:rows])
    assert (out[:rows] == 1).all()
    assert (out[rows:] == 7).all()


def test_warmup():
    gapo_kernels.warmup([(2, 4)], estimators=("gapo", "rloo"), valid=True, tokens=8)
    with pytest.raises(ValueError, match=r"shapes expects shapes \[..., G\] of at least one reward, got \[0\]"):
        gapo_kernels.warmup([(0,)])


EQUAL = [case for case in CASES if case["mode"] == "equal"]
# The interpreter's time goes by programs, of which a batch has few: the cases of one rule are called together.
BATCHES = defaultdict(list)
for case in CASES:
    if case["mode"] != "equal":
        BATCHES[case["mode"], case["tau"], case["center"], case["normalize"]].append(case)


@needs_golden
@pytest.mark.parametrize("case", EQUAL, ids=name_of)
def test_golden_equal(case):
    rewards = case["rewards"].view(-1, case["sizes"][0])
    assert_golden(gapo_kernels.advantage(rewards, **options(case)).flatten(), case["advantage"])


@needs_golden
@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_golden_ragged_and_shuffled(batch):
    cases = BATCHES[batch]
    rewards, rows = torch.cat([case["rewards"] for case in cases]), [len(case["rewards"]) for case in cases]
    if batch[0] == "ragged":
        sizes = [size for case in cases for size in case["sizes"]]
        result = gapo_kernels.advantage_varlen(rewards, offsets_of(*sizes), max(sizes), **options(cases[0]))
    else:
        ids = torch.cat([1000 * i + case["group"] for i, case in enumerate(cases)])
        result = gapo_kernels.advantage_by_id(rewards, ids, **options(cases[0]))
    for case, found in zip(cases, result.split(rows), strict=True):
        try:
            assert_golden(found, case["advantage"])
        except AssertionError as error:
            raise AssertionError(name_of(case)) from error


@needs_golden
def test_every_golden_case_is_run():
    assert len(EQUAL) + sum(map(len, BATCHES.values())) == 240


def test_ids_of_every_integer_type():
    rewards = rewards_of(12)
    expected = torch.ops.gapo.advantage_by_id(rewards, ids_of(12, 3))
    for kind in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.uint16, torch.uint32, torch.uint64):
        assert torch.equal(
            torch.ops.gapo.advantage_by_id(rewards, ((ids_of(12, 3) + 7) // 1_000_003).to(kind)), expected
        )


def test_ids_offsets_and_masks_that_are_not_contiguous():
    """The kernels are given addresses: a stride that is dropped would be silent."""
    rewards, ids, keep = rewards_of(12), ids_of(12, 3), rewards_of(12, seed=1) > 0.1
    spaced = [torch.stack([tensor, tensor.flip(0)], dim=1)[:, 0] for tensor in (ids, offsets_of(5, 7), keep)]
    assert not any(tensor.is_contiguous() for tensor in spaced)
    ops = torch.ops.gapo
    found = ops.advantage_by_id(rewards, spaced[0], valid=spaced[2])
    assert torch.equal(found, ops.advantage_by_id(rewards, ids, valid=keep))
    assert torch.equal(ops.advantage_by_id(rewards, ids[:1].expand(12)), ops.advantage(rewards))
    assert torch.equal(ops.advantage_varlen(rewards, spaced[1], 7), ops.advantage_varlen(rewards, offsets_of(5, 7), 7))
    matrix = rewards_of(12 * 40).view(12, 40)
    for columns in (slice(5, 30), slice(39, 40), slice(0, 40, 2)):
        tokens, mask = matrix[:, columns], (matrix > 0.1)[:, columns]
        expected = ops.token_advantage(tokens.contiguous(), mask.contiguous(), ids)
        assert torch.equal(ops.token_advantage(tokens, mask, ids), expected)
    mask = (matrix[0] > 0).expand(12, 40)
    assert torch.equal(ops.token_advantage(matrix, mask, ids), ops.token_advantage(matrix, mask.contiguous(), ids))
