"""Evaluation: what a policy answers to tasks it did not train on, scored by exact match, edit similarity and BLEU.

Prompts of about equal length are decoded together by transformers' own ``generate`` with left padding. An answer that
was cut off before its end is no exact match, whatever it says so far.
Left out: teacher-forced scoring. It gives the same greedy exact match for less, but no text to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gapo_trainer.data.rewards import bleu, ed, em
from gapo_trainer.data.task import Task
from gapo_trainer.policy import Policy
from gapo_trainer.stats import Mean, mean_of_tasks

SCORES = ("em", "ed", "bleu")
DECODINGS = ("greedy", "sampled")
MOST_AT_ONCE = 64  # prompts decoded together; each has keys and values of its own


@dataclass(frozen=True)
class Answer:
    """One completion of a task, scored."""

    task: Task
    text: str
    ended: bool
    em: float
    ed: float
    bleu: float


def answer(
    policy: Policy,
    tasks: Sequence[Task],
    decoding: str,
    max_new_tokens: int,
    temperature: float = 1.0,
    seed: int = 0,
    advance: Callable[[int], Any] = lambda count: None,
    at_once: int = MOST_AT_ONCE,
) -> list[Answer]:
    """Let ``policy`` answer every task once.

    Args:
        policy: the model, its tokenizer and its prompt format.
        tasks: any number.
        decoding: ``greedy`` or ``sampled``.
        max_new_tokens: longest answer, its end token included.
        temperature: of ``sampled``.
        seed: of ``sampled``.
        advance: called with the number of tasks answered, as they are.
        at_once: prompts decoded together, to bound memory; at most ``MOST_AT_ONCE`` are.

    Returns:
        The answers, in the order of ``tasks``.
    """
    prompts = policy.encode(*tasks)
    shortest_first = sorted(range(len(tasks)), key=lambda i: (len(prompts[i]), i))
    how = {"do_sample": True, "temperature": temperature} if decoding == "sampled" else {"do_sample": False}
    torch.manual_seed(seed)
    answers: dict[int, Answer] = {}
    for rows in _chunks(shortest_first, min(at_once, MOST_AT_ONCE)):
        completions = policy.generate([prompts[i] for i in rows], max_new_tokens, **how)
        for i, tokens in zip(rows, completions, strict=True):
            answers[i] = score(policy, tasks[i], tokens)
        advance(len(rows))
    return [answers[i] for i in range(len(tasks))]


def score(policy: Policy, task: Task, tokens: list[int]) -> Answer:
    """Score the completion ``tokens`` of ``task``."""
    ended = policy.has_ended(tokens)
    text = policy.edit(task, tokens)
    exact = float(em([text], task.target)[0]) if ended else 0.0
    return Answer(task, text, ended, exact, float(ed([text], task.target)[0]), float(bleu([text], task.target)[0]))


def summarize(answers: Sequence[Answer]) -> dict[str, Mean]:
    """Mean and 95% interval of each of ``SCORES`` over tasks."""
    return {name: mean_of_tasks([getattr(a, name) for a in answers]) for name in SCORES}


def scores_row(answers: Sequence[Answer]) -> dict[str, float]:
    """The number of tasks, and ``summarize`` as entries of a log's row."""
    row: dict[str, float] = {"tasks": len(answers)}
    for name, mean in summarize(answers).items():
        row |= mean.to_row(name)
    return row


def by_language(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    """The answers by programming language, the most frequent first."""
    groups: dict[str, list[Answer]] = {}
    for a in answers:
        groups.setdefault(a.task.lang, []).append(a)
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))


def _chunks(items: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
