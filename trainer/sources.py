"""The tasks of a run, by the name that its configuration gives them; only those whose prompts are short enough."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from gapo_trainer.config import Config
from gapo_trainer.data.loading import load_tasks
from gapo_trainer.data.stdlib_tasks import stdlib_tasks
from gapo_trainer.data.task import SPLITS, Task
from gapo_trainer.engine.model_check import longest_sequence
from gapo_trainer.errors import UserError
from gapo_trainer.policy import Policy

TRAIN, *HELD_OUT = SPLITS
EMBEDDED = "stdlib"
Warn = Callable[[str], None]


@dataclass(frozen=True)
class Splits:
    """Tasks to train on, and tasks to evaluate on by split; a split without tasks is not among them."""

    train: list[Task]
    held_out: dict[str, list[Task]]


def load_splits(config: Config, policy: Policy, warn: Warn) -> Splits:
    """All tasks of a run.

    Args:
        config: ``data``, ``skip_bad``, ``max_tasks``, ``eval_tasks``, ``max_prompt_tokens``, ``max_new_tokens`` and
            ``seed`` are read.
        policy: its format and tokenizer decide a prompt's length.
        warn: called with a line for what was left out.

    Raises:
        UserError: the data cannot be read, or ``max_new_tokens`` leaves no room for a prompt.
    """
    limits = {split: config.max_tasks if split == TRAIN else config.eval_tasks for split in SPLITS}
    splits = _embedded(limits) if config.data == EMBEDDED else _from_source(config, limits, warn)
    longest = _longest_prompt(config, policy)
    for split, tasks in splits.items():
        splits[split] = _short_enough(tasks, policy, longest)
        if left_out := len(tasks) - len(splits[split]):
            warn(f"{split}: {left_out} of {len(tasks)} tasks left out, prompts over {longest} tokens")
    return Splits(splits[TRAIN], {split: splits[split] for split in HELD_OUT if splits[split]})


def _longest_prompt(config: Config, policy: Policy) -> int:
    """``max_prompt_tokens``, or less where the model takes no more with the completion behind it."""
    longest = longest_sequence(policy.model)
    if longest is None:
        return config.max_prompt_tokens
    if longest <= config.max_new_tokens:
        raise UserError(
            f"max_new_tokens={config.max_new_tokens} leaves no room for prompts: the model takes {longest} tokens"
        )
    return min(config.max_prompt_tokens, longest - config.max_new_tokens)


def _embedded(limits: dict[str, int]) -> dict[str, list[Task]]:
    return {split: stdlib_tasks(split, limit=limit or None) for split, limit in limits.items()}


def _from_source(config: Config, limits: dict[str, int], warn: Warn) -> dict[str, list[Task]]:
    loaded = load_tasks(config.data, skip_bad=config.skip_bad)
    if loaded.bad:
        warn(f"{len(loaded.bad)} bad rows skipped, the first: {loaded.bad[0]}")
    splits = {}
    for split, limit in limits.items():
        tasks = [task for task in loaded.tasks if task.split == split]
        random.Random(config.seed).shuffle(tasks)  # files are sorted by repository: a limit is to sample all of them
        splits[split] = tasks[: limit or None]
    return splits


def _short_enough(tasks: list[Task], policy: Policy, longest: int) -> list[Task]:
    if not tasks:
        return []
    prompts = [policy.format.prompt(task) for task in tasks]
    ids = policy.tokenizer(prompts, add_special_tokens=policy.format.add_special_tokens)["input_ids"]
    return [task for task, tokens in zip(tasks, ids, strict=True) if len(tokens) <= longest]
