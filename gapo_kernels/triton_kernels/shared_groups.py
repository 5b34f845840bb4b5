"""Long dense groups, which have been sorted: several blocks a group, each with a span of its ranks.

What a block finds in its span it leaves in memory for all blocks of the next launch: first the narrowest window, then
the sum behind a mean, then the deviations from Q, then the scores. Each launch is one step, ``steps_of`` says which a
rule needs.
"""

import triton
import triton.language as tl

from gapo_kernels.triton_kernels.formulas import (
    as_row,
    corrected,
    is_finite,
    middle_deviation,
    needs_window,
    precision_of,
    rounded_center,
    scale_and_inverse,
    window_size,
)
from gapo_kernels.triton_kernels.rows import write_scores
from gapo_kernels.triton_kernels.sorted_group import (
    averaged,
    averages,
    center_of,
    ends_of,
    least_reach,
    leftmost,
    narrowest_window,
    reported_window,
    sum_about,
    sum_of_squares,
)

# What a span's findings are: rows of ``findings``.
WIDTH, START, TOTAL, DEVIATION, HIGH_DEVIATION = (tl.constexpr(row) for row in range(5))
FINDINGS = 5


def steps_of(center: str, scale: str, reported: bool) -> list[tuple[str, str, str]]:
    """The launches that a rule needs, in order; reported: the statistics are asked for.

    Each with a centre and a scale to compile it for: "none" where it does not depend on it.
    """
    steps = []
    if needs_window(center, reported):
        steps.append(("window", "none", "none"))
    if averages(center):
        steps.append(("total", center, "none"))
    if scale != "none":
        steps.append(("deviation", center, scale))
    return [*steps, ("score", center, scale)]


@triton.jit
def all_spans(findings, row, stride, group, spans, other, SPANS: tl.constexpr):
    """What all spans of the group found [SPANS]; ``other`` behind the last. stride: of the rows of ``findings``."""
    span = tl.arange(0, SPANS)
    return tl.load(findings + row * stride + group * spans + span, mask=span < spans, other=other)


@triton.jit
def found_start(findings, stride, group, spans, n, center: tl.constexpr, stats, SPANS: tl.constexpr):
    """The rank at which the group's window starts, as the step "window" found it; n where none has a width."""
    start = n * 0
    if needs_window(center, stats is not None):
        starts = all_spans(findings, START, stride, group, spans, n.to(tl.float64), SPANS)
        widths = all_spans(findings, WIDTH, stride, group, spans, float("inf"), SPANS)
        start = leftmost(widths, starts.to(tl.int64), n)
    return start


@triton.jit
def found_center(
    findings, stride, group, spans, s, n, k, start, low, constant,
    center: tl.constexpr, precision: tl.constexpr, SPANS: tl.constexpr,
):  # fmt: skip
    """Q of the group, with the sum that the step "total" found."""
    total = low
    if averages(center):
        total = tl.sum(all_spans(findings, TOTAL, stride, group, spans, 0.0, SPANS))
    return rounded_center(center_of(s, n, k, start, low, total, center), low, constant, precision)


@triton.jit
def found_deviation(findings, stride, group, spans, q, scale: tl.constexpr, SPANS: tl.constexpr):
    """The group's sum of squares (rms) or median deviation (mad), as the step "deviation" found it."""
    deviation = q
    if scale == "rms":
        deviation = tl.sum(all_spans(findings, DEVIATION, stride, group, spans, 0.0, SPANS))
    elif scale == "mad":
        lows = all_spans(findings, DEVIATION, stride, group, spans, float("inf"), SPANS)
        highs = all_spans(findings, HIGH_DEVIATION, stride, group, spans, float("inf"), SPANS)
        deviation = middle_deviation(tl.min(lows), tl.min(highs), q)
    return deviation


@triton.jit(
    do_not_specialize=["count", "group_size", "span", "tau", "eps"],
    do_not_specialize_on_alignment=["ascending", "valid", "counts", "stats", "findings"],
)
def shared_groups(
    ascending,  # [count, group_size], the rewards of each group sorted, with +inf for what is not valid, and NaN, last
    rewards,  # [count, group_size]
    valid,  # [count, group_size] or None
    counts,  # [count] of valid rewards, or None where all are
    advantage,  # [count, group_size]
    stats,  # [count, 4] or None
    findings,  # [FINDINGS, count, spans] of float64
    count: tl.int64,  # of groups
    group_size: tl.int64,
    span: tl.int64,  # ranks of one block; a group has at most SPANS spans
    tau: tl.float64,
    eps: tl.float64,
    center: tl.constexpr,
    scale: tl.constexpr,
    STEP: tl.constexpr,
    SPANS: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """One step of scoring groups, by a block for each span of each group."""
    precision: tl.constexpr = precision_of(rewards.dtype.element_ty)
    spans = tl.cdiv(group_size, span)
    stride = count * spans
    place = tl.program_id(0).to(tl.int64)
    group = place // spans
    own = findings + place
    s = ascending + group * group_size
    n = group_size
    if counts is not None:
        n = tl.load(counts + group)
    first_rank = place % spans * span
    behind = tl.minimum(first_rank + span, group_size)
    end = tl.minimum(behind, n)

    low, high, has_nan = ends_of(s, n, group_size)
    constant = (low == high) & is_finite(low)
    k = window_size(n, tau)
    if STEP == "window":
        least, start = narrowest_window(s, k, n, first_rank, end, CHUNK)
        tl.store(own + WIDTH * stride, least)
        tl.store(own + START * stride, start.to(tl.float64))
    else:
        start = found_start(findings, stride, group, spans, n, center, stats, SPANS)
    if STEP == "total":
        first, last, anchor = averaged(s, n, k, start, low, center)
        total = sum_about(s, anchor, tl.maximum(first, first_rank), tl.minimum(last, end), CHUNK)
        tl.store(own + TOTAL * stride, total)
    if STEP == "deviation":
        q = found_center(findings, stride, group, spans, s, n, k, start, low, constant, center, precision, SPANS)
        if scale == "rms":
            tl.store(own + DEVIATION * stride, sum_of_squares(s, q, first_rank, end, CHUNK))
        else:
            tl.store(own + DEVIATION * stride, least_reach(s, (n - 1) // 2, n, q, first_rank, end, CHUNK))
            tl.store(own + HIGH_DEVIATION * stride, least_reach(s, n // 2, n, q, first_rank, end, CHUNK))
    if STEP == "score":
        q = found_center(findings, stride, group, spans, s, n, k, start, low, constant, center, precision, SPANS)
        deviation = found_deviation(findings, stride, group, spans, q, scale, SPANS)
        s_scale, inverse = scale_and_inverse(n, deviation, eps, center, scale)
        q, s_scale, inverse = corrected(q, s_scale, inverse, n, constant, has_nan, eps, scale)
        if stats is not None:
            if first_rank == 0:
                lower, upper = reported_window(s, n, k, start, low, has_nan)
                report = as_row(q, s_scale, lower, upper).to(precision)
                tl.store(stats + group * 4 + tl.arange(0, 4)[None, :], report)
        begin = group * group_size
        for first in range(first_rank, behind, CHUNK):
            column = first + tl.arange(0, CHUNK)
            write_scores(rewards, valid, None, advantage, begin + column, column < behind, q, inverse, precision)
