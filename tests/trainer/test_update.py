"""``update`` against the plain way: every row on its own, whole sequences, one loss."""

import json
import math

import pytest
import torch
from torch.optim import SGD

from gapo_trainer.data.scoring import Scorer
from gapo_trainer.errors import UserError
from gapo_trainer.loss import Size, token_loss, token_weights
from gapo_trainer.policy import load_policy
from gapo_trainer.rollout import Roller, make_engine
from gapo_trainer.sampler import TaskSampler
from gapo_trainer.train import add_reference, train
from gapo_trainer.update import Merged, _micro_batches, merged, update


def rollout(policy, tasks, config):
    roller = Roller(policy, make_engine(policy, config), tasks, TaskSampler(len(tasks), 0), Scorer("ed"), config)
    return roller.rollout(0).episodes


def repeat_rows(episodes):
    """Make rows 1 and 2 of each group copies of row 0, row 2 with another reward: as a noisy reward would."""
    for group in episodes:
        completions = group.samples.completions
        completions.tokens[1:3] = completions.tokens[0]
        completions.lengths[1:3] = completions.lengths[0]
        group.samples.logprobs[1:3] = group.samples.logprobs[0]


def plain_loss(model, episodes, advantages, config):
    total = 0.0
    tokens = sum(int(e.samples.completions.lengths[~e.rewards.isnan()].sum()) for e in episodes)
    size = Size(sum(int((~e.rewards.isnan()).sum()) for e in episodes), tokens)
    for group, advantage in zip(episodes, advantages, strict=True):
        for row, ids in enumerate(group.samples.completions.to_lists()):
            if group.rewards[row].isnan():
                continue
            n = len(ids)
            whole = torch.cat([group.prompt, torch.tensor(ids)])[None]
            logits = model(input_ids=whole).logits[0, len(group.prompt) - 1 : -1] / config.temperature
            log_p = logits.log_softmax(-1)
            logp = log_p.gather(-1, torch.tensor(ids)[:, None]).T
            entropy = -(log_p.exp() * log_p).sum(-1)[None]
            reference = None if group.reference is None else group.reference[row : row + 1, :n]
            terms = token_loss(
                logp, group.samples.logprobs[row : row + 1, :n], advantage[row : row + 1], config, reference, entropy
            )
            weights = token_weights(torch.ones(1, n, dtype=torch.bool), torch.ones(1), size, config)
            total = total + (weights * terms.loss).sum()
    return total


@pytest.mark.parametrize("averaging", ["sequence", "token", "constant"])
def test_the_step_is_that_of_the_plain_loss(small, model_folder, tasks, averaging):
    config = small(
        loss=averaging, kl_coef=0.05, entropy_coef=0.02, dual_clip=3.0, temperature=0.9, micro_batch=3,
        max_grad_norm=1e9, lr=0.1,
    )  # fmt: skip
    policy, reference, plain = (load_policy(model_folder) for _ in range(3))
    with torch.no_grad():
        for parameter in reference.model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    episodes = rollout(policy, tasks, config)
    repeat_rows(episodes)
    for group in episodes:  # as if the policy had moved on since: ratios on both sides of the clip range
        group.samples.logprobs.add_(0.3 * torch.randn(group.samples.logprobs.shape))
        group.samples.logprobs[1:3] = group.samples.logprobs[0]
    add_reference(episodes, reference, config)
    advantages = [torch.linspace(-2, 2, len(group)) for group in episodes]
    for advantage in advantages:
        advantage[1] = advantage[0]
    episodes[1].rewards[3:6] = math.nan  # not trained on, neither by KL nor by entropy
    advantages[1][3:6] = 0

    loss = plain_loss(plain.model, episodes, advantages, config)
    loss.backward()
    SGD(plain.model.parameters(), lr=config.lr).step()

    stats = update(policy.model, SGD(policy.model.parameters(), lr=config.lr), episodes, advantages, config)
    assert stats.loss == pytest.approx(loss.item(), rel=1e-5)
    assert 0 < stats.clip_ratio < 1
    assert stats.trained_rows == 2 * (8 - 1) - 3  # of each group two rows were merged
    for ours, theirs in zip(policy.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_rows_merge_only_where_tokens_and_advantage_agree(small, model_folder, tasks):
    config = small()
    episodes = rollout(load_policy(model_folder), tasks, config)
    repeat_rows(episodes)
    advantage = torch.arange(8.0)
    assert len(merged(episodes[0], advantage).first) == 8
    advantage[1] = advantage[0]
    kinds = merged(episodes[0], advantage)
    assert sorted(zip(kinds.first.tolist(), kinds.copies.tolist(), strict=True))[0] == (0, 2)
    assert kinds.copies.sum() == 8


def test_micro_batches_are_of_at_most_their_size_and_of_similar_length():
    lengths = torch.tensor([3, 90, 1, 80, 2, 70, 5, 4])
    kinds = Merged(torch.arange(8), torch.arange(8) + 1)
    batches = list(_micro_batches(kinds, lengths, 3))
    assert max(len(rows) for rows, _ in batches) <= 3
    assert torch.equal(torch.cat([lengths[rows] for rows, _ in batches]), lengths.sort().values)
    assert all(torch.equal(copies, rows + 1) for rows, copies in batches)


def test_one_scored_completion_is_all_of_its_mini_batch(small, model_folder, tasks):
    policy, config = load_policy(model_folder), small(prompts_per_step=1)
    (group,) = rollout(policy, tasks, config)
    group.rewards[1:] = math.nan
    stats = update(policy.model, SGD(policy.model.parameters(), lr=0.0), [group], [torch.full((8,), 2.0)], config)
    assert stats.loss == pytest.approx(-2)
    assert stats.trained_rows == 1


def test_with_nothing_scored_nothing_is_learnt(small, model_folder, tasks):
    policy, config = load_policy(model_folder), small(kl_coef=0.1)
    episodes = rollout(policy, tasks, config)
    add_reference(episodes, load_policy(model_folder), config)
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=0.1)
    update(policy.model, optimizer, episodes, [torch.linspace(-1, 1, 8) for _ in episodes], config)  # it has momentum
    for group in episodes:
        group.rewards[:] = math.nan
    before = [p.clone() for p in policy.model.parameters()]
    stats = update(policy.model, optimizer, episodes, [torch.zeros(8) for _ in episodes], config, bad_updates=1)
    assert (stats.loss, stats.grad_norm, stats.trained_rows, stats.bad_updates) == (0, 0, 0, 1)
    assert all(map(torch.equal, before, policy.model.parameters()))


