"""SkyRL's registry and advantage step, on stand-ins.

They mirror SkyRL at commit a9564572: ``AdvantageEstimatorRegistry`` (register, unregister, get, list_available) and
``compute_advantages_and_returns`` of skyrl/backends/skyrl_train/utils/ppo_utils.py, the two calls of the latter in
skyrl/train/trainer.py, and the padding of skyrl/backends/skyrl_train/training_batch.py: row 0 again, under ``pad{i}``.
"""

import functools
import math
import pickle
import sys
import types

import numpy as np
import pytest
import torch

import gapo_kernels
from gapo_kernels.adapters import skyrl
from gapo_kernels.adapters.rows import sum_rows

UIDS = ["q7", "q1", "q7", "q1", "q7", "q7", "q1", "q2"]
REWARDS = torch.tensor([0.1, 0.5, 0.9, 1.0, 0.2, 0.3, 0.5, 0.7])
EXPECTED = gapo_kernels.advantage_by_id(REWARDS, UIDS)


class Registry:
    functions: dict

    @classmethod
    def register(cls, name, func):
        if name in cls.functions:
            raise ValueError(f"advantage estimator '{name}' already registered")
        cls.functions[name] = pickle.loads(pickle.dumps(func))  # SkyRL hands it to other processes

    @classmethod
    def unregister(cls, name):
        del cls.functions[name]

    @classmethod
    def get(cls, name):
        return cls.functions[name]

    @classmethod
    def list_available(cls):
        return list(cls.functions)


@pytest.fixture
def registry(monkeypatch):
    Registry.functions = {"grpo": print}
    path = ""
    for part in ["skyrl", "backends", "skyrl_train", "utils", "ppo_utils"]:
        path = f"{path}.{part}".lstrip(".")
        monkeypatch.setitem(sys.modules, path, types.ModuleType(path))
    sys.modules[path].AdvantageEstimatorRegistry = Registry
    return Registry


def step(rewards=REWARDS, uids=UIDS, mask=None, name="gapo", grpo_norm_by_std=True):
    """``compute_advantages_and_returns`` of SkyRL, with all that it passes on."""
    token_rewards = torch.zeros(len(rewards), 4)
    token_rewards[:, 2] = rewards
    advantages, returns = Registry.get(name)(
        token_level_rewards=token_rewards,
        response_mask=torch.tensor([1, 1, 1, 0]).repeat(len(rewards), 1) if mask is None else mask,
        index=uids,
        values=None,
        grpo_norm_by_std=grpo_norm_by_std,
        gamma=1.0,
        lambd=1.0,
        config=None,
    )
    assert torch.equal(advantages, returns)
    return advantages


def test_one_step(registry):
    skyrl.register()
    assert torch.equal(step(), EXPECTED.unsqueeze(1) * torch.tensor([1, 1, 1, 0]))


def test_step_wise_training(registry):
    """There the last steps alone are passed, uids as an array of strings, and a mask of ones in float."""
    skyrl.register()
    assert torch.equal(step(uids=np.array(UIDS), mask=torch.ones(8, 4))[:, 3], EXPECTED)


def test_padding_rows_are_finite_and_touch_no_group(registry):
    skyrl.register()
    padded = step(torch.cat([REWARDS, REWARDS[[0, 0]]]), [*UIDS, "pad0", "pad1"])
    assert torch.equal(padded[:8], step())
    assert padded.isfinite().all()


def test_settings(registry):
    skyrl.register("gapo_wide", tau=0.75, center="hdi_mean")
    expected = gapo_kernels.advantage_by_id(REWARDS, UIDS, tau=0.75, center="hdi_mean")
    assert torch.equal(step(name="gapo_wide")[:, 0], expected)
    with pytest.raises(ValueError, match=r"^gapo expects estimator, .*, got 'tua'$"):
        skyrl.register("gapo_wrong", tua=0.5)
    assert registry.list_available() == ["grpo", "gapo_wide"]


def test_the_switch_of_dr_grpo(registry):
    skyrl.register()
    expected = gapo_kernels.advantage_by_id(REWARDS, UIDS, scale="none")
    assert torch.equal(step(grpo_norm_by_std=False)[:, 0], expected)
    skyrl.register(scale="mad")
    with pytest.raises(ValueError, match=r"^gapo\.scale expects none .* while trainer\.algorithm\.grpo_norm_by_std"):
        step(grpo_norm_by_std=False)


