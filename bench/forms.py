"""The forms of the op that are measured: how inputs are drawn, what computes them, and what a copy would have to move.

A form's inputs are those of its op; a peer that wants them otherwise (NumPy, strings for ids) has them prepared before
the clock starts. The same tables serve the CPU and a GPU.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

import gapo_kernels
from bench import peers, verl_peers
from gapo_kernels.backends import list_backends

Inputs = tuple[Any, ...]
LOOP_LIMIT = 1 << 17  # rows that a Python loop is given: seconds a call
STRINGS_LIMIT = 1 << 18  # rows whose string ids are sorted: tenths of a second a call


@dataclass(frozen=True)
class Peer:
    """An implementation of a form, or a floor: a lower bound on its time.

    Attributes:
        call: takes the prepared inputs.
        prepare: turns the form's inputs into those of ``call``; not timed.
        floor: whether it is a bound, which computes no advantage.
        at_most: more rows than this are not measured, since a call would take too long; None for no limit.
        devices: where it can run.
        waits: makes the host wait for a GPU, so that no CUDA graph can hold it.
        absent: why this process cannot run it; empty where it can.
    """

    call: Callable[..., Any]
    prepare: Callable[..., Inputs] = lambda *inputs: inputs
    floor: bool = False
    at_most: int | None = None
    devices: tuple[str, ...] = ("cpu", "cuda")
    waits: bool = False
    absent: Callable[[], str] = lambda: ""


@dataclass(frozen=True)
class Form:
    """One form of the op.

    Attributes:
        draw: (shape, dtype, device, generator) -> the op's inputs.
        peers: by name; "gapo" is the op.
        traffic: the least bytes that a call reads and writes, of its inputs.
    """

    draw: Callable[..., Inputs]
    peers: dict[str, Peer]
    traffic: Callable[..., int] = field(default=lambda rewards, *_: 2 * rewards.nbytes)


def uids(ids: Tensor) -> np.ndarray:
    """Ids as verl has them: an object array of strings."""
    names = {int(value): f"uid-{int(value):032x}" for value in ids.unique()}
    return np.array([names[value] for value in ids.tolist()], dtype=object)


def group_sizes(groups: int, mean: int) -> Tensor:
    """Sizes from a power law (Pareto, exponent 1.5) with about that mean; always the same ones."""
    exponent = 1.5
    uniform = torch.rand(groups, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sizes = mean * (exponent - 1) / exponent * (1 - uniform) ** (-1 / exponent)
    return sizes.round().clamp(min=1, max=groups * mean / 4).long()


def _normal(shape: Any, dtype: torch.dtype, device: str, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator).to(device, dtype)


def draw_dense(shape: tuple[int, ...], dtype: torch.dtype, device: str, generator: torch.Generator) -> Inputs:
    """shape: groups, group size."""
    return (_normal(shape, dtype, device, generator),)


def draw_masked(shape: tuple[int, ...], dtype: torch.dtype, device: str, generator: torch.Generator) -> Inputs:
    """shape: groups, group size; one completion in eight cannot be scored."""
    valid = torch.rand(shape, generator=generator) > 1 / 8
    return _normal(shape, dtype, device, generator), valid.to(device)


def draw_varlen(shape: tuple[int, ...], dtype: torch.dtype, device: str, generator: torch.Generator) -> Inputs:
    """shape: groups, mean of their sizes."""
    offsets = torch.nn.functional.pad(group_sizes(*shape).cumsum(0), (1, 0))
    rewards = _normal((int(offsets[-1]),), dtype, device, generator)
    return rewards, offsets.to(device), int(offsets.diff().max())


def draw_by_id(shape: tuple[int, ...], dtype: torch.dtype, device: str, generator: torch.Generator) -> Inputs:
    """shape: groups, mean of their sizes; rows in random order."""
    ids = _ids_of(group_sizes(*shape))
    ids = ids[torch.randperm(len(ids), generator=generator)]
    return _normal((len(ids),), dtype, device, generator), ids.to(device)


def draw_tokens(shape: tuple[int, ...], dtype: torch.dtype, device: str, generator: torch.Generator) -> Inputs:
    """shape: groups, group size, tokens a row; an outcome reward on the last token, verl's int64 mask."""
    groups, size, length = shape
    rewards = torch.zeros(groups * size, length, dtype=dtype, device=device)
    rewards[:, -1] = _normal((groups * size,), dtype, device, generator)
    mask = torch.ones(groups * size, length, dtype=torch.int64, device=device)
    return rewards, mask, torch.arange(groups * size, device=device) // size


def _ids_of(sizes: Tensor) -> Tensor:
    return torch.arange(len(sizes)).repeat_interleave(sizes.cpu())


def _dense_ids(rewards: Tensor) -> Tensor:
    return _ids_of(torch.full((len(rewards),), rewards.shape[-1]))


def _rows_for_verl(rewards: Tensor, ids: Tensor) -> Inputs:
    column = rewards.reshape(-1, 1)
    return column, torch.ones_like(column, dtype=torch.int64), uids(ids)


def _loop(prepare: Callable[..., Inputs]) -> Peer:
    return Peer(peers.authors_loop, prepare, at_most=LOOP_LIMIT, waits=True)


