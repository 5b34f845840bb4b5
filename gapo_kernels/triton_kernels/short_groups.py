"""Groups of up to 1,024 rewards: each is sorted in registers, and the whole op is one launch.

A block scores GROUPS groups, each by LANES threads with R rewards; ``tiers.py`` chooses. All counts and sizes are
run-time arguments: one kernel a class, whatever the group sizes.
"""

import triton
import triton.language as tl

from gapo_kernels.triton_kernels.bounds import POINTERS, RUNTIME, group_bounds
from gapo_kernels.triton_kernels.formulas import (
    anchor_of,
    as_row,
    corrected,
    is_finite,
    middle,
    middle_deviation,
    needs_window,
    precision_of,
    rounded_center,
    scale_and_inverse,
    window_end,
    window_size,
)
from gapo_kernels.triton_kernels.registers import shift_ranks, sort_group, spread, value_at
from gapo_kernels.triton_kernels.rows import load_rows, write_scores


@triton.jit
def in_group(column, size, full: tl.constexpr):
    """Whether a column is the group's. Of a full group all are: a mask with no column in it allows 16-byte accesses."""
    if full:
        return size > 0
    else:
        return column < size


@triton.jit
def count_valid(valid, rows, begin, size, most, lane, LANES: tl.constexpr):
    """How many of each group's rewards are valid, [groups, 1]; no group has more than ``most``.

    One flag a thread at a time, as the sorted values lie: in another layout the compiler would sort there once more.
    """
    n = tl.zeros([size.shape[0], LANES], tl.int32)
    for first in range(0, most, LANES):
        column = first + lane
        kept, _rows = load_rows(valid, rows, begin + column, column < size, 0)
        n += (kept != 0).to(tl.int32)
    return tl.sum(n, axis=1, keep_dims=True)


@triton.jit
def narrowest_window(s, k, n, lane, LANES: tl.constexpr, R: tl.constexpr):
    """Rank, [groups, 1], at which the leftmost narrowest window of k rewards starts; LANES * R: none has a width."""
    last = shift_ranks(s, k - 1, lane, LANES, R)
    best = tl.full(s[0].shape, float("inf"), tl.float64)
    start = tl.full(s[0].shape, LANES * R, tl.int32)
    rightmost = n - k - lane * R  # so, here and below, a rank's test is one instruction, with r in it
    for r in tl.static_range(R - 1, -1, -1):
        # Downwards, so that of equal widths the leftmost is taken last. No comparison with NaN holds.
        width = last[r].to(tl.float64) - s[r].to(tl.float64)
        narrower = (width <= best) & (r <= rightmost)
        best = tl.where(narrower, width, best)
        start = tl.where(narrower, r, start)
    least = tl.min(best, axis=1, keep_dims=True)
    return tl.min(tl.where(best == least, lane * R + start, LANES * R), axis=1, keep_dims=True)


@triton.jit
def mean_between(s, first, end, anchor, lane, R: tl.constexpr):
    """The mean of the rewards of ranks first … end - 1, taken about the anchor."""
    total = tl.zeros_like(s[0]).to(tl.float64)
    for r in tl.static_range(R):
        inside = (r >= first - lane * R) & (r < end - lane * R)
        total += tl.where(inside, s[r].to(tl.float64) - anchor, 0.0)
    return anchor + tl.sum(total, axis=1, keep_dims=True) / (end - first).to(tl.float64)


@triton.jit
def sum_of_squares(s, n, q, lane, R: tl.constexpr):
    """About Q."""
    total = tl.zeros_like(s[0]).to(tl.float64)
    for r in tl.static_range(R):
        deviation = s[r].to(tl.float64) - q
        total += tl.where(r < n - lane * R, deviation * deviation, 0.0)
    return tl.sum(total, axis=1, keep_dims=True)


@triton.jit
def ordered_deviation(s, m, n, q, lane, LANES: tl.constexpr, R: tl.constexpr):
    """The (m + 1)-th smallest |reward - Q|: how far m + 1 neighbours reach at least, over all such neighbours."""
    last = shift_ranks(s, m, lane, LANES, R)
    least = tl.zeros_like(s[0]).to(tl.float64) + float("inf")
    for r in tl.static_range(R):
        reach = tl.maximum(tl.abs(s[r].to(tl.float64) - q), tl.abs(last[r].to(tl.float64) - q))
        least = tl.minimum(least, tl.where(lane * R + r + m < n, reach, float("inf")))
    return tl.min(least, axis=1, keep_dims=True)


