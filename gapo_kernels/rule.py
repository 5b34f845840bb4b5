"""What a call computes for each group, as one value."""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """The op's options, in its order."""

    tau: float
    center: str
    scale: str
    eps: float
