"""Writing tasks as JSONL, compressed or not, or Parquet: the same rows give the same bytes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from gapo_trainer.atomic import replacing
from gapo_trainer.data.task import FIELDS, HUNK_FIELDS
from gapo_trainer.errors import UserError

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
ROWS_PER_GROUP = 2000

_HUNKS = pa.list_(pa.struct([(name, pa.string()) for name in HUNK_FIELDS]))
SCHEMA = pa.schema([(name, {"time": pa.int64(), "history": _HUNKS}.get(name, pa.string())) for name in FIELDS])


def suffix_of(path: Path) -> str:
    """The suffix that decides how ``path`` is written.

    Raises:
        UserError: it is none of ``SUFFIXES``.
    """
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return suffix
    raise UserError(f"output path expects a name that ends in {', '.join(SUFFIXES)}, got {path}")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the rows of ``Task.to_row``, all or nothing, a group of rows in memory at a time.

    Args:
        path: where to; its suffix decides the form. A file that is there is replaced.
        rows: read once.

    Raises:
        UserError: an unknown suffix.
        OSError: the disk is full, or the folder cannot be written to.
    """
    suffix = suffix_of(path)
    with replacing(path) as file:
        if suffix == ".parquet":
            with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
                for group in _groups(iter(rows)):
                    writer.write_table(pa.Table.from_pylist(group, SCHEMA))
        elif suffix == ".jsonl.gz":
            # No name and no time in the header: they would differ between runs.
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
                _write_lines(packed, rows)
        else:
            _write_lines(file, rows)


def _write_lines(file: IO[bytes] | gzip.GzipFile, rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _groups(rows: Iterator[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    while group := list(islice(rows, ROWS_PER_GROUP)):
        yield group
