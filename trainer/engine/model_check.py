"""Refuses, before anything is computed, the models that the engine would get wrong."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from gapo_trainer.engine.errors import UnsupportedModelError

# Rotary embeddings whose frequencies depend on the sequence's length, once it exceeds what the model was first trained
# for: a prompt's keys would differ from those of prompt and completion run together.
LENGTH_DEPENDENT_ROPE = ("dynamic", "longrope")

ROUTER_NOISE = ("router_jitter_noise", "input_jitter_noise")  # drawn anew in each forward of training, like a dropout

SLIDING = "sliding_attention"


def check_model(model: nn.Module) -> None:
    """Raise ``UnsupportedModelError`` unless the engine computes this model exactly.

    What only the layers know (dropout, say) is refused where they ask for it, at their first attention: see
    ``shared_prefix_attention``.
    """
    if not isinstance(model, PreTrainedModel):
        raise UnsupportedModelError(
            f"model expects a transformers PreTrainedModel, got {type(model).__name__}; "
            "of a wrapper (DistributedDataParallel, a PEFT model) pass the model inside"
        )
    name, config = type(model).__name__, model.config.get_text_config(decoder=True)
    if model.config.is_encoder_decoder or not model.can_generate():
        raise UnsupportedModelError(f"model expects a decoder with a language-model head, got {name}")
    if not isinstance(model.get_output_embeddings(), nn.Linear):
        head = type(model.get_output_embeddings()).__name__
        raise UnsupportedModelError(f"model expects a torch.nn.Linear as its output head, got {head} in {name}")
    other_layers = set(getattr(config, "layer_types", None) or ()) - {"full_attention", SLIDING}
    if other_layers:
        raise UnsupportedModelError(
            f"model expects layers that attend to earlier tokens, all or a window of them, got {sorted(other_layers)} "
            f"in {name}"
        )
    dropout = getattr(config, "attention_dropout", 0.0)
    if dropout:
        raise UnsupportedModelError(f"{name}'s config.attention_dropout expects 0, got {dropout}")
    dropped = next((m.p for m in model.modules() if isinstance(m, nn.Dropout) and m.training and m.p), 0.0)
    if dropped:  # sampling runs without it, so that the policies' ratio would not start at 1
        raise UnsupportedModelError(
            f"{name} is in training mode and drops out hidden states with probability {dropped}; "
            "set its configuration's dropouts to 0"
        )
    for setting in ROUTER_NOISE:
        noise = getattr(config, setting, None)
        if model.training and noise:
            raise UnsupportedModelError(f"{name}'s config.{setting} expects 0 in training mode, got {noise}")
    if any(_checkpoints_reentrantly(module) for module in model.modules()):
        raise UnsupportedModelError(
            f"{name} uses reentrant gradient checkpointing, whose gradients would be silently wrong here; "
            'enable it with gradient_checkpointing_kwargs={"use_reentrant": False}'
        )


def longest_sequence(model: PreTrainedModel) -> int | None:
    """How many tokens a prompt and its completion may have together; None where the configuration sets no bound.

    As many as the model has positions for, and no more than its rotary frequencies stay the same for.
    """
    config = model.config.get_text_config(decoder=True)
    bounds = [getattr(config, "max_position_embeddings", None)]
    bounds += [
        rope.get("original_max_position_embeddings")  # where there is none it is the number of positions
        for rope in _ropes(config)
        if rope.get("rope_type") in LENGTH_DEPENDENT_ROPE
    ]
    return min((bound for bound in bounds if bound), default=None)


def declared_windows(model: PreTrainedModel) -> dict[int, int]:
    """The sliding windows of the layers that have one by the configuration."""
    config = model.config.get_text_config(decoder=True)
    window, types = getattr(config, "sliding_window", None), getattr(config, "layer_types", None)
    if not window:
        return {}
    return {layer: window for layer in range(config.num_hidden_layers) if not types or types[layer] == SLIDING}


def _ropes(config: PreTrainedConfig) -> list[dict[str, Any]]:
    """The parameters of the rotary embeddings: of all layers, or of each type of layer."""
    parameters = getattr(config, "rope_parameters", None) or {}
    return [parameters, *(value for value in parameters.values() if isinstance(value, dict))]


def check_length(model: PreTrainedModel, prompt: int, completion: int) -> None:
    """Raise ``UnsupportedModelError`` where a prompt and a completion of so many tokens are too long for the model."""
    longest = longest_sequence(model)
    if longest is not None and prompt + completion > longest:
        raise UnsupportedModelError(
            f"{type(model).__name__} takes at most {longest} tokens at once (its positions or rotary frequencies), "
            f"got a prompt of {prompt} and completions of up to {completion}"
        )


def _checkpoints_reentrantly(module: nn.Module) -> bool:
    """Whether the module checkpoints with anything but an explicit ``use_reentrant=False``."""
    if not getattr(module, "gradient_checkpointing", False):
        return False
    chosen = getattr(module._gradient_checkpointing_func, "keywords", {})
    return chosen.get("use_reentrant") is not False
