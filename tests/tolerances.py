"""What the float64 reference says of tensors, and how near a result has to be to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from gapo_kernels import reference

# The advantage is rounded to its dtype once; float32 and float64 leave room for the order of sums.
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-9, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def by_definition(
    rewards: torch.Tensor, ids: torch.Tensor | None = None, valid: torch.Tensor | None = None, **rule: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The reference's advantages and statistics of tensors; it reads float16 and bfloat16 up to float32."""
    values = rewards if rewards.dtype == torch.float64 else rewards.float()
    given_ids, mask = (None if tensor is None else tensor.numpy() for tensor in (ids, valid))
    return reference.advantage(values.numpy(), given_ids, valid=mask, **rule)


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
