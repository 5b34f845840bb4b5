"""The rewards of one group with what the estimators see in them: the narrowest window, its median Q, and the mean."""

from __future__ import annotations

from typing import Any

import torch
from matplotlib.figure import Figure

from gapo_kernels import advantage_stats

BINS = 40


def draw_group(group: dict[str, Any], tau: float, title: str) -> Figure:
    """The reward histogram of a kept group.

    Args:
        group: a row of ``groups.jsonl``; unscorable rewards are null there and left out here.
        tau: the window's share.
        title: above the figure.
    """
    scored = torch.tensor([r for r in group["rewards"] if r is not None], dtype=torch.float64)
    figure = Figure(figsize=(4.2, 2.4), layout="constrained")
    axis = figure.subplots()
    axis.set_title(title, fontsize=9)
    axis.set_xlabel("reward", fontsize=8)
    axis.set_ylabel("completions", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    if len(scored):
        stats = advantage_stats(scored, estimator="gapo", tau=tau)
        q, low, high = (float(value) for value in (stats.center, stats.lower, stats.upper))
        least, most = min(0.0, float(scored.min())), max(1.0, float(scored.max()))
        axis.hist(scored.numpy(), bins=BINS, range=(least, most), color="0.7")
        hair = (most - least) / 400  # a window of width 0 is still to be seen
        axis.axvspan(low - hair, high + hair, color="C0", alpha=0.25, label=f"HDI, τ = {tau:g}")
        axis.axvline(q, color="C0", label=f"Q = {q:.3f}")
        axis.axvline(float(scored.mean()), color="C3", linestyle="--", label=f"mean = {float(scored.mean()):.3f}")
        figure.legend(fontsize=7, frameon=False, loc="outside lower center", ncols=3)
    return figure
