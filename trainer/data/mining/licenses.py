"""The licence of a repository, read from the licence files at its root and in ``LICENSES/``.

A file's licence is the one whose wording comes first in it: what follows are usually the licences of bundled code.
Texts with a restriction added, and texts that are not known here, give ``NOASSERTION``, which no allow-list lets pass
unless it names it.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Collection, Iterator

import pygit2
from pygit2.enums import FileMode

from gapo_trainer.data.mining.objects import GIT_ERRORS, read_blob

UNKNOWN = "NOASSERTION"  # SPDX: nothing is claimed
NO_LICENSE = "NONE"  # SPDX: there is no licence

PERMISSIVE = (
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT", "MIT-0", "PostgreSQL",
    "Python-2.0", "Unlicense", "Zlib",
)  # fmt: skip

_ANYONE = "permission is hereby granted free of charge to any person obtaining a copy"
_FORMS = "redistribution and use in source and binary forms"
_ENDORSE = "endorse or promote products derived"
# Others begin as the BSD licences do, and ask for more: Apache-1.1, PHP, OpenSSL, Sleepycat, Berkeley's before 1990.
_MORE_THAN_BSD = (
    "advertising materials",
    "the following acknowledgment",
    "the following acknowledgement",
    "may not be called",
    "complete source code",
)
_PURPOSE = "distribute this software for any purpose"
_PROVIDED = "provided that the above copyright notice"

# Wording in lower case and without punctuation. The first part decides where a licence begins; all parts must be there,
# and none of those in the third place soon after.
_WORDING: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("MIT", (_ANYONE, "permission notice shall be included"), ()),
    ("MIT-0", (_ANYONE, "is furnished to do so the software is provided as is"), ("permission notice",)),
    ("Apache-2.0", ("apache license version 2 0",), ()),
    ("BSD-4-Clause", (_FORMS, "all advertising materials mentioning features"), ()),
    ("BSD-3-Clause", (_FORMS, _ENDORSE), _MORE_THAN_BSD),
    ("BSD-2-Clause", (_FORMS,), (_ENDORSE, *_MORE_THAN_BSD)),
    ("ISC", (_PURPOSE, _PROVIDED), ()),
    ("0BSD", (_PURPOSE, "fee is hereby granted the software is provided as is"), (_PROVIDED,)),
    ("AGPL-3.0", ("gnu affero general public license version 3",), ()),
    ("LGPL-3.0", ("gnu lesser general public license version 3",), ()),
    ("LGPL-2.1", ("gnu lesser general public license version 2 1",), ()),
    ("LGPL-2.0", ("gnu library general public license version 2",), ()),
    ("GPL-3.0", ("gnu general public license version 3",), ()),
    ("GPL-2.0", ("gnu general public license version 2",), ()),
    ("GPL-1.0", ("gnu general public license version 1",), ()),
    ("MPL-2.0", ("mozilla public license version 2 0",), ()),
    ("MPL-1.1", ("mozilla public license version 1 1",), ()),
    ("EPL-2.0", ("eclipse public license v 2 0",), ()),
    ("EPL-1.0", ("eclipse public license v 1 0",), ()),
    ("BSL-1.0", ("boost software license version 1 0",), ()),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",), ()),
    ("CC0-1.0", ("cc0 1 0 universal",), ()),
    ("Zlib", ("without any express or implied warranty", "altered source versions must be plainly marked"), ()),
    ("PostgreSQL", ("distribute this software and its documentation for any purpose without fee",), ()),
    ("Python-2.0", ("python software foundation license version 2",), ()),
)
_REACH = 1600  # characters from where a licence of a few clauses begins; what follows may be another's text

RECOGNISED = frozenset(spdx for spdx, _, _ in _WORDING)
_RESTRICTED = (
    "commons clause",
    "non commercial",
    "noncommercial",
    "not for commercial use",
    "commercial use is",
    "academic use only",
    "educational use only",
    "personal use only",
    "research use only",
    "research purposes only",
    "business source license",
    "elastic license",
    "functional source license",
    "polyform",
    "server side public license",
    "sustainable use license",
    "source available",
    "used for good not evil",
    "hippocratic license",
    "anti 996 license",
    "nuclear facility",
)

# Where a word of those restricts nothing: the Unlicense and the GFDL grant both, and the GPL lets only the offer of
# source code be passed on by those who do not sell.
_GRANTED = re.compile(
    r"commercial(?:ly)? (?:or|and|and or) non ?commercial(?:ly)?|non ?commercial(?:ly)? (?:or|and|and or) commercial"
    r"|this alternative is allowed only (?:for|occasionally and) non ?commercial(?:ly)?"
)
_OFFER = re.compile(r"\b(?:under|terms of) either (?:of (?:these|the) |of the two )?licen[cs]es?\b")

_NAMED = r".+[-.]licen[cs]e(?:\.(?:txt|md))?"  # MIT-LICENSE
_FILE = re.compile(rf"(?:(?:un)?licen[cs]e|copying)(?:[-._].+)?|{_NAMED}", re.IGNORECASE)
# What a file's name may call a licence by, with its version. Other names, such as LICENSE-third-party, offer no choice.
_KIND = (
    r"(?:mit|apache|0?bsd|[al]?gpl|mpl|isc|zlib|boost|bsl|cc0|unlicen[cs]e)"
    r"(?:[-_. ]?(?:v?\d+|clause|only|or[-_]later))*"
)
_END = r"(?:\.(?:txt|md|rst|markdown))?"
_CHOICE = re.compile(rf"licen[cs]e[-._]{_KIND}{_END}|unlicen[cs]e{_END}|{_KIND}[-._]licen[cs]e{_END}", re.IGNORECASE)
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
    offers = {name for name, text in texts.items() if _is_offer(text)}
    found = sorted({license_of(text) for name, text in texts.items() if name not in offers}) or [UNKNOWN]
    choice = bool(offers) or all(map(_CHOICE.fullmatch, texts))
    if len(found) > 1 and UNKNOWN in found and offers:
        found.remove(UNKNOWN)  # somebody says that any of them will do: the others still hold
    return (" OR " if choice else " AND ").join(found)


def license_of(text: str) -> str:
    """The SPDX identifier of a licence text; ``NOASSERTION`` where it is not known or restricted further."""
    words = _GRANTED.sub("", _words(text))
    if any(restriction in words for restriction in _RESTRICTED):
        return UNKNOWN
    tag = re.search(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+-]+)\s*$", text, re.MULTILINE)
    if tag:
        return tag[1]
    begins = []
    for spdx, wanted, unwanted in _WORDING:
        if all(part in words for part in wanted):
            begin = words.index(wanted[0])
            differs = any(part in words[begin : begin + _REACH] for part in unwanted)
            begins.append((begin, differs, spdx))
    _, differs, spdx = min(begins, default=(0, True, ""))
    return UNKNOWN if differs else spdx


def is_allowed(expression: str, allowed: Collection[str]) -> bool:
    """Whether an expression of ``repository_license`` can be met with the ``allowed`` licences alone."""
    if " OR " in expression:
        return any(part in allowed for part in expression.split(" OR "))
    return all(part in allowed for part in expression.split(" AND "))


def license_doubt(spdx: str) -> str:
    """Why an identifier on an allow-list may let nothing pass; empty where texts are recognised as it."""
    names = {name.lower(): name for name in (*RECOGNISED, UNKNOWN, NO_LICENSE)}
    if spdx in names.values():
        return ""
    near = difflib.get_close_matches(spdx.lower(), sorted(names), n=1)
    return f"no text is recognised as {spdx!r}" + (f", did you mean {names[near[0]]}?" if near else "")


def _is_offer(text: str) -> bool:
    """Whether a text is no licence itself and leaves the choice between those beside it."""
    return license_of(text) == UNKNOWN and _OFFER.search(_words(text)) is not None


def _words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def _license_files(repo: pygit2.Repository, tree: pygit2.Tree) -> Iterator[tuple[str, str]]:
    for entry in tree:
        name = entry.name or ""
        if isinstance(entry, pygit2.Tree) and name == "LICENSES":  # the REUSE convention: each holds for some file
            yield from ((f"{name}/{inner.name}", _text(repo, tree, f"{name}/{inner.name}")) for inner in entry)
        elif isinstance(entry, pygit2.Blob) and _FILE.fullmatch(name):
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
