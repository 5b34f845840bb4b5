"""Runs that are killed, checkpoints that are damaged, disks that are full."""

import json
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from gapo_trainer import checkpoint as checkpoints
from gapo_trainer import runlog
from gapo_trainer.checkpoint import Progress, newest_checkpoint, read_progress
from gapo_trainer.config import load_config
from gapo_trainer.errors import UserError
from gapo_trainer.policy import load_policy
from gapo_trainer.train import train

REPEATS_TO_THE_BIT = ("metrics", "evals", "groups")

# forked from one that has imported what trains: that takes longer than these runs
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["gapo_trainer.train"])


def train_until(folder, point, step):
    """Train, in a process of its own, which kills itself when a step's metrics are written, or its checkpoint is."""

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def write(self, name, row, write=runlog.RunLog.write):
        write(self, name, row)
        if point == name and row["step"] == step:
            die()

    def sync(path, sync=checkpoints.sync_folder):
        if point == "checkpoint" and path.name == f".writing_step_{step:06d}":
            die()
        sync(path)

    torch.set_num_threads(1)
    runlog.RunLog.write, checkpoints.sync_folder = write, sync
    train(load_config(folder / "config.yaml"), folder, "cpu")


def logs(folder):
    return {name: (folder / f"{name}.jsonl").read_bytes() for name in REPEATS_TO_THE_BIT}


