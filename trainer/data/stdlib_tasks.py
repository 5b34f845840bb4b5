"""Tasks without a file or a network: edits propagated through real lines of the running Python's standard library.

One changed line is the history; another line of the same function, to which the same edit applies, is the region. The
choice of edits and lines is fixed by the seed and by the Python that runs; which function is in which split, by its
name, so that another Python's ``test_id`` was not learnt either. What a pair of edits shows to the model (old, new,
region, target) occurs in one split only, so held-out pairs were never learnt.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import platform
import random
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gapo_trainer.data.line_edits import KINDS, apply, renamable
from gapo_trainer.data.stdlib_lines import Function, library_functions
from gapo_trainer.data.task import CONTEXT, SPLITS, Hunk, Task

# Modules and packages of test_ood: of many kinds, and a tenth of the library.
HELD_OUT = (
    "argparse", "calendar", "concurrent", "csv", "difflib", "fractions", "http", "inspect", "mailbox", "shelve",
    "tarfile", "textwrap", "unittest", "xmlrpc", "zipfile",
)  # fmt: skip
LONGEST_RESULT = 36  # characters of an edited line
# Edits tried per hit and further line that shares it, each with another choice and other lines. Names are hit nine
# times as often as all else together: fewer draws keep the other kinds from drowning.
DRAWS, RENAMES = 8, 2


@dataclass(frozen=True, slots=True)
class Pair:
    """An edit and its propagation: line ``first`` of a function becomes ``new``, then line ``second`` ``target``."""

    function: Function
    first: int
    new: str
    second: int
    target: str

    @property
    def shown(self) -> tuple[str, str, str, str]:
        """What the model reads and writes, without indentation."""
        module = self.function.module
        return module[self.first].strip(), self.new.strip(), module[self.second].strip(), self.target.strip()


def stdlib_tasks(split: str = "train", *, seed: int = 0, limit: int | None = None) -> list[Task]:
    """The embedded tasks of one split, shuffled.

    Args:
        split: ``train``; ``test_id``: other functions of the same modules; ``test_ood``: the modules of ``HELD_OUT``.
        seed: chooses the edits and their order; not which function is in which split.
        limit: the most tasks wanted; None for all, some 10^5 in ``train``. They come from as many functions as there
            are: one task of each before a second of any.

    Raises:
        ValueError: an unknown split or a negative limit.
        UserError: this Python has no standard library in source.
    """
    if split not in SPLITS:
        raise ValueError(f"split expects one of {', '.join(SPLITS)}, got {split!r}")
    if limit is not None and limit < 0:
        raise ValueError(f"limit expects a number of tasks >= 0, got {limit}")
    held_out = _held_out(seed)
    if split in held_out:
        pairs: Iterable[Pair] = held_out[split]
    else:
        pairs = _unclaimed(_pairs(split, seed), {pair.shown for found in held_out.values() for pair in found})
    chosen = list(itertools.islice(pairs, limit))
    random.Random(seed).shuffle(chosen)
    return [_task(pair, split) for pair in chosen]


def split_of(function: Function) -> str:
    """The split of a function: by its module if that is held out, else one of sixteen goes to ``test_id``."""
    if function.path.removesuffix(".py").split("/")[0] in HELD_OUT:
        return "test_ood"
    return "test_id" if zlib.crc32(f"{function.path}:{function.name}".encode()) % 16 == 0 else "train"


@functools.cache
def _held_out(seed: int) -> dict[str, tuple[Pair, ...]]:
    """All pairs of the small splits. They choose first: what they hold is not learnt from."""
    claimed: set[tuple[str, str, str, str]] = set()
    return {split: tuple(_unclaimed(_pairs(split, seed), claimed)) for split in SPLITS[:0:-1]}


def _unclaimed(pairs: Iterable[Pair], claimed: set[tuple[str, str, str, str]]) -> Iterator[Pair]:
    for pair in pairs:
        if pair.shown not in claimed:
            claimed.add(pair.shown)
            yield pair


def _pairs(split: str, seed: int) -> Iterator[Pair]:
    """The functions' pairs in turn, so that the first ones come from as many functions as there are."""
    functions = [function for function in library_functions() if split_of(function) == split]
    random.Random(seed).shuffle(functions)
    waiting = [_pairs_of(function, random.Random(f"{seed}:{function.path}:{function.name}")) for function in functions]
    while waiting:
        having_more = []
        for pairs in waiting:
            if pair := next(pairs, None):
                yield pair
                having_more.append(pairs)
        waiting = having_more


def _pairs_of(function: Function, rng: random.Random) -> Iterator[Pair]:
    draws = list(_draws(function, rng))
    rng.shuffle(draws)
    for draw in draws:
        if pair := _pair(function, *draw):
            yield pair


def _draws(function: Function, rng: random.Random) -> Iterator[tuple[int, int, str, str, str]]:
    """What may become a pair: the two lines, the kind of edit, its hit and its choice."""
    for kind in KINDS:
        draws = RENAMES if kind == "rename" else DRAWS
        lines_with: dict[str, list[int]] = {}
        for index in function.editable:
            for hit in sorted(KINDS[kind].hits(function.module[index])):
                lines_with.setdefault(hit, []).append(index)
        for hit, lines in lines_with.items():
            choices = KINDS[kind].choices(hit, _names(function.path)) if len(lines) > 1 else ()
            for _ in range(draws * (len(lines) - 1) if choices else 0):
                first, second = rng.sample(lines, 2)
                yield first, second, kind, hit, rng.choice(choices)


def _pair(function: Function, first: int, second: int, kind: str, hit: str, choice: str) -> Pair | None:
    old, region = function.module[first], function.module[second]
    if old.strip() == region.strip():  # nothing to transfer: the answer would stand in the history
        return None
    new, target = (apply(kind, hit, choice, line) for line in (old, region))
    if new is None or target is None or max(len(new.strip()), len(target.strip())) > LONGEST_RESULT:
        return None
    return Pair(function, first, new, second, target)


@functools.cache
def _names(path: str) -> list[str]:
    """The names that the short lines of a module use more than once, sorted: its own vocabulary for renaming."""
    lines = (function.module[index] for function in _functions_by_path()[path] for index in function.editable)
    counts = Counter(name for line in lines for name in KINDS["rename"].hits(line))
    return sorted(name for name, n in counts.items() if n > 1 and 3 <= len(name) <= 12 and renamable(name))


@functools.cache
def _functions_by_path() -> dict[str, list[Function]]:
    groups = itertools.groupby(library_functions(), lambda function: function.path)
    return {path: list(functions) for path, functions in groups}


def _task(pair: Pair, split: str) -> Task:
    function, module = pair.function, list(pair.function.module)
    diff = f"@@ -{pair.first + 1} +{pair.first + 1} @@\n-{module[pair.first]}\n+{pair.new}\n"
    region, target = f"{module[pair.second]}\n", f"{pair.target}\n"
    module[pair.first] = pair.new
    before = module[max(0, pair.second - CONTEXT) : pair.second]
    after = module[pair.second + 1 : pair.second + 1 + CONTEXT]
    name = "\0".join((function.path, str(pair.second), diff, target))
    return Task(
        id=hashlib.sha256(name.encode()).hexdigest()[:16],
        repo="python/cpython",
        license="Python-2.0",
        lang="python",
        path=function.path,
        commit=f"v{platform.python_version()}",
        time=0,
        split=split,
        history=(Hunk(function.path, diff),),
        prefix="".join(f"{line}\n" for line in before),
        region=region,
        suffix="".join(f"{line}\n" for line in after),
        target=target,
    )
