"""Estimators by name: each is a centre and a scale of the one op."""

from __future__ import annotations

from typing import NamedTuple


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
