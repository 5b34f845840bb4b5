"""Edits of one line of Python that can be propagated: found by what they hit, then made on every line that has it.

Two lines with the same hit, such as a name that both use, are an edit and its propagation: the first shows the edit,
the second is to be rewritten. The result is Python, not necessarily sense.
"""

from __future__ import annotations

import ast
import builtins
import functools
import keyword
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_NAME = r"[A-Za-z_]\w*"
_DOTTED = rf"{_NAME}(?:\.{_NAME})*"
_STRING = r"""'[^']*'|"[^"]*\""""
_CALL = rf"(?<![\w.])({_DOTTED})\((?:[^()]|\([^()]*\))*\)"
_OPERATORS = {
    "==": ("!=", "is", "in"), "!=": ("==", "is not"), "<": ("<=", ">"), ">": (">=", "<"), "<=": ("<", ">="),
    ">=": (">", "<="), "+": ("-", "|"), "-": ("+", "*"), "*": ("//", "+"), "/": ("//",), "%": ("//",), "+=": ("-=",),
    "-=": ("+=",), "and": ("or",), "or": ("and",), "is": ("is not", "=="), "is not": ("is", "!="), "in": ("not in",),
    "not in": ("in",),
}  # fmt: skip
_ARGUMENTS = ("strict=True", "timeout=None", "default=None", "copy=False", "key=key", "context", "name", "1", "None")
_WRAPPERS = ("await ", "bool", "int", "iter", "len", "list", "next", "repr", "set", "sorted", "str", "tuple")
_OWNERS = ("config", "context", "inner", "owner", "parent", "state")
_NOT_RENAMED = frozenset([*dir(builtins), *keyword.kwlist, *keyword.softkwlist, "self", "cls"])


def _outside_strings(pattern: str) -> re.Pattern[str]:
    """A pattern whose first group is what can be hit; it also matches string literals, with that group unset."""
    return re.compile(f"{_STRING}|{pattern}")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of edit.

    Attributes:
        pattern: finds what can be hit, as its first group.
        choices: what a hit may be changed into, given the hit and the identifiers of its module.
        change: the new text of a match, given the text before, at and after the hit, and the choice.
    """

    pattern: re.Pattern[str]
    choices: Callable[[str, Sequence[str]], Sequence[str]]
    change: Callable[[str, str, str, str], str]

    def hits(self, line: str) -> set[str]:
        """What of ``line`` this kind of edit can hit."""
        return {match[1] for match in self.pattern.finditer(line) if match[1]}


def _in_place(before: str, hit: str, after: str, choice: str) -> str:
    """The match with the hit replaced."""
    return before + choice + after


KINDS: dict[str, Kind] = {
    "rename": Kind(
        _outside_strings(rf"\b({_NAME})\b(?!['\"])"),
        lambda hit, names: names if renamable(hit) else [],
        _in_place,
    ),
    "operator": Kind(
        _outside_strings(r"(?<= )([-+]=|[=!<>]=|[-+*/%<>]|and|or|is not|is|not in|in)(?= )"),
        lambda hit, names: _OPERATORS[hit],
        _in_place,
    ),
    "number": Kind(
        _outside_strings(r"(?<![\w.])(\d+)(?![\w.])"),
        lambda hit, names: [str(int(hit) + step) for step in (1, 2, 10)],
        _in_place,
    ),
    "string": Kind(
        re.compile(rf"(?<!\w)({_STRING})"),
        lambda hit, names: [hit[0] + name + hit[0] for name in names],
        _in_place,
    ),
    "argument": Kind(
        _outside_strings(_CALL),
        lambda hit, names: _ARGUMENTS,
        lambda before, hit, after, choice: f"{hit}{after[:-1]}{', ' if after != '()' else ''}{choice})",
    ),
    "wrap": Kind(
        _outside_strings(_CALL),
        lambda hit, names: _WRAPPERS,
        lambda before, hit, after, choice: f"{choice}{hit}{after}" if choice[-1] == " " else f"{choice}({hit}{after})",
    ),
    "move": Kind(
        _outside_strings(rf"\bself\.({_NAME})\b"),
        lambda hit, names: _OWNERS,
        lambda before, hit, after, choice: f"{before}{choice}.{hit}{after}",
    ),
    "get": Kind(
        _outside_strings(rf"(?<![\w.])({_DOTTED})\[[^\[\]:]+\]"),
        lambda hit, names: ["get", "pop", "find"],
        lambda before, hit, after, choice: f"{hit}.{choice}({after[1:-1]})",
    ),
}


def renamable(name: str) -> bool:
    """Whether ``name`` is the code's own: no keyword, no builtin, not ``self``."""
    return name not in _NOT_RENAMED


def apply(kind: str, hit: str, choice: str, line: str) -> str | None:
    """``line`` edited wherever it has ``hit``; None where that changes nothing or leaves no Python.

    Args:
        kind: a key of ``KINDS``.
        hit: one of the kind's hits.
        choice: one of the kind's choices for it.
        line: a statement or the head of one, with or without its indentation.
    """

    def edited(match: re.Match[str]) -> str:
        if match[1] != hit:
            return match[0]
        start, end = (bound - match.start() for bound in match.span(1))
        return KINDS[kind].change(match[0][:start], hit, match[0][end:], choice)

    changed = KINDS[kind].pattern.sub(edited, line)
    return changed if changed != line and is_python(changed.strip()) else None


@functools.lru_cache(maxsize=1 << 16)
def is_python(line: str) -> bool:
    """Whether ``line`` is a statement or the head of one, where the rest of its block stands around it."""
    word = re.match(r"\w*", line)[0]  # type: ignore[index]  # the pattern matches everywhere
    opener = {"elif": "if x", "else": "if x", "except": "try", "finally": "try"}.get(word)
    before = f"{opener}: pass\n" if opener else ""
    after = " pass" if line.endswith(":") else ""
    if word == "try":
        after += "\nfinally: pass"
    code = "".join(f"  {part}\n" for part in f"{before}{line}{after}".split("\n"))
    try:
        ast.parse(f"async def f():\n while x:\n{code}")
    except SyntaxError:
        return False
    return True
