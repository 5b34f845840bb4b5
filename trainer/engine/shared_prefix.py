"""The attention function that transformers' models call, and what it shares between a prompt and its completions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from .errors import UnsupportedModelError
from .merged_attention import merged_attention, widened

NAME = "gapo_shared_prefix"


class PromptKeys:
    """Keys and values of a prompt by layer, each ``[1, key heads, prompt length, head dim]``.

    Values that are narrower than the keys have zeros behind them. Passed through a model's forward as
    ``shared_prefix``. While ``collecting``, the tokens that run are the prompt and every layer leaves its keys and
    values here; otherwise they are completions, which attend to them. Not a dataclass: FSDP2 would hand each layer a
    copy of one, and what the layer leaves in it would be lost.
    """

    def __init__(self, collecting: bool = True, by_layer: dict[int, tuple[Tensor, Tensor]] | None = None):
        self.collecting = collecting
        self.by_layer = {} if by_layer is None else by_layer

    @property
    def length(self) -> int:
        """The prompt's, in tokens."""
        return next(iter(self.by_layer.values()))[0].shape[2]

    def keep(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Keep a layer's first keys and values: gradient checkpointing runs it again, and those have the graph."""
        self.by_layer.setdefault(layer, (key, value))

    def check_complete(self, model: PreTrainedModel) -> None:
        """Raise `UnsupportedModelError` unless every layer of the model has left its keys and values."""
        layers = model.config.get_text_config(decoder=True).num_hidden_layers
        if sorted(self.by_layer) != list(range(layers)):
            raise UnsupportedModelError(
                f"{type(model).__name__} has {layers} layers, but the attention of only {len(self.by_layer)} goes "
                "through transformers' AttentionInterface with keys and values of its own"
            )


def shared_prefix_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    shared_prefix: PromptKeys | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend as transformers' ``sdpa`` does, and, given ``shared_prefix``, to the prompt that is kept there as well.

    Args:
        module: The attention layer; its ``layer_idx`` names its entry in ``shared_prefix``.
        query: ``[rows, heads, length, head dim]``.
        key: ``[rows, key heads, own length, head dim]``.
        value: Like ``key``.
        attention_mask: None if ``shared_prefix`` is given: rows are padded on the right, which needs none.
        scaling: Multiplies the scores; 1 / √head dim if None.
        shared_prefix: The prompt's keys and values, or where to collect them.
        **kwargs: Whatever else the layer passes; what would change the result is refused.

    Returns:
        The output, ``[rows, length, heads, head dim]``, and None for the attention weights, which are never formed.

    Raises:
        UnsupportedModelError: The layer asks for attention that is not plain causal attention.
    """
    if shared_prefix is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    seen = key.shape[2] + (0 if shared_prefix.collecting else shared_prefix.length)
    _refuse_changed_attention(module, seen, attention_mask=attention_mask, **kwargs)
    query, key, value = _as_autocast_would(query, key, value)
    if shared_prefix.collecting:
        wide = widened(value, key.shape[-1])  # once, not for every token
        shared_prefix.keep(module.layer_idx, key, wide)  # type: ignore[arg-type]
        return sdpa_attention_forward(module, query, key, value, None, scaling=scaling)
    prompt_key, prompt_value = shared_prefix.by_layer[module.layer_idx]  # type: ignore[index]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out = merged_attention(query, prompt_key, prompt_value, key, value, scale)
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, shared_prefix_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)  # without one, transformers drops 2-D attention masks in silence


@contextmanager
def attention_through(model: PreTrainedModel) -> Iterator[None]:
    """Route the model's attention through `shared_prefix_attention` within the block, and back at its end."""
    previous = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(previous)


def _refuse_changed_attention(module: nn.Module, keys: int, sliding_window: int | None = None, **asked: Any) -> None:
    """Refuse arguments of a layer that would change its attention to so many keys: the merged form knows none."""
    if sliding_window and keys >= sliding_window:
        raise UnsupportedModelError(
            f"{type(module).__name__} attends to a window of {sliding_window} tokens only, which has to be longer than "
            f"prompt and completion together; here are {keys}"
        )
    for name in ("dropout", "softcap", "s_aux", "position_bias", "attention_mask"):
        value = asked.get(name)
        if isinstance(value, Tensor) or value:
            what = name if isinstance(value, Tensor) else f"{name}={value}"
            raise UnsupportedModelError(
                f"shared-prefix attention is plain causal attention, but {type(module).__name__} asks for {what}; "
                "set the model's configuration so that it does not"
            )


def _as_autocast_would(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Cast as autocast does for ``scaled_dot_product_attention``: rotary embeddings leave keys wider than values."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(device)) for tensor in tensors)
