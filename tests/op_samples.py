"""A small table of calls of all five ops, shared by the tests of what must hold for any call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from same_bits import as_tuple

from gapo_kernels.backends import OPS
from gapo_kernels.reference import CENTERS, SCALES

__all__ = ["CENTERS", "OPS", "SCALES"]
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Sample:
    """One call: ``torch.ops.gapo.<op>(*args, **options)``."""

    name: str
    op: str
    args: tuple
    options: dict = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.op}-{self.name}"

    @property
    def packet(self):
        return getattr(torch.ops.gapo, self.op)

    def call(self):
        return self.packet(*self.args, **self.options)

    def results(self) -> tuple[torch.Tensor, ...]:
        return as_tuple(self.call())


def rewards_of(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    """Skewed rewards on a grid of hundredths: ties of values and of windows are common, as in real scores."""
    drawn = torch.empty(shape, dtype=torch.float64).exponential_(generator=torch.Generator().manual_seed(seed))
    return ((drawn * 30).round() / 100).to(dtype)


def ids_of(rows: int, groups: int) -> torch.Tensor:
    """Scattered ids in no order: large, negative, with gaps."""
    drawn = torch.randint(groups, (rows,), generator=torch.Generator().manual_seed(0))
    return drawn * 1_000_003 - 7


def offsets_of(*sizes: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    return torch.tensor([0, *sizes]).cumsum(0).to(dtype)


def group_of_row(sizes: Sequence[int]) -> torch.Tensor:
    """The number of each row's group, where groups of these sizes lie one after the other."""
    return torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))


def _valid(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.8


def samples() -> list[Sample]:
    """Every op in every dtype, with every kind of argument, empty and non-contiguous inputs included."""
    table = []
    for dtype in DTYPES:
        kind = str(dtype).removeprefix("torch.")
        table += [
            Sample(kind, "advantage", (rewards_of(5, 16, dtype=dtype),)),
            Sample(kind, "advantage_varlen", (rewards_of(29, dtype=dtype), offsets_of(3, 0, 1, 17, 8), 17)),
            Sample(kind, "advantage_by_id", (rewards_of(40, dtype=dtype), ids_of(40, 6))),
            Sample(kind, "advantage_stats", (rewards_of(5, 9, dtype=dtype),)),
            Sample(kind, "token_advantage", (rewards_of(12, 7, dtype=dtype), _valid(12, 7), ids_of(12, 3))),
        ]
    flat, tokens, ids = rewards_of(29), rewards_of(12, 7), ids_of(12, 3)
    table += [
        Sample("one-group", "advantage", (rewards_of(33),)),
        Sample("three-dimensions", "advantage", (rewards_of(2, 3, 8),)),
        Sample("group-of-one", "advantage", (rewards_of(4, 1),)),
        Sample("sorted-group", "advantage", (rewards_of(2, 4097),)),  # the smallest that no column takes
        Sample("binned-group", "advantage", (rewards_of(2, 32_769),)),  # too large to be sorted on any CPU
        Sample("no-groups", "advantage", (rewards_of(0, 8),)),
        Sample("empty-groups", "advantage", (rewards_of(3, 0),)),
        Sample("transposed", "advantage", (rewards_of(8, 5).t(),)),
        Sample("every-second", "advantage", (rewards_of(5, 32)[:, ::2],)),
        Sample("expanded", "advantage", (rewards_of(8).expand(3, 8),)),
        Sample("valid", "advantage", (rewards_of(5, 16),), {"valid": _valid(5, 16)}),
        Sample("options", "advantage", (rewards_of(5, 16), 0.8, "hdi_mean", "mad", 1e-3)),
        Sample("int32-offsets", "advantage_varlen", (flat, offsets_of(20, 9, dtype=torch.int32), 20)),
        Sample("no-groups", "advantage_varlen", (rewards_of(0), offsets_of(), 0)),
        Sample("valid", "advantage_varlen", (flat, offsets_of(20, 9), 20), {"valid": _valid(29)}),
        Sample("every-second", "advantage_varlen", (rewards_of(58)[::2], offsets_of(20, 9), 64)),
        Sample("int8-ids", "advantage_by_id", (flat, (torch.arange(29) % 5 - 2).to(torch.int8))),
        Sample("int32-ids", "advantage_by_id", (flat, (torch.arange(29) % 5 - 2).to(torch.int32))),
        Sample("uint32-ids", "advantage_by_id", (flat, (torch.arange(29) % 5).to(torch.uint32))),
        Sample("no-rows", "advantage_by_id", (rewards_of(0), ids_of(0, 1))),
        Sample("valid", "advantage_by_id", (flat, ids_of(29, 4)), {"valid": _valid(29), "center": "loo_mean"}),
        Sample("ids", "advantage_stats", (flat, ids_of(29, 4))),
        Sample("ids-valid", "advantage_stats", (flat, ids_of(29, 4)), {"valid": _valid(29)}),
        Sample("empty-groups", "advantage_stats", (rewards_of(3, 0),)),
        Sample("transposed", "advantage_stats", (rewards_of(9, 5).t(),)),
        Sample("int64-mask", "token_advantage", (tokens, _valid(12, 7).long(), ids)),
        Sample("uint16-mask", "token_advantage", (tokens, _valid(12, 7).to(torch.uint16), ids)),
        Sample("float-mask", "token_advantage", (tokens, _valid(12, 7) * 0.5, ids), {"scale": "none"}),
        Sample("transposed", "token_advantage", (rewards_of(7, 12).t(), _valid(7, 12).t(), ids)),
        Sample("valid", "token_advantage", (tokens, _valid(12, 7), ids), {"valid": _valid(12)}),
        Sample("no-tokens", "token_advantage", (rewards_of(12, 0), _valid(12, 0), ids)),
        Sample("no-rows", "token_advantage", (rewards_of(0, 7), _valid(0, 7), ids_of(0, 1))),
    ]
    return table


SAMPLES = samples()
# opcheck compares the compiled result without equating NaN, which the statistics of groups of nothing are
WITHOUT_NAN = [sample for sample in SAMPLES if str(sample) != "advantage_stats-empty-groups"]
