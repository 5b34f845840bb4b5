"""Groups above 1,024 rewards: a block a group, which walks over the group's sorted rewards in memory.

Dense rewards come sorted by torch. Of a ragged batch only the device knows which groups are long, so the block sorts
its group itself: runs in registers, as ``short_groups.py`` does, then runs are merged two by two, each reward finding
its place by a binary search in the other run. That costs nothing where no group is long.
"""

import triton
import triton.language as tl

from gapo_kernels.triton_kernels.formulas import (
    anchor_of,
    as_row,
    corrected,
    is_finite,
    middle,
    needs_window,
    rounded_center,
    scale_and_inverse,
    window_end,
    window_size,
)
from gapo_kernels.triton_kernels.registers import collect, sort_group, spread
from gapo_kernels.triton_kernels.short_groups import POINTERS, RUNTIME, group_bounds, load_rows


@triton.jit
def sort_runs(rewards, rows, begin, size, out, precision: tl.constexpr,
              RUNS: tl.constexpr, LANES: tl.constexpr, R: tl.constexpr):  # fmt: skip
    """Each LANES * R rewards of the group sorted, in ``out`` [size]; RUNS such runs at a time, in registers."""
    run = tl.arange(0, RUNS)[:, None] * (LANES * R) + tl.arange(0, LANES * R)[None, :]
    lane = tl.arange(0, LANES)[None, :]
    for first in range(0, size, RUNS * LANES * R):
        column = first + run
        inside = column < size
        tile, _rows = load_rows(rewards, rows, begin + column, inside, float("inf"))
        v = sort_group(spread(tile.to(precision), RUNS, LANES, R), lane, LANES, R)
        tl.store(out + column, collect(v, RUNS, LANES, R), mask=inside)


@triton.jit
def merge_runs(runs, merged, size, run, CHUNK: tl.constexpr):
    """Merges neighbours of the sorted runs of ``run`` rewards; of equal rewards those of the left run come first."""
    for first in range(0, size, CHUNK):
        column = first + tl.arange(0, CHUNK)
        inside = column < size
        x = tl.load(runs + column, mask=inside, other=0.0)
        own = column // run * run
        in_left = column // run % 2 == 0
        other = tl.minimum(tl.where(in_left, own + run, own - run), size)
        low = other
        high = tl.minimum(other + run, size)
        step = run
        while step > 0:  # the least position of the other run that does not come before x
            probe = (low + high) // 2
            y = tl.load(runs + probe, mask=inside & (low < high), other=0.0)
            before = tl.where(in_left, y < x, y <= x) & (low < high)
            low = tl.where(before, probe + 1, low)
            high = tl.where(before, high, probe)
            step = step // 2
        place = tl.minimum(own, other) + (column - own) + (low - other)
        tl.store(merged + place, x, mask=inside)


@triton.jit
def narrowest_window(s, k, n, CHUNK: tl.constexpr):
    """Rank at which the leftmost narrowest window of k rewards starts; n where none has a width."""
    best = tl.full([CHUNK], float("inf"), tl.float64)
    start = tl.zeros([CHUNK], tl.int64) + n
    for first in range(0, n - k + 1, CHUNK):
        rank = first + tl.arange(0, CHUNK)
        inside = rank + k <= n
        low = tl.load(s + rank, mask=inside, other=float("nan")).to(tl.float64)
        width = tl.load(s + rank + k - 1, mask=inside, other=0.0).to(tl.float64) - low
        narrower = (width < best) | ((width == width) & (start == n))
        best = tl.where(narrower, width, best)
        start = tl.where(narrower, rank, start)
    return tl.min(tl.where(best == tl.min(best), start, n))


