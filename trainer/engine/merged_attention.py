"""Attention over two sets of keys, the prompt's (shared, never expanded) and a completion's own, merged exactly."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from gapo_trainer.engine.fused_attention import FUSED_ATTENTION


def merged_attention(
    query: Tensor,
    prompt_key: Tensor,
    prompt_value: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float,
    sinks: Tensor | None = None,
) -> Tensor:
    """Let every row attend to the whole prompt and to its own keys up to its own position.

    Softmax over the union of two key sets is the two softmaxes weighted by their shares of the normaliser, so neither
    the prompt's keys are repeated by row nor is a score matrix kept.

    Args:
        query: [rows, heads, length, dim], floating point.
        prompt_key: [1, key heads, prompt length, dim]; ``heads`` is a multiple of ``key heads``. It may be empty.
        prompt_value: like ``prompt_key``, or with a last dimension of ``value dim``.
        key: [rows, key heads, own length, dim]. ``own length`` equals ``length`` (whole completions, causal), or
            ``length`` is 1 (the next token, which sees all of them).
        value: like ``key``, or with a last dimension of its own, ``value dim``.
        scale: multiplies the scores.
        sinks: [heads], or None: one more score of each query, of a key without a value.

    Returns:
        [rows, heads, length, value dim], in the query's dtype.
    """
    value_dim = value.shape[-1]
    dim = max(query.shape[-1], value_dim)  # the kernels know one size of head; zeros change no score
    tensors = (widened(tensor, dim) for tensor in (query, prompt_key, prompt_value, key, value))
    out: Tensor = _MergedAttention.apply(*tensors, sinks, scale)
    return out[..., :value_dim]


def widened(tensor: Tensor, dim: int) -> Tensor:
    """``tensor`` with zeros behind its last dimension, up to ``dim``."""
    return pad(tensor, (0, dim - tensor.shape[-1])) if tensor.shape[-1] < dim else tensor


class _MergedAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        prompt_key: Tensor,
        prompt_value: Tensor,
        key: Tensor,
        value: Tensor,
        sinks: Tensor | None,
        scale: float,
    ) -> Tensor:
        fused = FUSED_ATTENTION[query.device.type]
        rows, heads, length, dim = query.shape
        key_heads = key.shape[1]

        if length > 1:
            out, lse = fused.forward(query, _by_head(key, heads), _by_head(value, heads), True, scale)
        else:  # heads that share keys are queries of one head, so that generation repeats no keys either
            out, lse = fused.forward(query.reshape(rows, key_heads, -1, dim), key, value, False, scale)
            out, lse = out.reshape(query.shape), lse.reshape(rows, heads, 1)
        out = out.to(lse.dtype)  # half precisions come with a float32 log-sum-exp: merge in that
        if prompt_key.shape[2] > 0:
            from_prompt, prompt_lse = fused.forward(_fold(query, key_heads), prompt_key, prompt_value, False, scale)
            from_prompt, prompt_lse = (_unfold(part, rows, length) for part in (from_prompt, prompt_lse))
            out = torch.lerp(out, from_prompt.to(lse.dtype), torch.sigmoid(prompt_lse - lse).unsqueeze(-1))
            lse = torch.logaddexp(prompt_lse, lse)
        if sinks is not None:
            sink = sinks.to(lse.dtype)[:, None]
            out = out * torch.sigmoid(lse - sink).unsqueeze(-1)
            lse = torch.logaddexp(lse, sink)
        out = out.to(query.dtype)
        ctx.save_for_backward(query, prompt_key, prompt_value, key, value, sinks, out, lse)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, prompt_key, prompt_value, key, value, sinks, out, lse = ctx.saved_tensors
        fused = FUSED_ATTENTION[query.device.type]
        rows, heads, length, _ = query.shape
        key_heads = key.shape[1]

        own = (_by_head(key, heads), _by_head(value, heads))
        grad_query, grad_key, grad_value = fused.backward(
            grad.contiguous(), query, *own, out, lse, length > 1, ctx.scale
        )
        grad_prompt_key = grad_prompt_value = grad_sinks = None
        if prompt_key.shape[2] > 0:
            folded = (_fold(tensor, key_heads) for tensor in (out, lse))
            grad_folded, grad_prompt_key, grad_prompt_value = fused.backward(
                _fold(grad, key_heads), _fold(query, key_heads), prompt_key, prompt_value, *folded, False, ctx.scale
            )
            grad_query = grad_query + _unfold(grad_folded, rows, length)
        if sinks is not None:  # its share of the softmax, of which the output has nothing
            share = torch.exp(sinks.to(lse.dtype)[:, None] - lse)
            grad_sinks = -(share * (grad.to(lse.dtype) * out).sum(-1)).sum((0, 2)).to(sinks.dtype)
        return (
            grad_query,
            grad_prompt_key,
            grad_prompt_value,
            _by_key_head(grad_key, key_heads),
            _by_key_head(grad_value, key_heads),
            grad_sinks,
            None,
        )


def _fold(tensor: Tensor, key_heads: int) -> Tensor:
    """[rows, heads, length, …] → [1, key heads, rows · heads / key heads · length, …], one batch of queries."""
    return tensor.unflatten(1, (key_heads, -1)).transpose(0, 1).flatten(1, 3).unsqueeze(0)


def _unfold(tensor: Tensor, rows: int, length: int) -> Tensor:
    """Undo ``_fold``."""
    return tensor.squeeze(0).unflatten(1, (rows, -1, length)).transpose(0, 1).flatten(1, 2)


def _by_head(tensor: Tensor, heads: int) -> Tensor:
    """Repeat a completion's own keys for the query heads that share them; they are short, the prompt's are not."""
    return tensor.repeat_interleave(heads // tensor.shape[1], dim=1)


def _by_key_head(grad: Tensor, key_heads: int) -> Tensor:
    """Undo ``_by_head``, for gradients."""
    return grad.unflatten(1, (key_heads, -1)).sum(2)