@triton.jit
def median_deviation(s, n, q, lane, LANES: tl.constexpr, R: tl.constexpr):
    """The median of |reward - Q|."""
    # Two values: of one that had both names, Triton would not see that the loop gives the other to low.
    low, high = q, tl.zeros_like(q)
    for i in range(2):  # at run time: both at once would not fit into the registers
        low = high
        high = ordered_deviation(s, (n - 1 + i) // 2, n, q, lane, LANES, R)
    return middle_deviation(low, high, q)


@triton.jit
def center_of(s, n, k, start, low, lane, center: tl.constexpr, LANES: tl.constexpr, R: tl.constexpr):
    """Q before it is rounded; start is what narrowest_window returned."""
    if center == "none":
        return tl.zeros_like(low).to(tl.float64)
    elif (center == "mean") or (center == "loo_mean"):
        return mean_between(s, 0, n, anchor_of(low.to(tl.float64)), lane, R)
    elif center == "quantile":
        return value_at(s, k - 1, LANES, R).to(tl.float64)
    elif center == "median":
        low_middle = value_at(s, (n - 1) // 2, LANES, R).to(tl.float64)
        return middle(low_middle, value_at(s, n // 2, LANES, R).to(tl.float64))
    else:
        if center == "hdi_median":
            low_middle = value_at(s, start + (k - 1) // 2, LANES, R).to(tl.float64)
            q = middle(low_middle, value_at(s, start + k // 2, LANES, R).to(tl.float64))
        else:
            anchor = anchor_of(value_at(s, start, LANES, R).to(tl.float64))
            q = mean_between(s, start, start + k, anchor, lane, R)
        return tl.where(start == LANES * R, float("nan"), q)


@triton.jit(do_not_specialize=RUNTIME, do_not_specialize_on_alignment=POINTERS)
def short_groups(
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
    full: tl.constexpr,  # group_size is LANES * R
    LANES: tl.constexpr,
    R: tl.constexpr,
    LOADED: tl.constexpr,
    GROUPS: tl.constexpr,
):
    """Scores each group of more than ``above`` and at most LANES * R rewards."""
    precision: tl.constexpr = precision_of(rewards.dtype.element_ty)
    if full:
        group_size = LANES * R
    group = tl.program_id(0).to(tl.int64) * GROUPS + tl.arange(0, GROUPS)[:, None]
    begin, size = group_bounds(group, begins, ends, rows, count, group_size, above, total, LANES * R)
    size = size.to(tl.int32)
    if begins is not None:
        most = tl.max(size)
    elif full:
        most = LANES * R
    else:  # the same for every block: nothing is to be reduced before the first load
        most = group_size.to(tl.int32)
    if most > 0:
        lane = tl.arange(0, LANES)[None, :]
        v = ()
        width: tl.constexpr = min(LANES * R, 8 * LANES)
        n = size
        if valid is not None:
            n = count_valid(valid, rows, begin, size, most, lane, LANES)
        elif full:  # known to the compiler: it drops the comparisons with n
            n = tl.full(size.shape, LANES * R, tl.int32)
        for piece in tl.static_range(R // LOADED):
            place = piece * LANES * LOADED + tl.arange(0, LANES * LOADED)[None, :]
            tile, _rows = load_rows(rewards, rows, begin + place, in_group(place, size, full), float("inf"))
            v = v + spread(tile.to(precision), GROUPS, LANES, LOADED)
        spoiled = v[0] != v[0]
        for r in tl.static_range(1, R):
            spoiled = spoiled | (v[r] != v[r])
        has_nan = tl.max(spoiled.to(tl.int32), axis=1, keep_dims=True) != 0

        s = sort_group(v, lane, LANES, R)
        low = value_at(s, n * 0, LANES, R)
        constant = (low == value_at(s, n - 1, LANES, R)) & is_finite(low)
        k = window_size(n, tau)
        start = n * 0
        if needs_window(center, stats is not None):
            start = narrowest_window(s, k, n, lane, LANES, R)
        low = low.to(tl.float64)
        q = rounded_center(center_of(s, n, k, start, low, lane, center, LANES, R), low, constant, precision)
        deviation = q
        if scale == "rms":
            deviation = sum_of_squares(s, n, q, lane, R)
        elif scale == "mad":
            deviation = median_deviation(s, n, q, lane, LANES, R)
        s_scale, inverse = scale_and_inverse(n, deviation, eps, center, scale)
        q, s_scale, inverse = corrected(q, s_scale, inverse, n, constant, has_nan, eps, scale)
        if stats is not None:
            missing = start == LANES * R
            lower = window_end(value_at(s, start, LANES, R), low, n, missing, has_nan)
            upper = window_end(value_at(s, start + k - 1, LANES, R), low, n, missing, has_nan)
            report = as_row(q, s_scale, lower, upper).to(precision)
            index = group if rows is None else begin
            tl.store(stats + index * 4 + tl.arange(0, 4)[None, :], report, mask=size > 0)

        for first in range(0, most, width):
            # The rewards are read again, from the cache: kept in registers, they would cost as many as the sorted ones.
            column = first + tl.arange(0, width)[None, :]
            inside = in_group(column, size, full)
            write_scores(rewards, valid, rows, advantage, begin + column, inside, q, inverse, precision)
