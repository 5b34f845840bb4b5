"""Estimators by name, each a centre and a scale of the one op; the defaults of its other options."""

from __future__ import annotations

from typing import NamedTuple

from gapo_numpy import _core

TAU: float = _core.TAU  # GAPO's share of a group; the op's schema has the same defaults, and a test holds them together
EPS: float = _core.EPS


class Estimator(NamedTuple):
    """What ``torch.ops.gapo.*`` takes as ``center`` and ``scale``."""

    center: str
    scale: str


ESTIMATORS: dict[str, Estimator] = {
    "gapo": Estimator("hdi_median", "rms"),  # arXiv 2510.21830
    "gapo_mean": Estimator("hdi_mean", "rms"),  # its variant with the window's mean
    "grpo": Estimator("mean", "rms"),  # arXiv 2402.03300
    "dr_grpo": Estimator("mean", "none"),  # arXiv 2503.20783
    "rloo": Estimator("loo_mean", "none"),  # arXiv 2402.14740
    "median": Estimator("median", "rms"),  # MC-GRPO's baseline, over the whole group
    "median_mad": Estimator("median", "mad"),
    "qae": Estimator("quantile", "rms"),  # Quantile Advantage Estimation; its K is tau
}


def resolve(estimator: str, center: str | None, scale: str | None) -> Estimator:
    """The estimator of that name, with ``center`` and ``scale`` in place of its own where they are given.

    Raises:
        ValueError: no estimator of that name.
    """
    if estimator not in list(ESTIMATORS):  # compared, not hashed: it may be anything
        raise ValueError(f"estimator expects one of {', '.join(ESTIMATORS)}, got {estimator!r}")
    named = ESTIMATORS[estimator]
    return Estimator(named.center if center is None else center, named.scale if scale is None else scale)
