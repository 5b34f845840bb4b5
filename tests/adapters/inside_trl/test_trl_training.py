"""Real trainings: what is trained on, buffered, evaluated, logged and resumed."""

import pytest

pytest.importorskip("trl.trainer", reason="needs TRL: make test-adapters-trl")

import pyarrow.parquet as pq
import torch
from transformers import Qwen2ForCausalLM
from trl import GRPOConfig, GRPOTrainer
from trl_runs import PROMPTS, Rewards, Watched, assert_advantages, make_trainer, reference_advantages, tiny_model

LOSS_TYPES = ("grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo")
METRICS = ("center", "scale", "window_width", "frac_zero_advantage", "frac_degenerate_groups", "advantage_sum")


def weights_of(trainer):
    return {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}


def assert_same_weights(first, second):
    assert all(torch.equal(first[name], weight) for name, weight in second.items())


def test_two_steps_train_on_the_replaced_advantages(tmp_path):
    rewards = Rewards()
    trainer = make_trainer(tmp_path, rewards)
    before = weights_of(trainer)
    trainer.train()
    assert len(rewards.calls) == 2
    assert len(set(map(tuple, rewards.calls))) == 2
    for given, batch in zip(rewards.calls, trainer.batches["train"], strict=True):
        assert_advantages(batch, reference_advantages([given]))
    assert any(not torch.equal(before[name], weight) for name, weight in weights_of(trainer).items())


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_the_loss_is_of_the_replaced_advantages(tmp_path, loss_type):
    """Every loss type: with all advantages at 0 the policy stands still, though the rewards differ; else it moves."""
    for table, moves in (([1, 1, 1, 0.9, 1, 1, 1, 1], True), ([0.5] * 8, False)):
        trainer = make_trainer(tmp_path, Rewards(table=table), loss_type=loss_type, max_steps=1)
        before = weights_of(trainer)
        trainer.train()
        moved = any(not torch.equal(before[name], weight) for name, weight in weights_of(trainer).items())
        assert moved == moves


def test_the_correct_do_not_move_where_trl_would_move_them(tmp_path):
    """One-sided advantages reach the loss: with the wrong answers' tokens masked away nothing is left to train on."""

    class OnlyTheCorrect:  # mixed in front of a trainer
        def _compute_loss(self, model, inputs):
            kept = inputs["completion_mask"].clone()
            kept[inputs["advantages"] < 0] = 0
            return super()._compute_loss(model, inputs | {"completion_mask": kept})

    table = [1.0, 1.0, 1.0, 0.0] * 2
    moved = {}
    for name, parent, config in (("ours", Watched, {}), ("theirs", GRPOTrainer, {"config": GRPOConfig})):
        kind = type(name, (OnlyTheCorrect, parent), {})
        trainer = make_trainer(tmp_path, Rewards(table=table), trainer=kind, max_steps=1, loss_type="grpo", **config)
        before = weights_of(trainer)
        trainer.train()
        moved[name] = any(not torch.equal(before[key], weight) for key, weight in weights_of(trainer).items())
    assert moved == {"ours": False, "theirs": True}


def test_accumulation_and_iterations_reuse_the_buffered_advantages(tmp_path):
    """One generation of 16 serves 2 x 2 steps of two micro-batches of 4."""
    rewards = Rewards()
    seen = []

    class Inputs:
        def _compute_loss(self, model, inputs):
            seen.append(inputs["advantages"].tolist())
            return super()._compute_loss(model, inputs)

    trainer = make_trainer(
        tmp_path,
        rewards,
        trainer=type("Kind", (Inputs, Watched), {}),
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        steps_per_generation=4,
        num_iterations=2,
        max_steps=8,
    )
    trainer.train()
    assert len(rewards.calls) == 2
    for given, batch in zip(rewards.calls, trainer.batches["train"], strict=True):
        assert len(given) == 16
        assert_advantages(batch, reference_advantages([given]))
    assert len(seen) == 16  # micro-batches
    for generation, batch in enumerate(trainer.batches["train"]):
        for iteration in range(2):
            start = 8 * generation + 4 * iteration
            trained = sorted(value for rows in seen[start : start + 4] for value in rows)
            assert trained == sorted(batch["advantages"].tolist())


