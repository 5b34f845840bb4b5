"""The advantages that TRL trains on are those of the reference, whatever its reward functions return."""

import pytest

pytest.importorskip("trl.trainer", reason="needs TRL: make test-adapters-trl")

import torch
from trl import GRPOConfig, GRPOTrainer
from trl_runs import Rewards, assert_advantages, make_trainer, reference_advantages

from gapo_kernels import ESTIMATORS

# Two groups of four: one with an outlier, one with a tie.
PLAIN = [0.1, 0.9, 0.2, 0.3, 1.0, 1.0, 0.0, 0.5]
NONE = None


def scored(folder, rewards, **options):
    """The batch of one step whose rewards are given."""
    trainer = make_trainer(folder, rewards, **{"max_steps": 1} | options)
    trainer.train()
    (batch,) = trainer.batches["train"]
    return trainer, batch


def unshuffled(trainer, batch):
    """The batch's advantages are of this step's rewards, in their order: TRL shuffles a copy."""
    assert list(trainer._logs["advantages"]) == batch["advantages"].tolist()
    return batch


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tau": 0.8},
        {"tau": 0.8, "center": "hdi_mean", "scale": "mad", "eps": 0.1},
        *({"estimator": name} for name in ESTIMATORS if name != "gapo"),
    ],
    ids=str,
)
def test_every_setting_reaches_the_op(tmp_path, settings):
    trainer, batch = scored(tmp_path, [Rewards(table=PLAIN)], **settings)
    options = dict(settings)
    if "estimator" in options:
        options |= ESTIMATORS[options.pop("estimator")]._asdict()
    assert_advantages(unshuffled(trainer, batch), reference_advantages([PLAIN], **options))


@pytest.mark.parametrize(
    ("gapo", "trl"),
    [({"estimator": "grpo", "eps": 1e-4}, {}), ({"estimator": "dr_grpo"}, {"scale_rewards": "none"})],
    ids=["grpo", "dr_grpo"],
)
@pytest.mark.parametrize(
    "table",
    [
        PLAIN,
        [0.25, NONE, 0.5, 1.0, NONE, NONE, NONE, NONE],  # left out of a group; a group of nothing
        [NONE, 3.0, NONE, NONE, 0.5, 0.5, 0.5, 0.5],  # the only one of a group; equal rewards
        [float("inf"), 0.0, 1.0, 2.0, 0.0, 1.0, -float("inf"), 0.0],
    ],
    ids=["plain", "unscorable", "lone", "infinite"],
)
def test_trls_own_estimators_are_met(tmp_path, gapo, trl, table):
    """With its estimator and epsilon the adapter changes nothing: what is unscorable, alone or infinite stays so."""

    class Theirs(GRPOTrainer):
        def _generate_and_score_completions(self, inputs):
            self.batch = super()._generate_and_score_completions(inputs)
            return self.batch

    theirs = make_trainer(tmp_path, [Rewards(table=table)], trainer=Theirs, config=GRPOConfig, max_steps=1, **trl)
    theirs.train()
    _, ours = scored(tmp_path, [Rewards(table=table)], **gapo, **trl)
    expected = theirs.batch["advantages"]
    if gapo["estimator"] == "dr_grpo":  # TRL has the largest float32 there, which nothing can train on
        expected = torch.where(expected.abs() > 1e30, 0.0, expected)
    torch.testing.assert_close(ours["advantages"], expected, rtol=2e-5, atol=2e-6)


def test_unscorable_completions_are_left_out(tmp_path):
    table = [0.1, NONE, 0.2, 0.9, NONE, 2.0, NONE, NONE]
    trainer, batch = scored(tmp_path, [Rewards(table=table)])
    assert_advantages(unshuffled(trainer, batch), reference_advantages([table]))
    assert batch["advantages"][[1, 4, 5, 6, 7]].tolist() == [0.0] * 5
    logged = trainer.state.log_history[0]
    assert logged["gapo/group_size"] == 1.5
    assert logged["gapo/frac_degenerate_groups"] == 0.5


def test_binary_rewards_are_one_sided(tmp_path):
    """A half correct leaves the wrong ones at 0; three quarters correct leave the correct ones there."""
    _, batch = scored(tmp_path, [Rewards(table=[1, 0, 1, 0, 1, 1, 1, 0])])
    half, most = batch["advantages"].view(2, 4)
    assert half[[1, 3]].tolist() == [0.0, 0.0]
    assert (half[[0, 2]] > 0).all()
    assert most[:3].tolist() == [0.0] * 3
    assert most[3] < 0


def test_several_functions_are_weighted_and_a_missing_one_does_not_count(tmp_path):
    first = [0.1, NONE, 0.2, 0.3, 1.0, NONE, 0.0, 0.5]
    second = [1.0, 2.0, NONE, 0.0, -1.0, NONE, 3.0, 2.5]
    functions = [Rewards("first", first), Rewards("second", second)]
    trainer, batch = scored(tmp_path, functions, reward_weights=[0.3, -2.0])
    assert_advantages(unshuffled(trainer, batch), reference_advantages([first, second], weights=[0.3, -2.0]))
    assert trainer._logs["rewards"]["second"][0] == 1.0
    assert trainer.state.log_history[0]["rewards/first/mean"] == pytest.approx(0.35)


def test_functions_that_disagree_without_bounds_score_nothing(tmp_path):
    """inf - inf: TRL leaves such a completion out of its baseline, too."""
    first, second = [float("inf"), *PLAIN[1:]], [-float("inf"), *[0.0] * 7]
    _, batch = scored(tmp_path, [Rewards("first", first), Rewards("second", second)])
    assert_advantages(batch, reference_advantages([[NONE, *PLAIN[1:]]]))


def test_an_asynchronous_function_is_scored(tmp_path):
    async def later(completion_ids, **kwargs):
        return PLAIN

    _, batch = scored(tmp_path, later)
    assert_advantages(batch, reference_advantages([PLAIN]))


def test_an_infinite_reward_never_trains_on_nan(tmp_path):
    inf = float("inf")
    for settings in ({}, {"scale": "none"}):
        trainer, batch = scored(tmp_path, [Rewards(table=[inf, 0.0, 1.0, 2.0, *PLAIN[4:]])], **settings)
        assert batch["advantages"].isfinite().all()
        assert batch["advantages"][0] == 0
        assert_advantages(
            {"advantages": batch["advantages"][4:]},
            reference_advantages([PLAIN[4:]], **settings),
        )
        assert all(weight.isfinite().all() for weight in trainer.model.parameters())
