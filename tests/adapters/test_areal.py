"""AReaL's reward_norm, called as its PPOActor calls it.

The stand-in mirrors ``PPOActor._compute_advantages`` of areal/trainer/ppo/actor.py at commit 4aef98d8, the same lines
as in release 1.0.4: the reward is shifted, scaled, clipped and handed to ``reward_norm``, on the accelerator's device.
"""

import math

import pytest
import torch

import gapo_kernels
from gapo_kernels.adapters.areal import GroupAdvantage


class PPOActor:
    reward_bias, reward_scaling, reward_clip = -0.5, 10.0, 20.0

    def scores(self, data):
        reward_score = (data["rewards"] + self.reward_bias) * self.reward_scaling
        reward_score = torch.clip(reward_score, max=self.reward_clip, min=-self.reward_clip)
        if self.reward_norm:
            reward_score = self.reward_norm(reward_score)
        return reward_score


def scores(rewards, group_size=4, **settings):
    actor = PPOActor()
    actor.reward_norm = GroupAdvantage(group_size, **settings)
    return actor, actor.scores({"rewards": rewards})


REWARDS = torch.tensor([0.1, 0.9, 0.2, 0.3, 0.5, 0.5, 0.5, 0.5])


def test_groups_in_a_row():
    actor, result = scores(REWARDS)
    expected = gapo_kernels.advantage(((REWARDS - 0.5) * 10).view(2, 4)).flatten()
    assert torch.equal(result, expected)
    assert torch.equal(result[4:], torch.zeros(4))
    assert actor.reward_norm.metrics["gapo/frac_degenerate_groups"] == 0.5


def test_settings():
    expected = gapo_kernels.advantage(((REWARDS - 0.5) * 10).view(2, 4), tau=1.0, scale="none").flatten()
    assert torch.equal(scores(REWARDS, tau=1.0, scale="none")[1], expected)
    with pytest.raises(ValueError, match=r"^gapo: .*0 < tau <= 1, got 2"):
        GroupAdvantage(4, tau=2.0)


@pytest.mark.parametrize("group_size", [0, -4, 4.0, None])
def test_a_wrong_group_size(group_size):
    with pytest.raises(ValueError, match=rf"^group_size expects a positive integer, got {group_size}$"):
        GroupAdvantage(group_size)


def test_a_completion_that_could_not_be_scored_is_left_out():
    rewards = REWARDS.clone()
    rewards[1] = math.nan
    actor, result = scores(rewards)
    assert result[1] == 0
    assert result.isfinite().all()
    assert actor.reward_norm.metrics["gapo/frac_unscorable"] == 1 / 8


def test_rewards_of_any_dtype_come_back_as_float32():
    assert scores(REWARDS.bfloat16())[1].dtype == torch.float32


@pytest.mark.parametrize("shape", [(6,), (2, 4)])
def test_a_batch_of_broken_groups(shape):
    with pytest.raises(ValueError, match=r"^rewards expects whole groups of 4 in one dimension, got \["):
        scores(torch.zeros(shape))
