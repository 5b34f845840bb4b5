"""Which licence a text is: by its wording, or by an SPDX tag that is all it says.

A text's licence is the one whose wording comes first in it: what follows are usually the licences of bundled code. A
permissive licence that is only named there, by its title or its SPDX tag, is not that of the whole. Texts with a
restriction added, and texts that are not known here, give ``NOASSERTION``.
"""

from __future__ import annotations

import re

UNKNOWN = "NOASSERTION"  # SPDX: nothing is claimed

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
# The University took this clause back in 1999, for all that it had published.
_BERKELEYS = (
    "all advertising materials mentioning features or use of this software must display the following acknowledgement "
    "this product includes software developed by the university of california berkeley and its contributors"
)
_PURPOSE = "distribute this software for any purpose"
_PROVIDED = "provided that the above copyright notice"
_NO_ADVERTISING = "except as contained in this notice the name of a copyright holder shall not be used in advertising"

# Wording in lower case and without punctuation. The first part decides where a licence begins; all parts must be there,
# and none of those in the third place soon after.
_WORDING: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("MIT", (_ANYONE, "permission notice shall be included"), ()),
    ("MIT-0", (_ANYONE, "is furnished to do so the software is provided as is"), ("permission notice",)),
    ("Apache-2.0", ("apache license version 2 0 january 2004", "terms and conditions for use reproduction"), ()),
    ("Apache-2.0", ("under the apache license version 2 0 the license",), ()),
    ("BSD-4-Clause", (_FORMS, "all advertising materials mentioning features"), (_BERKELEYS,)),
    ("BSD-4-Clause-UC", (_FORMS, _BERKELEYS), ()),
    ("BSD-3-Clause", (_FORMS, _ENDORSE), _MORE_THAN_BSD),
    ("BSD-2-Clause", (_FORMS,), (_ENDORSE, *_MORE_THAN_BSD)),
    ("ISC", (_PURPOSE, _PROVIDED), (_NO_ADVERTISING,)),
    ("curl", (_PURPOSE, _PROVIDED, _NO_ADVERTISING), ()),
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
    ("BSL-1.0", ("boost software license version 1 0", "any person or organization obtaining a copy"), ()),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",), ()),
    ("CC0-1.0", ("cc0 1 0 universal", "affirmer"), ()),
    ("Zlib", ("without any express or implied warranty", "altered source versions must be plainly marked"), ()),
    ("BlueOak-1.0.0", ("blue oak model license version 1 0 0", "protecting contributors from liability"), ()),
    ("PostgreSQL", ("distribute this software and its documentation for any purpose without fee",), ()),
    ("Python-2.0", ("python software foundation license version 2", "psf is making"), ()),
    ("Python-2.0", ("a history of the software", "python software foundation license version 2", "psf is making"), ()),
)
_REACH = 1600  # characters of a licence of a few clauses: what follows may be another's text, what begins later is

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
    "military facility",
    "not permitted",
    "strictly prohibited",
    "internal use only",
    "evaluation purposes only",
    "only be used",
)
_FORBIDDEN = re.compile(
    r"\b(?:(?:may|must|shall|can) ?not|agrees? not to) (?:use|sell|copy|modify|(?:re)?distribute"
    r"|be (?:used|sold|copied|modified|redistributed))\b"
    r"|\b(?:licen[cs]e|permission|rights?) (?:does|do|shall) not (?:apply|extend) to\b"
)
# Where words of those restrict nothing here. The Unlicense and the GFDL grant both; the GPL lets only the offer of
# source code be passed on by those who do not sell. The rest is in licences known here, or often beside them: the
# notice of Apache and Mozilla, what protects names, the GPLs, Creative Commons, the OFL.
_GRANTED = re.compile(
    r"commercial(?:ly)? (?:or|and|and or) non ?commercial(?:ly)?|non ?commercial(?:ly)? (?:or|and|and or) commercial"
    r"|this alternative is allowed only (?:for|occasionally and) non ?commercial(?:ly)?"
    r"|may not use (?:\w+ ){1,5}except in compliance with the (?:apache )?licen[cs]e"
    r"|(?:may|must|shall) not be used (?:to|in|for) (?:any )?(?:endorse|promote|advertising|assert|construe)"
    r"|may not copy modify sublicense|may not distribute the (?:library|program) at all"
    r"|cannot (?:distribute so as to satisfy|use both them and|be used (?:to render the program|legally without))"
    r"|may not be modified without the (?:mutual|express) written"
    r"|may not be copied modified or distributed except according to those terms"
    r"|license (?:does|shall) not apply to any (?:document|other combinations)"
)
_TAG = re.compile(r"SPDX-License-Identifier:[ \t]*(\S.*)")
_IDENTIFIER = re.compile(r"[\w.-]+")  # no expression of several
# Lines that say nothing of the licence but by a tag.
_BESIDE_TAG = re.compile(r"^.*(?:SPDX-|Copyright).*$", re.MULTILINE | re.IGNORECASE)
# What a licence may be called, with its version.
KIND = (
    r"(?:mit|apache|0?bsd|[al]?gpl|mpl|isc|zlib|boost|bsl|cc0|unlicen[cs]e)"
    r"(?:[-_. ]?(?:v?\d+(?!\d)|clause|only|or[-_]later))*"
)
# A text that lists which licence each part is under, as Debian does, and then writes them all out.
_LISTS_PARTS = re.compile(r"^Files: \*$", re.MULTILINE)
_PART = re.compile(r"^License:[ \t]*(\S.*?)[ \t\r]*$", re.MULTILINE)
# What an R package has instead of a licence: the blanks of the one that the file beside it names.
_BLANKS = re.compile(r"\s*YEAR:.*\s+COPYRIGHT HOLDERS?:.*\s*(?:ORGANI[SZ]ATION:.*\s*)?")
_R_LICENSE = re.compile(r"^License:[ \t]*(MIT|BSD_[23]_clause) \+ file LICEN[CS]E[ \t\r]*$(?!\n[ \t])", re.MULTILINE)
_OFFER = re.compile(rf"\b(?:under|terms of) either (?:(?:of|the|these|two|or|{KIND}) )*licen[cs]es?\b")


