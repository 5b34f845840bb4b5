"""Two processes that share every group train as one process does."""

import json
import os
import subprocess
import sys

import pytest

from gapo_trainer.config import to_yaml

STEPS = 3


def run(command, config, folder):
    file = folder / "given.yaml"
    file.write_text(to_yaml(config))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "-m", "gapo_trainer.cli", "run", "--config", str(file), f"out={folder / 'run'}"],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]


# uneven shares of distinct rows, several updates a rollout, and every term of the loss
SETTINGS = {
    "mini_batches": 2, "epochs": 2, "kl_coef": 0.01, "entropy_coef": 0.01, "micro_batch": 1, "loss": "token",
    "dynamic_sampling": True,
}  # fmt: skip


def test_two_ranks_have_the_losses_of_one(small, tmp_path):
    config = small(steps=STEPS, lr=1e-3, checkpoint_every=STEPS, **SETTINGS)
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    one = run([sys.executable], config, folders[0])
    two = run([sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"], config, folders[1])
    assert len(one) == len(two) == STEPS
    for a, b in zip(one, two, strict=True):
        for name in ("loss", "grad_norm", "reward", "sum_advantage", "kl", "completion_tokens"):
            assert b[name] == pytest.approx(a[name], rel=1e-5, abs=1e-5), (name, a["step"])
