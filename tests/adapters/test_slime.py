"""slime's hook, on stand-ins for its Sample and arguments.

They mirror slime at commit 624b824a: ``Sample`` of slime/utils/types.py with its ``get_reward_value``, the call
``custom_reward_post_process_func(self.args, samples)`` and its contract in slime/ray/rollout.py, ``load_function`` of
slime/utils/misc.py, and ``log_rollout_data`` of slime/observability/rollout_metrics.py.
"""

import importlib
import math
from argparse import Namespace
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
import yaml

import gapo_kernels
from gapo_kernels.adapters import slime

NAN = math.nan


@dataclass
class Sample:
    group_index: int | None = None
    index: int | None = None
    rollout_id: int | None = None
    reward: float | dict | None = None

    def get_reward_value(self, args):
        return self.reward if not args.reward_key else self.reward[args.reward_key]


def arguments(**given):
    return Namespace(**{"reward_key": None, "grpo_std_normalization": True, **given})


def load_function(path):
    module_path, _, attribute = path.rpartition(".")
    return getattr(importlib.import_module(module_path), attribute)


def process(args, samples):
    """As slime's ``_convert_samples_to_train_data`` takes the result."""
    post_process = load_function("gapo_kernels.adapters.slime.post_process_rewards")
    raw_rewards, rewards = post_process(args, samples)
    assert len(raw_rewards) == len(rewards) == len(samples)
    assert all(type(reward) is float for reward in rewards)
    return raw_rewards, rewards


def test_ragged_groups_in_any_order():
    table = {0: [0.1, 0.9, 0.2, 0.3], 1: [0.5, 1.0], 2: [0.7], 3: [0.2] * 5}
    samples = [Sample(group, reward=reward) for group, rewards in table.items() for reward in rewards]
    samples = [samples[i] for i in torch.randperm(len(samples), generator=torch.Generator().manual_seed(1))]
    raw, rewards = process(arguments(), samples)
    assert raw == [sample.reward for sample in samples]
    for group, expected in table.items():
        scored = {
            sample.reward: reward
            for sample, reward in zip(samples, rewards, strict=True)
            if sample.group_index == group
        }
        alone = gapo_kernels.advantage(torch.tensor(expected)).tolist()
        assert scored == dict(zip(expected, alone, strict=True))


def test_the_settings_of_a_configuration_file(tmp_path):
    """``--custom-config-path`` sets the keys of a YAML file as arguments."""
    file = tmp_path / "gapo.yaml"
    file.write_text("gapo:\n  tau: 0.75\n  center: hdi_mean\n")
    args = arguments(**yaml.safe_load(file.read_text()))
    rewards = torch.tensor([0.1, 0.9, 0.2, 0.3])
    samples = [Sample(0, reward=reward) for reward in rewards.tolist()]
    expected = gapo_kernels.advantage(rewards, tau=0.75, center="hdi_mean").tolist()
    assert process(args, samples)[1] == expected
    args.grpo_std_normalization = False
    expected = gapo_kernels.advantage(rewards, tau=0.75, center="hdi_mean", scale="none").tolist()
    assert process(args, samples)[1] == expected
    args.gapo["scale"] = "mad"
    with pytest.raises(ValueError, match=r"^gapo\.scale expects none or nothing while grpo_std_normalization"):
        process(args, samples)
    with pytest.raises(ValueError, match=r"^gapo expects estimator, .*, got 'tua'$"):
        process(arguments(gapo={"tua": 1}), samples)


def test_slimes_other_estimators():
    rewards = torch.tensor([0.1, 0.9, 0.2, 0.3])
    samples = [Sample(0, reward=reward) for reward in rewards.tolist()]
    for estimator in ("grpo", "gspo", "cispo"):
        assert process(arguments(advantage_estimator=estimator), samples)[1] == gapo_kernels.advantage(rewards).tolist()
    centring = arguments(advantage_estimator="reinforce_plus_plus_baseline")
    assert process(centring, samples)[1] == gapo_kernels.advantage(rewards, scale="none").tolist()
    with pytest.raises(
        ValueError,
        match=r"^gapo\.scale expects none .* \(advantage_estimator=reinforce_plus_plus_baseline\) is off, got 'mad'$",
    ):
        process(Namespace(**vars(centring), gapo={"scale": "mad"}), samples)
    with pytest.raises(ValueError, match=r"^advantage_estimator expects grpo, .*, got 'ppo'"):
        process(arguments(advantage_estimator="ppo"), samples)
    with pytest.raises(ValueError, match=r"^rewards_normalization .* expects True"):
        process(arguments(rewards_normalization=False), samples)


