"""The precision of the forward pass."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from gapo_trainer.config import Config


def forward_precision(model: PreTrainedModel, config: Config) -> torch.autocast:
    """A context for work between two changes of the weights: it keeps what it casts of them until it is left."""
    return torch.autocast(model.device.type, torch.bfloat16, enabled=config.dtype == "bfloat16")
