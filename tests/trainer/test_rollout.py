import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributed as dist

import gapo_kernels
from gapo_trainer.advantages import group_advantages
from gapo_trainer.data.formats import FIM_TOKENS, Plain, make_format
from gapo_trainer.data.scoring import Scorer
from gapo_trainer.engine import Completions, Samples
from gapo_trainer.episodes import Episodes
from gapo_trainer.evaluate import score
from gapo_trainer.policy import Policy, load_policy
from gapo_trainer.rollout import Roller, is_flat, make_engine, overlong_penalty, read_completions, with_outliers
from gapo_trainer.sampler import TaskSampler
from gapo_trainer.tiny_model.tokenizer import train_tokenizer
from gapo_trainer.train import add_reference


def roller(small, folder, tasks, reward=None, **settings):
    config, policy = small(**settings), load_policy(folder)
    sampler = TaskSampler(len(tasks), config.seed)
    return Roller(policy, make_engine(policy, config), tasks, sampler, reward or Scorer("ed"), config)


def drawn(rollout):
    return [group.samples.completions.to_lists() for group in rollout.episodes]


def test_a_seed_and_a_step_fix_the_completions_and_slicing_does_not_matter(small, model_folder, tasks):
    first = drawn(roller(small, model_folder, tasks).rollout(3))
    torch.manual_seed(99)  # no global generator takes part
    assert drawn(roller(small, model_folder, tasks, generation_batch=3).rollout(3)) == first
    assert drawn(roller(small, model_folder, tasks).rollout(4)) != first
    assert drawn(roller(small, model_folder, tasks, seed=1).rollout(3)) != first


def right(texts, task):
    return np.ones(len(texts), np.float32)


class Answers:
    """An engine that writes the target twice: cut off, and ended."""

    def __init__(self, policy, task):
        tokens = policy.tokenizer.encode(policy.format.completion(task), add_special_tokens=False)
        self.rows = [tokens, [*tokens, policy.end_tokens[0]]]

    def generate(self, prompt, group_size, sampling, generator, rows):
        self.asked = sampling
        completions = Completions.from_lists(self.rows)
        return Samples(completions, torch.zeros(completions.tokens.shape), torch.tensor([False, True]))


def test_only_a_match_that_ended_is_exact(small, model_folder, tasks):
    config, policy = small(group_size=2, prompts_per_step=1, temperature=0.7), load_policy(model_folder)
    engine = Answers(policy, tasks[0])
    (group,) = Roller(policy, engine, tasks[:1], TaskSampler(1, 0), right, config).rollout(0).episodes
    assert group.exact.tolist() == [0.0, 1.0]
    assert group.similarity.tolist() == [1.0, 1.0]
    assert [score(policy, tasks[0], row).em for row in engine.rows] == [0.0, 1.0]
    asked = engine.asked
    assert (asked.max_new_tokens, asked.eos_token_ids, asked.temperature) == (8, policy.end_tokens, 0.7)


def test_what_is_scored_again_is_what_was_drawn(small, model_folder, tasks):
    config = small(temperature=0.5)
    episodes = roller(small, model_folder, tasks, temperature=0.5).rollout(0).episodes
    add_reference(episodes, load_policy(model_folder), config)
    for group in episodes:
        torch.testing.assert_close(group.reference, group.samples.logprobs, rtol=1e-4, atol=1e-4)


def test_the_prompts_of_a_step_draw_by_numbers_of_their_own(small, model_folder, tasks):
    one, other = roller(small, model_folder, tasks[:1]).rollout(0).episodes  # twice the same task
    assert one.samples.completions.to_lists() != other.samples.completions.to_lists()


def test_each_text_is_that_of_its_completion(model_folder, tasks):
    policy = load_policy(model_folder)
    rows = [policy.tokenizer.encode(text, add_special_tokens=False) for text in ("beta", "alpha", "beta", "", "gamma")]
    completions = Completions.from_lists([[*row, policy.end_tokens[0]] for row in rows[:4]] + rows[4:])
    samples = Samples(completions, torch.zeros(completions.tokens.shape), torch.ones(5, dtype=torch.bool))
    texts, ended = read_completions(policy, tasks[0], samples)
    assert [text.strip() for text in texts] == ["beta", "alpha", "beta", "", "gamma"]
    assert ended.tolist() == [True, True, True, True, False]


