import pytest
import torch
from plain_path import plain_logprobs
from transformers import (
    BertConfig,
    BertModel,
    DiffLlamaConfig,
    DiffLlamaForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    PhimoeConfig,
    PhimoeForCausalLM,
    RobertaConfig,
    RobertaForCausalLM,
    SeedOssConfig,
    SeedOssForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from gapo_trainer.engine import Completions, Sampling, UnsupportedModelError, generate, prompt_once
from gapo_trainer.engine.example_check import check_example
from gapo_trainer.engine.model_check import longest_sequence
from gapo_trainer.engine.shared_prefix import PromptKeys, shared_prefix_attention

TINY = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
PROMPT = torch.arange(4)


def refused(model, message, prompt=PROMPT, tokens=2):
    with pytest.raises(UnsupportedModelError, match=message), prompt_once(model, prompt):
        pass
    with pytest.raises(UnsupportedModelError):
        generate(model, prompt, 2, Sampling(tokens, ()))


def test_a_wrapper():
    refused(torch.nn.Sequential(), "model expects a transformers PreTrainedModel, got Sequential")


def test_an_encoder_and_decoder():
    sizes = {"vocab_size": 50, "d_model": 16, "d_ff": 16, "num_layers": 1, "num_heads": 2, "d_kv": 8}
    refused(T5ForConditionalGeneration(T5Config(**sizes)), "model expects a decoder .* got T5")


def test_an_encoder():
    config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    refused(BertModel(config), "model expects a decoder .* got BertModel")


def test_layers_that_attend_to_chunks(build_model):
    model = build_model("qwen2")
    model.config.layer_types = ["full_attention", "chunked_attention", "full_attention"]
    refused(model, r"model expects layers .* or a window of them, got \['chunked_attention'\] in Qwen2")


def test_a_sliding_window_that_layers_keep_to_themselves():
    model = PhimoeForCausalLM(PhimoeConfig(**TINY, num_local_experts=2, sliding_window=14)).eval()
    refused(model, "asks for attention_mask", torch.arange(14), tokens=1)
    with prompt_once(model, torch.arange(10)) as shared:
        shared.logprobs(Completions.from_lists([[1, 2, 3]]))
        with pytest.raises(UnsupportedModelError, match=r"windows of 14 .*, of which its layers say nothing"):
            shared.logprobs(Completions.from_lists([[1, 2, 3, 4], [1]]))
    generate(model, torch.arange(10), 2, Sampling(3, ()))
    with pytest.raises(UnsupportedModelError, match="got a prompt of 10 and completions of up to 4"):
        generate(model, torch.arange(10), 2, Sampling(4, ()))


def test_more_tokens_than_positions(build_model):
    refused(build_model("llama", max_position_embeddings=12), "at most 12 tokens", prompt=torch.arange(13), tokens=1)


def test_attention_dropout(build_model):
    refused(build_model("llama", attention_dropout=0.1), r"config.attention_dropout expects 0, got 0.1")


def test_dropout_of_hidden_states_in_training():
    sizes = {"vocab_size": 50, "n_embd": 16, "n_layer": 1, "n_head": 2, "eos_token_id": 1, "bos_token_id": 1}
    model = GPT2LMHeadModel(GPT2Config(**sizes, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.2))
    refused(model.train(), "drops out hidden states with probability 0.2")
    generate(model.eval(), PROMPT, 2, Sampling(2, ()))


@pytest.mark.parametrize("noise", ["router_jitter_noise", "input_jitter_noise"])
def test_a_router_with_noise_in_training(noise):
    noises = {"router_jitter_noise": 0.0, "input_jitter_noise": 0.0, noise: 0.01}
    model = PhimoeForCausalLM(PhimoeConfig(**TINY, **noises, num_local_experts=2, sliding_window=None))
    refused(model.train(), f"config.{noise} expects 0 in training mode, got 0.01")
    generate(model.eval(), PROMPT, 2, Sampling(2, ()))


def test_reentrant_checkpointing(build_model):
    model = build_model("qwen2")
    model.gradient_checkpointing_enable({"use_reentrant": True})
    refused(model, "reentrant gradient checkpointing, whose gradients would be silently wrong")


@pytest.mark.parametrize("rope_type", ["dynamic", "longrope"])
def test_rotary_frequencies_that_depend_on_length(build_model, rope_type):
    """They change beyond 13 tokens, of up to 26."""
    rope = {"rope_type": rope_type, "factor": 2.0, "rope_theta": 10000.0, "original_max_position_embeddings": 13}
    rope |= {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4} if rope_type == "longrope" else {}
    limit = 26 if rope_type == "longrope" else 13
    model = build_model("llama", rope_parameters=rope, max_position_embeddings=limit).eval()
    completions = Completions.from_lists([[1, 2, 3], [4]])
    with prompt_once(model, torch.arange(10)) as shared:
        found = shared.logprobs(completions)
        with pytest.raises(UnsupportedModelError, match="takes at most 13 tokens at once"):
            shared.logprobs(Completions.from_lists([[1, 2, 3, 4]]))
    torch.testing.assert_close(found, plain_logprobs(model, torch.arange(10), completions)[0])


def test_rotary_frequencies_that_are_stretched_once_and_for_all_set_no_bound(build_model):
    rope = {"rope_type": "yarn", "factor": 2.0, "rope_theta": 10000.0, "original_max_position_embeddings": 13}
    assert longest_sequence(build_model("llama", rope_parameters=rope, max_position_embeddings=26)) == 26


def test_rotary_frequencies_of_one_type_of_layer_set_the_bound():
    dynamic = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0, "original_max_position_embeddings": 13}
    rope = {"full_attention": dynamic, "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}
    config = Gemma3TextConfig(**TINY, head_dim=8, max_position_embeddings=26, rope_parameters=rope)
    assert longest_sequence(Gemma3ForCausalLM(config)) == 13


def changed(model, change):
    """The model, with ``change(output)`` after its forward."""
    forward = model.forward
    model.forward = lambda **inputs: change(forward(**inputs))
    return model


def square(output):
    output.logits = output.logits.square()
    return output


def mask_some(output):
    output.logits[..., 40:45] = -1e4
    return output


def slice_off(output):
    output.logits = output.logits[..., :90]
    return output


@pytest.mark.parametrize("change", [square, mask_some, slice_off])
def test_logits_changed_in_a_way_of_their_own(build_model, change):
    refused(changed(build_model("llama"), change), "behind the output head in a way of its own")


def test_a_head_that_is_called_twice(build_model):
    model = build_model("llama")
    model = changed(model, lambda output: (model.lm_head(torch.zeros(1, 1, 32)), output)[1])
    refused(model, "model expects one call of its output head, .*, got 2 calls in LlamaForCausalLM")


@pytest.mark.parametrize("asked", [{"dropout": 0.1}, {"position_bias": torch.zeros(1, 1, 3, 3)}], ids=str)
def test_attention_that_is_not_computed(asked):
    layer, keys = torch.nn.Identity(), torch.zeros(1, 1, 3, 8)
    layer.layer_idx = 0
    with pytest.raises(UnsupportedModelError, match=f"Identity asks for {next(iter(asked))}.*, which shared-prefix"):
        shared_prefix_attention(layer, keys, keys, keys, None, shared_prefix=PromptKeys(), **asked)


def test_attention_to_later_tokens():
    layer, keys = torch.nn.Identity(), torch.zeros(1, 1, 3, 8)
    layer.layer_idx, layer.is_causal = 0, False
    with pytest.raises(UnsupportedModelError, match="Identity attends to later tokens as well"):
        shared_prefix_attention(layer, keys, keys, keys, None, shared_prefix=PromptKeys())


@pytest.mark.parametrize("name", ["gemma2", "gpt_oss"])
def test_a_forward_of_its_own_within_the_block(build_model, name):
    """The model's attention is the engine's there, which knows caps and sinks beside a shared prompt only."""
    model = build_model(name)
    with prompt_once(model, PROMPT), pytest.raises(UnsupportedModelError, match="score through the engine"):
        model(PROMPT[None])


def test_a_mask_that_is_no_windows():
    layer, keys, mask = torch.nn.Identity(), torch.zeros(1, 1, 3, 8), torch.ones(1, 1, 3, 3, dtype=torch.bool)
    layer.layer_idx = 0
    with pytest.raises(UnsupportedModelError, match="Identity asks for attention_mask"):
        shared_prefix_attention(layer, keys, keys, keys, mask, shared_prefix=PromptKeys())
    shared_prefix_attention(layer, keys, keys, keys, mask, shared_prefix=PromptKeys(), sliding_window=2)


def test_a_head_that_is_not_linear(build_model):
    model = build_model("qwen2")
    model.lm_head = torch.nn.Sequential(model.lm_head)
    refused(model, "model expects a torch.nn.Linear as its output head, got Sequential in Qwen2ForCausalLM")


def test_positions_of_a_models_own():
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 16, "is_decoder": True, "initializer_range": 0.5}
    model = RobertaForCausalLM(RobertaConfig(**sizes)).eval()  # its first position is that behind the padding's
    refused(model, "RobertaForCausalLM gives a text other log-probs than the engine does")


