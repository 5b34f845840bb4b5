"""The arguments of ``gapo-data``: each text as its value, or refused with what was expected."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from pathlib import Path

from gapo_trainer.data.languages import EXTENSIONS
from gapo_trainer.data.mining.licenses import PERMISSIVE

_COUNT_DIGITS = 18  # islice takes no more than sys.maxsize, of 19 digits, for the sum of two


def folder(text: str) -> Path:
    """A folder that exists."""
    path = Path(text)
    if not path.is_dir():
        raise ArgumentTypeError(f"expects a folder, got {text!r}")
    return path


def names(text: str) -> tuple[str, ...]:
    """Names with commas between them, at least one: none at all would mean all of them."""
    found = tuple(name.strip() for name in text.split(",") if name.strip())
    if not found:
        raise ArgumentTypeError(f"expects at least one name, got {text!r}")
    return found


def languages(text: str) -> tuple[str, ...]:
    """Names of languages."""
    found = names(text)
    unknown = sorted(set(found) - set(EXTENSIONS))
    if unknown:
        raise ArgumentTypeError(f"expects some of {', '.join(EXTENSIONS)}, got {unknown[0]!r}")
    return found


def licenses(text: str) -> tuple[str, ...]:
    """SPDX names; ``permissive`` stands for several."""
    return tuple(spdx for name in names(text) for spdx in (PERMISSIVE if name == "permissive" else (name,)))


def share(text: str) -> float:
    """A number >= 0 and < 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1:
        raise ArgumentTypeError(f"expects a share >= 0 and < 1, got {text}")
    return value


def task_count(text: str) -> int:
    """A number of tasks."""
    if not text.strip().isdecimal() or len(text) > _COUNT_DIGITS:
        raise ArgumentTypeError(f"expects a number >= 0 of at most {_COUNT_DIGITS} digits, got {text}")
    return int(text)
