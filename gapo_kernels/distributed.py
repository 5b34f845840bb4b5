"""Group advantages for groups that are spread over the ranks of a process group."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from gapo_kernels.estimators import EPS, TAU
from gapo_kernels.ids import GroupIds, as_id_tensor
from gapo_kernels.ops import advantage_by_id


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
    all rows in the order of ranks would get.

    Args:
        rewards: [N], this rank's; one dtype on all ranks.
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
        ValueError: rewards, ids and valid that do not fit one another. It is raised before anything is sent, so the
            other ranks learn of it from the backend's time-out.
    """
    if rewards.dim() != 1:
        raise ValueError(f"rewards expects shape [N], got {list(rewards.shape)}")
    rewards = rewards.detach()
    ids = _shared_ids(group_ids, rewards.device, process_group)
    keep = torch.ones_like(rewards, dtype=torch.bool) if valid is None else valid
    for name, tensor in (("group_ids", ids), ("valid", keep)):
        if tensor.shape != rewards.shape:
            raise ValueError(f"{name} expects shape {list(rewards.shape)}, got {list(tensor.shape)}")
    if ids.is_floating_point() or ids.is_complex():
        raise ValueError(f"group_ids expects integers, got {ids.dtype}")
    if keep.dtype != torch.bool:
        raise ValueError(f"valid expects torch.bool, got {keep.dtype}")

    columns = [rewards.contiguous(), ids.to(rewards.device, torch.int64), keep.to(rewards.device)]
    packed = torch.cat([column.unsqueeze(-1).view(torch.uint8) for column in columns], dim=1)
    gathered, first = _gather_rows(packed, process_group)
    pieces = gathered.split([column.element_size() for column in columns], dim=1)
    all_rewards, all_ids, all_keep = (
        piece.clone(memory_format=torch.contiguous_format).view(column.dtype).squeeze(1)
        for piece, column in zip(pieces, columns, strict=True)
    )
    result = advantage_by_id(
        all_rewards, all_ids, estimator=estimator, tau=tau, center=center, scale=scale, eps=eps, valid=all_keep
    )
    return result[first : first + rewards.numel()]


def _shared_ids(group_ids: GroupIds, device: torch.device, process_group: dist.ProcessGroup | None) -> Tensor:
    """Integer ids that mean the same group on every rank; strings are numbered over all ranks together."""
    if isinstance(group_ids, Tensor) or getattr(getattr(group_ids, "dtype", None), "kind", "O") in "iu":
        return as_id_tensor(group_ids, device)
    local = list(group_ids)
    everyone: list[list[object]] = [[] for _ in range(dist.get_world_size(process_group))]
    dist.all_gather_object(everyone, local, group=process_group)
    rank = dist.get_rank(process_group)
    first = sum(len(ids) for ids in everyone[:rank])
    numbered = as_id_tensor([value for ids in everyone for value in ids], device)
    return numbered[first : first + len(local)]


def _gather_rows(rows: Tensor, process_group: dist.ProcessGroup | None) -> tuple[Tensor, int]:
    """All ranks' rows in the order of ranks, and where this rank's begin; ranks may have different numbers of rows."""
    world = dist.get_world_size(process_group)
    count = torch.tensor([rows.shape[0]], device=rows.device)
    counts = [torch.empty_like(count) for _ in range(world)]
    dist.all_gather(counts, count, group=process_group)
    sizes = [int(n) for n in counts]
    padded = rows.new_zeros((max(sizes), rows.shape[1]))
    padded[: rows.shape[0]] = rows
    everyone = [torch.empty_like(padded) for _ in range(world)]
    dist.all_gather(everyone, padded, group=process_group)
    gathered = torch.cat([part[:size] for part, size in zip(everyone, sizes, strict=True)])
    return gathered, sum(sizes[: dist.get_rank(process_group)])
