"""From a position to its row: how the scoring kernels read rewards and masks, and write scores."""

import triton
import triton.language as tl


@triton.jit
def load_rows(pointer, rows, position, inside, other):
    """What lies at the positions, and in which rows; position p is row rows[p], or p itself where rows is None."""
    at = position
    if rows is not None:
        at = tl.load(rows + position, mask=inside, other=0)
    return tl.load(pointer + at, mask=inside, other=other), at


@triton.jit
def write_scores(rewards, valid, rows, advantage, position, inside, q, inverse, precision: tl.constexpr):
    """The reward less Q, times the inverse of S + eps; 0 where it is not valid."""
    reward, at = load_rows(rewards, rows, position, inside, 0.0)
    score = (reward.to(tl.float64) - q) * inverse
    if valid is not None:
        score = tl.where(tl.load(valid + at, mask=inside, other=0) != 0, score, 0.0)
    tl.store(advantage + at, score.to(precision), mask=inside)
