"""What is measured: tables of shapes, each for one form of the op. ``SMALL`` is a rehearsal of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from bench.forms import FORMS

# the shapes of the design: from one prompt batch of a small run to one group of a million
DENSE = [
    *((512, 16), (1024, 64), (8192, 32), (65536, 16), (1024, 1024)),
    *((4096, 1024), (64, 16384), (8, 131072), (1, 1048576)),
]
RAGGED = [(4096, 16), (512, 512)]  # groups, mean of their sizes
TOKENS = [(512, 16, 1024), (64, 64, 4096), (1024, 64, 1024)]
DTYPES = ("float32", "float64", "bfloat16", "float16")
SECONDS = 0.2  # of measuring a case, a turn
TOTAL = 1 << 20
SIZE = 64


@dataclass(frozen=True)
class Table:
    """Shapes of one form. ``peers`` names those who are measured, None all of them."""

    form: str
    shapes: list[tuple[int, ...]]
    peers: tuple[str, ...] | None = None
    dtypes: tuple[str, ...] = ("float32",)
    threads: tuple[int, ...] = (1,)


SWEPT = ("gapo", "triton", "torch", "numpy", "numpy.sort", "copy")

TABLES = {
    "dense": Table("advantage", DENSE, threads=(1, 2)),
    "ragged": Table("advantage_varlen", RAGGED, threads=(1, 2)),
    "unordered": Table("advantage_by_id", RAGGED, threads=(1, 2)),
    "tokens": Table("token_advantage", TOKENS, threads=(1, 2)),
    "masked": Table("advantage, masked", [(1024, 64), (8192, 32), (1024, 1024)], threads=(1, 2)),
    "dtypes": Table(
        "advantage",
        [(1024, 64), (8192, 32), (1024, 1024)],
        ("gapo", "triton", "torch", "copy"),
        DTYPES,
    ),
    "token_dtypes": Table(
        "token_advantage",
        [(512, 16, 1024), (64, 64, 4096)],
        ("gapo", "triton", "torch", "torch, mean", "copy, warm memory"),
        DTYPES,
    ),
    "by_size": Table("advantage", [(TOTAL >> power, 1 << power) for power in range(1, 21)], SWEPT),
    "by_batch": Table(
        "advantage", [(1 << power, SIZE) for power in range(0, 15, 2)], (*SWEPT, "empty call", "empty kernel")
    ),
}

MAIN_TABLES = ("dense", "tokens", "unordered", "ragged")  # one a form, the most important first

QUICK = ("gapo", "triton", "torch", "numpy", "numpy.sort", "copy", "empty call", "empty kernel")  # nothing to compile
SMALL = {
    "dense": Table("advantage", [(16, 8), (2, 64)], QUICK),
    "ragged": Table("advantage_varlen", [(16, 8)]),
    "unordered": Table("advantage_by_id", [(16, 8)]),
    "tokens": Table("token_advantage", [(4, 4, 8)]),
    "masked": Table("advantage, masked", [(16, 8)]),
    "dtypes": Table("advantage", [(16, 8)], ("gapo", "triton", "torch", "copy"), ("float32", "bfloat16")),
    "token_dtypes": Table("token_advantage", [(4, 4, 8)], ("gapo", "triton", "torch"), ("float32", "bfloat16")),
    "by_size": Table("advantage", [(64, 4), (4, 64)], SWEPT),
    "by_batch": Table("advantage", [(1, 64), (4, 64)], (*SWEPT, "empty call", "empty kernel")),
}


@dataclass(frozen=True)
class Case:
    """One figure: the peer, the shape and its table, the dtype and the number of threads."""

    table: str
    form: str
    peer: str
    shape: tuple[int, ...]
    dtype: str
    threads: int

    def __str__(self) -> str:
        return "-".join([self.peer, "x".join(map(str, self.shape)), self.dtype, str(self.threads)]).replace(" ", "_")


def cases(name: str, table: Table, device: str = "cpu") -> list[Case]:
    """The cases of a table on a device: peers of one shape one after the other, so that they meet the same machine."""
    found = []
    for shape in table.shapes:
        for dtype in table.dtypes:
            for threads in table.threads if device == "cpu" else (1,):
                for peer, who in FORMS[table.form].peers.items():
                    if device not in who.devices or (table.peers is not None and peer not in table.peers):
                        continue
                    if who.at_most is not None and prod(shape[:2]) > who.at_most:
                        continue
                    found.append(Case(name, table.form, peer, shape, dtype, threads))
    return found
