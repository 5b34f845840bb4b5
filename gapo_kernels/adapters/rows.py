"""From token-level rewards to the rewards of rows, as frameworks hand them over."""

from __future__ import annotations

from torch import Tensor

from gapo_kernels.precision import precision_of


def score_rows(token_rewards: Tensor) -> tuple[Tensor, Tensor]:
    """[N, L] -> each row's reward [N], in the precision of the op, and whether it could be scored, bool [N].

    A NaN says that it could not.
    """
    rewards = token_rewards.sum(-1, dtype=precision_of(token_rewards.dtype))
    return rewards, ~rewards.isnan()


def as_valid(scorable: Tensor) -> Tensor | None:
    """The op's ``valid``: None where every row could be scored, for which nothing is copied. Waits for a GPU."""
    return None if scorable.all() else scorable
