"""Fenced code blocks as CommonMark defines them: writing one around any text, and reading them back."""

from __future__ import annotations

import re

_OPENING = re.compile(r" {0,3}(`{3,}|~{3,})([^\n]*)")


def opening(line: str) -> str | None:
    """The fence that opens a block on ``line``, such as `````; None where none does."""
    match = _OPENING.fullmatch(line.rstrip("\r\n"))
    if match is None or (match[1][0] == "`" and "`" in match[2]):  # a backtick after it: inline code
        return None
    return match[1]


def has_fence(text: str) -> bool:
    """Whether a line of ``text`` could open or close a block."""
    return any(opening(line) is not None for line in text.split("\n"))


def blocks(text: str) -> list[str]:
    """The contents of the fenced blocks of ``text``, in order; one that is never closed runs to the end."""
    found: list[list[str]] = []
    fence: str | None = None
    for line in lines(text):
        if fence is None:
            fence = opening(line)
            if fence is not None:
                found.append([])
        elif _closes(line, fence):
            fence = None
        else:
            found[-1].append(line)
    return ["".join(block) for block in found]


def enclose(text: str, info: str = "") -> str:
    """``text``, which is empty or ends a line, as one fenced block that ``blocks`` reads back unchanged."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{info}\n{text}{fence}\n"


def lines(text: str) -> list[str]:
    """Lines with their ends, at line feeds only: form feeds and the like are part of code."""
    parts = text.split("\n")
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _closes(line: str, fence: str) -> bool:
    match = re.fullmatch(r" {0,3}(`+|~+)[ \t]*", line.rstrip("\r\n"))
    return match is not None and match[1][0] == fence[0] and len(match[1]) >= len(fence)
