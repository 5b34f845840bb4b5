"""Work that goes by the current device, not by that of its tensors."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def on_device(device: torch.device) -> AbstractContextManager[Any]:
    """The device is the current one within the block; nothing to do for a CPU."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
