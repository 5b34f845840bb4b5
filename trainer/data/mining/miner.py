"""Mining repositories into one file: the walk through their histories, then the splits.

Splits are made once all is known: a repository that is held out is ``test_ood``; of every other one the latest commits
are ``test_id``. All tasks of a commit are in one split, and no task is in two; what is learnt in train tests nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gapo_trainer.atomic import check_writable
from gapo_trainer.data.mining.journal import Journal
from gapo_trainer.data.mining.sources import Source, open_sources
from gapo_trainer.data.mining.walk import Progress, Walk
from gapo_trainer.data.writers import suffix_of, write_rows

JOURNAL_SUFFIX = ".journal"
FORMAT = 8  # of the journal and of what is mined; a journal of another is not resumed


@dataclass(frozen=True)
class Options:
    """What is mined.

    Attributes:
        languages: those wanted; empty for all.
        licenses: the allow-list of SPDX identifiers; empty for any licence, and none.
        held_out: names of the repositories that make ``test_ood``.
        test_share: share of a repository's commits with tasks, the latest, that makes ``test_id``.
    """

    languages: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    test_share: float = 0.12


@dataclass(frozen=True)
class RepositorySummary:
    """What became of one repository.

    Attributes:
        name: as in the tasks.
        license: as in the tasks.
        fault: why nothing of it was mined, or empty.
        split: tasks by split.
        counts: commits visited, tasks found, and what was left out, by reason.
    """

    name: str
    license: str
    fault: str
    split: dict[str, int]
    counts: dict[str, int]


def mine(paths: Sequence[Path], out: Path, options: Options, progress: Progress) -> list[RepositorySummary]:
    """Mine repositories into one file. Interrupted, the same call goes on where it stopped.

    Args:
        paths: the repositories, in the order of the output.
        out: ``.jsonl``, ``.jsonl.gz`` or ``.parquet``. Until it is there, ``<out>.journal`` holds what was done.
        options: what is mined.
        progress: called after every commit.

    Returns:
        One summary for each path.

    Raises:
        UserError: ``out`` cannot be written or has an unknown suffix, no repository has a held-out name, one that has
            cannot be mined, or the journal is another mining's.
        OSError, sqlite3.OperationalError: the disk is full.
    """
    suffix_of(out)
    check_writable("output path", out)
    out = Path(os.path.realpath(out.parent), out.name)  # the journal's place, however many ".." lead there
    sources = open_sources(paths, options.licenses, options.held_out)
    settings = {
        "format": FORMAT,
        "options": asdict(options),
        "repositories": [(source.name, source.license, source.head) for source in sources],
    }
    journal = Journal(out.with_name(out.name + JOURNAL_SUFFIX), settings)
    try:
        Walk(sources, options.languages, options.held_out, journal, progress).run()
        splits: Counter[tuple[int, str]] = Counter()
        if any(source.repo for source in sources):  # a wrong path empties no earlier file and leaves no empty one
            write_rows(out, _split_rows(journal, sources, options, splits))
    except BaseException:
        journal.close()
        raise
    summaries = [
        RepositorySummary(
            source.name,
            source.license,
            source.fault,
            {split: n for (repo, split), n in sorted(splits.items()) if repo == number},
            journal.counts(number),
        )
        for number, source in enumerate(sources)
    ]
    journal.close(remove=True)
    return summaries


def _split_rows(
    journal: Journal, sources: Sequence[Source], options: Options, splits: Counter[tuple[int, str]]
) -> Iterator[dict[str, Any]]:
    held_out = [source.name in options.held_out for source in sources]
    first_test = [journal.latest_commits(number, options.test_share) for number in range(len(sources))]
    for number, boundary in enumerate(first_test):
        if not held_out[number]:
            journal.learn(number, before=boundary)
    for number, time, commit, learnt, row in journal.tasks():
        boundary = first_test[number]
        if held_out[number]:
            row["split"] = "test_ood"
        elif boundary is not None and (time, commit) >= boundary:
            row["split"] = "test_id"
        if learnt and row["split"] != "train":
            continue
        splits[number, row["split"]] += 1
        yield row
