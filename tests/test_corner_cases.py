"""The definition's corner cases, row by row, through every form of the op; fresh memory is full of NaN."""

import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from op_samples import CENTERS, DTYPES, OPS, SAMPLES, SCALES, rewards_of
from same_bits import as_tuple, assert_same_bits

import gapo_kernels
from gapo_kernels import reference

pytestmark = pytest.mark.usefixtures("poisoned_memory")

INF, NAN = math.inf, math.nan


def dense(group: torch.Tensor, **options) -> torch.Tensor:
    return torch.ops.gapo.advantage(group, **options)


def stats(group: torch.Tensor, **options) -> torch.Tensor:
    return torch.ops.gapo.advantage_stats(group, **options)[0]


def varlen(group: torch.Tensor, **options) -> torch.Tensor:
    return torch.ops.gapo.advantage_varlen(group, torch.tensor([0, len(group)]), len(group), **options)


def by_id(group: torch.Tensor, **options) -> torch.Tensor:
    return torch.ops.gapo.advantage_by_id(group, torch.full((len(group),), -3), **options)


def tokens(group: torch.Tensor, **options) -> torch.Tensor:
    """One token a row, so that the row's sum is the reward itself."""
    rows, ids = group.unsqueeze(-1), torch.zeros(len(group), dtype=torch.int64)
    return torch.ops.gapo.token_advantage(rows, torch.ones_like(rows), ids, **options).squeeze(-1)


# Each scores one group [G]: what holds for a group holds through every op.
FORMS = [dense, stats, varlen, by_id, tokens]
every_form = pytest.mark.parametrize("form", FORMS)
every_center = pytest.mark.parametrize("center", CENTERS)
every_scale = pytest.mark.parametrize("scale", SCALES)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)

# 2: the smallest group with a scale; 8: the definition's example; 17: a vector and a remainder; 4097: sorted; 32769:
# binned
SIZES = (2, 8, 17, 4097, 32_769)


@every_form
@every_center
@every_scale
def test_equal_rewards_have_advantage_zero(form, center, scale):
    for size in SIZES:
        for reward, eps in ((0.1, 1e-6), (0.1, 0.0), (-0.0, 0.0), (1e30, 0.0), (1e-42, 0.0)):
            result = form(torch.full((size,), reward), center=center, scale=scale, eps=eps)
            assert (result == 0).all(), (size, reward, eps)


@every_dtype
@every_center
@every_scale
def test_equal_rewards_have_advantage_zero_in_every_dtype(dtype, center, scale):
    result = dense(torch.full((3, 8), 0.1, dtype=dtype), center=center, scale=scale, eps=0.0)
    assert (result == 0).all()


@every_form
@every_dtype
@every_center
@every_scale
def test_a_group_of_one(form, dtype, center, scale):
    result = form(torch.tensor([3.0], dtype=dtype), center=center, scale=scale, eps=1.0)  # S + eps = 2
    assert result.tolist() == [3.0 if scale == "none" else 1.5]


def test_the_statistics_of_a_group_of_one():
    assert torch.ops.gapo.advantage_stats(torch.tensor([[3.0]]))[1].tolist() == [[0.0, 1.0, 3.0, 3.0]]


@pytest.mark.parametrize("shape", [(0,), (0, 8), (8, 0), (0, 0), (2, 0, 3), (2, 3, 0)], ids=str)
@every_dtype
def test_an_empty_tensor(shape, dtype):
    rewards = torch.empty(shape, dtype=dtype)
    result, groups = torch.ops.gapo.advantage_stats(rewards)
    for empty in (result, dense(rewards), dense(rewards, valid=torch.ones(shape, dtype=torch.bool))):
        assert (empty.shape, empty.dtype) == (rewards.shape, dtype)
    assert groups.shape == (*shape[:-1], 4)
    assert groups.isnan().all()  # groups of nothing


