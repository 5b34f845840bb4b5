"""Supervised training of the embedded policy: a stock Qwen2 from random weights, one CPU core, minutes.

What mattered in trials was the number of steps, hence small batches and a large learning rate. Left out: validation and
early stopping (``gapo-train eval`` measures the result) and anything that would make it faster on a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from tqdm import tqdm
from transformers import Qwen2Config, Qwen2ForCausalLM

IGNORED = -100  # the label that cross-entropy passes over


class Example(NamedTuple):
    """Token ids of a prompt and of what should follow it, the end token included."""

    prompt: list[int]
    completion: list[int]


def new_model(vocab_size: int, pad_token_id: int, eos_token_id: int) -> Qwen2ForCausalLM:
    """A randomly initialised policy of 0.44M parameters (at 768 tokens), in float32."""
    config = Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        initializer_range=0.02,
        pad_token_id=pad_token_id,
        eos_token_id=eos_token_id,
        bos_token_id=None,
    )
    model = Qwen2ForCausalLM(config)
    model.set_attn_implementation("eager")  # sdpa's backward is the slower one on a CPU at this size
    with torch.no_grad():  # the residual stream sums 2 outputs a layer: start them smaller, as GPT-2 does
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.mul_(0.71)
            layer.mlp.down_proj.weight.mul_(0.71)
    return model


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Warm-up over 50 steps, constant to 40% of the way, then linear to 3% of ``peak``."""
    warm = min(1.0, (step + 1) / 50)
    decay = 1 - 0.97 * max(0.0, step / steps - 0.4) / 0.6
    return peak * warm * decay


def batches(examples: list[Example], batch_size: int, steps: int, seed: int) -> Iterator[list[Example]]:
    """``steps`` batches of examples of about one length each: shuffled, then sorted within pools of 64 batches."""
    generator = torch.Generator().manual_seed(seed)
    made = 0
    while made < steps:
        order = torch.randperm(len(examples), generator=generator).tolist()
        for start in range(0, len(order) - batch_size + 1, 64 * batch_size):
            pool = sorted(order[start : start + 64 * batch_size], key=lambda i: len(examples[i].prompt))
            cuts = range(0, len(pool) - batch_size + 1, batch_size)
            for which in torch.randperm(len(cuts), generator=generator).tolist():
                if made == steps:
                    return
                yield [examples[i] for i in pool[cuts[which] : cuts[which] + batch_size]]
                made += 1


def collate(batch: list[Example], pad: int) -> dict[str, torch.Tensor]:
    """Left-padded ``input_ids``, ``attention_mask``, ``position_ids`` and ``labels``, all int64 [batch, longest]."""
    width = max(len(e.prompt) + len(e.completion) for e in batch)
    rows = {"input_ids": [], "attention_mask": [], "labels": []}  # type: dict[str, list[list[int]]]
    for prompt, completion in batch:
        gap = width - len(prompt) - len(completion)
        rows["input_ids"].append([pad] * gap + prompt + completion)
        rows["attention_mask"].append([0] * gap + [1] * (width - gap))
        rows["labels"].append([IGNORED] * (gap + len(prompt)) + completion)
    tensors = {name: torch.tensor(values) for name, values in rows.items()}
    tensors["position_ids"] = (tensors["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    return tensors


def fit(
    model: Qwen2ForCausalLM, examples: list[Example], *, pad: int, steps: int, peak_lr: float, seed: int, what: str
) -> None:
    """Train ``model`` in place for ``steps`` batches of 16, padded with ``pad``; ``what`` names the progress bar."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak_lr, betas=(0.9, 0.98), weight_decay=0.01)
    bar = tqdm(batches(examples, 16, steps, seed), total=steps, desc=what, mininterval=5.0)
    smooth = math.nan
    for step, batch in enumerate(bar):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, peak_lr)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(**collate(batch, pad), use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        smooth = loss.item() if math.isnan(smooth) else 0.98 * smooth + 0.02 * loss.item()
        if step % 50 == 0:
            bar.set_postfix(loss=f"{smooth:.3f}")