def test_attention_of_a_models_own():
    model = DiffLlamaForCausalLM(DiffLlamaConfig(**TINY | {"num_key_value_heads": 2}, initializer_range=0.5))
    refused(model, "DiffLlamaForCausalLM gives a text other log-probs than the engine does")


def test_dropout_that_is_no_module():
    model = SeedOssForCausalLM(SeedOssConfig(**TINY, head_dim=8, attention_dropout=0.0, residual_dropout=0.5))
    generate(model.eval(), PROMPT, 2, Sampling(2, ()))
    with pytest.raises(UnsupportedModelError, match="it drops out in training"), prompt_once(model.train(), PROMPT):
        pass
    generate(model.eval(), PROMPT, 2, Sampling(2, ()))


def test_positions_are_looked_at_whatever_the_prompt(build_model):
    model = build_model("llama")
    forward = model.model.forward
    model.model.forward = lambda position_ids=None, **inputs: forward(**inputs)  # a model that has its own
    refused(model, "LlamaForCausalLM gives a text other log-probs than the engine does", prompt=torch.tensor([3]))


def test_a_model_of_few_positions():
    sizes = {"vocab_size": 50, "n_embd": 16, "n_layer": 1, "n_head": 2, "eos_token_id": 1, "bos_token_id": 1}
    generate(GPT2LMHeadModel(GPT2Config(**sizes, n_positions=8)).eval(), PROMPT, 2, Sampling(3, ()))


