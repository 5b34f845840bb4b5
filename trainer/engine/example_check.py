"""Compares the engine with the model itself, on a few tokens, the first time that it meets the model.

What a model does with its positions, where its layers drop something out, or whether they attend in a way of their own
shows nowhere in its configuration that is common to all models. It shows in the log-probs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import PreTrainedModel

from gapo_trainer.engine.completions import Completions
from gapo_trainer.engine.errors import UnsupportedModelError
from gapo_trainer.engine.logit_curve import LogitCurve, measured_curve
from gapo_trainer.engine.model_check import longest_sequence
from gapo_trainer.engine.shared_prefix import PromptKeys, attention_through
from gapo_trainer.engine.shared_prompt import SharedPrompt, hidden_of, prompt_pass

LENGTH = 12  # tokens: one half is the prompt, the other its completion
# Mean difference of the log-probs over 1 + the largest logit. Another order of sums makes 1e-6 of it in float32; in
# half precisions deep models come to 0.05, so that only what is grossly wrong shows there.
FULL_TOLERANCE, HALF_TOLERANCE = 1e-3, 0.1


@dataclass
class _Known:
    """What was found out about a model, as long as its configuration is this."""

    configuration: dict[str, Any]
    curve: LogitCurve
    passed: set[bool] = field(default_factory=set)  # in training mode, in evaluation mode


_models: WeakKeyDictionary[PreTrainedModel, _Known] = WeakKeyDictionary()


def check_example(model: PreTrainedModel, device: torch.device) -> LogitCurve:
    """Raise ``UnsupportedModelError`` unless the engine and the model agree on a dozen tokens.

    Once a model, configuration and mode, training or evaluation; under FSDP2 every rank comes here at the same time.

    Returns:
        What the model does to its logits.
    """
    configuration = model.config.to_dict()
    known = _models.get(model)
    if known is None or known.configuration != configuration:
        known = _Known(configuration, measured_curve(model, device))
    if model.training not in known.passed:
        difference, keys = _difference(model, _example(model, device), known.curve)
        if difference > _tolerance(keys):  # a NaN passes: it comes from a weight, not from the architecture
            raise UnsupportedModelError(
                f"{type(model).__name__} gives a text other log-probs than the engine does (by {difference:.1e} of its "
                "logits): its positions or its attention are of a kind of their own, it drops out in training, or its "
                "results depend on the batch (quantised activations)"
            )
        known.passed.add(model.training)
        _models[model] = known
    return known.curve


def _example(model: PreTrainedModel, device: torch.device) -> Tensor:
    """Different tokens, since among equal ones no position shows; few enough for the model."""
    vocabulary = model.config.get_text_config(decoder=True).vocab_size
    length = min(LENGTH, longest_sequence(model) or LENGTH)
    return (2 * torch.arange(length, device=device) + 1) * vocabulary // (2 * length)


@torch.no_grad()
def _difference(model: PreTrainedModel, tokens: Tensor, curve: LogitCurve) -> tuple[float, PromptKeys]:
    """How far the engine's log-probs of the second half are from the model's, and the first half's keys."""
    prompt, completion = tokens.tensor_split(2)
    kind = tokens.device.type
    # Autocast is off where all weights are float32, so that its rounding hides nothing; where some are not, the model
    # may need it. Its cache is off: weights that are cast here have no gradient, and must not serve training.
    needed = any(parameter.dtype != torch.float32 for parameter in model.parameters())
    autocast = torch.autocast(
        kind, torch.get_autocast_dtype(kind), enabled=needed and torch.is_autocast_enabled(kind), cache_enabled=False
    )
    with autocast:
        with attention_through(model):
            keys, last_hidden = prompt_pass(model, prompt, hidden_of(model))
            rows = Completions(completion[None], torch.tensor([len(completion)], device=tokens.device))
            found = SharedPrompt(model, keys.with_tensors(keys.by_layer), last_hidden, curve).logprobs(rows)
        # after the engine's run, which refuses in better words
        logits = model(input_ids=tokens[None], use_cache=False).logits[0, len(prompt) - 1 : -1].double()
    expected = logits.log_softmax(-1).gather(-1, completion[:, None]).T
    return float((found - expected).abs().mean() / (1 + logits.abs().max())), keys


def _tolerance(keys: PromptKeys) -> float:
    """By the precision that the layers compute in, which need not be the weights'."""
    key, _ = keys.by_layer[0]
    return FULL_TOLERANCE if key.dtype in (torch.float32, torch.float64) else HALF_TOLERANCE
