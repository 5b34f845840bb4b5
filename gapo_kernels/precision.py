"""The precision that the op computes in; gapo_kernels/reference.py says what is rounded to it."""

from __future__ import annotations

import torch


def precision_of(dtype: torch.dtype) -> torch.dtype:
    """float64 for float64 rewards, float32 for all others."""
    return torch.promote_types(dtype, torch.float32)
