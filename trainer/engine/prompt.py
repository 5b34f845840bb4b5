"""One prompt, computed once, forward and backward, for all its completions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import PreTrainedModel

from gapo_trainer.engine.completions import check_prompt
from gapo_trainer.engine.example_check import check_example
from gapo_trainer.engine.model_check import check_length, check_model
from gapo_trainer.engine.shared_prefix import attention_through
from gapo_trainer.engine.shared_prompt import SharedPrompt, hidden_of, prompt_pass


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
        model: a decoder whose attention goes through transformers' ``AttentionInterface``. Its attention
            implementation is exchanged within the block.
        prompt_ids: int64 [prompt length], without padding.

    Yields:
        What scores completions.

    Raises:
        UnsupportedModelError: the engine would not compute this model exactly; the message says why.
        ValueError: ``prompt_ids`` is not an int64 vector of at least one token.
    """
    check_model(model)
    check_prompt(prompt_ids)
    check_length(model, len(prompt_ids), 0)
    curve = check_example(model, prompt_ids.device)
    with attention_through(model):
        keys, last_hidden = prompt_pass(model, prompt_ids, hidden_of(model))
        computed = [*(tensor for layer in keys.by_layer.values() for tensor in layer), last_hidden]
        leaves = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in computed]
        pairs = zip(leaves[:-1:2], leaves[1::2], strict=True)
        yield SharedPrompt(model, keys.with_tensors(dict(zip(keys.by_layer, pairs, strict=True))), leaves[-1], curve)
        reached = [(tensor, leaf.grad) for tensor, leaf in zip(computed, leaves, strict=True) if leaf.grad is not None]
        if reached:
            torch.autograd.backward([tensor for tensor, _ in reached], [grad for _, grad in reached])