@triton.jit
def mean_between(s, first_rank, end, anchor, CHUNK: tl.constexpr):
    """The mean of the rewards of ranks first_rank … end - 1, taken about the anchor."""
    total = tl.zeros([CHUNK], tl.float64)
    for first in range(first_rank, end, CHUNK):
        rank = first + tl.arange(0, CHUNK)
        x = tl.load(s + rank, mask=rank < end, other=0.0).to(tl.float64)
        total += tl.where(rank < end, x - anchor, 0.0)
    return anchor + tl.sum(total) / (end - first_rank).to(tl.float64)


@triton.jit
def sum_of_squares(s, n, q, CHUNK: tl.constexpr):
    """About Q."""
    total = tl.zeros([CHUNK], tl.float64)
    for first in range(0, n, CHUNK):
        rank = first + tl.arange(0, CHUNK)
        deviation = tl.load(s + rank, mask=rank < n, other=0.0).to(tl.float64) - q
        total += tl.where(rank < n, deviation * deviation, 0.0)
    return tl.sum(total)


@triton.jit
def ordered_deviation(s, m, n, q, CHUNK: tl.constexpr):
    """The (m + 1)-th smallest |reward - Q|: how far m + 1 neighbours reach at least, over all such neighbours."""
    least = tl.full([CHUNK], float("inf"), tl.float64)
    for first in range(0, n - m, CHUNK):
        rank = first + tl.arange(0, CHUNK)
        inside = rank + m < n
        low = tl.abs(tl.load(s + rank, mask=inside, other=float("inf")).to(tl.float64) - q)
        high = tl.abs(tl.load(s + rank + m, mask=inside, other=float("inf")).to(tl.float64) - q)
        least = tl.minimum(least, tl.maximum(low, high))
    return tl.min(least)


