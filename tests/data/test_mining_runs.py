"""Whole runs of the miner: splits, de-duplication, licences, the same bytes, going on after a stop."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tracemalloc
from collections import defaultdict
from functools import partial
from pathlib import Path

import pygit2
import pytest
from histories import History, git, long_history, numbered, quietly, rows_of

from gapo_trainer.data.cli import main
from gapo_trainer.data.loading import load_tasks
from gapo_trainer.data.mining.journal import Journal
from gapo_trainer.data.mining.licenses import PERMISSIVE
from gapo_trainer.data.mining.miner import JOURNAL_SUFFIX, Options, mine
from gapo_trainer.errors import UserError

PROJECT = Path(__file__).parents[2]


def test_splits_by_time_and_by_repository(tmp_path):
    long_history(tmp_path / "one")
    long_history(tmp_path / "two", word="w")
    out = tmp_path / "out.jsonl"
    summaries = mine([tmp_path / "one", tmp_path / "two"], out, Options(held_out=("two",), test_share=0.1), quietly)
    rows = rows_of(out)
    assert {row["split"] for row in rows if row["repo"] == "two"} == {"test_ood"}
    times = defaultdict(list)
    commits = defaultdict(set)
    for row in rows:
        commits[row["commit"]].add(row["split"])
        if row["repo"] == "one":
            times[row["split"]].append(row["time"])
    assert all(len(splits) == 1 for splits in commits.values())
    assert max(times["train"]) < min(times["test_id"])
    assert len(set(times["test_id"])) == 2  # a tenth of 20 commits
    assert [summary.split for summary in summaries] == [{"test_id": 4, "train": 36}, {"test_ood": 40}]


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_no_task_is_in_two_splits(tmp_path, order):
    long_history(tmp_path / "one", 8)
    long_history(tmp_path / "two", 8, time=1_500_000_000)  # the same edits by other, earlier commits
    out = tmp_path / "out.jsonl"
    summaries = mine([tmp_path / name for name in order], out, Options(held_out=("two",)), quietly)
    keys = [(row["prefix"], row["region"], row["target"]) for row in rows_of(out)]
    assert len(keys) == len(set(keys)) == 16
    assert [summary.counts["tasks"] for summary in summaries] == [16, 16]
    # The earliest stays, whichever repository is walked first.
    assert {summary.name: summary.split for summary in summaries} == {"one": {}, "two": {"test_ood": 16}}


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_no_edit_of_train_is_in_a_test_split(tmp_path, order):
    for name in order:
        history = History(tmp_path / name)
        history.put("a.py", numbered())
        history.commit()
        for i in range(6):  # the first lines differ, and with them the contexts
            again = {"l30": "  thirty = 30", "l50": f"{name}{i} = 50"} if i % 5 == 0 else {"l50": f"{name}{i} = 50"}
            history.put("a.py", numbered(l5=f"{name}{i} = 5", l20=f"{name}{i} = 20", **again))
            history.commit()
    out = tmp_path / "out.jsonl"
    mine([tmp_path / name for name in order], out, Options(held_out=("two",), test_share=0.2), quietly)
    edits = defaultdict(list)
    for row in rows_of(out):
        edits[row["region"].split()[0], row["target"].split()[0]].append((row["repo"], row["split"]))
    assert edits["line_30", "thirty"] == [("one", "train")]
    assert {split for found in edits.values() for _, split in found} == {"train", "test_id", "test_ood"}


@pytest.mark.parametrize("order", [("one", "fork"), ("fork", "one")])
def test_nothing_of_a_held_out_forks_history_is_learnt(tmp_path, order):
    long_history(tmp_path / "one", 5)
    git(tmp_path, "clone", "-q", "one", "fork")
    fork_only = tmp_path / "fork" / "a.py"
    fork_only.write_text(numbered(l5="fork = 5", l30="fork = 30"))
    git(tmp_path / "fork", "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qam", "fork")
    out = tmp_path / "out.jsonl"
    one = tmp_path / "one" / "a.py"
    one.write_text(numbered(l5="one = 5", l30="one = 30"))
    git(tmp_path / "one", "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qam", "one")
    summaries = mine([tmp_path / name for name in order], out, Options(held_out=("fork",)), quietly)
    assert [summary.name for summary in summaries] == list(order)
    rows = rows_of(out)
    assert [row["repo"] for row in rows] == sorted((row["repo"] for row in rows), key=order.index)
    forks = set(git(tmp_path / "fork", "rev-list", "HEAD").split())
    assert {row["commit"] in forks for row in rows if row["split"] == "test_ood"} == {True}
    assert {row["commit"] in forks for row in rows if row["split"] != "test_ood"} == {False}
    assert "one = 30\n" in {row["target"] for row in rows if row["split"] == "train"}


@pytest.mark.parametrize("fault", ["licence GPL-2.0 is not allowed", "cannot be read", "has no commit"])
def test_a_held_out_repository_that_cannot_be_mined_is_an_error(tmp_path, fault):
    """Of the history that it shares with others, all would be learnt."""
    history = long_history(tmp_path / "one", 5)
    history.put("LICENSE", MIT)
    history.commit()
    git(tmp_path, "clone", "-q", "one", "fork")
    if fault == "cannot be read":
        (tmp_path / "fork" / ".git" / "HEAD").write_text("lost")
    elif fault == "has no commit":
        shutil.rmtree(tmp_path / "fork")
        History(tmp_path / "fork")
    else:
        (tmp_path / "fork" / "LICENSE").write_text("GNU GENERAL PUBLIC LICENSE Version 2")
        git(tmp_path / "fork", "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qam", "GPL")
    options = Options(licenses=("MIT",), held_out=("fork",))
    with pytest.raises(UserError, match=f"held-out repository 'fork' cannot be mined: {fault}"):
        mine([tmp_path / "one", tmp_path / "fork"], tmp_path / "out.jsonl", options, quietly)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fork", "one"]


def test_a_commit_of_two_repositories_is_mined_once_in_the_first(tmp_path):
    long_history(tmp_path / "one", 5)
    git(tmp_path, "clone", "-q", "one", "copy")
    out = tmp_path / "out.jsonl"
    summaries = mine([tmp_path / "one", tmp_path / "copy"], out, Options(test_share=0), quietly)
    assert [summary.split for summary in summaries] == [{"train": 10}, {}]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
def test_the_same_input_gives_the_same_bytes_and_loads_again(tmp_path, suffix):
    long_history(tmp_path / "one")
    outs = [tmp_path / name / f"out{suffix}" for name in ("a", "b")]
    for out in outs:
        out.parent.mkdir()
        mine([tmp_path / "one"], out, Options(), quietly)
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert [path.name for path in outs[0].parent.iterdir()] == [f"out{suffix}"]  # no journal is left
    assert len(load_tasks(outs[0]).tasks) == 40


@pytest.mark.parametrize("commits", [1, 7, 20])
def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path, monkeypatch, commits):
    monkeypatch.setattr("gapo_trainer.data.mining.journal._COMMITS_PER_TRANSACTION", 3)
    long_history(tmp_path / "one")
    whole, stopped = tmp_path / "whole.jsonl", tmp_path / "stopped.jsonl"
    whole_summary = mine([tmp_path / "one"], whole, Options(), quietly)
    visited = []

    def stop(name: str, tasks: int) -> None:
        visited.append(tasks)
        if len(visited) == commits:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mine([tmp_path / "one"], stopped, Options(), stop)
    assert not stopped.exists()
    again = []
    summary = mine([tmp_path / "one"], stopped, Options(), lambda name, tasks: again.append(tasks))
    assert stopped.read_bytes() == whole.read_bytes()
    assert summary == whole_summary
    assert len(again) == 21 - commits  # nothing is visited twice


def test_a_run_stopped_within_a_commit_counts_it_once(tmp_path, monkeypatch):
    long_history(tmp_path / "one", 3)
    out = tmp_path / "out.jsonl"
    whole = mine([tmp_path / "one"], out, Options(), quietly)
    finish, calls = Journal.finish_commit, []

    def stop(*arguments, **named):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        finish(*arguments, **named)

    monkeypatch.setattr(Journal, "finish_commit", stop)
    with pytest.raises(KeyboardInterrupt):
        mine([tmp_path / "one"], out, Options(), quietly)
    assert mine([tmp_path / "one"], out, Options(), quietly) == whole


def test_a_second_process_is_turned_away(tmp_path, monkeypatch):
    long_history(tmp_path / "one", 1)
    out = tmp_path / "out.jsonl"
    monkeypatch.setattr("sqlite3.connect", partial(sqlite3.connect, timeout=0.1))

    def second(name, tasks):
        with pytest.raises(UserError, match="another process is mining into it"):
            mine([tmp_path / "one"], out, Options(), quietly)

    mine([tmp_path / "one"], out, Options(), second)
    assert len(rows_of(out)) == 2


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path):
    long_history(tmp_path / "one", 30)
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    mine([tmp_path / "one"], whole, Options(), quietly)
    program = (
        "import os, sys, pathlib; from gapo_trainer.data.mining import journal, miner\n"
        "journal._COMMITS_PER_TRANSACTION = 4\n"
        "n = []\n"
        "def stop(name, tasks):\n  n.append(tasks)\n  if len(n) == 18: os._exit(9)\n"
        "miner.mine([pathlib.Path(sys.argv[1])], pathlib.Path(sys.argv[2]), miner.Options(), stop)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "one", killed], check=False)
    assert done.returncode == 9
    assert killed.with_name(killed.name + JOURNAL_SUFFIX).exists()
    mine([tmp_path / "one"], killed, Options(), quietly)
    assert killed.read_bytes() == whole.read_bytes()


def test_memory_does_not_follow_the_historys_length(tmp_path):
    peaks = []
    for commits in (100, 800):
        repo = pygit2.init_repository(str(tmp_path / str(commits)))
        parents = []
        for i in range(commits):
            text = numbered(40, l5=f"v{i} = 5", l30=f"v{i} = 30").encode()
            builder = repo.TreeBuilder()
            builder.insert("a.py", repo.create_blob(text), pygit2.enums.FileMode.BLOB)
            author = pygit2.Signature("A", "a@example.com", i, 0)
            parents = [repo.create_commit("HEAD", author, author, "", builder.write(), parents)]
        tracemalloc.start()
        (summary,) = mine([tmp_path / str(commits)], tmp_path / "out.jsonl", Options(), quietly)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert summary.counts["tasks"] == commits - 1
    assert peaks[1] < peaks[0] + 150_000  # 700 more tasks would be more than a megabyte


def test_an_output_behind_dots_leaves_no_journal(tmp_path):
    """ "missing/.." leads to a place for some system calls and nowhere for others."""
    long_history(tmp_path / "one", 2)
    mine([tmp_path / "one"], tmp_path / "missing" / ".." / "out.jsonl", Options(), quietly)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "out.jsonl"]


def test_another_runs_journal_is_refused(tmp_path):
    long_history(tmp_path / "one", 3)
    out = tmp_path / "out.jsonl"

    def stop(name: str, tasks: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mine([tmp_path / "one"], out, Options(), stop)
    with pytest.raises(UserError, match="unfinished mining of other"):
        mine([tmp_path / "one"], out, Options(languages=("go",)), quietly)


def test_a_file_that_is_no_journal_is_refused(tmp_path):
    long_history(tmp_path / "one", 1)
    (tmp_path / f"out.jsonl{JOURNAL_SUFFIX}").write_text("my notes, long enough not to be an empty file" * 40)
    with pytest.raises(UserError, match="not the journal"):
        mine([tmp_path / "one"], tmp_path / "out.jsonl", Options(), quietly)
    (tmp_path / f"other.jsonl{JOURNAL_SUFFIX}").mkdir()
    with pytest.raises(UserError, match="journal: expects a file in a folder that exists and can be written"):
        mine([tmp_path / "one"], tmp_path / "other.jsonl", Options(), quietly)


MIT = (
    "Permission is hereby granted, free of charge, to any person obtaining a copy ... The above copyright notice and "
    "this permission notice shall be included in all copies"
)
UNLICENSE = (
    "This is free and unencumbered software released into the public domain.\n\nAnyone is free to copy ... this "
    "software, either in source code form ...\nbinary, for any purpose, commercial or non-commercial, and by any means."
)
APACHE = "Apache License\nVersion 2.0, January 2004\nTERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION"
EITHER = "This project is dual-licensed ...\n\nYou may use this code under the terms of either\nlicense.\n"


@pytest.mark.parametrize(
    ("files", "expected", "permissive"),
    [
        ({}, "NONE", False),
        ({"LICENSE": MIT}, "MIT", True),
        ({"LICENSE": "Commons Clause\n" + MIT}, "NOASSERTION", False),
        ({"LICENSE": "all mine"}, "NOASSERTION", False),
        ({"COPYING": "GNU GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007"}, "GPL-3.0", False),
        ({"LICENSE-MIT": MIT, "LICENSE-APACHE": APACHE}, "Apache-2.0 OR MIT", True),
        ({"LICENSE": MIT, "COPYING": "GNU GENERAL PUBLIC LICENSE Version 2"}, "GPL-2.0 AND MIT", False),
        ({"LICENSE.txt": APACHE + "\n...\nAPPENDIX: " + MIT}, "Apache-2.0", True),
        ({"UNLICENSE": UNLICENSE}, "Unlicense", True),
        ({"LICENSE": UNLICENSE.replace("commercial or non-", "non-")}, "NOASSERTION", False),
        ({"LICENSE-MIT": MIT, "UNLICENSE": UNLICENSE}, "MIT OR Unlicense", True),
        ({"COPYING": EITHER, "LICENSE-MIT": MIT, "UNLICENSE": UNLICENSE}, "MIT OR Unlicense", True),
        ({"COPYING": EITHER, "LICENSE": MIT, "LICENSE-OURS": "all mine"}, "MIT", True),
        ({"COPYING": EITHER}, "NOASSERTION", False),
    ],
)
def test_licences_are_found_and_allowed(tmp_path, files, expected, permissive):
    history = long_history(tmp_path / "one", 2)
    for name, text in files.items():
        history.put(name, text)
    history.commit()
    out = tmp_path / "out.jsonl"
    (summary,) = mine([tmp_path / "one"], out, Options(licenses=PERMISSIVE), quietly)
    assert summary.license == expected
    assert (summary.fault == "") == permissive
    assert out.exists() == permissive  # a run that mines nothing leaves no file
    assert not permissive or {row["license"] for row in rows_of(out)} == {expected}


def test_an_error_of_ours_is_no_damage_of_theirs(tmp_path, monkeypatch):
    long_history(tmp_path / "one", 1)

    def fail(*arguments):
        raise ValueError("a mistake")

    monkeypatch.setattr("gapo_trainer.data.mining.walk.tasks_of", fail)
    with pytest.raises(ValueError, match="a mistake"):
        mine([tmp_path / "one"], tmp_path / "out.jsonl", Options(), quietly)


def test_the_projects_own_history(tmp_path):
    if not (PROJECT / ".git").exists():
        pytest.skip("not a clone")
    out = tmp_path / "out.jsonl"
    (summary,) = mine([PROJECT], out, Options(), quietly)
    assert summary.fault == ""
    assert summary.license == "Apache-2.0"
    assert summary.counts["commits"] == int(git(PROJECT, "rev-list", "--count", "HEAD"))
    for row in rows_of(out):  # with its earlier hunks made: the new file up to the edit, the old one from there
        new = git(PROJECT, "show", f"{row['commit']}:{row['path']}")
        assert (row["prefix"] + row["target"]).strip() in new
        old = git(PROJECT, "show", f"{row['commit']}~:{row['path']}", check=False)
        assert not old or (row["region"] + row["suffix"]).strip() in old  # a renamed file has no old one of its name


def test_the_command_reports_and_fails_in_words(tmp_path, capsys):
    long_history(tmp_path / "one", 5)
    out = tmp_path / "out.parquet"
    assert main(["mine", str(tmp_path / "one"), "--out", str(out)]) == 0
    assert "commits visited" in capsys.readouterr().out
    assert main(["mine", str(tmp_path / "one"), "--out", str(tmp_path / "out.csv")]) == 1
    assert "output path expects a name that ends in .jsonl, .jsonl.gz, .parquet" in capsys.readouterr().err
    assert main(["mine", str(tmp_path / "one"), "--out", str(out), "--held-out", "other"]) == 1
    assert "'other' is none of those given: one" in capsys.readouterr().err
    assert main(["mine", str(tmp_path / "one"), "--out", str(tmp_path / "absent" / "out.jsonl")]) == 1
    expected = "output path expects a file in a folder that exists and can be written, got "
    assert f"{expected}{tmp_path / 'absent' / 'out.jsonl'}: No such file" in capsys.readouterr().err
    assert main(["mine", str(tmp_path / "one"), "--out", "/proc/out.jsonl"]) == 1  # is there, and nobody may write
    assert f"{expected}/proc/out.jsonl: " in capsys.readouterr().err
    (tmp_path / "folder.jsonl").mkdir()
    assert main(["mine", str(tmp_path / "one"), "--out", str(tmp_path / "folder.jsonl")]) == 1
    assert f"output path expects a file, got the folder {tmp_path / 'folder.jsonl'}" in capsys.readouterr().err
    assert not list(tmp_path.glob(f"*{JOURNAL_SUFFIX}"))
    with pytest.raises(SystemExit):
        main(["mine", str(tmp_path / "nowhere"), "--out", str(out)])
    assert f"argument REPO: expects a folder, got '{tmp_path / 'nowhere'}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--allow-license=", "argument --allow-license: expects at least one name, got ''"),
        ("--lang= ,", "argument --lang: expects at least one name, got ' ,'"),
        ("--held-out=", "argument --held-out: expects at least one name, got ''"),
        ("--test-share=x", "argument --test-share: expects a share >= 0 and < 1, got x"),
        ("--test-share=1", "argument --test-share: expects a share >= 0 and < 1, got 1"),
    ],
)
def test_wrong_options_are_told_in_words(tmp_path, capsys, option, message):
    with pytest.raises(SystemExit):
        main(["mine", str(tmp_path), "--out", str(tmp_path / "out.jsonl"), option])
    assert message in capsys.readouterr().err


def test_a_failed_run_leaves_no_file_and_an_unknown_licence_is_told(tmp_path, capsys):
    history = long_history(tmp_path / "one", 1)
    history.put("LICENSE", MIT)
    history.commit()
    command = ["mine", str(history.folder), "--out", str(tmp_path / "out.jsonl"), "--allow-license", "mit,ISC"]
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert "licence MIT is not allowed" in out
    assert "tasks in" not in out
    assert "--allow-license: no text is recognised as 'mit', did you mean MIT?" in err
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_an_empty_result_says_what_was_left_out(tmp_path, capsys):
    long_history(tmp_path / "one", 3)
    command = ["mine", str(tmp_path / "one"), "--out", str(tmp_path / "out.jsonl"), "--quiet"]
    assert main([*command, "--lang", "zig"]) == 0
    expected = "no task was found; left out: hunk: in another language (6), commit: first of the history (1)"
    assert capsys.readouterr().err == f"gapo-data: {expected}\n"
    assert main([*command, "--lang", "zig,python"]) == 0
    assert capsys.readouterr().err == ""


def test_a_clone_that_adds_nothing_is_reported(tmp_path, capsys):
    long_history(tmp_path / "one", 3)
    git(tmp_path, "clone", "-q", "one", "copy")
    arguments = ["mine", str(tmp_path / "one"), str(tmp_path / "copy"), "--out", str(tmp_path / "out.jsonl")]
    assert main(arguments) == 0
    assert "6 tasks in" in capsys.readouterr().out


def test_a_wrong_path_leaves_an_earlier_file_alone(tmp_path, capsys):
    long_history(tmp_path / "one", 3)
    (tmp_path / "wrong").mkdir()
    out = tmp_path / "out.jsonl"
    assert main(["mine", str(tmp_path / "one"), "--out", str(out)]) == 0
    mined = out.read_bytes()
    assert main(["mine", str(tmp_path / "wrong"), "--out", str(out)]) == 1
    assert "none of the repositories could be mined" in capsys.readouterr().err
    assert mined
    assert out.read_bytes() == mined
