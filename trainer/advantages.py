"""Advantages of a rollout: always over the whole group, wherever its completions are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

import gapo_kernels
from gapo_kernels import distributed
from gapo_trainer.config import Config
from gapo_trainer.episodes import Episodes


def group_advantages(episodes: Sequence[Episodes], config: Config) -> list[Tensor]:
    """The advantages of every group, by the configured estimator.

    Args:
        episodes: the rollout; where ranks share groups, this rank's rows of each.
        config: ``estimator`` and ``tau`` are read.

    Returns:
        float32 [rows] for each group. A completion that could not be scored is left out of its group's statistics and
        gets 0.
    """
    rewards = torch.stack([e.rewards for e in episodes])
    valid = ~rewards.isnan()
    if not dist.is_initialized():
        advantages = gapo_kernels.advantage(rewards, estimator=config.estimator, tau=config.tau, valid=valid)
        return list(advantages.unbind())
    ids = torch.arange(len(episodes)).repeat_interleave(rewards.shape[1])
    flat = distributed.advantage(
        rewards.flatten(), ids, estimator=config.estimator, tau=config.tau, valid=valid.flatten()
    )
    return list(flat.view_as(rewards).unbind())
