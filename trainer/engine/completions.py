"""A prompt's completions as tensors, the samples drawn with them, and which of them are equal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Completions:
    """Completions of one prompt, padded on the right.

    Attributes:
        tokens: int64 [rows, longest]; what lies behind a row's length is any valid token id and is never read.
        lengths: int64 [rows], each 1 … longest, end-of-sequence token included.
    """

    tokens: Tensor
    lengths: Tensor

    def __post_init__(self) -> None:
        if self.tokens.dtype != torch.int64 or self.tokens.ndim != 2:
            raise ValueError(f"tokens expects int64 [rows, longest], got {describe(self.tokens)}")
        if self.lengths.dtype != torch.int64 or self.lengths.shape != self.tokens.shape[:1]:
            raise ValueError(f"lengths expects int64 [{len(self.tokens)}], got {describe(self.lengths)}")
        if self.tokens.numel() == 0:
            raise ValueError(f"tokens expects at least one completion of one token, got {describe(self.tokens)}")
        shortest, longest = self.lengths.aminmax()
        if shortest < 1 or longest > self.tokens.shape[1]:
            raise ValueError(f"lengths expects 1 … {self.tokens.shape[1]}, got {int(shortest)} … {int(longest)}")

    @classmethod
    def from_lists(cls, rows: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> Completions:
        """Completions from token ids, one non-empty list a row."""
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        tokens = torch.zeros(len(rows), max(map(len, rows), default=0), dtype=torch.int64)
        for padded, row in zip(tokens, rows, strict=True):
            padded[: len(row)] = torch.tensor(row, dtype=torch.int64)
        return cls(tokens.to(device), lengths.to(device))

    def to_lists(self) -> list[list[int]]:
        """Token ids, one list a row, without padding."""
        return [row[:length] for row, length in zip(self.tokens.tolist(), self.lengths.tolist(), strict=True)]

    @property
    def mask(self) -> Tensor:
        """True where there is a token: bool [rows, longest]."""
        return torch.arange(self.tokens.shape[1], device=self.tokens.device) < self.lengths[:, None]

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: Tensor | slice) -> Completions:
        """The chosen rows, padded to the longest of them only."""
        lengths = self.lengths[rows]
        return Completions(self.tokens[rows, : int(lengths.max())], lengths)

    def micro_batches(self, size: int) -> Iterator[Tensor]:
        """Row indices, int64, in batches of at most ``size``, of similar length so that little is spent on padding."""
        if size < 1:
            raise ValueError(f"size expects a value >= 1, got {size}")
        yield from torch.argsort(self.lengths, stable=True).split(size)


@dataclass(frozen=True)
class Samples:
    """What generation drew.

    Attributes:
        completions: the token ids.
        logprobs: float32 [rows, longest], of each token under the tempered distribution *before* top-p and top-k,
            0 behind a row's length: what scoring the completions with the same temperature gives, so that the ratio of
            policies starts at 1. At temperature 0 (greedy) they are those of temperature 1.
        ended: bool [rows], whether the row came to its end (otherwise it was cut off).
    """

    completions: Completions
    logprobs: Tensor
    ended: Tensor


class Distinct(NamedTuple):
    """Equal completions merged.

    Attributes:
        first: int64 [distinct], the first row of each distinct completion.
        inverse: int64 [rows], which distinct completion a row equals: ``x[first][inverse]`` spreads over all rows.
        counts: int64 [distinct], how many rows equal it.
    """

    first: Tensor
    inverse: Tensor
    counts: Tensor


def distinct(completions: Completions) -> Distinct:
    """Find equal completions, to score and train each once with its multiplicity as weight.

    Equal completions of a prompt have equal log-probs. Merging them is exact where they also have equal advantages,
    that is under a deterministic reward. Where rewards differ between equal completions (noise, a sampled judge), a
    mean of their advantages is exact only while the ratio of policies is 1, not once clipping acts.

    Args:
        completions: the completions of one prompt.

    Returns:
        The distinct ones; ``completions[result.first]`` are their tokens.
    """
    read = torch.where(completions.mask, completions.tokens, -1)  # no token is -1, so lengths are compared too
    _, inverse, counts = torch.unique(read, dim=0, return_inverse=True, return_counts=True)
    return Distinct(first_rows(inverse, len(counts)), inverse, counts)


def first_rows(inverse: Tensor, count: int) -> Tensor:
    """The first row of each of ``count`` kinds, int64 [count]; ``inverse``, int64 [rows], is the kind of each row."""
    rows = torch.arange(len(inverse), device=inverse.device)
    return rows.new_full((count,), len(inverse)).scatter_reduce(0, inverse, rows, "amin")


def describe(tensor: Tensor) -> str:
    """A tensor's dtype and shape, for messages."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def check_prompt(prompt_ids: Tensor) -> None:
    """Raise ``ValueError`` unless these are a prompt's token ids."""
    if prompt_ids.dtype != torch.int64 or prompt_ids.ndim != 1 or prompt_ids.numel() == 0:
        raise ValueError(f"prompt_ids expects int64 [prompt length], at least one token, got {describe(prompt_ids)}")