def license_of(text: str) -> str:
    """The SPDX identifier of a licence text, or several; ``NOASSERTION`` where it is unknown or restricted further."""
    words = _words(text)
    if _is_restricted(words):
        return UNKNOWN
    if _LISTS_PARTS.search(text):
        return _license_of_parts(text)
    above, *below = _TAG.split(text)
    spdx = _worded(_words(above))
    if spdx != UNKNOWN or not below:
        return spdx  # tags below the wording are those of bundled code
    tags = set(map(_identifier, below[::2]))
    # A text that says more than its tag may only quote it, unless its wording agrees.
    spdx = _worded(words) if _words(_BESIDE_TAG.sub("", text)) else min(tags)
    return spdx if tags == {spdx} and _IDENTIFIER.fullmatch(spdx) else UNKNOWN


def is_filled_in(text: str) -> bool:
    """Whether a text only fills in the licence that ``license_of_r_package`` tells."""
    return _BLANKS.fullmatch(text) is not None


def license_of_r_package(description: str) -> str:
    """The licence that the ``DESCRIPTION`` of an R package names and its licence file fills in."""
    named = _R_LICENSE.findall(description)
    return named[0].replace("_", "-").replace("clause", "Clause") if len(named) == 1 else UNKNOWN


def is_offer(text: str) -> bool:
    """Whether a text is no licence itself and leaves the choice between those beside it."""
    words = _words(text)
    return _OFFER.search(words) is not None and license_of(text) == UNKNOWN and not _is_restricted(words)


def _worded(words: str) -> str:
    """The licence whose wording comes first, unless what is before it is a licence itself: then it is a part's."""
    begins = []
    for spdx, wanted, unwanted in _WORDING:
        if all(part in words for part in wanted):
            begin = words.index(wanted[0])
            differs = any(part in words[begin : begin + _REACH] for part in unwanted)
            begins.append((begin, differs, spdx))
    begin, differs, spdx = min(begins, default=(0, True, ""))
    return UNKNOWN if differs or begin > _REACH or "proprietary" in words[:begin] else spdx


def _license_of_parts(text: str) -> str:
    """The licences of all parts, if each is written out."""
    _, *listed = _PART.split(text)
    named = set(listed[::2])
    written = {spdx for spdx, body in zip(listed[::2], listed[1::2], strict=True) if _worded(_words(body)) == spdx}
    return " AND ".join(sorted(named)) if named and named == written else UNKNOWN


def _identifier(tag: str) -> str:
    """What a tag names, without what closes the comment around it and without the part that no wording tells."""
    return tag.rstrip(" \t\r*/->").removesuffix("+").removesuffix("-only").removesuffix("-or-later")


def _is_restricted(words: str) -> bool:
    words = _GRANTED.sub("", words)
    return any(restriction in words for restriction in _RESTRICTED) or _FORBIDDEN.search(words) is not None


def _words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))
