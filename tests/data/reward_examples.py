"""A user's rewards as people write them, good and bad; loaded by name in ``test_scoring.py``."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import numpy as np


class Mute(Exception):
    def __str__(self):
        raise RuntimeError


def in_a_pool(completion, target):
    """Runs code at a distance, as rewards do that give it a time limit of their own."""
    with multiprocessing.Pool(1) as pool:
        return pool.apply(len, (completion,))


def leaves_a_program_behind(completion, target):
    """Notes its process in the file that the completion names."""
    Path(completion).write_text(str(subprocess.Popen(["sleep", "1000"]).pid))


def by_number(completion, target):
    """The completion's number; a negative one forks first."""
    number = float(completion)
    return by_command("fork", target) + number - 0.25 if number < 0 else number


def same_length(completion, target):
    return 1.0 if len(completion) == len(target) else 0.0


def in_language(completion, target, task):
    return 1 if task.lang in completion else None


def by_command(completion, target):
    """Does what the completion says."""
    if completion == "hang":
        while True:
            time.sleep(1)
    if completion == "raise":
        raise KeyError("no\nsuch key")
    if completion == "exit":
        sys.exit(3)
    if completion == "die":
        os._exit(1)
    if completion == "none":
        return None
    if completion == "nan":
        return float("nan")
    if completion == "text":
        return "0.5"
    if completion == "huge":
        return 1e300
    if completion == "long":
        raise KeyError("x" * 10_000_000)
    if completion == "mute":
        raise Mute
    if completion == "fork":
        if os.fork() == 0:
            sys.exit(0)
        time.sleep(0.2)  # were the child to answer too, its answer would be there by now
    return 0.25


def of_a_type(completion, target):
    """A number of the kind that the completion says."""
    return {
        "complex": np.complex128(1 + 2j),
        "complex in an array": np.array(1 + 2j),
        "list": np.array([0.5]),
        "array": np.array(0.5),
        "decimal": Decimal("0.5"),
    }[completion]


not_callable = 3
