"""``gapo-train eval``: a policy's scores on evaluation tasks, by split, decoding and language."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from gapo_trainer.atomic import check_writable, write_whole
from gapo_trainer.config import Config
from gapo_trainer.evaluate import DECODINGS, SCORES, Answer, answer, by_language, scores_row
from gapo_trainer.names import SCORE_NAMES, SPLIT_NAMES
from gapo_trainer.policy import load_policy, resolve_device
from gapo_trainer.precision import forward_precision
from gapo_trainer.progress import tell
from gapo_trainer.sources import evaluation_tasks
from gapo_trainer.stats import Mean
from gapo_trainer.threads import settle_threads

ALL = "all"


def evaluate_command(config: Config, out: Path | None, console: Console) -> None:
    """Answer the evaluation tasks greedily and by sampling, and print and write the scores.

    Args:
        config: the policy (``model``), the data and how to sample.
        out: a JSON Lines file for every answer with its scores; None for none. A file that is there is replaced.
        console: where the table goes.

    Raises:
        UserError: there are no evaluation tasks with prompts that are short enough, or ``out`` cannot be written.
    """
    if out:
        check_writable("--answers", out)  # the answering may take hours
    settle_threads(config.model)
    policy = load_policy(config.model, config.format, resolve_device(config.device), config.thinking)
    policy.model.eval()
    splits = evaluation_tasks(config, policy, partial(tell, console))
    total = len(DECODINGS) * sum(map(len, splits.values()))
    answers = []
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("answering", total=total)
        for split, tasks in splits.items():
            for decoding in DECODINGS:
                with forward_precision(policy.model, config):
                    given = answer(
                        policy, tasks, decoding, config.max_new_tokens, config.temperature, config.seed,
                        lambda count: progress.advance(bar, count), config.generation_batch,
                    )  # fmt: skip
                answers.append((split, decoding, given))
    console.print(_table(answers))
    if out:
        _write(out, answers)


def _table(answers: list[tuple[str, str, list[Answer]]]) -> Table:
    table = Table(title="means with 95% bootstrap intervals over tasks", title_style="dim")
    for heading in ("tasks", "decoding", "language"):
        table.add_column(heading)
    for heading in ("n", *(SCORE_NAMES[name] for name in SCORES)):
        table.add_column(heading, justify="right")
    for split, decoding, given in answers:
        languages = by_language(given)
        for language, part in ({ALL: given} | (languages if len(languages) > 1 else {})).items():
            row = scores_row(part)
            means = (str(Mean.from_row(row, name)) for name in SCORES)
            table.add_row(SPLIT_NAMES[split], decoding, language, str(len(part)), *means, end_section=language == ALL)
    return table


def _write(out: Path, answers: list[tuple[str, str, list[Answer]]]) -> None:
    rows: list[dict[str, Any]] = [
        {"split": split, "decoding": decoding, "task": a.task.id, "lang": a.task.lang, "text": a.text, "ended": a.ended}
        | {name: getattr(a, name) for name in SCORES}
        for split, decoding, given in answers
        for a in given
    ]
    write_whole("the answers", out, "".join(json.dumps(row) + "\n" for row in rows))
