"""The repositories as the command line names them: opened, named, their licences read; and why one is not mined."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pygit2

from gapo_trainer.data.mining.licenses import is_allowed, repository_license
from gapo_trainer.data.mining.names import repository_names
from gapo_trainer.data.mining.objects import GIT_ERRORS, open_repository
from gapo_trainer.errors import UserError

_BRANCHES_SHOWN = 5


@dataclass(frozen=True)
class Source:
    """A repository as the command line names it.

    Attributes:
        name: as ``repository_names`` has it.
        license: SPDX expression.
        repo: the open repository; None where there is nothing to mine in it.
        head: where its history ends; empty with ``repo``.
        fault: why there is nothing to mine, or empty.
    """

    name: str
    license: str
    repo: pygit2.Repository | None
    head: str
    fault: str


def open_sources(paths: Sequence[Path], licenses: Collection[str], held_out: Collection[str]) -> list[Source]:
    """The repositories at ``paths``, in their order; what cannot be mined has a fault.

    Args:
        paths: folders.
        licenses: the allow-list of SPDX identifiers; empty for any licence, and none.
        held_out: names of which each has to be there, and to be mined.

    Raises:
        UserError: no repository has a held-out name, or one that has cannot be mined.
    """
    opened = [_open(path) for path in paths]
    names = repository_names([repo for repo, _ in opened], paths)
    sources = [_source(name, *found, licenses) for name, found in zip(names, opened, strict=True)]
    unknown = sorted(set(held_out) - set(names))
    if unknown:
        raise UserError(f"held-out repository {unknown[0]!r} is none of those given: {', '.join(names)}")
    for source in sources:
        if source.fault and source.name in held_out:  # the others might have its commits, to be learnt
            raise UserError(f"held-out repository {source.name!r} cannot be mined: {source.fault}")
    return sources


def _open(path: Path) -> tuple[pygit2.Repository | None, str]:
    """The repository at ``path``, or why it cannot be opened."""
    try:
        return open_repository(path), ""
    except GIT_ERRORS as error:
        fault = _unreadable(error)
    if "not owned by current user" in fault:
        fault += f"; if you trust it: git config --global --add safe.directory {path.resolve()}"
    return None, fault


def _source(name: str, repo: pygit2.Repository | None, fault: str, licenses: Collection[str]) -> Source:
    if repo is None:
        return Source(name, "", None, "", fault)
    spdx = ""
    try:
        if repo.head_is_unborn:
            return Source(name, spdx, None, "", _without_head(repo))
        head = repo.head.peel(pygit2.Commit)
        spdx = repository_license(repo, head)
    except GIT_ERRORS as error:
        return Source(name, spdx, None, "", _unreadable(error))
    if licenses and not is_allowed(spdx, licenses):
        return Source(name, spdx, None, "", f"licence {spdx} is not allowed")
    return Source(name, spdx, repo, str(head.id), "")


def _without_head(repo: pygit2.Repository) -> str:
    branches = sorted(repo.branches)
    if not branches:
        return "has no commit"
    missing = repo.lookup_reference("HEAD").target
    shown = ", ".join(branches[:_BRANCHES_SHOWN]) + (", …" if len(branches) > _BRANCHES_SHOWN else "")
    return f"HEAD expects a branch that is there, got {missing}; there are {shown}"


def _unreadable(error: Exception) -> str:
    return f"cannot be read: {str(error).strip() or type(error).__name__}"
