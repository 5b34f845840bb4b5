"""GAPO for AReaL: what stands in for ``PPOActor.reward_norm``.

AReaL builds that object from its configuration and calls it with the rewards of a batch; docs/adapters/areal.md has the
lines that put this one in its place. Nothing of AReaL is imported here.
"""

from __future__ import annotations

from torch import Tensor

from gapo_kernels import ops
from gapo_kernels.adapters.metrics import group_metrics
from gapo_kernels.adapters.settings import read_settings

SECTION = "gapo"


class GroupAdvantage:
    """Rewards in, advantages out, where every ``group_size`` rewards in a row are a group, as AReaL lays them out.

    Attributes:
        metrics: the statistics of the batch that was scored last (``gapo_kernels.adapters.metrics.group_metrics``).
    """

    def __init__(
        self,
        group_size: int,
        *,
        estimator: str | None = None,
        tau: float | None = None,
        center: str | None = None,
        scale: str | None = None,
        eps: float | None = None,
    ) -> None:
        """Check the settings.

        Args:
            group_size: completions of a prompt, AReaL's ``gconfig.n_samples``.
            estimator: as in ``gapo_kernels.advantage``; None means its default, here and below.
            tau: as in ``gapo_kernels.advantage``.
            center: as in ``gapo_kernels.advantage``.
            scale: as in ``gapo_kernels.advantage``.
            eps: as in ``gapo_kernels.advantage``.

        Raises:
            ValueError: no positive ``group_size``, or a setting that the op does not take.
        """
        if not isinstance(group_size, int) or group_size < 1:
            raise ValueError(f"group_size expects a positive integer, got {group_size!r}")
        given = {"estimator": estimator, "tau": tau, "center": center, "scale": scale, "eps": eps}
        self.settings = read_settings(given, SECTION)
        self.group_size = group_size
        self.metrics: dict[str, float] = {}

    def __call__(self, rewards: Tensor) -> Tensor:
        """Score each reward against its group.

        Args:
            rewards: [batch], whole groups one after the other; a NaN says that the completion could not be scored: it
                is left out of its group and gets 0.

        Returns:
            float32 [batch], on the device of ``rewards``.

        Raises:
            ValueError: a batch that is not made of whole groups.
        """
        if rewards.dim() != 1 or rewards.numel() % self.group_size:
            raise ValueError(
                f"rewards expects whole groups of {self.group_size} in one dimension, got {list(rewards.shape)}"
            )
        groups = rewards.float().view(-1, self.group_size)
        scorable = ~groups.isnan()
        stats = ops.advantage_stats(groups, valid=scorable, **self.settings)
        self.metrics = group_metrics(groups, stats, valid=scorable)
        return stats.advantage.flatten()
