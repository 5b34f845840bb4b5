"""What a repository is called in its tasks, without telling more of this machine than it takes."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

import pygit2

from gapo_trainer.data.mining.objects import GIT_ERRORS

_HOSTED = re.compile(r"(?:[a-z+]+://(?:[^/@]*@)?[^/:]+(?::\d+)?/|[^/@:]*@[^/:]+:)(?:.*/)?([^/]+/[^/]+?)(?:\.git)?/*$")


def hosted_name(repo: pygit2.Repository) -> str | None:
    """``owner/name`` from the address of the remote ``origin``; None where that names no host.

    Nothing else of an address is kept: it may hold a token, and a local one names folders of this machine.
    """
    try:
        address = repo.remotes["origin"].url or ""
    except GIT_ERRORS:
        address = ""
    hosted = None if address.startswith("file:") else _HOSTED.match(address)
    return hosted[1] if hosted else None


def folder_of(repo: pygit2.Repository) -> Path:
    """The folder that a person knows the repository by: its work tree's, or that of a bare one."""
    folder = Path(repo.path)
    return folder.parent if folder.name == ".git" else folder


def folder_names(folders: Collection[Path]) -> dict[Path, str]:
    """A name for each folder: its own, behind as many of its parents' as tell it apart from others of that name."""
    full = {folder: _parts(folder) for folder in folders}
    bare = {folder: (*above, own.removesuffix(".git") or own) for folder, (*above, own) in full.items()}
    twice = Counter(bare.values())  # repo and repo.git in one folder keep their names
    paths = {folder: full[folder] if twice[parts] > 1 else parts for folder, parts in bare.items()}
    alike = defaultdict(list)
    for parts in paths.values():
        alike[parts[-1]].append(parts)
    return {folder: "/".join(_shortest(parts, alike[parts[-1]])) for folder, parts in paths.items()}


def _shortest(parts: Sequence[str], among: Sequence[Sequence[str]]) -> Sequence[str]:
    """The end of ``parts`` that only one ``among`` others has; all of it where it is the end of another."""
    for number in range(1, len(parts)):
        if sum(other[-number:] == parts[-number:] for other in among) == 1:
            return parts[-number:]
    return parts


def _parts(folder: Path) -> tuple[str, ...]:
    return tuple(map(_readable, folder.relative_to(folder.anchor).parts)) or ("",)


def _readable(name: str) -> str:
    """``name`` in UTF-8, whatever bytes a folder's name has."""
    return os.fsencode(name).decode(errors="replace")
