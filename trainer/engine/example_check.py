"""Compares the engine with the model itself, on a few tokens, the first time that it meets the model.

What a model does with its positions, where its layers drop something out, or whether they attend in a way of their own
shows nowhere in its configuration that is common to all models. It shows in the log-probs.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import PreTrainedModel

from .completions import Completions
from .errors import UnsupportedModelError
from .shared_prefix import PromptKeys, attention_through
from .shared_prompt import SharedPrompt, hidden_itself, prompt_pass

LENGTH = 12  # tokens: one half is the prompt, the other its completion
# Of the largest logit: far above what another order of sums does, far below what a wrong position does.
FULL_TOLERANCE, HALF_TOLERANCE = 1e-3, 3e-2

_passed: WeakKeyDictionary[PreTrainedModel, set[bool]] = WeakKeyDictionary()  # in training mode, in evaluation mode


@torch.no_grad()
def check_example(model: PreTrainedModel, prompt_ids: Tensor) -> None:
    """Raise `UnsupportedModelError` unless the engine and the model agree on the first tokens of ``prompt_ids``.

    Once a model and mode, training or evaluation; under FSDP2 every rank comes here at the same time.
    """
    passed = _passed.setdefault(model, set())
    if model.training in passed:
        return
    tokens = prompt_ids.repeat(-(-LENGTH // len(prompt_ids)))[:LENGTH]
    prompt, completion = tokens[: LENGTH // 2], tokens[LENGTH // 2 :]
    with torch.autocast(tokens.device.type, enabled=False):
        logits = model(input_ids=tokens[None], use_cache=False).logits[0, len(prompt) - 1 : -1].double()
        with attention_through(model):
            keys, last_hidden = prompt_pass(model, prompt, hidden_itself)
            keys.collecting = False
            rows = Completions(completion[None], torch.tensor([len(completion)], device=tokens.device))
            found = SharedPrompt(model, len(prompt), keys, last_hidden).logprobs(rows)
    expected = logits.log_softmax(-1).gather(-1, completion[:, None]).T
    difference = float((found - expected).abs().max() / (1 + logits.abs().max()))
    if difference > _tolerance(keys):  # not where a weight is NaN: that is not the architecture's fault
        raise UnsupportedModelError(
            f"{type(model).__name__} gives a text other log-probs than the engine does (by {difference:.1e} of its "
            "logits): its positions or its attention are of a kind of their own, or it drops out in training"
        )
    passed.add(model.training)


def _tolerance(keys: PromptKeys) -> float:
    """By the precision that the layers compute in, which need not be the weights'."""
    key, _ = keys.by_layer[0]
    return FULL_TOLERANCE if key.dtype in (torch.float32, torch.float64) else HALF_TOLERANCE
