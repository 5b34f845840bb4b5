"""Attention in plain tensor operations, for what no fused kernel computes: sliding windows, soft caps.

Scores exist for some queries at a time, and are computed again in the backward pass.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

SCORES = 1 << 24  # computed at a time, at least one position's of every row; a few such tensors exist at once


class Rules(NamedTuple):
    """How a layer attends, beside causally."""

    scale: float
    window: int | None = None  # positions that a query sees, its own included
    cap: float | None = None  # scores become cap · tanh(score / cap)
    sinks: Tensor | None = None  # [heads]: one more score of each query, of a key without a value

    @property
    def fused(self) -> bool:
        """Whether the fused kernels compute them; sinks are merged into what these give."""
        return self.window is None and self.cap is None


def plain_attention(
    query: Tensor, prompt_key: Tensor, prompt_value: Tensor, key: Tensor, value: Tensor, rules: Rules
) -> Tensor:
    """Let every row attend to the prompt and to its own keys, by ``rules``.

    Args:
        query: [rows, heads, length, dim], of the last ``length`` positions.
        prompt_key: [1, key heads, prompt length, dim]; ``heads`` is a multiple of ``key heads``. It may be empty.
        prompt_value: [1, key heads, prompt length, value dim].
        key: [rows, key heads, own length, dim], with ``own length`` at least ``length``.
        value: [rows, key heads, own length, value dim].
        rules: the layer's.

    Returns:
        [rows, heads, length, value dim], in the query's dtype.
    """
    rows, heads, length, _ = query.shape
    keys = prompt_key.shape[2] + key.shape[2]
    # No more positions than the window has, since some of them see keys that the others do not.
    most, seen = (length, keys) if rules.window is None else (rules.window, min(keys, 2 * rules.window))
    step = min(most, max(1, SCORES // (rows * heads * seen)))
    parts = []
    with torch.autocast(query.device.type, enabled=False):  # it would round the scores
        for begin in range(0, length, step):
            some = query[:, :, begin : begin + step]
            inputs = (some, prompt_key, prompt_value, key, value, rules, keys - length + begin)
            if torch.is_grad_enabled():
                parts.append(checkpoint(_attend, *inputs, use_reentrant=False, preserve_rng_state=False))
            else:
                parts.append(_attend(*inputs))
        return torch.cat(parts, dim=2)


def _attend(
    query: Tensor, prompt_key: Tensor, prompt_value: Tensor, key: Tensor, value: Tensor, rules: Rules, first: int
) -> Tensor:
    """The attention of queries at the positions from ``first`` on, with scores in float32 at least."""
    key_heads, prompt_length, end = key.shape[1], prompt_key.shape[2], first + query.shape[2]
    begin = 0 if rules.window is None else max(0, first - rules.window + 1)  # the first position that any of them sees
    shared = slice(begin, min(end, prompt_length))
    own = slice(max(0, begin - prompt_length), max(0, end - prompt_length))
    wide = torch.promote_types(query.dtype, torch.float32)
    grouped = query.to(wide).unflatten(1, (key_heads, -1)) * rules.scale
    from_prompt = torch.einsum("rkhqd,kpd->rkhqp", grouped, prompt_key[0, :, shared].to(wide))  # nothing is repeated
    from_own = torch.einsum("rkhqd,rkpd->rkhqp", grouped, key[:, :, own].to(wide))
    scores = torch.cat([from_prompt, from_own], dim=-1)
    if rules.cap is not None:
        scores = rules.cap * torch.tanh(scores / rules.cap)
    positions = torch.arange(first, end, device=query.device)
    behind = positions[:, None] - torch.arange(begin, end, device=query.device)  # how far a key is behind a query
    hidden = behind < 0 if rules.window is None else (behind < 0) | (behind >= rules.window)
    scores = scores.masked_fill(hidden, -torch.inf)
    if rules.sinks is not None:
        sinks = rules.sinks.to(wide).reshape(key_heads, -1, 1, 1).expand(*scores.shape[:-1], 1)
        scores = torch.cat([scores, sinks], dim=-1)
    shares = scores.softmax(-1).to(query.dtype)
    seen = max(0, min(end, prompt_length) - begin)
    out = torch.einsum("rkhqp,kpd->rkhqd", shares[..., :seen], prompt_value[0, :, shared])
    out = out + torch.einsum("rkhqp,rkpd->rkhqd", shares[..., seen : end - begin], value[:, :, own])
    return out.flatten(1, 2)
