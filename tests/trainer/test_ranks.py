"""Two processes that share every group train as one process does."""

import io
import json
import math
import os
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing import spawn
from transformers import AutoModelForCausalLM, Gemma3Config, GPT2Config, LlamaConfig, MixtralConfig

from gapo_trainer import ranks
from gapo_trainer.config import to_yaml
from gapo_trainer.errors import UserError
from gapo_trainer.train import train

STEPS = 3
LAYERS = {"num_hidden_layers": 3, "hidden_size": 16, "num_attention_heads": 2, "vocab_size": 32}


def run_ranks(config, folder):
    file = folder / "given.yaml"
    file.write_text(to_yaml(config))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    done = subprocess.run(
        [*launcher, "-m", "gapo_trainer.cli", "run", "--config", str(file), f"out={folder / 'run'}"],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def metrics_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_all_ranks_join_by_the_same_backends(device, monkeypatch):
    joined, chosen, left = [], [], []
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setattr(ranks.torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(ranks.dist, "init_process_group", joined.append)
    monkeypatch.setattr(ranks.dist, "destroy_process_group", lambda: left.append(own))
    for rank in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", rank)
        with pytest.raises(UserError), ranks.process_group(device) as own:
            raise UserError("what ends a run")
    assert chosen == left == ["cuda:0", "cuda:1"]
    assert joined == ["cpu:gloo,cuda:nccl"] * 2


def share_with_another(rank, store):
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    given = torch.tensor([rank, 1.0])
    assert ranks.total(given).tolist() == [1, 2]
    assert given.tolist() == [rank, 1]
    assert [ranks.largest(value) for value in (rank, -rank, -math.inf)] == [1, 0, -math.inf]
    assert ranks.gathered([rank, "row"]) == [0, "row", 1, "row"]
    assert ranks.agreed(f"of rank {rank}") == "of rank 0"
    assert ranks.own_rows(6) == (slice(0, 3), slice(3, 6))[rank]
    with pytest.raises(UserError, match="group_size expects a multiple of the 2 processes, got 7"):
        ranks.own_rows(7)
    ranks.leave(0)


def test_what_two_ranks_share(tmp_path):
    spawn(share_with_another, (tmp_path / "store",), nprocs=2)


def test_the_last_call_ends_with_its_output_and_status(monkeypatch):
    ended, out = [], io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out))
    monkeypatch.setattr(os, "_exit", lambda status: ended.append((status, out.getvalue())))
    print("done")
    ranks.leave(3)
    assert ended == [(3, b"done\n")]


def test_a_model_is_sharded_layer_by_layer(monkeypatch):
    sharded = []
    monkeypatch.setattr(ranks, "world_size", lambda: 2)
    monkeypatch.setattr(ranks, "init_device_mesh", lambda device, shape: shape)
    monkeypatch.setattr(ranks, "fully_shard", lambda module, mesh: sharded.append(module))
    model = AutoModelForCausalLM.from_config(LlamaConfig(**LAYERS, intermediate_size=16, num_key_value_heads=1))
    ranks.shard(model)
    assert sharded == [*model.model.layers, model]


# uneven shares of distinct rows, several updates a rollout, and every term of the loss
SETTINGS = {
    "mini_batches": 2, "epochs": 2, "kl_coef": 0.01, "entropy_coef": 0.01, "micro_batch": 1, "loss": "token",
    "dynamic_sampling": True,
}  # fmt: skip


def test_two_ranks_have_the_losses_of_one(small, tmp_path):
    config = small(steps=STEPS, lr=1e-3, checkpoint_every=STEPS, **SETTINGS)
    run_ranks(config, tmp_path)
    (tmp_path / "one").mkdir()
    train(config, tmp_path / "one", "cpu")
    one, two = metrics_of(tmp_path / "one"), metrics_of(tmp_path / "run")
    assert len(one) == len(two) == STEPS
    for a, b in zip(one, two, strict=True):
        for name in ("loss", "grad_norm", "reward", "sum_advantage", "kl", "completion_tokens"):
            assert b[name] == pytest.approx(a[name], rel=1e-5, abs=1e-5), (name, a["step"])


def test_what_fails_on_another_rank_is_told(small, tmp_path):
    (tmp_path / "on_one.py").write_text(
        "import os\n"
        "def score(completion, target):\n"
        "    if os.environ['RANK'] == '1': raise RuntimeError('no judge here')\n"
        "    return float(len(completion))\n"
    )
    out = run_ranks(small(steps=1, reward="on_one:score"), tmp_path)
    assert "reward: a first completion failed: RuntimeError: no judge here" in out
    assert "reward: 8 completions failed and 0 ran out of time, of 16; the first: RuntimeError" in " ".join(out.split())


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(n_layer=3, n_embd=16, n_head=2, vocab_size=32),  # which calls them h
        LlamaConfig(**LAYERS, intermediate_size=16, num_key_value_heads=1),
        MixtralConfig(**LAYERS, intermediate_size=16, num_key_value_heads=1, num_local_experts=3),
        Gemma3Config(  # which sees, with as many layers
            text_config={**LAYERS, "intermediate_size": 16, "num_key_value_heads": 1, "head_dim": 8},
            vision_config={**LAYERS, "intermediate_size": 16, "image_size": 28, "patch_size": 14},
            mm_tokens_per_image=4,
        ),
    ],
    ids=lambda config: config.model_type,
)
def test_layers_are_found_whatever_they_are_called(config):
    model = AutoModelForCausalLM.from_config(config)
    layers = ranks.decoder_layers(model)
    assert len(layers) == 3
    for layer in layers:
        assert any("attn" in name for name, _ in layer.named_children())
        assert "Encoder" not in type(layer).__name__
    decoder = model.get_decoder()
    others = {f"other_{count}": torch.nn.ModuleList([torch.nn.Identity()] * count) for count in (2, 4)}
    decoder._modules = {**others, **decoder._modules}  # as the embeddings of a model with several
    assert ranks.decoder_layers(model) is layers
    model.config.get_text_config().num_hidden_layers = 5
    assert len(ranks.decoder_layers(model)) == 0
