"""A sorted group in memory: what a block finds out about a span of its ranks, and what follows for the group.

A group that is one block's is one span. Several blocks that share a group bring their spans' findings together.
"""

import triton
import triton.language as tl

from gapo_kernels.triton_kernels.formulas import anchor_of, middle, window_end


@triton.jit
def value_at(s, rank, n):
    """The reward of one rank; 0 where there is no such rank."""
    return tl.load(s + rank, mask=(rank >= 0) & (rank < n), other=0.0).to(tl.float64)


@triton.jit
def ends_of(s, n, size):
    """The least and the largest of the n valid rewards; whether any of the size values is NaN.

    NaN lies last; where values are sorted by their bits, as torch does on a GPU, one with the sign bit lies first.
    """
    first, last = value_at(s, size * 0, size), value_at(s, size - 1, size)
    return value_at(s, n * 0, n), value_at(s, n - 1, n), (first != first) | (last != last)


@triton.jit
def narrowest_window(s, k, n, first_rank, end, CHUNK: tl.constexpr):
    """Of the windows of k rewards that start at ranks first_rank … end - 1: the least width, and its leftmost start.

    Infinity and n where none has a width.
    """
    best = tl.full([CHUNK], float("inf"), tl.float64)
    start = tl.zeros([CHUNK], tl.int64) + n
    for first in range(first_rank, tl.minimum(end, n - k + 1), CHUNK):
        rank = first + tl.arange(0, CHUNK)
        inside = (rank < end) & (rank + k <= n)
        low = tl.load(s + rank, mask=inside, other=float("nan")).to(tl.float64)
        width = tl.load(s + rank + k - 1, mask=inside, other=0.0).to(tl.float64) - low
        narrower = (width < best) | ((width == width) & (start == n))
        best = tl.where(narrower, width, best)
        start = tl.where(narrower, rank, start)
    return tl.min(best), leftmost(best, start, n)


@triton.jit
def leftmost(width, start, n):
    """The first of the starts whose width is the least; n where there is none."""
    return tl.min(tl.where(width == tl.min(width), start, n))


@triton.constexpr_function
def averages(center):
    """Whether the centre is a mean."""
    return center in ("mean", "loo_mean", "hdi_mean")


@triton.jit
def averaged(s, n, k, start, low, center: tl.constexpr):
    """The ranks first … end - 1 whose mean is the centre, and the member about which it is taken."""
    if center == "hdi_mean":
        return start, tl.minimum(start + k, n), anchor_of(value_at(s, start, n))
    else:
        return n * 0, n, anchor_of(low)


@triton.jit
def sum_about(s, anchor, first_rank, end, CHUNK: tl.constexpr):
    """Of the rewards of ranks first_rank … end - 1, each less the anchor."""
    total = tl.zeros([CHUNK], tl.float64)
    for first in range(first_rank, end, CHUNK):
        rank = first + tl.arange(0, CHUNK)
        x = tl.load(s + rank, mask=rank < end, other=0.0).to(tl.float64)
        total += tl.where(rank < end, x - anchor, 0.0)
    return tl.sum(total)


@triton.jit
def center_of(s, n, k, start, low, total, center: tl.constexpr):
    """Q before it is rounded; start is that of the window, total the sum over the averaged ranks."""
    if center == "none":
        return tl.full([], 0.0, tl.float64)
    elif center == "quantile":
        return value_at(s, k - 1, n)
    elif center == "median":
        return middle(value_at(s, (n - 1) // 2, n), value_at(s, n // 2, n))
    elif center == "hdi_median":
        q = middle(value_at(s, start + (k - 1) // 2, n), value_at(s, start + k // 2, n))
        return tl.where(start == n, float("nan"), q)
    else:  # NaN where there is no window: no rank is averaged
        first, end, anchor = averaged(s, n, k, start, low, center)
        return anchor + total / (end - first).to(tl.float64)


@triton.jit
def sum_of_squares(s, q, first_rank, end, CHUNK: tl.constexpr):
    """About Q, of the ranks first_rank … end - 1."""
    total = tl.zeros([CHUNK], tl.float64)
    for first in range(first_rank, end, CHUNK):
        rank = first + tl.arange(0, CHUNK)
        deviation = tl.load(s + rank, mask=rank < end, other=0.0).to(tl.float64) - q
        total += tl.where(rank < end, deviation * deviation, 0.0)
    return tl.sum(total)


@triton.jit
def least_reach(s, m, n, q, first_rank, end, CHUNK: tl.constexpr):
    """How far m + 1 neighbours reach from Q at least, over those that start at ranks first_rank … end - 1.

    Over all ranks that is the (m + 1)-th smallest |reward - Q|.
    """
    least = tl.full([CHUNK], float("inf"), tl.float64)
    for first in range(first_rank, tl.minimum(end, n - m), CHUNK):
        rank = first + tl.arange(0, CHUNK)
        inside = (rank < end) & (rank + m < n)
        low = tl.abs(tl.load(s + rank, mask=inside, other=float("inf")).to(tl.float64) - q)
        high = tl.abs(tl.load(s + rank + m, mask=inside, other=float("inf")).to(tl.float64) - q)
        least = tl.minimum(least, tl.maximum(low, high))
    return tl.min(least)


@triton.jit
def reported_window(s, n, k, start, low, has_nan):
    """The ends of the window for the statistics."""
    lower = window_end(value_at(s, start, n), low, n, start == n, has_nan)
    return lower, window_end(value_at(s, start + k - 1, n), low, n, start == n, has_nan)
