import math

import pytest
import torch

from gapo_trainer.config import load_config
from gapo_trainer.loss import Size, k3, token_loss, token_weights


def loss_of(ratio, advantage, **settings):
    """The loss of one token and its derivative with respect to the log-prob."""
    logp = torch.tensor([[math.log(ratio)]], requires_grad=True)
    result = token_loss(logp, torch.zeros(1, 1), torch.tensor([advantage]), load_config(**settings))
    result.loss.sum().backward()
    return result.loss.item(), logp.grad.item(), result.clipped.item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "moves"),
    [
        (1.0, 2.0, -2.0, True),
        (1.1, 2.0, -2.2, True),  # inside the clip range
        (1.5, 2.0, -2.4, False),  # better by more than clip_high: held
        (0.5, 2.0, -1.0, True),  # worse: the pessimistic bound does not hold it
        (0.5, -2.0, 1.6, False),  # less likely by more than clip_low: held
        (1.5, -2.0, 3.0, True),
    ],
)
def test_the_clipped_surrogate(ratio, advantage, loss, moves):
    value, slope, clipped = loss_of(ratio, advantage)
    assert value == pytest.approx(loss)
    assert slope == pytest.approx(-advantage * ratio if moves else 0.0)
    assert clipped is not moves


def test_clip_higher_moves_the_upper_bound_only():
    assert loss_of(1.25, 1.0, clip_high=0.28)[0] == pytest.approx(-1.25)
    assert loss_of(1.25, 1.0)[0] == pytest.approx(-1.2)
    assert loss_of(0.75, -1.0, clip_high=0.28)[0] == pytest.approx(0.8)


def test_dual_clip_bounds_the_loss_of_negative_advantages():
    assert loss_of(20.0, -1.0)[:2] == pytest.approx((20.0, 20.0))
    assert loss_of(20.0, -1.0, dual_clip=3.0)[:2] == pytest.approx((3.0, 0.0))
    assert loss_of(20.0, 0.5, dual_clip=3.0)[0] == pytest.approx(-0.6)
    assert [loss_of(ratio, -1.0, dual_clip=3.0)[2] for ratio in (0.5, 1.5, 20.0)] == [True, False, True]


def test_k3_is_unbiased_for_the_kl_divergence():
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])
    expected = (p * (p / q).log()).sum()
    assert (p * k3(p.log(), q.log())).sum() == pytest.approx(expected.item(), rel=1e-6)


def test_k3_of_nearly_equal_policies_is_no_rounding_error():
    logp = -torch.rand(1000, generator=torch.Generator().manual_seed(0)) - 1
    for gap in (1e-3, 1e-5, 1e-7):
        other = logp * (1 + gap)
        assert k3(logp, other).min() >= 0
        torch.testing.assert_close(k3(logp, other), k3(logp.double(), other.double()).float(), rtol=1e-3, atol=1e-12)


def test_kl_and_entropy_enter_with_their_coefficients():
    logp, reference, entropy = torch.tensor([[-1.0]]), torch.tensor([[-1.5]]), torch.tensor([[0.7]])
    config = load_config(kl_coef=0.1, entropy_coef=0.01)
    kl = math.exp(-0.5) + 0.5 - 1
    for terms, expected in (((reference, entropy), (0.1 * kl - 0.01 * 0.7, kl, 0.7)), ((), (0, 0, 0))):
        found = token_loss(logp, logp, torch.zeros(1), config, *terms)
        assert (found.loss.item(), found.kl.item(), found.entropy.item()) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("averaging", "expected"),
    [
        # 3 completions: one of 1 token twice, one of 3 tokens once; per-token losses 1 and 10
        ("sequence", (1 + 1 + 10) / 3),
        ("token", (1 + 1 + 30) / 5),
        ("constant", (1 + 1 + 30) / (3 * 8)),
    ],
)
def test_averaging_counts_copies_as_if_they_were_rows(averaging, expected):
    mask = torch.tensor([[True, False, False], [True, True, True]])
    losses = torch.tensor([[1.0, 99.0, 99.0], [10.0, 10.0, 10.0]])
    config = load_config(loss=averaging, max_new_tokens=8)
    weights = token_weights(mask, torch.tensor([2, 1]), Size(rows=3, tokens=5), config)
    assert (weights * losses).sum().item() == pytest.approx(expected)


def test_a_stray_token_keeps_loss_and_gradient_finite():
    logp, old = torch.tensor([[-1.0]], requires_grad=True), torch.tensor([[-200.0]])
    config = load_config(kl_coef=0.1, entropy_coef=0.1)
    result = token_loss(logp, old, torch.tensor([-1.0]), config, reference=old + 400, entropy=-logp)
    result.loss.sum().backward()
    for found in (result.loss, result.kl, logp.grad):
        assert found.isfinite().all()
    for logged in (result.clipped, result.kl, result.entropy):
        assert not logged.requires_grad
