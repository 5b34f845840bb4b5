"""``gapo-train run``: a folder for the run, training, and what came of it as a table and figures."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gapo_trainer import ranks
from gapo_trainer.checkpoint import CHECKPOINTS, checkpoints
from gapo_trainer.claim import claim, claim_new
from gapo_trainer.config import Config, load_config
from gapo_trainer.errors import UserError
from gapo_trainer.evaluate import SCORES
from gapo_trainer.names import SCORE_NAMES, SPLIT_NAMES
from gapo_trainer.policy import resolve_device
from gapo_trainer.progress import tell
from gapo_trainer.provenance import provenance, write_result
from gapo_trainer.report.curves import draw_curves
from gapo_trainer.report.runs import load_run
from gapo_trainer.runlog import CONFIG, EVALS, read_log
from gapo_trainer.threads import settle_threads
from gapo_trainer.train import train


def run(config: Config, resume: Path | None, console: Console) -> Path:
    """Train a run, or go on with the one in the folder ``resume``, and show its result.

    Returns:
        The run's folder.

    Raises:
        UserError: ``config`` changes where the resumed run's weights came from, or where it lies; or see ``train``.
    """
    changes = _changes(resume, config) if resume else []
    settle_threads(config.model)
    with ExitStack() as held:
        with ranks.process_group(resolve_device(config.device)) as device:
            first = ranks.rank() == 0
            origin = provenance(device)
            if first and resume:
                held.enter_context(claim(resume))
            folder = Path(ranks.agreed(str(resume or claim_new(Path(config.out), held)) if first else None))
            if first:
                if changes:
                    tell(console, f"from here on: {', '.join(changes)}")
                tell(console, f"run: {folder}")
            train(config, folder, device, resume is not None, console if first else None)
        if first:
            _show_result(config, folder, origin, console)
    return folder


def _changes(folder: Path, config: Config) -> list[str]:
    """What ``config`` changes of the run in ``folder``, as lines to tell; what no run can change is refused."""
    kept = vars(load_config(folder / CONFIG))
    new = {name: value for name, value in vars(config).items() if value != kept[name]}
    for name in ("model", "out"):
        if name in new:
            raise UserError(f"{name} expects {kept[name]!r}, with which the run in {folder} began, got {new[name]!r}")
    return [f"{name}={value!r}, was {kept[name]!r}" for name, value in new.items()]


def _show_result(config: Config, folder: Path, origin: dict[str, Any], console: Console) -> None:
    result = load_run(folder)
    write_result(
        folder / "result.json", origin, {"config": vars(config), "seconds": result.seconds(), "evals": result.evals}
    )
    draw_curves([result]).savefig(folder / "curves.png", dpi=120)
    if result.evals:
        console.print(result_table(folder))
    else:
        tell(console, "no tasks were evaluated: there are none, or none with a prompt that is short enough")
    tell(console, f"figures: {folder / 'curves.png'}")
    tell(console, f"checkpoint: {checkpoints(folder / CHECKPOINTS)[-1]}")


def result_table(folder: Path) -> Table:
    """Greedy scores before and after training, by split."""
    evals = read_log(folder, EVALS)
    table = Table(title="greedy scores, before → after", title_style="bold")
    table.add_column("")
    for name in SCORES:
        table.add_column(SCORE_NAMES[name], justify="right")
    for split, name in SPLIT_NAMES.items():
        rows = [row for row in evals if row["split"] == split]
        if rows:
            table.add_row(f"{name} ({rows[0]['tasks']} tasks)", *(_change(rows[0], rows[-1], s) for s in SCORES))
    return table


def _change(before: dict[str, Any], after: dict[str, Any], score: str) -> str:
    return f"{before[score]:.3f} → {after[score]:.3f}"
