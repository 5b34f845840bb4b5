"""Scores long dense groups: sorts them, then launches the steps of ``shared_groups.py``."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from gapo_kernels.rule import Rule
from gapo_kernels.triton_kernels import tiers
from gapo_kernels.triton_kernels.memory_sort import sort_groups
from gapo_kernels.triton_kernels.options import options, target_of
from gapo_kernels.triton_kernels.shared_groups import FINDINGS, shared_groups, steps_of

ROCM_SEGMENTED = 128  # from so many groups on torch sorts them by one call of rocPRIM's segmented sort


def score_shared(
    rule: Rule, rewards: Tensor, valid: Tensor | None, group_size: int, advantage: Tensor, stats: Tensor | None
) -> None:
    """Fills ``advantage`` and ``stats``; rewards that are not valid are +inf."""
    groups, span = rewards.numel() // group_size, tiers.span_of(group_size)
    spans = triton.cdiv(group_size, span)
    counts = None if valid is None else valid.view(groups, group_size).sum(-1)
    findings = torch.empty(FINDINGS, groups, spans, dtype=torch.float64, device=rewards.device)
    tensors = (_sorted(rewards.view(groups, group_size)), rewards, valid, counts, advantage, stats, findings)
    numbers = (groups, group_size, span, rule.tau, rule.eps)
    compiled = options(tiers.LONG_RUNS.threads, target_of(rewards.device), (valid, stats))
    for step, center, scale in steps_of(rule.center, rule.scale, stats is not None):
        tile = (tiers.MOST_SPANS, tiers.LONG_CHUNK)
        shared_groups[(groups * spans,)](*tensors, *numbers, center, scale, step, *tile, **compiled)


def _sorted(rewards: Tensor) -> Tensor:
    """[groups, group_size], each ascending. By our own kernel where torch's sort on ROCm reads back from the device."""
    groups, group_size = rewards.shape
    if torch.version.hip is None or groups < ROCM_SEGMENTED:
        return rewards.sort(-1).values
    places = (torch.empty_like(rewards), torch.empty_like(rewards))
    compiled = options(tiers.LONG_RUNS.threads, target_of(rewards.device))
    sort_groups[(min(groups, tiers.LONG_BLOCKS),)](rewards, *places, groups, group_size, *tiers.LONG_TILE, **compiled)
    return places[tiers.merges_of(group_size) % 2]
