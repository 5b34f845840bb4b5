"""``gapo-train compare``: the same recipe under several estimators and seeds, with intervals and a paired test.

Runs with the same seed see the same tasks in the same order and start from the same weights, so estimators are compared
seed by seed. What it shows is what is printed: a difference whose interval holds 0 is no difference that was measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gapo_trainer.checkpoint import CHECKPOINTS, newest_checkpoint
from gapo_trainer.claim import claim
from gapo_trainer.config import DAPO, Config, load_config
from gapo_trainer.errors import UserError
from gapo_trainer.names import SCORE_NAMES, SPLIT_NAMES
from gapo_trainer.policy import load_policy, resolve_device
from gapo_trainer.progress import tell
from gapo_trainer.provenance import provenance, write_result
from gapo_trainer.runlog import CONFIG, EVALS, read_log
from gapo_trainer.sources import evaluation_tasks
from gapo_trainer.stats import mean_of_seeds, paired_test
from gapo_trainer.threads import settle_threads
from gapo_trainer.train import train

Scores = dict[tuple[str, str], float]  # of one run: by split and name

COMPARED = [(split, score) for split in SPLIT_NAMES for score in ("em", "ed")]


def recipe(name: str) -> dict[str, Any]:
    """The settings of a recipe: an estimator's name, ``dapo`` (GRPO with DAPO's options), or ``<estimator>+dapo``."""
    estimator, plus, options = name.partition("+")
    if name == "dapo":
        return {"estimator": "grpo", **DAPO}
    if plus and options != "dapo":
        raise UserError(f"--estimators expects an estimator, dapo or <estimator>+dapo, got {name!r}")
    return {"estimator": estimator, **(DAPO if plus else {})}


def compare(config: Config, names: Sequence[str], seeds: int, console: Console) -> None:
    """Train every recipe with seeds ``0 … seeds - 1`` and print how they did.

    Runs that are complete are read, not trained again, and interrupted ones are resumed: the command can be repeated.

    Args:
        config: what all runs share; ``out`` is the folder of the whole comparison.
        names: see ``recipe``; the first is what the others are tested against.
        seeds: how many runs of each, at least 1.
        console: where progress and tables go.

    Raises:
        UserError: an unknown name, ``seeds`` below 1, or a folder that holds runs of another configuration.
    """
    if seeds < 1:
        raise UserError(f"--seeds expects a value >= 1, got {seeds}")
    if len(set(names)) < len(names):
        raise UserError(f"--estimators expects each name once, got {','.join(names)}")
    runs = [(name, seed, _run_config(config, name, seed)) for name in names for seed in range(seeds)]
    for _, _, one in runs:  # before hours of training, as the tasks
        _check_same(one)
    settle_threads(config.model)
    evaluation_tasks(config, load_policy(config.model, config.format, thinking=config.thinking), lambda line: None)
    origin = provenance(resolve_device(config.device))
    results: dict[str, list[Scores]] = {name: [] for name in names}
    for name, seed, one in runs:
        tell(console, f"{name}, seed {seed}: {one.out}")
        results[name].append(_final_scores(_trained(one, console)))
    write_result(Path(config.out) / "result.json", origin, _as_json(config, results))
    console.print(_means(results, seeds))
    if len(names) > 1 and seeds > 1:
        console.print(_tests(results, names))


def _as_json(config: Config, results: dict[str, list[Scores]]) -> dict[str, Any]:
    """The shared settings, and for every recipe the final greedy scores of each seed."""
    scores = {
        name: [{f"{split}_{score}": value for (split, score), value in run.items()} for run in runs]
        for name, runs in results.items()
    }
    return {"config": vars(config), "scores_by_seed": scores}


def _run_config(config: Config, name: str, seed: int) -> Config:
    out = str(Path(config.out) / f"{name.replace('+', '_')}_seed{seed}")
    return dataclasses.replace(config, **recipe(name), seed=seed, out=out)


def _trained(config: Config, console: Console) -> Path:
    """The folder of the run, trained to its end."""
    folder = Path(config.out)
    folder.mkdir(parents=True, exist_ok=True)
    with claim(folder):
        if not is_complete(folder, config):
            train(config, folder, resolve_device(config.device), resume=True, console=console)
    return folder


def _check_same(config: Config) -> None:
    """Refuse to go on with a run of other settings; where its folder lies, and how that is spelled, is none."""
    file = Path(config.out) / CONFIG
    kept = load_config(file) if file.exists() else config
    for name, was in vars(dataclasses.replace(kept, out=config.out)).items():
        if was != getattr(config, name):
            raise UserError(
                f"{config.out} holds a run of another configuration, with {name}={was}, not {getattr(config, name)}; "
                "choose another --out"
            )


def is_complete(folder: Path, config: Config) -> bool:
    """Whether the run in ``folder`` has its last checkpoint."""
    found = newest_checkpoint(folder / CHECKPOINTS, warn=lambda line: None)  # training tells
    return found is not None and found[1].step == config.steps


def _final_scores(folder: Path) -> Scores:
    last = {row["split"]: row for row in read_log(folder, EVALS)}
    return {(split, score): last[split][score] for split, score in COMPARED if split in last}


def _means(results: dict[str, list[Scores]], seeds: int) -> Table:
    table = Table(title=f"greedy scores at the end, over {seeds} seeds", title_style="bold")
    keys = [key for key in COMPARED if all(key in scores for runs in results.values() for scores in runs)]
    for heading in ("", "score"):
        table.add_column(heading)
    table.add_column("mean [95% interval]", justify="right")  # one row per score: it fits a terminal of 80 columns
    for name, runs in results.items():
        for key in keys:
            interval = str(mean_of_seeds([scores[key] for scores in runs]))
            table.add_row(name, _score_name(key), interval, end_section=key == keys[-1])
    return table


def _score_name(key: tuple[str, str]) -> str:
    split, score = key
    return f"{SPLIT_NAMES[split]} {SCORE_NAMES[score]}"


def _tests(results: dict[str, list[Scores]], names: Sequence[str]) -> Table:
    first = names[0]
    title = f"{first} minus the others, seed by seed: mean [95% interval], Student's paired test"
    table = Table(title=title, title_style="bold")
    for heading in ("", "score"):
        table.add_column(heading)
    for heading in ("difference", "p"):
        table.add_column(heading, justify="right")
    for other in names[1:]:
        for key in COMPARED:
            pairs = [(a[key], b[key]) for a, b in zip(results[first], results[other], strict=True) if key in a]
            if pairs:
                test = paired_test(*zip(*pairs, strict=True))
                table.add_row(f"{first} - {other}", _score_name(key), str(test.difference), f"{test.p:.3f}")
    return table
