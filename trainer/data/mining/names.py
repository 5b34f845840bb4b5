"""What a repository is called in its tasks, without telling more of this machine than it takes."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

import pygit2

from gapo_trainer.data.mining.objects import GIT_ERRORS

_HOST = r"(\[[^\]/]*\]|[^/:@\[\]]{2,})"  # one letter is a drive of Windows
_PATH = r"((?!//)[^:@]+)"  # with one of those signs it may be a password that is written wrongly
_URL = re.compile(rf"(?!file:)[a-z][a-z+.-]*://(?:[^/]*@)?{_HOST}(?::\d*)?/{_PATH}", re.IGNORECASE)
_SCP = re.compile(rf"(?:[^/:@]*@)?{_HOST}:{_PATH}")
_END = re.compile(r"(?:/?\.git)?/*$")

Address = tuple[str, ...]  # a host and the parts of a path there


def repository_names(repos: Sequence[pygit2.Repository | None], paths: Sequence[Path]) -> list[str]:
    """A name for each repository: ``owner/name`` from its remote ``origin``, or else the name of its folder.

    Where these are the same for several, it has more of the address or of the folder's path. Nothing else of them is
    told: an address may hold a token, and a path names folders of this machine.

    Args:
        repos: the open repositories; None for what cannot be opened.
        paths: where each is.
    """
    places = [
        path.resolve() if repo is None else _address(repo) or _folder(repo)
        for repo, path in zip(repos, paths, strict=True)
    ]
    hosted = _hosted_names({place for place in places if isinstance(place, tuple)})
    local = folder_names({place for place in places if isinstance(place, Path)})
    return [hosted[place] if isinstance(place, tuple) else local[place] for place in places]


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


def _address(repo: pygit2.Repository) -> Address | None:
    """Where the remote ``origin`` is; None where it names no host, or no owner."""
    try:
        url = repo.remotes["origin"].url or ""
    except GIT_ERRORS:
        return None
    url = re.split(r"[?#]", _readable(url))[0]
    match = _URL.fullmatch(url) or _SCP.fullmatch(url)
    if not match:
        return None
    parts = [part for part in _END.sub("", match[2]).split("/") if part not in ("", "_git")]  # Azure's
    return (match[1].lower(), *parts) if len(parts) > 1 else None


def _hosted_names(addresses: Collection[Address]) -> dict[Address, str]:
    """``owner/name`` for each address, behind as much of it as tells it apart from others of that name."""
    return {address: "/".join(_shortest(address, addresses, 2)) for address in addresses}


def _folder(repo: pygit2.Repository) -> Path:
    """The folder that a person knows the repository by: its work tree's, or that of a bare one."""
    folder = Path(repo.path)
    return folder.parent if folder.name == ".git" else folder


def _shortest(parts: Sequence[str], among: Collection[Sequence[str]], least: int = 1) -> Sequence[str]:
    """The end of ``parts`` that only one ``among`` others has; all of it where it is the end of another."""
    for number in range(least, len(parts)):
        if sum(other[-number:] == parts[-number:] for other in among) == 1:
            return parts[-number:]
    return parts


def _parts(folder: Path) -> tuple[str, ...]:
    return tuple(map(_readable, folder.relative_to(folder.anchor).parts)) or ("",)


def _readable(name: str) -> str:
    """``name`` in UTF-8, whatever bytes it has."""
    return os.fsencode(name).decode(errors="replace")
