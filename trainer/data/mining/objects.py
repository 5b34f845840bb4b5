"""Opening repositories and reading their objects, whatever state they are in."""

from __future__ import annotations

from pathlib import Path

import pygit2

# What libgit2 raises for objects that are missing or damaged, and for names and messages that are not what they say.
GIT_ERRORS = (pygit2.GitError, KeyError, ValueError, OSError)


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


def blob_size(repo: pygit2.Repository, object_id: pygit2.Oid) -> int:
    """The bytes of the blob of that id, which a recent pygit2 need not read for it.

    Raises:
        GIT_ERRORS: it is missing, damaged or no blob.
    """
    if hasattr(repo.odb, "read_header"):  # not in the versions for Python 3.10
        return repo.odb.read_header(object_id)[1]
    return read_blob(repo, object_id).size


def read_commit(repo: pygit2.Repository, object_id: pygit2.Oid) -> pygit2.Commit:
    """The commit of that id.

    Raises:
        GIT_ERRORS: it is missing, damaged or no commit.
    """
    return repo[object_id].peel(pygit2.Commit)


def _configure() -> None:
    # Partial clones made by some versions of git announce themselves by an extension that is safe to read over.
    pygit2.settings.set_extensions(["partialclone"])
    # libgit2 would keep 256 MB of objects, which take thrice that, and map packs of up to 8 GB: memory should not
    # follow the history's length.
    pygit2.settings.cache_max_size(16 << 20)
    pygit2.settings.mwindow_mapped_limit = 128 << 20
