"""The embedded policy: what ships, that it is undecided, and that a short run with rewards decides it."""

import dataclasses
import json
from importlib.resources import files

import pytest

from gapo_trainer.config import load_config
from gapo_trainer.data.stdlib_tasks import stdlib_tasks
from gapo_trainer.policy import load_policy
from gapo_trainer.tiny_model.mixture import SHARES, repeated_history, undecided_targets
from gapo_trainer.tiny_model.tokenizer import train_tokenizer
from gapo_trainer.train import train

TRAINED, EVALUATED = 320, 96


@pytest.fixture(scope="module")
def policy():
    return load_policy("tiny")


@pytest.fixture(scope="module")
def library_tasks():
    return stdlib_tasks("test_ood", limit=TRAINED + EVALUATED)


def test_it_is_a_stock_model_of_a_few_megabytes_with_a_card(policy):
    folder = files("gapo_trainer") / "assets" / "tiny_model"
    assert type(policy.model).__module__ == "transformers.models.qwen2.modeling_qwen2"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 4e6
    assert "Undecided on purpose" in (folder / "README.md").read_text()
    assert not any(file.suffix in (".bin", ".pt", ".pkl", ".py") for file in folder.iterdir())


def test_a_copied_name_has_the_same_tokens_wherever_it_stands(policy):
    tokenizer = policy.tokenizer
    name = tokenizer.encode("zipfile_entry", add_special_tokens=False)
    for line in ("zipfile_entry", "(zipfile_entry)", "x=zipfile_entry+1", ".zipfile_entry["):
        ids = tokenizer.encode(line, add_special_tokens=False)
        assert any(ids[i : i + len(name)] == name for i in range(len(ids))), line


def test_every_line_comes_back_from_its_tokens(policy, library_tasks):
    for task in library_tasks:
        ids = policy.tokenizer.encode(policy.format.completion(task), add_special_tokens=False)
        assert policy.edit(task, [*ids, *policy.end_tokens]).strip() == task.target.strip()


def test_the_tokenizer_does_not_depend_on_the_order_of_its_texts(library_tasks):
    texts = [task.region for task in library_tasks]
    one, other = (train_tokenizer(t, ["<old>"], 400) for t in (texts, texts[::-1]))
    assert one.get_vocab() == other.get_vocab()


def test_the_mixture_has_its_shares_and_repeats_under_a_seed(library_tasks):
    targets = undecided_targets(library_tasks, seed=0)
    assert targets == undecided_targets(library_tasks, seed=0)
    ways = {
        "unchanged": sum(target == t.region for target, t in zip(targets, library_tasks, strict=True)),
        "repeated": sum(target == repeated_history(t) for target, t in zip(targets, library_tasks, strict=True)),
    }
    for way, count in ways.items():
        assert count / len(targets) == pytest.approx(SHARES[way], abs=0.08)


def test_a_short_run_decides_it(library_tasks, tmp_path):
    rows = [
        dataclasses.replace(task, split="train" if i < TRAINED else "test_ood").to_row()
        for i, task in enumerate(library_tasks)
    ]
    data = tmp_path / "tasks.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = load_config(
        data=str(data), steps=14, eval_every=14, checkpoint_every=14, warmup_steps=2, schedule="constant", device="cpu"
    )
    train(config, tmp_path, "cpu")
    before, after = (json.loads(line) for line in (tmp_path / "evals.jsonl").read_text().splitlines())
    assert 0.05 < before["em"] < 0.35
    assert after["em"] > before["em"] + 0.2
    metrics = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert sum(row["reward"] for row in metrics[-5:]) > 1.15 * sum(row["reward"] for row in metrics[:5])


def test_the_tokenizer_is_loaded_as_it_was_saved(policy, tmp_path):
    saved = json.loads((files("gapo_trainer") / "assets" / "tiny_model" / "tokenizer.json").read_text())
    policy.tokenizer.save_pretrained(tmp_path)
    loaded = json.loads((tmp_path / "tokenizer.json").read_text())
    assert loaded == saved
    assert saved["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"].startswith("[A-Za-z]+")
