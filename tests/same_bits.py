"""Equality to the last bit, in which NaN equals itself and 0 differs from -0."""

from __future__ import annotations

from collections.abc import Sequence

import torch

Results = torch.Tensor | Sequence[torch.Tensor]  # what any op returns, or those of several calls


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.cpu().contiguous().view(torch.uint8)


def assert_same_bits(found: Results, expected: Results, what: object = "") -> None:
    for result, wanted in zip(as_tuple(found), as_tuple(expected), strict=True):
        assert torch.equal(bits(result), bits(wanted)), what or list(wanted.shape)


def as_tuple(results: Results) -> tuple[torch.Tensor, ...]:
    return (results,) if isinstance(results, torch.Tensor) else tuple(results)
