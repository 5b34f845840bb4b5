"""``gapo-train eval`` as a person calls it."""

import json

import pytest
import torch

from gapo_trainer.cli import main
from gapo_trainer.data.rewards import bleu, ed


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
