"""The training loop.

    for step in range(done, config.steps):
        rollout = roller.rollout(step)                               # G completions a prompt, scored
        advantages = group_advantages(rollout.episodes, config)      # GAPO, or whichever estimator
        stats = update(model, optimizer, rollout.episodes, advantages, config)

That is all of it; what stands around it loads, logs, evaluates and saves. Left out: a trainer class, callbacks and
hooks (copy this file), a value model (groups make it needless), and asynchronous rollouts (verl has them).
"""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from torch import Tensor
from torch.optim import Optimizer

from gapo_trainer import ranks
from gapo_trainer.advantages import group_advantages
from gapo_trainer.checkpoint import CHECKPOINTS, Progress, load_optimizer, newest_checkpoint, save_checkpoint
from gapo_trainer.config import Config
from gapo_trainer.data.loading import iter_tasks
from gapo_trainer.data.scoring import Scorer, Tally
from gapo_trainer.engine import RolloutEngine, distinct, prompt_once
from gapo_trainer.episodes import Episodes
from gapo_trainer.errors import UserError, Warn
from gapo_trainer.evaluate import answer, scores_row
from gapo_trainer.metrics import kept_group, step_metrics
from gapo_trainer.policy import Policy, load_policy
from gapo_trainer.precision import forward_precision
from gapo_trainer.progress import ProgressView, tell
from gapo_trainer.rollout import Roller, Rollout, make_engine
from gapo_trainer.runlog import EVALS, GROUPS, METRICS, TIMINGS, RunLog
from gapo_trainer.sampler import TaskSampler
from gapo_trainer.schedule import learning_rate
from gapo_trainer.sources import Splits, load_splits, longest_prompt
from gapo_trainer.update import UpdateStats, update


def train(config: Config, folder: Path, device: str, resume: bool = False, console: Console | None = None) -> None:
    """Train one run in ``folder``: logs and checkpoints. Every rank calls it, within ``ranks.process_group``.

    Args:
        config: every setting.
        folder: of the run; it exists.
        device: of this rank.
        resume: go on from the folder's newest checkpoint, if it has one, instead of from the start.
        console: where progress is shown; None: nowhere (all ranks but the first).

    Raises:
        UserError: something that can be mended stopped the run; its checkpoints are as they were.
    """
    warn = partial(tell, console) if console else lambda line: None
    # before the models: a wrong reward is told at once
    with Scorer(config.reward, workers=config.reward_workers, time_limit=config.reward_timeout) as reward:
        run = _prepare(config, folder, device, resume, warn)
        with (
            RunLog(folder if ranks.rank() == 0 else None, config, run.progress.step, run.progress.log_bytes) as log,
            ProgressView(config.steps, run.progress.step, console) as view,
        ):
            roller = Roller(run.policy, run.engine, run.splits.train, run.sampler, reward, config)
            try:
                _loop(run, roller, log, view, reward.tally, warn)
            except BaseException:
                _tell_failures(reward.tally, warn)  # of this rank: others may not come here
                raise
            _tell_failures(Tally.of_all(ranks.gathered([reward.tally])), warn)


def _loop(run: _Run, roller: Roller, log: RunLog, view: ProgressView, tally: Tally, warn: Warn) -> None:
    """The steps that are left."""
    config, bad_updates, unscored, told = run.config, run.progress.bad_updates, 0, False
    if run.progress.step == 0:
        _evaluate(run, 0, log)
    for step in range(run.progress.step, config.steps):
        began = time.perf_counter()
        seed_everything(config.seed, step)
        lr = set_learning_rate(run.optimizer, learning_rate(step, config))
        with forward_precision(run.policy.model, config):
            rollout = roller.rollout(step)
            add_reference(rollout.episodes, run.reference, config)
        drawn = time.perf_counter()
        advantages = group_advantages(rollout.episodes, config)
        weighed = time.perf_counter()
        stats = update(run.policy.model, run.optimizer, rollout.episodes, advantages, config, bad_updates)
        run.engine.load_weights(run.policy.model)
        bad_updates = stats.bad_updates
        metrics = _record(_Step(step + 1, rollout, advantages, stats, lr, (began, drawn, weighed)), run, log, view)
        if not told and (first := Tally.of_all(ranks.gathered([tally])).first_error):  # hours before the total
            warn(f"reward: a first completion failed: {first}")
            told = True
        unscored = unscored + 1 if metrics["unscorable"] == 1 else 0
        if unscored >= config.max_bad_updates:
            raise UserError(f"no completion of {unscored} steps in a row could be scored; reward={config.reward}")


class _Run(NamedTuple):
    """All that the loop works with, as it stands after the ``progress`` made so far."""

    config: Config
    folder: Path
    device: str
    policy: Policy
    reference: Policy | None
    splits: Splits
    optimizer: Optimizer
    engine: RolloutEngine
    sampler: TaskSampler
    progress: Progress


class _Step(NamedTuple):
    """What one step came to."""

    done: int  # steps, this one included
    rollout: Rollout
    advantages: list[Tensor]
    stats: UpdateStats
    lr: float
    times: tuple[float, float, float]  # when it began, had its rollout, and had its advantages


