"""Which task comes next: an endless shuffled order, a function of (seed, position), so that resuming is exact."""

from __future__ import annotations

import numpy as np


class TaskSampler:
    """Walks through ``size`` tasks epoch by epoch, each epoch in a new order.

    Args:
        size: number of tasks, at least 1.
        seed: of the orders.
        position: tasks handed out so far; the whole state.
    """

    def __init__(self, size: int, seed: int, position: int = 0) -> None:
        if size < 1:
            raise ValueError(f"TaskSampler expects size >= 1, got {size}")
        self.size, self.seed, self.position = size, seed, position
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def take(self, count: int) -> list[int]:
        """The indices of the next ``count`` tasks."""
        return [self._next() for _ in range(count)]

    def _next(self) -> int:
        epoch, place = divmod(self.position, self.size)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, np.random.default_rng((self.seed, epoch)).permutation(self.size)
        self.position += 1
        return int(self._order[place])
