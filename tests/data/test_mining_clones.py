"""Repositories in any state: shallow, partial, damaged, empty, with submodules and odd names."""

from __future__ import annotations

import shutil
import subprocess
from collections import defaultdict
from itertools import permutations
from pathlib import Path

import pygit2
import pytest
from histories import ENVIRONMENT, History, git, long_history, numbered, quietly, rows_of

from gapo_trainer.data.mining.miner import Options, mine


def clone(tmp_path: Path, *options: str) -> Path:
    git(tmp_path / "one", "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", *options, f"file://{tmp_path / 'one'}", "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize(
    ("options", "tasks", "commits", "reason"),
    [
        (("--depth", "5"), 8, 5, "commit: first of the history"),
        (("--filter=blob:none", "--no-checkout"), 0, 11, "commit: objects are missing or damaged"),
        (("--filter=tree:0", "--no-checkout"), 0, 11, "commit: objects are missing or damaged"),
        (("--bare",), 20, 11, "commit: first of the history"),
    ],
)
def test_partial_and_shallow_clones_are_survived(tmp_path, options, tasks, commits, reason):
    long_history(tmp_path / "one", 10)
    copy = clone(tmp_path, *options)
    (summary,) = mine([copy], tmp_path / "out.jsonl", Options(), quietly)
    assert summary.fault == ""
    assert sum(summary.split.values()) == tasks
    assert summary.counts["commits"] == commits
    assert summary.counts[reason] >= 1


@pytest.mark.parametrize("options", [("--depth", "5"), ("--filter=blob:none", "--no-checkout")])
@pytest.mark.parametrize("order", [("one", "copy"), ("copy", "one"), ("copy", "copy", "one")])
def test_a_full_clone_has_the_whole_history_whatever_is_given_before_it(tmp_path, options, order):
    long_history(tmp_path / "one", 10)
    clone(tmp_path, *options)
    out = tmp_path / "out.jsonl"
    summaries = mine([tmp_path / name for name in order], out, Options(), quietly)
    rows = rows_of(out)
    assert len(rows) == 20
    assert sum(sum(summary.split.values()) for summary in summaries) == 20
    splits = defaultdict(set)
    for row in rows:
        splits[row["commit"]].add(row["split"])
    assert all(len(of_commit) == 1 for of_commit in splits.values())


@pytest.fixture
def branches(tmp_path):
    """``full`` knows its main branch and dev, ``heads`` the last two commits of both, ``dev`` the last of dev."""
    history = long_history(tmp_path / "one", 6)
    git(history.folder, "checkout", "-qb", "dev")
    for i in range(6):
        history.put("b.py", numbered(l5=f"b{i} = 5", l30=f"b{i} = 30", l50=f"b{i} = 50"))
        history.commit()
    git(history.folder, "checkout", "-q", "main")
    for name, options in (
        ("full", ()),
        ("heads", ("--depth", "2", "--no-single-branch")),
        ("dev", ("--depth", "1", "-b", "dev")),
    ):
        git(tmp_path, "clone", "-q", *options, f"file://{history.folder}", name)
    return lambda names: [tmp_path / name for name in names]


@pytest.mark.parametrize("order", list(permutations(("full", "heads", "dev"))))
def test_what_is_mined_does_not_depend_on_the_order(tmp_path, branches, order):
    out = tmp_path / "out.jsonl"
    mine(branches(order), out, Options(), quietly)
    assert len({row["commit"] for row in rows_of(out)}) == 6 + 5  # the first commit with b.py adds it


@pytest.mark.parametrize("stop", range(1, 15, 2))
def test_a_run_that_takes_commits_over_goes_on_to_the_same_bytes(tmp_path, branches, stop):
    names, visited = ("full", "heads", "dev"), []
    whole, stopped = tmp_path / "whole.jsonl", tmp_path / "stopped.jsonl"
    summaries = mine(branches(names), whole, Options(), lambda name, tasks: visited.append(name))
    assert len(visited) == 14  # one commit of dev once more

    del visited[:]

    def interrupt(name, tasks):
        visited.append(name)
        if len(visited) == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mine(branches(names), stopped, Options(), interrupt)
    assert mine(branches(names), stopped, Options(), quietly) == summaries
    assert stopped.read_bytes() == whole.read_bytes()


def moved_in_part(tmp_path: Path) -> Path:
    """A clone without the large pictures, of which a commit replaces one while it edits a source file."""
    history = History(tmp_path / "one")
    history.put("a.py", numbered())
    history.put("old.bin", "old" * 5000)
    history.put("was.py", numbered(40, l1="was = 1"))
    history.commit()
    (history.folder / "old.bin").unlink()
    history.put("new.bin", "new" * 5000)
    git(history.folder, "mv", "was.py", "now.py")
    history.put("now.py", numbered(40, l1="was = 1", l3="now = 3", l20="now = 20"))
    history.put("a.py", numbered(l5="five = 5", l30="thirty = 30"))
    history.commit()
    return clone(tmp_path, "--filter=blob:limit=10k", "--no-checkout")


def test_a_missing_picture_costs_no_edits_of_source_files(tmp_path):
    out = tmp_path / "out.jsonl"
    (summary,) = mine([moved_in_part(tmp_path)], out, Options(), quietly)
    assert [row["target"] for row in rows_of(out)] == ["thirty = 30\n"]
    assert summary.counts["commit: edits in moved files, as objects are missing"] == 1
    assert "commit: objects are missing or damaged" not in summary.counts


