"""The live view of a run: a bar and the latest numbers; plain lines where the output is no terminal."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

# (heading, key of the metrics row, format)
SHOWN = (
    ("reward", "reward", ".3f"),
    ("EM", "em", ".3f"),
    ("ED", "ed", ".3f"),
    ("KL", "kl", ".4f"),
    ("clip", "clip_ratio", ".4f"),
    ("|grad|", "grad_norm", ".3f"),
    ("A = 0", "zero_advantage", ".0%"),
    ("Σ A", "sum_advantage", "+.1f"),
    ("unscorable", "unscorable", ".0%"),
    ("skipped updates", "bad_updates", ".0f"),
    ("tokens/s", "tokens_per_s", ",.0f"),
)
ONLY_IF_ANY = {"unscorable", "bad_updates"}
LINES = 20  # a run that is not watched prints about this many


def tell(console: Console, line: str) -> None:
    """Print ``line`` as it is: not wrapped, and with its brackets, which are no markup."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


class ProgressView:
    """A context manager around the training loop; ``show`` after every step.

    Args:
        steps: of the whole run.
        done: steps that an earlier process did.
        console: where to draw; None: silent (all ranks but the first).
    """

    def __init__(self, steps: int, done: int, console: Console | None) -> None:
        self._console, self._steps = console, steps
        self._bar = Progress(
            TextColumn("step"), MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(), TextColumn("left"),
            TimeRemainingColumn(),
        )  # fmt: skip
        self._task = self._bar.add_task("train", total=steps, completed=done)
        live = console is not None and console.is_terminal
        self._live = Live(self._bar, console=console, refresh_per_second=4) if live else None

    def __enter__(self) -> ProgressView:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, step: int, numbers: dict[str, Any]) -> None:
        """Advance to ``step`` (steps done) and show the latest ``numbers``, a metrics row and its timings."""
        texts = {
            heading: format(numbers[key], spec)
            for heading, key, spec in SHOWN
            if math.isfinite(numbers[key]) and (numbers[key] or key not in ONLY_IF_ANY)
        }
        if self._live:
            table = Table.grid(padding=(0, 2))
            table.add_row(*(f"[dim]{heading}[/dim] {text}" for heading, text in texts.items()))
            self._bar.update(self._task, completed=step)
            self._live.update(Group(self._bar, table))
        elif self._console and (step % max(1, self._steps // LINES) == 0 or step == self._steps):
            line = "  ".join(f"{heading} {text}" for heading, text in texts.items())
            tell(self._console, f"step {step}/{self._steps}  {line}")
