"""The learning rate as a function of the step alone, so that there is no scheduler state to save."""

from __future__ import annotations

import math

from gapo_trainer.config import Config


def learning_rate(step: int, config: Config) -> float:
    """The rate of rollout step ``step`` (from 0): linear warm-up, then constant, or a cosine down to min_lr × lr."""
    warm = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    if config.schedule == "constant":
        return config.lr * warm
    share = max(0.0, (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps))
    return config.lr * warm * (config.min_lr + (1 - config.min_lr) * 0.5 * (1 + math.cos(math.pi * share)))
