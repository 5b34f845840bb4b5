"""GAPO in TRL: ``GapoGRPOTrainer`` is ``GRPOTrainer`` with another group advantage, set in ``GapoGRPOConfig``.

TRL has no hook for advantages: one method generates, scores and normalises. It runs here as it is; then the rewards
that it scored, gathered over all ranks, go through ``gapo_kernels.advantage_stats``, and the result replaces TRL's
advantages in the batch and in the log. What TRL did is checked each time: a version that does it differently raises
instead of training on wrong advantages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import trl
from torch import Tensor
from trl import GRPOConfig, GRPOTrainer

from gapo_kernels.adapters.metrics import group_metrics
from gapo_kernels.adapters.settings import Settings, read_settings
from gapo_kernels.ops import advantage_stats
from gapo_numpy.estimators import EPS, ESTIMATORS, TAU, Estimator, resolve

# Attributes of GRPOTrainer that the replacement reads or writes.
INTERNALS = (
    "_calculate_rewards",
    "_generate_and_score_completions",
    "_logs",
    "_metrics",
    "accelerator",
    "num_generations",
    "num_generations_eval",
    "reward_funcs",
    "reward_weights",
)

# What TRL's model card says of the method.
PAPER = {
    "title": "GAPO: Group Adaptive Policy Optimization for Real-World Code Edit",
    "id": "2510.21830",
    "citation": """\
@article{zhang2025gapo,
    title  = {{GAPO: Group Adaptive Policy Optimization for Real-World Code Edit}},
    author = {Jianqing Zhang and Zhezheng Hao and Wei Xia and Hande Dong and Hong Wang and Chenxing Wei and
              Yuyan Zhou and Yubin Qi and Qiang Lin and Jian Cao},
    year   = 2025,
    eprint = {arXiv:2510.21830},
}""",
}


@dataclass
class GapoGRPOConfig(GRPOConfig):
    """TRL's ``GRPOConfig`` with the settings of the group advantage; ``TrlParser`` reads it from YAML and flags.

    ``GapoGRPOTrainer`` checks them, before it loads a model.
    """

    estimator: str = field(default="gapo", metadata={"help": f"A centre and a scale by name: {', '.join(ESTIMATORS)}."})
    tau: float = field(
        default=TAU, metadata={"help": "Share of a group that its narrowest window holds, 0 < tau <= 1."}
    )
    center: str | None = field(default=None, metadata={"help": "A centre in place of the estimator's own."})
    scale: str | None = field(default=None, metadata={"help": "A scale in place of the estimator's own."})
    eps: float = field(default=EPS, metadata={"help": "Added to the scale. TRL's `epsilon` is the clip range."})


class GapoGRPOTrainer(GRPOTrainer):
    """``GRPOTrainer`` whose advantages come from ``gapo_kernels``; everything else is TRL's.

    Args:
        model: as TRL takes it.
        reward_funcs: as TRL takes them. A completion for which all of them return None is left out of its group and
            gets advantage 0; so does the only scorable one of a group, which has nothing to be compared with.
        args: a ``GapoGRPOConfig``; a plain ``GRPOConfig`` or None means its defaults.
        *others: TRL's further arguments.
        **options: TRL's further arguments.

    Raises:
        ValueError: a setting that the op does not take, or an option of TRL that contradicts the estimator.
        RuntimeError: a TRL whose internals are not those that are replaced; raised here or in the first step.
    """

    _calculate_rewards: Callable[..., Tensor]  # TRL's method
    _tag_names: list[str]  # TRL's, or those of a class between

    def __init__(
        self, model: Any, reward_funcs: Any = None, args: GRPOConfig | None = None, *others: Any, **options: Any
    ) -> None:
        self.advantage_settings = _settings(args)
        if _estimator(self.advantage_settings) == ESTIMATORS["gapo"]:
            self._name, self._paper = "GAPO", PAPER
            self._tag_names = list(dict.fromkeys([*self._tag_names, "gapo"]))  # a subclass may have tags of its own
        super().__init__(model, reward_funcs, args, *others, **options)
        missing = [name for name in INTERNALS if not hasattr(self, name)]
        if missing:
            raise _unknown_trl(f"GRPOTrainer has no {', '.join(missing)}")

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """TRL's batch of this rank, its ``advantages`` [len(inputs)], float32, replaced."""
        mode = "train" if self.model.training else "eval"
        batch, scored = self._watch_rewards(super()._generate_and_score_completions, inputs)
        self._replace_advantages(batch, scored, len(inputs), mode)
        return batch

    def _replace_advantages(self, batch: dict[str, Any], scored: list[Tensor], count: int, mode: str) -> None:
        """Put this rank's ``count`` advantages into its batch, all ranks' into the log, and the metrics beside."""
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        group_size = self.num_generations if mode == "train" else self.num_generations_eval
        shapes = [list(rewards.shape) for rewards in scored]
        if shapes != [[world * count, len(self.reward_funcs)]]:
            raise _unknown_trl(f"scored {shapes}, not once [{world * count}, {len(self.reward_funcs)}]")
        if "advantages" not in batch or list(batch["advantages"].shape) != [count]:
            raise _unknown_trl(f"the batch has no advantages of shape [{count}]")
        mine = slice(rank * count, (rank + 1) * count)
        rewards, scorable = sum_rewards(scored[0], self.reward_weights, group_size)
        if not _rise_with(rewards, scorable, batch["advantages"], mine):
            raise _unknown_trl("its advantages do not rise with the rewards of their group")

        advantages, metrics = score(rewards, scorable, self.advantage_settings)
        batch["advantages"] = advantages[mine]
        log = self._logs["advantages"]
        for _ in range(min(len(advantages), log.maxlen)):  # what TRL has just written there
            log.pop()
        log.extend(advantages.tolist())
        for name, value in metrics.items():
            self._metrics[mode][name].append(value)

    def _watch_rewards(
        self, generate_and_score: Callable[..., dict[str, Any]], inputs: list[dict[str, Any]]
    ) -> tuple[dict[str, Any], list[Tensor]]:
        """The batch, and what every call of ``_calculate_rewards`` returned meanwhile.

        The instance is patched, not the method overridden: what a subclass makes of the rewards is seen too.
        """
        scored: list[Tensor] = []
        calculate = self._calculate_rewards
        patched = vars(self).get("_calculate_rewards")  # by the user

        def keep(*args: Any, **kwargs: Any) -> Tensor:
            scored.append(calculate(*args, **kwargs))
            return scored[-1]

        self._calculate_rewards = keep
        try:
            return generate_and_score(inputs), scored
        finally:
            if patched is None:
                del self._calculate_rewards
            else:
                self._calculate_rewards = patched


