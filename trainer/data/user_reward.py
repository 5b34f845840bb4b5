"""A user's own reward: found by name, called for one completion at a time, its answer checked."""

from __future__ import annotations

import importlib
import inspect
import math
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapo_trainer.data.rewards import REWARDS
from gapo_trainer.data.task import Task
from gapo_trainer.errors import UserError

LONGEST_TEXT = 500  # characters of what went wrong

Outcome = float | None | str  # a reward, unscorable, or what went wrong


def load_user_reward(name: str) -> Callable[[str, Task], Outcome]:
    """The function ``module:function``; modules of the current folder are found too.

    The function is called as ``function(completion, target)``, and with ``task=`` where it has a parameter of that
    name. It returns a finite number, or None for a completion that it cannot score.

    Raises:
        UserError: the name does not lead to a function; the message says at which step.
    """
    module_name, colon, function_name = name.partition(":")
    if not (module_name and colon and function_name):
        raise UserError(f"reward expects {', '.join(REWARDS)} or module:function, got {name!r}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's module does when it is imported
        raise UserError(f"reward: cannot import {module_name!r}: {describe(error)}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UserError(f"reward: module {module_name!r} has no function {function_name!r}")
    try:
        wants_task = "task" in inspect.signature(function).parameters
    except (ValueError, TypeError):  # written in C, it may have none
        wants_task = False

    def reward(completion: str, task: Task) -> Outcome:
        try:
            return _checked(function(completion, task.target, **({"task": task} if wants_task else {})))
        except BaseException as error:  # even sys.exit() in a reward is that reward's failure, not the run's end
            return describe(error)

    return reward


def describe(error: BaseException) -> str:
    """An exception in one line, of at most ``LONGEST_TEXT`` characters and a few."""
    try:
        text = str(error)
    except Exception:  # whatever a user's exception does when it is asked
        text = "(an exception that cannot tell)"
    shown = text[:LONGEST_TEXT] + " …" * (len(text) > LONGEST_TEXT)
    return f"{type(error).__name__}: {shown}".replace("\n", " ")


def _checked(value: Any) -> Outcome:
    if value is None:
        return None
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__") or not _is_real(np.asarray(value)):
        raise TypeError(f"scoring expects a number or None from the reward, got {value!r}")
    with np.errstate(over="ignore"):
        number = float(np.float32(value))
    if not math.isfinite(number):
        raise ValueError(f"scoring expects a finite float32 number or None from the reward, got {value!r}")
    return number


def _is_real(array: NDArray[Any]) -> bool:
    """Whether it holds one number, or an object that may be one: of a complex number NumPy would take the real part."""
    return array.ndim == 0 and array.dtype.kind in "biufO"
