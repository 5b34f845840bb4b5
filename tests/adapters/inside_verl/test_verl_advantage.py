"""Inside verl, through its own compute_advantage: the advantages are the op's, whatever the groups look like."""

import math

import pytest

pytest.importorskip("verl.trainer.ppo.core_algos", reason="needs verl: make test-adapters-verl")

import numpy as np
import torch
from golden_cases import CASES, ESTIMATORS, assert_golden, needs_golden
from verl.trainer.ppo.ray_trainer import compute_advantage
from verl_batches import advantages_of, make_batch, ragged_batch, reference_advantages


@needs_golden
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['case']}-{case['kind']}")
def test_the_golden_cases(case):
    rewards = case["rewards"].float()
    mask = torch.tensor([1, 1, 0]).expand(len(rewards), 3)
    batch = make_batch(rewards, [f"uid-{group}" for group in case["group"].tolist()])
    batch.batch["response_mask"] = mask.clone()
    batch.batch["token_level_rewards"] = torch.stack([torch.zeros_like(rewards), rewards, torch.zeros_like(rewards)], 1)
    config = {"gapo": {"tau": case["tau"]}, "norm_adv_by_std_in_grpo": case["normalize"]}
    assert_golden(advantages_of(batch, ESTIMATORS[case["center"]], config=config), case["advantage"])


@pytest.mark.parametrize("mask_dtype", [torch.int64, torch.bool, torch.float32])
@pytest.mark.parametrize("estimator", ["gapo", "gapo_mean"])
def test_ragged_unordered_groups(estimator, mask_dtype):
    batch = ragged_batch(mask_dtype=mask_dtype)
    given = batch.batch["token_level_rewards"].clone()
    expected = reference_advantages(batch, estimator)
    assert torch.allclose(advantages_of(batch, estimator), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(batch.batch["token_level_rewards"], given)
    constant = batch.non_tensor_batch["uid"] == "00000002-uid"
    assert (expected[torch.from_numpy(constant)] == 0).all()


def test_any_kind_of_uid():
    batch = ragged_batch()
    expected = advantages_of(batch, "gapo")
    uids = batch.non_tensor_batch["uid"]
    for same in (np.unique(uids.astype(str), return_inverse=True)[1], uids.astype(str)):
        batch.non_tensor_batch["uid"] = same
        assert torch.equal(advantages_of(batch, "gapo"), expected)


def test_the_family_serves_verls_own_grpo():
    """The same numbers as verl's grpo, from one setting: the plug-in is fed what verl feeds its own."""
    batch = ragged_batch()
    ours = advantages_of(batch, "gapo", config={"gapo": {"estimator": "grpo"}})
    theirs = advantages_of(batch, "grpo")
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert advantages_of(make_batch([0.1] * 8, ["a"] * 8), "grpo").abs().min() > 0.001  # rounding of verl's mean
    assert (advantages_of(make_batch([0.1] * 8, ["a"] * 8), "gapo") == 0).all()


def test_a_row_that_could_not_be_scored_is_left_out():
    rewards = [0.1, 0.4, math.nan, 0.9, 0.3, 0.8]
    uids = ["a", "a", "a", "a", "b", "b"]
    scored = advantages_of(make_batch(rewards, uids), "gapo")
    without = advantages_of(make_batch([r for r in rewards if r == r], ["a", "a", "a", "b", "b"]), "gapo")
    assert scored[2] == 0
    assert torch.allclose(scored[[0, 1, 3, 4, 5]], without, rtol=1e-6)
    assert advantages_of(make_batch([math.nan] * 2, ["a", "a"]), "gapo").tolist() == [0, 0]


def test_a_binary_group_is_one_sided():
    """At most half correct: Q = 0 and wrong answers get exactly 0; three quarters correct: Q = 1, correct ones do."""
    half = advantages_of(make_batch([0, 0, 0, 0, 1, 1, 1, 1], ["a"] * 8), "gapo")
    most = advantages_of(make_batch([0, 0, 1, 1, 1, 1, 1, 1], ["a"] * 8), "gapo")
    assert (half[:4] == 0).all()
    assert (half[4:] > 0).all()
    assert (most[:2] < 0).all()
    assert (most[2:] == 0).all()


def test_no_uid():
    batch = ragged_batch()
    del batch.non_tensor_batch["uid"]
    with pytest.raises(ValueError, match=r"^index expects the uid of each row .*, got None$"):
        advantages_of(batch, "gapo")


def test_no_tokens():
    batch = make_batch([0.1, 0.9], ["a"] * 2)
    for name in ("token_level_rewards", "response_mask"):
        batch.batch[name] = batch.batch[name][:, :0]
    assert compute_advantage(batch, "gapo").batch["advantages"].shape == (2, 0)