def test_evaluation_has_its_own_group_size_and_metrics(tmp_path):
    rewards = Rewards()
    trainer = make_trainer(
        tmp_path,
        rewards,
        max_steps=1,
        eval_prompts=PROMPTS[:6],
        num_generations_eval=2,
        per_device_eval_batch_size=12,  # more than the log of 8 holds
        eval_strategy="steps",
        eval_steps=1,
    )
    trainer.train()
    train, evaluation = rewards.calls
    assert_advantages(trainer.batches["train"][0], reference_advantages([train]))
    assert_advantages(trainer.batches["eval"][0], reference_advantages([evaluation], group_size=2))
    assert list(trainer._logs["advantages"]) == trainer.batches["eval"][0]["advantages"][-8:].tolist()
    logged = {name: value for entry in trainer.state.log_history for name, value in entry.items()}
    assert logged["gapo/groups"] == 2
    assert logged["eval_gapo/groups"] == 6
    assert logged["eval_gapo/group_size"] == 2


def test_evaluation_of_single_completions_has_nothing_to_compare(tmp_path):
    trainer = make_trainer(
        tmp_path, Rewards(), eval_prompts=PROMPTS[:4], num_generations_eval=1, per_device_eval_batch_size=2
    )
    trainer.evaluate()
    assert [batch["advantages"].tolist() for batch in trainer.batches["eval"]] == [[0.0, 0.0]] * 2
    assert list(trainer._logs["advantages"]) == [0.0] * 4  # room for 8: TRL's own are gone


def test_the_log_and_its_table_show_what_was_trained_on(tmp_path):
    trainer = make_trainer(tmp_path, Rewards(), log_completions=True, num_completions_to_print=0)
    (tmp_path / "completions").mkdir(exist_ok=True)
    trainer.train()
    for step, batch in enumerate(trainer.batches["train"], 1):
        table = pq.read_table(tmp_path / "completions" / f"completions_{step:05d}.parquet").to_pydict()
        assert table["advantage"] == batch["advantages"].tolist()
        assert reference_advantages([table["even_tokens"]]) == pytest.approx(table["advantage"], rel=2e-5, abs=2e-6)


def test_metrics_are_logged_at_every_step(tmp_path):
    trainer = make_trainer(tmp_path, Rewards(table=[0, 0, 0, 1, 0.5, 0.5, 0.5, 0.5]))
    trainer.train()
    for entry in trainer.state.log_history[:2]:
        assert {f"gapo/{name}" for name in METRICS} <= entry.keys()
        assert entry["gapo/center"] == pytest.approx(0.25)
        assert entry["gapo/frac_zero_advantage"] == pytest.approx(7 / 8)
        assert entry["gapo/frac_degenerate_groups"] == 0.5
        assert entry["gapo/advantage_sum"] == pytest.approx(3**0.5, rel=1e-5)
        assert entry["frac_reward_zero_std"] == 0.5  # TRL's own stays


def test_a_resumed_training_is_the_uninterrupted_one(tmp_path):
    whole = make_trainer(tmp_path / "whole", Rewards(), max_steps=3, save_strategy="steps", save_steps=2)
    whole.train()
    resumed = make_trainer(tmp_path / "resumed", Rewards(), max_steps=3)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert len(resumed.batches["train"]) == 1
    assert_same_weights(weights_of(whole), weights_of(resumed))
    card = (tmp_path / "whole" / "README.md").read_text()
    assert "trained with GAPO" in card
    assert "2510.21830" in card


def test_a_reference_model_adds_its_penalty(tmp_path):
    """beta > 0: the KL term is TRL's, the advantages are ours."""
    tiny_model().save_pretrained(tmp_path / "model")
    rewards = Rewards()
    model = Qwen2ForCausalLM.from_pretrained(tmp_path / "model")
    trainer = make_trainer(tmp_path, rewards, model=model, beta=0.1)
    trainer.train()
    for given, batch in zip(rewards.calls, trainer.batches["train"], strict=True):
        assert_advantages(batch, reference_advantages([given]))
    assert "ref_per_token_logps" in trainer.batches["train"][0]
    assert trainer.state.log_history[1]["kl"] > 0


def test_a_log_entry_is_the_mean_of_its_steps(tmp_path):
    class Steps:  # a centre of 0 in the first step, of 1 in the second
        __name__ = "steps"
        calls = 0

        def __call__(self, completion_ids, **kwargs):
            self.calls += 1
            return [self.calls - 1.0] * len(completion_ids)

    trainer = make_trainer(tmp_path, Steps(), logging_steps=2)
    trainer.train()
    assert [entry["gapo/center"] for entry in trainer.state.log_history if "gapo/center" in entry] == [0.5]
