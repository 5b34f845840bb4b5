"""NeMo-RL's estimator class, called as NeMo-RL calls its own.

The stand-ins mirror NeMo-RL at commit 7ea279ab: ``AdvEstimatorConfig`` (pydantic, extra keys allowed) and the
``compute_advantage`` of nemo_rl/algorithms/advantage_estimator.py, and its call in nemo_rl/algorithms/grpo.py, where
``prompt_ids`` are the token ids of the padded prompts.
"""

import math
from types import SimpleNamespace

import pytest
import torch

import gapo_kernels
from gapo_kernels.adapters.nemo_rl import GapoAdvantageEstimator

PROMPTS = torch.tensor([[5, 6, 0], [5, 6, 7], [5, 6, 0], [5, 6, 7], [5, 6, 0], [9, 0, 0]])
GROUPS = ["a", "b", "a", "b", "a", "c"]
REWARDS = torch.tensor([0.1, 0.5, 0.9, 1.0, 0.2, 0.7])


def compute(rewards=REWARDS, prompt_ids=PROMPTS, **config):
    estimator = GapoAdvantageEstimator(SimpleNamespace(**{"name": "gapo", "normalize_rewards": True, **config}), None)
    advantages = estimator.compute_advantage(
        prompt_ids=prompt_ids,
        rewards=rewards,
        mask=torch.zeros(len(rewards), 4),
        repeated_batch={},
        logprobs_policy=None,
        logprobs_reference=None,
    )
    assert advantages.shape == (len(rewards), 4)
    assert torch.equal(advantages, advantages[:, :1].expand(-1, 4))
    return estimator, advantages[:, 0]


def test_equal_prompts_are_a_group():
    expected = gapo_kernels.advantage_by_id(REWARDS, GROUPS)
    assert torch.equal(compute()[1], expected)
    assert torch.equal(compute(prompt_ids=torch.tensor([3, 1, 3, 1, 3, 2]))[1], expected)


def test_settings():
    expected = gapo_kernels.advantage_by_id(REWARDS, GROUPS, tau=1.0, center="hdi_mean")
    assert torch.equal(compute(gapo={"tau": 1, "center": "hdi_mean"})[1], expected)
    assert torch.equal(compute(normalize_rewards=False)[1], gapo_kernels.advantage_by_id(REWARDS, GROUPS, scale="none"))
    with pytest.raises(ValueError, match=r"^grpo\.adv_estimator\.gapo expects estimator, .*, got 'tua'$"):
        compute(gapo={"tua": 1})
    with pytest.raises(ValueError, match=r"^grpo\.adv_estimator\.gapo expects tau, which stood beside it"):
        compute(tau=0.25)  # NeMo-RL's configuration takes any key
    with pytest.raises(ValueError, match=r"scale expects none .* while grpo\.adv_estimator\.normalize_rewards is off"):
        compute(gapo={"scale": "mad"}, normalize_rewards=False)


@pytest.mark.parametrize("form", [dict, lambda config: SimpleNamespace(**config)], ids=["dict", "object"])
def test_a_configuration_of_any_release(form):
    """A dict up to release 0.7; its settings must not be passed over."""
    estimator = GapoAdvantageEstimator(form({"name": "gapo", "normalize_rewards": False, "gapo": {"tau": 1.0}}))
    assert estimator.settings == {"tau": 1.0, "scale": "none"}


def test_a_sample_that_could_not_be_scored_is_left_out_and_counted():
    rewards = REWARDS.clone()
    rewards[2] = math.nan
    estimator, advantages = compute(rewards)
    assert advantages[2] == 0
    assert torch.equal(advantages[[0, 4]], gapo_kernels.advantage(torch.tensor([0.1, 0.2])))
    assert estimator.last_metrics["gapo/frac_unscorable"] == pytest.approx(1 / 6)
    assert estimator.last_metrics["gapo/groups"] == 3


def test_without_the_switch_it_divides():
    assert GapoAdvantageEstimator({"name": "gapo"}).settings == {}
