"""``gapo-train compare`` as a person calls it."""

import json
import os
import re
import shutil

import pytest

from gapo_trainer.checkpoint import Progress
from gapo_trainer.claim import ClaimedError
from gapo_trainer.cli import main
from gapo_trainer.compare import _final_scores, _trained, recipe
from gapo_trainer.config import DAPO
from gapo_trainer.errors import UserError
from gapo_trainer.stats import mean_of_seeds, paired_test


def test_compare_trains_every_recipe_with_every_seed_once(config_file, tmp_path, capsys):
    out = tmp_path / "compare"
    command = ["compare", "--estimators", "gapo,dapo", "--seeds", "2", "--reward-noise", "0.2", "--config", config_file]
    command += ["--out", str(out), "steps=1"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "over 2 seeds" in shown
    assert "held-out exact match" in shown
    assert "gapo - dapo" in shown
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == [
        "dapo_seed0",
        "dapo_seed1",
        "gapo_seed0",
        "gapo_seed1",
    ]
    result = json.loads((out / "result.json").read_text())
    assert {name: len(seeds) for name, seeds in result["scores_by_seed"].items()} == {"gapo": 2, "dapo": 2}
    settings = (out / "dapo_seed1" / "config.yaml").read_text()
    for line in ("estimator: grpo", "dynamic_sampling: true", "reward_noise: 0.2", "seed: 1"):
        assert line in settings
    stamps = {p: p.stat().st_mtime_ns for p in out.glob("*/metrics.jsonl")}
    assert main(command) == 0  # nothing is trained twice
    command[command.index(str(out))] = os.path.relpath(out)
    assert main(command) == 0  # nor if its place is spelled otherwise
    assert {p: p.stat().st_mtime_ns for p in out.glob("*/metrics.jsonl")} == stamps
    for setting in ("steps=2", "lr=0.1"):
        assert main([*command, setting]) == 1
        assert f"holds a run of another configuration, with {setting[:2]}" in capsys.readouterr().err
    shutil.rmtree(out / "gapo_seed0")  # the first
    assert main([*command, "lr=0.1"]) == 1
    assert not (out / "gapo_seed0").exists()  # none is trained where a later one is refused


def test_compare_pairs_the_seeds_of_the_first_with_those_of_the_others(config_file, tmp_path, monkeypatch, capsys):
    scores = {"gapo": [0.5, 0.7], "grpo": [0.3, 0.6]}

    def final_scores(config):
        em = scores[config.estimator][config.seed]
        return {("test_id", "em"): em, ("test_id", "ed"): em / 2}

    monkeypatch.setattr("gapo_trainer.compare._trained", lambda config, console: config)
    monkeypatch.setattr("gapo_trainer.compare._final_scores", final_scores)
    assert main(["compare", "--config", config_file, "--seeds", "2", "--out", str(tmp_path)]) == 0
    lines = [re.sub(r"[│ ]+", " ", line).strip() for line in capsys.readouterr().out.splitlines()]
    halves = {name: [em / 2 for em in found] for name, found in scores.items()}
    for score, found in (("exact match", scores), ("edit similarity", halves)):
        for name, seeds in found.items():
            assert any(line.endswith(f"in-domain {score} {mean_of_seeds(seeds)}") for line in lines), name
        test = paired_test(found["gapo"], found["grpo"])
        assert f"gapo - grpo in-domain {score} {test.difference} {test.p:.3f}" in lines


def test_a_run_of_a_comparison_that_was_interrupted_goes_on(small, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr("gapo_trainer.compare.train", lambda *_, resume, console: trained.append(resume))
    monkeypatch.setattr("gapo_trainer.compare.newest_checkpoint", lambda folder, warn: (folder, Progress(2, 0, 0, {})))
    for steps in (2, 4):
        _trained(small(steps=steps, out=str(tmp_path)), None)
    assert trained == [True]  # that of four


def test_a_run_of_a_comparison_that_another_process_trains_is_left_alone(small, tmp_path, monkeypatch):
    def claim(folder):
        raise ClaimedError(folder)

    monkeypatch.setattr("gapo_trainer.compare.claim", claim)
    monkeypatch.setattr("gapo_trainer.compare.train", lambda *_, **how: pytest.fail("it is trained"))
    with pytest.raises(ClaimedError, match=str(tmp_path)):
        _trained(small(out=str(tmp_path)), None)


def test_a_comparison_is_of_the_scores_at_the_end(tmp_path):
    rows = [{"step": step, "split": "test_id", "em": step / 8, "ed": step / 4} for step in (0, 2, 4)]
    (tmp_path / "evals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert _final_scores(tmp_path) == {("test_id", "em"): 0.5, ("test_id", "ed"): 1.0}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("--seeds=0", "--seeds expects a value >= 1, got 0"),
        ("--estimators=gapo,gapo", "--estimators expects each name once, got gapo,gapo"),
        ("seed=7", "compare sets seed for each run: give --seeds, not seed="),
        ("estimator=rloo", "compare sets estimator for each run: give --estimators, not estimator="),
        ("out=here", "compare takes out once: --out or out=, not both"),
        ("data={}", "has no evaluation tasks with prompts of at most"),
    ],
)
def test_what_compare_refuses_before_it_trains(config_file, tasks, tmp_path, capsys, setting, message):
    file = tmp_path / "train.jsonl"
    file.write_text("".join(json.dumps(task.to_row()) + "\n" for task in tasks if task.split == "train"))
    assert main(["compare", "--config", config_file, "--out", str(tmp_path / "out"), setting.format(file)]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_recipes():
    assert recipe("gapo") == {"estimator": "gapo"}
    assert recipe("dapo") == {"estimator": "grpo", **DAPO}
    assert recipe("gapo+dapo") == {"estimator": "gapo", **DAPO}
    with pytest.raises(UserError, match=r"--estimators expects an estimator, .*, got 'gapo\+ppo'"):
        recipe("gapo+ppo")


@pytest.mark.parametrize(
    ("arguments", "out"),
    [([], "runs/compare"), (["out=here"], "here"), (["out=runs/train"], "runs/train"), (["--out", "here"], "here")],
)
def test_the_folder_of_a_comparison(arguments, out, monkeypatch):
    taken = []
    monkeypatch.setattr("gapo_trainer.compare.compare", lambda config, *_: taken.append(config.out))
    assert main(["compare", *arguments]) == 0
    assert taken == [out]
