"""What a commit changed in source files: its hunks in file order, with the lines of both sides."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pygit2
from pygit2.enums import DeltaStatus, DiffFind, DiffOption, FileMode

from gapo_trainer.data.languages import is_written_in, language_of
from gapo_trainer.data.mining.file_filters import file_fault, path_fault
from gapo_trainer.data.mining.objects import blob_size, read_blob

HUNKS = range(2, 61)  # a commit with one hunk has no history to learn from, one with more is a sweep or an import
MOST_RENAMES = 20  # a commit that moves more files reorganises the tree
FIRST = "commit: first of the history"
_BOT = re.compile(rb"(?:\[bot\]|[ -](?:ro)?bot)\s*\Z", re.IGNORECASE)  # ends the name of an author that is none
LARGEST_FILE = 1 << 20  # bytes; longer ones are data


class Skipped(Exception):  # a verdict, not an error
    """A commit that gives no tasks; the argument is the reason, as counted in the summary."""


@dataclass(frozen=True, slots=True)
class Version:
    """A file before and after a commit.

    Attributes:
        path: its name after the commit.
        lang: its language.
        old: its lines before, with their ends.
        new: its lines after, with their ends.
    """

    path: str
    lang: str
    old: list[bytes]
    new: list[bytes]


@dataclass(frozen=True, slots=True)
class Change:
    """A hunk: ``version.old[old]`` became ``version.new[new]``, both ranges from 0."""

    version: Version
    old: range
    new: range


def commit_changes(
    repo: pygit2.Repository, commit: pygit2.Commit, counts: Counter[str], *, renames: bool = True
) -> list[Change]:
    """The hunks of a commit in files that people write.

    Args:
        repo: where the commit is.
        commit: any commit.
        counts: files left out are counted here, by reason.
        renames: whether to look for what was edited in files that were moved. It takes the contents of all files that
            were added or removed, whatever they are.

    Raises:
        Skipped: the commit is not one edit by one person, or has too few or too many hunks.
        GIT_ERRORS: an object is missing or damaged.
    """
    if len(commit.parent_ids) != 1:
        raise Skipped("commit: merge" if commit.parent_ids else FIRST)
    if _BOT.search(commit.author.raw_name or b""):
        raise Skipped("commit: by a bot")
    diff = commit.parents[0].tree.diff_to_tree(commit.tree, DiffOption.INDENT_HEURISTIC)
    _find_renames(diff, renames)
    changes: list[Change] = []
    for version, patch in _versions(repo, diff, counts):
        changes += [
            Change(version, _lines(hunk.old_start, hunk.old_lines), _lines(hunk.new_start, hunk.new_lines))
            for hunk in patch.hunks
        ]
        if len(changes) >= HUNKS.stop:
            raise Skipped("commit: too many hunks")
    if len(changes) < HUNKS.start:
        raise Skipped("commit: one hunk or none in source files")
    return changes


def split_lines(data: bytes) -> list[bytes]:
    """The lines of a file with their ends, as git counts them: a line ends at a line feed and nowhere else."""
    return io.BytesIO(data).readlines()


def _find_renames(diff: pygit2.Diff, edited: bool) -> None:
    """Pair the files that were moved, so that what was edited on the way shows."""
    removed, added = [], []
    for delta in diff.deltas:
        if delta.status == DeltaStatus.DELETED:
            removed.append(delta.old_file.id)
        elif delta.status == DeltaStatus.ADDED:
            added.append(delta.new_file.id)
    if len(set(removed) & set(added)) > MOST_RENAMES:
        raise Skipped("commit: mass rename")
    # Similarity compares every pair of contents; with more files than this it is a reorganisation all the same.
    if edited and removed and added and max(len(removed), len(added)) <= 2 * MOST_RENAMES:
        diff.find_similar(DiffFind.FIND_RENAMES)  # whatever diff.renames the user has configured
        if sum(delta.status == DeltaStatus.RENAMED for delta in diff.deltas) > MOST_RENAMES:
            raise Skipped("commit: mass rename")


def _versions(
    repo: pygit2.Repository, diff: pygit2.Diff, counts: Counter[str]
) -> Iterator[tuple[Version, pygit2.Patch]]:
    for delta in diff.deltas:
        if FileMode.COMMIT in (delta.old_file.mode, delta.new_file.mode):
            counts["file: submodule"] += 1
            continue
        edited = delta.status in (DeltaStatus.MODIFIED, DeltaStatus.RENAMED) and delta.old_file.id != delta.new_file.id
        if not edited or delta.new_file.mode == FileMode.LINK:
            continue
        try:
            path = delta.new_file.raw_path.decode()
        except UnicodeDecodeError:
            counts["file: name is not UTF-8"] += 1
            continue
        lang = language_of(path)
        if lang is None:
            counts["file: in no known language"] += 1
            continue
        fault = path_fault(path)
        if fault is None and any(blob_size(repo, file.id) > LARGEST_FILE for file in (delta.old_file, delta.new_file)):
            fault = "large"
        if fault is None:
            new = read_blob(repo, delta.new_file.id)
            if not is_written_in(path, new.data):  # translations are many and long
                fault = "not in the language of its extension"
        if fault is None:
            old = read_blob(repo, delta.old_file.id)
            fault = file_fault(new.data)
        if fault is not None:
            counts[f"file: {fault}"] += 1
            continue
        patch = pygit2.Patch.create_from(old, new, flag=DiffOption.INDENT_HEURISTIC, context_lines=0)
        yield Version(path, lang, split_lines(old.data), split_lines(new.data)), patch


def _lines(start: int, number: int) -> range:
    """Git counts lines from 1, and names the line before where there are none."""
    return range(start - 1, start - 1 + number) if number else range(start, start)
