"""Edits as HTML: what was taken out and put in, character by character, everything escaped."""

from __future__ import annotations

import difflib
import re
from collections import Counter

from markupsafe import Markup, escape

TOKENS = re.compile(r"\w+|\s+|.")
# Of equal tokens, one of each text: difflib walks through them again for every piece that it finds.
MOST_PAIRS = 100_000


def edit_diff(before: str, after: str) -> Markup:
    """``after`` against ``before`` as one piece of text with ``<del>`` and ``<ins>``.

    Whole words change, not single letters of them: that is how a person reads an edit. Both texts are escaped here.
    """
    old, new = TOKENS.findall(before), TOKENS.findall(after)
    counts = Counter(new)
    # With more, tokens that are all over the text begin no match: a model's endless repetitions would take minutes.
    autojunk = sum(counts[token] for token in old) > MOST_PAIRS
    pieces = []
    for operation, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old, new, autojunk).get_opcodes():
        if operation == "equal":
            pieces.append(escape("".join(old[i1:i2])))
            continue
        if i1 < i2:
            pieces.append(Markup("<del>{}</del>").format("".join(old[i1:i2])))
        if j1 < j2:
            pieces.append(Markup("<ins>{}</ins>").format("".join(new[j1:j2])))
    return Markup("").join(pieces)