def test_an_example_may_need_autocast(build_model):
    model = build_model("qwen2").bfloat16()
    model.lm_head.float()
    with torch.autocast("cpu", torch.bfloat16), prompt_once(model, PROMPT) as shared:
        shared.logprobs(Completions.from_lists([[1, 2]])).sum().backward()
    assert model.model.layers[0].mlp.up_proj.weight.grad.norm() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_example_that_agrees(build_model, dtype):
    model = build_model("llama").to(dtype)
    for training in (True, False):
        check_example(model.train(training), PROMPT.device)


def test_layers_that_keep_no_keys(build_model):
    model = build_model("qwen2")
    model.config.num_hidden_layers = 2  # the model runs fewer layers than it is asked about
    assert len(model.model.layers) == 3
    model.config.num_hidden_layers = 4
    refused(model, "has 4 layers, but the attention of only 3 goes through")


def test_a_2d_mask_is_not_dropped_in_silence(build_model):
    """What registering a mask function is for: outside the engine the registered attention is plain ``sdpa``."""
    model, tokens = build_model("qwen2"), torch.arange(6)[None]
    mask = torch.tensor([[0, 0, 1, 1, 1, 1]])
    expected = model(tokens, attention_mask=mask).logits
    model.set_attn_implementation("gapo_shared_prefix")
    torch.testing.assert_close(model(tokens, attention_mask=mask).logits[:, 2:], expected[:, 2:])
    assert not torch.allclose(model(tokens).logits[:, 2:], expected[:, 2:])


def test_supported_models_are_not_refused(model):
    with prompt_once(model, PROMPT) as shared:
        shared.logprobs(Completions.from_lists([[1, 2]]))
