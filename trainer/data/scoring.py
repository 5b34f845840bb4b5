"""Scoring groups of completions, in this process or over several, with failures counted and never fatal."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait

import numpy as np

from gapo_trainer.data.reward_worker import Worker
from gapo_trainer.data.rewards import REWARDS, Rewards, expect_strings
from gapo_trainer.data.task import Task
from gapo_trainer.data.user_reward import Outcome
from gapo_trainer.errors import UserError

COUNTS = ("scored", "unscorable", "raised", "timed_out")  # of a tally
LONGEST_WAIT = 1e6  # seconds; the system counts milliseconds in 32 bits


@dataclass
class Tally:
    """What became of the completions so far.

    Attributes:
        scored: got a reward.
        unscorable: the reward returned None.
        raised: the reward raised, returned something else than a finite number or None, or ended its process.
        timed_out: the reward took longer than the time limit.
        first_error: the first failure, in a line; empty while there is none.
    """

    scored: int = 0
    unscorable: int = 0
    raised: int = 0
    timed_out: int = 0
    first_error: str = ""

    @classmethod
    def of_all(cls, tallies: Sequence[Tally]) -> Tally:
        """The sum of several."""
        counts = {name: sum(getattr(tally, name) for tally in tallies) for name in COUNTS}
        return cls(**counts, first_error=next((t.first_error for t in tallies if t.first_error), ""))

    def count(self, outcome: Outcome, timed_out: bool = False) -> None:
        """Add one completion."""
        if outcome is None:
            self.unscorable += 1
        elif not isinstance(outcome, str):
            self.scored += 1
        else:
            self.first_error = self.first_error or outcome
            if timed_out:
                self.timed_out += 1
            else:
                self.raised += 1


class Scorer:
    """A reward, ready to score. Use it as a context manager, or call ``close``.

    The built-in rewards run in this process, unless several workers are asked for. A user's reward always runs in
    worker processes: one that hangs, or takes the process down, is killed and replaced, and costs one completion.

    Attributes:
        tally: what became of all completions since the start.
    """

    def __init__(self, reward: str, *, workers: int = 1, time_limit: float = 10.0):
        """Load the reward.

        Args:
            reward: ``em``, ``ed``, ``edem``, ``bleu``, or ``module:function`` (see ``load_user_reward``).
            workers: processes to score in, at least 1.
            time_limit: seconds that a user's reward may take for one completion.

        Raises:
            UserError: an unknown reward, or one that cannot be imported.
            ValueError: ``workers`` or ``time_limit`` is not positive.
        """
        if workers < 1:
            raise ValueError(f"workers expects a value >= 1, got {workers}")
        if not time_limit > 0:
            raise ValueError(f"time_limit expects seconds > 0, got {time_limit}")
        self.tally = Tally()
        self._reward = reward
        self._builtin = reward in REWARDS
        self._time_limit = math.inf if self._builtin else time_limit  # ours end; a large group may take a while
        self._workers: list[Worker] = []
        if not self._builtin or workers > 1:
            self._workers = [Worker(reward) for _ in range(workers)]
            try:
                for worker in self._workers:
                    worker.wait_until_loaded()
            except UserError:
                self.close()
                raise

    def __call__(self, completions: Sequence[str], task: Task) -> Rewards:
        """The rewards of one group.

        Args:
            completions: the edits, as extracted by the prompt format, [G].
            task: what they answer.

        Returns:
            [G] float32; NaN where there is no reward, be it unscorable, raised or timed out.

        Raises:
            TypeError: a single string, or anything among them that is none.
        """
        texts = expect_strings(completions)
        if not self._workers:
            rewards = REWARDS[self._reward](texts, task.target)
            self.tally.scored += len(rewards)
            return rewards
        outcomes = self._score(texts, task)
        return np.array([o if isinstance(o, float) else np.nan for o in outcomes], dtype=np.float32)

    def close(self) -> None:
        """End the worker processes."""
        for worker in self._workers:
            worker.kill()
        self._workers = []

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _score(self, completions: list[str], task: Task) -> list[Outcome]:
        outcomes: list[Outcome] = [None] * len(completions)
        # A user's reward gets one completion at a time, so that a hang costs that one only.
        share = max(1, -(-len(completions) // len(self._workers))) if self._builtin else 1
        waiting = deque(range(len(completions))[start : start + share] for start in range(0, len(completions), share))
        asked: dict[int, range] = {}  # by the worker's place in the list
        while waiting or asked:
            for place, worker in enumerate(self._workers):
                if waiting and place not in asked:
                    asked[place] = waiting.popleft()
                    worker.ask([completions[index] for index in asked[place]], task, self._time_limit)
            for place in self._finished(list(asked)):
                part = asked.pop(place)
                answer, timed_out = self._answer(place, len(part))
                for index, outcome in zip(part, answer, strict=True):
                    outcomes[index] = outcome
                    self.tally.count(outcome, timed_out)
        return outcomes

    def _finished(self, places: list[int]) -> list[int]:
        """Those of the workers at ``places`` that have answered, ended or run out of time; waits for the first."""
        workers = [self._workers[place] for place in places]
        first = min(worker.deadline for worker in workers) - time.monotonic()
        ready = wait([worker.connection for worker in workers], min(max(0.0, first), LONGEST_WAIT))
        now = time.monotonic()
        return [place for place, w in zip(places, workers, strict=True) if w.connection in ready or w.deadline <= now]

    def _answer(self, place: int, size: int) -> tuple[list[Outcome], bool]:
        """The worker's outcomes for its ``size`` completions, and whether it ran out of time; it is replaced if so."""
        worker = self._workers[place]
        if worker.connection.poll():
            try:
                return worker.answer(), False
            except (EOFError, OSError):
                timed_out, problem = False, "the reward ended its process"
        else:
            timed_out, problem = True, f"the reward took more than {self._time_limit:g} s"
        worker.kill()
        self._workers[place] = Worker(self._reward)
        self._workers[place].wait_until_loaded()
        return [problem] * size, timed_out
