"""A data set in numbers and in a picture: languages, splits, sizes, repositories, licences."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rapidfuzz.distance import Levenshtein
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gapo_trainer.data.show import safe
from gapo_trainer.data.task import SPLITS, Task

SIZES = ("region", "target", "context", "history", "edit distance")  # characters
_QUANTILES = (0.5, 0.9, 1.0)
_COLORS = dict(zip(SPLITS, ("C0", "C1", "C2"), strict=True))


@dataclass
class Stats:
    """Counts over tasks, in memory that grows with the kinds of tasks and not with their number.

    Attributes:
        tasks: how many by (language, split).
        repositories: how many by (repository, licence).
        sizes: how many of a number of characters, by what has it; the context is prefix and suffix together.
    """

    tasks: Counter[tuple[str, str]] = field(default_factory=Counter)
    repositories: Counter[tuple[str, str]] = field(default_factory=Counter)
    sizes: dict[str, Counter[int]] = field(default_factory=lambda: {name: Counter() for name in SIZES})

    @classmethod
    def of(cls, tasks: Iterable[Task]) -> Stats:
        """Count tasks, which are read once."""
        stats = cls()
        for task in tasks:
            stats.tasks[task.lang, task.split] += 1
            stats.repositories[task.repo, task.license] += 1
            sizes = (
                len(task.region),
                len(task.target),
                len(task.prefix) + len(task.suffix),
                sum(len(hunk.diff) for hunk in task.history),
                Levenshtein.distance(task.region, task.target),
            )
            for name, size in zip(SIZES, sizes, strict=True):
                stats.sizes[name][size] += 1
        return stats

    def languages(self) -> list[str]:
        """The languages, the commonest first."""
        total: Counter[str] = Counter()
        for (lang, _), n in self.tasks.items():
            total[lang] += n
        return sorted(total, key=lambda lang: (-total[lang], lang))

    def quantile(self, name: str, share: float) -> int:
        """The smallest size that ``share`` of the tasks do not exceed."""
        sizes = self.sizes[name]
        missing = share * sizes.total()
        for size in sorted(sizes):
            missing -= sizes[size]
            if missing <= 0:
                return size
        return 0


def tables(stats: Stats) -> RenderableType:
    """The numbers as tables for ``rich.print``."""
    by_language = Table("language", title=f"{stats.tasks.total():,} tasks")
    for split in (*SPLITS, "all"):
        by_language.add_column(split, justify="right")
    for lang in stats.languages():
        numbers = [stats.tasks[lang, split] for split in SPLITS]
        by_language.add_row(Text(safe(lang)), *(f"{n:,}" for n in (*numbers, sum(numbers))))
    totals = [sum(n for (_, of), n in stats.tasks.items() if of == split) for split in SPLITS]
    by_language.add_section()
    by_language.add_row("all", *(f"{n:,}" for n in (*totals, sum(totals))))

    by_size = Table("characters", "median", "90 %", "most")
    for name in SIZES:
        by_size.add_row(name, *(f"{stats.quantile(name, share):,}" for share in _QUANTILES))

    by_repository = Table("repository", "licence", "tasks")
    for (repo, spdx), n in sorted(stats.repositories.items(), key=lambda item: (-item[1], item[0])):
        by_repository.add_row(Text(safe(repo)), Text(safe(spdx)), f"{n:,}")
    return Group(by_language, by_size, by_repository)


def draw(stats: Stats, path: Path) -> None:
    """The picture: languages by split, and how long regions, targets and edits are.

    Args:
        stats: of at least one task.
        path: where to; matplotlib takes the form from the suffix, such as ``.png`` or ``.svg``.

    Raises:
        ValueError: matplotlib knows no such suffix.
    """
    import numpy as np
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # here: slow to import, and without pyplot no display is looked for
    from matplotlib.ticker import LogFormatter

    languages = stats.languages()
    figure = Figure(figsize=(11, max(3.5, 1.2 + 0.27 * len(languages))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))

    places, start = np.arange(len(languages)), np.zeros(len(languages))
    for split in SPLITS:
        numbers = np.array([stats.tasks[lang, split] for lang in languages])
        # a split keeps its colour where another has no task, but not its place in the legend
        left.barh(places, numbers, left=start, color=_COLORS[split], label=split if numbers.any() else None)
        start += numbers
    left.set_yticks(places, [safe(lang) for lang in languages], parse_math=False)
    for place, total in zip(places, start, strict=True):
        left.annotate(f"{total:,.0f}", (total, place), xytext=(3, 0), textcoords="offset points", va="center", size=8)
    left.invert_yaxis()
    left.margins(x=0.12)
    left.set_xlabel("tasks")
    left.set_title(f"{stats.tasks.total():,} tasks by language and split")
    left.legend(loc="lower right")

    for name in ("region", "target", "edit distance"):
        sizes = np.array(sorted(stats.sizes[name].items()))
        share = np.cumsum(sizes[:, 1]) / sizes[:, 1].sum()
        right.step(np.maximum(sizes[[0, *range(len(sizes))], 0], 1), [0, *share], where="post", label=name)
    right.set_xscale("log")
    right.xaxis.set_major_formatter("{x:g}")
    right.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))  # numbers of them where no decade is whole
    right.set_ylim(0, 1.02)
    right.grid(alpha=0.3)
    right.set_xlabel("characters")
    right.set_ylabel("share of tasks up to this size")
    right.set_title("Sizes")
    right.legend(loc="upper left")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    # No date and no version within, nor ids by chance: the same data give the same bytes.
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix)
    with warnings.catch_warnings(), rc_context({"svg.hashsalt": "gapo"}):
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # it is drawn as a box
        figure.savefig(path, dpi=130, metadata=undated)
