"""Rewards over processes, and a user's own: each way to fail is told apart, and none ends the run."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gapo_trainer.data.scoring import Scorer, Tally
from gapo_trainer.data.task import Task
from gapo_trainer.data.user_reward import load_user_reward
from gapo_trainer.errors import UserError

TASK = Task("id", "r", "MIT", "python", "a.py", "c", 0, "train", (), "", "old\n", "", "new()\n")

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for the process in /proc")


@pytest.mark.parametrize("reward", ["edem", "bleu"])
def test_processes_give_the_same_rewards_in_the_same_order(reward):
    completions = [f"new({i})" for i in range(23)] + ["new()", ""]
    with Scorer(reward, workers=2, time_limit=1e-9) as pool, Scorer(reward) as here:  # the limit is for a user's own
        np.testing.assert_array_equal(pool(completions, TASK), here(completions, TASK))
        assert pool([], TASK).shape == (0,)
        assert pool.tally == here.tally == Tally(scored=25)


def test_each_failure_is_told_apart_and_the_rest_is_scored():
    completions = ["ok", "hang", "raise", "none", "exit", "die", "nan", "text", "huge", "long", "mute", "ok"]
    with Scorer("reward_examples:by_command", workers=2, time_limit=0.6) as scorer:
        rewards = scorer(completions, TASK)
        expected = [0.25 if completion == "ok" else np.nan for completion in completions]
        np.testing.assert_array_equal(rewards, np.array(expected, np.float32))
        assert (scorer.tally.scored, scorer.tally.unscorable, scorer.tally.timed_out) == (2, 1, 1)
        assert scorer.tally.raised == 8
        assert scorer.tally.first_error
        np.testing.assert_array_equal(scorer(["ok"], TASK), np.float32([0.25]))  # replaced workers still work
        assert scorer.tally.scored == 3


def is_running(process: int) -> bool:
    stat = Path("/proc", str(process), "stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def until_it_ends(process: int) -> None:
    deadline = time.monotonic() + 20
    while is_running(process):
        assert time.monotonic() < deadline, "it does not end"
        time.sleep(0.05)


@needs_proc
def test_what_a_reward_started_ends_with_it(tmp_path):
    with Scorer("reward_examples:leaves_a_program_behind") as scorer:
        scorer([str(tmp_path / "pid")], TASK)
        program = int((tmp_path / "pid").read_text())
        assert is_running(program)
    until_it_ends(program)


@needs_proc
def test_a_reward_that_hangs_ends_when_its_time_is_up():
    with Scorer("reward_examples:by_command", time_limit=0.1) as scorer:
        worker = scorer._workers[0]._process.pid
        scorer(["hang"], TASK)
        until_it_ends(worker)


@needs_proc
def test_a_process_that_ends_between_two_groups_costs_one_completion():
    with Scorer("reward_examples:by_command", time_limit=math.inf) as scorer:
        worker = scorer._workers[0]._process.pid
        os.kill(worker, signal.SIGKILL)
        until_it_ends(worker)
        np.testing.assert_array_equal(scorer(["ok", "ok"], TASK), np.float32([np.nan, 0.25]))
    assert scorer.tally == Tally(scored=1, raised=1, first_error="the reward ended its process")


def test_the_first_error_is_kept_in_one_line():
    with Scorer("reward_examples:by_command") as scorer:
        scorer(["ok", "raise", "nan"], TASK)
    assert scorer.tally.first_error.startswith("KeyError: ")
    assert "\n" not in scorer.tally.first_error
    for completion, told in (("long", "KeyError: 'xxx"), ("mute", "Mute: (an exception that cannot tell)")):
        with Scorer("reward_examples:by_command") as scorer:
            scorer([completion], TASK)
        assert scorer.tally.first_error.startswith(told)
        assert len(scorer.tally.first_error) < 600


def test_a_child_that_a_reward_forks_gives_no_answer():
    numbers = [1, -1, 2, 3, -4, 5]
    with Scorer("reward_examples:by_number") as scorer:
        np.testing.assert_array_equal(scorer([str(number) for number in numbers], TASK), np.float32(numbers))
    assert scorer.tally == Tally(scored=6)


def test_a_reward_may_start_processes():
    with Scorer("reward_examples:in_a_pool") as scorer:
        np.testing.assert_array_equal(scorer(["a", "abc"], TASK), np.float32([1, 3]))


@pytest.mark.parametrize("options", [{"reward": "ed"}, {"reward": "ed", "workers": 2}, {"reward": "builtins:max"}])
def test_what_is_no_list_of_strings_is_refused(options):
    with Scorer(**options) as scorer:
        for wrong, message in (
            ("ab", "completions expects a list of strings, got a string"),
            (["a", None], r"completions\[1\] expects a string, got NoneType"),
            ([b"a"], r"completions\[0\] expects a string, got bytes"),
        ):
            with pytest.raises(TypeError, match=message):
                scorer(wrong, TASK)
        assert scorer.tally == Tally()


def test_a_reward_may_ask_for_the_task():
    with Scorer("reward_examples:in_language") as scorer:
        np.testing.assert_array_equal(scorer(["in python", "in go"], TASK), np.float32([1, np.nan]))
    assert (scorer.tally.scored, scorer.tally.unscorable) == (1, 1)


@pytest.mark.parametrize(
    ("kind", "shown"),
    [("complex", "np.complex128(1+2j)"), ("complex in an array", "array(1.+2.j)"), ("list", "array([0.5])")],
)
def test_what_is_no_real_number_is_no_reward(kind, shown):
    with Scorer("reward_examples:of_a_type") as scorer:
        np.testing.assert_array_equal(scorer([kind, "array", "decimal"], TASK), np.float32([np.nan, 0.5, 0.5]))
    expected = f"TypeError: scoring expects a number or None from the reward, got {shown}"
    assert scorer.tally == Tally(scored=2, raised=1, first_error=expected)


def test_a_function_without_a_signature_gets_no_task():
    with Scorer("builtins:max") as scorer:
        assert np.isnan(scorer(["a"], TASK)).all()
    assert scorer.tally.first_error == "TypeError: scoring expects a number or None from the reward, got 'new()\\n'"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("edm", "reward expects em, ed, edem, bleu or module:function, got 'edm'"),
        ("nowhere:f", "cannot import 'nowhere': ModuleNotFoundError"),
        ("reward_examples:absent", "has no function 'absent'"),
        ("reward_examples:not_callable", "has no function 'not_callable'"),
    ],
)
def test_a_wrong_name_is_told_at_once(name, message):
    with pytest.raises(UserError, match=message):
        Scorer(name)


def test_a_name_that_lacks_a_part_or_a_module_that_raises_is_told(tmp_path, monkeypatch):
    for name in ("m", ":f", "m:"):
        with pytest.raises(UserError, match=f"reward expects em, ed, edem, bleu or module:function, got '{name}'"):
            load_user_reward(name)
    (tmp_path / "raises.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="cannot import 'raises': ZeroDivisionError"):
        load_user_reward("raises:f")


def test_a_reward_that_cannot_be_imported_in_time_is_told(monkeypatch):
    monkeypatch.setattr("gapo_trainer.data.reward_worker.START_LIMIT", 0.0)
    with pytest.raises(UserError, match="reward: importing it takes more than 0 s"):
        Scorer("reward_examples:by_command")


def test_a_reward_that_ends_its_process_when_it_is_imported_is_told(tmp_path, monkeypatch):
    (tmp_path / "ends.py").write_text("import os\nos._exit(0)\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="reward: its process ended while importing it"):
        Scorer("ends:score")


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="workers expects a value >= 1, got 0"):
        Scorer("em", workers=0)
    with pytest.raises(ValueError, match="time_limit"):
        Scorer("em", time_limit=0)


TRAINER = """
from gapo_trainer.data.scoring import Scorer
from test_scoring import TASK
if __name__ == "__main__":
    with Scorer("reward_examples:by_command", time_limit=1000) as scorer:
        print(scorer._workers[0]._process.pid, flush=True)
        scorer(["hang"], TASK)
"""


@needs_proc
def test_a_reward_that_hangs_ends_with_its_trainer(tmp_path):
    (tmp_path / "trainer.py").write_text(TRAINER)
    here = Path(__file__).parent
    with subprocess.Popen([sys.executable, tmp_path / "trainer.py"], stdout=subprocess.PIPE, cwd=here,
                          env={**os.environ, "PYTHONPATH": str(here)}) as trainer:  # fmt: skip
        worker = int(trainer.stdout.readline())
        time.sleep(0.5)  # it scores
        assert is_running(worker)
        trainer.kill()
    until_it_ends(worker)
