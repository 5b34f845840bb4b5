"""Which rewards of a call are one group."""

from __future__ import annotations

from dataclasses import dataclass

import triton
from torch import Tensor


@dataclass(frozen=True)
class Groups:
    """Which rewards are one group.

    Attributes:
        count: of groups; where ``rows`` is given, of positions.
        max_group_size: no group that is longer is scored; all have this size where ``begins`` is None.
        begins: [groups] on the device, or by position, or None.
        ends: as ``begins``.
        rows: [N] or None: the row that lies at each position.
    """

    count: int
    max_group_size: int
    begins: Tensor | None = None
    ends: Tensor | None = None
    rows: Tensor | None = None

    @property
    def dense(self) -> bool:
        """All groups have one size, and lie one after the other."""
        return self.begins is None

    def candidates(self, above: int) -> int:
        """How many groups of more than ``above`` rewards there can be: what a grid has to cover."""
        return self.count if self.rows is None else triton.cdiv(self.count, above + 1)