def _verl(prepare: Callable[..., Inputs]) -> dict[str, Peer]:
    limits = {"grpo": LOOP_LIMIT, "grpo_vectorized": STRINGS_LIMIT}
    return {
        f"verl {name}": Peer(
            functools.partial(verl_peers.advantage, name), prepare, at_most=limit, waits=True, absent=verl_peers.absent
        )
        for name, limit in limits.items()
    }


@functools.cache
def _triton_ops() -> Any:
    return importlib.import_module("gapo_kernels.triton_kernels.ops")


def _no_triton() -> str:
    if not importlib.util.find_spec("triton"):
        return "triton is not installed in this environment"
    serving = [backend.name for backend in list_backends() if "cuda" in backend.serves]
    return "it serves the op itself here" if serving == ["triton"] else ""


def _triton(op: str) -> Peer:
    """The Triton kernels, called past the dispatcher: the other backend where the CUDA library serves the op."""
    return Peer(lambda *inputs: getattr(_triton_ops(), op)(*inputs), devices=("cuda",), absent=_no_triton)


def _empty_call(*_: Any) -> Inputs:
    return (torch.empty(0, 16),)


def _copy_of_mask(_: Tensor, mask: Tensor, __: Tensor) -> Inputs:
    return mask, torch.zeros_like(mask)


COPY = Peer(torch.clone, lambda rewards, *_: (rewards,), floor=True)
EMPTY_CALL = Peer(torch.ops.gapo.advantage, _empty_call, floor=True, devices=("cpu",))
EMPTY_KERNEL = Peer(lambda one: one.fill_(1.0), lambda rewards: (rewards.new_empty(1),), floor=True, devices=("cuda",))

FORMS = {
    "advantage": Form(
        draw_dense,
        {
            "gapo": Peer(torch.ops.gapo.advantage),
            "triton": _triton("advantage"),
            "torch": Peer(peers.vectorised_torch),
            "torch.compile": Peer(lambda rewards: peers.compiled_torch()(rewards), absent=peers.no_compiler),
            "numpy": Peer(peers.vectorised_numpy, lambda rewards: (rewards.numpy(),), devices=("cpu",)),
            "authors' loop": _loop(lambda rewards: (rewards.flatten(), _dense_ids(rewards).tolist())),
            **_verl(lambda rewards: _rows_for_verl(rewards, _dense_ids(rewards))),
            "numpy.sort": Peer(
                functools.partial(np.sort, axis=-1), lambda rewards: (rewards.numpy(),), floor=True, devices=("cpu",)
            ),
            "copy": COPY,
            "empty call": EMPTY_CALL,
            "empty kernel": EMPTY_KERNEL,
        },
    ),
    "advantage, masked": Form(
        draw_masked,
        {
            "gapo": Peer(lambda rewards, valid: torch.ops.gapo.advantage(rewards, valid=valid)),
            "triton": Peer(
                lambda rewards, valid: _triton_ops().advantage(rewards, valid=valid),
                devices=("cuda",),
                absent=_no_triton,
            ),
            "torch": Peer(peers.masked_torch),
            "copy": COPY,
        },
        lambda rewards, valid: 2 * rewards.nbytes + valid.nbytes,
    ),
    "advantage_varlen": Form(
        draw_varlen,
        {
            "gapo": Peer(torch.ops.gapo.advantage_varlen),
            "triton": _triton("advantage_varlen"),
            "torch": Peer(peers.padded_torch, waits=True),
            "authors' loop": _loop(lambda rewards, offsets, _: (rewards, _ids_of(offsets.diff()).tolist())),
            "copy": COPY,
        },
        lambda rewards, offsets, _: 2 * rewards.nbytes + offsets.nbytes,
    ),
    "advantage_by_id": Form(
        draw_by_id,
        {
            "gapo": Peer(torch.ops.gapo.advantage_by_id),
            "triton": _triton("advantage_by_id"),
            "gapo, string ids": Peer(
                gapo_kernels.advantage_by_id, lambda rewards, ids: (rewards, uids(ids)), waits=True
            ),
            "torch": Peer(peers.sorted_and_padded_torch, waits=True),
            "authors' loop": _loop(lambda rewards, ids: (rewards, uids(ids))),
            **_verl(_rows_for_verl),
            "copy": COPY,
        },
        lambda rewards, ids: 2 * rewards.nbytes + ids.nbytes,
    ),
    "token_advantage": Form(
        draw_tokens,
        {
            "gapo": Peer(torch.ops.gapo.token_advantage),
            "triton": _triton("token_advantage"),
            "gapo, string ids": Peer(
                gapo_kernels.token_advantage, lambda rewards, mask, ids: (rewards, mask, uids(ids)), waits=True
            ),
            "torch": Peer(peers.token_gapo, lambda rewards, mask, ids: (rewards, mask, len(ids) // (int(ids[-1]) + 1))),
            "torch, mean": Peer(peers.token_grpo, waits=True),
            **_verl(lambda rewards, mask, ids: (rewards, mask, uids(ids))),
            # The step must read 4 bytes of reward and 8 of mask and write 4 of advantage: as much as copying the mask.
            "copy, fresh memory": Peer(torch.clone, lambda rewards, mask, ids: (mask,), floor=True),
            "copy, warm memory": Peer(lambda mask, out: out.copy_(mask), _copy_of_mask, floor=True),
        },
        lambda rewards, mask, ids: 2 * rewards.nbytes + mask.nbytes + ids.nbytes,
    ),
}
