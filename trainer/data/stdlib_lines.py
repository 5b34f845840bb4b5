"""The running Python's standard library as functions and their short lines: raw material that every machine has."""

from __future__ import annotations

import ast
import functools
import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gapo_trainer.errors import UserError

SHORTEST, LONGEST = 6, 28  # characters of an editable line: long enough to hold an edit, short enough for a tiny policy

# Not code that people edit: tests, tables, generated parsers, demos, and what distributions leave out or patch.
_LEFT_OUT = {
    "__phello__", "config", "encodings", "ensurepip", "idlelib", "lib-dynload", "lib2to3", "pydoc_data",
    "site-packages", "dist-packages", "test", "tests", "tkinter", "turtle", "turtledemo", "this", "antigravity",
    "_pyrepl",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Function:
    """An outermost function or method.

    Attributes:
        path: its module, relative to the standard library's folder, such as ``json/decoder.py``.
        name: its name with the classes around it, such as ``JSONDecoder.decode``: the same in other Pythons.
        module: all lines of the module, without line ends.
        start: index in ``module`` of the line that holds ``def``.
        editable: indices in ``module`` of the function's lines that hold one statement, or the head of one, alone.
    """

    path: str
    name: str
    module: tuple[str, ...]
    start: int
    editable: tuple[int, ...]


@functools.cache
def library_functions() -> tuple[Function, ...]:
    """All functions of the standard library that have two editable lines, ordered by path and line.

    Raises:
        UserError: this Python came without the source of its standard library.
    """
    root = Path(sysconfig.get_path("stdlib"))
    functions = tuple(function for path in _modules(root) for function in _functions(root, path))
    if not functions:
        raise UserError(f"the embedded tasks need the standard library's source files, and {root} has none")
    return functions


def _modules(root: Path) -> list[Path]:
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        found += [Path(folder, name) for name in files if name.endswith(".py")]
    return sorted(path for path in found if path.stem not in _LEFT_OUT and not path.stem.startswith("_sysconfigdata"))


def _functions(root: Path, path: Path) -> Iterator[Function]:
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
    except (UnicodeDecodeError, SyntaxError):  # a module of another encoding or for another Python: no material
        return
    module = tuple(source.removesuffix("\n").split("\n"))
    for name, node in _outermost_functions(tree):
        editable = sorted({index for index in _statement_lines(node, module) if _is_editable(module[index])})
        if len(editable) >= 2:
            yield Function(path.relative_to(root).as_posix(), name, module, node.lineno - 1, tuple(editable))


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """The statements directly within a module, a statement or a clause of one; expressions hold none."""
    for block in ("body", "handlers", "orelse", "finalbody", "cases"):
        yield from getattr(node, block, ())


def _outermost_functions(
    node: ast.AST, classes: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for part in _parts(node):
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield classes + part.name, part
        else:
            yield from _outermost_functions(
                part, f"{classes}{part.name}." if isinstance(part, ast.ClassDef) else classes
            )


def _statement_lines(node: ast.AST, module: tuple[str, ...]) -> Iterator[int]:
    if isinstance(node, ast.stmt):
        body = getattr(node, "body", None)
        if body:
            if module[node.lineno - 1].endswith(":") and body[0].lineno > node.lineno:
                yield node.lineno - 1
        elif node.lineno == node.end_lineno:
            yield node.lineno - 1
    for part in _parts(node):
        yield from _statement_lines(part, module)


def _is_editable(line: str) -> bool:
    return SHORTEST <= len(line.strip()) <= LONGEST and line.isascii() and not any(sign in line for sign in "#\t\r;\\")
