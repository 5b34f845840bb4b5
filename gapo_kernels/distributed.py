"""Group advantages for groups that are spread over the ranks of a process group."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from gapo_kernels.devices import on_device
from gapo_kernels.ids import GroupIds, are_integers, as_id_tensor, ids_and_names
from gapo_kernels.ops import expect_tensors
from gapo_kernels.rule import Rule
from gapo_numpy import CENTERS, SCALES
from gapo_numpy.estimators import EPS, TAU, resolve

Value = TypeVar("Value")


def advantage(
    rewards: Tensor,
    group_ids: GroupIds,
    process_group: dist.ProcessGroup | None = None,
    *,
    estimator: str = "gapo",
    tau: float = TAU,
    center: str | None = None,
    scale: str | None = None,
    eps: float = EPS,
    valid: Tensor | None = None,
) -> Tensor:
    """The advantages of this rank's rows, each scored against all rows of its group on all ranks.

    Every rank calls this; ranks may have different numbers of rows, none included. All rows are gathered (a reward, an
    id and a flag each: 13 bytes in float32) and scored everywhere, so the result is, to the bit, what one rank with
    all rows in the order of ranks would get. Of ids that are no integers the distinct ones are sent too, pickled.

    Args:
        rewards: [N], this rank's; one dtype on all ranks that have rows.
        group_ids: [N] as in ``gapo_kernels.advantage_by_id``; equal ids on different ranks are one group.
        process_group: the ranks, or None for all.
        estimator: as in ``gapo_kernels.advantage_by_id``.
        tau: as in ``gapo_kernels.advantage_by_id``.
        center: as in ``gapo_kernels.advantage_by_id``.
        scale: as in ``gapo_kernels.advantage_by_id``.
        eps: as in ``gapo_kernels.advantage_by_id``.
        valid: bool [N], this rank's, or None; a rank may give it where another does not.

    Returns:
        [N], in the order of ``rewards``, of its dtype and device.

    Raises:
        TypeError, ValueError, RuntimeError: what ``gapo_kernels.advantage_by_id`` raises for this rank's arguments, or
            what pickling its ids does. Nothing is computed, and the other ranks raise RuntimeError.
        ValueError: this rank is not in ``process_group``.
        ValueError: rewards of different dtypes on different ranks, or ids as tensors or arrays of integers on one and
            as lists or other objects elsewhere, of which a rank without rows may have any; a rule (tau, center, scale,
            eps) that differs. On every rank.
    """
    if dist.get_rank(process_group) < 0:
        raise ValueError("process_group expects a group that this rank is in")
    try:
        given = _checked(rewards, group_ids, valid, estimator, tau, center, scale, eps)
    except Exception:  # whatever it is, the others must not wait for this rank
        _facts_of_all(REFUSED, _device_for(rewards, process_group), process_group)
        raise
    facts = _facts_of_all(given.facts, given.rewards.device, process_group)
    dtype, kind = _agreed(facts)
    ids = _numbered_together(given.ids, given.names, process_group) if kind == OBJECTS else given.ids
    sizes = [fact.rows for fact in facts]
    columns = [given.rewards.to(dtype or torch.float32), ids.long(), given.keep]
    all_rewards, all_ids, all_keep = _gather_columns(columns, sizes, process_group)
    result = torch.ops.gapo.advantage_by_id(all_rewards, all_ids, *given.facts.rule, all_keep)
    first = sum(sizes[: dist.get_rank(process_group)])
    return result[first : first + len(given.rewards)].to(given.rewards.dtype)


class _Facts(NamedTuple):
    """What ranks have to agree on before they send rows."""

    rows: int
    dtype: torch.dtype
    ids: str  # of ID_KINDS
    rule: Rule
    refused: bool = False  # this rank refused its arguments; the other fields then mean nothing


class _Arguments(NamedTuple):
    """This rank's arguments, checked."""

    rewards: Tensor  # [N]
    ids: Tensor  # [N]; of ids that are no integers numbers of this rank's own
    names: bytes  # the distinct ids by these numbers, pickled
    keep: Tensor  # bool [N]: valid, where it was given
    facts: _Facts


DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
OBJECTS, INTEGERS = ID_KINDS = ("lists or other objects", "tensors or arrays of integers")
REFUSED = _Facts(0, DTYPES[0], OBJECTS, Rule(0.0, CENTERS[0], SCALES[0], 0.0), refused=True)


def _checked(
    rewards: Tensor,
    group_ids: GroupIds,
    valid: Tensor | None,
    estimator: str,
    tau: float,
    center: str | None,
    scale: str | None,
    eps: float,
) -> _Arguments:
    """The arguments of ``advantage``; its errors but those of other ranks."""
    expect_tensors(rewards=rewards)
    if rewards.layout != torch.strided or rewards.is_meta:  # which could not be sent
        raise TypeError(f"rewards expects a dense tensor with values, got {rewards.layout} on {rewards.device}")
    rewards = rewards.detach().resolve_neg()
    chosen = resolve(estimator, center, scale)
    rule = Rule(tau, chosen.center, chosen.scale, eps)
    ids, distinct = ids_and_names(group_ids, rewards.device)
    torch.ops.gapo_checks.advantage_by_id(rewards, ids, *rule, valid)
    keep = torch.ones_like(rewards, dtype=torch.bool) if valid is None else valid
    kind = INTEGERS if are_integers(group_ids) else OBJECTS
    facts = _Facts(rewards.numel(), rewards.dtype, kind, rule)
    return _Arguments(rewards, ids, pickle.dumps(distinct), keep, facts)


