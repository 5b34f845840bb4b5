"""Long ragged groups: one block per group, which sorts it in memory and walks over it.

Only the device knows which groups of a batch are that long. If none is, the launch costs little.
"""

import triton
import triton.language as tl

from gapo_kernels.triton_kernels.bounds import POINTERS, RUNTIME, group_bounds
from gapo_kernels.triton_kernels.formulas import (
    as_row,
    corrected,
    is_finite,
    middle_deviation,
    needs_window,
    rounded_center,
    scale_and_inverse,
    window_size,
)
from gapo_kernels.triton_kernels.memory_sort import sort_in_memory
from gapo_kernels.triton_kernels.rows import load_rows, write_scores
from gapo_kernels.triton_kernels.sorted_group import (
    averaged,
    averages,
    center_of,
    ends_of,
    least_reach,
    narrowest_window,
    reported_window,
    sum_about,
    sum_of_squares,
)

LOOKED_AT = tl.constexpr(32)  # groups whose sizes a block reads at once, before it visits any of them


@triton.jit
def count_valid(valid, rows, begin, size, CHUNK: tl.constexpr):
    """How many of the group's rewards are valid."""
    n = size * 0
    for first in range(0, size, CHUNK):
        column = first + tl.arange(0, CHUNK)
        kept, _rows = load_rows(valid, rows, begin + column, column < size, 0)
        n += tl.sum((kept != 0).to(tl.int64))
    return n


@triton.jit
def score_group(
    rewards, valid, rows, advantage, stats, group, begin, size, tau, eps, center: tl.constexpr, scale: tl.constexpr,
    runs, spare, CHUNK: tl.constexpr, RUNS: tl.constexpr, LANES: tl.constexpr, R: tl.constexpr,
):  # fmt: skip
    """Sorts one group and scores it."""
    precision: tl.constexpr = runs.dtype.element_ty
    s = sort_in_memory(rewards, rows, begin, size, runs, spare, precision, CHUNK, RUNS, LANES, R)
    n = size
    if valid is not None:
        n = count_valid(valid, rows, begin, size, CHUNK)

    low, high, has_nan = ends_of(s, n, size)
    constant = (low == high) & is_finite(low)
    k = window_size(n, tau)
    start = n * 0
    if needs_window(center, stats is not None):
        _width, start = narrowest_window(s, k, n, n * 0, n, CHUNK)
    total = low
    if averages(center):
        first_rank, end, anchor = averaged(s, n, k, start, low, center)
        total = sum_about(s, anchor, first_rank, end, CHUNK)
    q = rounded_center(center_of(s, n, k, start, low, total, center), low, constant, precision)
    deviation = q
    if scale == "rms":
        deviation = sum_of_squares(s, q, n * 0, n, CHUNK)
    elif scale == "mad":
        low_middle = least_reach(s, (n - 1) // 2, n, q, n * 0, n, CHUNK)
        deviation = middle_deviation(low_middle, least_reach(s, n // 2, n, q, n * 0, n, CHUNK), q)
    s_scale, inverse = scale_and_inverse(n, deviation, eps, center, scale)
    q, s_scale, inverse = corrected(q, s_scale, inverse, n, constant, has_nan, eps, scale)
    if stats is not None:
        lower, upper = reported_window(s, n, k, start, low, has_nan)
        index = group if rows is None else begin
        tl.store(stats + index * 4 + tl.arange(0, 4)[None, :], as_row(q, s_scale, lower, upper).to(precision))
    for first in range(0, size, CHUNK):
        column = first + tl.arange(0, CHUNK)
        write_scores(rewards, valid, rows, advantage, begin + column, column < size, q, inverse, precision)


@triton.jit(do_not_specialize=RUNTIME, do_not_specialize_on_alignment=[*POINTERS, "runs", "spare"])
def long_groups(
    rewards,  # [total]; +inf where not valid
    valid,  # [total] or None
    begins,  # [groups], or by position
    ends,  # as begins
    rows,  # [total] or None: position p is row rows[p] of rewards, valid and advantage
    advantage,  # [total]
    stats,  # [groups, 4], with rows [total, 4], where a group's row is the position at which it begins; or None
    count: tl.int64,  # of groups; with rows, of positions
    group_size: tl.int64,  # the largest that is scored
    above: tl.int64,  # only groups of more rewards than this
    total: tl.int64,  # rewards
    tau: tl.float64,
    eps: tl.float64,
    center: tl.constexpr,
    scale: tl.constexpr,
    runs,  # [total] of scratch of the precision, as spare
    spare,
    CHUNK: tl.constexpr,
    RUNS: tl.constexpr,
    LANES: tl.constexpr,
    R: tl.constexpr,
):
    """Scores each group of more than ``above`` rewards, a block one after the other: there may be none, or many."""
    groups = count if rows is None else (count + above) // (above + 1)  # as group_bounds looks at them
    step = tl.num_programs(0).to(tl.int64)
    for first in range(tl.program_id(0).to(tl.int64), groups, step * LOOKED_AT):
        some = first + tl.arange(0, LOOKED_AT) * step
        _begins, sizes = group_bounds(some, begins, ends, rows, count, group_size, above, total, None)
        if tl.max(sizes) > 0:  # most often all are short
            for group in range(first, tl.minimum(first + step * LOOKED_AT, groups), step):
                begin, size = group_bounds(group, begins, ends, rows, count, group_size, above, total, None)
                if (size > 0) & (size <= group_size):
                    score_group(
                        rewards, valid, rows, advantage, stats, group, begin, size, tau, eps, center, scale,
                        runs, spare, CHUNK, RUNS, LANES, R,
                    )  # fmt: skip
