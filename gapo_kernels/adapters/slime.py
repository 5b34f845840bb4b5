"""GAPO in slime: ``--custom-reward-post-process-path gapo_kernels.adapters.slime.post_process_rewards``.

slime calls it with its arguments and all samples of a step, and trains on what it returns. Nothing of slime is
imported. How to use it: docs/adapters/slime.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gapo_kernels import ops
from gapo_kernels.adapters.metrics import group_metrics
from gapo_kernels.adapters.settings import Settings, read_settings, without_division
from gapo_kernels.ids import as_id_tensor

SECTION = "gapo"
SWITCH = "grpo_std_normalization (--disable-grpo-std-normalization)"
# slime's estimators that take group advantages; the second kind does not divide them by a standard deviation
DIVIDING = ("grpo", "gspo", "cispo")
CENTRING = ("reinforce_plus_plus_baseline",)


def post_process_rewards(args: Any, samples: Sequence[Any]) -> tuple[list[Any], list[float]]:
    """The raw rewards and the advantages of a step's samples.

    Args:
        args: slime's arguments. ``args.gapo``, from ``--custom-config-path``, may hold ``estimator``, ``tau``,
            ``center``, ``scale`` and ``eps``; ``grpo_std_normalization`` False means the scale ``none``, and so does
            the estimator ``reinforce_plus_plus_baseline``; where ``reward_key`` is set, a sample's reward is that entry
            of its dict.
        samples: in any order; those of one ``group_index`` are a group of any size. Samples that share a
            ``rollout_id`` (``group_id`` in slime 0.3.0; before, there is none) are parts of one rollout: where they
            were given the same reward it counts once, and all get its advantage. A reward that is None or NaN could
            not be scored: it is left out and gets 0.

    Returns:
        (raw rewards as they were given, advantages), both in the order of ``samples``.

    Raises:
        ValueError: a sample without a group, a dict as reward where no ``reward_key`` is set, a setting that the op
            does not take, or one of slime's own that asks for something else than group advantages.
    """
    rows = _rows(args, samples)
    advantages = ops.advantage_by_id(rows.rewards, rows.groups, valid=rows.scorable, **_settings(args))
    return [_reward(args, sample) for sample in samples], advantages[rows.row_of_sample].tolist()


def log_group_metrics(
    rollout_id: int,
    args: Any,
    samples: Sequence[Any],
    rollout_extra_metrics: dict[str, Any] | None,
    rollout_time: float,
) -> bool:
    """Add the statistics of the groups to slime's log: ``--custom-rollout-log-function-path`` names this function.

    Args:
        rollout_id: not read.
        args: as in ``post_process_rewards``.
        samples: as in ``post_process_rewards``.
        rollout_extra_metrics: gets what ``metrics.group_metrics`` says; None, from a rollout function that returns no
            metrics, is left alone.
        rollout_time: not read.

    Returns:
        False: slime goes on to log by itself.
    """
    if rollout_extra_metrics is not None:
        rows = _rows(args, samples)
        ids = as_id_tensor(rows.groups, rows.rewards.device)
        stats = ops.advantage_stats(rows.rewards, ids, valid=rows.scorable, **_settings(args))
        rollout_extra_metrics.update(group_metrics(rows.rewards, stats, ids, rows.scorable))
    return False


def _settings(args: Any) -> Settings:
    if not getattr(args, "rewards_normalization", True):
        raise ValueError(
            "rewards_normalization (--disable-rewards-normalization) expects True: GAPO normalises rewards"
        )
    estimator = getattr(args, "advantage_estimator", DIVIDING[0])
    if estimator not in DIVIDING + CENTRING:
        raise ValueError(
            f"advantage_estimator expects {', '.join(DIVIDING + CENTRING)}, got {estimator!r}: others take rewards, "
            "not group advantages"
        )
    settings = read_settings(getattr(args, "gapo", None), SECTION)
    if estimator in CENTRING:
        return without_division(settings, False, SECTION, f"the division (advantage_estimator={estimator})")
    return without_division(settings, getattr(args, "grpo_std_normalization", True), SECTION, SWITCH)


def _reward(args: Any, sample: Any) -> float | None:
    return None if sample.reward is None else sample.get_reward_value(args)


class _Rows(NamedTuple):
    """What is compared: one row for each sample, or for all parts of a rollout that have the same reward."""

    rewards: Tensor  # [rows]
    scorable: Tensor  # bool [rows]
    groups: list[object]  # [rows]
    row_of_sample: list[int]


def _rows(args: Any, samples: Sequence[Any]) -> _Rows:
    row_of: dict[tuple[object, ...], int] = {}
    row_of_sample = []
    for number, sample in enumerate(samples):
        if sample.group_index is None:
            raise ValueError(f"samples[{number}].group_index expects the number of its prompt's group, got None")
        reward = _reward(args, sample)
        if isinstance(reward, Mapping):
            raise ValueError(
                f"samples[{number}].reward expects a number, or reward_key (--reward-key) the name of its entry to"
                f" train on, got {reward!r}"
            )
        if reward is not None:
            reward = None if math.isnan(reward) else float(reward)
        rollout_id = getattr(sample, "rollout_id", getattr(sample, "group_id", None))
        rollout = (number,) if rollout_id is None else ("rollout", rollout_id)
        row_of_sample.append(row_of.setdefault((sample.group_index, reward, *rollout), len(row_of)))
    rewards = torch.tensor([math.nan if reward is None else reward for _, reward, *_ in row_of], dtype=torch.float32)
    return _Rows(rewards, ~rewards.isnan(), [group for group, *_ in row_of], row_of_sample)
