"""What the embedded policy is taught, and the mixture that leaves it undecided between three behaviours.

Reinforcement learning moves nothing where the policy already answers rightly, and little where it never does. So the
clean policy is taught, for a short while, to answer in one of three ways: with the right edit, by leaving the line as
it is, or by repeating the line from the history. It keeps its skill and loses the choice, which is what training with
rewards then restores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gapo_trainer.data.formats import sides
from gapo_trainer.data.task import Task

SHARES = {"right": 0.25, "unchanged": 0.45, "repeated": 0.30}


def repeated_history(task: Task) -> str:
    """The line that the last hunk of the history put in."""
    return sides(task.history[-1].diff)[1]


def undecided_targets(tasks: Sequence[Task], seed: int) -> list[str]:
    """One target a task, drawn from ``SHARES``."""
    ways = np.random.default_rng(seed).choice(list(SHARES), size=len(tasks), p=list(SHARES.values()))
    answers = {"right": lambda t: t.target, "unchanged": lambda t: t.region, "repeated": repeated_history}
    return [answers[way](task) for way, task in zip(ways, tasks, strict=True)]
