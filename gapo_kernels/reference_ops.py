"""The reference as a backend: ``GAPO_BACKEND=reference`` serves every device with it, slowly and by the definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gapo_kernels import reference
from gapo_kernels.precision import precision_of
from gapo_numpy.estimators import EPS, ESTIMATORS, TAU

checks = torch.ops.gapo_checks  # refuse what every backend refuses, in the same words
DEFAULTS = (TAU, *ESTIMATORS["gapo"], EPS, None)


def _options(given: tuple[Any, ...]) -> tuple[Any, ...]:
    """The schema's trailing arguments, which the dispatcher leaves out from the first default on."""
    return *given, *DEFAULTS[len(given) :]


def _compute(
    rewards: Tensor, ids: np.ndarray | None, tau: float, center: str, scale: str, eps: float, valid: Tensor | None
) -> tuple[Tensor, Tensor]:
    advantage, stats = reference.advantage(
        rewards.detach().to("cpu", precision_of(rewards.dtype)).numpy(), ids,
        tau=tau, center=center, scale=scale, eps=eps, valid=None if valid is None else valid.cpu().numpy(),
    )  # fmt: skip
    return (
        torch.from_numpy(advantage).to(rewards.device, rewards.dtype),
        torch.from_numpy(stats).to(rewards.device, rewards.dtype),
    )


def _advantage(rewards: Tensor, *given: Any) -> Tensor:
    options = _options(given)
    checks.advantage(rewards, *options)
    return _compute(rewards, None, *options)[0]


def _advantage_varlen(rewards: Tensor, offsets: Tensor, max_group_size: int, *given: Any) -> Tensor:
    options = _options(given)
    checks.advantage_varlen(rewards, offsets, max_group_size, *options)
    bounds = offsets.cpu()
    checks.offsets(bounds, rewards.numel(), max_group_size)
    ids = np.repeat(np.arange(bounds.numel() - 1), bounds.diff().numpy())
    return _compute(rewards, ids, *options)[0]


def _advantage_by_id(rewards: Tensor, group_ids: Tensor, *given: Any) -> Tensor:
    options = _options(given)
    checks.advantage_by_id(rewards, group_ids, *options)
    return _compute(rewards, group_ids.cpu().numpy(), *options)[0]


def _advantage_stats(rewards: Tensor, group_ids: Tensor | None = None, *given: Any) -> tuple[Tensor, Tensor]:
    options = _options(given)
    checks.advantage_stats(rewards, group_ids, *options)
    return _compute(rewards, None if group_ids is None else group_ids.cpu().numpy(), *options)


def _token_advantage(token_rewards: Tensor, mask: Tensor, group_ids: Tensor, *given: Any) -> Tensor:
    options = _options(given)
    checks.token_advantage(token_rewards, mask, group_ids, *options)
    rewards = token_rewards.double().sum(-1).to(precision_of(token_rewards.dtype))
    rows = _compute(rewards, group_ids.cpu().numpy(), *options)[0].unsqueeze(-1)
    return torch.where(mask == 0, 0.0, rows * mask).to(token_rewards.dtype)


def register(library: torch.library.Library) -> None:
    """Makes the reference the implementation of every op on every device."""
    for function in (_advantage, _advantage_varlen, _advantage_by_id, _advantage_stats, _token_advantage):
        library.impl(function.__name__.removeprefix("_"), function, "CompositeExplicitAutograd")
