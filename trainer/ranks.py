"""One process or many behind the same few functions; every rank holds an equal share of each group's completions.

Left out: sharing out prompts instead of completions. Groups are what grows, and a shared group needs nothing of a rank
but its rewards.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import PreTrainedModel

from gapo_trainer.errors import UserError


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def started_by_torchrun() -> bool:
    """Whether this is one of the processes of a ``torchrun``."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def process_group(device: str) -> Iterator[str]:
    """Join the processes that ``torchrun`` started, if it did; gives the device of this one."""
    if not started_by_torchrun():
        yield device
        return
    on_gpu = device.startswith("cuda")
    own = f"cuda:{os.environ['LOCAL_RANK']}" if on_gpu else device
    if on_gpu:
        torch.cuda.set_device(own)
    # gloo carries the rewards and counters, which stay on the CPU; nccl the weights and gradients
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    try:
        yield own
    finally:
        dist.destroy_process_group()


def leave(status: int) -> NoReturn:
    """End this process at once, with its output flushed; the last call of one that shared its work with others.

    The interpreter is not finalised. A C++ thread that torch's process groups leave behind would now and then ask it
    for its lock meanwhile, and abort a process whose work is done; ``torchrun`` then calls the run a failure.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def shard(model: PreTrainedModel) -> None:
    """Shard the parameters, gradients and optimiser state of ``model`` in place with FSDP2, layer by layer."""
    if world_size() == 1:
        return
    mesh = init_device_mesh(model.device.type, (world_size(),))
    for layer in decoder_layers(model):
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def decoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The layers of ``model``, whatever its list of them is called; none where there is no such list."""
    number = model.config.get_text_config().num_hidden_layers
    lists = (module for module in model.get_decoder().modules() if isinstance(module, nn.ModuleList))
    return next((found for found in lists if len(found) == number), nn.ModuleList())


def agreed(value: Any) -> Any:
    """The first rank's ``value``, on all ranks."""
    values = [value]
    if dist.is_initialized():
        dist.broadcast_object_list(values)
    return values[0]


def own_rows(group_size: int) -> slice:
    """This rank's rows of a group.

    Raises:
        UserError: the group cannot be shared out evenly.
    """
    share, rest = divmod(group_size, world_size())
    if rest:
        raise UserError(f"group_size expects a multiple of the {world_size()} processes, got {group_size}")
    return slice(rank() * share, (rank() + 1) * share)


def total(values: Tensor) -> Tensor:
    """The elementwise sum over ranks of a CPU tensor."""
    values = values.clone()
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def largest(value: float) -> float:
    """The largest ``value`` of all ranks."""
    worst = torch.tensor(value, dtype=torch.float64)
    if dist.is_initialized():
        dist.all_reduce(worst, op=dist.ReduceOp.MAX)
    return float(worst)


def gathered(rows: list[Any]) -> list[Any]:
    """The rows of all ranks, in rank order."""
    if not dist.is_initialized():
        return rows
    parts: list[Any] = [None] * world_size()
    dist.all_gather_object(parts, rows)
    return [row for part in parts for row in part]


def gradient_norm(model: nn.Module, bound: float) -> float:
    """Clip the gradients of ``model`` to the norm ``bound`` and return what the norm was, over all shards."""
    norm = nn.utils.clip_grad_norm_(model.parameters(), bound)
    return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