def test_the_reward_key():
    samples = [Sample(0, reward={"score": reward, "format": 1.0}) for reward in (0.0, 0.0, 1.0)]
    raw, rewards = process(arguments(reward_key="score"), [*samples, Sample(0, reward=None)])
    assert raw == [0.0, 0.0, 1.0, None]
    assert rewards == [*gapo_kernels.advantage(torch.tensor([0.0, 0.0, 1.0])).tolist(), 0.0]


def test_what_could_not_be_scored_is_left_out():
    scorable = gapo_kernels.advantage(torch.tensor([0.1, 0.5, 0.6])).tolist()
    rewards = process(arguments(), [Sample(0, reward=reward) for reward in (0.1, None, 0.5, NAN, 0.6)])[1]
    assert rewards == [scorable[0], 0.0, scorable[1], 0.0, scorable[2]]
    assert process(arguments(), [Sample(0, reward=NAN)] * 2)[1] == [0.0, 0.0]


def test_the_parts_of_a_rollout_count_once():
    """A rollout that was split into several samples, as compaction and sub-agents do, is one row of the statistics."""
    once = gapo_kernels.advantage(torch.tensor([0.0, 0.2, 1.0])).tolist()
    parts = [(0, 0.0), (2, 1.0), (1, 0.2), (2, 1.0), (2, 1.0)]
    samples = [Sample(7, rollout_id=rollout, reward=reward) for rollout, reward in parts]
    assert process(arguments(), samples)[1] == [once[0], once[2], once[1], once[2], once[2]]
    # parts with rewards of their own are compared as such
    samples = [Sample(7, rollout_id=0, reward=reward) for reward in (0.0, 0.2, 1.0)]
    assert process(arguments(), samples)[1] == once


def test_samples_of_earlier_releases():
    """Up to 0.2.4 a rollout was one sample; 0.3.0 calls ``rollout_id`` ``group_id``."""
    parts = [(0, 0.0), (2, 1.0), (1, 0.2), (2, 1.0)]

    def older(reward, **ids):
        return SimpleNamespace(group_index=7, reward=reward, get_reward_value=lambda args: reward, **ids)

    split = [Sample(7, rollout_id=rollout, reward=reward) for rollout, reward in parts]
    assert process(arguments(), [older(reward, group_id=rollout) for rollout, reward in parts]) == process(
        arguments(), split
    )
    whole = [Sample(7, reward=reward) for _, reward in parts]
    assert process(arguments(), [older(reward) for _, reward in parts]) == process(arguments(), whole)


def test_a_sample_without_a_group():
    with pytest.raises(ValueError, match=r"^samples\[1\]\.group_index expects .*, got None$"):
        process(arguments(), [Sample(0, reward=1.0), Sample(reward=1.0)])


def test_the_statistics_join_slimes_metrics():
    log = load_function("gapo_kernels.adapters.slime.log_group_metrics")
    samples = [Sample(0, rollout_id=i, reward=reward) for i, reward in enumerate((0.0, 0.0, 0.0, 1.0))]
    samples += [samples[3], Sample(1, reward=None)]
    metrics = {"rollout/abort": 0}
    assert log(3, arguments(), samples, metrics, 1.0) is False
    assert metrics["rollout/abort"] == 0
    assert metrics["gapo/frac_zero_advantage"] == 0.75
    assert metrics["gapo/frac_unscorable"] == 1 / 5
    assert metrics["gapo/groups"] == 2
    assert log(3, arguments(), samples, None, 1.0) is False
    empty = {}
    log(3, arguments(), samples, empty, 1.0)
    assert empty["gapo/groups"] == 2


def test_a_part_is_not_lost_among_equal_rewards():
    """Different rollouts with equal rewards are different rows: four of five at 0 move Q, one would not."""
    samples = [Sample(0, rollout_id=i, reward=reward) for i, reward in enumerate((0.0, 0.0, 0.0, 0.5, 1.0))]
    assert process(arguments(), samples)[1] == gapo_kernels.advantage(torch.tensor([0, 0, 0, 0.5, 1.0])).tolist()
    assert slime._rows(arguments(), samples).row_of_sample == [0, 1, 2, 3, 4]


def test_a_sample_without_a_rollout_is_no_part_of_the_one_of_its_number():
    samples = [Sample(0, rollout_id=1, reward=0.0), *(Sample(0, reward=reward) for reward in (0.0, 0.5, 1.0))]
    assert process(arguments(), samples)[1] == gapo_kernels.advantage(torch.tensor([0.0, 0.0, 0.5, 1.0])).tolist()


def test_a_dict_without_the_reward_key():
    samples = [Sample(0, reward=0.0), Sample(0, reward={"score": 1.0})]
    with pytest.raises(ValueError, match=r"^samples\[1\]\.reward expects a number, or reward_key .*, got \{'score': 1"):
        process(arguments(), samples)
