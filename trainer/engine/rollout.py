"""Where completions come from: the interface of rollout engines, and the one that needs no second copy of the model."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from gapo_trainer.engine.completions import Samples
from gapo_trainer.engine.generation import generate
from gapo_trainer.engine.sampling import Sampling


class RolloutEngine(Protocol):
    """Draws groups of completions from the policy."""

    def generate(
        self,
        prompt_ids: Tensor,
        group_size: int,
        sampling: Sampling,
        generator: torch.Generator | None = None,
        rows: slice = slice(None),
    ) -> Samples:
        """Draw ``rows`` of ``group_size`` completions of ``prompt_ids``, int64 [prompt length], on its device."""
        ...

    def load_weights(self, model: PreTrainedModel) -> None:
        """Sample from this model's present parameters from now on; called after each update."""
        ...


class SharedPrefixRollout:
    """Samples from the model that is being trained, with ``generate``."""

    def __init__(self, model: PreTrainedModel, rows_at_a_time: int | None = None):
        self._model = model
        self._rows_at_a_time = rows_at_a_time

    def generate(
        self,
        prompt_ids: Tensor,
        group_size: int,
        sampling: Sampling,
        generator: torch.Generator | None = None,
        rows: slice = slice(None),
    ) -> Samples:
        """See ``RolloutEngine.generate`` and ``gapo_trainer.engine.generate``."""
        return generate(self._model, prompt_ids, group_size, sampling, generator, self._rows_at_a_time, rows)

    def load_weights(self, model: PreTrainedModel) -> None:
        """Sample from ``model``; the parameters are its own, nothing is copied."""
        self._model = model
