"""Loading: every form gives the same tasks; what is malformed is named by file, line, field and reason."""

from __future__ import annotations

import gzip
import json
import os
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gapo_trainer.atomic import check_writable
from gapo_trainer.data.loading import BadRowError, iter_tasks, load_tasks
from gapo_trainer.data.task import SPLITS, Hunk, Task
from gapo_trainer.data.writers import SCHEMA, SUFFIXES, write_rows
from gapo_trainer.errors import UserError


def task(number: int, split: str = "train") -> Task:
    hunks = tuple(Hunk("a/b.py", f"@@ -{i} +{i} @@\n-é\n+\u2028\n") for i in range(number % 3))
    return Task(
        f"{number:016x}", "o/n", "MIT", "python", "a/b.py", "c", 7, split, hunks, "p\r\n", "r\n", "", f"t{number}"
    )


TASKS = [task(i, SPLITS[i % 3]) for i in range(9)]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_form_gives_the_same_tasks(tmp_path, suffix):
    path = tmp_path / f"tasks{suffix}"
    write_rows(path, (task.to_row() for task in TASKS))
    loaded = load_tasks(path)
    assert loaded.tasks == TASKS
    assert loaded.bad == []
    assert load_tasks(path, split="test_id").tasks == [task for task in TASKS if task.split == "test_id"]


def test_a_folder_is_a_data_set(tmp_path):
    write_rows(tmp_path / "train.parquet", (task.to_row() for task in TASKS))
    assert load_tasks(str(tmp_path)).tasks == TASKS


def test_the_rows_of_a_folder_are_named_by_split(tmp_path):
    write_rows(tmp_path / "train.parquet", (task.to_row() for task in TASKS[:2]))
    write_rows(tmp_path / "test.parquet", [TASKS[0].to_row(), TASKS[1].to_row() | {"id": ""}])
    with pytest.raises(BadRowError, match=f"^{re.escape(str(tmp_path))}, split test, line 2: field 'id'"):
        load_tasks(tmp_path)


def test_the_embedded_tasks_are_a_source(monkeypatch):
    monkeypatch.setattr("gapo_trainer.data.loading.stdlib_tasks", lambda split: [task(0, split)])  # all take seconds
    assert [task.split for task in iter_tasks("stdlib")] == list(SPLITS)
    for split in SPLITS:
        assert load_tasks("stdlib", split=split).tasks == [task(0, split)]


def test_the_sample_is_loaded_as_it_is(sample_path, sample):
    with gzip.open(sample_path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    assert len(rows) == 10_924
    assert [task.to_row() for task in sample] == rows


def broken(**changes) -> bytes:
    row = TASKS[4].to_row() | changes
    return json.dumps({name: value for name, value in row.items() if value != "gone"}).encode()


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        (b"{", "", "is not JSON"),
        (b"", "", "is not JSON"),
        (b'{"time": ' + b"1" * 5000 + b"}", "", "is not JSON that can be read: Exceeds the limit"),
        (b"[" * 100_000, "", "is not JSON that can be read: "),
        (b"[]", "", "expects an object with the fields id, repo"),
        (b'"\xff"', "", "is not UTF-8: invalid start byte at byte 1"),
        (broken(path="gone"), "path", "is missing"),
        (broken(extra=1), "extra", "is unknown"),
        (broken(region=None), "region", "expects a string, got NoneType None"),
        (broken(id=""), "id", "expects a string that is not empty"),
        (broken(target="\ud800"), "target", r"expects Unicode text, got '\ud800' at character 0"),
        (broken(time="7"), "time", "expects whole seconds since 1970, got str '7'"),
        (broken(time=True), "time", "got bool True"),
        (broken(time=1.5), "time", "got float 1.5"),
        (broken(split="test"), "split", "expects one of train, test_id, test_ood, got str 'test'"),
        (broken(history={}), "history", "expects a list of hunks, got dict {}"),
        (broken(history=["x"]), "history[0]", "expects an object with the fields path, diff"),
        (broken(history=[{"path": "a", "diff": "b"}, {"path": "a"}]), "history[1].diff", "is missing"),
        (broken(history=[{"path": 1, "diff": "b"}]), "history[0].path", "expects a string, got int 1"),
    ],
)
def test_a_malformed_row_is_named(tmp_path, line, field, reason):
    path = tmp_path / "tasks.jsonl"
    good = [json.dumps(task.to_row()).encode() for task in TASKS[:2]]
    path.write_bytes(b"\n".join([good[0], line, good[1]]) + b"\n")
    with pytest.raises(BadRowError) as caught:
        load_tasks(path)
    bad = caught.value.row
    assert (bad.source, bad.line, bad.error.field) == (str(path), 2, field)
    assert reason in bad.error.reason
    named = f"field {field!r}" if field else "row"
    assert str(caught.value) == f"{path}, line 2: {named} {bad.error.reason}"
    loaded = load_tasks(path, skip_bad=True)
    assert loaded.tasks == TASKS[:2]
    assert [str(row) for row in loaded.bad] == [str(bad)]


@pytest.mark.parametrize("first", [[], TASKS])
def test_a_parquet_file_may_have_groups_without_rows(tmp_path, first):
    path = tmp_path / "tasks.parquet"
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for rows in ([], first):
            writer.write_table(pa.Table.from_pylist([task.to_row() for task in rows], SCHEMA))
    assert list(iter_tasks(path)) == first
    if not first:
        with pytest.raises(UserError, match=r"tasks\.parquet: no task$"):
            load_tasks(path)


