"""The paper's reward as verl calls it: ``reward.custom_reward_function.path`` of the configuration names this file."""

from __future__ import annotations

import json
from typing import Any

from gapo_trainer.data.formats import Chat
from gapo_trainer.data.rewards import ed, em
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
    exact, similarity = float(em([edit], ground_truth)[0]), float(ed([edit], ground_truth)[0])
    return {"score": (exact + similarity) / 2, "em": exact, "ed": similarity}
