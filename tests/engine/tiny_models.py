"""Tiny models of the architectures that the engine is tested on."""

import torch
from transformers import (
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GptOssConfig,
    GptOssForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    NanoChatConfig,
    NanoChatForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

VOCABULARY = 97

SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,  # large enough that attention is far from uniform
}


def build(name: str, **changes) -> PreTrainedModel:
    """A tiny float32 model, the same for the same arguments."""
    torch.manual_seed(0)
    if name == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**SIZES | {"tie_word_embeddings": False} | changes))
    if name == "qwen2_tied":
        return Qwen2ForCausalLM(Qwen2Config(**SIZES | {"tie_word_embeddings": True} | changes))
    if name == "deepseek":  # latent attention: keys of 12, values of 8; the first layer dense, the others mixtures
        heads = {"num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16}
        heads |= {"qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8}
        experts = {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1}
        experts |= {"moe_intermediate_size": 16, "n_shared_experts": 1, "first_k_dense_replace": 1}
        return DeepseekV3ForCausalLM(DeepseekV3Config(**SIZES | heads | experts | changes))
    if name == "mistral":  # every layer sees a window
        return MistralForCausalLM(MistralConfig(**SIZES | {"sliding_window": 6} | changes))
    if name == "gemma2":  # every second layer sees a window; scores and logits are capped
        caps = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}
        caps |= {"head_dim": 8, "sliding_window": 6, "tie_word_embeddings": False}
        return Gemma2ForCausalLM(Gemma2Config(**SIZES | caps | changes))
    if name == "gpt_oss":  # every second layer sees a window; all have sinks
        experts = {"num_local_experts": 4, "num_experts_per_tok": 2}
        return GptOssForCausalLM(GptOssConfig(**SIZES | experts | {"head_dim": 8, "sliding_window": 6} | changes))
    if name == "granite":  # logits scaled behind the head, and residuals, embeddings and attention scaled before it
        scales = {"logits_scaling": 0.25, "residual_multiplier": 0.5, "embedding_multiplier": 2.0}
        return GraniteForCausalLM(GraniteConfig(**SIZES | scales | {"attention_multiplier": 0.3} | changes))
    if name == "nanochat":  # logits capped behind the head
        return NanoChatForCausalLM(NanoChatConfig(**SIZES | {"final_logit_softcapping": 2.0} | changes))
    if name == "qwen3":  # a head dimension of its own, and norms on queries and keys
        return Qwen3ForCausalLM(Qwen3Config(**SIZES | {"tie_word_embeddings": True, "head_dim": 16} | changes))
    if name == "llama":
        return LlamaForCausalLM(LlamaConfig(**SIZES | {"tie_word_embeddings": False} | changes))
    return LlamaForCausalLM(LlamaConfig(**SIZES | {"num_key_value_heads": 4, "tie_word_embeddings": True} | changes))
