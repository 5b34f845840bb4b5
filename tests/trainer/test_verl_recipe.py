"""The parts of the verl recipe that need no verl: its data, its reward, and that the configuration names them."""

import importlib
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

import gapo_trainer.verl_recipe
from gapo_trainer.data.formats import Chat
from gapo_trainer.verl_recipe.__main__ import main
from gapo_trainer.verl_recipe.reward import compute_score


@pytest.fixture
def rows(task_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["verl_recipe", task_file, str(tmp_path)])
    assert main() == 0
    return {path.stem: pq.read_table(path).to_pylist() for path in tmp_path.glob("*.parquet")}


def test_every_split_becomes_a_file_of_prompts(rows, tasks):
    assert {split: len(part) for split, part in rows.items()} == {"train": 24, "test_id": 8, "test_ood": 8}
    (message,) = rows["train"][0]["prompt"]
    assert message["role"] == "user"
    assert tasks[0].region in message["content"]


def test_a_source_that_is_not_there_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["verl_recipe", str(tmp_path / "gone.jsonl"), str(tmp_path / "out")])
    assert main() == 1
    assert capsys.readouterr().err.endswith("gone.jsonl: no such file\n")


def test_the_reward_knows_a_right_an_unchanged_and_a_wrong_answer(rows, tasks):
    row, task = rows["train"][0], tasks[0]

    def score(answer):
        return compute_score(row["data_source"], answer, row["reward_model"]["ground_truth"], row["extra_info"])

    assert score(Chat(tokenizer=None).completion(task)) == {"score": 1.0, "em": 1.0, "ed": 1.0}
    unchanged = score(f"```python\n{task.region}```")
    assert unchanged["em"] == 0
    assert 0 < unchanged["ed"] < 1
    assert unchanged["score"] == pytest.approx(unchanged["ed"] / 2)


def test_the_configuration_names_the_reward_and_the_estimator():
    config = yaml.safe_load((Path(gapo_trainer.verl_recipe.__file__).parent / "gapo.yaml").read_text())
    reward = config["reward"]["custom_reward_function"]
    module = importlib.import_module(reward["path"].removeprefix("pkg://"))
    assert getattr(module, reward["name"]) is compute_score
    assert config["algorithm"]["adv_estimator"] == "gapo"
