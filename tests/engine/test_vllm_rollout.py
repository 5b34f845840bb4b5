"""The vLLM engine against a stand-in with vLLM's documented interface; vLLM itself does not run here."""

import sys
from types import SimpleNamespace

import pytest
import torch
from transformers import StopStringCriteria

from gapo_trainer.engine import Sampling, VllmRollout
from gapo_trainer.errors import UserError
from gapo_trainer.tiny_model.tokenizer import train_tokenizer


class StandInLLM:
    def __init__(self, **options):
        self.options = options
        self.loaded = {}
        self.caches_reset = 0

    def generate(self, prompts, parameters, use_tqdm):
        self.asked = (prompts, parameters)
        rows = [([7, 8, 1], "stop"), ([9], "length")]
        outputs = [
            SimpleNamespace(
                token_ids=tokens,
                logprobs=[{token: SimpleNamespace(logprob=-float(token))} for token in tokens],
                finish_reason=reason,
            )
            for tokens, reason in rows
        ]
        return [SimpleNamespace(outputs=outputs)]

    def apply_model(self, function):
        function(SimpleNamespace(load_weights=lambda weights: self.loaded.update(weights)))

    def reset_prefix_cache(self):
        self.caches_reset += 1


@pytest.fixture
def rollout(monkeypatch):
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # so that what the engine sets is undone
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=StandInLLM, SamplingParams=SimpleNamespace))
    return VllmRollout("some/model", max_model_len=64)


def test_the_engine_is_started_as_asked_with_the_logprobs_of_what_it_draws_from(rollout):
    assert rollout._llm.options == {"model": "some/model", "logprobs_mode": "processed_logprobs", "max_model_len": 64}


def test_the_engine_runs_in_this_process_unless_told_otherwise(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=StandInLLM, SamplingParams=SimpleNamespace))
    environment = {}
    monkeypatch.setattr("os.environ", environment)
    VllmRollout("some/model")
    assert environment == {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    environment["VLLM_ENABLE_V1_MULTIPROCESSING"] = "1"
    VllmRollout("some/model")
    assert environment == {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}


def test_samples_are_those_of_the_request(rollout):
    sampling = Sampling(3, (1, 2), temperature=0.7, top_p=0.9, top_k=5)
    samples = rollout.generate(torch.tensor([4, 5]), 2, sampling, torch.Generator().manual_seed(0))
    assert samples.completions.to_lists() == [[7, 8, 1], [9]]
    assert samples.logprobs.tolist() == [[-7, -8, -1], [-9, 0, 0]]
    assert samples.ended.tolist() == [True, False]
    (prompt,), asked = rollout._llm.asked
    assert prompt == {"prompt_token_ids": [4, 5]}
    assert (asked.n, asked.max_tokens, asked.temperature, asked.top_p, asked.top_k) == (2, 3, 0.7, 0.9, 5)
    assert (asked.stop_token_ids, asked.ignore_eos) == ([1, 2], True)
    assert asked.logprobs == 0  # of the token that was drawn alone
    assert (asked.stop, asked.detokenize) == ([], False)


def test_what_else_ends_a_completion(rollout):
    sampling = Sampling(3, (1, 2), stop=StopStringCriteria(train_tokenizer(["a b c"], [], 300), ["b", "ab"]))
    rollout.generate(torch.tensor([4, 5]), 2, sampling)
    asked = rollout._llm.asked[1]
    assert (asked.stop, asked.include_stop_str_in_output, asked.detokenize) == (["b", "ab"], True, True)


def test_a_part_of_a_group_is_refused(rollout):
    with pytest.raises(ValueError, match=r"^rows expects the whole group"):
        rollout.generate(torch.tensor([4, 5]), 8, Sampling(3, ()), rows=slice(4, 8))


def test_the_generator_decides_the_seed(rollout):
    def seed(number):
        rollout.generate(torch.tensor([4]), 2, Sampling(3, ()), torch.Generator().manual_seed(number))
        return rollout._llm.asked[1].seed

    assert seed(1) == seed(1) != seed(2)


def test_weights_are_loaded_by_name_and_the_cache_forgotten(rollout, build_model):
    model = build_model("qwen2")
    rollout.load_weights(model)
    expected = dict(model.named_parameters())
    assert rollout._llm.loaded.keys() == expected.keys()
    assert all(torch.equal(weights, expected[name]) for name, weights in rollout._llm.loaded.items())
    assert rollout._llm.caches_reset == 1


def test_a_missing_vllm_is_told(monkeypatch):
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match="needs vLLM: pip install vllm"):
        VllmRollout("some/model")
