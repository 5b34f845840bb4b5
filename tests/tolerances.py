"""How near a result has to be to the float64 reference."""

from __future__ import annotations

import numpy as np
import torch

# The advantage is rounded to its dtype once; float32 and float64 leave room for the order of sums.
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-9, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def as_precision(rewards: torch.Tensor) -> np.ndarray:
    """What the op computes from: float16 and bfloat16 are read up to float32."""
    return rewards.numpy() if rewards.dtype == torch.float64 else rewards.float().numpy()


def rounded(values: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """Reference values in the dtype of the result, by way of the precision of the computation."""
    precision = torch.float64 if dtype == torch.float64 else torch.float32
    return torch.from_numpy(values).to(precision).to(dtype).double()


def assert_close(result: torch.Tensor, expected: np.ndarray, dtype: torch.dtype, what: str = "result") -> None:
    """``result`` has that dtype, and the reference's values as far as it can hold them."""
    assert result.dtype == dtype, what
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(
        result.double(),
        rounded(expected, dtype),
        rtol=tolerance,
        atol=tolerance,
        equal_nan=True,
        msg=lambda text: f"{what}: {text}",
    )
