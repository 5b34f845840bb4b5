"""Opening repositories and reading their objects, whatever state they are in."""

from __future__ import annotations

import re
from pathlib import Path

import pygit2

# What libgit2 raises for objects that are missing or damaged, and for names and messages that are not what they say.
GIT_ERRORS = (pygit2.GitError, KeyError, ValueError, OSError)

_HOSTED = re.compile(r"(?:[a-z+]+://(?:[^/@]*@)?[^/:]+(?::\d+)?/|[^/@:]*@[^/:]+:)(?:.*/)?([^/]+/[^/]+?)(?:\.git)?/*$")


def open_repository(path: Path) -> pygit2.Repository:
    """The repository at ``path``: a work tree, a folder within one, a bare repository or a linked work tree.

    Raises:
        GIT_ERRORS: there is none, or libgit2 cannot read it.
    """
    _configure()
    found = pygit2.discover_repository(str(path))
    if found is None:
        raise FileNotFoundError("not a git repository")
    return pygit2.Repository(found, pygit2.enums.RepositoryOpenFlag.BARE)


def read_blob(repo: pygit2.Repository, object_id: pygit2.Oid) -> pygit2.Blob:
    """The blob of that id.

    Raises:
        GIT_ERRORS: it is missing, damaged or no blob.
    """
    return repo[object_id].peel(pygit2.Blob)


def read_commit(repo: pygit2.Repository, object_id: pygit2.Oid) -> pygit2.Commit:
    """The commit of that id.

    Raises:
        GIT_ERRORS: it is missing, damaged or no commit.
    """
    return repo[object_id].peel(pygit2.Commit)


def folder_of(repo: pygit2.Repository) -> Path:
    """The folder that a person knows the repository by: its work tree's, or that of a bare one."""
    folder = Path(repo.path)
    return folder.parent if folder.name == ".git" else folder


def name_of(repo: pygit2.Repository) -> str:
    """``owner/name`` from the address of the remote ``origin``, or else the name of the repository's folder.

    Nothing else of an address is kept: it may hold a token, and a local one names folders of this machine.
    """
    try:
        address = repo.remotes["origin"].url or ""
    except GIT_ERRORS:
        address = ""
    hosted = None if address.startswith("file:") else _HOSTED.match(address)
    return hosted[1] if hosted else folder_of(repo).name.removesuffix(".git")


def _configure() -> None:
    # Partial clones made by some versions of git announce themselves by an extension that is safe to read over.
    pygit2.settings.set_extensions(["partialclone"])
    # libgit2 would keep 256 MB of objects, which take thrice that, and map packs of up to 8 GB: memory should not
    # follow the history's length.
    pygit2.settings.cache_max_size(16 << 20)
    pygit2.settings.mwindow_mapped_limit = 128 << 20
