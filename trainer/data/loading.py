"""Tasks from files, and from data sets through Hugging Face ``datasets``, every row checked.

A source is ``stdlib`` (the embedded tasks), a ``.jsonl``, ``.jsonl.gz`` or ``.parquet`` file, or else the name of a
data set, on a hub or in a folder, as ``datasets.load_dataset`` takes it. Rows are streamed: nothing is cached on disk,
and only what the caller keeps stays in memory.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gapo_trainer.data.stdlib_tasks import stdlib_tasks
from gapo_trainer.data.task import SPLITS, Task, TaskError
from gapo_trainer.data.writers import ROWS_PER_GROUP, SUFFIXES
from gapo_trainer.errors import UserError

EMBEDDED_TASKS = "stdlib"  # the source of that name
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILE_SUFFIX = re.compile(r"\.[A-Za-z]{2,}\w*$")  # a version, as in owner/name-1.5, is none
_HUB_SECONDS = 10


@dataclass(frozen=True)
class BadRow:
    """A row that is no task.

    Attributes:
        source: the file, or the data set and its split.
        line: its line in a JSONL file, else its row; from 1.
        error: the field and what is wrong with it.
    """

    source: str
    line: int
    error: TaskError

    def __str__(self) -> str:
        return f"{self.source}, line {self.line}: {self.error}"


class BadRowError(UserError):
    """A row of a source is no task; the message names file, line, field and reason."""

    def __init__(self, row: BadRow):
        super().__init__(str(row))
        self.row = row


@dataclass(frozen=True)
class Loaded:
    """What a source held.

    Attributes:
        tasks: in the order of the source.
        bad: the rows that were skipped, in the same order.
    """

    tasks: list[Task]
    bad: list[BadRow]


def load_tasks(source: str | Path, *, split: str | None = None, skip_bad: bool = False) -> Loaded:
    """All tasks of a source.

    Args:
        source: see the module's description.
        split: one of ``SPLITS``; None for all three.
        skip_bad: list malformed rows in ``bad`` instead of raising at the first. Their split is not known, so they are
            listed whatever ``split`` is.

    Raises:
        BadRowError: a malformed row, unless ``skip_bad``.
        UserError: there is no such source, it cannot be read, or it has no task, or none of the wanted split.
        ValueError: an unknown split.
    """
    bad: list[BadRow] = []
    tasks = list(iter_tasks(source, split=split, on_bad=bad.append if skip_bad else None))
    if not tasks:
        wanted = f" of split {split}" if split else ""
        raise UserError(f"{source}: no task{wanted}" + (f"; {len(bad)} bad rows, the first: {bad[0]}" if bad else ""))
    return Loaded(tasks, bad)


def iter_tasks(
    source: str | Path, *, split: str | None = None, on_bad: Callable[[BadRow], None] | None = None
) -> Iterator[Task]:
    """The tasks of a source one by one, for what does not fit into memory.

    Args:
        source: see the module's description.
        split: one of ``SPLITS``; None for all three.
        on_bad: called with every malformed row; None to raise ``BadRowError``.

    Raises:
        BadRowError, UserError, ValueError: as for ``load_tasks``; an empty source just ends.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"split expects one of {', '.join(SPLITS)}, got {split!r}")
    if str(source) == EMBEDDED_TASKS:
        for name in SPLITS:
            yield from stdlib_tasks(name) if split in (None, name) else ()
        return
    for place, line, row in _rows(str(source)):
        try:
            task = Task.from_row(json.loads(_utf8(row)) if isinstance(row, bytes) else row)
        except (ValueError, RecursionError) as error:  # TaskError; no JSON; a number of over 4,300 digits
            fault = error if isinstance(error, TaskError) else TaskError("", f"is not JSON that can be read: {error}")
            bad = BadRow(place, line, fault)
            if on_bad is None:
                raise BadRowError(bad) from error
            on_bad(bad)
        else:
            if split in (None, task.split):
                yield task


def _utf8(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise TaskError("", f"is not UTF-8: {error.reason} at byte {error.start}") from error


def _rows(source: str) -> Iterator[tuple[str, int, Any]]:
    """(file or data set, line, bytes of a JSON line or decoded row)."""
    if not source.endswith(SUFFIXES):
        if Path(source).is_file():  # no name of a data set, which would be looked up elsewhere
            raise UserError(f"source expects a file whose name ends in {', '.join(SUFFIXES)}, got {source}")
        if not source or (
            not Path(source).is_dir() and (not _HUB_NAME.fullmatch(source) or _FILE_SUFFIX.search(source))
        ):
            raise UserError(
                f"source expects a file or folder that is there, stdlib or a data set's owner/name, got {source!r}"
            )
        yield from _named_rows(source)
        return
    if not Path(source).is_file():
        raise UserError(f"{source}: no such file")
    line = 0
    try:
        for line, row in enumerate(_file_rows(source), 1):
            yield source, line, row
    except (OSError, EOFError, ValueError, NotImplementedError, zlib.error) as error:
        # cut off, not compressed, no Parquet, or one that this pyarrow does not know
        raise UserError(f"{source}: cannot be read after row {line}: {error}") from error


def _file_rows(path: str) -> Iterator[Any]:
    if path.endswith(".parquet"):  # not by datasets, which takes a path for a pattern or an address
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_PER_GROUP):
                yield from batch.to_pylist()
    else:  # nor its JSON reader, which cannot name a malformed line, and guesses types from the first ones
        with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file:
            yield from file


def _named_rows(name: str) -> Iterator[tuple[str, int, Any]]:
    import datasets  # here: it takes a second, which files need not wait for
    import huggingface_hub

    try:
        if not Path(name).is_dir() and not huggingface_hub.constants.HF_HUB_OFFLINE:
            # Where there is no network, this says so at once, and load_dataset only after half a minute.
            huggingface_hub.HfApi().dataset_info(name, timeout=_HUB_SECONDS)
        for split, rows in datasets.load_dataset(name, streaming=True).items():
            for line, row in enumerate(rows, 1):
                yield f"{name}, split {split}", line, row
    except Exception as error:  # a hub's answers, a broken network and broken data sets raise all sorts
        raise UserError(f"data set {name!r}: {type(error).__name__}: {error}") from error
