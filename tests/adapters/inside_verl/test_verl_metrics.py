"""verl's own metrics carry the statistics of the groups that were scored, once a batch."""

import math

import pytest

pytest.importorskip("verl.trainer.ppo.core_algos", reason="needs verl: make test-adapters-verl")

import torch
from verl.trainer.ppo import metric_utils, ray_trainer
from verl_batches import LENGTH, make_batch

REWARDS, UIDS = [0, 0, 0, 1, 0.5, 0.5], ["a", "a", "a", "a", "b", "b"]


def metrics_of(batch, estimator, config=None):
    ray_trainer.compute_advantage(batch, estimator, config=config)
    tensors = batch.batch
    tensors["token_level_scores"] = tensors["token_level_rewards"]
    tensors["responses"] = torch.zeros(len(batch), LENGTH, dtype=torch.int64)
    tensors["prompts"] = torch.zeros(len(batch), 2, dtype=torch.int64)
    tensors["attention_mask"] = torch.cat([tensors["prompts"] + 1, tensors["response_mask"]], 1)
    tensors["prompt_length"] = torch.full((len(batch),), 2.0)
    tensors["response_length"] = tensors["response_mask"].sum(-1).float()
    return ray_trainer.compute_data_metrics(batch=batch, use_critic=False)


def test_the_statistics_are_logged_once():
    metrics = metrics_of(make_batch(REWARDS, UIDS), "gapo")
    assert metrics["critic/advantages/max"] > 1  # verl's own are still there
    assert metrics["gapo/center"] == pytest.approx((0 + 0.5) / 2)
    assert metrics["gapo/frac_zero_advantage"] == pytest.approx(5 / 6)
    assert metrics["gapo/frac_degenerate_groups"] == 0.5
    assert metrics["gapo/advantage_sum"] == pytest.approx(3**0.5, rel=1e-4)
    again = metrics_of(make_batch(REWARDS, UIDS), "grpo")
    assert not [key for key in again if key.startswith("gapo/")]


def test_they_follow_the_settings():
    batch = make_batch(REWARDS, UIDS)
    assert metrics_of(batch, "gapo", config={"gapo": {"center": "none"}})["gapo/center"] == pytest.approx(0.5 / 2)
    assert metrics_of(batch, "gapo", config={"gapo": {"center": "mean"}})["gapo/center"] == pytest.approx(0.75 / 2)


def test_padding_rows_are_not_counted():
    """verl's v1 trainer fills a batch up with rows of reward 0 and no token to train, under a uid of their own."""
    batch = make_batch([*REWARDS, 0, 0], [*UIDS, "pad", "pad"])
    batch.batch["response_mask"][6:] = 0
    metrics = metrics_of(batch, "gapo")
    assert metrics["gapo/groups"] == 2
    assert metrics["gapo/frac_zero_advantage"] == pytest.approx(5 / 6)


def test_rows_that_rejection_sampling_masks_count_in_their_group():
    """They have had their part in Q; the statistics are those of the advantages that are trained."""
    batch = make_batch([0, 0, 0.5, 1], ["a"] * 4)
    batch.batch["response_mask"][:2] = 0
    metrics = metrics_of(batch, "gapo")
    assert metrics["gapo/center"] == 0
    assert metrics["gapo/advantage_sum"] == pytest.approx(0.775 + 1.549, abs=1e-3)
    assert metrics["gapo/group_size"] == 4


def test_a_row_counts_whichever_of_its_tokens_is_trained():
    batch = make_batch(REWARDS, UIDS)
    batch.batch["response_mask"] = torch.eye(len(UIDS), LENGTH, dtype=torch.int64)
    assert metrics_of(batch, "gapo")["gapo/groups"] == 2
    assert ray_trainer.compute_advantage(batch, "gapo").batch["advantages"][3, 3] > 1


def test_the_wrapper_keeps_the_functions_name():
    assert ray_trainer.compute_data_metrics is metric_utils.compute_data_metrics
    assert metric_utils.compute_data_metrics.__name__ == "compute_data_metrics"


def test_an_infinite_reward_is_scorable():
    """Its group's advantages are NaN, and the log says so: nothing was left out."""
    batch = make_batch([math.inf, 0, 1, 1], ["a"] * 4)
    metrics = metrics_of(batch, "gapo")
    assert batch.batch["advantages"][0, 0].isnan()
    assert (metrics["gapo/frac_nan_groups"], metrics["gapo/frac_unscorable"]) == (1, 0)


def test_a_row_that_could_not_be_scored_is_counted():
    metrics = metrics_of(make_batch([0.1, math.nan, 0.9, 0.2], ["a"] * 4), "gapo")
    assert (metrics["gapo/frac_unscorable"], metrics["gapo/frac_nan_groups"]) == (1 / 4, 0)


def test_they_are_of_the_rewards_that_are_trained():
    """The op sums a row in float64: in float32 a large entry, taken back later, would swallow the small one."""
    batch = make_batch([0.0] * 4, ["a"] * 4)
    batch.batch["token_level_rewards"] = torch.tensor([[3e8, reward, -3e8] for reward in (0.0, 1.0, 2.0, 5.0)])
    batch.batch["token_level_rewards"] = torch.nn.functional.pad(batch.batch["token_level_rewards"], (0, LENGTH - 3))
    metrics = metrics_of(batch, "gapo", config={"gapo": {"center": "mean", "scale": "none"}})
    assert batch.batch["advantages"][:, 0].tolist() == [-2, -1, 0, 3]
    assert (metrics["gapo/center"], metrics["gapo/advantage_abs_mean"]) == (2, 1.5)
