"""Two processes never write one run."""

import errno
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from gapo_trainer.claim import ClaimedError, claim, claim_new
from gapo_trainer.errors import UserError
from gapo_trainer.runlog import CONFIG

HOLD = """
import sys
from pathlib import Path
from gapo_trainer.claim import claim
with claim(Path(sys.argv[1])):
    print("claimed", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold():
    """Has a process claim a folder until it is killed."""
    processes = []

    def hold(folder):
        process = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout.readline() == b"claimed\n"
        return process

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


def test_a_claim_ends_with_its_process(tmp_path, hold):
    process = hold(tmp_path)
    with pytest.raises(ClaimedError, match=f"^{tmp_path} is being written to by another process$"), claim(tmp_path):
        pass
    process.kill()
    process.wait()
    with claim(tmp_path):
        pass


def test_a_new_run_passes_over_what_is_taken(tmp_path, hold):
    out = tmp_path / "runs" / "run"
    with ExitStack() as held:
        assert claim_new(out, held) == out
    out.joinpath(CONFIG).touch()  # a run
    second = out.with_name("run-2")
    second.mkdir()
    hold(second)  # one that is only about to begin
    with ExitStack() as held:
        assert claim_new(out, held) == out.with_name("run-3")
        claimed = subprocess.run([sys.executable, "-c", HOLD, out.with_name("run-3")], capture_output=True, text=True)
        assert "run-3 is being written to by another process" in claimed.stderr


def test_a_new_run_leaves_a_folder_alone_that_is_no_run(tmp_path):
    out = tmp_path / "mine"
    out.mkdir()
    out.joinpath("result.json").write_text("precious")
    with ExitStack() as held:
        assert claim_new(out, held) == tmp_path / "mine-2"
    with ExitStack() as held:  # which held only the lock
        assert claim_new(out, held) == tmp_path / "mine-2"
    assert [entry.name for entry in out.iterdir()] == ["result.json"]


def test_a_new_run_leaves_one_alone_that_ended_just_before_its_claim(tmp_path, monkeypatch):
    def claim_late(folder):
        if folder == tmp_path / "run":
            folder.joinpath(CONFIG).touch()
        return claim(folder)

    monkeypatch.setattr("gapo_trainer.claim.claim", claim_late)
    with ExitStack() as held:
        assert claim_new(tmp_path / "run", held) == tmp_path / "run-2"


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch):
    def lockf(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.lockf", lockf)
    with claim(tmp_path):
        pass


def test_a_folder_that_nothing_can_be_written_to(tmp_path):
    with pytest.raises(UserError, match="absent cannot be written to: "), claim(tmp_path / "absent"):
        pass


def test_a_folder_that_cannot_be_made(tmp_path):
    tmp_path.joinpath("file").touch()
    with ExitStack() as held, pytest.raises(UserError, match="file/run: the folder cannot be made"):
        claim_new(tmp_path / "file" / "run", held)


def test_the_folder_that_one_is_in(tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    here.joinpath(CONFIG).touch()
    monkeypatch.chdir(here)
    with ExitStack() as held:
        assert claim_new(Path("."), held) == tmp_path / "here-2"
    (here / "in").mkdir()
    monkeypatch.chdir(here / "in")
    with ExitStack() as held:
        assert claim_new(Path(".."), held) == tmp_path / "here-2"


@pytest.mark.parametrize(("out", "why"), [("/", "out expects a folder that"), ("x" * 300, "the folder cannot be made")])
def test_a_folder_that_no_run_can_have(out, why):
    with ExitStack() as held, pytest.raises(UserError, match=why):
        claim_new(Path(out), held)