def test_a_long_completion_loses_its_penalty(small, model_folder, tasks):
    settings = {"overlong_buffer": 0.5, "overlong_penalty": 0.5}
    for group in roller(small, model_folder, tasks, right, **settings).rollout(0).episodes:
        lengths = group.samples.completions.lengths
        assert lengths.max() == 8
        torch.testing.assert_close(group.rewards, 1 - 0.5 * (lengths - 4).clamp(min=0) / 4)


def test_dynamic_sampling_replaces_groups_without_signal(small, model_folder, tasks):
    asked = []

    def reward(texts, task):  # every other task's group is flat
        asked.append(task.id)
        rewards = np.linspace(0, 1, len(texts), dtype=np.float32)
        return rewards if len(asked) % 2 else np.full_like(rewards, 0.5)

    rollout = roller(small, model_folder, tasks, reward, dynamic_sampling=True, max_resamples=5).rollout(0)
    assert len(rollout.episodes) == 2
    assert rollout.replaced == 1
    assert len(set(asked)) == 3
    assert not any(is_flat(group.rewards) for group in rollout.episodes)


def test_dynamic_sampling_looks_at_what_the_grader_said(small, model_folder, tasks):
    """Not at the penalty of length, which differs within a group that is right throughout."""
    settings = {"dynamic_sampling": True, "max_resamples": 1, "overlong_buffer": 1.0}
    rollout = roller(small, model_folder, tasks, right, **settings).rollout(0)
    assert rollout.replaced == 2
    for group in rollout.episodes:  # but it is trained on
        assert torch.equal(group.rewards, 1 - group.samples.completions.lengths / 8)
    every = [group.samples.completions.lengths.sum() for group in rollout.episodes]
    assert rollout.drawn_tokens > sum(every)  # of replaced groups too


def test_dynamic_sampling_gives_up_after_its_rounds_and_keeps_the_batch_size(small, model_folder, tasks):
    def flat(texts, task):
        return np.ones(len(texts), np.float32)

    rollout = roller(small, model_folder, tasks, flat, dynamic_sampling=True, max_resamples=2).rollout(0)
    assert len(rollout.episodes) == 2
    assert rollout.replaced == 4


@pytest.mark.parametrize(
    ("rewards", "flat"), [([1.0, 1.0], True), ([1.0, math.nan], True), ([math.nan] * 2, True), ([0.0, 1.0], False)]
)
def test_a_group_is_flat_when_its_scorable_rewards_are_equal(rewards, flat):
    assert is_flat(torch.tensor(rewards)) is flat


def test_the_overlong_penalty_is_linear_in_its_buffer():
    lengths = torch.tensor([1, 16, 18, 20])
    assert overlong_penalty(lengths, 20, 4, 0.5).tolist() == [0, 0, -0.25, -0.5]


def test_outliers_hit_their_share_and_the_same_rows_on_every_rank():
    rewards = torch.ones(4000)
    hit = with_outliers(rewards, 0.2, (0, 1, 2), slice(0, 4000), 4000)
    assert 0.15 < (hit == 0).float().mean() < 0.25
    second_half = with_outliers(rewards[2000:], 0.2, (0, 1, 2), slice(2000, 4000), 4000)
    assert torch.equal(second_half, hit[2000:])
    assert with_outliers(rewards, 0.0, (0,), slice(0, 4000), 4000) is rewards
    unscorable = torch.full((4000,), math.nan)
    assert with_outliers(unscorable, 0.2, (0, 1, 2), slice(0, 4000), 4000).isnan().all()


def group_with(rewards, tasks):
    n = len(rewards)
    samples = Samples(
        Completions(torch.ones(n, 1, dtype=torch.int64), torch.ones(n, dtype=torch.int64)),
        torch.zeros(n, 1),
        torch.ones(n, dtype=torch.bool),
    )
    r = torch.tensor(rewards)
    return Episodes(tasks[0], torch.tensor([1]), samples, [""] * n, r, r, r)


