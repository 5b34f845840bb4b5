"""What is logged about groups, against counts made by hand."""

import math

import pytest
import torch

import gapo_kernels
from gapo_kernels.adapters.metrics import group_metrics

NAN = math.nan
REWARDS = torch.tensor(
    [
        [0.0, 0.0, 0.0, 1.0],  # mostly wrong: Q = 0, three of four train nothing
        [1.0, 1.0, 1.0, 0.0],  # mostly right: Q = 1
        [0.5, 0.5, 0.5, 0.5],  # constant
        [NAN, 1.0, 0.0, 0.0],
        [0.0, 0.25, 0.5, 1.0],  # Q = 0.125, a window of 0.25
    ]
)


def metrics(rewards, group_ids=None, valid=None, **settings):
    stats = gapo_kernels.advantage_stats(rewards, group_ids, valid=valid, **settings)
    return {key.removeprefix("gapo/"): value for key, value in group_metrics(rewards, stats, group_ids, valid).items()}


def test_dense():
    found = metrics(REWARDS)
    assert found["center"] == pytest.approx((0 + 1 + 0.5 + 0.125) / 4)
    squares = [1, 1, 0, 2 * 0.125**2 + 0.375**2 + 0.875**2]
    assert found["scale"] == pytest.approx(sum(math.sqrt(s / 3) for s in squares) / 4)
    assert found["window_width"] == pytest.approx(0.25 / 4)
    assert found["frac_zero_advantage"] == pytest.approx((3 + 3 + 4) / 20)
    assert found["frac_degenerate_groups"] == pytest.approx(1 / 5)
    assert found["frac_nan_groups"] == pytest.approx(1 / 5)
    last = [(r - 0.125) / (math.sqrt(squares[-1] / 3) + 1e-6) for r in (0.0, 0.25, 0.5, 1.0)]
    assert found["advantage_sum"] == pytest.approx(sum(last), rel=1e-5)
    assert found["advantage_abs_mean"] == pytest.approx((2 * math.sqrt(3) + sum(map(abs, last))) / 16, rel=1e-5)
    assert (found["groups"], found["group_size"]) == (5, 4)
    assert all(type(value) is float and math.isfinite(value) for value in found.values())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_by_id_is_the_same(dtype):
    rewards, ids = REWARDS.to(dtype), [name for name in "edcba" for _ in range(4)]
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    shuffled = metrics(rewards.flatten()[order], [ids[i] for i in order])
    assert shuffled == pytest.approx(metrics(rewards), rel=1e-12)


def test_invalid_rows_are_not_counted():
    valid = ~REWARDS.isnan()
    valid[0] = False  # no reward left
    valid[1, 1:] = False  # a single one: no comparison, and its Q = 0, S = 1 are conventions, not measurements
    found = metrics(REWARDS, valid=valid)
    assert found["frac_degenerate_groups"] == pytest.approx(3 / 5)
    assert found["frac_nan_groups"] == 0
    assert found["center"] == pytest.approx((0.5 + 0.0 + 0.125) / 3)
    assert found["frac_zero_advantage"] == pytest.approx((4 + 2) / 12)
    assert found["group_size"] == pytest.approx(12 / 5)


def test_what_has_no_mean_is_left_out():
    assert metrics(torch.empty(0, 4)) == {}
    single = metrics(torch.tensor([[0.7]]))
    assert "center" not in single
    assert single["frac_degenerate_groups"] == 1
    unscorable = metrics(torch.tensor([[NAN, NAN]]))
    assert unscorable["frac_nan_groups"] == 1
    assert "advantage_abs_mean" not in unscorable
    assert unscorable["advantage_sum"] == 0


def test_a_group_with_infinite_rewards_does_not_spoil_the_means():
    rewards = torch.tensor([[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, math.inf]])
    found = metrics(rewards)
    assert found["scale"] == pytest.approx(math.sqrt(1 / 3))
    assert all(math.isfinite(value) for value in found.values())


def test_a_pair_is_compared_and_a_single_one_is_not():
    """The scale of a single reward is 1 by convention, not by measurement."""
    found = metrics(torch.tensor([0.0, 0.5, 0.3]), [0, 0, 1])
    pair = gapo_kernels.advantage_stats(torch.tensor([0.0, 0.5]))
    assert found["scale"] == pytest.approx(pair.scale.item())
    assert found["center"] == pytest.approx(pair.center.item())
    assert found["window_width"] == pytest.approx((pair.upper - pair.lower).item())


@pytest.mark.parametrize("left_out", [math.nan, 0.5, 2.0, 0.0])
def test_what_a_row_that_is_left_out_holds_changes_nothing(left_out):
    rewards = torch.tensor([[1.0, 1.0, 1.0, left_out], [0.0, 0.25, 1.0, left_out]])
    found = metrics(rewards, valid=torch.tensor([True, True, True, False]).repeat(2, 1))
    assert found["frac_unscorable"] == 1 / 4
    assert found["frac_degenerate_groups"] == 1 / 2
    assert {**found, "frac_unscorable": 0} == pytest.approx(metrics(rewards[:, :3]))


def test_float64_rewards_are_told_apart_in_float64():
    assert metrics(torch.tensor([[1.0, 1.0 + 1e-12]], dtype=torch.float64))["frac_degenerate_groups"] == 0


def test_the_largest_row_statistic_may_be_below_zero():
    assert metrics(torch.tensor([[-4.0, -3.0, -3.0, -1.0]]))["center"] == -3


def test_a_tiny_advantage_is_not_zero():
    found = metrics(torch.tensor([0.0, 0.0, 1e-7]), scale="none")
    assert found["frac_zero_advantage"] == pytest.approx(2 / 3)
