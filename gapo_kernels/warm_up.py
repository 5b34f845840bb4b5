"""Compiles ahead what would otherwise be compiled on the first call of a training step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from gapo_kernels.precision import precision_of
from gapo_numpy.estimators import Estimator, resolve


def warmup(
    shapes: Iterable[Sequence[int]],
    *,
    dtypes: Sequence[torch.dtype] = (torch.float32,),
    estimators: Sequence[str] = ("gapo",),
    valid: bool = False,
    tokens: int = 1024,
    device: torch.device | str | None = None,
) -> None:
    """Runs every op once for each of the shapes, on zeros, and waits for the device.

    Triton compiles its kernels, for classes of dense group sizes: 33 to 63 are one, 64 is one by itself, and so on. One
    shape of a class serves all of it; by ids, where the number of rows chooses the kernels, one of as many rows as the
    calls will have. The CUDA library's kernels are loaded, which with drivers before 12.3 has to happen before a graph
    is captured.

    Args:
        shapes: of dense rewards, [..., G]; the ragged and the unordered ops are called with as many rewards, in groups
            of G.
        dtypes: of the rewards.
        estimators: names, as in ``gapo_kernels.ESTIMATORS``.
        valid: whether the calls will have a ``valid`` mask.
        tokens: the length of the rows that ``token_advantage`` will see, with an int64 mask.
        device: where the op will run; None for the current CUDA or HIP device, or the CPU where there is none.

    Raises:
        ValueError: a shape of no rewards, or an estimator that does not exist.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    for shape in shapes:
        if not isinstance(shape, Sequence) or len(shape) == 0 or math.prod(shape) < 1:
            got = list(shape) if isinstance(shape, Sequence) else shape
            raise ValueError(f"shapes expects shapes [..., G] of at least one reward, got {got}")
        for dtype in dtypes:
            rewards = torch.zeros(tuple(shape), dtype=dtype, device=device)
            mask = torch.ones_like(rewards, dtype=torch.bool) if valid else None
            for estimator in estimators:
                _call_all(rewards, mask, resolve(estimator, None, None), tokens)
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _call_all(rewards: Tensor, valid: Tensor | None, estimator: Estimator, tokens: int) -> None:
    ops, total, group_size = torch.ops.gapo, rewards.numel(), rewards.shape[-1]
    dense = {**estimator._asdict(), "valid": valid}
    flat = {**dense, "valid": None if valid is None else valid.flatten()}
    row = {**dense, "valid": None if valid is None else valid.flatten()[:1]}
    offsets = torch.arange(0, total + 1, group_size, device=rewards.device)
    ids = torch.arange(total, device=rewards.device) // group_size
    ops.advantage(rewards, **dense)
    ops.advantage_stats(rewards, **dense)
    for kind in (torch.int64, torch.int32):
        ops.advantage_varlen(rewards.flatten(), offsets.to(kind), group_size, **flat)
    ops.advantage_by_id(rewards.flatten(), ids, **flat)
    ops.advantage_stats(rewards.flatten(), ids, **flat)
    # token_advantage scores sums, which have the precision of the computation: one row, then as many as there may be
    sums = rewards.flatten().to(precision_of(rewards.dtype))
    ops.advantage_by_id(sums, ids, **flat)
    token_rewards = rewards.new_zeros(1, tokens)
    ops.token_advantage(token_rewards, torch.ones_like(token_rewards, dtype=torch.int64), ids[:1], **row)
