"""What a run tells Weights & Biases, through a stand-in for the package: offline it was run once with the real one."""

import json
import sys
from types import SimpleNamespace

from gapo_trainer.cli import main
from gapo_trainer.config import to_yaml


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
