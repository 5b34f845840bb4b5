"""GAPO for AReaL: ``install`` puts it in the place of an actor's ``reward_norm``.

AReaL builds that object from its configuration and calls it with the rewards of a batch; docs/adapters/areal.md has the
lines that reach every process's actor. Nothing of AReaL is imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gapo_kernels import ops
from gapo_kernels.adapters.metrics import group_metrics
from gapo_kernels.adapters.settings import read_settings

SECTION = "gapo"


class GroupAdvantage:
    """Rewards in, advantages out, for groups of any sizes that lie one after the other.

    Attributes:
        group_sizes: the sizes of the groups in the next batch, in their order; ``install`` sees to it.
        metrics: the statistics of the batch that was scored last (``gapo_kernels.adapters.metrics.group_metrics``).
    """

    def __init__(self, **settings: Any) -> None:
        """Check the settings.

        Args:
            **settings: any of ``estimator``, ``tau``, ``center``, ``scale``, ``eps``, as in ``gapo_kernels.advantage``.

        Raises:
            ValueError: a setting that the op does not take.
        """
        self.settings = read_settings(settings, SECTION)
        self.group_sizes: Sequence[int] = ()
        self.metrics: dict[str, float] = {}

    def __call__(self, rewards: Tensor) -> Tensor:
        """Score each reward against its group.

        Args:
            rewards: [batch]; a NaN says that the completion could not be scored: it is left out of its group and gets
                0.

        Returns:
            float32 [batch], on the device of ``rewards``.

        Raises:
            ValueError: a batch that does not consist of ``group_sizes``.
        """
        if rewards.dim() != 1 or rewards.numel() != sum(self.group_sizes):
            raise ValueError(
                f"rewards expects one dimension of groups of {list(self.group_sizes)}, got {list(rewards.shape)}: "
                "does everything call the actor's compute_advantages?"
            )
        sizes = torch.tensor(self.group_sizes, dtype=torch.int64, device=rewards.device)
        ids = torch.arange(len(sizes), device=rewards.device).repeat_interleave(sizes, output_size=len(rewards))
        rewards, scorable = rewards.float(), ~rewards.isnan()
        stats = ops.advantage_stats(rewards, ids, valid=scorable, **self.settings)
        self.metrics = group_metrics(rewards, stats, ids, scorable)
        return stats.advantage


def install(actor: Any, **settings: Any) -> GroupAdvantage:
    """Have an actor score its rewards by group.

    Args:
        actor: AReaL's ``PPOActor``. Its ``reward_norm`` is replaced, and its ``compute_advantages`` notes how many rows
            each prompt has: a rollout that failed leaves a smaller group, an agent's may bring several rows.
        **settings: any of ``estimator``, ``tau``, ``center``, ``scale``, ``eps``, as in ``gapo_kernels.advantage``.

    Returns:
        What stands in the place of ``actor.reward_norm``.

    Raises:
        ValueError: a setting that the op does not take.
    """
    norm = GroupAdvantage(**settings)
    compute_advantages = actor.compute_advantages

    def compute_by_group(data: list[dict[str, Any]]) -> Any:
        norm.group_sizes = [len(prompt["rewards"]) for prompt in data]
        return compute_advantages(data)

    actor.reward_norm, actor.compute_advantages = norm, compute_by_group
    return norm
