"""A task in the terminal: what was changed before, and the edit in its surroundings as a coloured diff."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from gapo_trainer.data.task import Task

# Old and new lines are told apart by their signs too, for those who do not see the colours.
_STYLES = {"-": "red", "+": "green", " ": "dim", "@": "cyan"}


def _day(time: int) -> str:
    """The date, or the seconds where no calendar has it: a commit may claim any time."""
    try:
        return f"{datetime.fromtimestamp(time, timezone.utc):%Y-%m-%d}"
    except (ValueError, OverflowError, OSError):
        return str(time)


def rendered(task: Task) -> RenderableType:
    """The task as a panel for ``rich.print``."""
    parts: list[RenderableType] = []
    for number, hunk in enumerate(task.history, 1):
        parts += [Rule(Text(f"earlier hunk {number}: {safe(hunk.path)}"), style="cyan"), _diff(hunk.diff.split("\n"))]
    parts += [Rule(Text(f"the edit: {safe(task.path)}"), style="bold"), _diff(edit_lines(task))]
    origin = f"{task.repo} {task.commit[:12]} {_day(task.time)}, {task.license}"
    return Panel(
        Group(*parts),
        title=Text(safe(f"{task.id}  {task.lang}  {task.split}")),
        subtitle=Text(safe(origin)),
        title_align="left",
        subtitle_align="left",
    )


def edit_lines(task: Task) -> Iterator[str]:
    """The lines of a unified diff of the edit with its context, without a header."""
    yield from (f" {line}" for line in _lines(task.prefix))
    region = _lines(task.region)
    # n is larger than any region: the whole of it is shown.
    diff = list(difflib.unified_diff(region, _lines(task.target), n=1 << 20))
    yield from diff[3:] if diff else (f" {line}" for line in region)  # after the names and the @@ line
    yield from (f" {line}" for line in _lines(task.suffix))


def _diff(lines: Iterable[str]) -> Text:
    text = Text()
    for line in lines:
        if line:
            text.append(f"{safe(line)}\n", _STYLES.get(line[0], ""))
    text.rstrip()
    return text


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def safe(text: str) -> str:
    """``text`` with control characters shown instead of sent: code must not move the cursor or set the title."""
    return "".join(
        char if char.isprintable() or char == "\t" else char.encode("unicode_escape").decode() for char in text
    )
