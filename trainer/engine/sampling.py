"""How completions are drawn: the settings, and the step from logits to tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LogitsProcessorList, StoppingCriteria, TopKLogitsWarper, TopPLogitsWarper


@dataclass(frozen=True)
class Sampling:
    """Settings of generation.

    Attributes:
        max_new_tokens: the longest completion, end-of-sequence token included.
        eos_token_ids: tokens that end a sequence; empty to run every row to ``max_new_tokens``.
        stop: what else ends a sequence, as transformers has it: given the prompt's last token and the tokens so far,
            int64 [rows, 1 + tokens], it tells which rows end, bool [rows]. None for nothing else.
        temperature: divides the logits; 0 takes the most probable token.
        top_p: keep the most probable tokens that together reach this probability; 1 keeps all.
        top_k: keep this many of the most probable tokens; 0 keeps all.
    """

    max_new_tokens: int
    eos_token_ids: tuple[int, ...]
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop: StoppingCriteria | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens expects a value >= 1, got {self.max_new_tokens}")
        if not self.temperature >= 0:
            raise ValueError(f"temperature expects a value >= 0, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p expects 0 < top_p <= 1, got {self.top_p}")
        if self.top_k < 0:
            raise ValueError(f"top_k expects a value >= 0, got {self.top_k}")


class TokenSampler:
    """Draws the next token of each row. The truncations are transformers' own, as ``generate`` applies them."""

    def __init__(self, sampling: Sampling):
        self._temperature = sampling.temperature
        self._truncate = LogitsProcessorList()
        if sampling.top_k:
            self._truncate.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1:
            self._truncate.append(TopPLogitsWarper(sampling.top_p))

    def __call__(self, logits: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Draw by inverting the cumulative distribution, one uniform number a row.

        Args:
            logits: float32 [rows, vocabulary].
            draws: float32 [rows], in [0, 1).

        Returns:
            The tokens, int64 [rows], and their log-probs before truncation, float32 [rows]; NaN where a row has
            logits that are no numbers. Look for one only after the last token: to look is to wait for the device.
        """
        if self._temperature == 0:
            logprobs = logits.log_softmax(-1)
            tokens = logits.argmax(-1, keepdim=True)
        else:
            logprobs = (logits / self._temperature).log_softmax(-1)
            unused = torch.LongTensor()  # the tokens so far, which truncation does not look at
            cumulative = self._truncate(unused, logprobs).exp().cumsum(-1)
            total = cumulative[:, -1:]
            # below the total, so that rounding never lands behind the last token that has any probability
            target = torch.minimum(draws[:, None] * total, total.nextafter(torch.zeros_like(total)))
            tokens = torch.searchsorted(cumulative, target, right=True)
            tokens.clamp_(max=logits.shape[-1] - 1)  # NaN is found behind the last token
        return tokens.squeeze(-1), logprobs.gather(-1, tokens).squeeze(-1)
