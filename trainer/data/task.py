"""A history-aware code edit, as a typed value: the one schema that miner, embedded source, loader and trainer share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# learnt from; later commits of the same repositories; repositories never learnt from
SPLITS = ("train", "test_id", "test_ood")
CONTEXT = 12  # lines before the region, and lines after it


class TaskError(ValueError):
    """A row that is no task.

    Attributes:
        field: the name of the field that is wrong, such as ``history[1].diff``; empty where the whole row is.
        reason: what the field, or the row, expects and what came; it reads on from the field's name.
    """

    def __init__(self, field: str, reason: str):
        super().__init__(f"field {field!r} {reason}" if field else f"row {reason}")
        self.field = field
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Hunk:
    """One earlier change of the same commit.

    Attributes:
        path: the changed file, relative to the repository's root.
        diff: the hunk without context lines, from its ``@@`` line on.
    """

    path: str
    diff: str


@dataclass(frozen=True, slots=True)
class Task:
    """Lines to rewrite, with what surrounds them and what was changed before.

    Attributes:
        id: unique name of the task, 16 hexadecimal digits where it was mined.
        repo: name of the repository, such as ``apache/thrift``.
        license: the repository's licence as an SPDX expression; ``NOASSERTION`` where it is not known.
        lang: programming language, in the spelling of ``gapo_trainer.data.languages``.
        path: the edited file, relative to the repository's root.
        commit: the commit that made the edit.
        time: when it was committed, in seconds since 1970-01-01 UTC.
        split: one of ``SPLITS``.
        history: earlier hunks of the same commit, oldest first. Hunks stand in file order, not in the order in which
            they were typed.
        prefix: the lines before ``region``, with the commit's earlier hunks already applied.
        region: the lines to edit, with their line ends.
        suffix: the lines after ``region``, before the commit's later hunks.
        target: what the author wrote in place of ``region``.
    """

    id: str
    repo: str
    license: str
    lang: str
    path: str
    commit: str
    time: int
    split: str
    history: tuple[Hunk, ...]
    prefix: str
    region: str
    suffix: str
    target: str

    @classmethod
    def from_row(cls, row: Any) -> Task:
        """The task that a decoded JSON object or Parquet row holds.

        Raises:
            TaskError: a field is missing, unknown or of the wrong kind; the error names it.
        """
        _check_fields("", row, FIELDS)
        history = row["history"]
        if not isinstance(history, (list, tuple)):
            raise TaskError("history", f"expects a list of hunks, got {_shown(history)}")
        return cls(
            **{name: _text(name, row[name]) for name in TEXT_FIELDS},
            time=_time(row["time"]),
            split=_split(row["split"]),
            history=tuple(_hunk(f"history[{i}]", hunk) for i, hunk in enumerate(history)),
        )

    def to_row(self) -> dict[str, Any]:
        """The task as a JSON-ready object, its fields in the order of the schema."""
        row = {name: getattr(self, name) for name in FIELDS}
        row["history"] = [{"path": hunk.path, "diff": hunk.diff} for hunk in self.history]
        return row


FIELDS = tuple(field.name for field in dataclasses.fields(Task))
HUNK_FIELDS = tuple(field.name for field in dataclasses.fields(Hunk))
TEXT_FIELDS = tuple(name for name in FIELDS if name not in ("time", "split", "history"))
MAY_BE_EMPTY = ("prefix", "region", "suffix", "target", "commit")  # a file's ends, an insertion, a deletion; no git


def _check_fields(where: str, row: Any, names: tuple[str, ...]) -> None:
    if not isinstance(row, Mapping):
        raise TaskError(where, f"expects an object with the fields {', '.join(names)}, got {_shown(row)}")
    dot = f"{where}." if where else ""
    for name in names:
        if name not in row:
            raise TaskError(f"{dot}{name}", "is missing")
    for name in row:
        if name not in names:
            raise TaskError(f"{dot}{name}", f"is unknown: the fields are {', '.join(names)}")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TaskError(name, f"expects a string, got {_shown(value)}")
    if not value and name not in MAY_BE_EMPTY:
        raise TaskError(name, "expects a string that is not empty, got ''")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair: no tokenizer and no file could take it
        raise TaskError(name, f"expects Unicode text, got {value[error.start]!r} at character {error.start}") from error
    return value


def _time(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TaskError("time", f"expects whole seconds since 1970, got {_shown(value)}")
    return value


def _split(value: Any) -> str:
    if value not in SPLITS:
        raise TaskError("split", f"expects one of {', '.join(SPLITS)}, got {_shown(value)}")
    return value


def _hunk(where: str, value: Any) -> Hunk:
    _check_fields(where, value, HUNK_FIELDS)
    return Hunk(**{name: _text(f"{where}.{name}", value[name]) for name in HUNK_FIELDS})


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
