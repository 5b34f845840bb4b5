"""Launches the kernels: which ones a call needs, and their grids."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from gapo_kernels.devices import on_device
from gapo_kernels.precision import precision_of
from gapo_kernels.rule import Rule
from gapo_kernels.triton_kernels import tiers
from gapo_kernels.triton_kernels.groups import Groups
from gapo_kernels.triton_kernels.launch_shared import score_shared
from gapo_kernels.triton_kernels.long_groups import long_groups
from gapo_kernels.triton_kernels.options import options, target_of
from gapo_kernels.triton_kernels.short_groups import short_groups
from gapo_kernels.triton_kernels.tokens import broadcast_rows, row_sums


def score(
    rule: Rule, rewards: Tensor, valid: Tensor | None, groups: Groups, advantage: Tensor, stats: Tensor | None
) -> None:
    """Fills ``advantage`` and ``stats``. All tensors are contiguous and not empty, on one device."""
    if valid is not None:
        rewards = torch.where(valid, rewards, torch.inf)  # sorted last, and not counted
    pointers = (rewards, valid, groups.begins, groups.ends, groups.rows, advantage, stats)
    numbers = (rule.tau, rule.eps, rule.center, rule.scale)
    extras = (valid, groups.rows, stats)
    size, total = groups.max_group_size, rewards.numel()
    with on_device(rewards.device):
        target = target_of(rewards.device)
        for above, tier in _launches(groups, rewards):
            arguments = (*pointers, groups.count, size, above, total, *numbers)
            candidates = groups.candidates(above)
            if tier is not None:
                layout = tier.layout(groups.dense and size == tier.capacity)
                grid = (triton.cdiv(candidates, tier.groups),)
                short_groups[grid](*arguments, **layout, **options(tier.threads, target, extras))
            elif groups.dense:
                score_shared(rule, rewards, valid, size, advantage, stats)
            else:
                grid, threads = (min(candidates, tiers.LONG_BLOCKS),), tiers.LONG_RUNS.threads
                long_groups[grid](*arguments, *_scratch(rewards), *tiers.LONG_TILE, **options(threads, target, extras))


def _launches(groups: Groups, rewards: Tensor) -> list[tuple[int, tiers.Tier | None]]:
    """One launch a range of group sizes: (above this size, in this tier); None are the groups too long for any."""
    largest = tiers.largest_short(precision_of(rewards.dtype).itemsize)
    size = groups.max_group_size
    if groups.dense:
        return [(0, tiers.tier_of(size) if size <= largest else None)]
    ranges: list[tuple[int, tiers.Tier | None]] = [*tiers.ragged_tiers(min(size, largest)), (largest, None)]
    longest = min(size, rewards.numel())  # which decides no tier: a group's bits are its own, whatever lies beside it
    return [(above, tier) for above, tier in ranges if above < longest]


def _scratch(rewards: Tensor) -> tuple[Tensor, Tensor]:
    """Two tensors of as many values of the precision, in which blocks sort."""
    runs = torch.empty(rewards.shape, dtype=precision_of(rewards.dtype), device=rewards.device)
    return runs, torch.empty_like(runs)


def token_tile(length: int) -> tuple[int, int]:
    """(rows, columns) of a block: one class a power of two."""
    columns = min(triton.next_power_of_2(length), tiers.TOKENS)
    return tiers.TOKENS // columns, columns


def _in_rows(matrix: Tensor) -> Tensor:
    """[N, L] with the values of a row side by side. Columns of a larger matrix are not copied."""
    return matrix if matrix.shape[1] <= 1 or matrix.stride(1) == 1 else matrix.contiguous()


def sum_rows(tokens: Tensor) -> Tensor:
    """[N, L] -> [N] of the precision; anything where L is 0, as no result shows it."""
    tokens = _in_rows(tokens)
    sums = torch.empty(tokens.shape[0], dtype=precision_of(tokens.dtype), device=tokens.device)
    if tokens.numel() > 0:
        rows, columns = token_tile(tokens.shape[1])
        with on_device(tokens.device):
            row_sums[(triton.cdiv(tokens.shape[0], rows),)](
                tokens, tokens.stride(0), sums, *tokens.shape, rows, columns,
                **options(tiers.TOKEN_THREADS, target_of(tokens.device)),
            )  # fmt: skip
    return sums


def broadcast(values: Tensor, mask: Tensor, out: Tensor) -> None:
    """[N] of the precision and [N, L] -> [N, L], contiguous."""
    mask = _in_rows(mask)
    if out.numel() > 0:
        rows, columns = token_tile(out.shape[1])
        with on_device(out.device):
            broadcast_rows[(triton.cdiv(out.shape[0], rows),)](
                values, mask, mask.stride(0), out, *out.shape, rows, columns,
                **options(tiers.TOKEN_THREADS, target_of(out.device)),
            )  # fmt: skip
