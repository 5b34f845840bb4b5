"""Tasks from the hunks of one commit: hunk i is the edit, up to three hunks before it are the history."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gapo_trainer.data.extraction import NO_NEWLINE
from gapo_trainer.data.mining.changes import Change
from gapo_trainer.data.mining.file_filters import LONGEST_LINE
from gapo_trainer.data.mining.text_filters import text_fault
from gapo_trainer.data.task import CONTEXT, Hunk, Task

HISTORY = 3  # earlier hunks shown
MOST_LINES = 12  # of region and of target
MOST_CHARACTERS = 400  # of region and of target
MOST_DIFF = 1500  # characters of an earlier hunk; the rest of a longer one is not shown

# From MD5's on, and no number of decimal digits; a model could only make one up.
_DIGEST = re.compile(r"(?<![0-9a-fA-F])(?=[0-9]*[a-fA-F])[0-9a-fA-F]{32,}")

# What CVS and Subversion wrote in at each commit: dates and names that no prompt tells.
_KEYWORD = re.compile(r"\$(?:Id|Revision|Date|Author|Header|Rev|LastChanged\w+|HeadURL)(?::[^$\n]*)?\$")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a commit's tasks come from: the fields of ``Task`` that they share."""

    repo: str
    license: str
    commit: str
    time: int


def tasks_of(changes: Sequence[Change], origin: Origin, counts: Counter[str]) -> Iterator[tuple[int, Task]]:
    """The tasks of a commit with their hunk's place in it; hunks that make none are counted by reason.

    Every hunk counts as made once its turn has come, whether or not it makes a task: the lines before the region are
    those of the new file, the lines after it those of the old one.
    """
    diffs: list[Hunk | None] = []  # None where the text is not UTF-8
    for place, change in enumerate(changes):
        history = diffs[-HISTORY:]
        diffs.append(_hunk(change))
        if place == 0:
            continue
        fault = _size_fault(change)
        task = None if fault else _task(change, history, origin)
        if fault is None:
            fault = "text is not UTF-8" if task is None else _task_fault(task)
        if task is None or fault:
            counts[f"hunk: {fault}"] += 1
        else:
            yield place, task


def key_of(task: Task) -> bytes:
    """What two tasks share that are the same to a model: prefix, region and target."""
    return _digest(task.prefix, task.region, task.target)


def edit_of(task: Task) -> bytes:
    """What two tasks share that have the same edit, whatever stands around it and however far it is indented."""
    return _digest(_visible(task.region), _visible(task.target))


def _digest(*texts: str) -> bytes:
    return hashlib.sha256("\0".join(texts).encode()).digest()[:16]


def _size_fault(change: Change) -> str | None:
    if not change.old or not change.new:
        return "pure insertion or deletion"
    if max(len(change.old), len(change.new)) > MOST_LINES:
        return "too many lines"
    return None


def _task_fault(task: Task) -> str | None:
    if max(len(task.region), len(task.target)) > MOST_CHARACTERS:
        return "too many characters"
    if max(map(len, f"{task.prefix}{task.suffix}".split("\n"))) > LONGEST_LINE:
        return "beside a long line"
    if _visible(task.region) == _visible(task.target):
        return "white space only"
    if _KEYWORD.sub("$", task.region) == _KEYWORD.sub("$", task.target):
        return "version control keyword"
    if not task.region.strip() or not task.target.strip():
        return "pure insertion or deletion"
    diffs = "\n".join(hunk.diff for hunk in task.history)
    prompt = f"{diffs}\n{task.prefix}{task.region}{task.suffix}"
    if any(digest not in prompt for digest in _DIGEST.findall(task.target)):
        return "digest that the prompt does not tell"
    return text_fault(f"{diffs}\n{task.prefix}{task.region}{task.target}{task.suffix}")


def _visible(text: str) -> str:
    """Without white space and byte order marks."""
    return "".join(text.replace("\ufeff", "").split())


def _task(change: Change, history: Sequence[Hunk | None], origin: Origin) -> Task | None:
    version, old, new = change.version, change.old, change.new
    hunks = tuple(hunk for hunk in history if hunk is not None)
    texts: dict[str, Any] = {
        "prefix": _text(version.new[max(0, new.start - CONTEXT) : new.start]),
        "region": _text(version.old[old.start : old.stop]),
        "suffix": _text(version.old[old.stop : old.stop + CONTEXT]),
        "target": _text(version.new[new.start : new.stop]),
    }
    if len(hunks) < len(history) or None in texts.values():
        return None
    name = "\0".join((origin.repo, origin.commit, version.path, str(old.start)))
    return Task(
        id=hashlib.sha256(name.encode()).hexdigest()[:16],
        repo=origin.repo,
        license=origin.license,
        lang=version.lang,
        path=version.path,
        commit=origin.commit,
        time=origin.time,
        split="train",  # until all commits are known
        history=hunks,
        **texts,
    )


def _hunk(change: Change) -> Hunk | None:
    version = change.version
    signed = [
        (sign, _text([line]))
        for sign, lines in (
            ("-", version.old[change.old.start : change.old.stop]),
            ("+", version.new[change.new.start : change.new.stop]),
        )
        for line in lines
    ]
    diff = f"@@ -{_range(change.old)} +{_range(change.new)} @@\n"
    for sign, line in signed:
        if line is None:
            return None
        text = f"{sign}{line}" if line.endswith("\n") else f"{sign}{line}\n{NO_NEWLINE}"
        if len(diff) + len(text) > MOST_DIFF:
            break
        diff += text
    return Hunk(version.path, diff)


def _text(lines: list[bytes]) -> str | None:
    try:
        return b"".join(lines).decode()
    except UnicodeDecodeError:  # Latin-1, Shift-JIS, …: guessing would teach garbage
        return None


def _range(lines: range) -> str:
    """As git writes it: lines from 1, the line before where there are none, and no number where it is 1."""
    if not lines:
        return f"{lines.start},0"
    return f"{lines.start + 1}" if len(lines) == 1 else f"{lines.start + 1},{len(lines)}"
