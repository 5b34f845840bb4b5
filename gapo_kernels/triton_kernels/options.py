"""How the kernels are compiled, and for what."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget


@cache
def target_of(device: torch.device) -> GPUTarget:
    """What the kernels are compiled for."""
    if device.type == "cpu":
        return GPUTarget("cuda", 90, 32)  # for the interpreter, which takes any
    return triton.runtime.driver.active.get_current_target()


def options(threads: int, target: GPUTarget, extras: Iterable[Any] = ()) -> dict[str, Any]:
    """How the kernels are compiled: no contraction, as on the CPU, and no pipelining, as there is nothing to pipeline.

    To fit more warps, ptxas uses fewer registers than a thread may have, and spills a few bytes for that: on sm_80, and
    if a call has any of the ``extras``, a mask, rows or statistics (None if absent). There it is told how many
    registers a thread may have.
    """
    warps = max(1, threads // target.warp_size)  # of 64 threads on AMD's data-centre GPUs
    plain = all(extra is None for extra in extras)
    most = {"maxnreg": 255} if target.backend == "cuda" and (target.arch < 90 or not plain) else {}
    return {"num_warps": warps, "num_stages": 1, "enable_fp_fusion": False, **most}
