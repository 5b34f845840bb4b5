"""The data types of one step: a prompt's completions with what they are worth."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gapo_trainer.data.task import Task
from gapo_trainer.engine import Samples


@dataclass
class Episodes:
    """One prompt and its group of completions; where ranks share a group, this rank's rows of it.

    Attributes:
        task: what was asked.
        prompt: int64 [prompt tokens], without padding.
        samples: the completions as drawn, with their log-probs.
        texts: the edits in them, [rows].
        rewards: float32 [rows] on the CPU; NaN where a completion could not be scored.
        exact: float32 [rows], 1 where the edit is the target and ended.
        similarity: float32 [rows], edit similarity in [0, 1].
        reference: float32 [rows, tokens] log-probs under the reference policy, or None without one.
    """

    task: Task
    prompt: Tensor
    samples: Samples
    texts: list[str]
    rewards: Tensor
    exact: Tensor
    similarity: Tensor
    reference: Tensor | None = None

    @property
    def scored(self) -> Tensor:
        """Bool [rows] on the CPU: False where a completion could not be scored."""
        return ~self.rewards.isnan()

    def __len__(self) -> int:
        return len(self.texts)
