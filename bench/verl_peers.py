"""verl's own GRPO advantages where verl is installed; elsewhere the reason why they are left out."""

from __future__ import annotations

import importlib.util

import numpy as np
from torch import Tensor


def absent() -> str:
    """Why verl's functions cannot be measured in this process; empty where they can."""
    return "" if importlib.util.find_spec("verl") else "verl is not installed in this environment"


def advantage(name: str, token_rewards: Tensor, mask: Tensor, index: np.ndarray) -> Tensor:
    """What verl's registry holds under ``name``, as its trainer calls it.

    token_rewards, mask: [N, L]; index: [N] uid strings.
    """
    from verl.trainer.ppo.core_algos import get_adv_estimator_fn

    return get_adv_estimator_fn(name)(token_rewards, mask, index)[0]