def _agreed(facts: list[_Facts]) -> tuple[torch.dtype | None, str | None]:
    """The dtype of the rewards and the kind of ids of all ranks that have rows; None where none has.

    Raises:
        RuntimeError: a rank refused its arguments.
        ValueError: ranks differ in what has to be common.
    """
    if refused := [rank for rank, fact in enumerate(facts) if fact.refused]:
        raise RuntimeError(f"rank {refused[0]} of the process group refused its arguments; nothing was computed")
    _common("tau, center, scale and eps expect one value each", {rank: fact.rule for rank, fact in enumerate(facts)})
    with_rows = {rank: fact for rank, fact in enumerate(facts) if fact.rows}
    dtype = _common("rewards expects one dtype", {rank: fact.dtype for rank, fact in with_rows.items()})
    return dtype, _common("group_ids expects one kind", {rank: fact.ids for rank, fact in with_rows.items()})


def _device_for(rewards: object, process_group: dist.ProcessGroup | None) -> torch.device:
    """The device by which a rank can tell the others something even if its rewards are no tensor with values."""
    if isinstance(rewards, Tensor) and rewards.device.type != "meta":
        return rewards.device
    return torch.device("cuda" if dist.get_backend(process_group) == "nccl" else "cpu")


def _facts_of_all(facts: _Facts, device: torch.device, process_group: dist.ProcessGroup | None) -> list[_Facts]:
    """Every rank's facts, in the order of ranks."""
    rule = facts.rule
    names = (DTYPES.index(facts.dtype), ID_KINDS.index(facts.ids), CENTERS.index(rule.center), SCALES.index(rule.scale))
    # float64 holds a number of rows and an index as well as tau and eps
    own = torch.tensor([facts.rows, *names, rule.tau, rule.eps, facts.refused], dtype=torch.float64, device=device)
    everyone = [torch.empty_like(own) for _ in range(dist.get_world_size(process_group))]
    dist.all_gather(everyone, own, group=process_group)
    return [
        _Facts(
            int(rows),
            DTYPES[int(dtype)],
            ID_KINDS[int(kind)],
            Rule(tau, CENTERS[int(center)], SCALES[int(scale)], eps),
            bool(refused),
        )
        for rows, dtype, kind, center, scale, tau, eps, refused in torch.stack(everyone).tolist()
    ]


def _common(expected: str, by_rank: dict[int, Value]) -> Value | None:
    """The value of all ranks; None where none has any."""
    first: dict[Value, int] = {}
    for rank, value in by_rank.items():
        first.setdefault(value, rank)
    if len(first) > 1:
        found = ", ".join(f"{value} on rank {rank}" for value, rank in first.items())
        raise ValueError(f"{expected} on all ranks, got {found}")
    return next(iter(first), None)


def _numbered_together(ids: Tensor, names: bytes, process_group: dist.ProcessGroup | None) -> Tensor:
    """This rank's ids, numbers of its own, as numbers that mean the same group on every rank.

    names: the distinct ids by number, pickled.
    """
    everyone = [b""] * dist.get_world_size(process_group)
    with on_device(ids.device):  # over NCCL the current device carries objects, which need not be that of the rewards
        dist.all_gather_object(everyone, names, group=process_group)
    distinct: list[list[object]] = [pickle.loads(each) for each in everyone]
    first = sum(map(len, distinct[: dist.get_rank(process_group)]))
    numbered = as_id_tensor([value for each in distinct for value in each], ids.device)
    return numbered[first + ids.long()]


def _gather_columns(
    columns: list[Tensor], sizes: list[int], process_group: dist.ProcessGroup | None
) -> Iterator[Tensor]:
    """All ranks' rows of each column, by one exchange: the bytes of a row's columns lie side by side."""
    packed = torch.cat([column.unsqueeze(-1).view(torch.uint8) for column in columns], dim=1)
    gathered = _gather_rows(packed, sizes, process_group)
    pieces = gathered.split([column.element_size() for column in columns], dim=1)
    for piece, column in zip(pieces, columns, strict=True):
        yield piece.clone(memory_format=torch.contiguous_format).view(column.dtype).squeeze(1)


def _gather_rows(rows: Tensor, sizes: list[int], process_group: dist.ProcessGroup | None) -> Tensor:
    """All ranks' rows, in the order of ranks; sizes: the number of rows of each rank."""
    padded = rows.new_zeros((max(sizes), rows.shape[1]))
    padded[: rows.shape[0]] = rows
    everyone = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(everyone, padded, group=process_group)
    return torch.cat([part[:size] for part, size in zip(everyone, sizes, strict=True)])