def sum_rewards(rewards_per_func: Tensor, weights: Tensor, group_size: int) -> tuple[Tensor, Tensor]:
    """One reward a completion, as TRL sums them.

    Args:
        rewards_per_func: float [B, n_funcs], groups one after the other; NaN where a function returned None.
        weights: float [n_funcs].
        group_size: G, which divides B.

    Returns:
        rewards [B / G, G], the weighted sum of what is not NaN, and bool [B / G, G]: whether any function scored it,
        and the sum is no NaN of opposite infinities.
    """
    rewards = (rewards_per_func * weights.to(rewards_per_func.device)).nansum(dim=1)
    scorable = ~(rewards_per_func.isnan().all(dim=1) | rewards.isnan())
    return rewards.view(-1, group_size), scorable.view(-1, group_size)


def score(rewards: Tensor, scorable: Tensor, settings: Settings) -> tuple[Tensor, dict[str, float]]:
    """Advantages and metrics of groups of one size.

    Args:
        rewards: float [groups, G].
        scorable: bool [groups, G]; other completions are left out.
        settings: of the op.

    Returns:
        The advantages [groups * G], 0 where there is nothing to compare and where the op's result is not finite (an
        infinite reward), as TRL has it; and ``group_metrics``.
    """
    valid = scorable & (scorable.sum(dim=1, keepdim=True) >= 2)
    stats = advantage_stats(rewards, valid=valid, **settings)
    return stats.advantage.nan_to_num(0.0, 0.0, 0.0).view(-1), group_metrics(rewards, stats, valid=valid)


def _estimator(settings: Settings) -> Estimator:
    return resolve(settings.get("estimator", "gapo"), settings.get("center"), settings.get("scale"))


def _settings(args: GRPOConfig | None) -> Settings:
    """The op's settings, once nothing in TRL's own contradicts them."""
    source = args if isinstance(args, GapoGRPOConfig) else GapoGRPOConfig  # the class has its fields' defaults
    settings = read_settings({name: getattr(source, name) for name in Settings.__annotations__}, "GapoGRPOConfig")
    if args is None:
        return settings
    if args.multi_objective_aggregation != "sum_then_normalize":
        raise ValueError(
            f"multi_objective_aggregation expects 'sum_then_normalize', got {args.multi_objective_aggregation!r}: that "
            "one centres the sum on the batch's mean once more, which undoes the estimator's centre"
        )
    scale = _estimator(settings).scale
    allowed = ("group", "none") if scale == "none" else ("group",)
    if args.scale_rewards not in allowed:
        raise ValueError(
            f"scale_rewards expects {' or '.join(map(repr, allowed))} beside scale={scale!r}, got "
            f"{args.scale_rewards!r}: the estimator's scale alone divides; scale='none' divides by nothing"
        )
    return settings


def _rise_with(rewards: Tensor, scorable: Tensor, theirs: Tensor, mine: slice) -> bool:
    """Whether TRL's advantages of this rank's rows rise with the rewards in each group, as (r - mean) / std must.

    If they do not, TRL's rows are not the rows that were scored. Rounding keeps the order, so there is no tolerance.
    """
    unknown = -torch.inf
    advantages = torch.full_like(rewards, unknown)
    advantages.view(-1)[mine] = theirs
    ascending = advantages.masked_fill(~scorable, unknown).gather(1, rewards.argsort(dim=1))
    return bool(((ascending == unknown) | (ascending >= ascending.cummax(dim=1).values)).all())


def _unknown_trl(difference: str) -> RuntimeError:
    return RuntimeError(
        f"TRL {trl.__version__} does not compute advantages in the way that GapoGRPOTrainer replaces: {difference}. "
        "The versions that were tested stand in docs/adapters/trl.md"
    )
