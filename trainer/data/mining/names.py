"""What a repository is called in its tasks, without telling more of this machine than it takes."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
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


def folder_name(folder: Path, among: Collection[Path] = ()) -> str:
    """The folder's name, behind as many of its parents' as tell it apart from others of that name."""
    own = folder.name.removesuffix(".git")
    alike = [other for other in among if other != folder and other.name.removesuffix(".git") == own]
    for number in range(len(folder.parts)):
        if all(_parents(other, number) != _parents(folder, number) for other in alike):
            return "/".join((*_parents(folder, number), _readable(own)))
    return _readable(folder.name)  # repo and repo.git in one folder


def _parents(folder: Path, number: int) -> tuple[str, ...]:
    return tuple(map(_readable, folder.parts[-1 - number : -1]))


def _readable(name: str) -> str:
    """``name`` in UTF-8, whatever bytes a folder's name has."""
    return os.fsencode(name).decode(errors="replace")
