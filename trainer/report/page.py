"""``gapo-train report``: runs compared on one HTML page that needs no other file and no network.

Whatever a model or a repository wrote reaches the page through Jinja's autoescaping or ``edit_diff``, never raw.
"""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError
from matplotlib.figure import Figure

from gapo_trainer.atomic import check_writable, write_whole
from gapo_trainer.errors import UserError
from gapo_trainer.evaluate import SCORES
from gapo_trainer.names import SCORE_NAMES, SPLIT_NAMES
from gapo_trainer.report.curves import draw_curves
from gapo_trainer.report.diffs import edit_diff
from gapo_trainer.report.group_figure import draw_group
from gapo_trainer.report.runs import Run, load_run
from gapo_trainer.stats import Mean

GROUPS_SHOWN = 6  # of each run, spread over its steps


def write_report(folders: Sequence[Path], out: Path) -> None:
    """Write the page that compares the runs in ``folders``.

    Raises:
        UserError: a folder holds no run, or one whose logs lack what is shown, or ``out`` cannot be written.
    """
    check_writable("--out", out)  # drawing takes a while
    runs = [load_run(folder) for folder in folders]
    try:
        html = _page(runs)
    except (KeyError, UndefinedError) as error:
        raise UserError(f"the logs are not as this version writes them: {type(error).__name__}: {error}") from error
    write_whole("the report", out, html)


def _page(runs: Sequence[Run]) -> str:
    pages = Environment(loader=PackageLoader("gapo_trainer.report", "."), autoescape=True, undefined=StrictUndefined)
    return pages.get_template("page.html.j2").render(
        runs=runs,
        curves=as_image(draw_curves(runs)),
        settings=differing_settings(runs),
        scores=[(SCORE_NAMES[name], name) for name in SCORES],
        results=[(run.name, SPLIT_NAMES[split], rows[0], rows[-1]) for run in runs for split, rows in _evaluated(run)],
        costs=[(run.name, _cost(run)) for run in runs],
        groups=[(run.name, _shown_group(run, group)) for run in runs for group in _spread(run.groups, GROUPS_SHOWN)],
        mean_of=Mean.from_row,
    )


def as_image(figure: Figure) -> str:
    """The figure as a ``data:`` address of an SVG image."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def differing_settings(runs: Sequence[Run]) -> list[tuple[str, list[Any]]]:
    """The settings in which the runs differ, a value for each run; of a single run, all settings."""
    values = [dataclasses.asdict(run.config) for run in runs]
    rows = [(name, [v[name] for v in values]) for name in values[0]]
    return [row for row in rows if len(runs) == 1 or len(set(row[1])) > 1]


def _evaluated(run: Run) -> list[tuple[str, list[dict[str, Any]]]]:
    return [(split, run.scores(split)) for split in SPLIT_NAMES if run.scores(split)]


def _cost(run: Run) -> dict[str, float]:
    def average(key: str) -> float:
        return sum(row[key] for row in run.timings) / max(1, len(run.timings))

    step = average("rollout_s") + average("advantage_s") + average("update_s")
    return {
        "steps": len(run.timings),
        "step_s": step,
        "rollout_s": average("rollout_s"),
        "update_s": average("update_s"),
        "advantage_share": average("advantage_s") / step if step else 0.0,
        "tokens_per_s": average("tokens_per_s"),
        "peak_mb": max((row["peak_mb"] for row in run.timings), default=0.0),
    }


def _spread(rows: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """``count`` rows at about equal distances, the first and the last among them."""
    if len(rows) <= count:
        return rows
    return [rows[round(i * (len(rows) - 1) / (count - 1))] for i in range(count)]


def _shown_group(run: Run, group: dict[str, Any]) -> dict[str, Any]:
    task = group["task"]
    title = f"step {group['step']}, {len(group['rewards'])} completions"
    return {
        "step": group["step"],
        "path": f"{task['repo']} {task['path']}",
        "history": "\n".join(f"--- {hunk['path']}\n{hunk['diff']}" for hunk in task["history"]),
        "figure": as_image(draw_group(group, run.config.tau, title)),
        "wanted": edit_diff(task["region"], task["target"]),
        "edits": [{**edit, "diff": edit_diff(task["region"], edit["text"])} for edit in group["edits"]],
    }
