"""GAPO in verl: importing this module registers the advantage estimators ``gapo`` and ``gapo_mean``.

verl from 0.9 on imports it itself, through the entry-point group ``verl.plugins``; for an older one set
``VERL_USE_EXTERNAL_MODULES=gapo_kernels.adapters.verl``. Then ``algorithm.adv_estimator=gapo`` is all. How to use it,
and what it changes: docs/adapters/verl.md.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, register_adv_est

from gapo_kernels import ops
from gapo_kernels.adapters import verl_hooks
from gapo_kernels.adapters.metrics import group_metrics
from gapo_kernels.adapters.rows import are_scorable, as_valid, sum_rows
from gapo_kernels.adapters.settings import Settings, read_settings, without_division
from gapo_kernels.ids import as_id_tensor

SECTION = "algorithm.gapo"
SWITCH = "algorithm.norm_adv_by_std_in_grpo"


class _Batch(NamedTuple):
    """What the last call scored, kept until verl collects its metrics."""

    token_rewards: Tensor  # [bs, L], verl's own: the sum is taken where verl asks for metrics
    ids: Tensor  # [bs]
    scorable: Tensor  # bool [bs]
    trained: Tensor  # bool [bs]: has a token to train, as verl's padding rows have not
    settings: Settings


_last: _Batch | None = None


def gapo(
    token_level_rewards: Tensor,
    response_mask: Tensor,
    index: np.ndarray | None = None,
    config: Mapping[str, Any] | None = None,
    **unused: object,
) -> tuple[Tensor, Tensor]:
    """The advantage step of verl, by the fused op; verl calls it where ``algorithm.adv_estimator=gapo``.

    Args:
        token_level_rewards: [bs, L]; a row's reward is the sum of its entries, and a NaN says that it could not be
            scored: the row is left out of its group and gets 0.
        response_mask: [bs, L].
        index: [bs], the uid of each row's prompt; in any order, groups of any sizes.
        config: verl's ``algorithm`` section as a dict, an OmegaConf node or an ``AlgoConfig``, or None. Read are
            ``gapo.{estimator,tau,center,scale,eps}`` and ``norm_adv_by_std_in_grpo``, whose False means the scale
            ``none``. None, from a trainer that passes no section, means the defaults, with a warning.
        **unused: what verl passes to other estimators, such as ``reward_baselines``.

    Returns:
        (advantages, returns), one and the same tensor [bs, L], as with verl's own GRPO.

    Raises:
        ValueError: no index, or a setting that the op does not take.
    """
    return _score("gapo", token_level_rewards, response_mask, index, config)


def gapo_mean(
    token_level_rewards: Tensor,
    response_mask: Tensor,
    index: np.ndarray | None = None,
    config: Mapping[str, Any] | None = None,
    **unused: object,
) -> tuple[Tensor, Tensor]:
    """``gapo`` with the window's mean as the centre."""
    return _score("gapo_mean", token_level_rewards, response_mask, index, config)


ESTIMATORS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {"gapo": gapo, "gapo_mean": gapo_mean}


def _score(
    estimator: str, token_rewards: Tensor, mask: Tensor, index: np.ndarray | None, config: Mapping[str, Any] | None
) -> tuple[Tensor, Tensor]:
    global _last
    if index is None:
        raise ValueError("index expects the uid of each row (non_tensor_batch['uid']), got None")
    settings = _settings(estimator, config)
    ids = as_id_tensor(index, token_rewards.device)
    scorable = are_scorable(token_rewards)
    advantages = ops.token_advantage(token_rewards, mask, ids, valid=as_valid(scorable), **settings)
    _last = _Batch(token_rewards, ids, scorable, _has_tokens(mask), settings)
    return advantages, advantages


def _has_tokens(mask: Tensor) -> Tensor:
    """Whether a row has a token to train, bool [bs]; for most the first column tells, and the mask is large to read."""
    found = mask[:, 0] != 0 if mask.shape[1] else mask.any(-1)
    others = ~found
    if others.any():
        found[others] = mask[others].any(-1)
    return found


def _settings(estimator: str, config: Mapping[str, Any] | None) -> Settings:
    """What the op is called with, out of any of the forms in which verl's configuration arrives."""
    if config is None:
        _warn_of_no_configuration()
        return {"estimator": estimator}
    settings: Settings = {"estimator": estimator, **read_settings(config.get("gapo"), SECTION)}
    return without_division(settings, config.get("norm_adv_by_std_in_grpo"), SECTION, SWITCH)


@functools.cache  # once, whatever the filters of warnings are: it would come with each step
def _warn_of_no_configuration() -> None:
    warnings.warn(
        f"verl's trainer passed no algorithm section: {SECTION} and {SWITCH.rpartition('.')[2]} are not read",
        stacklevel=2,
    )


def last_metrics() -> dict[str, float]:
    """The statistics of the batch that was scored last, once; verl logs them by itself (see ``verl_hooks``).

    Returns:
        What ``metrics.group_metrics`` says about the groups that have a token to train; nothing where no batch was
        scored since the last call.
    """
    global _last
    if _last is None:
        return {}
    batch, _last = _last, None
    _, group = batch.ids.unique(return_inverse=True)
    is_trained = torch.zeros_like(group, dtype=torch.bool).index_fill_(0, group[batch.trained], True)
    kept = is_trained[group]  # a row that rejection sampling masks has had its part in its group's statistics
    rewards, ids, valid = (rows[kept] for rows in (sum_rows(batch.token_rewards), batch.ids, batch.scorable))
    stats = ops.advantage_stats(rewards, ids, valid=valid, **batch.settings)
    return group_metrics(rewards, stats, ids, valid)


def register() -> None:
    """Make the estimators known to verl; calling it again does no harm.

    A name that somebody else has taken is left to them, with a warning: an error here verl would only log at DEBUG.
    """
    for name, function in ESTIMATORS.items():
        other = ADV_ESTIMATOR_REGISTRY.get(name)
        if other is not None and other.__module__ != __name__:
            called = getattr(other, "__qualname__", other)  # a partial has none
            warnings.warn(
                f"algorithm.adv_estimator={name} is {other.__module__}.{called}, which was registered first:"
                " gapo_kernels' own is not in use",
                stacklevel=2,
            )
            continue
        ADV_ESTIMATOR_REGISTRY.pop(name, None)  # of an earlier import of this module
        register_adv_est(name)(function)


register()
verl_hooks.install(frozenset(ESTIMATORS), last_metrics)
