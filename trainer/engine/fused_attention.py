"""Fused attention that also gives its log-sum-exp, by device: PyTorch's own kernels behind one signature.

The public ``scaled_dot_product_attention`` runs these kernels too but keeps the log-sum-exp to itself; without it two
partial attentions over different keys cannot be merged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

aten = torch.ops.aten

LSE_ALIGNMENT = 32  # the CUDA kernel reads log-sum-exps from rows padded to a multiple of this, with +inf


class FusedAttention(NamedTuple):
    """One device's kernel pair. Queries are [batch, heads, queries, dim], keys [batch, heads, keys, dim].

    ``forward(query, key, value, causal, scale)`` gives the output, shaped like the query, and the log-sum-exp of the
    scaled scores, float32 [batch, heads, queries]. ``backward(grad, query, key, value, out, lse, causal, scale)``
    gives the gradients of query, key and value. It derives the probabilities from ``lse`` alone, so with the output and
    the log-sum-exp of a *merged* attention it gives the gradients of this part of the merge.
    """

    forward: Callable[..., tuple[Tensor, Tensor]]
    backward: Callable[..., tuple[Tensor, Tensor, Tensor]]


def _cpu_forward(query: Tensor, key: Tensor, value: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    return aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, causal, scale=scale)


def _cpu_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, causal: bool, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    return aten._scaled_dot_product_flash_attention_for_cpu_backward(
        grad, query, key, value, out, lse, 0.0, causal, scale=scale
    )


def _cuda_forward(query: Tensor, key: Tensor, value: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    out, lse, _, _ = aten._scaled_dot_product_efficient_attention(
        query, key, value, None, True, 0.0, causal, scale=scale
    )
    return out, lse[..., : query.shape[2]]


def _cuda_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, causal: bool, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    # in half precision the kernel reads the output by its own idea of where a position's heads lie: side by side
    out = out.transpose(1, 2).contiguous().transpose(1, 2)
    padded = pad(lse, (0, -lse.shape[-1] % LSE_ALIGNMENT), value=torch.inf)
    no_dropout = torch.zeros((), dtype=torch.int64, device=query.device)  # the seed and offset of a dropout of 0
    grad_query, grad_key, grad_value, _ = aten._scaled_dot_product_efficient_attention_backward(
        grad, query, key, value, None, out, padded, no_dropout, no_dropout, 0.0, [True, True, True, False], causal,
        scale=scale,
    )  # fmt: skip
    return grad_query, grad_key, grad_value


FUSED_ATTENTION = {
    "cpu": FusedAttention(_cpu_forward, _cpu_backward),
    "cuda": FusedAttention(_cuda_forward, _cuda_backward),
}
