"""Rewards of large groups: run with ``pytest bench/test_rewards.py --benchmark-only``."""

from __future__ import annotations

import random
from typing import Any

import pytest

from gapo_trainer.data.rewards import REWARDS

GROUP = 4096
CHARACTERS = 200


def distinct_texts(number: int) -> list[str]:
    """Texts that share nothing but their alphabet: the slowest case for an edit distance."""
    rng = random.Random(0)
    return ["".join(rng.choices("abcdefgh_ (),.=", k=CHARACTERS)) for _ in range(number)]


@pytest.mark.parametrize("name", ["em", "ed", "edem", "bleu"])
def test_reward_of_a_group(benchmark: Any, name: str) -> None:
    *completions, target = distinct_texts(GROUP + 1)
    rewards = benchmark(REWARDS[name], completions, target)
    assert rewards.shape == (GROUP,)
    benchmark.extra_info["completions"] = GROUP
