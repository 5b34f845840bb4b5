"""Git repositories made for a test, commit by commit, with git itself."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.com",
    "GIT_ALLOW_PROTOCOL": "file",
}


def git(folder: Path, *arguments: str, time: int = 1_600_000_000, check: bool = True) -> str:
    when = {"GIT_AUTHOR_DATE": f"{time} +0000", "GIT_COMMITTER_DATE": f"{time} +0000"}
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder,
        env=ENVIRONMENT | when,
        capture_output=True,
        text=True,
        check=check,
    )
    return done.stdout.strip()


class History:
    """A repository whose commits are an hour apart."""

    def __init__(self, folder: Path, time: int = 1_600_000_000):
        self.folder = folder
        folder.mkdir(parents=True)
        git(folder, "init", "-q", "-b", "main")
        git(folder, "config", "core.autocrlf", "false")
        self.time = time

    def write(self, **files: str | bytes) -> None:
        """Write files; ``__`` in a name is ``/`` and ``_`` before the suffix is the dot: ``src__a_py``."""
        for name, content in files.items():
            stem, _, suffix = name.replace("__", "/").rpartition("_")
            self.put(f"{stem}.{suffix}", content)

    def put(self, path: str, content: str | bytes) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, message: str = "change", author: str = "A") -> str:
        self.time += 3600
        git(self.folder, "add", "-A")
        by = f"--author={author} <a@example.com>"
        git(self.folder, "commit", "-q", "--allow-empty", "-m", message, by, time=self.time)
        return git(self.folder, "rev-parse", "HEAD")


def numbered(count: int = 60, **changed: str) -> str:
    """A file of ``count`` lines, ``line_i = i``, some replaced: ``l3="…"`` is line 3; an empty one is removed."""
    lines = {i: f"line_{i} = {i}" for i in range(1, count + 1)} | {int(key[1:]): text for key, text in changed.items()}
    return "".join(f"{lines[i]}\n" for i in sorted(lines) if lines[i])


def long_history(folder: Path, commits: int = 20, word: str = "v", **options) -> History:
    history = History(folder, **options)
    history.put("a.py", numbered())
    history.commit()
    for i in range(commits):
        history.put("a.py", numbered(l5=f"{word}{i} = 5", l30=f"{word}{i} = 30", l50=f"{word}{i} = 50"))
        history.commit()
    return history


def quietly(name: str, tasks: int) -> None:
    pass


def rows_of(path: Path):
    return [json.loads(line) for line in path.read_text().splitlines()]
