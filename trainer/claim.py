"""One process at a time writes a run's folder: whoever claims it holds a lock that ends with the process."""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gapo_trainer.errors import UserError

LOCK = ".lock"


class ClaimedError(UserError):
    """Another process is writing to the folder."""


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Keep other processes from the folder, which exists, within the block.

    Raises:
        ClaimedError: another process has claimed it.
        UserError: nothing can be written there.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"{folder} cannot be written to: {error}") from error
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise ClaimedError(f"{folder} is being written to by another process") from error
        except OSError:  # a file system that has no locks
            pass
        yield
    finally:
        os.close(descriptor)


def claim_new(out: Path, held: ExitStack) -> Path:
    """Make ``out``, or ``out-2``, ``out-3``, … where that holds anything or another process begins a run, and claim it.

    Args:
        out: nothing there is ever overwritten.
        held: takes the claim.

    Raises:
        UserError: the folder cannot be made.
    """
    if out.name in ("", ".."):  # "." and ".." have names of their own
        out = out.resolve()
        if not out.name:
            raise UserError(f"out expects a folder that can have others beside it, got {out}")
    for number in itertools.count(1):
        folder = out if number == 1 else out.with_name(f"{out.name}-{number}")
        try:
            if _is_taken(folder):
                continue
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"out={out}: the folder cannot be made: {error}") from error
        with ExitStack() as tried:
            try:
                tried.enter_context(claim(folder))
            except ClaimedError:
                continue
            if not _is_taken(folder):  # nor has another process finished one meanwhile
                held.enter_context(tried.pop_all())
                return folder
    raise AssertionError


def _is_taken(folder: Path) -> bool:
    """Whether there is anything but the lock that a run left which could not begin."""
    return folder.is_dir() and any(entry.name != LOCK for entry in folder.iterdir())