@pytest.mark.parametrize("settings", [{}, {"track_entropy": False}, {"track_entropy": False, "entropy_coef": 0.1}])
def test_entropy_is_logged_where_it_is_asked_for(small, model_folder, tasks, settings):
    policy, config = load_policy(model_folder), small(**settings)
    episodes = rollout(policy, tasks, config)
    stats = update(
        policy.model, SGD(policy.model.parameters(), lr=0.1), episodes, [torch.zeros(8) for _ in episodes], config
    )
    assert math.isnan(stats.entropy) == (settings == {"track_entropy": False})
    assert not stats.entropy <= 0


def test_a_bad_update_is_skipped_and_counted_and_many_stop_the_run(small, model_folder, tasks):
    config = small(max_bad_updates=3)
    policy = load_policy(model_folder)
    before = [p.clone() for p in policy.model.parameters()]
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=0.1)
    episodes = rollout(policy, tasks, config)
    bad = [torch.full((8,), math.inf) for _ in episodes]
    stats = update(policy.model, optimizer, episodes, bad, config)
    assert stats.bad_updates == 1
    for parameter, old in zip(policy.model.parameters(), before, strict=True):
        assert torch.equal(parameter, old)
    with pytest.raises(UserError, match="3 updates in a row had NaN or inf"):
        update(policy.model, optimizer, episodes, bad, config, bad_updates=2)
    good = [torch.linspace(-1, 1, 8) for _ in episodes]
    assert update(policy.model, optimizer, episodes, good, config, bad_updates=2).bad_updates == 0


@pytest.mark.parametrize("settings", [{"gradient_checkpointing": True}, {"micro_batch": 3}, {"generation_batch": 5}])
def test_what_only_saves_memory_changes_no_result(small, tmp_path, settings):
    rows = []
    for name, changed in (("plain", {}), ("saving", settings)):
        (tmp_path / name).mkdir()
        train(small(steps=2, **changed), tmp_path / name, "cpu")
        rows.append([json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()])
    for plain, saving in zip(*rows, strict=True):
        assert plain.keys() == saving.keys()
        for key, value in plain.items():
            assert saving[key] == (value if value is None else pytest.approx(value, rel=1e-4, abs=1e-6)), key


def test_what_autocast_keeps_of_the_weights_is_never_older_than_they_are(small, tmp_path):
    logs, enabled = [], torch.is_autocast_cache_enabled()
    config = small(dtype="bfloat16", mini_batches=2, epochs=2, kl_coef=0.1, lr=1e-2, warmup_steps=0, steps=3)
    for cached in (True, False):
        folder = tmp_path / str(cached)
        folder.mkdir()
        torch.set_autocast_cache_enabled(cached)
        try:
            train(config, folder, "cpu")
        finally:
            torch.set_autocast_cache_enabled(enabled)
        logs.append([(folder / f"{name}.jsonl").read_text() for name in ("metrics", "evals")])
    assert logs[0] == logs[1]
    losses = [json.loads(line)["loss"] for line in logs[0][0].splitlines()]
    assert len(set(losses)) == 3


