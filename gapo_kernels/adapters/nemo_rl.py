"""GAPO for NeMo-RL: the class that its ``_create_advantage_estimator`` has to return for the name ``gapo``.

NeMo-RL chooses estimators in an if/elif and has no registry: docs/adapters/nemo_rl.md has the two lines to add. Nothing
of NeMo-RL is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gapo_kernels import ops
from gapo_kernels.adapters.metrics import group_metrics
from gapo_kernels.adapters.settings import Settings, read_settings, without_division

SECTION = "grpo.adv_estimator.gapo"
SWITCH = "grpo.adv_estimator.normalize_rewards"


class GapoAdvantageEstimator:
    """Advantages about the adaptive Q, as ``GRPOAdvantageEstimator`` about the mean.

    Attributes:
        last_metrics: the statistics of the batch that was scored last
            (``gapo_kernels.adapters.metrics.group_metrics``); NeMo-RL's asynchronous training logs them by this name.
    """

    def __init__(self, estimator_config: Any, loss_config: object = None) -> None:
        """Read the settings.

        Args:
            estimator_config: NeMo-RL's ``grpo.adv_estimator``, which is a dict up to release 0.7. Read are
                ``gapo.{estimator,tau,center,scale,eps}`` and ``normalize_rewards``, whose False means the scale
                ``none``.
            loss_config: not read; NeMo-RL's estimators all take it.

        Raises:
            ValueError: a setting that the op does not take, or one outside ``gapo``.
        """
        misplaced = [name for name in Settings.__annotations__ if _entry(estimator_config, name, None) is not None]
        if misplaced:  # NeMo-RL lets any key pass
            raise ValueError(f"{SECTION} expects {', '.join(misplaced)}, which stood beside it, in grpo.adv_estimator")
        settings = read_settings(_entry(estimator_config, "gapo", None), SECTION)
        divide = _entry(estimator_config, "normalize_rewards", True)
        self.settings = without_division(settings, divide, SECTION, SWITCH)
        self.last_metrics: dict[str, float] = {}

    def compute_advantage(self, prompt_ids: Tensor, rewards: Tensor, mask: Tensor, **unused: object) -> Tensor:
        """Score each sample against those of the same prompt.

        Args:
            prompt_ids: [batch, prompt], token ids of the padded prompts: equal rows are a group; or [batch] integers.
            rewards: [batch]; a NaN says that the sample could not be scored: it is left out and gets 0.
            mask: [batch, sequence], for its shape: NeMo-RL masks the loss itself.
            **unused: what NeMo-RL passes to other estimators.

        Returns:
            [batch, sequence], each row its sample's advantage, of the dtype and device of ``rewards``.
        """
        ids = prompt_ids.unique(dim=0, return_inverse=True)[1].to(rewards.device)
        scorable = ~rewards.isnan()
        stats = ops.advantage_stats(rewards, ids, valid=scorable, **self.settings)
        self.last_metrics = group_metrics(rewards, stats, ids, scorable)
        return stats.advantage.unsqueeze(-1).expand(mask.shape)


def _entry(config: Any, name: str, default: object) -> Any:
    return config.get(name, default) if isinstance(config, Mapping) else getattr(config, name, default)