def test_a_parquet_file_that_pyarrow_does_not_know_is_told(tmp_path, monkeypatch):
    def refuse(path):
        raise pa.ArrowNotImplementedError("of another time")

    monkeypatch.setattr(pq, "ParquetFile", refuse)
    (tmp_path / "tasks.parquet").touch()
    with pytest.raises(UserError, match=r"tasks\.parquet: cannot be read after row 0: of another time"):
        load_tasks(tmp_path / "tasks.parquet")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["a?b", "a*b", "tasks[1]", "a::b", "{a,b}"])
def test_a_path_is_no_pattern(tmp_path, name, suffix):
    write_rows(tmp_path / f"a-b{suffix}", [TASKS[0].to_row()])  # which patterns would find
    write_rows(tmp_path / f"{name}{suffix}", (task.to_row() for task in TASKS))
    assert load_tasks(tmp_path / f"{name}{suffix}").tasks == TASKS


def test_unreadable_sources_are_told(tmp_path):
    whole = tmp_path / "whole.jsonl.gz"
    write_rows(whole, (task.to_row() for task in TASKS))
    files = {
        "cut.jsonl.gz": whole.read_bytes()[:-30],
        "damaged.jsonl.gz": whole.read_bytes()[:10] + b"\xff" * 20,  # which no compressed block begins with
        "plain.jsonl.gz": b"{}\n",
        "no.parquet": b"PAR1 no",
        "empty.jsonl": b"",
        "bad.jsonl": b"{\n[]\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            load_tasks(tmp_path / name, skip_bad=True)
    with pytest.raises(UserError, match=r"absent\.jsonl: no such file"):
        load_tasks(tmp_path / "absent.jsonl")
    with pytest.raises(UserError, match=r"no task; 2 bad rows, the first: .*bad\.jsonl, line 1: row is not"):
        load_tasks(tmp_path / "bad.jsonl", skip_bad=True)
    write_rows(tmp_path / "one.jsonl", [TASKS[0].to_row()])
    with pytest.raises(UserError, match="no task of split test_ood"):
        load_tasks(tmp_path / "one.jsonl", split="test_ood")
    with pytest.raises(ValueError, match="split expects one of"):
        load_tasks("stdlib", split="test")


@pytest.mark.parametrize("source", ["README.md", "tasks", "/absent/tasks", "../tasks", "data/tasks.csv", "a/b/c", ""])
def test_what_is_no_name_of_a_data_set_is_not_looked_up(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda *arguments, **named: pytest.fail("looked up"))
    with pytest.raises(
        UserError, match=f"source expects a file or folder that is there, .* got {re.escape(repr(source))}"
    ):
        load_tasks(source)


def test_a_file_of_another_kind_is_no_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda *arguments, **named: pytest.fail("looked up"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tasks").touch()
    with pytest.raises(UserError, match=r"source expects a file whose name ends in \.jsonl, .* got data/tasks$"):
        load_tasks("data/tasks")


def test_offline_a_data_set_is_what_was_loaded_before(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda *arguments, **named: pytest.fail("looked up"))
    monkeypatch.setattr("datasets.load_dataset", lambda name, streaming: {"train": [task.to_row() for task in TASKS]})
    assert load_tasks("owner/name").tasks == TASKS


# a hub's client raises errors of its own
@pytest.mark.parametrize(("name", "error"), [("owner/name", ConnectionError), ("owner/name-1.5", RuntimeError)])
def test_without_a_network_a_data_set_is_given_up_at_once(name, error, monkeypatch):
    def unreachable(*arguments, **named):
        raise error("no network")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", unreachable)
    monkeypatch.setattr("datasets.load_dataset", lambda *arguments, **named: pytest.fail("tries for half a minute"))
    with pytest.raises(UserError, match=f"data set '{name}': {error.__name__}: no network"):
        load_tasks(name)


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_writing_is_all_or_nothing(tmp_path, error):
    path = tmp_path / "tasks.jsonl"
    path.write_text("before")

    def rows():
        yield TASKS[0].to_row()
        raise error("disk full")

    with pytest.raises(error, match="disk full"):
        write_rows(path, rows())
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["tasks.jsonl"]


def test_a_link_stays_and_a_pipe_is_written_to(tmp_path):
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "tasks.jsonl")
    write_rows(tmp_path / "link.jsonl", [TASKS[0].to_row()])
    assert (tmp_path / "link.jsonl").is_symlink()
    assert load_tasks(tmp_path / "tasks.jsonl").tasks == TASKS[:1]
    os.mkfifo(tmp_path / "pipe.jsonl")
    reading = os.open(tmp_path / "pipe.jsonl", os.O_RDONLY | os.O_NONBLOCK)
    write_rows(tmp_path / "pipe.jsonl", [TASKS[0].to_row()])
    assert os.read(reading, 10_000) == (tmp_path / "tasks.jsonl").read_bytes()
    os.close(reading)
    assert (tmp_path / "pipe.jsonl").is_fifo()


def test_what_is_written_to_is_what_must_be_writable(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "absent" / "file")
    with pytest.raises(UserError, match=f"can be written, got {tmp_path / 'link'}"):
        check_writable("--out", tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("tempfile.TemporaryFile", lambda dir: pytest.fail("the folder of a pipe is not written to"))
    check_writable("--out", tmp_path / "pipe")
