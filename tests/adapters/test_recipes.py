"""The recipes of docs/adapters do what they say, on stand-ins for the lines of the frameworks that they change.

The stand-ins mirror OpenRLHF at commit 3c3be623, prime-rl at 559b4477, NeMo-RL at 7ea279ab, AReaL at 4aef98d8 and
ms-swift at 3602360a.
"""

import re
import subprocess
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import gapo_kernels

DOCS = Path(__file__).parents[2] / "docs" / "adapters"
REWARDS = torch.tensor([[0.1, 0.9, 0.2, 0.3], [0.0, 0.0, 1.0, 1.0]])
UNSCORABLE = REWARDS.clone()
UNSCORABLE[0, 1] = torch.nan
WITHOUT_IT = gapo_kernels.advantage(REWARDS, valid=~UNSCORABLE.isnan())

OPENRLHF = """import torch
def score(rewards, estimator):
        if estimator == "group_norm":
            rewards = (rewards - rewards.mean(-1, keepdim=True)) / (rewards.std(-1, keepdim=True) + 1e-9)
        return rewards
"""
PRIME_RL = """from __future__ import annotations

import torch
def score(rewards, length_penalty):
        if length_penalty is None:
            advantages = rewards - rewards.mean()
        else:
            shaped_rewards = rewards - length_penalty
            advantages = shaped_rewards - shaped_rewards.mean()
        return advantages
"""


def patched(page, source, folder):
    """The functions of ``source`` after the page's sed command."""
    (command,) = re.findall(r"^sed .*$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)
    file = folder / "source.py"
    file.write_text(source)
    subprocess.run(["bash", "-c", command], env={"FILE": str(file), "PATH": "/usr/bin:/bin"}, check=True)
    text = file.read_text()
    assert sum("gapo_kernels" in line for line in text.splitlines()) == 2
    names = {}
    exec(compile(text, page, "exec"), names)
    return names["score"]


def test_openrlhf(tmp_path):
    score = patched("openrlhf.md", OPENRLHF, tmp_path)
    assert torch.equal(score(REWARDS, "group_norm"), gapo_kernels.advantage(REWARDS))
    assert torch.equal(score(UNSCORABLE, "group_norm"), WITHOUT_IT)
    assert torch.equal(score(REWARDS, "reinforce"), REWARDS)


def test_prime_rl(tmp_path):
    score = patched("prime_rl.md", PRIME_RL, tmp_path)
    assert torch.equal(score(REWARDS[0], None), gapo_kernels.advantage(REWARDS[0]))
    assert torch.equal(score(REWARDS[0, :1], None), torch.zeros(1))
    assert torch.equal(score(UNSCORABLE[0], None), WITHOUT_IT[0])
    assert torch.equal(score(REWARDS[0], 0.5), REWARDS[0] - 0.5 - (REWARDS[0] - 0.5).mean())


@pytest.fixture
def modules(monkeypatch):
    """Makes modules of those names importable, and runs a page's Python block."""

    def make(name, **contents):
        parents = name.split(".")
        for end in range(1, len(parents) + 1):
            path = ".".join(parents[:end])
            module = types.ModuleType(path)
            monkeypatch.setitem(sys.modules, path, module)
            if end > 1:
                setattr(sys.modules[path.rpartition(".")[0]], parents[end - 1], module)
        vars(sys.modules[name]).update(contents)
        return sys.modules[name]

    return make


def run_block(page):
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(block, page, "exec"), {})


def test_nemo_rl(modules):
    grpo = modules("nemo_rl.algorithms.grpo", _create_advantage_estimator=lambda master_config: "its own")
    run_block("nemo_rl.md")

    def create(**config):
        return grpo._create_advantage_estimator(
            SimpleNamespace(grpo=SimpleNamespace(adv_estimator=SimpleNamespace(**config)))
        )

    assert create(name="grpo") == "its own"
    estimator = create(name="gapo", gapo={"tau": 1.0}, normalize_rewards=True)
    advantages = estimator.compute_advantage(torch.zeros(4, 2, dtype=torch.int64), REWARDS[0], torch.ones(4, 3))
    assert torch.equal(advantages[:, 0], gapo_kernels.advantage(REWARDS[0], tau=1.0))


def test_areal(modules):
    """In its default mode AReaL's workers import the engine's class by its module's name and its own."""

    class PPOActor:
        def compute_advantages(self, data):
            return self.reward_norm(torch.cat([prompt["rewards"] for prompt in data]))

    class FSDPPPOActor:
        def __init__(self, config):
            self.actor = PPOActor()

        def compute_advantages(self, *args, **kwargs):
            return self.actor.compute_advantages(*args, **kwargs)

    engine = modules("areal.engine", FSDPPPOActor=FSDPPPOActor)
    modules("areal.engine.fsdp_engine", FSDPPPOActor=FSDPPPOActor)
    sys.modules["areal.engine"] = sys.modules["areal"].engine = engine
    run_block("areal.md")
    assert engine.FSDPPPOActor is not FSDPPPOActor
    groups = [torch.rand(size, generator=torch.Generator().manual_seed(size)) for size in (16, 12)]
    result = engine.FSDPPPOActor(None).compute_advantages([{"rewards": group} for group in groups])
    assert torch.equal(result, torch.cat([gapo_kernels.advantage(group) for group in groups]))


def test_ms_swift(modules):
    """Its trainer's call, and what it trains on: the advantages of all ranks, and the rewards for its log."""
    trainer = modules("swift.rlhf_trainers.grpo_trainer", compute_advantages=None, compute_advantages_dynamic=len)
    sys.modules["swift.rlhf_trainers"].grpo_trainer = trainer
    run_block("ms_swift.md")
    per_function = torch.stack([REWARDS.flatten(), torch.ones(8)], dim=1)
    per_function[2] = torch.nan  # no function scored it
    per_function[5, 1] = torch.nan
    given = {"rewards_per_func": per_function, "reward_weights": torch.tensor([1.0, 0.5]), "num_generations": 4}
    summed = torch.tensor([0.6, 1.4, 0.0, 0.8, 0.5, 0.0, 1.5, 1.5])
    valid = torch.arange(8).view(2, 4) != 2
    advantages, rewards = trainer.compute_advantages(**given)
    torch.testing.assert_close(rewards, summed)
    assert torch.equal(advantages, gapo_kernels.advantage(rewards.view(2, 4), valid=valid).flatten())
    kl = {"kl_in_reward": True, "beta": 0.5, "kl_values": torch.full((8,), 0.2)}
    torch.testing.assert_close(trainer.compute_advantages(**given, **kl)[1], summed - 0.1)
    assert trainer.compute_advantages_dynamic is None
    with pytest.raises(ValueError, match="not rloo scaled by group"):
        trainer.compute_advantages(**given, advantage_estimator="rloo")
