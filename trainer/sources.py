"""Tasks by the name that a configuration gives them, and only those whose prompts are short enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gapo_trainer.config import Config
from gapo_trainer.data.stdlib_tasks import stdlib_tasks
from gapo_trainer.data.task import SPLITS, Task
from gapo_trainer.errors import UserError
from gapo_trainer.policy import Policy

HELD_OUT = SPLITS[1:]


@dataclass(frozen=True)
class Splits:
    """Tasks to train on, and tasks to evaluate on by split; a split without tasks is not among them."""

    train: list[Task]
    held_out: dict[str, list[Task]]


def load_splits(config: Config, policy: Policy, warn: Callable[[str], None]) -> Splits:
    """All tasks of a run whose prompts are short enough.

    Args:
        config: ``data``, ``max_tasks``, ``eval_tasks``, ``max_prompt_tokens`` and ``seed`` are read.
        policy: its format and tokenizer decide a prompt's length.
        warn: called with a line that says how many tasks were left out.

    Raises:
        UserError: the data cannot be read, or no training task is left.
    """
    held_out = {split: load_tasks(config, split, config.eval_tasks) for split in HELD_OUT}
    kept = {"train": load_tasks(config, "train", config.max_tasks or None), **held_out}
    for split, tasks in kept.items():
        kept[split] = _short_enough(tasks, policy, config.max_prompt_tokens)
        if len(kept[split]) < len(tasks):
            left_out = len(tasks) - len(kept[split])
            warn(f"{split}: {left_out} of {len(tasks)} tasks left out, prompts over {config.max_prompt_tokens} tokens")
    train = kept.pop("train")
    if not train:
        raise UserError(
            f"data={config.data} has no training task with a prompt of at most {config.max_prompt_tokens} tokens"
        )
    return Splits(train, {split: tasks for split, tasks in kept.items() if tasks})


def _short_enough(tasks: list[Task], policy: Policy, longest: int) -> list[Task]:
    if not tasks:
        return []
    prompts = [policy.format.prompt(task) for task in tasks]
    ids = policy.tokenizer(prompts, add_special_tokens=policy.format.add_special_tokens)["input_ids"]
    return [task for task, tokens in zip(tasks, ids, strict=True) if len(tokens) <= longest]


def load_tasks(config: Config, split: str, limit: int | None) -> list[Task]:
    """At most ``limit`` tasks of one split, the same ones for the same seed."""
    return stdlib_tasks(split, limit=limit)
