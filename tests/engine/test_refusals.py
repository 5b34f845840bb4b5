import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    CohereConfig,
    CohereForCausalLM,
    DiffLlamaConfig,
    DiffLlamaForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    RobertaConfig,
    RobertaForCausalLM,
    SeedOssConfig,
    SeedOssForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from gapo_trainer.engine import Completions, Sampling, UnsupportedModelError, generate, prompt_once
from gapo_trainer.engine.example_check import check_example

TINY = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
PROMPT = torch.arange(4)


def refused(model, message):
    with pytest.raises(UnsupportedModelError, match=message), prompt_once(model, PROMPT):
        pass
    with pytest.raises(UnsupportedModelError):
        generate(model, PROMPT, 2, Sampling(2, ()))


def test_a_wrapper():
    refused(torch.nn.Sequential(), "model must be a transformers PreTrainedModel, got Sequential")


def test_an_encoder_and_decoder():
    sizes = {"vocab_size": 50, "d_model": 16, "d_ff": 16, "num_layers": 1, "num_heads": 2, "d_kv": 8}
    refused(T5ForConditionalGeneration(T5Config(**sizes)), "model must be a decoder .* got T5")


def test_an_encoder():
    config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    refused(BertModel(config), "model must be a decoder .* got BertModel")


def test_sliding_window_layers(build_model):
    model = build_model("qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=1)
    refused(model, r"attend to all earlier tokens in every layer, got \['sliding_attention'\]")


def test_a_sliding_window_that_only_the_layers_know():
    refused(MistralForCausalLM(MistralConfig(**TINY, sliding_window=3)), "MistralAttention asks for sliding_window=3")


def test_attention_dropout(build_model):
    refused(build_model("llama", attention_dropout=0.1), r"config.attention_dropout must be 0, got 0.1")


def test_dropout_of_hidden_states_in_training():
    sizes = {"vocab_size": 50, "n_embd": 16, "n_layer": 1, "n_head": 2, "eos_token_id": 1, "bos_token_id": 1}
    model = GPT2LMHeadModel(GPT2Config(**sizes, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.2))
    refused(model.train(), "drops out hidden states with probability 0.2")
    generate(model.eval(), PROMPT, 2, Sampling(2, ()))


def test_reentrant_checkpointing(build_model):
    model = build_model("qwen2")
    model.gradient_checkpointing_enable({"use_reentrant": True})
    refused(model, "reentrant gradient checkpointing, whose gradients would be silently wrong")


def test_rotary_frequencies_that_depend_on_length(build_model):
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    refused(build_model("llama", rope_parameters=rope), "must not depend on length, got rope_type='dynamic'")


def test_logits_scaled_behind_the_head():
    refused(CohereForCausalLM(CohereConfig(**TINY, logit_scale=0.5)), "changes its logits behind the output head")


def test_soft_capped_attention():
    config = Gemma2Config(**TINY, head_dim=8, layer_types=["full_attention"] * 2, final_logit_softcapping=None)
    refused(Gemma2ForCausalLM(config), "Gemma2Attention asks for softcap=50.0")


def test_a_head_that_is_not_linear(build_model):
    model = build_model("qwen2")
    model.lm_head = torch.nn.Sequential(model.lm_head)
    refused(model, "output head must be a torch.nn.Linear, got Sequential")


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
    with pytest.raises(UnsupportedModelError, match="it drops out in training"), prompt_once(model.train(), PROMPT):
        pass
    generate(model.eval(), PROMPT, 2, Sampling(2, ()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_example_that_agrees(build_model, dtype):
    model = build_model("llama").to(dtype)
    for training in (True, False):
        check_example(model.train(training), PROMPT)


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
