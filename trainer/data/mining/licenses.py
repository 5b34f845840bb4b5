"""The licence of a repository, read from the licence files at its root and in ``LICENSES/``.

What is not known, or restricted, is ``NOASSERTION``, which no allow-list lets pass unless it names it.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Collection, Iterator

import pygit2
from pygit2.enums import FileMode

from gapo_trainer.data.languages import language_of
from gapo_trainer.data.mining.license_texts import (
    KIND,
    RECOGNISED,
    UNKNOWN,
    is_filled_in,
    is_offer,
    license_of,
    license_of_r_package,
)
from gapo_trainer.data.mining.objects import GIT_ERRORS, read_blob

NO_LICENSE = "NONE"  # SPDX: there is no licence
PERMISSIVE = (
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-4-Clause-UC", "BSL-1.0", "BlueOak-1.0.0", "CC0-1.0",
    "ISC", "MIT", "MIT-0", "PostgreSQL", "Python-2.0", "Unlicense", "Zlib", "curl",
)  # fmt: skip

_NAMED = r".+[-.]licen[cs]e(?:\.(?:txt|md))?"  # MIT-LICENSE
_FILE = re.compile(rf"(?:(?:un)?licen[cs]e|copying(?:v?\d+)?)(?:[-._].+)?|{_NAMED}", re.IGNORECASE)
# Files that offer a choice between licences; others, such as LICENSE-third-party, do not.
_END = r"(?:\.(?:txt|md|rst|markdown))?"
_CHOICE = re.compile(rf"licen[cs]e[-._]{KIND}{_END}|unlicen[cs]e{_END}|{KIND}[-._]licen[cs]e{_END}", re.IGNORECASE)
_LARGEST_FILE = 1 << 20
_MOST_LINKS = 5  # from one symbolic link to the next; git itself gives up later


def repository_license(repo: pygit2.Repository, commit: pygit2.Commit) -> str:
    """The SPDX expression of the licence under which the tree of ``commit`` is published.

    Several licence files that offer a choice, such as ``LICENSE-MIT`` and ``LICENSE-APACHE``, are joined by ``OR``, and
    so are those beside a file that only says that any of them will do; others by ``AND``, as all may hold.
    """
    try:
        texts = dict(_license_files(repo, commit.tree))
    except GIT_ERRORS:  # a clone without trees
        return UNKNOWN
    if not texts:
        return NO_LICENSE
    if any(name.lower().startswith("copying.lesser") for name in texts):  # the LGPL is an addition to the GPL beside it
        texts = {name: text for name, text in texts.items() if name.lower() != "copying"}
    offers = {name for name, text in texts.items() if is_offer(text)}
    r_license = license_of_r_package(_text(repo, commit.tree, "DESCRIPTION"))
    found = sorted(
        {r_license if is_filled_in(text) else license_of(text) for name, text in texts.items() if name not in offers}
    ) or [UNKNOWN]
    choice = bool(offers) or all(map(_CHOICE.fullmatch, texts))
    if len(found) > 1 and UNKNOWN in found and offers:
        found.remove(UNKNOWN)  # somebody says that any of them will do: the others still hold
    return (" OR " if choice else " AND ").join(found)


def is_allowed(expression: str, allowed: Collection[str]) -> bool:
    """Whether an expression of ``repository_license`` can be met with the ``allowed`` licences alone."""
    return any(all(part in allowed for part in choice.split(" AND ")) for choice in expression.split(" OR "))


def license_doubt(spdx: str) -> str:
    """Why an identifier on an allow-list may let nothing pass; empty where texts are recognised as it."""
    names = {name.lower(): name for name in (*RECOGNISED, UNKNOWN, NO_LICENSE)}
    if spdx in names.values():
        return ""
    near = difflib.get_close_matches(spdx.lower(), sorted(names), n=1)
    return f"no text is recognised as {spdx!r}" + (f", did you mean {names[near[0]]}?" if near else "")


def _license_files(repo: pygit2.Repository, tree: pygit2.Tree) -> Iterator[tuple[str, str]]:
    for entry in tree:
        name = entry.name or ""
        if isinstance(entry, pygit2.Tree) and name == "LICENSES":  # the REUSE convention: each holds for some file
            yield from ((f"{name}/{inner.name}", _text(repo, tree, f"{name}/{inner.name}")) for inner in entry)
        elif isinstance(entry, pygit2.Blob) and _FILE.fullmatch(name) and language_of(name) is None:
            yield name, _text(repo, tree, name)


def _text(repo: pygit2.Repository, tree: pygit2.Tree, path: str) -> str:
    """What the file at ``path`` holds, or what it leads to within the tree; empty where that cannot be read."""
    try:
        for _ in range(_MOST_LINKS):
            entry = tree[path]
            data = read_blob(repo, entry.id).data[:_LARGEST_FILE]
            if entry.filemode != FileMode.LINK:
                return data.decode("utf-8", errors="replace")
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), data.decode()))
    except GIT_ERRORS:  # not fetched in a partial clone, or outside: there is a licence, but nobody can say which
        pass
    return ""