@pytest.fixture(scope="module")
def settings(small):
    return small(
        steps=6, mini_batches=2, epochs=2, dynamic_sampling=True, reward_noise=0.1, kl_coef=0.01, checkpoint_every=2
    )


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    """A run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    torch.set_num_threads(1)
    train(settings, folder, "cpu")
    return folder


def test_a_seeded_run_repeats_to_the_bit(settings, whole, tmp_path):
    train(settings, tmp_path, "cpu")
    assert logs(tmp_path) == logs(whole)
    weights = "checkpoints/step_000006/model.safetensors"
    assert (tmp_path / weights).read_bytes() == (whole / weights).read_bytes()


@pytest.mark.parametrize(
    ("point", "step"),
    [
        ("metrics", 1),  # before the first checkpoint: from the start again
        ("metrics", 5),  # logs run ahead of the checkpoint
        ("groups", 2),  # between a step's logs and its checkpoint
        ("checkpoint", 4),  # half-way through writing one
    ],
)
def test_a_run_killed_at_any_step_and_resumed_is_the_run_that_was_not(settings, whole, tmp_path, point, step):
    (tmp_path / "config.yaml").write_bytes((whole / "config.yaml").read_bytes())
    killed = PROCESSES.Process(target=train_until, args=(tmp_path, point, step))
    killed.start()
    killed.join(timeout=300)
    assert killed.exitcode == -signal.SIGKILL
    train(settings, tmp_path, "cpu", resume=True)
    assert logs(tmp_path) == logs(whole)
    last = "checkpoints/step_000006"
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert (tmp_path / last / name).read_bytes() == (whole / last / name).read_bytes()


def test_the_newest_checkpoints_are_kept_and_hold_no_pickle(whole):
    folder = whole / "checkpoints"
    assert sorted(os.listdir(folder)) == ["step_000004", "step_000006"]
    names = os.listdir(folder / "step_000006")
    assert {"model.safetensors", "optimizer.safetensors", "state.json", "tokenizer.json"} <= set(names)
    assert all(name.endswith((".safetensors", ".json")) for name in names)


def test_a_checkpoint_and_its_logs_are_on_the_disk_before_it_is_called_one(small, tmp_path, monkeypatch):
    events, rename = [], os.rename
    monkeypatch.setattr(os, "fsync", lambda file: events.append(os.readlink(f"/proc/self/fd/{file}")))
    monkeypatch.setattr(os, "rename", lambda old, new: (events.append("renamed"), rename(old, new)))
    train(small(steps=1, prompts_per_step=1), tmp_path, "cpu")
    renamed, folder = events.index("renamed"), tmp_path / "checkpoints"
    names = {f"checkpoints/.writing_step_000001/{file.name}" for file in folder.glob("*/*")}
    names |= {"checkpoints/.writing_step_000001", *(f"{log}.jsonl" for log in (*REPEATS_TO_THE_BIT, "timings"))}
    assert {str(tmp_path / name) for name in names} <= set(events[:renamed])
    assert str(folder) in events[renamed:]


def test_checkpoints_are_in_the_order_of_their_steps(tmp_path):
    names = ["step_000900", "step_999999", "step_1000000"]
    for name in [*names, "step_", "step_000900.old"]:
        (tmp_path / name).mkdir()
    assert [path.name for path in checkpoints.checkpoints(tmp_path)] == names


@pytest.fixture
def copied(whole, tmp_path):
    for step in (4, 6):
        source, target = (folder / f"checkpoints/step_{step:06d}" for folder in (whole, tmp_path))
        target.mkdir(parents=True)
        for file in source.iterdir():
            (target / file.name).write_bytes(file.read_bytes())
    return tmp_path / "checkpoints"


def test_a_truncated_checkpoint_is_named_and_the_one_before_is_used(copied):
    file = copied / "step_000006" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    warnings = []
    path, progress = newest_checkpoint(copied, warnings.append)
    assert (path.name, progress.step) == ("step_000004", 4)
    assert len(warnings) == 1
    assert "step_000006 is damaged: model.safetensors should have" in warnings[0]


def test_one_flipped_bit_is_noticed(copied):
    file = copied / "step_000006" / "optimizer.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(UserError, match=r"optimizer.safetensors differs from what was written"):
        read_progress(copied / "step_000006")


@pytest.mark.parametrize("damage", [("tasks_taken", 99), ("bad_updates", 3), ("files", {})])
def test_a_damaged_state_is_passed_over(copied, damage):
    file = copied / "step_000006" / "state.json"
    file.write_text(json.dumps(dict([*json.loads(file.read_text()).items(), damage])))
    warnings = []
    assert newest_checkpoint(copied, warnings.append)[1].step == 4
    assert warnings == [f"passed over: {file.parent} is damaged: state.json differs from what was written"]


def test_where_every_checkpoint_is_damaged_the_run_does_not_start_over(copied):
    for folder in copied.iterdir():
        (folder / "model.safetensors").unlink()
    warnings = []
    with pytest.raises(UserError, match="holds no checkpoint that is whole"):
        newest_checkpoint(copied, warnings.append)
    assert len(warnings) == len(list(copied.iterdir()))
    assert all("damaged: model.safetensors" in line and line.endswith("is missing") for line in warnings)


def test_a_damaged_checkpoint_never_takes_the_place_of_a_whole_one(settings, whole, tmp_path):
    """The run goes on from the one before it, and saves at other steps than it did."""
    for log in (*REPEATS_TO_THE_BIT, "timings"):
        (tmp_path / f"{log}.jsonl").write_bytes((whole / f"{log}.jsonl").read_bytes())
    folder = tmp_path / "checkpoints"
    shutil.copytree(whole / "checkpoints", folder)
    (folder / "step_000006" / "model.safetensors").write_bytes(b"")
    (folder / ".writing_step_000003").mkdir()  # of a process that was killed
    train(replace(settings, steps=5, keep_checkpoints=1), tmp_path, "cpu", resume=True)
    assert os.listdir(folder) == ["step_000005"]
    assert read_progress(folder / "step_000005").step == 5


def test_skipped_updates_are_counted_on_by_the_run_that_resumes(small, tmp_path, monkeypatch):
    monkeypatch.setattr("gapo_trainer.ranks.gradient_norm", lambda *_: math.nan)
    config = small(steps=1, max_bad_updates=2, prompts_per_step=1)
    train(config, tmp_path, "cpu")
    with pytest.raises(UserError, match="2 updates in a row had NaN or inf"):
        train(replace(config, steps=2), tmp_path, "cpu", resume=True)


def test_a_damaged_checkpoint_makes_room_for_that_of_the_same_step(small, tmp_path):
    policy = load_policy(small().model)
    optimizer = torch.optim.AdamW(policy.model.parameters())
    (tmp_path / "step_000003").mkdir()
    (tmp_path / "step_000003" / "model.safetensors").write_bytes(b"")
    checkpoints.save_checkpoint(tmp_path, Progress(3, 0, 0, {}), policy, optimizer, 2)
    assert read_progress(tmp_path / "step_000003").step == 3


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("{}", "is no checkpoint of this trainer: state.json does not say"),
        ("{", "is no checkpoint of this trainer"),
        (json.dumps({"format": checkpoints.FORMAT, "version": 99}), "has version 99, this trainer reads 2"),
        (json.dumps({"format": checkpoints.FORMAT, "version": 2}), "is damaged: state.json differs from what was"),
    ],
)
def test_a_foreign_checkpoint_is_refused(copied, state, message):
    (copied / "step_000006" / "state.json").write_text(state)
    with pytest.raises(UserError, match=message):
        read_progress(copied / "step_000006")


def test_a_tokenizer_may_have_several_chat_templates(small, tmp_path):
    """All but the first lie in a folder of their own."""
    policy = load_policy(small().model)
    policy.tokenizer.chat_template = {"default": "a", "tool_use": "b"}
    optimizer = torch.optim.AdamW(policy.model.parameters())
    checkpoints.save_checkpoint(tmp_path, Progress(3, 0, 0, {}), policy, optimizer, 2)
    saved = tmp_path / "step_000003"
    assert read_progress(saved).step == 3
    assert load_policy(str(saved)).tokenizer.chat_template == policy.tokenizer.chat_template
    next(saved.glob("*/tool_use*")).write_text("c")
    with pytest.raises(UserError, match=r"tool_use.* differs from what was written"):
        read_progress(saved)


def test_a_tokenizer_that_a_full_disk_refuses(small, tmp_path, monkeypatch):
    """Its library raises a bare Exception; anything else is no full disk."""
    policy = load_policy(small().model)
    progress = Progress(3, 0, 0, {})
    optimizer = torch.optim.AdamW(policy.model.parameters())
    for raised, error, message in (
        (Exception("No space left on device (os error 28)"), UserError, r"step 3 could not be written: No space left"),
        (AttributeError("a slip"), AttributeError, "a slip"),
    ):

        def refuse(folder, raised=raised):
            raise raised

        monkeypatch.setattr(policy.tokenizer, "save_pretrained", refuse)
        with pytest.raises(error, match=message):
            checkpoints.save_checkpoint(tmp_path, progress, policy, optimizer, 2)
    monkeypatch.undo()
    checkpoints.save_checkpoint(tmp_path, progress, policy, optimizer, 2)
    assert os.listdir(tmp_path) == ["step_000003"]


def test_a_log_that_a_full_disk_refuses_is_named(small, tmp_path, files_of_at_most):
    """By the error of the row, not of the file, which tries once more when it is closed."""

    def write():
        with runlog.RunLog(tmp_path, small(), 0, {}) as log:
            for step in range(4):  # each row fits into the file's buffer, where it stays
                log.write("metrics", {"step": step, "text": "x" * 3000})

    with files_of_at_most(10_000), pytest.raises(UserError, match=r"^metrics\.jsonl of step 3 could not be written: "):
        write()


FULL_DISK = """
import resource, signal, sys
from gapo_trainer import cli
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(cli.main(sys.argv[2:]))
"""


def test_a_full_disk_is_one_clear_line_and_earlier_checkpoints_stay(whole, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("config.yaml", *(f"{log}.jsonl" for log in (*REPEATS_TO_THE_BIT, "timings"))):
        (folder / name).write_bytes((whole / name).read_bytes())
    kept = folder / "checkpoints" / "step_000004"
    kept.mkdir(parents=True)
    for file in (whole / "checkpoints" / "step_000004").iterdir():
        (kept / file.name).write_bytes(file.read_bytes())
    before = {file.name: file.read_bytes() for file in kept.iterdir()}
    # room for logs, none for a model: no file may grow beyond 200 kB
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, "200000", "run", "--resume", str(folder)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("gapo-train: ")]
    assert "checkpoint of step 6 could not be written" in line
    assert f"can be resumed from {kept}" in line
    assert "Traceback" not in done.stderr
    assert os.listdir(folder / "checkpoints") == ["step_000004"]
    assert {file.name: file.read_bytes() for file in kept.iterdir()} == before
