"""The walk through the histories, and the splits at its end.

A history is walked from ``HEAD``, latest commits first, with the commits still to visit in the journal instead of in
memory. Splits are made once all is known: a repository that is held out is ``test_ood``; of every other one the latest
commits are ``test_id``. All tasks of a commit are in one split, and no task is in two.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pygit2

from gapo_trainer.atomic import check_writable
from gapo_trainer.data.mining.changes import FIRST, Change, Skipped, commit_changes
from gapo_trainer.data.mining.edits import Origin, key_of, tasks_of
from gapo_trainer.data.mining.journal import Journal
from gapo_trainer.data.mining.licenses import is_allowed, repository_license
from gapo_trainer.data.mining.names import repository_names
from gapo_trainer.data.mining.objects import GIT_ERRORS, open_repository, read_commit
from gapo_trainer.data.writers import suffix_of, write_rows
from gapo_trainer.errors import UserError

JOURNAL_SUFFIX = ".journal"
FORMAT = 5  # of the journal and of what is mined; a journal of another is not resumed

_BRANCHES_SHOWN = 5
_PARENT_MISSING = "commit: parent is missing"
_OBJECTS_MISSING = "commit: objects are missing or damaged"
_RENAMES_MISSING = "commit: edits in moved files, as objects are missing"
# The counts that say that another clone may have more of a commit. A commit with either gives no tasks; nor does the
# first of a history, which is what the earliest commits of a shallow clone look like.
_CUT = frozenset((_PARENT_MISSING, _OBJECTS_MISSING))


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
class Source:
    """A repository as the command line names it.

    Attributes:
        name: as ``repository_names`` has it.
        license: SPDX expression.
        repo: the open repository; None where there is nothing to mine in it.
        head: where its history ends; empty with ``repo``.
        fault: why there is nothing to mine, or empty.
    """

    name: str
    license: str
    repo: pygit2.Repository | None
    head: str
    fault: str


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


Progress = Callable[[str, int], None]  # a repository's name; tasks found in the commit just visited


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
    opened = [_open(path) for path in paths]
    names = repository_names([repo for repo, _ in opened], paths)
    sources = [_source(name, *found, options) for name, found in zip(names, opened, strict=True)]
    _check_held_out(sources, options)
    settings = {
        "format": FORMAT,
        "options": asdict(options),
        "repositories": [(source.name, source.license, source.head) for source in sources],
    }
    journal = Journal(out.with_name(out.name + JOURNAL_SUFFIX), settings)
    try:
        _walk_all(sources, options, journal, progress)
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


def _open(path: Path) -> tuple[pygit2.Repository | None, str]:
    """The repository at ``path``, or why it cannot be opened."""
    try:
        return open_repository(path), ""
    except GIT_ERRORS as error:
        fault = _unreadable(error)
    if "not owned by current user" in fault:
        fault += f"; if you trust it: git config --global --add safe.directory {path.resolve()}"
    return None, fault


def _source(name: str, repo: pygit2.Repository | None, fault: str, options: Options) -> Source:
    if repo is None:
        return Source(name, "", None, "", fault)
    spdx = ""
    try:
        if repo.head_is_unborn:
            return Source(name, spdx, None, "", _without_head(repo))
        head = repo.head.peel(pygit2.Commit)
        spdx = repository_license(repo, head)
    except GIT_ERRORS as error:
        return Source(name, spdx, None, "", _unreadable(error))
    if options.licenses and not is_allowed(spdx, options.licenses):
        return Source(name, spdx, None, "", f"licence {spdx} is not allowed")
    return Source(name, spdx, repo, str(head.id), "")


def _check_held_out(sources: Sequence[Source], options: Options) -> None:
    names = [source.name for source in sources]
    unknown = sorted(set(options.held_out) - set(names))
    if unknown:
        raise UserError(f"held-out repository {unknown[0]!r} is none of those given: {', '.join(names)}")
    for source in sources:
        if source.fault and source.name in options.held_out:  # the others might have its commits, to be learnt
            raise UserError(f"held-out repository {source.name!r} cannot be mined: {source.fault}")


def _without_head(repo: pygit2.Repository) -> str:
    branches = sorted(repo.branches)
    if not branches:
        return "has no commit"
    missing = repo.lookup_reference("HEAD").target
    shown = ", ".join(branches[:_BRANCHES_SHOWN]) + (", …" if len(branches) > _BRANCHES_SHOWN else "")
    return f"HEAD expects a branch that is there, got {missing}; there are {shown}"


def _unreadable(error: Exception) -> str:
    return f"cannot be read: {str(error).strip() or type(error).__name__}"


def _walk_all(sources: Sequence[Source], options: Options, journal: Journal, progress: Progress) -> None:
    """Walk all histories; what comes next depends on the journal alone, so that a stop changes nothing."""
    mined = [(number, source, source.repo) for number, source in enumerate(sources) if source.repo is not None]
    # What a repository that is held out shares with others is its own: nothing of it may be learnt.
    mined.sort(key=lambda m: m[1].name not in options.held_out)
    repos = {number: repo for number, _, repo in mined}
    for number, source, repo in mined:
        head = read_commit(repo, pygit2.Oid(hex=source.head))
        journal.add_commit(head.id.raw, number, head.commit_time)
        _walk(number, source, repos, options, journal, progress)
    while taker := next((m for m in mined if journal.take_over(m[0], partial(_has, m[2]))), None):
        _walk(*taker[:2], repos, options, journal, progress)


def _has(repo: pygit2.Repository, commit: bytes) -> bool:
    return pygit2.Oid(raw=commit) in repo


def _walk(
    number: int,
    source: Source,
    repos: Mapping[int, pygit2.Repository],
    options: Options,
    journal: Journal,
    progress: Progress,
) -> None:
    while (commit_id := journal.next_commit(number)) is not None:
        counts = Counter({"commits": 1})
        with journal.visit():
            for place, task in _commit_tasks(repos, commit_id, number, source, journal, counts):
                if not options.languages or task.lang in options.languages:
                    counts["tasks"] += 1
                    journal.add_task(key_of(task), number, place, task.to_row())
            for what, n in counts.items():
                journal.count(number, what, n)
            cut = not _CUT.isdisjoint(counts) or (FIRST in counts and repos[number].is_shallow)
            journal.finish_commit(commit_id, number, cut)
        progress(source.name, counts["tasks"])


def _commit_tasks(
    repos: Mapping[int, pygit2.Repository],
    commit_id: bytes,
    number: int,
    source: Source,
    journal: Journal,
    counts: Counter[str],
) -> list[tuple[int, Any]]:
    """The tasks of a commit, after its parents are put on the list; what cannot be read is counted."""
    repo = repos[number]
    try:
        commit = read_commit(repo, pygit2.Oid(raw=commit_id))
        for parent_id in commit.parent_ids:
            try:
                parent = read_commit(repo, parent_id)
            except GIT_ERRORS:  # the history ends here: a shallow or damaged clone
                counts[_PARENT_MISSING] += 1
            else:
                journal.add_commit(parent_id.raw, number, parent.commit_time)
        changes = _changes(repos, commit, number, journal, counts)
    except Skipped as reason:
        counts[str(reason)] += 1
        return []
    except GIT_ERRORS:
        counts[_OBJECTS_MISSING] += 1
        return []
    origin = Origin(source.name, source.license, str(commit.id), commit.commit_time)
    return list(tasks_of(changes, origin, counts))


def _changes(
    repos: Mapping[int, pygit2.Repository],
    commit: pygit2.Commit,
    number: int,
    journal: Journal,
    counts: Counter[str],
) -> list[Change]:
    """The hunks of a commit; in the last repository that has it, those that can be found without all objects."""
    before = counts.copy()
    try:
        return commit_changes(repos[number], commit, counts)
    except GIT_ERRORS:
        tried = {number, *journal.cut_in(commit.id.raw)}
        if any(n not in tried and commit.id in other for n, other in repos.items()):
            raise  # that one may have all of it
    # Moved files are paired by their contents, also those that nobody mines and that a partial clone may not have.
    counts.clear()
    counts.update(before)
    changes = commit_changes(repos[number], commit, counts, renames=False)
    counts[_RENAMES_MISSING] += 1
    return changes


def _split_rows(
    journal: Journal, sources: Sequence[Source], options: Options, splits: Counter[tuple[int, str]]
) -> Iterator[dict[str, Any]]:
    first_test = {number: journal.latest_commits(number, options.test_share) for number in range(len(sources))}
    for number, time, commit, row in journal.tasks():
        boundary = first_test[number]
        if sources[number].name in options.held_out:
            row["split"] = "test_ood"
        elif boundary is not None and (time, commit) >= boundary:
            row["split"] = "test_id"
        splits[number, row["split"]] += 1
        yield row
