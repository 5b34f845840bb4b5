"""What a model does to its logits behind its output head: it may scale them (Cohere, Granite) or cap them softly.

No field that all configurations share says so. So the head is made to give known numbers once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from gapo_trainer.engine.errors import UnsupportedModelError
from gapo_trainer.engine.output_head import forward_replaced

# Powers of two, which every precision holds: a cap does not bend the least, and is all that remains of the largest.
LEAST, LARGEST = 2.0**-14, 2.0**15
FULL_TOLERANCE, HALF_TOLERANCE = 1e-5, 0.02  # by the precision that the model computes its curve in


class LogitCurve(NamedTuple):
    """``cap · tanh(scale · x / cap)``, or without a cap ``scale · x``, of a head's output x."""

    scale: float = 1.0
    cap: float | None = None

    def of(self, logits: Tensor) -> Tensor:
        """The model's logits, of those of its head."""
        if self.cap is None:
            return logits * self.scale
        return self.cap * torch.tanh(logits * (self.scale / self.cap))


@torch.no_grad()
def measured_curve(model: PreTrainedModel, device: torch.device) -> LogitCurve:
    """The model's curve, by one forward; under FSDP2 every rank comes here at the same time.

    Raises:
        UnsupportedModelError: it is no scale and no soft cap.
    """
    head = model.get_output_embeddings()
    some = torch.tensor([LEAST, LARGEST, *range(-60, 61, 4)], dtype=torch.float64, device=device)
    points = some.repeat(-(-head.out_features // len(some)))[: max(head.out_features, len(some))]

    def known(hidden: Tensor) -> Tensor:
        return points.expand(*hidden.shape[:-1], -1).clone()  # which the model may write to

    with forward_replaced(head, known):
        found = model(input_ids=torch.zeros(1, 1, dtype=torch.int64, device=device), use_cache=False).logits[0, -1]
    tolerance = HALF_TOLERANCE if found.dtype in (torch.float16, torch.bfloat16) else FULL_TOLERANCE
    found = found.double()
    if found.shape == points.shape and found[0] != 0:
        scale, largest = float(found[0]) / LEAST, float(found[1])
        curve = LogitCurve(scale, None if abs(largest) > abs(scale) * LARGEST / 2 else largest)
        if torch.allclose(curve.of(points), found, rtol=tolerance, atol=tolerance):
            return curve
    raise UnsupportedModelError(
        f"{type(model).__name__} changes its logits behind the output head in a way of its own; "
        "a scale and a soft cap, cap · tanh(logits / cap), are computed"
    )
