"""GAPO in SkyRL: ``gapo_kernels.adapters.skyrl.register()`` before ``validate_cfg``, then ``advantage_estimator=gapo``.

The registered function needs nothing of SkyRL; SkyRL hands it to its Ray processes, each of which needs this package.
How to use it: docs/adapters/skyrl.md.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from gapo_kernels import ops
from gapo_kernels.adapters.metrics import group_metrics
from gapo_kernels.adapters.rows import are_scorable, as_valid, sum_rows
from gapo_kernels.adapters.settings import Settings, read_settings, without_division
from gapo_kernels.ids import as_id_tensor

SECTION = "gapo"
SWITCH = "trainer.algorithm.grpo_norm_by_std"


def advantage(
    token_level_rewards: Tensor,
    response_mask: Tensor,
    index: Sequence[object],
    grpo_norm_by_std: bool = True,
    *,
    settings: Settings | None = None,
    **unused: object,
) -> tuple[Tensor, Tensor]:
    """The advantage step as SkyRL's ``compute_advantages_and_returns`` calls it.

    Args:
        token_level_rewards: [batch, response]; a row's reward is the sum of its entries, and a NaN says that it could
            not be scored: the row is left out of its group and gets 0.
        response_mask: [batch, response], of any dtype.
        index: [batch], the uid of each row's prompt, a list or an array, in any order. SkyRL's padding rows come as
            groups of one and stay finite.
        grpo_norm_by_std: SkyRL's own switch; False means the scale ``none``.
        settings: what ``register`` read, or None for GAPO's defaults.
        **unused: what SkyRL passes to other estimators: ``values``, ``gamma``, ``lambd``, ``config``.

    Returns:
        (advantages, returns), one and the same tensor [batch, response], as with SkyRL's own GRPO.
    """
    chosen = without_division(settings or {}, grpo_norm_by_std, SECTION, SWITCH)
    valid = as_valid(are_scorable(token_level_rewards))
    advantages = ops.token_advantage(token_level_rewards, response_mask, index, valid=valid, **chosen)
    return advantages, advantages


def metrics(
    token_level_rewards: Tensor,
    index: Sequence[object],
    grpo_norm_by_std: bool = True,
    *,
    settings: Settings | None = None,
) -> dict[str, float]:
    """The statistics of a batch, for ``all_metrics`` of a trainer that overrides ``compute_advantages_and_returns``.

    Args:
        token_level_rewards: [batch, response], without the padding rows (``metadata["pad_size"]`` at the end).
        index: [batch], their uids.
        grpo_norm_by_std: as in ``advantage``.
        settings: as in ``advantage``.

    Returns:
        What ``gapo_kernels.adapters.metrics.group_metrics`` says.
    """
    rewards, valid = sum_rows(token_level_rewards), are_scorable(token_level_rewards)
    chosen = without_division(settings or {}, grpo_norm_by_std, SECTION, SWITCH)
    ids = as_id_tensor(index, rewards.device)
    stats = ops.advantage_stats(rewards, ids, valid=valid, **chosen)
    return group_metrics(rewards, stats, ids, valid)


def register(name: str = "gapo", **settings: Any) -> None:
    """Make GAPO known to SkyRL's registry; again under the same name replaces it.

    Args:
        name: what ``trainer.algorithm.advantage_estimator`` calls it.
        **settings: any of ``estimator``, ``tau``, ``center``, ``scale``, ``eps``.

    Raises:
        ValueError: a setting that the op does not take, or a name that is somebody else's.
    """
    from skyrl.backends.skyrl_train.utils.ppo_utils import AdvantageEstimatorRegistry as Registry

    estimator = functools.partial(advantage, settings=read_settings(settings, SECTION))
    if name in Registry.list_available():
        registered = Registry.get(name)
        if getattr(registered, "func", None) is not advantage:
            raise ValueError(f"name expects one that SkyRL does not know yet, got {name!r}")
        Registry.unregister(name)
    Registry.register(name, estimator)
