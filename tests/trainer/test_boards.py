"""What a run tells TensorBoard, and Weights & Biases through a stand-in: offline it was run once with the real one."""

import json
import math
import sys
from types import SimpleNamespace

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gapo_trainer.cli import main
from gapo_trainer.config import to_yaml
from gapo_trainer.runlog import RunLog, read_log


class Wandb:
    """Keeps what ``wandb.init`` is given and what the run logs."""

    def __init__(self):
        self.started, self.logged, self.finished = [], [], 0

    def init(self, **given):
        self.started.append(given)
        return SimpleNamespace(log=lambda numbers, step: self.logged.append((step, numbers)), finish=self.finish)

    def finish(self):
        self.finished += 1


def test_a_resumed_run_goes_on_where_another_of_its_name_does_not(small, tmp_path, monkeypatch):
    wandb = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    file = tmp_path / "given.yaml"
    file.write_text(to_yaml(small(wandb="project", steps=2)))
    for place in ("here", "there"):
        assert main(["run", "--config", str(file), f"out={tmp_path / place / 'run'}"]) == 0
    assert main(["run", "--resume", str(tmp_path / "here" / "run"), "steps=3"]) == 0

    here, there, again = wandb.started
    assert {here["name"], there["name"], again["name"]} == {"run"}
    assert here["id"] == again["id"] != there["id"]
    assert (here["project"], here["config"]["steps"], here["resume"]) == ("project", 2, "allow")
    rows = [json.loads(line) for line in (tmp_path / "here" / "run" / "metrics.jsonl").read_text().splitlines()]
    rewards = [(step, numbers["metrics/reward"]) for step, numbers in wandb.logged if "metrics/reward" in numbers]
    assert rewards[:2] + rewards[4:] == [(row["step"], row["reward"]) for row in rows]
    assert wandb.finished == 3


def test_tensorboard_shows_each_step_of_a_resumed_run_once(small, tmp_path):
    for done, log_bytes in ((0, {}), (1, {"metrics": 0})):
        with RunLog(tmp_path, small(), done, log_bytes) as log:
            for step in range(done + 1, 4 - done):
                log.write("metrics", {"step": step, "reward": float(done), "kl": math.inf})
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [(event.step, event.value) for event in board.Scalars("metrics/reward")] == [(1, 0.0), (2, 1.0)]
    assert board.Tags()["scalars"] == ["metrics/reward"]  # what is not finite has no place there


def test_a_log_is_strict_json(small, tmp_path):
    with RunLog(tmp_path, small(), 0, {}) as log:
        log.write("metrics", {"step": 1, "kl": math.inf, "rewards": [math.nan, -math.inf, {"a": math.nan}]})
    assert read_log(tmp_path, "metrics") == [{"step": 1, "kl": None, "rewards": [None, None, {"a": None}]}]