@pytest.mark.parametrize("order", list(permutations(("one", "copy", "other"))))
def test_a_full_clone_finds_the_moved_files_too_whatever_is_given_before_it(tmp_path, order):
    shutil.copytree(moved_in_part(tmp_path), tmp_path / "other")
    out = tmp_path / "out.jsonl"
    mine([tmp_path / name for name in order], out, Options(), quietly)
    assert sorted(row["target"] for row in rows_of(out)) == ["now = 20\n", "now = 3\n", "thirty = 30\n"]


def test_two_clones_of_which_none_has_all_give_what_they_can(tmp_path):
    shutil.copytree(moved_in_part(tmp_path), tmp_path / "other")
    out = tmp_path / "out.jsonl"
    mine([tmp_path / "copy", tmp_path / "other"], out, Options(), quietly)
    assert [row["target"] for row in rows_of(out)] == ["thirty = 30\n"]


def test_an_old_partial_clone_with_its_extension_is_read(tmp_path):
    long_history(tmp_path / "one", 10)
    copy = clone(tmp_path, "--filter=blob:none")  # the latest files are there
    git(copy, "config", "extensions.partialClone", "origin")
    (summary,) = mine([copy], tmp_path / "out.jsonl", Options(), quietly)
    assert summary.fault == ""
    assert summary.counts["commits"] == 11


def test_missing_commits_and_blobs_are_counted(tmp_path):
    history = long_history(tmp_path / "one", 10)
    git(history.folder, "repack", "-adq")
    git(history.folder, "unpack-objects", "-q", check=False)
    for pack in (history.folder / ".git/objects/pack").glob("*.pack"):
        moved = tmp_path / "moved.pack"
        shutil.move(pack, moved)
        subprocess.run(
            ["git", "unpack-objects", "-q"], cwd=history.folder, env=ENVIRONMENT, stdin=moved.open("rb"), check=True
        )
    for index in (history.folder / ".git/objects/pack").glob("*"):
        index.unlink()
    blob, commit = git(history.folder, "rev-parse", "HEAD~2:a.py"), git(history.folder, "rev-parse", "HEAD~6")
    for name in (blob, commit):
        (history.folder / ".git/objects" / name[:2] / name[2:]).unlink()
    (summary,) = mine([history.folder], tmp_path / "out.jsonl", Options(), quietly)
    assert summary.counts["commit: objects are missing or damaged"] == 3  # both sides of the blob; of the commit, one
    assert summary.counts["commit: parent is missing"] == 1
    assert sum(summary.split.values()) == 2 * 3


def test_submodules_symlinks_and_odd_names_are_survived(tmp_path):
    inner = long_history(tmp_path / "inner", 2)
    history = long_history(tmp_path / "one", 1)
    git(history.folder, "submodule", "add", "-q", f"file://{inner.folder}", "sub")
    (history.folder / "link.py").symlink_to("a.py")
    history.commit()
    git(history.folder / "sub", "checkout", "-q", "HEAD~1")
    (history.folder / "link.py").unlink()
    (history.folder / "link.py").symlink_to("b.py")
    name = b"\xff.py".decode("utf-8", "surrogateescape")
    (history.folder / name).write_text(numbered())
    history.commit()
    (history.folder / name).write_text(numbered(l5="a = 1", l30="b = 2"))
    history.commit()
    (summary,) = mine([history.folder], tmp_path / "out.jsonl", Options(), quietly)
    assert summary.counts["file: submodule"] == 2
    assert summary.counts["file: name is not UTF-8"] == 1
    assert summary.split == {"train": 2}


def test_what_replaces_an_object_is_not_read(tmp_path):
    history = long_history(tmp_path / "one", 3)
    git(history.folder, "replace", "--graft", "HEAD", "HEAD~2")
    (summary,) = mine([history.folder], tmp_path / "out.jsonl", Options(), quietly)
    assert git(history.folder, "rev-list", "--count", "HEAD") == "3"
    assert summary.counts["commits"] == 4


def test_a_head_that_names_no_branch_is_told_with_the_branches_there_are(tmp_path):
    history = long_history(tmp_path / "one", 1)
    git(history.folder, "branch", "dev")
    git(history.folder, "symbolic-ref", "HEAD", "refs/heads/master")
    (summary,) = mine([history.folder], tmp_path / "out.jsonl", Options(), quietly)
    assert summary.fault == "HEAD expects a branch that is there, got refs/heads/master; there are dev, main"
    assert not (tmp_path / "out.jsonl").exists()


def test_a_repository_of_another_user_is_told_with_the_way_to_trust_it(tmp_path, monkeypatch):
    long_history(tmp_path / "one", 1)

    def turned_away(path):
        raise pygit2.GitError(f"repository path '{path}/' is not owned by current user")

    monkeypatch.setattr("gapo_trainer.data.mining.sources.open_repository", turned_away)
    (summary,) = mine([tmp_path / "one"], tmp_path / "out.jsonl", Options(), quietly)
    assert summary.fault.endswith(f"git config --global --add safe.directory {tmp_path / 'one'}")


def test_an_empty_repository_and_a_folder_that_is_none(tmp_path):
    History(tmp_path / "empty")
    (tmp_path / "none").mkdir()
    long_history(tmp_path / "one", 2)
    out = tmp_path / "out.jsonl"
    summaries = mine([tmp_path / name for name in ("empty", "none", "one")], out, Options(), quietly)
    assert [summary.fault for summary in summaries] == ["has no commit", "cannot be read: not a git repository", ""]
    assert len(rows_of(out)) == 4
