"""From token-level rewards to the rewards of rows, as frameworks hand them over."""

from __future__ import annotations

import torch
from torch import Tensor

from gapo_kernels.precision import precision_of

ROWS_AT_A_TIME = 64  # summed in float64, of which torch makes a copy: small enough for a cache


def are_scorable(token_rewards: Tensor) -> Tensor:
    """[N, L] -> whether each row could be scored, bool [N]: a NaN says that it could not."""
    return ~token_rewards.sum(-1, dtype=precision_of(token_rewards.dtype)).isnan()


def sum_rows(token_rewards: Tensor) -> Tensor:
    """[N, L] -> each row's reward [N] as the op has it: summed in float64, then rounded to the op's precision.

    Many times slower than ``are_scorable``, and so for metrics, which must not contradict the advantages.
    """
    sums = [rows.sum(-1, dtype=torch.float64) for rows in token_rewards.split(ROWS_AT_A_TIME)]
    return torch.cat(sums).to(precision_of(token_rewards.dtype))


def as_valid(scorable: Tensor) -> Tensor | None:
    """The op's ``valid``: None where every row could be scored, for which nothing is copied. Waits for a GPU."""
    return None if scorable.all() else scorable
