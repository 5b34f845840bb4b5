"""torch.ops.gapo for tensors of the CPU, computed on another device.

The other device is a GPU, or its stand-in: in a process that tests/cuda/test_on_the_cpu.py starts, the CUDA library's
PTX is interpreted, as ``torch.ops.gapo_ptx``.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from end_of_device import end_if_lost

INTERPRETED = os.environ.get("GAPO_PTX_LIBRARY")
if INTERPRETED is not None:
    torch.ops.load_library(INTERPRETED)

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
needs_gpu_or_interpreter = pytest.mark.skipif(
    not torch.cuda.is_available() and INTERPRETED is None,
    reason="no CUDA device, and not inside tests/cuda/test_on_the_cpu.py",
)


def moved(value: Any, device: str | torch.device) -> Any:
    """Tensors, and tuples of them, on that device; everything else as it is."""
    if isinstance(value, tuple):
        return tuple(moved(item, device) for item in value)
    return value.to(device) if isinstance(value, torch.Tensor) else value


def shown(value: Any) -> str:
    """A tensor as its shape and dtype, everything else as it is."""
    return f"{list(value.shape)} {value.dtype}" if isinstance(value, torch.Tensor) else repr(value)


class DeviceOps:
    """Each op of ``torch.ops.gapo``: arguments go to the device, results come back."""

    def __init__(self, device: str) -> None:
        self.device = device

    def __getattr__(self, op: str) -> Callable[..., Any]:
        packet = getattr(torch.ops.gapo, op)

        def call(*args: Any, **options: Any) -> Any:
            options = {name: moved(value, self.device) for name, value in options.items()}
            try:
                return moved(packet(*moved(args, self.device), **options), "cpu")
            except RuntimeError as error:  # before hypothesis looks for a simpler call, which would fail as well
                end_if_lost(f"{op}({', '.join(map(shown, args))}, {options})", str(error))
                raise

        return call


class InterpretedOps:
    """Each op of ``torch.ops.gapo_ptx``. Only torch's allocator tells the interpreter where a tensor's memory ends, so
    that one whose memory is numpy's is copied."""

    def __getattr__(self, op: str) -> Callable[..., Any]:
        packet = getattr(torch.ops.gapo_ptx, op)

        def known(value: Any) -> Any:
            return value.clone() if isinstance(value, torch.Tensor) and not is_allocated(value) else value

        return lambda *args, **options: packet(
            *map(known, args), **{name: known(value) for name, value in options.items()}
        )


def is_allocated(tensor: torch.Tensor) -> bool:
    """Whether torch's allocator made the tensor's memory, as far as tests/cuda/ptx/allocations.cpp has seen."""
    find = ctypes.CDLL(None).gapo_allocation_of
    find.argtypes, find.restype = (ctypes.c_uint64, ctypes.c_size_t), ctypes.c_uint64
    storage = tensor.untyped_storage()
    return storage.nbytes() == 0 or find(storage.data_ptr(), storage.nbytes()) != 0


def gpu_ops() -> DeviceOps | InterpretedOps:
    """What the tests of tests/gpu compare with the CPU."""
    return DeviceOps("cuda") if INTERPRETED is None else InterpretedOps()
