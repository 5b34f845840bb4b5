"""``gapo-train run``, ``eval`` and ``compare`` as a person calls them."""

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import Qwen2Config

from gapo_trainer.checkpoint import Progress
from gapo_trainer.claim import ClaimedError
from gapo_trainer.cli import main
from gapo_trainer.compare import _final_scores, _trained, recipe
from gapo_trainer.config import DAPO, load_config, to_yaml
from gapo_trainer.data.rewards import bleu, ed
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
from gapo_trainer.stats import mean_of_seeds, paired_test
from gapo_trainer.train import _tell_failures, train


@pytest.fixture
def config_file(small, tmp_path):
    file = tmp_path / "given.yaml"
    file.write_text(to_yaml(small()))
    return str(file)


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


def test_eval_scores_by_split_decoding_and_language(config_file, tasks, tmp_path, capsys):
    answers = tmp_path / "answers.jsonl"
    assert main(["eval", "--config", config_file, "--answers", str(answers)]) == 0
    shown = capsys.readouterr().out
    for word in ("in-domain", "held-out", "greedy", "sampled", "python", "go", "BLEU"):
        assert word in shown
    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    assert len(rows) == 2 * 2 * 8
    targets = {task.id: task.target for task in tasks}
    assert [row["ed"] for row in rows] == [ed([row["text"]], targets[row["task"]])[0] for row in rows]
    assert [row["bleu"] for row in rows] == [bleu([row["text"]], targets[row["task"]])[0] for row in rows]
    assert {(row["split"], row["decoding"]) for row in rows} == {
        (split, decoding) for split in ("test_id", "test_ood") for decoding in ("greedy", "sampled")
    }


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (
            "absent/a.jsonl",
            "--answers expects a file in a folder that exists and can be written, got absent/a.jsonl: No",
        ),
        ("/proc/a.jsonl", "--answers expects a file in a folder that exists and can be written, got /proc/a.jsonl: "),
        (".", "--answers expects a file, got the folder ."),
    ],
)
def test_answers_that_cannot_be_written_are_refused_before_the_work(
    config_file, tmp_path, monkeypatch, capsys, answers, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gapo_trainer.eval_command.load_policy", lambda *_: pytest.fail("the model is loaded"))
    assert main(["eval", "--config", config_file, "--answers", answers]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_full_disk_leaves_earlier_answers_alone(config_file, tmp_path, files_of_at_most, capsys):
    (tmp_path / "answers").mkdir()
    answers = tmp_path / "answers" / "a.jsonl"
    answers.write_text("before")
    with files_of_at_most(1000):
        assert main(["eval", "--config", config_file, "--answers", str(answers)]) == 1
    assert "the answers could not be written: [Errno 27]" in capsys.readouterr().err
    assert answers.read_text() == "before"
    assert list(answers.parent.iterdir()) == [answers]


def test_eval_computes_as_training_does(config_file, tmp_path, monkeypatch):
    import gapo_trainer.eval_command as command

    seen, answer = [], command.answer
    monkeypatch.setattr(command, "answer", lambda *a: (seen.append(torch.is_autocast_enabled("cpu")), answer(*a))[1])
    for dtype in ("bfloat16", "float32"):
        assert main(["eval", "--config", config_file, f"dtype={dtype}"]) == 0
    assert seen == [True] * 4 + [False] * 4


def test_eval_answers_as_the_settings_say(config_file, monkeypatch):
    import gapo_trainer.eval_command as command

    seen, answer = [], command.answer
    monkeypatch.setattr(
        command, "answer", lambda *a: (seen.append((a[2], *a[3:6], a[7])), answer(*a[:3], 1, *a[4:]))[1]
    )
    settings = ["max_new_tokens=6", "temperature=0.7", "seed=3", "generation_batch=5"]
    assert main(["eval", "--config", config_file, *settings]) == 0
    assert seen == [(decoding, 6, 0.7, 3, 5) for decoding in ("greedy", "sampled")] * 2


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
