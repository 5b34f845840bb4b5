"""A prompt's one pass through the model, and completions scored against what it left behind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from gapo_trainer.engine.chunked_logprobs import chunked_logprobs
from gapo_trainer.engine.completions import Completions
from gapo_trainer.engine.logit_curve import LogitCurve
from gapo_trainer.engine.model_check import check_length
from gapo_trainer.engine.output_head import run_with_head
from gapo_trainer.engine.shared_prefix import PromptKeys


class SharedPrompt:
    """Scores completions of a prompt that was computed once; made by ``prompt_once``."""

    def __init__(self, model: PreTrainedModel, keys: PromptKeys, last_hidden: Tensor, curve: LogitCurve):
        self._model = model
        self._keys = keys
        self._last_hidden = last_hidden  # [1, 1, hidden size]: predicts the first token of every completion
        self._curve = curve

    def logprobs(self, completions: Completions, temperature: float = 1.0) -> Tensor:
        """Log-probs of the completions' tokens under the model at ``temperature``.

        Args:
            completions: a micro-batch, on the model's device.
            temperature: divides the logits; above 0.

        Returns:
            float32 [rows, longest], 0 behind a row's length.
        """
        return self._score(completions, temperature, with_entropy=False)[0]

    def logprobs_and_entropy(self, completions: Completions, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """Like ``logprobs``, and in the same shape the entropy, in nats, of the distribution of each token."""
        logprobs, entropy = self._score(completions, temperature, with_entropy=True)
        return logprobs, entropy

    def _score(self, completions: Completions, temperature: float, with_entropy: bool) -> Tensor:
        tokens, mask = completions.tokens, completions.mask
        rows, longest = tokens.shape
        check_length(self._model, self._keys.length, longest)
        self._keys.check_room(self._model, longest)

        def score(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            first = self._last_hidden.to(hidden.dtype).expand(rows, -1, -1)
            before = torch.cat([first, hidden[:, : longest - 1]], dim=1)  # the states that predict each token
            return chunked_logprobs(before[mask], weight, bias, tokens[mask], temperature, with_entropy, self._curve)

        inputs = tokens[:, : max(longest - 1, 1)]  # the last one predicts nothing, but a model needs one to run
        positions = torch.arange(inputs.shape[1], device=tokens.device) + self._keys.length
        scores = run_with_head(
            self._model,
            score,
            input_ids=inputs,
            position_ids=positions.unsqueeze(0),
            use_cache=False,
            shared_prefix=self._keys,
        )
        return scores.new_zeros(len(scores), rows, longest).masked_scatter(mask, scores)


def prompt_pass(model: PreTrainedModel, prompt_ids: Tensor, run: Callable[..., Tensor]) -> tuple[PromptKeys, Tensor]:
    """Run a prompt, keeping its keys and values.

    Args:
        model: within ``attention_through``.
        prompt_ids: int64 [prompt length].
        run: runs the model, given inputs for its forward that ask for the last position's logits only.

    Returns:
        The keys and values, still attached to the prompt's graph, and what ``run`` returned.
    """
    keys = PromptKeys()
    answer = run(input_ids=prompt_ids.unsqueeze(0), use_cache=False, logits_to_keep=1, shared_prefix=keys)
    keys.check_complete(model)
    return keys, answer


def hidden_of(model: PreTrainedModel) -> Callable[..., Tensor]:
    """What runs the model up to its head, for ``prompt_pass``: it returns the head's input, in float32 at least."""

    def itself(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return hidden.to(torch.promote_types(hidden.dtype, torch.float32))

    return partial(run_with_head, model, itself)
