"""The five ops on Triton: arguments are brought into the kernels' form, then launched. Nothing waits for the device."""

from __future__ import annotations

import torch
from torch import Tensor

from gapo_kernels.rule import Rule
from gapo_kernels.triton_kernels.groups import Groups
from gapo_kernels.triton_kernels.launch import broadcast, score, sum_rows
from gapo_numpy.estimators import EPS, ESTIMATORS, TAU

checks = torch.ops.gapo_checks  # refuse what every backend refuses, in the same words
CENTER, SCALE = ESTIMATORS["gapo"]  # the dispatcher leaves out arguments from the first default on


def advantage(
    rewards: Tensor,
    tau: float = TAU,
    center: str = CENTER,
    scale: str = SCALE,
    eps: float = EPS,
    valid: Tensor | None = None,
) -> Tensor:
    """``torch.ops.gapo.advantage``."""
    checks.advantage(rewards, tau, center, scale, eps, valid)
    return _dense(Rule(tau, center, scale, eps), rewards, valid, None)


def advantage_varlen(
    rewards: Tensor,
    offsets: Tensor,
    max_group_size: int,
    tau: float = TAU,
    center: str = CENTER,
    scale: str = SCALE,
    eps: float = EPS,
    valid: Tensor | None = None,
) -> Tensor:
    """``torch.ops.gapo.advantage_varlen``; the offsets stay on the device, and nobody checks them.

    A group of more than max_group_size rewards may come out as NaN.
    """
    checks.advantage_varlen(rewards, offsets, max_group_size, tau, center, scale, eps, valid)
    bounds = offsets.contiguous()
    groups = Groups(bounds.numel() - 1, max_group_size, bounds[:-1], bounds[1:])
    return _score(Rule(tau, center, scale, eps), rewards, valid, groups, None)


def advantage_by_id(
    rewards: Tensor,
    group_ids: Tensor,
    tau: float = TAU,
    center: str = CENTER,
    scale: str = SCALE,
    eps: float = EPS,
    valid: Tensor | None = None,
) -> Tensor:
    """``torch.ops.gapo.advantage_by_id``."""
    checks.advantage_by_id(rewards, group_ids, tau, center, scale, eps, valid)
    return _score(Rule(tau, center, scale, eps), rewards, valid, _groups_by_id(group_ids), None)


def advantage_stats(
    rewards: Tensor,
    group_ids: Tensor | None = None,
    tau: float = TAU,
    center: str = CENTER,
    scale: str = SCALE,
    eps: float = EPS,
    valid: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """``torch.ops.gapo.advantage_stats``."""
    checks.advantage_stats(rewards, group_ids, tau, center, scale, eps, valid)
    rule = Rule(tau, center, scale, eps)
    groups_of = rewards.shape[:-1] if group_ids is None else rewards.shape
    stats = rewards.new_empty((*groups_of, 4))
    if rewards.numel() == 0:
        stats.fill_(torch.nan)  # of groups of nothing, which no kernel serves
    if group_ids is None:
        return _dense(rule, rewards, valid, stats), stats
    groups = _groups_by_id(group_ids)
    assert groups.rows is not None
    assert groups.begins is not None
    result = _score(rule, rewards, valid, groups, stats)
    return result, torch.empty_like(stats).index_copy_(0, groups.rows, stats[groups.begins])


def token_advantage(
    token_rewards: Tensor,
    mask: Tensor,
    group_ids: Tensor,
    tau: float = TAU,
    center: str = CENTER,
    scale: str = SCALE,
    eps: float = EPS,
    valid: Tensor | None = None,
) -> Tensor:
    """``torch.ops.gapo.token_advantage``."""
    checks.token_advantage(token_rewards, mask, group_ids, tau, center, scale, eps, valid)
    rewards = sum_rows(token_rewards.detach())
    values = _score(Rule(tau, center, scale, eps), rewards, valid, _groups_by_id(group_ids), None)
    result = torch.empty(token_rewards.shape, dtype=token_rewards.dtype, device=token_rewards.device)
    broadcast(values, mask, result)
    return result


def _dense(rule: Rule, rewards: Tensor, valid: Tensor | None, stats: Tensor | None) -> Tensor:
    group_size = rewards.shape[-1]
    groups = Groups(rewards.numel() // max(group_size, 1), group_size)
    return _score(rule, rewards, valid, groups, stats)


def _score(rule: Rule, rewards: Tensor, valid: Tensor | None, groups: Groups, stats: Tensor | None) -> Tensor:
    given = rewards.detach().contiguous()
    if groups.dense or groups.rows is not None:
        result = torch.empty_like(given)
    else:  # what wrong offsets or too small a max_group_size leave out is NaN, not old memory
        result = torch.full_like(given, torch.nan)
    if given.numel() > 0:
        score(rule, given, None if valid is None else valid.contiguous(), groups, result, stats)
    return result


def _groups_by_id(ids: Tensor) -> Groups:
    """Rows of equal ids side by side, each group's in the caller's order; each position knows its group's bounds."""
    ordered, rows = torch.sort(ids if ids.dtype.is_signed else ids.long(), stable=True)  # it knows few unsigned types
    begins = torch.searchsorted(ordered, ordered)
    ends = torch.searchsorted(ordered, ordered, right=True)
    return Groups(ids.numel(), ids.numel(), begins, ends, rows)