def test_every_pass_over_every_mini_batch_is_a_step(small, model_folder, tasks):
    config = small(mini_batches=2, epochs=2, max_grad_norm=1e9, lr=0.1)
    policy, plain = load_policy(model_folder), load_policy(model_folder)
    episodes = rollout(policy, tasks, config)
    advantages = [torch.linspace(-2, 2, 8), torch.linspace(3, -1, 8)]
    optimizer, losses, norms = SGD(plain.model.parameters(), lr=config.lr), [], []
    for group, advantage in list(zip(episodes, advantages, strict=True)) * 2:
        loss = plain_loss(plain.model, [group], [advantage], config)
        optimizer.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(plain.model.parameters(), math.inf)))
        optimizer.step()
        losses.append(loss.item())
    stats = update(policy.model, SGD(policy.model.parameters(), lr=config.lr), episodes, advantages, config)
    assert stats.loss == pytest.approx(sum(losses) / 4, rel=1e-4)
    assert stats.grad_norm == pytest.approx(sum(norms) / 4, rel=1e-4)
    assert stats.trained_rows <= 16
    assert math.isnan(stats.kl)
    for ours, theirs in zip(policy.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_optimiser_has_the_settings_decay_and_each_steps_learning_rate(small, tmp_path, monkeypatch):
    used = []

    def seen(model, optimizer, *rest):
        used.extend((group["weight_decay"], group["lr"]) for group in optimizer.param_groups)
        return update(model, optimizer, *rest)

    monkeypatch.setattr("gapo_trainer.train.update", seen)
    train(small(steps=3, lr=0.1, warmup_steps=2, weight_decay=0.3, prompts_per_step=1), tmp_path, "cpu")
    logged = [json.loads(line)["lr"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert used == [(0.3, lr) for lr in logged]
    assert logged == pytest.approx([0.05, 0.1, 0.1])


@pytest.mark.parametrize("track_entropy", [True, False])
def test_the_ratio_starts_at_one_at_any_temperature(small, model_folder, tasks, track_entropy):
    config, policy = small(temperature=0.5, track_entropy=track_entropy), load_policy(model_folder)
    episodes = rollout(policy, tasks, config)
    advantages = [torch.linspace(-2, 2, 8) for _ in episodes]
    stats = update(policy.model, SGD(policy.model.parameters(), lr=0.0), episodes, advantages, config)
    assert stats.loss == pytest.approx(-sum(a.sum() for a in advantages).item() / 16, abs=1e-5)
    assert stats.clip_ratio == 0


def test_the_gradient_is_clipped(small, model_folder, tasks):
    config, policy = small(max_grad_norm=1e-3), load_policy(model_folder)
    before = [p.detach().clone() for p in policy.model.parameters()]
    episodes = rollout(policy, tasks, config)
    advantages = [torch.linspace(-2, 2, 8) for _ in episodes]
    stats = update(policy.model, SGD(policy.model.parameters(), lr=1.0), episodes, advantages, config)
    assert stats.grad_norm > 1e-2
    moved = [(p.detach() - old).norm() for p, old in zip(policy.model.parameters(), before, strict=True)]
    assert torch.stack(moved).norm() == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("bad", ["loss", "gradient"])
def test_either_of_loss_and_gradient_skips_an_update(small, model_folder, tasks, bad, monkeypatch):
    policy, config = load_policy(model_folder), small()
    before = [p.detach().clone() for p in policy.model.parameters()]
    episodes = rollout(policy, tasks, config)
    monkeypatch.setattr("gapo_trainer.ranks.gradient_norm", lambda *_: math.nan if bad == "gradient" else 1.0)
    if bad == "loss":
        monkeypatch.setattr("gapo_trainer.update._backward", lambda *_: (math.nan, torch.ones(4), 1))
    advantages = [torch.linspace(-1, 1, 8) for _ in episodes]
    stats = update(policy.model, SGD(policy.model.parameters(), lr=1.0), episodes, advantages, config)
    assert stats.bad_updates == 1
    assert all(map(torch.equal, policy.model.parameters(), before))


def test_statistics_count_every_copy(small, model_folder, tasks):
    policy, config = load_policy(model_folder), small(prompts_per_step=1)
    (group,) = rollout(policy, tasks, config)
    completions = group.samples.completions
    completions.tokens[1:7] = completions.tokens[0].clone()
    completions.lengths[1:7] = completions.lengths[0].clone()
    group.samples.logprobs[1:7] = group.samples.logprobs[0].clone()
    group.samples.logprobs[:7] -= 1.0  # as if the policy had moved on since: clipped where the advantage is positive
    optimizer = SGD(policy.model.parameters(), lr=0.0)
    stats = update(policy.model, optimizer, [group], [torch.ones(8)], config)
    assert stats.clip_ratio == pytest.approx((7 * completions.lengths[0] / completions.lengths.sum()).item(), rel=1e-5)


def test_statistics_are_over_all_updates_of_a_step(small, model_folder, tasks):
    policy = load_policy(model_folder)
    episodes = rollout(policy, tasks, small())
    episodes[0].samples.logprobs.sub_(1.0)  # clipped, and those of the other group are not
    advantages = [torch.ones(8) for _ in episodes]

    def statistics(**settings):
        stats = update(policy.model, SGD(policy.model.parameters(), lr=0.0), episodes, advantages, small(**settings))
        return stats.clip_ratio, stats.entropy

    assert statistics(mini_batches=2, epochs=2) == pytest.approx(statistics())
