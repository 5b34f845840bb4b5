"""The definition, in float64 and in plain NumPy: what every backend is tested against.

Read this file to know what the op computes. It is slow on purpose: one group at a time, one idea a function.

The tie rule: window widths are compared as float64 differences of the stored rewards; the narrowest window wins, and
of equal ones the leftmost. A window whose width is NaN (``inf - inf``) never wins.

The one rounding: Q is a reward, so it is rounded to the precision in which the op computes, float64 for float64 rewards
and float32 for all others. That is why Q never differs between backends, whose sums may.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gapo_numpy.estimators import EPS, TAU

CENTERS = ("hdi_median", "hdi_mean", "quantile", "median", "mean", "loo_mean", "none")
SCALES = ("rms", "mad", "none")

MAD_TO_SIGMA = 1.4826  # a normal distribution's standard deviation over its median absolute deviation

Float64 = NDArray[np.float64]


class GroupStats(NamedTuple):
    """The statistics of one group: centre Q, scale S, and the ends of its narrowest window."""

    center: float
    scale: float
    lower: float
    upper: float


def window_size(group_size: int, tau: float) -> int:
    """The smallest integer >= tau * group_size, at least 1; a product within 1e-9 * group_size of an integer is it."""
    product = tau * group_size
    nearest = round(product)
    k = nearest if abs(product - nearest) <= 1e-9 * group_size else math.ceil(product)
    return min(max(k, 1), group_size)


def narrowest_window(ordered: Float64, k: int) -> Float64:
    """The leftmost narrowest run of ``k`` values of the ascending ``ordered``; NaN where no run has a width."""
    widths = ordered[k - 1 :] - ordered[: ordered.size - k + 1]
    starts = np.flatnonzero(~np.isnan(widths))
    if starts.size == 0:
        return np.full(k, np.nan)
    start = starts[np.argmin(widths[starts])]
    return ordered[start : start + k]


def mean_about(anchor: float, values: Float64) -> float:
    """The mean, taken about ``anchor`` so that equal values give exactly that value (an infinite anchor is no help)."""
    if not math.isfinite(anchor):
        anchor = 0.0
    return float(anchor + np.mean(values - anchor))


def is_constant(rewards: Float64) -> bool:
    """Whether a group is one finite reward over and over: it carries no signal, and its advantages are exactly 0."""
    return bool(math.isfinite(rewards[0]) and (rewards == rewards[0]).all())


def center_of(rewards: Float64, window: Float64, k: int, center: str) -> float:
    """Q of one group of at least two; for ``loo_mean``, whose Q differs by reward, the group's mean.

    A constant group has its reward as Q, whatever ``center`` says.
    """
    if is_constant(rewards):
        return float(rewards[0])
    if center == "hdi_median":
        return float(np.median(window))
    if center == "hdi_mean":
        return mean_about(float(window[0]), window)
    if center == "quantile":
        return float(np.sort(rewards)[k - 1])
    if center == "median":
        return float(np.median(rewards))
    if center in ("mean", "loo_mean"):
        return mean_about(float(rewards[0]), rewards)
    return 0.0


def scale_of(deviations: Float64, scale: str) -> float:
    """S of one group of at least two, from its deviations about the centre."""
    if scale == "rms":
        return math.sqrt(float(np.sum(deviations * deviations)) / (deviations.size - 1))
    if scale == "mad":
        return float(MAD_TO_SIGMA * np.median(np.abs(deviations)))
    return 1.0


def group_advantage(
    rewards: Float64, tau: float, center: str, scale: str, eps: float, precision: type[np.floating]
) -> tuple[Float64, GroupStats]:
    """The advantages and statistics of one non-empty group; Q is rounded to ``precision``."""
    divisor_eps = 0.0 if scale == "none" else eps
    if np.isnan(rewards).any():
        return np.full_like(rewards, np.nan), GroupStats(math.nan, math.nan, math.nan, math.nan)
    if rewards.size == 1:
        only = float(rewards[0])
        return rewards / (1.0 + divisor_eps), GroupStats(0.0, 1.0, only, only)

    k = window_size(rewards.size, tau)
    window = narrowest_window(np.sort(rewards), k)
    q = float(precision(center_of(rewards, window, k, center)))
    deviations = rewards - q
    if center == "loo_mean":  # r - mean of the others = (r - mean) * G / (G - 1)
        deviations = deviations * (rewards.size / (rewards.size - 1))
    s = scale_of(deviations, scale)
    scores = deviations if is_constant(rewards) else deviations / (s + divisor_eps)
    return scores, GroupStats(q, s, float(window[0]), float(window[-1]))


def advantage(
    rewards: ArrayLike,
    group_ids: ArrayLike | None = None,
    *,
    tau: float = TAU,
    center: str = "hdi_median",
    scale: str = "rms",
    eps: float = EPS,
    valid: ArrayLike | None = None,
) -> tuple[Float64, Float64]:
    """The advantages of all groups, and their statistics.

    Args:
        rewards: [..., G], the last dimension is a group; or [N] together with ``group_ids``. float16 and float32
            are computed with Q in float32, as the op does; pass bfloat16 rewards as float32.
        group_ids: [N], integers or strings of one kind, in any order, or None.
        tau: share of a group that the window holds, 0 < tau <= 1.
        center: one of ``CENTERS``.
        scale: one of ``SCALES``.
        eps: added to the scale before dividing.
        valid: bool, the shape of ``rewards``; a row marked False is left out of its group and gets advantage 0.

    Returns:
        (advantage, stats), both float64: advantage has the shape of ``rewards``; stats is [..., 4], without ids one
        row a group, with ids [N, 4], each row its group's (centre, scale, lower, upper).

    Arguments are not checked: the ops do that.
    """
    given = np.asarray(rewards)
    precision = np.float32 if given.dtype in (np.float16, np.float32) else np.float64
    values = given.astype(np.float64)
    keep = np.ones(values.shape, bool) if valid is None else np.asarray(valid, bool)
    if group_ids is None:
        members: list[Any] = list(np.ndindex(values.shape[:-1]))
        stats = np.full((*values.shape[:-1], 4), np.nan)
    else:
        ids = np.asarray(group_ids)
        members = [np.flatnonzero(ids == g) for g in np.unique(ids)]
        stats = np.full((values.size, 4), np.nan)

    result = np.zeros_like(values)
    for rows in members:
        group, group_keep = values[rows], keep[rows]
        if not group_keep.any():
            continue
        scores = np.zeros_like(group)
        with np.errstate(all="ignore"):
            scores[group_keep], stats[rows] = group_advantage(group[group_keep], tau, center, scale, eps, precision)
        result[rows] = scores
    return result, stats
