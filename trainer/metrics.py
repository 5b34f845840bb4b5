"""The row of numbers that a step leaves behind, over all ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gapo_trainer import ranks
from gapo_trainer.episodes import Episodes
from gapo_trainer.rollout import Rollout
from gapo_trainer.update import UpdateStats

MOST_KEPT_TEXTS = 6  # distinct completions of a kept group, the most frequent first


def step_metrics(rollout: Rollout, advantages: Sequence[Tensor], stats: UpdateStats, lr: float) -> dict[str, Any]:
    """Everything about a step that a seed reproduces; means are over completions unless the name says otherwise.

    Those of rewards and advantages are over the completions that could be scored.
    """
    episodes = rollout.episodes
    rewards = torch.cat([e.rewards for e in episodes]).double()
    scored = torch.cat([e.scored for e in episodes])
    advantage = torch.cat(list(advantages)).double().cpu()
    lengths = torch.cat([e.samples.completions.lengths for e in episodes]).cpu().double()
    sums = {
        "rows": torch.ones_like(rewards),
        "scored": scored,
        "reward": rewards.nan_to_num(0.0),
        "em": torch.cat([e.exact for e in episodes]),
        "ed": torch.cat([e.similarity for e in episodes]),
        "cut_off": ~torch.cat([e.samples.ended for e in episodes]),
        "tokens": lengths,
        "zero_advantage": (advantage == 0) & scored,
        "sum_advantage": advantage,
    }
    summed = ranks.total(torch.stack([values.double().sum() for values in sums.values()])).tolist()
    total = dict(zip(sums, summed, strict=True))
    rows = total["rows"]
    return {
        "reward": total["reward"] / total["scored"] if total["scored"] else math.nan,
        "em": total["em"] / rows,
        "ed": total["ed"] / rows,
        "cut_off": total["cut_off"] / rows,
        "unscorable": 1 - total["scored"] / rows,
        "completion_tokens": total["tokens"] / rows,
        "zero_advantage": total["zero_advantage"] / total["scored"] if total["scored"] else math.nan,
        "sum_advantage": total["sum_advantage"],
        "trained_rows": stats.trained_rows / rows,
        "replaced_groups": rollout.replaced,
        "loss": stats.loss,
        "kl": stats.kl,
        "entropy": stats.entropy,
        "clip_ratio": stats.clip_ratio,
        "grad_norm": stats.grad_norm,
        "bad_updates": stats.bad_updates,
        "lr": lr,
    }


def kept_group(group: Episodes, advantage: Tensor) -> dict[str, Any]:
    """A whole group as JSON, for the report: all rewards and advantages, and its most frequent edits."""
    rows = ranks.gathered(list(zip(group.rewards.tolist(), advantage.tolist(), group.texts, strict=True)))
    rewards: dict[str, list[float]] = {}
    for reward, _, text in rows:
        rewards.setdefault(text, []).append(reward)
    frequent = sorted(rewards, key=lambda text: (-len(rewards[text]), text))[:MOST_KEPT_TEXTS]
    return {
        "task": group.task.to_row(),
        "rewards": [reward for reward, _, _ in rows],
        "advantages": [a for _, a, _ in rows],
        "edits": [
            {"text": text, "count": len(rewards[text]), "reward": _mean_of_scored(rewards[text])} for text in frequent
        ],
    }


def _mean_of_scored(rewards: Sequence[float]) -> float:
    """Of one text, whose rewards differ where they are noisy."""
    scored = [reward for reward in rewards if not math.isnan(reward)]
    return sum(scored) / len(scored) if scored else math.nan
