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

from gapo_trainer.engine.errors import UnsupportedModelError
from gapo_trainer.engine.merged_attention import merged_attention, widened
from gapo_trainer.engine.model_check import declared_windows
from gapo_trainer.engine.plain_attention import Rules, plain_attention

NAME = "gapo_shared_prefix"


class PromptKeys:
    """Keys and values of a prompt by layer, each [1, key heads, prompt length, head dim].

    Values that are narrower than the keys have zeros behind them. Passed through a model's forward as
    ``shared_prefix``. While ``collecting``, the tokens that run are the prompt and every layer leaves its keys and
    values here; otherwise they are completions, which attend to them. Not a dataclass: FSDP2 would hand each layer a
    copy of one, and what the layer leaves in it would be lost.
    """

    def __init__(self) -> None:
        self.collecting = True
        self.by_layer: dict[int, tuple[Tensor, Tensor]] = {}
        self.windows: dict[int, int | None] = {}  # by layer: the window that it passed on, None if none

    def with_tensors(self, by_layer: dict[int, tuple[Tensor, Tensor]]) -> PromptKeys:
        """What completions attend to, with ``by_layer`` in the place of these tensors."""
        keys = PromptKeys()
        keys.collecting, keys.by_layer, keys.windows = False, by_layer, self.windows
        return keys

    @property
    def length(self) -> int:
        """The prompt's, in tokens."""
        return next(iter(self.by_layer.values()))[0].shape[2]

    def keep(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Keep a layer's first keys and values: gradient checkpointing runs it again, and those have the graph."""
        self.by_layer.setdefault(layer, (key, value))

    def check_complete(self, model: PreTrainedModel) -> None:
        """Raise ``UnsupportedModelError`` unless every layer of the model has left its keys and values."""
        layers = model.config.get_text_config(decoder=True).num_hidden_layers
        if sorted(self.by_layer) != list(range(layers)):
            raise UnsupportedModelError(
                f"{type(model).__name__} has {layers} layers, but the attention of only {len(self.by_layer)} goes "
                "through transformers' AttentionInterface with keys and values of its own"
            )
        self.check_room(model, 0)

    def check_room(self, model: PreTrainedModel, completion: int) -> None:
        """Raise ``UnsupportedModelError`` where a window that its layer does not pass on is too short for a completion.

        One of just that length is too short already: from there on transformers makes a mask for it.
        """
        kept = [window for layer, window in declared_windows(model).items() if self.windows.get(layer, window) is None]
        if kept and self.length + completion >= min(kept):
            raise UnsupportedModelError(
                f"{type(model).__name__} has sliding windows of {min(kept)} tokens by its configuration, of which its "
                f"layers say nothing, got a prompt of {self.length} and completions of up to {completion}"
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
        module: the attention layer; its ``layer_idx`` names its entry in ``shared_prefix``.
        query: [rows, heads, length, head dim].
        key: [rows, key heads, own length, head dim].
        value: like ``key``.
        attention_mask: if ``shared_prefix`` is given only a layer with a sliding window may have one, and that is
            replaced by ``Rules.window``: rows are padded on the right, which needs none.
        scaling: multiplies the scores; 1 / √head dim if None.
        shared_prefix: the prompt's keys and values, or where to collect them.
        **kwargs: whatever else the layer passes; what would change the result in other ways than ``Rules`` is refused.

    Returns:
        The output, [rows, length, heads, head dim], and None for the attention weights.

    Raises:
        UnsupportedModelError: the layer asks for something that is not computed here.
    """
    if shared_prefix is None:
        if kwargs.get("softcap") or kwargs.get("s_aux") is not None:
            raise UnsupportedModelError(
                f"{type(module).__name__} asks for a soft cap or sinks in a forward of its own in the engine's block, "
                "where the attention of all models of this configuration is the engine's; score through the engine, or "
                "outside"
            )
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    layer: int = module.layer_idx  # type: ignore[assignment]
    seen = key.shape[2] + (0 if shared_prefix.collecting else shared_prefix.length)
    rules = _rules(module, query.shape[-1] ** -0.5 if scaling is None else scaling, seen, attention_mask, **kwargs)
    query, key, value = _as_autocast_would(query, key, value)
    if shared_prefix.collecting:
        shared_prefix.windows[layer] = kwargs.get("sliding_window")
        shared_prefix.keep(layer, key, widened(value, key.shape[-1]))  # once, not for every token
        if rules.fused and rules.sinks is None:
            return sdpa_attention_forward(module, query, key, value, None, scaling=rules.scale)
        prompt_key, prompt_value = key[:, :, :0], value[:, :, :0]
    else:
        prompt_key, prompt_value = shared_prefix.by_layer[layer]
    if rules.fused:
        out = merged_attention(query, prompt_key, prompt_value, key, value, rules.scale, rules.sinks)
    else:
        out = plain_attention(query, prompt_key, prompt_value[..., : value.shape[-1]], key, value, rules)
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, shared_prefix_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)  # without one, transformers drops 2-D attention masks in silence


@contextmanager
def attention_through(model: PreTrainedModel) -> Iterator[None]:
    """Route the model's attention through ``shared_prefix_attention`` within the block, and back at its end."""
    previous = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(previous)


def _rules(
    module: nn.Module,
    scale: float,
    seen: int,
    attention_mask: Tensor | None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **asked: Any,
) -> Rules:
    """How a layer attends to ``seen`` positions; what it asks for beside that is refused."""
    if not getattr(module, "is_causal", True):
        raise UnsupportedModelError(f"{type(module).__name__} attends to later tokens as well")
    if not sliding_window:  # a layer with a window gets a mask for it, which Rules.window replaces
        asked["attention_mask"] = attention_mask
    for name in ("dropout", "position_bias", "attention_mask"):
        value = asked.get(name)
        if isinstance(value, Tensor) or value:
            what = name if isinstance(value, Tensor) else f"{name}={value}"
            raise UnsupportedModelError(
                f"{type(module).__name__} asks for {what}, which shared-prefix attention does not compute; "
                "set the model's configuration so that it does not"
            )
    window = sliding_window if sliding_window and seen > sliding_window else None
    return Rules(scale, window, softcap or None, s_aux)


def _as_autocast_would(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Cast as autocast does for ``scaled_dot_product_attention``: rotary embeddings leave keys wider than values."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(device)) for tensor in tensors)