@triton.jit
def median_deviation(s, n, q, CHUNK: tl.constexpr):
    """The median of |reward - Q|; NaN where Q is infinite, and so a member itself: inf - inf."""
    low = ordered_deviation(s, (n - 1) // 2, n, q, CHUNK)
    return tl.where(is_finite(q), middle(low, ordered_deviation(s, n // 2, n, q, CHUNK)), float("nan"))


@triton.jit
def value_at(s, rank, n):
    """The reward of one rank; 0 where there is no such rank."""
    return tl.load(s + rank, mask=(rank >= 0) & (rank < n), other=0.0).to(tl.float64)


@triton.jit
def center_of(s, n, k, start, low, center: tl.constexpr, CHUNK: tl.constexpr):
    """Q before it is rounded; start is what narrowest_window returned."""
    if center == "none":
        return tl.full([], 0.0, tl.float64)
    elif (center == "mean") or (center == "loo_mean"):
        return mean_between(s, n * 0, n, anchor_of(low), CHUNK)
    elif center == "quantile":
        return value_at(s, k - 1, n)
    elif center == "median":
        return middle(value_at(s, (n - 1) // 2, n), value_at(s, n // 2, n))
    else:
        if center == "hdi_median":
            q = middle(value_at(s, start + (k - 1) // 2, n), value_at(s, start + k // 2, n))
        else:
            q = mean_between(s, start, tl.minimum(start + k, n), anchor_of(value_at(s, start, n)), CHUNK)
        return tl.where(start == n, float("nan"), q)


@triton.jit
def score_group(
    rewards, valid, rows, advantage, stats, group, begin, size, tau, eps, center: tl.constexpr, scale: tl.constexpr,
    runs, spare, CHUNK: tl.constexpr, RUNS: tl.constexpr, LANES: tl.constexpr, R: tl.constexpr,
):  # fmt: skip
    """Sorts one group where that was not done before, and scores it."""
    precision: tl.constexpr = tl.float64 if rewards.dtype.element_ty == tl.float64 else tl.float32
    s = runs + begin
    if spare is not None:
        sort_runs(rewards, rows, begin, size, s, precision, RUNS, LANES, R)
        merged = spare + begin
        run = size * 0 + LANES * R
        while run < size:
            tl.debug_barrier()  # the block reads what its other threads wrote
            merge_runs(s, merged, size, run, CHUNK)
            s, merged = merged, s
            run = run * 2
        tl.debug_barrier()

    n = size * 0
    spoiled = tl.zeros([CHUNK], tl.int32)
    for first in range(0, size, CHUNK):
        column = first + tl.arange(0, CHUNK)
        reward, at = load_rows(rewards, rows, begin + column, column < size, 0.0)
        kept = column < size
        if valid is not None:
            kept = tl.load(valid + at, mask=kept, other=0) != 0
        n += tl.sum(kept.to(tl.int64))
        spoiled = spoiled | (reward != reward).to(tl.int32)
    has_nan = tl.max(spoiled) != 0

    low = value_at(s, n * 0, n)
    constant = (low == value_at(s, n - 1, n)) & is_finite(low)
    k = window_size(n, tau)
    start = n * 0
    if needs_window(center, stats is not None):
        start = narrowest_window(s, k, n, CHUNK)
    q = rounded_center(center_of(s, n, k, start, low, center, CHUNK), low, constant, precision)
    deviation = q
    if scale == "rms":
        deviation = sum_of_squares(s, n, q, CHUNK)
    elif scale == "mad":
        deviation = median_deviation(s, n, q, CHUNK)
    s_scale, inverse = scale_and_inverse(n, deviation, eps, center, scale)
    q, s_scale, inverse = corrected(q, s_scale, inverse, n, constant, has_nan, eps, scale)
    if stats is not None:
        lower = window_end(value_at(s, start, n), low, n, start == n, has_nan)
        upper = window_end(value_at(s, start + k - 1, n), low, n, start == n, has_nan)
        report = as_row(q, s_scale, lower, upper).to(precision)
        index = group if rows is None else begin
        tl.store(stats + index * 4 + tl.arange(0, 4)[None, :], report)

    for first in range(0, size, CHUNK):
        column = first + tl.arange(0, CHUNK)
        inside = column < size
        reward, at = load_rows(rewards, rows, begin + column, inside, 0.0)
        score = (reward.to(tl.float64) - q) * inverse
        if valid is not None:
            score = tl.where(tl.load(valid + at, mask=inside, other=0) != 0, score, 0.0)
        tl.store(advantage + at, score.to(precision), mask=inside)


@triton.jit(do_not_specialize=RUNTIME, do_not_specialize_on_alignment=[*POINTERS, "runs", "spare"])
def long_groups(
    rewards,  # [total]; +inf where not valid
    valid,  # [total] or None
    begins,  # [groups], or by position, or None where all groups have group_size rewards
    ends,  # as begins
    rows,  # [total] or None: position p is row rows[p] of rewards, valid and advantage
    advantage,  # [total]
    stats,  # [groups, 4], with rows [total, 4], where a group's row is the position at which it begins; or None
    count: tl.int64,  # of groups; with rows, of positions
    group_size: tl.int64,
    above: tl.int64,  # ragged: only groups of more rewards than this
    total: tl.int64,  # rewards
    tau: tl.float64,
    eps: tl.float64,
    center: tl.constexpr,
    scale: tl.constexpr,
    runs,  # [total]: the sorted groups, or scratch of the precision
    spare,  # [total] of scratch, or None where runs are sorted
    CHUNK: tl.constexpr,
    RUNS: tl.constexpr,
    LANES: tl.constexpr,
    R: tl.constexpr,
):
    """Scores each group of more than ``above`` rewards, a block one after the other: there may be none, or many."""
    groups = count if rows is None else (count + above) // (above + 1)  # as group_bounds looks at them
    for group in range(tl.program_id(0).to(tl.int64), groups, tl.num_programs(0)):
        begin, size = group_bounds(group, begins, ends, rows, count, group_size, above, total, None)
        if size > 0:
            score_group(
                rewards, valid, rows, advantage, stats, group, begin, size, tau, eps, center, scale,
                runs, spare, CHUNK, RUNS, LANES, R,
            )  # fmt: skip