def _prepare(config: Config, folder: Path, device: str, resume: bool, warn: Warn) -> _Run:
    """Load all that the loop works with; arguments and errors are those of ``train``."""
    found = newest_checkpoint(folder / CHECKPOINTS, warn) if resume else None
    start, progress = found or (None, Progress(step=0, tasks_taken=0, bad_updates=0, log_bytes={}))
    if progress.step > config.steps:
        raise UserError(f"{folder} has a checkpoint of step {progress.step}, beyond steps={config.steps}")
    policy = load_policy(str(start or config.model), config.format, device, config.thinking)
    reference = _reference(config, device)
    splits = load_splits(config, policy, warn)
    if not splits.train:
        if next(iter_tasks(config.data, split="train", on_bad=lambda row: None), None) is None:
            raise UserError(f"data={config.data} has no task of split train: all of them are for evaluation")
        raise UserError(
            f"data={config.data} has no training task with a prompt of at most {longest_prompt(config, policy)} tokens"
        )
    policy.model.train()
    if config.gradient_checkpointing:
        policy.model.gradient_checkpointing_enable({"use_reentrant": False})
    ranks.shard(policy.model)
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    if start:
        load_optimizer(start, policy.model, optimizer)
    sampler = TaskSampler(len(splits.train), config.seed, progress.tasks_taken)
    engine = make_engine(policy, config)
    return _Run(config, folder, device, policy, reference, splits, optimizer, engine, sampler, progress)


def _record(step: _Step, run: _Run, log: RunLog, view: ProgressView) -> dict[str, Any]:
    """Log and show a step; evaluate and save after it where the settings ask for it, and at the end; its metrics."""
    config, done, rollout, advantages = run.config, step.done, step.rollout, step.advantages
    metrics = {"step": done, **step_metrics(rollout, advantages, step.stats, step.lr)}
    tokens = float(ranks.total(torch.tensor(float(rollout.drawn_tokens))))
    timings = {"step": done, **_timings(*step.times, tokens, run.device)}
    log.write(METRICS, metrics)
    log.write(TIMINGS, timings)
    if done % config.groups_every == 0:
        log.write(GROUPS, {"step": done, **kept_group(rollout.episodes[0], advantages[0])})
    if done % config.eval_every == 0 or done == config.steps:
        _evaluate(run, done, log)
    if done % config.checkpoint_every == 0 or done == config.steps:
        reached = Progress(done, run.sampler.position, step.stats.bad_updates, log.flushed_bytes())
        save_checkpoint(run.folder / CHECKPOINTS, reached, run.policy, run.optimizer, config.keep_checkpoints)
    view.show(done, metrics | timings)
    return metrics


def seed_everything(seed: int, step: int) -> None:
    """Seed Python's, NumPy's and torch's generators for a step, so that no generator's state has to be saved."""
    mixed = int(np.random.SeedSequence((seed, step)).generate_state(1)[0])
    random.seed(mixed)
    np.random.seed(mixed)  # noqa: NPY002 - a library may draw from it
    torch.manual_seed(mixed)


def set_learning_rate(optimizer: Optimizer, lr: float) -> float:
    """Set and return ``lr``."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    return lr


@torch.no_grad()
def add_reference(episodes: Sequence[Episodes], reference: Policy | None, config: Config) -> None:
    """Give every completion its log-probs under the reference policy, if there is one."""
    if reference is None:
        return
    for group in episodes:
        same = distinct(group.samples.completions)
        completions = group.samples.completions[same.first]
        scored = group.samples.logprobs.new_zeros(completions.tokens.shape)
        with prompt_once(reference.model, group.prompt) as shared:
            for rows in completions.micro_batches(config.micro_batch):
                logp = shared.logprobs(completions[rows], config.temperature)
                scored[rows, : logp.shape[1]] = logp
        group.reference = scored[same.inverse]


def _reference(config: Config, device: str) -> Policy | None:
    """The frozen policy that KL is measured against: the one that training started from."""
    if not config.needs_reference:
        return None
    reference = load_policy(config.model, config.format, device, config.thinking)
    reference.model.requires_grad_(False).eval()
    return reference


def _evaluate(run: _Run, done: int, log: RunLog) -> None:
    """Log the greedy scores of the policy after ``done`` steps."""
    for split, tasks in run.splits.evaluation.items():
        with forward_precision(run.policy.model, run.config):
            answers = answer(
                run.policy, tasks, "greedy", run.config.max_new_tokens, at_once=run.config.generation_batch
            )
        log.write(EVALS, {"step": done, "split": split, "decoding": "greedy", **scores_row(answers)})


def _tell_failures(tally: Tally, warn: Warn) -> None:
    if tally.raised or tally.timed_out:
        warn(
            f"reward: {tally.raised} completions failed and {tally.timed_out} ran out of time, of "
            f"{tally.scored + tally.unscorable + tally.raised + tally.timed_out}; the first: {tally.first_error}"
        )
    elif tally.unscorable and not tally.scored:
        warn(f"reward: none of {tally.unscorable} completions could be scored: it returned None for each")


def _timings(began: float, drawn: float, weighed: float, tokens: float, device: str) -> dict[str, float]:
    """How long a step took, from its beginning until now, and the most memory so far: of ``device`` if it is CUDA."""
    now = time.perf_counter()
    if device.startswith("cuda"):
        peak_mb = torch.cuda.max_memory_allocated(device) / 1e6
    else:
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # Linux counts in kB
    return {
        "rollout_s": drawn - began,
        "advantage_s": weighed - drawn,
        "update_s": now - weighed,
        "tokens_per_s": tokens / (now - began),
        "peak_mb": peak_mb,
    }
