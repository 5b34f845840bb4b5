"""The paper's reward as verl calls it: ``reward.custom_reward_function.path`` of the configuration names this file."""

from __future__ import annotations

import json
from typing import Any

from gapo_trainer.data.formats import Chat
from gapo_trainer.data.rewards import ed, edem, em
from gapo_trainer.data.task import Task


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any], **kwargs: Any
) -> dict[str, float]:
    """Score one completion by (edit similarity + exact match) / 2.

    Args:
        data_source: not read.
        solution_str: what the model wrote, decoded without special tokens.
        ground_truth: what the author wrote in place of the region.
        extra_info: holds the ``task`` as JSON.
        **kwargs: whatever else verl passes.

    Returns:
        ``score``, which verl trains on, and ``em`` and ``ed``, which it logs; each within [0, 1].
    """
    edit = Chat(tokenizer=None).extract(solution_str, Task.from_row(json.loads(extra_info["task"])))
    values = {"score": edem, "em": em, "ed": ed}
    return {name: float(reward([edit], ground_truth)[0]) for name, reward in values.items()}
