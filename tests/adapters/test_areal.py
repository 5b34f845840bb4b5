"""What is installed into AReaL's actor, called as its engine calls it.

The stand-in mirrors ``PPOActor.compute_advantages`` of areal/trainer/ppo/actor.py and ``batched_call`` of
areal/utils/data.py at commit 4aef98d8, the same lines as in release 1.0.4: a dict for each prompt, of which one batch
is made; its rewards are shifted, scaled, clipped and handed to ``reward_norm``, on the accelerator's device.
"""

import math

import pytest
import torch

import gapo_kernels
from gapo_kernels.adapters import areal


class PPOActor:
    reward_bias, reward_scaling, reward_clip = -0.5, 10.0, 20.0
    reward_norm = None

    def compute_advantages(self, data):
        scores = self._compute_advantages({"rewards": torch.cat([prompt["rewards"] for prompt in data])})
        return scores.split([len(prompt["rewards"]) for prompt in data])

    def _compute_advantages(self, data):
        reward_score = (data["rewards"] + self.reward_bias) * self.reward_scaling
        reward_score = torch.clip(reward_score, max=self.reward_clip, min=-self.reward_clip)
        if self.reward_norm:
            reward_score = self.reward_norm(reward_score)
        return reward_score


def scores(groups, **settings):
    """The scores of each group, and what was installed."""
    actor = PPOActor()
    norm = areal.install(actor, **settings)
    assert actor.reward_norm is norm
    return norm, actor.compute_advantages([{"rewards": group} for group in groups])


def expected(group, **settings):
    return gapo_kernels.advantage((group + PPOActor.reward_bias) * PPOActor.reward_scaling, **settings)


GROUPS = [torch.tensor([0.1, 0.9, 0.2, 0.3]), torch.full((4,), 0.5)]


def test_a_prompt_is_a_group():
    norm, result = scores(GROUPS)
    assert torch.equal(result[0], expected(GROUPS[0]))
    assert torch.equal(result[1], torch.zeros(4))
    assert norm.metrics["gapo/frac_degenerate_groups"] == 0.5


def test_rollouts_that_failed_leave_smaller_groups():
    """Four prompts of three: four rows in a row would be no prompt's."""
    groups = list(torch.rand(4, 3, generator=torch.Generator().manual_seed(0)))
    for group, result in zip(groups, scores(groups)[1], strict=True):
        assert torch.equal(result, expected(group))
    groups = [torch.rand(size, generator=torch.Generator().manual_seed(size)) for size in (5, 1, 7)]
    for group, result in zip(groups, scores(groups)[1], strict=True):
        assert torch.equal(result, expected(group))


def test_a_second_batch_has_its_own_groups():
    actor = PPOActor()
    areal.install(actor)
    for sizes in ((4, 4), (2, 3, 3), ()):
        groups = [torch.rand(size) for size in sizes] or [torch.zeros(0)]
        for group, result in zip(groups, actor.compute_advantages([{"rewards": g} for g in groups]), strict=True):
            assert torch.equal(result, expected(group))


def test_settings():
    assert torch.equal(scores(GROUPS, tau=1.0, scale="none")[1][0], expected(GROUPS[0], tau=1.0, scale="none"))
    with pytest.raises(ValueError, match=r"^gapo: .*0 < tau <= 1, got 2"):
        areal.install(PPOActor(), tau=2.0)
    with pytest.raises(ValueError, match=r"^gapo expects estimator, .*, got 'group_size'$"):
        areal.install(PPOActor(), group_size=16)


def test_a_completion_that_could_not_be_scored_is_left_out():
    group = GROUPS[0].clone()
    group[1] = math.nan
    norm, result = scores([group, GROUPS[1]])
    assert result[0][1] == 0
    assert torch.equal(result[0][[0, 2, 3]], expected(group[[0, 2, 3]]))
    assert norm.metrics["gapo/frac_unscorable"] == 1 / 8


def test_rewards_of_any_dtype_come_back_as_float32():
    assert scores([group.bfloat16() for group in GROUPS])[1][0].dtype == torch.float32


def test_rows_of_no_prompt():
    """Should AReaL come to score rewards without ``compute_advantages``: nothing is guessed."""
    norm = scores(GROUPS)[0]
    with pytest.raises(ValueError, match=r"^rewards expects one dimension of groups of \[4, 4\], got \[6\]"):
        norm(torch.zeros(6))
    with pytest.raises(ValueError, match=r"got \[2, 4\]"):
        norm(torch.zeros(2, 4))