def test_empty_forms():
    none, no_ids = torch.empty(0), torch.empty(0, dtype=torch.int64)
    assert torch.ops.gapo.advantage_varlen(none, torch.tensor([0]), 0).shape == (0,)
    assert torch.ops.gapo.advantage_varlen(none, torch.tensor([0, 0, 0]), 0).shape == (0,)
    assert torch.ops.gapo.advantage_by_id(none, no_ids).shape == (0,)
    assert [t.shape for t in torch.ops.gapo.advantage_stats(none, no_ids)] == [(0,), (0, 4)]
    for shape in ((0, 5), (0, 0)):
        tokens = torch.empty(shape)
        assert torch.ops.gapo.token_advantage(tokens, tokens, no_ids).shape == shape
    assert torch.ops.gapo.token_advantage(torch.empty(3, 0), torch.empty(3, 0), torch.zeros(3).long()).shape == (3, 0)


@pytest.mark.parametrize("large", [9, 5000, 32_769], ids=["columns", "sorted", "binned"])
def test_empty_groups_are_passed_over(large):
    rewards = rewards_of(4 + large)
    full = torch.ops.gapo.advantage_varlen(rewards, torch.tensor([0, 4, 4 + large]), large)
    offsets = torch.tensor([0, 0, 0, 4, 4, 4 + large, 4 + large])
    assert torch.equal(torch.ops.gapo.advantage_varlen(rewards, offsets, large), full)


