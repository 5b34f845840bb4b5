"""The definition's formulas, the same for groups in registers and groups in memory. All statistics are float64."""

import triton
import triton.language as tl

from gapo_kernels import reference

MAD_TO_SIGMA = tl.constexpr(reference.MAD_TO_SIGMA)


@triton.constexpr_function
def needs_window(center, reported):
    """Whether the window is searched for."""
    return reported or center in ("hdi_median", "hdi_mean")


@triton.constexpr_function
def precision_of(element):
    """What rewards of this type are computed in, as ``gapo_kernels.precision`` has it."""
    return tl.float64 if element == tl.float64 else tl.float32


@triton.jit
def window_size(n, tau):
    """k: the smallest integer >= tau * n; a product within 1e-9 * n of an integer counts as that integer."""
    product = tau * n.to(tl.float64)
    nearest = tl.floor(product + 0.5)
    k = tl.where(tl.abs(product - nearest) <= 1e-9 * n.to(tl.float64), nearest, tl.ceil(product)).to(n.dtype)
    return tl.maximum(tl.minimum(k, n), 1)


@triton.jit
def is_finite(x):
    """Neither infinite nor NaN."""
    return tl.abs(x) < float("inf")


@triton.jit
def anchor_of(member):
    """Means are taken about a member, so that they keep its digits; an infinite anchor is no help."""
    return tl.where(is_finite(member), member, 0.0)


@triton.jit
def middle(low, high):
    """The mean of two values, exact where they are equal, even where their sum would overflow."""
    return tl.where(low == high, low, (low + high) * 0.5)  # for / 2 Triton emits a division


@triton.jit
def middle_deviation(low, high, q):
    """The median of |reward - Q| from the two in the middle; NaN where Q is infinite, and so a member: inf - inf."""
    return tl.where(is_finite(q), middle(low, high), float("nan"))


@triton.jit
def positive_zero(x):
    """Which of -0 and +0 lies at a rank depends on the sort: what is read off must not tell."""
    return tl.where(x == 0.0, 0.0, x)


@triton.jit
def rounded_center(q, low, constant, precision: tl.constexpr):
    """Q as it is used: rounded to the precision of the rewards; a constant group's is its reward."""
    return positive_zero(tl.where(constant, low, q).to(precision).to(tl.float64))


@triton.jit
def scale_and_inverse(n, spread, eps, center: tl.constexpr, scale: tl.constexpr):
    """S and 1 / (S + eps), from the sum of squares (rms) or the median deviation (mad) about Q.

    loo_mean scores r - the mean of the others, which is (r - mean) * n / (n - 1): the factor goes into both.
    """
    size = n.to(tl.float64)
    factor = size * 0.0 + 1.0
    if center == "loo_mean":
        factor = size / (size - 1.0)
    if scale == "none":
        return size * 0.0 + 1.0, factor
    else:
        if scale == "rms":
            deviation = tl.sqrt(spread / (size - 1.0))
        else:
            deviation = MAD_TO_SIGMA * spread
        s = factor * deviation
        return s, factor / (s + eps)


@triton.jit
def corrected(q, s, inverse, n, constant, has_nan, eps, scale: tl.constexpr):
    """(Q, S, inverse) of the groups that are not ordinary: of one, constant, with a NaN, of nothing."""
    nan = float("nan")
    if scale == "none":
        eps = 0.0
    undefined = has_nan | (n == 0)
    q = tl.where(undefined, nan, tl.where(n == 1, 0.0, q))
    s = tl.where(undefined, nan, tl.where(n == 1, 1.0, s))
    inverse = tl.where(undefined, nan, tl.where(n == 1, 1.0 / (1.0 + eps), tl.where(constant, 0.0, inverse)))
    return q, s, inverse


@triton.jit
def window_end(value, low, n, missing, has_nan):
    """One end of the reported window: NaN where no window has a width, the reward of a group of one."""
    end = tl.where(n == 1, low, tl.where(missing, float("nan"), value))
    return positive_zero(tl.where(has_nan | (n == 0), float("nan"), end))


@triton.jit
def as_row(q, s, lower, upper):
    """The four statistics of each group [groups, 1] as [groups, 4], in the op's order."""
    column = tl.arange(0, 4)[None, :]
    ends = tl.where(column == 2, lower.to(tl.float64), upper.to(tl.float64))
    return tl.where(column == 0, q, tl.where(column == 1, s, ends))
