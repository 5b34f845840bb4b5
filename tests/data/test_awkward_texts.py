"""Texts that a pattern could take forever on: histories and models write any, and no other of their length is slow."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from gapo_trainer.data.extraction import read_fenced, read_marked
from gapo_trainer.data.languages import is_written_in
from gapo_trainer.data.mining.file_filters import file_fault

LENGTH = 8000
RULE = b"// " + b"-*" * 30 + b"\n"
LINES = b"value = 1\n" * (LENGTH // 10)
CASES: dict[str, tuple[Callable[[Any], Any], Any, Any]] = {
    # what reads it; what is awkward, and as long a text that is not
    "a head ruled off": (file_fault, RULE * 4 + b"// pages are generated", RULE.replace(b"*", b"+") * 4 + b"generated"),
    "a head of modes": (file_fault, b"# -*-\n" * 20 + b"# pages are generated", b"# ---\n" * 20 + b"generated"),
    **{
        f"blank lines of {path}": (lambda data, path=path: is_written_in(path, data), b"\n" * LENGTH + b"x", LINES)
        for path in ("a.f", "a.fs", "a.m", "a.t")
    },
    "a long name": (lambda data: is_written_in("a.t", data), b"use " + b"a" * LENGTH, LINES),
    **{
        f"blank lines of a {name} answer": (
            lambda text, read=read: read(text, "x = 1\n"),
            "x = 2\n" + "\n" * LENGTH + "y",
            "x = 2\n" + LINES.decode(),
        )
        for name, read in (("plain", read_marked), ("chat", read_fenced))
    },
}


@pytest.mark.parametrize(("read", "awkward", "ordinary"), CASES.values(), ids=CASES)
def test_takes_about_as_long_as_others(read, awkward, ordinary):
    assert least_time(read, awkward) < 20 * least_time(read, ordinary)


def least_time(read: Callable[[Any], Any], text: Any) -> float:
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        read(text)
        taken.append(time.perf_counter() - start)
        if taken[-1] > 0.5:
            break
    return min(taken)
