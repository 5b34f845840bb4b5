"""One prompt, computed once, and all its completions scored against it, micro-batch by micro-batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import PreTrainedModel

from .chunked_logprobs import chunked_logprobs
from .completions import Completions, describe
from .model_check import check_model
from .output_head import HeadFunction, run_with_head
from .shared_prefix import PromptKeys, attention_through


@contextmanager
def prompt_once(model: PreTrainedModel, prompt_ids: Tensor) -> Iterator[SharedPrompt]:
    """Compute a prompt once for all its completions, with gradient.

    Within the block each micro-batch of completions runs forward and backward on its own; what it contributes to the
    gradient of the prompt's keys, values and last hidden state is collected. At the end of the block one backward pass
    through the prompt carries the sum on into the parameters::

        with prompt_once(model, prompt_ids) as shared:
            for rows in completions.micro_batches(64):
                logprobs = shared.logprobs(completions[rows])
                loss(logprobs, advantages[rows]).backward()
        optimizer.step()

    The gradients are those of running every prompt with its completion. Under ``torch.no_grad`` nothing is collected.
    Use ``backward``, not ``torch.autograd.grad``, whose results the end of the block would not see, and finish all
    backward passes within the block. If the block raises, the prompt's backward pass does not run.

    Args:
        model: A decoder whose attention goes through transformers' ``AttentionInterface``. Its attention
            implementation is exchanged within the block.
        prompt_ids: int64 ``[prompt length]``, without padding.

    Yields:
        What scores completions.

    Raises:
        UnsupportedModelError: The engine would not compute this model exactly; the message says why.
        ValueError: ``prompt_ids`` is not an int64 vector of at least one token.
    """
    check_model(model)
    with attention_through(model):
        keys, last_hidden = prompt_pass(model, prompt_ids, _hidden_itself)
        computed = [*(tensor for layer in keys.by_layer.values() for tensor in layer), last_hidden]
        leaves = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in computed]
        pairs = zip(leaves[:-1:2], leaves[1::2], strict=True)
        detached = PromptKeys(collecting=False, by_layer=dict(zip(keys.by_layer, pairs, strict=True)))
        yield SharedPrompt(model, len(prompt_ids), detached, leaves[-1])
        reached = [(tensor, leaf.grad) for tensor, leaf in zip(computed, leaves, strict=True) if leaf.grad is not None]
        if reached:
            torch.autograd.backward([tensor for tensor, _ in reached], [grad for _, grad in reached])


class SharedPrompt:
    """Scores completions of a prompt that was computed once; made by `prompt_once`."""

    def __init__(self, model: PreTrainedModel, length: int, keys: PromptKeys, last_hidden: Tensor):
        self._model = model
        self._length = length
        self._keys = keys
        self._last_hidden = last_hidden  # [1, 1, hidden size]: predicts the first token of every completion

    def logprobs(self, completions: Completions, temperature: float = 1.0) -> Tensor:
        """Log-probs of the completions' tokens under the model at ``temperature``.

        Args:
            completions: A micro-batch, on the model's device.
            temperature: Divides the logits; above 0.

        Returns:
            float32 ``[rows, longest]``, 0 behind a row's length.
        """
        return self._score(completions, temperature, with_entropy=False)[0]

    def logprobs_and_entropy(self, completions: Completions, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """Like `logprobs`, and with the same shape the entropy (nats) of the distribution each token was drawn from."""
        logprobs, entropy = self._score(completions, temperature, with_entropy=True)
        return logprobs, entropy

    def _score(self, completions: Completions, temperature: float, with_entropy: bool) -> Tensor:
        tokens, mask = completions.tokens, completions.mask
        rows, longest = tokens.shape

        def score(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            first = self._last_hidden.to(hidden.dtype).expand(rows, -1, -1)
            before = torch.cat([first, hidden[:, : longest - 1]], dim=1)  # the states that predict each token
            return chunked_logprobs(before[mask], weight, bias, tokens[mask], temperature, with_entropy)

        inputs = tokens[:, : max(longest - 1, 1)]  # the last token predicts nothing, but a model wants one to run
        positions = torch.arange(self._length, self._length + inputs.shape[1], device=tokens.device)
        scores = run_with_head(
            self._model,
            score,
            input_ids=inputs,
            position_ids=positions.unsqueeze(0),
            use_cache=False,
            shared_prefix=self._keys,
        )
        return scores.new_zeros(len(scores), rows, longest).masked_scatter(mask, scores)


def prompt_pass(model: PreTrainedModel, prompt_ids: Tensor, head_function: HeadFunction) -> tuple[PromptKeys, Tensor]:
    """Run a prompt, keeping its keys and values.

    Args:
        model: Within `attention_through`.
        prompt_ids: int64 ``[prompt length]``.
        head_function: Called with the last position's hidden state ``[1, 1, hidden size]``; see `run_with_head`.

    Returns:
        The keys and values, still attached to the prompt's graph, and what ``head_function`` returned.
    """
    if prompt_ids.dtype != torch.int64 or prompt_ids.ndim != 1 or prompt_ids.numel() == 0:
        raise ValueError(f"prompt_ids must be int64 [prompt length], got {describe(prompt_ids)}")
    keys = PromptKeys()
    answer = run_with_head(
        model,
        head_function,
        input_ids=prompt_ids.unsqueeze(0),
        use_cache=False,
        logits_to_keep=1,
        shared_prefix=keys,
    )
    keys.check_complete(model)
    return keys, answer


def _hidden_itself(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return hidden.to(torch.promote_types(hidden.dtype, torch.float32))
