"""Figures from results, as SVG and PNG with a transparent background: grey text and mid-tone lines suit any page."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench import markdown, trainer_vs_trl
from bench.forms import FORMS
from bench.markdown import extents, peers_of, shapes_of
from bench.results_file import Results, find
from bench.tables import SIZE, TABLES, TOTAL

GREY = "#808080"
COLOURS = {
    "gapo": "#1f9e89",
    "triton": "#4c78d8",
    "torch": "#e07b39",
    "torch.compile": "#d1495b",
    "numpy": "#3d8fd6",
    "authors' loop": "#a8871c",
    "verl grpo": "#b05fb5",
    "verl grpo_vectorized": "#7d6bd0",
}
TRAINERS = (("trl", COLOURS["torch"], "TRL GRPOTrainer"), ("engine", COLOURS["gapo"], "this engine"))
FLOOR_STYLES = {"copy": "--", "numpy.sort": "-."}  # floors are grey; what does nothing is dotted
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gapo",
    "font.size": 10,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), GREY),
}
SHADES = (0.45, 0.7, 0.95)  # of the token-level shapes
Line = tuple[list[float], list[float]]


def title(peer: str, floor: bool = False) -> str:
    """A peer's label. ``numpy.sort`` is not called a floor: the op may take less time for that part than NumPy does."""
    return markdown.title(peer).replace("`", "") + (" (floor)" if floor and peer != "numpy.sort" else "")


def line(table: dict[str, Any], peer: str, axis: int, value: Callable[[dict[str, Any]], float]) -> Line:
    """One peer's cases over one extent of their shapes."""
    cases = sorted((case for case in table["cases"] if case["peer"] == peer), key=lambda case: case["shape"][axis])
    return [case["shape"][axis] for case in cases], [value(case) for case in cases]


def draw_line(axes: Axes, points: Line, peer: str) -> None:
    floor = FORMS["advantage"].peers[peer].floor
    floor_style = {"linestyle": FLOOR_STYLES.get(peer, ":"), "linewidth": 1.5}
    style = floor_style if floor else {"marker": "o", "markersize": 3.5, "linewidth": 1.8}
    axes.plot(*points, color=COLOURS.get(peer, GREY), label=title(peer, floor), **style)


def tidy(axes: Axes, grid: Literal["both", "x", "y"] = "both") -> None:
    axes.grid(axis=grid)
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)


