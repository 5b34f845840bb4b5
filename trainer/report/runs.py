"""A finished or running run, read back from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gapo_trainer.config import Config, load_config
from gapo_trainer.runlog import CONFIG, EVALS, GROUPS, METRICS, TIMINGS, check_run, read_log


@dataclass(frozen=True)
class Run:
    """The configuration and the logs of a run.

    Attributes:
        name: of its folder.
        config: all settings.
        metrics: one row per step, see ``metrics.step_metrics``.
        timings: one row per step: seconds, tokens/s, memory.
        evals: one row per evaluation and split.
        groups: the groups that were kept whole.
    """

    name: str
    config: Config
    metrics: list[dict[str, Any]]
    timings: list[dict[str, Any]]
    evals: list[dict[str, Any]]
    groups: list[dict[str, Any]]

    def scores(self, split: str) -> list[dict[str, Any]]:
        """The evaluations of one split, oldest first."""
        return [row for row in self.evals if row["split"] == split]

    def seconds(self) -> dict[str, float]:
        """What all steps together took, by part."""
        return {part: sum(row[f"{part}_s"] for row in self.timings) for part in ("rollout", "advantage", "update")}


def load_run(folder: Path) -> Run:
    """Read a run's folder.

    Raises:
        UserError: there is no run in it.
    """
    check_run("report expects folders of runs", folder)
    config = load_config(folder / CONFIG)
    metrics, timings, evals, groups = (read_log(folder, name) for name in (METRICS, TIMINGS, EVALS, GROUPS))
    return Run(folder.resolve().name, config, metrics, timings, evals, groups)
