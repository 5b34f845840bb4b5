"""``gapo-train run`` as a person calls it, and what all commands share."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import Qwen2Config

from gapo_trainer.claim import ClaimedError
from gapo_trainer.cli import main
from gapo_trainer.config import load_config, to_yaml
from gapo_trainer.data.scoring import Tally
from gapo_trainer.data.stdlib_tasks import stdlib_tasks
from gapo_trainer.data.writers import write_rows
from gapo_trainer.errors import UserError
from gapo_trainer.evaluate import SCORES, answer, scores_row
from gapo_trainer.metrics import step_metrics
from gapo_trainer.policy import load_policy
from gapo_trainer.run import result_table
from gapo_trainer.runlog import read_log
from gapo_trainer.sources import load_splits
from gapo_trainer.train import _tell_failures, train


def test_run_leaves_a_table_figures_logs_and_a_checkpoint(config_file, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["run", "--config", config_file, f"out={out}"]) == 0
    shown = capsys.readouterr().out
    assert "before → after" in shown
    assert "held-out (8 tasks)" in shown
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    board = EventAccumulator(str(out / "tensorboard"))
    board.Reload()
    (first, *_) = board.Scalars("metrics/reward")
    assert (first.step, first.value) == (1, pytest.approx(rows[0]["reward"]))
    assert len(board.Scalars("evals/test_ood/greedy/em")) == 3
    result = json.loads((out / "result.json").read_text())
    assert {"device", "versions", "commit", "command", "date"} <= set(result["provenance"])
    assert len(result["evals"]) == 6
    timings = [json.loads(line) for line in (out / "timings.jsonl").read_text().splitlines()]
    assert all(row["tokens_per_s"] > 0 for row in timings)
    assert result["seconds"]["update"] == pytest.approx(sum(row["update_s"] for row in timings))

    assert main(["run", "--config", config_file, f"out={out}", "steps=1"]) == 0  # never over the first
    assert (tmp_path / "run-2" / "metrics.jsonl").exists()
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 4


def test_a_finished_run_can_go_on_for_longer_and_tells_what_changed(config_file, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["run", "--config", config_file, f"out={out}"]) == 0
    assert main(["run", "--resume", str(out)]) == 0  # nothing is left to do, and nothing changed
    assert "from here on" not in capsys.readouterr().out
    assert main(["run", "--resume", str(out), "steps=5", "estimator=grpo"]) == 0
    assert "from here on: estimator='grpo', was 'gapo', steps=5, was 4" in capsys.readouterr().out
    assert main(["run", "--resume", str(out), "steps=3"]) == 1  # its record says what was done
    assert "steps: 5" in (out / "config.yaml").read_text()
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["modle=x"], "did you mean 'model'?"),
        (["model=/nowhere/at/all"], "model '/nowhere/at/all' could not be loaded"),
        (["data=/nowhere.jsonl"], "/nowhere.jsonl: no such file"),
        (["max_prompt_tokens=1"], "has no training task with a prompt of at most 1 tokens"),
        (["reward=gone:away"], "cannot import 'gone'"),
        (["wandb=project"], "needs a package: pip install wandb"),
        (["rollout_engine=vllm"], "pip install vllm"),
        (["device=here"], "device=here cannot be used: "),
        (["device=meta"], "device=meta cannot be used: "),
        (["lr=1e30", "warmup_steps=0"], "the policy's logits are NaN or infinite"),
    ],
)
def test_what_a_person_can_mend_is_one_line(config_file, tmp_path, capsys, arguments, message):
    assert main(["run", "--config", config_file, f"out={tmp_path / 'run'}", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gapo-train: ")
    assert message in line


def test_what_is_not_installed_leaves_no_run(config_file, tmp_path, capsys):
    for setting in ("wandb=project", "rollout_engine=vllm"):
        assert main(["run", "--config", config_file, f"out={tmp_path / 'run'}", setting]) == 1
    assert main(["run", "--config", config_file, f"out={tmp_path / 'run'}", "steps=1"]) == 0
    assert (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_run_in_the_place_of_a_model_is_told_from_its_checkpoint(config_file, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["run", "--config", config_file, f"out={out}", "steps=1"]) == 0
    capsys.readouterr()
    assert main(["eval", "--config", config_file, f"model={out}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"this is a run's folder; its newest checkpoint is {out / 'checkpoints' / 'step_000001'}." in line


def test_a_config_that_is_no_yaml_is_one_line(tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("steps: [1\nlr: 2\n")
    assert main(["run", "--config", str(tmp_path / "bad.yaml")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"gapo-train: config {tmp_path / 'bad.yaml'}: while parsing a flow sequence")


def test_data_without_a_training_task_are_refused(config_file, tmp_path, capsys):
    data = tmp_path / "held_out.jsonl"
    write_rows(data, (task.to_row() for task in stdlib_tasks("test_id", limit=3)))
    assert main(["run", "--config", config_file, f"out={tmp_path / 'run'}", f"data={data}"]) == 1
    assert f"data={data} has no task of split train: all of them are for evaluation" in capsys.readouterr().err


def test_prompts_that_leave_no_room_within_the_models_positions_are_left_out(config_file, tmp_path, capsys):
    command = ["run", "--config", config_file, f"out={tmp_path / 'run'}", "steps=1"]
    longest = Qwen2Config.from_pretrained(load_config(config_file).model).max_position_embeddings
    assert main([*command, f"max_new_tokens={longest}"]) == 1
    assert f"leaves no room for prompts: the model takes {longest} tokens" in capsys.readouterr().err
    assert main([*command, f"max_new_tokens={longest - 1}"]) == 1
    out, err = capsys.readouterr()
    assert "train: 24 of 24 tasks left out, prompts over 1 tokens" in out
    assert "no training task" in err


@pytest.mark.parametrize("setting", ["reward=edme", "format=plane"])
def test_a_wrong_name_is_told_before_anything_is_loaded(config_file, tmp_path, monkeypatch, capsys, setting):
    monkeypatch.setattr("gapo_trainer.train.load_policy", lambda *_: pytest.fail("the policy was loaded"))
    assert main(["run", "--config", config_file, f"out={tmp_path / 'run'}", setting]) == 1
    name, value = setting.split("=")
    assert re.search(rf"{name} expects .*, got '{value}'", capsys.readouterr().err)


def test_all_seeds_are_scored_on_the_same_tasks(small):
    def splits(seed):
        config = small(seed=seed, eval_tasks=4, max_tasks=12)
        return load_splits(config, load_policy(config.model), pytest.fail)

    one, other = splits(0), splits(1)
    assert one.evaluation == other.evaluation
    assert [len(found) for found in one.evaluation.values()] == [4, 4]
    assert one.train != other.train


def test_limits_count_the_tasks_whose_prompts_are_short_enough(config_file, tasks, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("gapo_trainer.sources.AT_ONCE", 8)  # 48 training tasks: several batches
    long = [replace(task, id=f"long-{task.id}", region="x = 1\n" * 400) for task in tasks]
    data = tmp_path / "mixed.jsonl"
    write_rows(data, (task.to_row() for task in [*long, *tasks]))
    limits = ["max_tasks=20", "eval_tasks=6", "max_prompt_tokens=200", "steps=1"]
    assert main(["run", "--config", config_file, f"out={tmp_path / 'run'}", f"data={data}", *limits]) == 0
    shown = capsys.readouterr().out
    assert "in-domain (6 tasks)" in shown
    ((left_out, seen),) = re.findall(r"train: (\d+) of (\d+) tasks left out, prompts over 200 tokens\n", shown)
    assert 8 < int(seen) == int(left_out) + 20
    few = tmp_path / "few.jsonl"
    write_rows(few, (task.to_row() for task in [*long, *tasks] if task.split == "train" or task in long))
    assert main(["run", "--config", config_file, f"out={tmp_path / 'few'}", f"data={few}", *limits]) == 0
    assert "no tasks were evaluated: there are none, or none with a prompt" in capsys.readouterr().out
    assert main(["eval", "--config", config_file, f"data={few}", *limits]) == 1
    assert "no evaluation tasks with prompts of at most 200 tokens" in capsys.readouterr().err
    assert main(["compare", "--config", config_file, f"--out={tmp_path / 'both'}", f"data={few}", *limits]) == 1
    assert "no evaluation tasks with prompts of at most 200 tokens" in capsys.readouterr().err
    assert not (tmp_path / "both").exists()


def test_a_folder_that_cannot_be_written_to_is_one_line(config_file, tmp_path, monkeypatch, capsys):
    real = Path.write_text

    def refuse(path: Path, *args, **options):
        if path.name == ".config.yaml":
            raise OSError(28, "No space left on device", str(path))
        return real(path, *args, **options)

    monkeypatch.setattr(Path, "write_text", refuse)
    assert main(["run", "--config", config_file, f"out={tmp_path / 'run'}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert ".config.yaml" in line


def test_settings_may_stand_on_either_side_of_options(config_file, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["run", f"out={out}", "steps=1", "--config", config_file, "group_size=6", "--dapo", "tau=0.6"]) == 0
    settings = (out / "config.yaml").read_text()
    for line in ("steps: 1", "group_size: 6", "tau: 0.6", "dynamic_sampling: true"):
        assert line in settings
    for wrong in (["run", "steps=1", "--dapo", "--fast"], ["report", str(out), "--out", "page.html", "other"]):
        with pytest.raises(SystemExit):
            main(wrong)
        assert "unrecognized arguments" in capsys.readouterr().err


def test_a_resumed_run_takes_no_second_file(config_file, tmp_path, capsys):
    assert main(["run", "--resume", str(tmp_path / "run"), "--config", config_file]) == 1
    assert "leave out --config" in capsys.readouterr().err


def test_a_resumed_run_keeps_its_model_and_its_place(config_file, tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["run", "--resume", str(folder)]) == 1
    assert f"--resume expects the folder of a run, got {folder}" in capsys.readouterr().err
    assert main(["run", "--config", config_file, "steps=1", f"out={folder}"]) == 0
    for setting in ("model=tiny", "out=elsewhere"):
        assert main(["run", "--resume", str(folder), "steps=2", setting]) == 1
        name, _, value = setting.partition("=")
        assert re.search(f"{name} expects '.*', with which the run in .* began, got '{value}'", capsys.readouterr().err)
    assert load_config(folder / "config.yaml").steps == 1


def test_a_run_that_another_process_writes_is_not_resumed(small, tmp_path, monkeypatch, capsys):
    def claim(folder):
        raise ClaimedError(f"{folder} is taken")

    (tmp_path / "config.yaml").write_text(to_yaml(small()))
    monkeypatch.setattr("gapo_trainer.run.claim", claim)
    monkeypatch.setattr("gapo_trainer.run.train", lambda *_: pytest.fail("it is trained"))
    assert main(["run", "--resume", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"gapo-train: {tmp_path} is taken\n"


def test_the_table_shows_the_first_and_the_last_evaluation_of_each_split(tmp_path):
    rows = [
        {"split": split, "tasks": 9, "em": em, "ed": em / 2, "bleu": em / 4}
        for em in (0.0, 0.4, 0.8)
        for split in ("test_ood", "test_id")
    ]
    rows[0] |= {"em": 0.2}
    (tmp_path / "evals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert list(zip(*(column.cells for column in result_table(tmp_path).columns), strict=True)) == [
        ("in-domain (9 tasks)", "0.000 → 0.800", "0.000 → 0.400", "0.000 → 0.200"),
        ("held-out (9 tasks)", "0.200 → 0.800", "0.000 → 0.400", "0.000 → 0.200"),
    ]


def test_an_empty_data_set_is_one_line(config_file, tmp_path, capsys):
    (tmp_path / "empty.jsonl").write_text("")
    assert main(["run", "--config", config_file, f"data={tmp_path / 'empty.jsonl'}", f"out={tmp_path / 'run'}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "empty.jsonl: no task" in line


def test_a_reward_of_ones_own_may_leave_completions_unscored(config_file, tmp_path, monkeypatch, capsys):
    (tmp_path / "my_reward.py").write_text(
        "def short(completion, target):\n"
        "    if len(completion) % 3 == 0: return None\n"
        "    if len(completion) % 3 == 1: raise RuntimeError('broken [/grader]')\n"
        "    return 1 / (1 + len(completion))\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--config", config_file, "reward=my_reward:short", f"out={tmp_path / 'run'}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if "completions failed" in line]
    assert line.endswith("the first: RuntimeError: broken [/grader]")
    assert lines.index("reward: a first completion failed: RuntimeError: broken [/grader]") < lines.index(line)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(0 < row["unscorable"] < 1 for row in rows)
    assert all(row["bad_updates"] == 0 and row["loss"] is not None for row in rows)


def test_a_reward_that_scores_nothing_is_told(config_file, tmp_path, monkeypatch, capsys):
    (tmp_path / "none.py").write_text("def score(completion, target): return None\n")
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--config", config_file, "steps=1", "reward=none:score", f"out={tmp_path / 'run'}"]) == 0
    out = capsys.readouterr().out
    assert "unscorable 100%" in out
    assert re.search(r"reward: none of \d+ completions could be scored: it returned None for each", out)
    (row,) = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert row["reward"] is None
    assert main(["report", str(tmp_path / "run"), "--out", str(tmp_path / "page.html")]) == 0
    wrong = ["reward=none:score", "max_bad_updates=2", f"out={tmp_path / 'wrong'}"]
    assert main(["run", "--config", config_file, *wrong]) == 1
    out, err = capsys.readouterr()
    assert "no completion of 2 steps in a row could be scored; reward=none:score" in err
    assert "reward: none of 32 completions could be scored" in out
    assert len((tmp_path / "wrong" / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_reward_that_scores_some_is_no_failure():
    _tell_failures(Tally(scored=1, unscorable=99), pytest.fail)


def test_the_reward_has_the_processes_and_the_time_of_the_settings(small, tmp_path, monkeypatch):
    def scorer(reward, **options):
        raise UserError(f"{reward} {options}")

    monkeypatch.setattr("gapo_trainer.train.Scorer", scorer)
    with pytest.raises(UserError, match=r"^bleu {'workers': 3, 'time_limit': 2\.5}$"):
        train(small(reward="bleu", reward_workers=3, reward_timeout=2.5), tmp_path, "cpu")


@pytest.mark.parametrize(("command", "module"), [("run", "train"), ("eval", "eval_command"), ("compare", "compare")])
def test_every_command_asks_the_policy_as_the_settings_say(config_file, tmp_path, monkeypatch, capsys, command, module):
    def load_policy(model, format_name, device="cpu", thinking=True):
        raise UserError(f"{format_name} {device} {thinking}")

    monkeypatch.setattr(f"gapo_trainer.{module}.load_policy", load_policy)
    settings = [f"out={tmp_path / 'run'}", "format=plain", "thinking=false"]
    assert main([command, "--config", config_file, *settings]) == 1
    assert capsys.readouterr().err == "gapo-train: plain cpu False\n"


def test_steps_without_a_score_stop_a_run_only_in_a_row(small, tmp_path, monkeypatch):
    unscorable = iter([1, 0, 1, 0])
    monkeypatch.setattr(
        "gapo_trainer.train.step_metrics", lambda *a: {**step_metrics(*a), "unscorable": next(unscorable)}
    )
    train(small(steps=4, max_bad_updates=2, prompts_per_step=1), tmp_path, "cpu")


def test_the_last_evaluation_is_the_greedy_one_of_the_policy_that_is_saved(small, tmp_path):
    config = small(steps=3, prompts_per_step=1)
    train(config, tmp_path, "cpu")
    evals = read_log(tmp_path, "evals")
    assert [row["step"] for row in evals] == [0, 0, 2, 2, 3, 3]
    policy = load_policy(str(tmp_path / "checkpoints" / "step_000003"))
    for split, some in load_splits(config, policy, pytest.fail).evaluation.items():
        (row,) = [row for row in evals[-2:] if row["split"] == split]
        expected = scores_row(answer(policy, some, "greedy", config.max_new_tokens))
        assert all(row[score] == expected[score] for score in SCORES)
