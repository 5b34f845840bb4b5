"""Output files that are whole or as they were before, and that are known to be writable before the work begins."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gapo_trainer.errors import UserError


def check_writable(name: str, path: Path) -> None:
    """Find out at the start what would otherwise be known only once there is something to write.

    Args:
        name: of the argument that holds ``path``, for the message.
        path: what ``replacing`` will be asked for.

    Raises:
        UserError: it is a folder, or its folder does not exist or cannot be written to.
    """
    if path.is_dir():
        raise UserError(f"{name} expects a file, got the folder {path}")
    if _is_stream(path):
        return
    try:
        tempfile.TemporaryFile(dir=_behind_links(path).parent).close()  # permissions alone tell nothing to root
    except OSError as error:
        raise UserError(
            f"{name} expects a file in a folder that exists and can be written, got {path}: {error.strerror}"
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of ``path`` when the block ends well, and leaves no trace when it does not."""
    if _is_stream(path):
        with open(path, "wb") as file:
            yield file
        return
    path = _behind_links(path)
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        with open(unfinished, "wb") as file:
            yield file
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_whole(what: str, path: Path, text: str) -> None:
    """Make ``text`` the contents of ``path``, by ``replacing``.

    Raises:
        UserError: ``what`` could not be written.
    """
    try:
        with replacing(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise UserError(f"{what} could not be written: {error}") from error


def _is_stream(path: Path) -> bool:
    """Whether it is a pipe or a device, such as ``/dev/stdout``: nothing may take its place."""
    return path.exists() and not path.is_file()


def _behind_links(path: Path) -> Path:
    return Path(os.path.realpath(path))  # a link stays, the file that it leads to is replaced
