"""Tiny offline trainings with TRL, watched: what its reward functions returned and which advantages it trains on."""

import math

import numpy as np
import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from gapo_kernels import reference
from gapo_kernels.adapters.trl import GapoGRPOConfig, GapoGRPOTrainer

VOCABULARY = 32
PROMPTS = [f"w{i} w{i + 1} w{i + 2}" for i in range(2, 26)]


def tiny_tokenizer():
    names = {"<pad>": 0, "<eos>": 1} | {f"w{token}": token for token in range(2, VOCABULARY)}
    words = Tokenizer(WordLevel(names, unk_token="<pad>"))
    words.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<eos>", pad_token="<pad>")


def tiny_model():
    torch.manual_seed(0)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=VOCABULARY,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            tie_word_embeddings=True,
            eos_token_id=1,
            pad_token_id=0,
        )
    )


class Rewards:
    """A reward function that remembers what it returned; without a table of rewards it is the share of even tokens."""

    def __init__(self, name="even_tokens", table=None):
        self.__name__ = name
        self.table = table
        self.calls = []

    def __call__(self, completion_ids, **kwargs):
        if self.table is None:
            given = [sum(token % 2 == 0 for token in row) / len(row) for row in completion_ids]
        else:
            given = self.table[: len(completion_ids)]
        self.calls.append(given)
        return given


class Watched(GapoGRPOTrainer):
    """Keeps every batch that was scored, with its mode."""

    def __init__(self, *args, **kwargs):
        self.batches = {"train": [], "eval": []}
        super().__init__(*args, **kwargs)

    def _generate_and_score_completions(self, inputs):
        batch = super()._generate_and_score_completions(inputs)
        self.batches["train" if self.model.training else "eval"].append(batch)
        return batch


def make_trainer(folder, rewards, *, trainer=Watched, config=GapoGRPOConfig, prompts=PROMPTS, model=None, **options):
    """A trainer on the CPU with groups of 4, two of them a step; ``options`` go to its configuration."""
    evaluate = options.pop("eval_prompts", None)
    settings = {
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 6,
        "max_steps": 2,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
    }
    return trainer(
        model=tiny_model() if model is None else model,
        processing_class=tiny_tokenizer(),
        reward_funcs=rewards,
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        eval_dataset=None if evaluate is None else Dataset.from_dict({"prompt": evaluate}),
        args=config(output_dir=str(folder), **settings | options),
    )


def reference_advantages(columns, group_size=4, weights=None, **settings):
    """What ``gapo_kernels.reference`` gives for reward functions' returns; None is no reward.

    Args:
        columns: one list of rewards a function.
        group_size: groups lie one after the other.
        weights: one a function, or None for 1.
        settings: ``tau``, ``center``, ``scale``, ``eps``.
    """
    table = np.array([[math.nan if r is None else r for r in column] for column in columns], np.float32)
    weights = np.ones(len(columns), np.float32) if weights is None else np.float32(weights)
    rewards = np.nansum(table * weights[:, None], axis=0, dtype=np.float32).reshape(-1, group_size)
    valid = ~np.isnan(table).all(axis=0).reshape(-1, group_size)
    valid &= valid.sum(axis=1, keepdims=True) >= 2
    return reference.advantage(rewards, valid=valid, **settings)[0].reshape(-1)


def assert_advantages(batch, expected):
    """The batch's advantages are the expected ones to the accuracy of float32."""
    advantages = batch["advantages"]
    assert advantages.dtype == torch.float32
    np.testing.assert_allclose(advantages.numpy(), expected, rtol=2e-5, atol=2e-6)
