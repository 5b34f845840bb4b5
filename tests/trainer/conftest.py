"""A tiny random policy and a handful of tasks: everything here runs in seconds on one core, from files alone."""

import json
import resource
from contextlib import contextmanager

import pytest
import torch

from gapo_trainer.config import Config, load_config, to_yaml
from gapo_trainer.data.formats import COMPACT_MARKS
from gapo_trainer.data.task import Hunk, Task
from gapo_trainer.tiny_model.pretrain import new_model
from gapo_trainer.tiny_model.tokenizer import EOS, PAD, train_tokenizer

NAMES = ("alpha", "beta", "gamma", "delta", "omega", "kappa", "sigma", "theta")


def make_task(index: int, split: str) -> Task:
    """Rename one name in a line, as the history did in another."""
    old, new = NAMES[index % 8], NAMES[(index * 3 + 1) % 8]
    return Task(
        id=f"{split}-{index}", repo="example/names", license="MIT", lang="python" if index % 3 else "go",
        path=f"m{index}.py", commit="", time=0, split=split,
        history=(Hunk(f"m{index}.py", f"@@ -1 +1 @@\n-{old} = {index}\n+{new} = {index}\n"),),
        prefix="", region=f"print({old})\n", suffix="", target=f"print({new})\n",
    )  # fmt: skip


@pytest.fixture(scope="session")
def tasks() -> list[Task]:
    counts = {"train": 24, "test_id": 8, "test_ood": 8}
    return [make_task(i, split) for split, count in counts.items() for i in range(count)]


@pytest.fixture(scope="session")
def task_file(tasks, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("data") / "tasks.jsonl"
    path.write_text("".join(json.dumps(task.to_row()) + "\n" for task in tasks))
    return str(path)


@pytest.fixture(scope="session")
def model_folder(tasks, tmp_path_factory) -> str:
    """A random policy with its tokenizer, as a folder that transformers loads."""
    tokenizer = train_tokenizer([t.region + t.target for t in tasks], list(COMPACT_MARKS), 320)
    torch.manual_seed(0)
    vocabulary = tokenizer.get_vocab()
    model = new_model(len(tokenizer), vocabulary[PAD], vocabulary[EOS])
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def small(model_folder, task_file):
    """Settings of a run that takes a second a step; keyword arguments change them."""

    def settings(**changed) -> Config:
        base = {
            "model": model_folder, "data": task_file, "group_size": 8, "prompts_per_step": 2, "micro_batch": 4,
            "max_new_tokens": 8, "steps": 4, "checkpoint_every": 2, "eval_every": 2, "groups_every": 2, "device": "cpu",
        }  # fmt: skip
        return load_config(**(base | changed))

    return settings


@pytest.fixture
def files_of_at_most():
    """A context in which every file ends at so many bytes, as on a full disk."""

    @contextmanager
    def limited(size: int):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture(autouse=True)
def one_thread(one_thread):
    """Small models gain nothing from threads, and sums have one order."""


@pytest.fixture
def config_file(small, tmp_path):
    file = tmp_path / "given.yaml"
    file.write_text(to_yaml(small()))
    return str(file)