@pytest.mark.parametrize("estimator", ["gapo", "gapo_mean", "grpo", "dr_grpo", "rloo", "median_mad"])
def test_an_unscorable_completion_changes_nothing_for_the_others(small, tasks, estimator):
    rewards = [0.0, 0.1, 0.15, 0.9, 1.0]
    config = small(estimator=estimator)
    (alone,) = group_advantages([group_with(rewards, tasks)], config)
    (among,) = group_advantages([group_with([*rewards, math.nan], tasks)], config)
    assert among[-1] == 0
    torch.testing.assert_close(among[:-1], alone)
    assert alone.abs().sum() > 0


def test_gapo_centres_on_the_median_of_the_narrowest_window(small, tasks):
    (advantage,) = group_advantages([group_with([0.0, 0.1, 0.2, 0.8, 0.9, 0.95], tasks)], small(tau=0.5))
    assert advantage[4] == 0  # of 0.8, 0.9, 0.95, the narrowest half
    assert advantage.argmax() == 5


SCORES = [0.0, 0.1, 0.15, 0.9, 1.0, math.nan]


@pytest.mark.parametrize("settings", [{"tau": 0.9}, {"tau": 0.25}, {"estimator": "rloo"}], ids=str)
def test_the_settings_reach_the_estimator(small, tasks, settings):
    (found,) = group_advantages([group_with(SCORES, tasks)], small(**settings))
    rewards = torch.tensor(SCORES)
    assert torch.equal(found, gapo_kernels.advantage(rewards, valid=~rewards.isnan(), **settings))
    assert not torch.equal(found, group_advantages([group_with(SCORES, tasks)], small())[0])


@pytest.mark.parametrize("settings", [{}, {"tau": 0.9}, {"estimator": "rloo"}], ids=str)
def test_ranks_score_as_one_process_does(small, tasks, settings, tmp_path):
    groups, config = [group_with(SCORES, tasks), group_with(SCORES[::-1], tasks)], small(**settings)
    expected = group_advantages(groups, config)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        found = group_advantages(groups, config)
    finally:
        dist.destroy_process_group()
    assert all(map(torch.equal, found, expected))


class StopsAtA(Plain):
    """As the plain format, with a mark that a random policy writes now and then."""

    stop = ("a",)

    def is_complete(self, completion):
        return "a" in completion


def test_a_completion_ends_with_its_formats_mark(small, model_folder, tasks):
    config, policy = small(max_new_tokens=30, group_size=32), load_policy(model_folder, "plain")
    policy.format = StopsAtA()
    made = Roller(policy, make_engine(policy, config), tasks, TaskSampler(len(tasks), 0), right, config)
    marked = 0
    for group in made.rollout(0).episodes:
        for row, ended in zip(group.samples.completions.to_lists(), group.samples.ended.tolist(), strict=True):
            text = policy.tokenizer.decode(row, skip_special_tokens=True)
            assert ended == policy.has_ended(row)
            assert "a" not in policy.tokenizer.decode(row[:-1], skip_special_tokens=True)
            marked += "a" in text
    assert marked > 5
    prompts = [policy.encode(task)[0] for task in tasks[:8]]
    for row in policy.generate(prompts, 60, do_sample=True):
        assert "a" not in policy.tokenizer.decode(row[:-1], skip_special_tokens=True)
        assert policy.has_ended(row) or len(row) == 60


@pytest.mark.parametrize("fim", [(), FIM_TOKENS[0]], ids=["plain", "fill in the middle"])
@pytest.mark.parametrize("target", ["", "new\n", ">>>>>>> UPDATED\n"])
def test_every_edit_ends_with_the_mark(tasks, fim, target):
    """A deletion too, whose mark comes first; and a line of the edit that reads like the mark is none."""
    tokenizer = train_tokenizer(["a b c\n"], list(fim), 300)
    policy = Policy(None, tokenizer, make_format("plain", tokenizer), (tokenizer.eos_token_id,))
    task = replace(tasks[0], target=target)
    completion = tokenizer.encode(policy.format.completion(task).rstrip("\n"), add_special_tokens=False)
    seen = torch.tensor([policy.encode(task)[0][-1:] + completion])
    assert [bool(policy.stop(seen[:, :n], None)) for n in range(2, seen.shape[1] + 1)][-3:] == [False, False, True]
    assert [policy.has_ended(completion[:n]) for n in range(1, len(completion) + 1)][-3:] == [False, False, True]
