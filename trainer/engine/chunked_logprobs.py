"""Log-probs and entropies of tokens straight from hidden states: logits exist for a chunk of positions at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gapo_trainer.engine.logit_curve import LogitCurve

CHUNK_LOGITS = 1 << 22  # logits computed at a time: 16 MB in float32
CHUNK_POSITIONS = 256  # at least, however large the vocabulary: each chunk reads the head's whole weight once


def chunked_logprobs(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    temperature: float = 1.0,
    with_entropy: bool = False,
    curve: LogitCurve = LogitCurve(),  # noqa: B008, a NamedTuple
) -> Tensor:
    """Log-probs of ``targets`` under ``softmax(curve.of(hidden @ weight.T + bias) / temperature)``, differentiable.

    The backward pass computes a chunk's logits again rather than keep them, so memory beyond inputs and gradients is
    a few chunks, whatever the number of positions.

    Args:
        hidden: [positions, hidden size], floating point.
        weight: [vocabulary, hidden size], the output head's.
        bias: [vocabulary] or None.
        targets: int64 [positions].
        temperature: divides the logits; above 0.
        with_entropy: also give the entropy of each position's distribution, in nats.
        curve: what the model makes of its head's output.

    Returns:
        float32 (float64 for float64 inputs) [1, positions], log-probs, or [2, positions], entropies second.
        Under autocast the logits are computed in its dtype, as a linear layer's are.

    Raises:
        ValueError: ``temperature`` is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature expects a value > 0, got {temperature}")
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden, weight, bias = hidden.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    result: Tensor = _ChunkedLogprobs.apply(hidden, weight, bias, targets, temperature, with_entropy, curve)
    return result


class _ChunkedLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        temperature: float,
        with_entropy: bool,
        curve: LogitCurve,
    ) -> Tensor:
        wide = torch.promote_types(hidden.dtype, torch.float32)
        result = torch.empty(1 + with_entropy, len(hidden), dtype=wide, device=hidden.device)
        normalizer = torch.empty(len(hidden), dtype=wide, device=hidden.device)
        for chunk in _chunks(hidden, weight):
            logits, _ = _logits(hidden[chunk], weight, bias, temperature, curve)
            log_p = logits.log_softmax(-1)
            target = targets[chunk, None]
            result[0, chunk] = log_p.gather(-1, target).squeeze(-1)
            normalizer[chunk] = logits.gather(-1, target).squeeze(-1) - result[0, chunk]
            if with_entropy:
                result[1, chunk] = -(log_p.exp() * log_p).sum(-1)  # vecdot autocast would round
        ctx.save_for_backward(hidden, weight, bias, targets, normalizer, result)
        ctx.temperature, ctx.curve = temperature, curve
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, normalizer, result = ctx.saved_tensors
        wants_hidden, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        wants_entropy = len(result) == 2 and bool(grad[1].any())  # it is often only watched
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=normalizer.dtype) if wants_weight else None
        grad_bias = torch.zeros_like(bias, dtype=normalizer.dtype) if wants_bias else None
        steepness = ctx.curve.scale / ctx.temperature  # of the tempered logits, where no cap is felt
        for chunk in _chunks(hidden, weight):
            logits, slope = _logits(hidden[chunk], weight, bias, ctx.temperature, ctx.curve)
            log_p = logits.sub_(normalizer[chunk, None])
            p = log_p.exp()
            grad_logprob = grad[0, chunk, None] * steepness
            coefficient = -grad_logprob  # of p in the gradient of the logits
            if wants_entropy:  # d entropy / d logit = -p (log p + entropy)
                grad_entropy = grad[1, chunk, None] * steepness
                coefficient = log_p.add_(result[1, chunk, None]).mul_(-grad_entropy).sub_(grad_logprob)
            grad_logits = p.mul_(coefficient)
            grad_logits.scatter_add_(-1, targets[chunk, None], grad_logprob)
            if slope is not None:
                grad_logits *= slope
            grad_logits = grad_logits.to(weight.dtype)
            if grad_hidden is not None:
                grad_hidden[chunk] = grad_logits @ weight
            if grad_weight is not None:
                _add_product(grad_weight, grad_logits.T, hidden[chunk])
            if grad_bias is not None:
                grad_bias += grad_logits.sum(0)
        return grad_hidden, _as(grad_weight, weight), _as(grad_bias, bias), None, None, None, None


def _chunks(hidden: Tensor, weight: Tensor) -> list[slice]:
    step = max(CHUNK_POSITIONS, CHUNK_LOGITS // len(weight))
    return [slice(start, start + step) for start in range(0, len(hidden), step)]


def _logits(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: float, curve: LogitCurve
) -> tuple[Tensor, Tensor | None]:
    """A chunk's tempered logits, at least float32 and free to be overwritten, and the slope of the cap, or None."""
    added = hidden.new_zeros(1) if bias is None else bias
    factor = curve.scale / (temperature if curve.cap is None else curve.cap)
    logits = torch.addmm(added, hidden, weight.T, beta=factor, alpha=factor)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if curve.cap is None:
        return logits, None
    tanh = logits.tanh_()
    return tanh * (curve.cap / temperature), 1 - tanh.square()


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """``total += left @ right``, without a temporary where the dtypes allow it."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


def _as(grad: Tensor | None, parameter: Tensor) -> Tensor | None:
    return None if grad is None else grad.to(parameter.dtype)