def logarithmic(axes: Axes, xlabel: str, ylabel: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    axes.set_xscale("log", base=2)
    tidy(axes)


def on_one_thread(table: dict[str, Any]) -> dict[str, int]:
    """What ``find`` is to look for beside peer and shape: on a GPU there are no threads."""
    return {"threads": 1} if "threads" in table["cases"][0] else {}


def time_by_size(results: Results) -> Figure:
    """Time over group size at a constant number of rewards, and over the number of groups of one size."""
    figure = Figure(figsize=(9.5, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, name, axis in ((left, "by_size", 1), (right, "by_batch", 0)):
        for peer in peers_of(results[name]):
            draw_line(axes, line(results[name], peer, axis, lambda case: case["median"] / 1e3), peer)
    logarithmic(left, f"group size, {TOTAL:,} rewards in all", "ms a call")
    logarithmic(right, f"groups of {SIZE}", "ms a call")
    handles = {
        text: handle for axes in (left, right) for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=6, frameon=False)
    return figure


def speed_up(results: Results) -> Figure:
    """How many times as long each peer takes, over the shapes of the design, on one thread."""
    table = results["dense"]
    shapes = shapes_of(table)
    figure = Figure(figsize=(9.5, 3.9), layout="constrained")
    axes = figure.subplots()
    facts = on_one_thread(table)
    for peer, who in FORMS[TABLES["dense"].form].peers.items():
        if peer == "gapo" or (who.floor and peer != "numpy.sort"):
            continue
        pairs = [
            (place, find(table, peer=peer, shape=shape, **facts), find(table, peer="gapo", shape=shape, **facts))
            for place, shape in enumerate(shapes)
        ]
        known = [(place, other["median"] / ours["median"]) for place, other, ours in pairs if other and ours]
        if not known:
            continue
        places, ratios = zip(*known, strict=True)
        shape = {"marker": "_", "markersize": 12, "markeredgewidth": 2.5} if who.floor else {"marker": "o"}
        axes.plot(
            places, ratios, linestyle="none", color=COLOURS.get(peer, GREY), label=title(peer, who.floor), **shape
        )
    axes.axhline(1, color=COLOURS["gapo"], linewidth=1.8)
    axes.text(len(shapes) - 0.55, 1.05, "this op", color=COLOURS["gapo"], ha="right", va="bottom")
    axes.set(yscale="log", ylabel="times as long as this op")
    axes.set_xticks(range(len(shapes)), [extents(shape).replace(" × ", "\n× ") for shape in shapes], fontsize=8)
    axes.set_yticks([1, 10, 100, 1000, 10000], ["1", "10", "100", "1,000", "10,000"])
    tidy(axes, "y")
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return figure


def bandwidth(results: Results) -> Figure:
    """The share of a copy's bandwidth: the copy of as many bytes takes that share of the time."""
    figure = Figure(figsize=(9.5, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    draw_dense_bandwidth(left, results["by_size"])
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=6, frameon=False)
    draw_token_bandwidth(right, results["tokens"])
    return figure


def draw_dense_bandwidth(axes: Axes, sizes: dict[str, Any]) -> None:
    copies = {tuple(case["shape"]): case["median"] for case in sizes["cases"] if case["peer"] == "copy"}
    for peer in peers_of(sizes):
        points = line(sizes, peer, 1, lambda case: 100 * copies[tuple(case["shape"])] / case["median"])
        draw_line(axes, points, peer)
    logarithmic(axes, f"group size, {TOTAL:,} rewards in all", "% of a copy's bandwidth")
    axes.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])


def draw_token_bandwidth(axes: Axes, tokens: dict[str, Any]) -> None:
    facts = on_one_thread(tokens)
    names = [
        peer
        for peer, who in FORMS["token_advantage"].peers.items()
        if not who.floor and find(tokens, peer=peer, **facts)
    ]
    shapes = shapes_of(tokens)
    for row, peer in enumerate(names):
        for place, shape in enumerate(shapes):
            entry = find(tokens, peer=peer, shape=shape, **facts)
            copied = find(tokens, peer="copy, warm memory", shape=shape, **facts)
            if entry and copied:
                share = 100 * copied["median"] / entry["median"]
                colour = COLOURS.get(peer.partition(",")[0], GREY)
                axes.barh(row + (place - 1) * 0.26, share, 0.24, color=colour, alpha=SHADES[place])
    axes.set_yticks(range(len(names)), list(map(title, names)), fontsize=9)
    axes.invert_yaxis()
    axes.axvline(100, color=GREY, linestyle="--", linewidth=1.2)
    axes.set_xlabel("token_advantage, % of a copy's bandwidth")
    shades = [
        Patch(color=GREY, alpha=shade, label=extents(shape)) for shade, shape in zip(SHADES, shapes, strict=False)
    ]
    axes.legend(handles=shades, loc="lower right", frameon=False, fontsize=9)
    tidy(axes, "x")


def trainer_step(results: dict[str, Any], over: str) -> Figure:
    """Time and memory of a trainer's step over one of ``trainer_vs_trl.AXES``."""
    cases, field, label = trainer_vs_trl.AXES[over]
    figure = Figure(figsize=(9.5, 3.9), layout="constrained")
    for axes, quantity, unit in zip(
        figure.subplots(1, 2),
        ("step_s", "memory_above_start_mb"),
        ("step, CPU seconds", "memory above start, MB"),
        strict=True,
    ):
        for side, colour, name in TRAINERS:
            points = [
                (getattr(case, field), one[side][quantity])
                for case in cases
                if (one := trainer_vs_trl.find(results["cases"], case)) and side in one
            ]
            axes.plot(*zip(*points, strict=True), "o-", color=colour, label=name)
        sizes = [getattr(case, field) for case in cases]
        axes.set(xscale="log", yscale="log", xlabel=label, ylabel=unit)
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        tidy(axes)
    figure.axes[0].legend(frameon=False)
    return figure


FIGURES: dict[str, tuple[Callable[[Results], Figure], tuple[str, ...]]] = {  # with the tables that each draws
    "time_by_size": (time_by_size, ("by_size", "by_batch")),
    "speed_up": (speed_up, ("dense",)),
    "bandwidth": (bandwidth, ("by_size", "tokens")),
}


def save(results: Results, prefix: str, folder: Path) -> list[Path]:
    """Every figure whose tables were measured, as ``<prefix>_<name>.svg`` and ``.png``."""
    paths = []
    for name, (draw, needed) in FIGURES.items():
        if all(results.get(table, {}).get("cases") for table in needed):
            paths += save_figure(functools.partial(draw, results), folder / f"{prefix}_{name}")
    return paths


def save_trainer_steps(results: dict[str, Any], folder: Path) -> None:
    """A figure over each of ``trainer_vs_trl.AXES``, once all sizes were measured."""
    if results and trainer_vs_trl.is_complete(results):
        for over in trainer_vs_trl.AXES:
            save_figure(functools.partial(trainer_step, results, over), folder / f"trainer_vs_trl_by_{over}")


def save_figure(draw: Callable[[], Figure], path: Path) -> list[Path]:
    """What ``draw`` draws, as SVG and PNG, the same bytes each time."""
    paths = [path.with_suffix(f".{kind}") for kind in ("svg", "png")]
    with mpl.rc_context(STYLE):
        figure = draw()
        for place in paths:
            facts = {"Date": None} if place.suffix == ".svg" else None
            figure.savefig(place, transparent=True, dpi=150, metadata=facts)
    return paths
