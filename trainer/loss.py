"""The objective, token by token: clipped surrogate, dual clip, KL to a reference, entropy bonus.

A mini-batch's loss is the sum over tokens of weight × token loss, where the weight carries the averaging (over
sequences, over tokens, by a constant) and how often a completion occurred. A plain sum is what lets micro-batches,
merged duplicates and ranks add up to the same number.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gapo_trainer.config import Config

MAX_LOG_RATIO = 20.0  # exp(20) = 5e8: keeps exp() finite in float32 whatever a stray token's probability


class TokenLoss(NamedTuple):
    """Per token, [rows, tokens]: the loss with its graph; detached, whether clipping acted, k3 KL and entropy."""

    loss: Tensor
    clipped: Tensor
    kl: Tensor
    entropy: Tensor


def k3(logp: Tensor, reference: Tensor) -> Tensor:
    """Schulman's k3 estimate of KL(policy || reference) from log-probs of the policy's samples: never negative."""
    log_ratio = (reference - logp).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return log_ratio.expm1() - log_ratio  # exp() - 1 would leave float32's rounding, which is larger than a small KL


def token_loss(
    logp: Tensor,
    old_logp: Tensor,
    advantage: Tensor,
    config: Config,
    reference: Tensor | None = None,
    entropy: Tensor | None = None,
) -> TokenLoss:
    """The loss of every completion token; padding is whatever the inputs hold there, and is to be weighted 0.

    Args:
        logp: [rows, tokens] log-probs under the policy, with their graph.
        old_logp: the same under the policy that sampled them.
        advantage: [rows].
        config: clip_low, clip_high, dual_clip, kl_coef and entropy_coef are read.
        reference: log-probs under the reference policy, or None without a KL term.
        entropy: the policy's entropy in nats, with its graph, or None without a bonus.

    Returns:
        The losses and what is logged of them.
    """
    a = advantage[:, None]
    ratio = (logp - old_logp).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    surrogate = -a * ratio
    bounded = -a * ratio.clamp(1 - config.clip_low, 1 + config.clip_high)
    loss = torch.maximum(surrogate, bounded)
    clipped = bounded > surrogate
    if config.dual_clip:
        bound = torch.where(a < 0, -a * config.dual_clip, torch.inf)
        clipped |= bound < loss
        loss = torch.minimum(loss, bound)

    kl = torch.zeros_like(logp) if reference is None else k3(logp, reference)
    bonus = torch.zeros_like(logp) if entropy is None else entropy
    loss = loss + config.kl_coef * kl - config.entropy_coef * bonus
    return TokenLoss(loss, clipped, kl.detach(), bonus.detach())


class Size(NamedTuple):
    """The scored completions of a whole mini-batch, over all its groups and ranks."""

    rows: float
    tokens: float


def token_weights(mask: Tensor, copies: Tensor, size: Size, config: Config) -> Tensor:
    """How much each token counts in its mini-batch.

    Args:
        mask: bool [distinct, tokens], True on completion tokens.
        copies: [distinct], how often each row occurred.
        size: of the whole mini-batch.
        config: ``loss`` names the averaging.

    Returns:
        float32 [distinct, tokens]; 0 on padding.
    """
    counted = mask * copies[:, None].float()
    if config.loss == "token":
        return counted / size.tokens
    if config.loss == "constant":
        return counted / (size.rows * config.max_new_tokens)
    return counted / (size.rows * mask.sum(1, keepdim=True))
