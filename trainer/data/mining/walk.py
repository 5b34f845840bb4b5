"""The walk through the histories, from ``HEAD`` and latest commits first; the journal holds the commits to visit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence

import pygit2

from gapo_trainer.data.mining.changes import FIRST, Change, Skipped, commit_changes
from gapo_trainer.data.mining.edits import Origin, edit_of, key_of, tasks_of
from gapo_trainer.data.mining.journal import Journal
from gapo_trainer.data.mining.objects import GIT_ERRORS, read_commit
from gapo_trainer.data.mining.sources import Source
from gapo_trainer.data.task import Task

_PARENT_MISSING = "commit: parent is missing"
_OBJECTS_MISSING = "commit: objects are missing or damaged"
_RENAMES_MISSING = "commit: edits in moved files, as objects are missing"
# The counts that say that another clone may have more of a commit. A commit with either gives no tasks; nor does the
# first of a history, which is what the earliest commits of a shallow clone look like.
_CUT = frozenset((_PARENT_MISSING, _OBJECTS_MISSING))

Progress = Callable[[str, int], None]  # a repository's name; tasks found in the commit just visited


class Walk:
    """Visits the commits of all sources, which it calls by their number, and puts their tasks into the journal.

    Args:
        sources: the repositories; those with a fault are passed over.
        languages: of the tasks to keep; empty for all.
        held_out: names of the sources that are visited first: what they share with others may not be learnt.
        journal: what is still to visit, and what was found.
        progress: called after every commit.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        languages: Collection[str],
        held_out: Collection[str],
        journal: Journal,
        progress: Progress,
    ):
        self._sources, self._languages, self._held_out = sources, languages, held_out
        self._journal, self._progress = journal, progress
        self._repos = {number: source.repo for number, source in enumerate(sources) if source.repo is not None}

    def run(self) -> None:
        """Visit all histories; what comes next depends on the journal alone, so that a stop changes nothing."""
        order = sorted(self._repos, key=lambda number: self._sources[number].name not in self._held_out)
        for number in order:
            head = read_commit(self._repos[number], pygit2.Oid(hex=self._sources[number].head))
            self._journal.add_commit(head.id.raw, number, head.commit_time)
            self._visit_all(number)
        while (taker := next(filter(self._takes_over, order), None)) is not None:
            self._visit_all(taker)

    def _takes_over(self, number: int) -> bool:
        """Whether a source has commits that another one could not read, which it then visits."""
        repo = self._repos[number]
        return self._journal.take_over(number, lambda commit: pygit2.Oid(raw=commit) in repo)

    def _visit_all(self, number: int) -> None:
        """Visit the commits that wait for one source, and those that they lead to."""
        while (commit_id := self._journal.next_commit(number)) is not None:
            counts = Counter({"commits": 1})
            with self._journal.visit():
                for place, task in self._commit_tasks(commit_id, number, counts):
                    if self._languages and task.lang not in self._languages:
                        counts["hunk: in another language"] += 1
                        continue
                    counts["tasks"] += 1
                    self._journal.add_task(key_of(task), edit_of(task), number, place, task.to_row())
                for what, n in counts.items():
                    self._journal.count(number, what, n)
                cut = not _CUT.isdisjoint(counts) or (FIRST in counts and self._repos[number].is_shallow)
                self._journal.finish_commit(commit_id, number, cut)
            self._progress(self._sources[number].name, counts["tasks"])

    def _commit_tasks(self, commit_id: bytes, number: int, counts: Counter[str]) -> list[tuple[int, Task]]:
        """The tasks of a commit, after its parents are put on the list; what cannot be read is counted."""
        repo, source = self._repos[number], self._sources[number]
        try:
            commit = read_commit(repo, pygit2.Oid(raw=commit_id))
            for parent_id in commit.parent_ids:
                try:
                    parent = read_commit(repo, parent_id)
                except GIT_ERRORS:  # the history ends here: a shallow or damaged clone
                    counts[_PARENT_MISSING] += 1
                else:
                    self._journal.add_commit(parent_id.raw, number, parent.commit_time)
            changes = self._changes(commit, number, counts)
        except Skipped as reason:
            counts[str(reason)] += 1
            return []
        except GIT_ERRORS:
            counts[_OBJECTS_MISSING] += 1
            return []
        origin = Origin(source.name, source.license, str(commit.id), commit.commit_time)
        return list(tasks_of(changes, origin, counts))

    def _changes(self, commit: pygit2.Commit, number: int, counts: Counter[str]) -> list[Change]:
        """The hunks of a commit; in the last repository that has it, those that can be found without all objects."""
        before = counts.copy()
        try:
            return commit_changes(self._repos[number], commit, counts)
        except GIT_ERRORS:
            tried = {number, *self._journal.cut_in(commit.id.raw)}
            if any(n not in tried and commit.id in other for n, other in self._repos.items()):
                raise  # that one may have all of it
        # Moved files are paired by their contents, also those that nobody mines and that a partial clone may not have.
        counts.clear()
        counts.update(before)
        changes = commit_changes(self._repos[number], commit, counts, renames=False)
        counts[_RENAMES_MISSING] += 1
        return changes
