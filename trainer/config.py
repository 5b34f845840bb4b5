"""Every setting of a run: one flat dataclass, filled from defaults, then a YAML file, then ``key=value`` overrides.

The defaults are `make train`: the embedded policy, GAPO in groups of 64, real code lines, one CPU core, minutes.
Left out: nested sections, interpolation and environment variables. A run is described by one short list of names.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import yaml

import gapo_numpy
from gapo_numpy.estimators import TAU
from gapo_trainer.data.formats import FormatName
from gapo_trainer.errors import UserError

# What DAPO (arXiv 2503.14476) changes, as options that go with any estimator; `--dapo` and `compare` set them together.
DAPO: dict[str, Any] = {
    "dynamic_sampling": True,
    "clip_high": 0.28,
    "loss": "token",
    "overlong_buffer": 0.2,
}


class _Range(NamedTuple):
    """What a setting may be."""

    words: str  # with {name} for its name
    holds: Callable[[float], bool]
    may_be_infinite: bool = False


Natural = Annotated[int, _Range("a value >= 0", lambda value: value >= 0)]
Count = Annotated[int, _Range("a value >= 1", lambda value: value >= 1)]
NonNegative = Annotated[float, _Range("a value >= 0", lambda value: value >= 0)]
Positive = Annotated[float, _Range("a value > 0", lambda value: value > 0)]
Share = Annotated[float, _Range("0 <= {name} <= 1", lambda value: 0 <= value <= 1)]
# as these two, or infinite, which sets no bound
NonNegativeBound = Annotated[float, _Range("a value >= 0", lambda value: value >= 0, may_be_infinite=True)]
PositiveBound = Annotated[float, _Range("a value > 0", lambda value: value > 0, may_be_infinite=True)]


@dataclass(frozen=True)
class Config:
    """One run. ``gapo-train run --help`` prints the names with their defaults."""

    # Natural: 0, 1, …; Count: 1, 2, …; Share: 0 to 1; a …Bound may be .inf, which sets none

    # what is trained, on what
    model: str = "tiny"  # "tiny": the embedded policy; else a folder or a hub name
    data: str = "stdlib"  # "stdlib": the embedded tasks; else a JSONL or Parquet file, or a data set's name
    skip_bad: bool = False  # pass over malformed rows of the data and count them, instead of stopping
    format: FormatName = "auto"  # prompt format; "auto": what the tokenizer has tokens for
    thinking: bool = True  # false: chat templates that know enable_thinking, as Qwen3's, are given it as false
    max_tasks: Natural = 4096  # of the training split; 0: all
    max_prompt_tokens: Count = 512  # longer prompts are left out, and counted
    reward: str = "edem"  # em, ed, edem, bleu, or module:function of your own
    reward_timeout: PositiveBound = 10.0  # seconds that your own reward may take for one completion
    reward_workers: Count = 1  # processes that score
    reward_noise: Share = 0.0  # share of rewards replaced by an outlier (0), to study estimators

    # rollout
    prompts_per_step: Count = 8
    group_size: Count = 64  # completions a prompt, over all ranks
    generation_batch: Count = 64  # completions decoded together, to bound memory; in evaluation never more than 64
    max_new_tokens: Count = 32
    temperature: Positive = 1.0
    rollout_engine: Literal["torch", "vllm"] = "torch"

    # advantage
    estimator: str = "gapo"
    tau: float = TAU
    dynamic_sampling: bool = False  # DAPO: replace groups whose rewards, before any overlong penalty, are all equal
    max_resamples: Natural = 3  # rounds of replacement a step
    overlong_buffer: Share = 0.0  # DAPO: the last share of max_new_tokens, punished linearly up to -overlong_penalty
    overlong_penalty: NonNegative = 1.0

    # update
    mini_batches: Count = 1  # optimiser steps a rollout, each on prompts_per_step / mini_batches groups
    epochs: Count = 1  # passes over a rollout
    micro_batch: Count = 64  # completions a forward; gradients accumulate, the result does not depend on it
    loss: Literal["sequence", "token", "constant"] = "sequence"  # GRPO's mean of means, DAPO's over tokens, Dr. GRPO's
    clip_low: NonNegativeBound = 0.2
    clip_high: NonNegativeBound = 0.2  # DAPO: 0.28
    dual_clip: NonNegativeBound = 0.0  # bound on -ratio * advantage for negative advantages, e.g. 3; 0: none
    kl_coef: NonNegative = 0.0  # weight of the k3 estimate of KL(policy || reference), where training started
    track_kl: bool = True  # keep the reference and log KL even where kl_coef is 0
    entropy_coef: float = 0.0  # weight of the bonus for entropy
    track_entropy: bool = True  # log the entropy even where entropy_coef is 0
    lr: Positive = 5e-4
    warmup_steps: Natural = 5
    schedule: Literal["constant", "cosine"] = "cosine"
    min_lr: Share = 0.1  # the cosine's end, as a share of lr
    weight_decay: NonNegative = 0.01
    max_grad_norm: PositiveBound = 1.0
    max_bad_updates: Count = 5  # updates in a row with NaN or inf, or with nothing scored, before the run stops
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the forward pass; weights stay float32
    gradient_checkpointing: bool = False

    # run
    steps: Count = 100
    seed: Natural = 0
    out: str = "runs/train"
    device: str = "auto"  # cuda where there is one
    checkpoint_every: Count = 20
    keep_checkpoints: Count = 2
    eval_every: Count = 20
    eval_tasks: Count = 256  # of each evaluation split
    groups_every: Count = 10  # how often a group is kept whole for the report
    wandb: str = ""  # a Weights & Biases project; "": off

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before anything is loaded."""
        for name, allowed in _RANGES.items():
            if not allowed.holds(getattr(self, name)):  # of a NaN nothing holds
                raise UserError(f"{name} expects {allowed.words.format(name=name)}, got {getattr(self, name)}")
        for name, kind in _TYPES.items():
            may_be_infinite = name in _RANGES and _RANGES[name].may_be_infinite
            if kind is float and not may_be_infinite and not math.isfinite(getattr(self, name)):
                raise UserError(f"{name} expects a finite number, got {getattr(self, name)}")
        if not self.out:
            raise UserError("out expects a folder, got ''")
        if self.seed >= 2**63:  # what torch's generators take
            raise UserError(f"seed expects a value < 2^63, got {self.seed}")
        if 0 < self.dual_clip <= 1:
            raise UserError(f"dual_clip expects 0, for none, or a value > 1, got {self.dual_clip}")
        try:
            gapo_numpy.advantage([0.0], estimator=self.estimator, tau=self.tau)  # refuses what the op does
        except ValueError as error:
            raise UserError(str(error)) from None
        if self.prompts_per_step % self.mini_batches:
            raise UserError(
                f"mini_batches expects a divisor of prompts_per_step ({self.prompts_per_step}), got {self.mini_batches}"
            )

    @property
    def needs_reference(self) -> bool:
        """Whether the policy that training started from is kept, for the loss or the log."""
        return self.track_kl or self.kl_coef > 0

    @property
    def needs_entropy(self) -> bool:
        """Whether the entropy is computed, for the loss or the log."""
        return self.track_entropy or self.entropy_coef != 0


