"""Launches the kernels: which ones a call needs, their grids and their options."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget

from gapo_kernels.precision import precision_of
from gapo_kernels.triton_kernels import tiers
from gapo_kernels.triton_kernels.long_groups import long_groups
from gapo_kernels.triton_kernels.short_groups import short_groups
from gapo_kernels.triton_kernels.tokens import row_sums, spread_over_mask

# The arguments of the scoring kernels that a plain call has not.
EXTRAS = ("valid", "rows", "stats")
ROCM_SEGMENTED = 128  # from so many groups on torch sorts them by one call of rocPRIM's segmented sort


@dataclass(frozen=True)
class Rule:
    """What to compute for each group; the fields are the op's options."""

    tau: float
    center: str
    scale: str
    eps: float


@dataclass(frozen=True)
class Groups:
    """Which rewards are one group.

    Attributes:
        count: of groups; where ``rows`` is given, of positions.
        max_group_size: no group that is longer is scored; all have this size where ``begins`` is None.
        begins: [groups] on the device, or by position, or None.
        ends: as ``begins``.
        rows: [N] or None: the row that lies at each position.
    """

    count: int
    max_group_size: int
    begins: Tensor | None = None
    ends: Tensor | None = None
    rows: Tensor | None = None

    @property
    def dense(self) -> bool:
        """All groups have one size, and lie one after the other."""
        return self.begins is None

    def candidates(self, above: int) -> int:
        """How many groups of more than ``above`` rewards there can be: what a grid has to cover."""
        return self.count if self.rows is None else triton.cdiv(self.count, above + 1)


def on_device(tensor: Tensor) -> AbstractContextManager[Any]:
    """The tensor's device is the current one, as Triton's launches ask; nothing to do for the interpreter's CPU."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


@cache
def _target(device: torch.device) -> GPUTarget:
    if device.type == "cpu":
        return GPUTarget("cuda", 90, 32)  # for the interpreter, which takes any
    return triton.runtime.driver.active.get_current_target()


def options(threads: int, target: GPUTarget, extras: Iterable[Any] = ()) -> dict[str, Any]:
    """How the kernels are compiled: no contraction, as on the CPU, and no pipelining, for which nothing is there.

    ptxas keeps to fewer registers than a thread may have, for more warps at once, and spills a few bytes for that: for
    sm_80, and where a call has any of its ``EXTRAS`` (None where absent). There it is told how many it may take.
    """
    warps = max(1, threads // target.warp_size)  # of 64 threads on AMD's data-centre GPUs
    plain = all(extra is None for extra in extras)
    most = {"maxnreg": 255} if target.backend == "cuda" and (target.arch < 90 or not plain) else {}
    return {"num_warps": warps, "num_stages": 1, "enable_fp_fusion": False, **most}


def score(
    rule: Rule, rewards: Tensor, valid: Tensor | None, groups: Groups, advantage: Tensor, stats: Tensor | None
) -> None:
    """Fills ``advantage`` and ``stats``. All tensors are contiguous and not empty, on one device."""
    if valid is not None:
        rewards = rewards.masked_fill(~valid, torch.inf)  # sorted last, and not counted
    pointers = (rewards, valid, groups.begins, groups.ends, groups.rows, advantage, stats)
    numbers = (rule.tau, rule.eps, rule.center, rule.scale)
    extras = (valid, groups.rows, stats)
    with on_device(rewards):
        target = _target(rewards.device)
        for above, tier in _launches(groups, rewards):
            size = groups.max_group_size
            candidates = groups.candidates(above)
            grid = (triton.cdiv(candidates, tier.groups) if tier else min(candidates, tiers.LONG_BLOCKS),)
            arguments = (*pointers, groups.count, size, above, rewards.numel(), *numbers)
            if tier is None:
                runs, spare = _sorted_by_torch(rewards, groups) or _scratch(rewards)
                long = tiers.LONG_RUNS
                tile = (tiers.LONG_CHUNK, long.groups, long.lanes, long.rewards)
                long_groups[grid](*arguments, runs, spare, *tile, **options(long.threads, target, extras))
            else:
                layout = (groups.dense and size == tier.capacity, tier.lanes, tier.rewards, tier.loaded, tier.groups)
                short_groups[grid](*arguments, *layout, **options(tier.threads, target, extras))


def _launches(groups: Groups, rewards: Tensor) -> list[tuple[int, tiers.Tier | None]]:
    """One launch a range of group sizes: (above this size, in this tier); None are the groups too long for any."""
    largest = tiers.largest_short(precision_of(rewards.dtype).itemsize)
    size = groups.max_group_size
    if groups.dense:
        return [(0, tiers.tier_of(size) if size <= largest else None)]
    short: list[tuple[int, tiers.Tier | None]] = [*tiers.ragged_tiers(min(size, largest))]
    return short + ([(largest, None)] if size > largest else [])


def _sorted_by_torch(rewards: Tensor, groups: Groups) -> tuple[Tensor, None] | None:
    """Dense groups sorted, or None: also for many of them on ROCm, whose segmented sort reads back from the device."""
    if not groups.dense or (torch.version.hip is not None and groups.count >= ROCM_SEGMENTED):
        return None
    return rewards.view(-1, groups.max_group_size).sort(-1).values, None


def _scratch(rewards: Tensor) -> tuple[Tensor, Tensor]:
    runs = torch.empty(rewards.numel(), dtype=precision_of(rewards.dtype), device=rewards.device)
    return runs, torch.empty_like(runs)


def token_tile(length: int) -> tuple[int, int]:
    """(rows, columns) of a block: one class a power of two."""
    columns = min(triton.next_power_of_2(length), tiers.TOKENS)
    return tiers.TOKENS // columns, columns


def sum_rows(tokens: Tensor) -> Tensor:
    """[N, L], contiguous -> [N] of the precision."""
    sums = torch.zeros(tokens.shape[0], dtype=precision_of(tokens.dtype), device=tokens.device)
    if tokens.numel() > 0:
        rows, columns = token_tile(tokens.shape[1])
        with on_device(tokens):
            row_sums[(triton.cdiv(tokens.shape[0], rows),)](
                tokens, sums, *tokens.shape, rows, columns,
                **options(tiers.TOKEN_THREADS, _target(tokens.device)),
            )  # fmt: skip
    return sums


def write_over_mask(values: Tensor, mask: Tensor, out: Tensor) -> None:
    """[N] of the precision and [N, L] -> [N, L]; all contiguous."""
    if out.numel() > 0:
        rows, columns = token_tile(out.shape[1])
        with on_device(out):
            spread_over_mask[(triton.cdiv(out.shape[0], rows),)](
                values, mask, out, *out.shape, rows, columns,
                **options(tiers.TOKEN_THREADS, _target(out.device)),
            )  # fmt: skip
