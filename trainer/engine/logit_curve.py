"""What a model does to its logits behind its output head: it may scale them (Cohere, Granite) or cap them softly.

Nothing that all configurations share says so, but the model shows it: its head is made to give known numbers once.
"""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import PreTrainedModel

from .errors import UnsupportedModelError
from .output_head import forward_replaced

# Powers of two, which every precision holds: at the least no cap is felt, at the largest nothing else is.
LEAST, LARGEST = 2.0**-14, 2.0**15
TOLERANCE = 0.02  # of a curve that is computed in half precision


class LogitCurve(NamedTuple):
    """``cap · tanh(scale · x / cap)``, or without a cap ``scale · x``, of a head's output x."""

    scale: float = 1.0
    cap: float | None = None

    def of(self, logits: Tensor) -> Tensor:
        """The model's logits, of those of its head."""
        if self.cap is None:
            return logits * self.scale
        return self.cap * torch.tanh(logits * (self.scale / self.cap))


_curves: WeakKeyDictionary[PreTrainedModel, LogitCurve] = WeakKeyDictionary()


def logit_curve(model: PreTrainedModel, device: torch.device) -> LogitCurve:
    """The model's curve, which is measured once; under FSDP2 every rank comes here at the same time.

    Raises:
        UnsupportedModelError: It is no scale and no soft cap.
    """
    if model not in _curves:
        _curves[model] = _measured(model, device)
    return _curves[model]


@torch.no_grad()
def _measured(model: PreTrainedModel, device: torch.device) -> LogitCurve:
    points = torch.tensor([LEAST, LARGEST, *range(-60, 61, 4)], dtype=torch.float64, device=device)

    def head(hidden: Tensor) -> Tensor:
        return points.expand(*hidden.shape[:-1], -1)

    with forward_replaced(model.get_output_embeddings(), head):
        found = model(input_ids=torch.zeros(1, 1, dtype=torch.int64, device=device), use_cache=False).logits[0, -1]
    found = found.double()
    if found.shape == points.shape:
        scale, largest = float(found[0]) / LEAST, float(found[1])
        curve = LogitCurve(scale, None if largest > scale * LARGEST / 2 else largest)
        if torch.allclose(curve.of(points), found, rtol=TOLERANCE, atol=TOLERANCE):
            return curve
    raise UnsupportedModelError(
        f"{type(model).__name__} changes its logits behind the output head in a way of its own; "
        "a scale and a soft cap, cap · tanh(logits / cap), are computed"
    )