_TYPES = typing.get_type_hints(Config)
_RANGES: dict[str, _Range] = {
    name: hint.__metadata__[0]
    for name, hint in typing.get_type_hints(Config, include_extras=True).items()
    if typing.get_origin(hint) is Annotated
}


def _checked(name: str, value: Any, where: str) -> Any:
    """``value`` as the type of the setting ``name``; an int serves as float, nothing else is converted."""
    if name not in _TYPES:
        near = difflib.get_close_matches(name, _TYPES, n=1)
        raise UserError(f"{where}: no setting is called {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    kind = _TYPES[name]
    if typing.get_origin(kind) is Literal:
        if value not in typing.get_args(kind):
            raise UserError(f"{where}: {name} expects one of {', '.join(typing.get_args(kind))}, got {value!r}")
        return value
    if kind is float and type(value) in (int, str):  # YAML 1.1 reads 3e-4 as a string
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    if type(value) is not kind:
        raise UserError(f"{where}: {name} expects {kind.__name__}, got {value!r}")
    return value


def load_config(
    path: str | Path | None = None,
    overrides: typing.Sequence[str] = (),
    defaults: typing.Mapping[str, Any] | None = None,
    **settings: Any,
) -> Config:
    """Defaults, then the YAML file, then ``settings``, then ``overrides``.

    Args:
        path: a YAML file of ``name: value`` lines, or None.
        overrides: ``name=value`` strings, the value written as in YAML.
        defaults: what stands in the place of the fields' own.
        **settings: values set by the caller.

    Returns:
        The checked configuration.

    Raises:
        UserError: the file is unreadable, a name is unknown (the nearest known one is named), or a value is of the
            wrong type or out of range.
    """
    values = dict(defaults or {})
    if path is not None:
        try:
            loader = yaml.SafeLoader(Path(path).read_text(encoding="utf-8"))
            tree = loader.get_single_node()
            loaded = (tree and loader.construct_document(tree)) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(f"config {path}: {error}") from error
        if not isinstance(loaded, dict):
            raise UserError(f"config {path} expects lines of 'name: value', got a {type(loaded).__name__}")
        named = Counter(key.value for key, _ in tree.value) if isinstance(tree, yaml.MappingNode) else Counter()
        if twice := [name for name, times in named.items() if times > 1]:
            raise UserError(f"config {path} sets {twice[0]!r} more than once")
        values |= {str(name): _checked(str(name), value, f"config {path}") for name, value in loaded.items()}
    values |= {name: _checked(name, value, "settings") for name, value in settings.items()}
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals:
            raise UserError(f"override expects name=value, got {override!r}")
        try:
            value = text if _TYPES.get(name) is str else yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(f"override {override!r}: {error}") from error
        values[name] = _checked(name, value, f"override {override!r}")
    return Config(**values)


def to_yaml(config: Config) -> str:
    """The whole configuration as a YAML file that ``load_config`` reads back."""
    return yaml.safe_dump(dataclasses.asdict(config), sort_keys=False)
