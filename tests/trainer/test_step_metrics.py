"""The numbers of a step, worked out by hand."""

import math

import pytest
import torch

from gapo_trainer.engine import Completions, Samples
from gapo_trainer.episodes import Episodes
from gapo_trainer.metrics import kept_group, step_metrics
from gapo_trainer.rollout import Rollout
from gapo_trainer.update import UpdateStats


def group(task, rewards, lengths, ended, exact, similarity, texts):
    tokens = torch.ones(len(rewards), max(lengths), dtype=torch.int64)
    samples = Samples(Completions(tokens, torch.tensor(lengths)), torch.zeros(tokens.shape), torch.tensor(ended))
    return Episodes(task, torch.tensor([1]), samples, texts, *map(torch.tensor, (rewards, exact, similarity)))


@pytest.fixture
def episodes(tasks):
    first = group(
        tasks[0], rewards=[1.0, 0.5, math.nan, 0.0], lengths=[1, 2, 3, 4], ended=[True, True, False, True],
        exact=[1.0, 0.0, 0.0, 0.0], similarity=[1.0, 0.5, 0.2, 0.1], texts=["a", "b", "b", "c"],
    )  # fmt: skip
    return [first, group(tasks[1], [0.25] * 4, [2] * 4, [True] * 4, [0.0] * 4, [0.3] * 4, ["d"] * 4)]


ADVANTAGES = [torch.tensor([2.0, 0.0, 0.0, -0.5]), torch.zeros(4)]


def test_every_number(episodes):
    stats = UpdateStats(loss=0.1, grad_norm=0.2, clip_ratio=0.3, kl=0.4, entropy=0.5, trained_rows=6, bad_updates=7)
    found = step_metrics(Rollout(episodes, replaced=3, drawn_tokens=30), ADVANTAGES, stats, lr=0.6)
    assert found == pytest.approx(
        {
            "reward": 2.5 / 7, "em": 1 / 8, "ed": 3.0 / 8, "cut_off": 1 / 8, "unscorable": 1 / 8,
            "completion_tokens": 18 / 8, "zero_advantage": 5 / 7, "sum_advantage": 1.5, "trained_rows": 6 / 8,
            "replaced_groups": 3, "loss": 0.1, "kl": 0.4, "entropy": 0.5, "clip_ratio": 0.3, "grad_norm": 0.2,
            "bad_updates": 7, "lr": 0.6,
        }
    )  # fmt: skip


def test_a_kept_group_has_its_most_frequent_edits_with_the_mean_of_their_scored_rewards(episodes):
    kept = kept_group(episodes[0], ADVANTAGES[0])
    assert kept["edits"] == [
        {"text": "b", "count": 2, "reward": 0.5},
        {"text": "a", "count": 1, "reward": 1.0},
        {"text": "c", "count": 1, "reward": 0.0},
    ]
    assert kept["advantages"] == [2.0, 0.0, 0.0, -0.5]
    assert kept["rewards"] == pytest.approx([1.0, 0.5, math.nan, 0.0], nan_ok=True)


def test_a_kept_group_has_few_edits_however_large_it_is(tasks):
    many = group(
        tasks[0], [1.0] * 99, [1] * 99, [True] * 99, [0.0] * 99, [0.0] * 99, [str(row) for row in range(99)]
    )  # fmt: skip
    assert len(kept_group(many, torch.zeros(99))["edits"]) == 6
