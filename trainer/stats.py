"""Means with confidence intervals, and paired tests, on SciPy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats


class Mean(NamedTuple):
    """A mean and the ends of its 95% confidence interval, which are NaN where there is too little to tell."""

    mean: float
    low: float
    high: float

    @classmethod
    def from_row(cls, row: dict[str, Any], name: str) -> Mean:
        """The mean called ``name`` in the row of a log."""
        values = (row[name], row[f"{name}_low"], row[f"{name}_high"])
        return cls(*(math.nan if value is None else value for value in values))

    def to_row(self, name: str) -> dict[str, float]:
        """The mean as three entries of a log's row."""
        return {name: self.mean, f"{name}_low": self.low, f"{name}_high": self.high}

    def __str__(self) -> str:
        if math.isnan(self.low):
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Paired(NamedTuple):
    """The mean difference of two paired samples with its 95% interval, and the p-value of Student's paired test."""

    difference: Mean
    p: float


def mean_of_seeds(values: Sequence[float]) -> Mean:
    """The mean of a few runs, with Student's interval: seeds are few and about normal."""
    x = np.asarray(values, float)
    if x.size < 2:
        return Mean(float(x.mean()), float("nan"), float("nan"))
    half = float(stats.t.ppf(0.975, x.size - 1)) * float(stats.sem(x))
    return Mean(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half)


def mean_of_tasks(values: Sequence[float]) -> Mean:
    """The mean over tasks, with a percentile bootstrap of fixed seed: scores in [0, 1] are far from normal."""
    x = np.asarray(values, float)
    if x.size < 2 or (x == x[0]).all():
        return Mean(float(x.mean()), float("nan"), float("nan"))
    interval = stats.bootstrap(
        (x,), np.mean, n_resamples=2000, batch=200, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return Mean(float(x.mean()), float(interval.low), float(interval.high))


def paired_test(ours: Sequence[float], theirs: Sequence[float]) -> Paired:
    """Whether ``ours`` differs from ``theirs``, run by run under the same seeds.

    Returns:
        The mean of ours - theirs with Student's interval, and the two-sided p-value: NaN for fewer than two pairs, and
        where all pairs differ by the same, which leaves nothing to test against; 1 where every pair is equal.
    """
    difference = np.subtract(ours, theirs).round(12)  # else 0.3 - 0.2 would differ from 0.2 - 0.1, by rounding alone
    if difference.size < 2:
        return Paired(mean_of_seeds(difference.tolist()), float("nan"))
    if (difference == difference[0]).all():
        return Paired(mean_of_seeds(difference.tolist()), 1.0 if difference[0] == 0 else float("nan"))
    return Paired(mean_of_seeds(difference.tolist()), float(stats.ttest_1samp(difference, 0.0).pvalue))