def test_registering_again_replaces_and_a_name_of_somebody_else_is_refused(registry):
    skyrl.register()
    skyrl.register(scale="none")
    assert torch.equal(step()[:, 0], gapo_kernels.advantage_by_id(REWARDS, UIDS, scale="none"))
    with pytest.raises(ValueError, match=r"^name expects one that SkyRL does not know yet, got 'grpo'$"):
        skyrl.register("grpo")
    assert registry.get("grpo") is print


def test_a_row_that_could_not_be_scored_is_left_out(registry):
    skyrl.register()
    scored = step(torch.tensor([0.1, math.nan, 0.9, 0.2]), ["a"] * 4)[:, 0]
    without = gapo_kernels.advantage(torch.tensor([0.1, 0.9, 0.2]))
    assert torch.equal(scored, torch.tensor([without[0], 0, without[1], without[2]]))


def test_metrics():
    token_rewards = torch.zeros(8, 4)
    token_rewards[:, 1] = REWARDS
    found = skyrl.metrics(token_rewards, UIDS, settings={"tau": 1.0})
    assert found["gapo/groups"] == 3
    assert found["gapo/frac_degenerate_groups"] == pytest.approx(1 / 3)
    assert found["gapo/window_width"] == pytest.approx((0.8 + 0.5) / 2)


def test_metrics_know_the_switch_and_what_could_not_be_scored():
    rewards = torch.zeros(4, 2)
    rewards[:, 1] = torch.tensor([0.1, math.nan, 0.9, 0.2])
    found = skyrl.metrics(rewards, ["a"] * 4, grpo_norm_by_std=False)
    assert (found["gapo/frac_unscorable"], found["gapo/frac_nan_groups"], found["gapo/scale"]) == (1 / 4, 0, 1)
    expected = gapo_kernels.advantage(torch.tensor([0.1, 0.9, 0.2]), scale="none").abs().mean().item()
    assert found["gapo/advantage_abs_mean"] == pytest.approx(expected)


def test_a_partial_of_somebody_else_is_refused(registry):
    registry.functions["theirs"] = functools.partial(print)
    with pytest.raises(ValueError, match=r"^name expects one that SkyRL does not know yet, got 'theirs'$"):
        skyrl.register("theirs")


def test_rows_are_summed_in_the_precision_of_the_op():
    rewards = sum_rows(torch.tensor([[256.0, 1.0, 1.0]], dtype=torch.bfloat16))
    assert rewards.dtype == torch.float32
    assert rewards.tolist() == [258.0]
    assert sum_rows(torch.ones(150, 3)).tolist() == [3.0] * 150
    assert sum_rows(torch.ones(0, 3)).shape == (0,)


def test_metrics_are_of_the_advantages_that_are_trained(registry):
    """The op sums in float64: in float32 a large entry, taken back later, would swallow the small one beside it."""
    skyrl.register(center="mean", scale="none")
    token_rewards = torch.tensor([[3e8, reward, -3e8] for reward in (0.0, 1.0, 2.0, 5.0)])
    trained, _ = registry.get("gapo")(token_rewards, torch.ones(4, 3), ["a"] * 4)
    found = skyrl.metrics(token_rewards, ["a"] * 4, settings={"center": "mean", "scale": "none"})
    assert trained[:, 0].tolist() == [-2, -1, 0, 3]
    assert (found["gapo/center"], found["gapo/advantage_abs_mean"]) == (2, 1.5)


def test_it_divides_unless_told_otherwise():
    token_rewards = REWARDS.unsqueeze(1)
    advantages, _ = skyrl.advantage(token_rewards, torch.ones(8, 1), UIDS)
    assert torch.equal(advantages[:, 0], EXPECTED)
    scale = gapo_kernels.advantage_stats(REWARDS[[0, 2, 4, 5]]).scale
    assert skyrl.metrics(token_rewards[[0, 2, 4, 5]], ["a"] * 4)["gapo/scale"] == pytest.approx(scale.item())
