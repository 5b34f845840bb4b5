"""torch.ops.gapo for tensors of the CPU, computed on another device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def moved(value: Any, device: str | torch.device) -> Any:
    """Tensors, and tuples of them, on that device; everything else as it is."""
    if isinstance(value, tuple):
        return tuple(moved(item, device) for item in value)
    return value.to(device) if isinstance(value, torch.Tensor) else value


class DeviceOps:
    """Each op of ``torch.ops.gapo``: arguments go to the device, results come back."""

    def __init__(self, device: str) -> None:
        self.device = device

    def __getattr__(self, op: str) -> Callable[..., Any]:
        packet = getattr(torch.ops.gapo, op)

        def call(*args: Any, **options: Any) -> Any:
            options = {name: moved(value, self.device) for name, value in options.items()}
            return moved(packet(*moved(args, self.device), **options), "cpu")

        return call