@every_center
@every_scale
@pytest.mark.parametrize("size", [1, 2, 7, 64, 2049, 4097], ids=str)
def test_a_nan_stays_in_its_group(center, scale, size):
    rewards = rewards_of(20, size)  # more groups than lanes of any CPU
    clean = dense(rewards, center=center, scale=scale)
    for position in {0, size // 2, size - 1}:
        for nan in (NAN, -NAN):
            spoiled = rewards.clone()
            spoiled[3, position] = nan
            result = dense(spoiled, center=center, scale=scale)
            assert result[3].isnan().all()
            others = [g for g in range(20) if g != 3]
            assert torch.equal(result[others], clean[others])


@every_form
@every_center
@every_scale
def test_a_group_with_a_nan_is_nan(form, center, scale):
    assert form(torch.tensor([0.5, NAN, 0.5, INF]), center=center, scale=scale).isnan().all()
    assert form(torch.tensor([NAN]), center=center, scale=scale).isnan().all()


def test_a_nan_group_leaves_its_padding_zero():
    rewards = torch.tensor([[NAN, 1.0], [1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    mask = torch.tensor([[1, 0], [1, 0], [1, 1], [1, 0]])
    result = torch.ops.gapo.token_advantage(rewards, mask, torch.tensor([0, 0, 1, 1]))
    assert result[:2, 0].isnan().all()
    assert (result[:2, 1] == 0).all()
    assert result[2:].isfinite().all()


@every_form
@pytest.mark.parametrize(
    ("group", "expected"),
    [
        # finite centre, infinite scale: 0 where the reward is finite, NaN where it is not
        ([0.0, 1.0, 1.5, INF], [0, 0, 0, NAN]),
        ([0.0, 1.0, 1.5, -INF], [0, 0, 0, NAN]),
        ([-INF, 0.0, 1.0, 1.5, INF, 1.0], [NAN, 0, 0, 0, NAN, 0]),
        # both windows that are all infinite have no width; the one that has is infinitely wide: its centre is infinite
        ([0.0, INF, INF], [NAN, NAN, NAN]),
        # no window has a width
        ([INF, INF], [NAN, NAN]),
        ([INF, INF, INF], [NAN, NAN, NAN]),
        ([-INF, -INF, -INF, -INF], [NAN, NAN, NAN, NAN]),
    ],
    ids=str,
)
def test_infinities(form, group, expected):
    result = form(torch.tensor(group))
    torch.testing.assert_close(result, torch.tensor(expected, dtype=torch.float32), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("size", [9, 5000, 32_769], ids=["columns", "sorted", "binned"])
def test_an_infinity_is_the_largest_value(size):
    group = torch.linspace(0, 1, size)
    group[size // 3] = INF
    result, row = torch.ops.gapo.advantage_stats(group, scale="none")
    center, scale, lower, upper = row.tolist()
    assert 0 <= lower <= center <= upper <= 1
    assert scale == 1
    assert result[size // 3] == INF
    finite = group.isfinite()
    assert torch.equal(result[finite], (group[finite].double() - center).float())


@every_center
@every_scale
def test_infinities_are_those_of_the_reference(center, scale):
    generator = torch.Generator().manual_seed(0)
    for size in (1, 2, 3, 4, 9, 33, 2100):
        group = torch.randn(size, generator=generator)
        for sign in (INF, -INF):
            for count in {1, size // 2, size}:
                spoiled = group.clone()
                spoiled[torch.randperm(size, generator=generator)[:count]] = sign
                expected = reference.advantage(spoiled.numpy(), center=center, scale=scale)[0]
                result = dense(spoiled, center=center, scale=scale)
                np.testing.assert_allclose(result, expected, rtol=2e-6, atol=2e-6, err_msg=f"{size} {sign} {count}")


@every_form
@every_dtype
def test_invalid_rows_are_left_out(form, dtype):
    for size in (4, 17, 2500):
        group = rewards_of(size, dtype=dtype)
        keep = torch.rand(size, generator=torch.Generator().manual_seed(size)) < 0.7
        result = form(group, valid=keep)
        assert torch.equal(result[keep], form(group[keep]))
        assert (result[~keep] == 0).all()


@every_form
@pytest.mark.parametrize("byte", [2, 128, 255])
def test_any_byte_but_zero_is_valid(form, byte):
    for size in (5, 2500):
        group, keep = rewards_of(size), torch.arange(size) % 3 != 1
        viewed = (keep.to(torch.uint8) * byte).view(torch.bool)
        assert torch.equal(form(group, valid=viewed), form(group, valid=keep))


@every_form
def test_an_invalid_row_may_hold_anything(form):
    group, keep = torch.tensor([0.5, 1.0, 0.7, 0.2]), torch.tensor([True, True, False, True])
    expected = form(group, valid=keep)
    for unscorable in (NAN, INF, -INF):
        group[2] = unscorable
        assert torch.equal(form(group, valid=keep), expected)


@every_form
@every_center
@every_scale
def test_groups_of_one_valid_row_or_none(form, center, scale):
    group = torch.tensor([0.5, 2.0, NAN])
    assert (form(group, center=center, scale=scale, valid=torch.zeros(3, dtype=torch.bool)) == 0).all()
    result = form(group, center=center, scale=scale, valid=torch.tensor([False, True, False]))
    assert result.tolist() == [0.0, 2.0 if scale == "none" else pytest.approx(2 / (1 + 1e-6), rel=1e-7), 0.0]


def test_the_statistics_without_a_valid_row_are_nan():
    keep = torch.tensor([[True, True], [False, False]])
    assert torch.ops.gapo.advantage_stats(torch.ones(2, 2), valid=keep)[1][1].isnan().all()
    ids = torch.tensor([5, 5, 9, 9])
    by_row = torch.ops.gapo.advantage_stats(torch.ones(4), ids, valid=keep.flatten())[1]
    assert by_row[:2].tolist() == [[1.0, 0.0, 1.0, 1.0]] * 2
    assert by_row[2:].isnan().all()


@every_center
@every_scale
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_types_are_computed_in_float32_and_rounded_once(dtype, center, scale):
    options = {"center": center, "scale": scale}
    for form in FORMS:
        group = rewards_of(50, dtype=dtype)
        result = form(group, **options)
        assert result.dtype == dtype
        assert torch.equal(result, form(group.float(), **options).to(dtype))
    rewards, ids = rewards_of(50, dtype=dtype), torch.arange(50) % 7
    result, rows = torch.ops.gapo.advantage_stats(rewards, ids, **options)
    expected, expected_rows = torch.ops.gapo.advantage_stats(rewards.float(), ids, **options)
    assert torch.equal(result, expected.to(dtype))
    assert torch.equal(rows, expected_rows.to(dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_tokens_of_half_types_are_summed_exactly(dtype):
    # 1 + 300 * 2^-11 in either type's own additions stays 1
    tokens = torch.full((2, 301), 2.0**-11, dtype=dtype)
    tokens[:, 0] = torch.tensor([1.0, 3.0])
    result = torch.ops.gapo.token_advantage(tokens, torch.ones_like(tokens), torch.tensor([0, 1]), scale="none")
    expected = torch.tensor([1.0, 3.0]) + 300 * 2.0**-11
    assert torch.equal(result, expected.to(dtype).unsqueeze(-1).expand(2, 301))


@every_form
def test_float64_is_computed_in_float64(form):
    # Steps far below float32's at 1: in float32 the group would be constant, and its advantages 0.
    group = 1.0 + torch.tensor([0.0, 1.0, 2.0, 7.0], dtype=torch.float64) * 2.0**-40
    result = form(group, eps=0.0, center="median", scale="none")
    assert result.dtype == torch.float64
    assert (result * 2.0**40).tolist() == [-1.5, -0.5, 0.5, 5.5]


def test_any_byte_but_0_is_true_in_a_bool_mask():
    tokens, ids = rewards_of(4, 70), torch.tensor([0, 0, 1, 1])
    kept = torch.arange(4 * 70).view(4, 70) % 3 > 0
    for byte in (1, 2, 255):
        mask = (kept.to(torch.uint8) * byte).view(torch.bool)
        result = torch.ops.gapo.token_advantage(tokens, mask, ids)
        assert torch.equal(result, torch.ops.gapo.token_advantage(tokens, kept.long(), ids))


@pytest.mark.parametrize("kind", [torch.bool, torch.int8, torch.int64, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_columns_of_larger_matrices_are_read_where_they_lie(dtype, kind):
    """As frameworks pass them: the mask of the answers is a part of that of all tokens."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(30, 150, generator=generator).to(dtype)
    mask = (torch.randn(30, 150, generator=generator).abs() * 2).to(kind)
    ids = torch.arange(30) // 5
    for columns in (slice(0, 100), slice(50, 150), slice(7, 8), slice(3, 3), slice(1, 150, 3)):
        for part in (mask[:, columns], mask[:1, columns].expand(30, -1)):
            given = tokens[:, columns]
            expected = torch.ops.gapo.token_advantage(given.contiguous(), part.contiguous(), ids)
            result = torch.ops.gapo.token_advantage(given, part, ids)
            assert torch.equal(result, expected)
            assert result.is_contiguous()


def test_a_uint64_mask_is_never_negative():
    mask = torch.full((2, 1), 2**64 - 1, dtype=torch.uint64)
    result = torch.ops.gapo.token_advantage(torch.tensor([[1.0], [2.0]]), mask, torch.tensor([0, 0]), scale="none")
    assert torch.equal(result, torch.tensor([[0.0], [2.0**64]]))


def test_a_float64_mask_keeps_its_digits():
    tokens, mask = torch.ones(1, 2, dtype=torch.float64), torch.tensor([[0.1, 1e-60]], dtype=torch.float64)
    result = torch.ops.gapo.token_advantage(tokens, mask, torch.tensor([0]), scale="none")
    assert torch.equal(result, 2 * mask)


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_non_contiguous_inputs(sample):
    def spread(value):
        if not isinstance(value, torch.Tensor) or value.dim() == 0:
            return value
        return torch.stack([value, torch.zeros_like(value)], dim=-1)[..., 0]

    args = tuple(spread(value) for value in sample.args)
    options = {name: spread(value) for name, value in sample.options.items()}
    result = sample.packet(*args, **options)
    assert all(tensor.is_contiguous() for tensor in as_tuple(result))
    assert_same_bits(result, sample.call())


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_the_inputs_are_left_as_they_are(sample):
    tensors = [value for value in (*sample.args, *sample.options.values()) if isinstance(value, torch.Tensor)]
    before = [tensor.clone() for tensor in tensors]
    sample.call()
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(tensors, before, strict=True))


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_no_gradient(sample):
    tracked = sample.args[0].detach().clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = sample.packet(tracked, *sample.args[1:], **sample.options)
    for tensor in as_tuple(result):
        assert not tensor.requires_grad
        assert tensor.grad_fn is None
    assert_same_bits(result, sample.call())


@pytest.mark.parametrize("op", OPS)
def test_no_gradient_through_the_python_functions(op):
    sample = next(sample for sample in SAMPLES if sample.op == op)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = getattr(gapo_kernels, op)(sample.args[0].clone().requires_grad_(), *sample.args[1:])
    for tensor in as_tuple(result):
        assert not tensor.requires_grad


def test_a_loss_sees_the_advantage_as_a_constant():
    logits = torch.tensor([0.3, -0.2, 1.1, 0.4], requires_grad=True)
    (dense(logits) * logits).sum().backward()
    assert torch.equal(logits.grad, dense(logits))


def test_inside_function_transforms():
    rewards = rewards_of(3, 8)
    assert torch.equal(torch.func.grad(lambda group: (dense(group) * group).sum())(rewards[0]), dense(rewards[0]))
    assert torch.equal(torch.vmap(dense)(rewards), dense(rewards))


@every_form
@pytest.mark.parametrize("size", [4, 64, 2050, 40000], ids=str)
def test_of_equal_windows_the_leftmost_wins(form, size):
    # Evenly spaced: all windows have one width, exactly; the first k = size / 2 values are the leftmost.
    group = torch.arange(size, dtype=torch.float32)[torch.randperm(size, generator=torch.Generator().manual_seed(1))]
    assert torch.equal(form(group, scale="none"), group - (size / 2 - 1) / 2)


@pytest.mark.parametrize("center", ["hdi_median", "hdi_mean"])
def test_of_two_equal_clusters_the_left_one_wins(center):
    for size in (8, 4000):
        left = torch.arange(size // 2, dtype=torch.float32)
        group = torch.cat([left + 10 * size, left])
        row = torch.ops.gapo.advantage_stats(group, center=center)[1]
        assert row[[0, 2, 3]].tolist() == [(size / 2 - 1) / 2, 0.0, size / 2 - 1]


def test_binary_rewards_take_the_value_of_the_majority_and_of_ties_the_lower():
    for ones, expected in ((3, 0.0), (4, 0.0), (5, 1.0)):
        group = torch.tensor([1.0] * ones + [0.0] * (8 - ones))
        assert torch.ops.gapo.advantage_stats(group)[1][[0, 2, 3]].tolist() == [expected] * 3


def leftmost_narrowest(group: torch.Tensor, k: int, precision: torch.dtype) -> int:
    ordered = group.sort().values.to(precision)
    return int((ordered[k - 1 :] - ordered[: len(ordered) - k + 1]).argmin())


@pytest.mark.parametrize("repeat", [1, 600, 4100], ids=["columns", "sorted", "binned"])
def test_widths_are_compared_in_float64(repeat):
    """On a grid of tenths float32 makes widths equal that float64, from the same stored rewards, tells apart."""
    differing = 0
    for first, size in itertools.product(range(-20, 20), (4, 5, 8, 11, 16)):
        group = (torch.arange(first, first + size).double() / 10).float().repeat_interleave(repeat)
        k = reference.window_size(len(group), 0.5)
        start = leftmost_narrowest(group, k, torch.float64)
        differing += start != leftmost_narrowest(group, k, torch.float32)
        row = torch.ops.gapo.advantage_stats(group)[1]
        window = group.sort().values[start : start + k]
        assert row[2:].tolist() == [window[0].item(), window[-1].item()]
        middle = (window[(k - 1) // 2].double() + window[k // 2].double()) / 2
        assert row[0].item() == middle.float().item()
    assert differing > 10  # otherwise this would show nothing


@pytest.mark.parametrize("size", [4, 1200, 8000, 40_000], ids=str)
def test_widths_beyond_float32(size):
    group = torch.tensor([-3e38, -2e38, 2.5e38, 2.6e38]).repeat_interleave(size // 4)  # the first window: 5.5e38 wide
    row = torch.ops.gapo.advantage_stats(group.flip(0), tau=0.75)[1]
    assert torch.equal(row[[0, 2, 3]], group[[size // 2, size // 4, -1]])


@pytest.mark.parametrize(
    ("tau", "size", "k"),
    [
        (0.55, 20, 11),
        (0.5, 7, 4),
        (1e-6, 8, 1),
        (1.0, 8, 8),
        (0.1, 30, 3),
        (1 / 3, 9, 3),
        (0.7, 10, 7),
        (0.29, 100, 29),
    ],
)
def test_the_window_holds_the_share(tau, size, k):
    """0.1 * 30, 0.29 * 100 and 0.55 * 20 are a little off an integer in float64."""
    group = torch.arange(size, dtype=torch.float64)
    row = torch.ops.gapo.advantage_stats(group, tau=tau)[1]
    assert row[2:].tolist() == [0, k - 1]
    assert torch.ops.gapo.advantage_stats(group, tau=tau, center="quantile")[1][0] == k - 1
