"""Figures from results, as SVG and PNG with a transparent background: grey text and mid-tone lines suit any page."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.forms import FORMS
from bench.markdown import TITLES, extents, shapes_of
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
    return TITLES.get(peer, peer).replace("`", "") + (" (floor)" if floor and peer != "numpy.sort" else "")


def line(table: dict[str, Any], peer: str, axis: int, value: Callable[[dict[str, Any]], float]) -> Line:
    """One peer's cases over one extent of their shapes."""
    cases = sorted((case for case in table["cases"] if case["peer"] == peer), key=lambda case: case["shape"][axis])
    return [case["shape"][axis] for case in cases], [value(case) for case in cases]


def draw_line(axes: Axes, points: Line, peer: str, form: str = "advantage") -> None:
    floor = FORMS[form].peers[peer].floor
    floor_style = {"linestyle": FLOOR_STYLES.get(peer, ":"), "linewidth": 1.5}
    style = floor_style if floor else {"marker": "o", "markersize": 3.5, "linewidth": 1.8}
    axes.plot(*points, color=COLOURS.get(peer, GREY), label=title(peer, floor), **style)


def logarithmic(axes: Axes, xlabel: str, ylabel: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    axes.set_xscale("log", base=2)
    axes.grid()
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)


def time_by_size(results: Results) -> Figure:
    """Time over group size at a constant number of rewards, and over the number of groups of one size."""
    figure = Figure(figsize=(9.5, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, name, axis in ((left, "by_size", 1), (right, "by_batch", 0)):
        for peer in dict.fromkeys(case["peer"] for case in results[name]["cases"]):
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
    for peer, who in FORMS[TABLES["dense"].form].peers.items():
        facts = {"threads": 1} if "threads" in table["cases"][0] else {}
        pairs = [
            (place, find(table, peer=peer, shape=shape, **facts), find(table, peer="gapo", shape=shape, **facts))
            for place, shape in enumerate(shapes)
        ]
        known = [(place, other["median"] / ours["median"]) for place, other, ours in pairs if other and ours]
        if peer == "gapo" or (who.floor and peer != "numpy.sort") or not known:
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
    axes.minorticks_off()
    axes.grid(axis="y")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return figure


def bandwidth(results: Results) -> Figure:
    """The share of a copy's bandwidth: the copy of as many bytes takes that share of the time."""
    figure = Figure(figsize=(9.5, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    sizes = results["by_size"]
    copies = {tuple(case["shape"]): case["median"] for case in sizes["cases"] if case["peer"] == "copy"}
    for peer in dict.fromkeys(case["peer"] for case in sizes["cases"]):
        points = line(sizes, peer, 1, lambda case: 100 * copies[tuple(case["shape"])] / case["median"])
        draw_line(left, points, peer)
    logarithmic(left, f"group size, {TOTAL:,} rewards in all", "% of a copy's bandwidth")
    left.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=6, frameon=False)

    tokens = results["tokens"]
    facts = {"threads": 1} if "threads" in tokens["cases"][0] else {}
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
                right.barh(row + (place - 1) * 0.26, share, 0.24, color=colour, alpha=SHADES[place])
    right.set_yticks(range(len(names)), list(map(title, names)), fontsize=9)
    right.invert_yaxis()
    right.axvline(100, color=GREY, linestyle="--", linewidth=1.2)
    right.set_xlabel("token_advantage, % of a copy's bandwidth")
    shades = [
        Patch(color=GREY, alpha=shade, label=extents(shape)) for shade, shape in zip(SHADES, shapes, strict=False)
    ]
    right.legend(handles=shades, loc="lower right", frameon=False, fontsize=9)
    right.grid(axis="x")
    right.spines[["top", "right"]].set_visible(False)
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


def save_figure(draw: Callable[[], Figure], path: Path) -> list[Path]:
    """What ``draw`` draws, as SVG and PNG, the same bytes each time."""
    paths = [path.with_suffix(f".{kind}") for kind in ("svg", "png")]
    with mpl.rc_context(STYLE):
        figure = draw()
        for place in paths:
            facts = {"Date": None} if place.suffix == ".svg" else None
            figure.savefig(place, transparent=True, dpi=150, metadata=facts)
    return paths
