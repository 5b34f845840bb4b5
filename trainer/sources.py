"""The tasks of a run, by the name that its configuration gives them; only those whose prompts are short enough."""

from __future__ import annotations

import random
from dataclasses import dataclass

from gapo_trainer.config import Config
from gapo_trainer.data.loading import EMBEDDED_TASKS, load_tasks
from gapo_trainer.data.stdlib_tasks import stdlib_tasks
from gapo_trainer.data.task import SPLITS, Task
from gapo_trainer.engine.model_check import longest_sequence
from gapo_trainer.errors import UserError, Warn
from gapo_trainer.policy import Policy

TRAIN, *EVALUATION = SPLITS
AT_ONCE = 512  # prompts that are tokenized together: a limit should not cost tokenizing all


@dataclass(frozen=True)
class Splits:
    """Tasks to train on, and tasks to evaluate on by split; a split without tasks is not among them."""

    train: list[Task]
    evaluation: dict[str, list[Task]]


def load_splits(config: Config, policy: Policy, warn: Warn) -> Splits:
    """All tasks of a run: of those whose prompts are short enough as many as it wants, at random.

    The embedded ones are limited before they are looked at: all are short, and to draw them takes longer.

    Args:
        config: ``data``, ``skip_bad``, ``max_tasks``, ``eval_tasks``, ``max_prompt_tokens``, ``max_new_tokens`` and
            ``seed`` are read.
        policy: its format and tokenizer decide a prompt's length.
        warn: called with a line for what was left out.

    Raises:
        UserError: the data cannot be read, or ``max_new_tokens`` leaves no room for a prompt.
    """
    limits = {split: config.max_tasks if split == TRAIN else config.eval_tasks for split in SPLITS}
    splits = _embedded(limits) if config.data == EMBEDDED_TASKS else _from_source(config, warn)
    longest = longest_prompt(config, policy)
    why = "" if longest == config.max_prompt_tokens else ", which is what the model takes less max_new_tokens"
    for split, tasks in splits.items():
        splits[split], seen = _short_enough(tasks, limits[split] or len(tasks), policy, longest)
        if left_out := seen - len(splits[split]):
            warn(f"{split}: {left_out} of {seen} tasks left out, prompts over {longest} tokens{why}")
    return Splits(splits[TRAIN], {split: splits[split] for split in EVALUATION if splits[split]})


def evaluation_tasks(config: Config, policy: Policy, warn: Warn) -> dict[str, list[Task]]:
    """The tasks to evaluate on, by split; for ``config``, ``policy`` and ``warn`` see ``load_splits``.

    Raises:
        UserError: there are none, or none with a prompt that is short enough; or see ``load_splits``.
    """
    found = load_splits(config, policy, warn).evaluation
    if not found:
        most = longest_prompt(config, policy)
        raise UserError(f"data={config.data} has no evaluation tasks with prompts of at most {most} tokens")
    return found


def longest_prompt(config: Config, policy: Policy) -> int:
    """``max_prompt_tokens``, or less where the model takes no more with the completion behind it.

    Raises:
        UserError: ``max_new_tokens`` leaves no room for a prompt.
    """
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


def _from_source(config: Config, warn: Warn) -> dict[str, list[Task]]:
    loaded = load_tasks(config.data, skip_bad=config.skip_bad)
    if loaded.bad:
        warn(f"{len(loaded.bad)} bad rows skipped, the first: {loaded.bad[0]}")
    splits = {}
    for split in SPLITS:
        splits[split] = [task for task in loaded.tasks if task.split == split]
        # files are sorted by repository: a limit is to sample all of them, and all runs are scored on the same ones
        random.Random(config.seed if split == TRAIN else 0).shuffle(splits[split])
    return splits


def _short_enough(tasks: list[Task], limit: int, policy: Policy, longest: int) -> tuple[list[Task], int]:
    """The first ``limit`` tasks with a prompt of at most ``longest`` tokens, and how many were looked at."""
    kept: list[Task] = []
    for begin in range(0, len(tasks), AT_ONCE):
        batch = tasks[begin : begin + AT_ONCE]
        for seen, (task, tokens) in enumerate(zip(batch, policy.encode(*batch), strict=True), begin + 1):
            if len(tokens) <= longest:
                kept.append(task)
                if len(kept) == limit:
                    return kept, seen
    return kept, len(tasks)
