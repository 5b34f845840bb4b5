"""A run on a CUDA device, in bfloat16."""

import json

import pytest
import torch

from gapo_trainer.cli import main
from gapo_trainer.config import to_yaml

pytest.importorskip("rapidfuzz", reason="the rewards need the trainer's extra, which a machine for kernels may lack")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_a_run_in_bfloat16(small, tmp_path):
    file = tmp_path / "given.yaml"
    file.write_text(to_yaml(small(device="cuda", dtype="bfloat16", mini_batches=2, kl_coef=0.01, entropy_coef=0.01)))
    assert main(["run", "--config", str(file), f"out={tmp_path / 'run'}"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    assert all(row["loss"] is not None and row["grad_norm"] > 0 and row["bad_updates"] == 0 for row in rows)


def test_a_gpu_starts_with_the_losses_of_a_cpu(small, tmp_path):
    losses = []
    for device in ("cpu", "cuda"):
        file = tmp_path / f"{device}.yaml"
        file.write_text(to_yaml(small(device=device, steps=1, temperature=0.5)))
        assert main(["run", "--config", str(file), f"out={tmp_path / device}"]) == 0
        losses.append(json.loads((tmp_path / device / "metrics.jsonl").read_text())["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
