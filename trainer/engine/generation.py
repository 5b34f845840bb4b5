"""Completions of a prompt, generated from one prefill whose keys and values all rows share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from gapo_trainer.engine.completions import Completions, Samples, check_prompt
from gapo_trainer.engine.example_check import check_example
from gapo_trainer.engine.fsdp import gathered
from gapo_trainer.engine.model_check import check_length, check_model
from gapo_trainer.engine.sampling import Sampling, TokenSampler
from gapo_trainer.engine.shared_prefix import PromptKeys, attention_through
from gapo_trainer.engine.shared_prompt import prompt_pass
from gapo_trainer.errors import UserError


@torch.no_grad()
def generate(
    model: PreTrainedModel,
    prompt_ids: Tensor,
    group_size: int,
    sampling: Sampling,
    generator: torch.Generator | None = None,
    rows_at_a_time: int | None = None,
    rows: slice = slice(None),
) -> Samples:
    """Draw a group of completions of one prompt.

    Every random number is drawn beforehand, one for each row and position, so that the same generator gives the same
    completions whatever ``rows_at_a_time`` is, up to rounding in the model itself.

    Args:
        model: as for ``prompt_once``; it runs in evaluation mode.
        prompt_ids: int64 [prompt length], without padding.
        group_size: how many completions.
        sampling: how to draw them.
        generator: on any device; None uses PyTorch's default one of the CPU.
        rows_at_a_time: rows that run together, to bound memory: logits [rows, vocabulary] and the completions'
            own keys and values. None runs all.
        rows: which of the group to draw, where several processes share it: each draws what one would.

    Returns:
        The samples of ``rows``, on the prompt's device.

    Raises:
        UnsupportedModelError: the engine would not compute this model exactly; the message says why.
        UserError: the model's logits are no numbers.
        ValueError: ``group_size``, ``rows_at_a_time`` or ``prompt_ids`` is out of range.
    """
    slice_size = group_size if rows_at_a_time is None else rows_at_a_time
    if group_size < 1:
        raise ValueError(f"group_size expects a value >= 1, got {group_size}")
    if slice_size < 1:
        raise ValueError(f"rows_at_a_time expects a value >= 1, got {rows_at_a_time}")
    check_model(model)
    check_prompt(prompt_ids)
    check_length(model, len(prompt_ids), sampling.max_new_tokens)
    on = generator.device if generator is not None else "cpu"
    draws = torch.rand(group_size, sampling.max_new_tokens, generator=generator, device=on)[rows].to(prompt_ids.device)
    with evaluating(model), gathered(model):
        check_example(model, prompt_ids.device)
        with attention_through(model):
            keys, logits = prompt_pass(model, prompt_ids, lambda **inputs: model(**inputs).logits)
            keys.check_room(model, sampling.max_new_tokens)
            decoder = _Decoder(model, prompt_ids[-1:], keys.with_tensors(keys.by_layer), sampling)
            return _joined([decoder.run(logits[:, -1].float(), part) for part in draws.split(slice_size)])


class _Decoder:
    """Draws slices of a group from the same prefill."""

    def __init__(self, model: PreTrainedModel, last_of_prompt: Tensor, keys: PromptKeys, sampling: Sampling):
        self._model = model
        self._last_of_prompt = last_of_prompt
        self._keys = keys
        self._sample = TokenSampler(sampling)
        self._eos = torch.tensor(sampling.eos_token_ids, dtype=torch.int64)
        self._stop = sampling.stop

    def run(self, first_logits: Tensor, draws: Tensor) -> Samples:
        """Draw a completion for each row of ``draws`` [rows, max_new_tokens], from ``first_logits`` [1, V]."""
        rows, max_new_tokens = draws.shape
        eos = self._eos.to(draws.device)
        tokens = torch.zeros(rows, max_new_tokens, dtype=torch.int64, device=draws.device)
        logprobs = torch.zeros_like(draws)
        lengths = torch.zeros(rows, dtype=torch.int64, device=draws.device)
        ended = torch.zeros(rows, dtype=torch.bool, device=draws.device)

        running = torch.arange(rows, device=draws.device)  # rows that have not ended; the others leave the batch
        own_keys = DynamicCache()
        logits = first_logits.expand(rows, -1)
        for step in range(max_new_tokens):
            token, logprob = self._sample(logits, draws[running, step])
            tokens[running, step] = token
            logprobs[running, step] = logprob
            lengths[running] = step + 1
            ends = torch.isin(token, eos)
            if self._stop is not None:
                before = self._last_of_prompt.expand(len(running), 1)
                ends |= self._stop(torch.cat([before, tokens[running, : step + 1]], dim=1), logits)
            ended[running] = ends
            if ends.any():
                going_on = torch.nonzero(~ends).squeeze(-1)
                running, token = running[going_on], token[going_on]
                own_keys.batch_select_indices(going_on)
            if len(running) == 0 or step + 1 == max_new_tokens:
                break
            logits = self._next_logits(token, step, own_keys)
        if logprobs.isnan().any():
            raise UserError(
                "the policy's logits are NaN or infinite, so no token can be drawn; lower lr, or raise temperature"
            )
        completions = Completions(tokens, lengths)[:]
        return Samples(completions, logprobs[:, : completions.tokens.shape[1]], ended)

    def _next_logits(self, token: Tensor, step: int, own_keys: DynamicCache) -> Tensor:
        outputs = self._model(
            input_ids=token[:, None],
            position_ids=torch.full((1, 1), self._keys.length + step, device=token.device),
            past_key_values=own_keys,
            use_cache=True,
            shared_prefix=self._keys,
        )
        return outputs.logits[:, -1].float()


def _joined(slices: list[Samples]) -> Samples:
    """One group from its slices, padded to the longest of all."""
    longest = max(part.logprobs.shape[1] for part in slices)

    def padded(tensors: list[Tensor]) -> Tensor:
        return torch.cat([torch.nn.functional.pad(tensor, (0, longest - tensor.shape[1])) for tensor in tensors])

    tokens = padded([part.completions.tokens for part in slices])
    lengths = torch.cat([part.completions.lengths for part in slices])
    logprobs = padded([part.logprobs for part in slices])
    return Samples(Completions(tokens, lengths), logprobs, torch.cat([part.ended for part in slices]))


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode within the block: gradient checkpointing in training mode would drop the completions' cache."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
