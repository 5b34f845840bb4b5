"""Training curves of one or several runs, in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gapo_trainer.names import SCORE_NAMES, SPLIT_NAMES
from gapo_trainer.report.runs import Run

# (title, key of a metrics row)
TRAINING = (
    ("reward", "reward"),
    ("exact match, sampled in training", "em"),
    ("edit similarity, sampled in training", "ed"),
    ("KL to the starting policy (k3, nats a token)", "kl"),
    ("clip ratio", "clip_ratio"),
    ("gradient norm before clipping", "grad_norm"),
    ("share of advantages that are 0", "zero_advantage"),
    ("sum of advantages", "sum_advantage"),
    ("rows trained, once equal ones are merged, share", "trained_rows"),
    ("completion length, tokens", "completion_tokens"),
)
EVALUATIONS = [(f"greedy {SCORE_NAMES['em']}, {name}", split) for split, name in SPLIT_NAMES.items()]
COLUMNS = 3


def draw_curves(runs: Sequence[Run]) -> Figure:
    """Evaluations with their 95% intervals, then what training logged; one panel each, one colour per run."""
    evaluations = [(title, split) for title, split in EVALUATIONS if any(run.scores(split) for run in runs)]
    panels = len(evaluations) + len(TRAINING)
    rows = -(-panels // COLUMNS)
    figure = Figure(figsize=(4.2 * COLUMNS, 2.6 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS).flat
    for title, split in evaluations:
        axis = _panel(next(axes), title)
        axis.set_ylim(0, 1)
        for index, run in enumerate(runs):
            _draw_evaluation(axis, run.scores(split), f"C{index}")
    for title, key in TRAINING:
        axis = _panel(next(axes), title)
        for index, run in enumerate(runs):
            steps, values = [row["step"] for row in run.metrics], [row[key] for row in run.metrics]
            values = [float("nan") if value is None else value for value in values]
            axis.plot(steps, values, f"C{index}", linewidth=1.2)
    for unused in axes:
        unused.remove()
    names = [run.name for run in runs]  # given, since matplotlib leaves out those that begin with "_"
    figure.legend(axis.lines, names, loc="outside upper center", ncols=min(6, len(names)), frameon=False)  # the last's
    return figure


def _panel(axis: Axes, title: str) -> Axes:
    axis.set_title(title, fontsize=9)
    axis.set_xlabel("step", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    return axis


def _draw_evaluation(axis: Axes, rows: Sequence[dict[str, Any]], color: str) -> None:
    steps = [row["step"] for row in rows]
    axis.plot(steps, [row["em"] for row in rows], f"{color}o-", markersize=3, linewidth=1.2)
    bounded = [row for row in rows if row["em_low"] is not None]
    axis.fill_between(
        [row["step"] for row in bounded],
        [row["em_low"] for row in bounded],
        [row["em_high"] for row in bounded],
        color=color,
        alpha=0.15,
        linewidth=0,
    )
