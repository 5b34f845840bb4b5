"""``rollout``: draw the next prompts' groups of completions and score them.

Every random number of a rollout comes from a generator seeded with (seed, step, place of the group in the step), so
that a resumed run, another slicing of the group and another number of ranks draw the same completions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gapo_trainer import ranks
from gapo_trainer.config import Config
from gapo_trainer.data.rewards import ed, em
from gapo_trainer.data.task import Task
from gapo_trainer.engine import RolloutEngine, Samples, Sampling, SharedPrefixRollout, distinct
from gapo_trainer.engine.vllm_rollout import VllmRollout
from gapo_trainer.episodes import Episodes
from gapo_trainer.errors import UserError
from gapo_trainer.policy import Policy
from gapo_trainer.sampler import TaskSampler


@dataclass
class Rollout:
    """A step's episodes, and what was drawn for them.

    Attributes:
        episodes: the groups to train on.
        replaced: groups thrown away because their rewards were all equal.
        drawn_tokens: tokens of all completions drawn on this rank, those of replaced groups included.
    """

    episodes: list[Episodes]
    replaced: int
    drawn_tokens: int


class Roller:
    """Draws rollouts.

    Args:
        policy: what is asked; its weights are read through ``engine``.
        engine: draws the completions.
        tasks: the training tasks.
        sampler: which of them come next.
        reward: maps (texts, task) to float32 rewards, NaN for what cannot be scored.
        config: the run's settings.
    """

    def __init__(
        self,
        policy: Policy,
        engine: RolloutEngine,
        tasks: Sequence[Task],
        sampler: TaskSampler,
        reward: Callable[[Sequence[str], Task], NDArray[np.float32]],
        config: Config,
    ) -> None:
        self._policy, self._engine, self._tasks, self._sampler = policy, engine, tasks, sampler
        self._reward, self._config = reward, config
        self._sampling = Sampling(config.max_new_tokens, policy.end_tokens, config.temperature, stop=policy.stop)
        self._rows = ranks.own_rows(config.group_size)

    def rollout(self, step: int) -> Rollout:
        """The episodes of ``step``; with dynamic sampling, groups that carry no signal are drawn again."""
        config, place = self._config, 0
        kept: list[Episodes] = []
        flat: list[Episodes] = []
        drawn_tokens = 0
        for _ in range(1 + (config.max_resamples if config.dynamic_sampling else 0)):
            for index in self._sampler.take(config.prompts_per_step - len(kept)):
                group = self._group(self._tasks[index], (config.seed, step, place))
                place += 1
                drawn_tokens += int(group.samples.completions.lengths.sum())
                (flat if config.dynamic_sampling and is_flat(group.rewards) else kept).append(self._shaped(group))
            if len(kept) == config.prompts_per_step:
                break
        missing = config.prompts_per_step - len(kept)
        return Rollout(kept + flat[:missing], len(flat) - missing, drawn_tokens)

    def _group(self, task: Task, seed: tuple[int, ...]) -> Episodes:
        policy, config = self._policy, self._config
        generator = torch.Generator().manual_seed(_mixed(seed))
        prompt = torch.tensor(policy.encode(task)[0], device=policy.model.device)
        samples = self._engine.generate(prompt, config.group_size, self._sampling, generator, self._rows)
        texts, ended = read_completions(policy, task, samples)
        rewards = torch.from_numpy(self._reward(texts, task))
        return Episodes(
            task=task,
            prompt=prompt,
            samples=replace(samples, ended=ended),
            texts=texts,
            rewards=with_outliers(rewards, config.reward_noise, (*seed, 1), self._rows, config.group_size),
            exact=torch.from_numpy(em(texts, task.target)) * ended,
            similarity=torch.from_numpy(ed(texts, task.target)),
        )

    def _shaped(self, group: Episodes) -> Episodes:
        config = self._config
        if not config.overlong_buffer:
            return group
        lengths, buffer = group.samples.completions.lengths.cpu(), config.overlong_buffer * config.max_new_tokens
        penalty = overlong_penalty(lengths, config.max_new_tokens, buffer, config.overlong_penalty)
        return replace(group, rewards=group.rewards + penalty)


def make_engine(policy: Policy, config: Config) -> RolloutEngine:
    """The configured rollout engine.

    Raises:
        UserError: vLLM is not installed, or was asked for by several processes.
    """
    if config.rollout_engine == "torch":
        return SharedPrefixRollout(policy.model, config.generation_batch)
    if ranks.world_size() > 1:
        raise UserError("rollout_engine=vllm runs in one process only; for more, see docs/verl_recipe.md")
    return VllmRollout(str(policy.model.name_or_path))


def read_completions(policy: Policy, task: Task, samples: Samples) -> tuple[list[str], Tensor]:
    """The edit in each completion, and whether it came to its end: bool [rows] on the CPU; equal ones are read once."""
    same = distinct(samples.completions)
    rows = samples.completions[same.first].to_lists()
    read = [(policy.edit(task, tokens), policy.has_ended(tokens)) for tokens in rows]
    texts, ended = zip(*(read[i] for i in same.inverse.tolist()), strict=True)
    return list(texts), torch.tensor(ended)


def is_flat(rewards: Tensor) -> bool:
    """Whether all scorable rewards of a group, over all ranks, are equal, so that it carries no signal."""
    scored = rewards[~rewards.isnan()].double()
    low = -ranks.largest(-float(scored.min()) if len(scored) else -torch.inf)
    high = ranks.largest(float(scored.max()) if len(scored) else -torch.inf)
    return not low < high


def overlong_penalty(lengths: Tensor, longest: int, buffer: float, penalty: float) -> Tensor:
    """DAPO's soft overlong punishment.

    Args:
        lengths: int64 [rows], tokens of each completion.
        longest: the most tokens a completion may have.
        buffer: how many tokens before that the punishment begins.
        penalty: what a completion of ``longest`` tokens loses.

    Returns:
        float32 [rows]: 0 up to ``longest - buffer``, then linearly down to ``-penalty``.
    """
    return -penalty * ((lengths - (longest - buffer)).clamp(min=0) / buffer).float()


def with_outliers(rewards: Tensor, share: float, seed: tuple[int, ...], rows: slice, group_size: int) -> Tensor:
    """Replace ``share`` of a group's rewards by 0, as a broken grader would; ``rows`` are this rank's.

    What could not be scored stays so.
    """
    if not share:
        return rewards
    hit = np.random.default_rng(seed).random(group_size)[rows] < share
    return torch.where(torch.from_numpy(hit) & ~rewards.isnan(), 0.0, rewards)


def _mixed(seed: tuple[int, ...]) -> int:
    """One 63-bit seed from several small integers; neighbouring ones give unrelated generators."""
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1)
