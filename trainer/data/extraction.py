r"""The edit inside a completion: what a prompt format writes around an edit, and how it is taken off again.

``read_…`` inverts ``write_…`` exactly, for any text. It also copes with what models add of their own accord: code
fences, an introduction, an explanation, a chain of thought, the whole conflict instead of its second half, a cut-off
end.

Three lines have a meaning of their own::

    <<<<<<< CURRENT                 what follows, up to =======, is the old text
    >>>>>>> UPDATED                 the edit ends here
    \ No newline at end of file     the line before has no line end, as in git's diffs

A line of an edit that reads like one of them is written with one more backslash in front.
"""

from __future__ import annotations

import re

from gapo_trainer.data import fences

CURRENT = "<<<<<<< CURRENT\n"
BETWEEN = "=======\n"
UPDATED = ">>>>>>> UPDATED\n"
THOUGHT = "<think>"
NO_NEWLINE = "\\ No newline at end of file\n"

_BLANK = r"[ \t\r]*$"  # models are careless about the ends of lines
_CONTROL = rf"(?:{'|'.join(re.escape(line.strip()) for line in (CURRENT, UPDATED, NO_NEWLINE))}){_BLANK}"
_TO_QUOTE = re.compile(rf"^(?=\\*{_CONTROL})", re.MULTILINE)
_QUOTED = re.compile(rf"^\\(?=\\*{_CONTROL})", re.MULTILINE)
_END = re.compile(rf"^{re.escape(UPDATED.strip())}{_BLANK}", re.MULTILINE)
_OLD_HALF = re.compile(
    rf"\s*^{re.escape(CURRENT.strip())}{_BLANK}.*?^{re.escape(BETWEEN.strip())}{_BLANK}\n", re.MULTILINE | re.DOTALL
)
_REASONING = re.compile(  # it comes first; behind anything else these are words of the code
    rf"\A(?:\s*{THOUGHT}.*?(?:</think>|\Z)|(?:(?!{THOUGHT}).)*?^</think>\s*$)", re.MULTILINE | re.DOTALL
)
_INTRODUCTION = re.compile(
    r"\s*(?:sure|certainly|of course|okay|ok|below is|here(?:'s| is| are)|the (?:updated|rewritten|edited|new|revised))"
    r"\b[^\n]*[:!.][ \t\r]*\n",
    re.IGNORECASE,
)
_EXPLANATION = re.compile(
    r"(?<!\s)([^\S\n]*\n)\s*\n"  # blank lines, tried from the first alone: a model may write thousands
    r"(?:(?:explanation|note|changes?(?: made)?)\s*:|(?:this|these|the) (?:change|edit|update|code)s?\b"
    r"|i(?:'ve| have)? (?:changed|updated|replaced|renamed|added|removed)\b|let me know\b)",
    re.IGNORECASE,
)


def write(text: str) -> str:
    """``text`` as lines that all end, those that would be mistaken for control lines quoted."""
    quoted = _TO_QUOTE.sub(r"\\", text)
    return quoted if not quoted or quoted.endswith("\n") else f"{quoted}\n{NO_NEWLINE}"


def read(lines: str) -> str:
    """The text that ``write`` wrote as ``lines``."""
    if lines.endswith("\n" + NO_NEWLINE):
        lines = lines[: -len(NO_NEWLINE) - 1]
    return _QUOTED.sub("", lines)


def write_marked(text: str, region: str) -> str:
    """``text`` as the rest of a conflict whose first half was ``region``: what the plain format asks for."""
    body = write(text)
    if _unfenced(body, region) != body:  # it has a fence that reading would take for chatter: give it one more to lose
        body = fences.enclose(body)
    return body + UPDATED


def read_marked(completion: str, region: str) -> str:
    """The edit in a completion of the plain format: all before the mark, or all where the completion was cut off."""
    end = _END.search(completion)
    body = completion[: end.start()] if end else _without_chatter(completion)
    return read(_new_half(_unfenced(body, region)))


def is_marked(completion: str) -> bool:
    """Whether a completion of the plain format has written the mark that ends the edit."""
    return _END.search(completion) is not None


def write_fenced(text: str, lang: str) -> str:
    """``text`` as one fenced block: what the chat format asks for."""
    return fences.enclose(write(text), lang)


def read_fenced(completion: str, region: str) -> str:
    """The edit in a chat answer: the first fenced block that does more than repeat ``region``."""
    answer = completion if fences.opening(completion.split("\n", 1)[0]) else _REASONING.sub("", completion)
    blocks = fences.blocks(answer)
    if not blocks:
        return read_marked(answer, region)
    if fences.has_fence(region):  # an answer that is not fenced as a whole still has the code's own fences
        blocks = [block for block in blocks if fences.has_fence(block)] or blocks
    return read(_new_half(_first_new(blocks, region)))


def _unfenced(body: str, region: str) -> str:
    """What the fence around the code of ``body`` holds; ``body`` where its fences, if any, are part of the code."""
    blocks = fences.blocks(body)
    if fences.has_fence(region):
        blocks = [block for block in blocks if fences.has_fence(block)]
    return _first_new(blocks, region) if blocks else body


def _first_new(blocks: list[str], region: str) -> str:
    return next((block for block in blocks if read(block).strip() != region.strip()), blocks[0])


def _new_half(body: str) -> str:
    """What stands between the marks, where a model repeats the whole conflict."""
    old = _OLD_HALF.match(body)
    body = body[old.end() :] if old else body
    end = _END.search(body)
    return body[: end.start()] if end else body


def _without_chatter(text: str) -> str:
    introduction = _INTRODUCTION.match(text)
    if introduction:
        text = text[introduction.end() :]
    explanation = _EXPLANATION.search(text)
    return text[: explanation.end(1)] if explanation else text
