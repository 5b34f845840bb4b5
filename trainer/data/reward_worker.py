"""A process that scores completions for ``scoring.Scorer``, which can kill it at any time without harm."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

from gapo_trainer.data.rewards import REWARDS
from gapo_trainer.data.task import Task
from gapo_trainer.data.user_reward import Outcome, describe, load_user_reward
from gapo_trainer.errors import UserError

START_LIMIT = 120.0  # seconds that importing a reward may take

GroupReward = Callable[[Sequence[str], Task], list[Outcome]]


class Worker:
    """The parent's end: one process, one request at a time.

    Attributes:
        connection: becomes readable when the answer, or the process's end, has come.
        deadline: the ``time.monotonic()`` by which the answer to the latest request must have come.
    """

    def __init__(self, reward: str):
        # Not a fork: the trainer's process has threads and holds a device.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.deadline = 0.0
        self._process = context.Process(target=_serve, args=(theirs, reward), daemon=True)
        self._process.start()
        theirs.close()  # else the process's end would never show

    def wait_until_loaded(self) -> None:
        """Return once the reward is imported.

        Raises:
            UserError: it cannot be, or it takes longer than ``START_LIMIT``.
        """
        if not self.connection.poll(START_LIMIT):
            raise UserError(f"reward: importing it takes more than {START_LIMIT:g} s")
        try:
            problem = self.connection.recv()
        except EOFError:
            raise UserError("reward: its process ended while importing it") from None
        if problem:
            raise UserError(problem)

    def ask(self, completions: Sequence[str], task: Task, time_limit: float) -> None:
        """Start scoring; ``time_limit`` in seconds."""
        self.deadline = time.monotonic() + time_limit
        # A process that has just ended cannot be asked; its end shows when the answer is read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send((completions, task))

    def answer(self) -> list[Outcome]:
        """The outcomes, one for each completion.

        Raises:
            EOFError, OSError: the process ended instead.
        """
        return self.connection.recv()

    def kill(self) -> None:
        """End the process and what it started, unless that is in a session of its own."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)  # type: ignore[arg-type]  # it was started
        except ProcessLookupError:  # it has gone, or has not yet made a group of its own
            self._process.kill()
        self._process.join()
        self.connection.close()


def load(reward: str) -> GroupReward:
    """The reward of that name, as what a worker does with a request."""
    if reward in REWARDS:
        return lambda completions, task: REWARDS[reward](completions, task.target).tolist()
    function = load_user_reward(reward)
    return lambda completions, task: [function(completion, task) for completion in completions]


def _serve(connection: Connection, reward: str) -> None:
    os.setsid()  # a group of its own: what a reward starts dies with it, and Ctrl-C reaches the trainer alone
    threading.Thread(target=_end_with_the_trainer, daemon=True).start()
    multiprocessing.current_process().daemon = False  # else a reward may start no processes by multiprocessing
    own = os.getpid()
    try:
        score = load(reward)
    except BaseException as error:
        connection.send(str(error) if isinstance(error, UserError) else describe(error))
        return
    connection.send("")
    while True:
        try:
            completions, task = connection.recv()
        except EOFError:  # the trainer has gone
            return
        outcomes = score(completions, task)
        if os.getpid() != own:  # a child that the reward forked and let go on: the answer is its parent's
            os._exit(1)
        connection.send(outcomes)


def _end_with_the_trainer() -> None:
    """End this process and what it started once the trainer has gone: a reward that hangs would not notice."""
    trainer = multiprocessing.parent_process()
    if trainer is not None:
        trainer.join()
        os.killpg(os.getpid(), signal.SIGKILL)
