"""Times what `GapoGRPOTrainer` adds to TRL: the advantages alone, by batch and group, and their share of a real step.

To run with the environment of TRL's adapter, after `make test-adapters-trl`, in about two minutes::

    .venv-trl/bin/python -m bench.trl_step      writes bench/results/trl_step.json

TRL's own computation stands inline in a long method; `trl_inline` makes the same torch calls on the same tensors.
Times are CPU seconds of one thread.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback
from trl.trainer.utils import nanstd

from bench import results_file
from bench.trainer_step_worker import NEW_TOKENS, trl_trainer
from gapo_kernels import advantage
from gapo_kernels.adapters.trl import GapoGRPOConfig, GapoGRPOTrainer, sum_rewards
from gapo_trainer.provenance import provenance, write_result

RESULTS = results_file.FOLDER / "trl_step.json"
PACKAGES = ("gapo-kernels", "torch", "transformers", "trl")

# (groups, completions a group, reward functions): TRL's default of 8 completions, a cluster's batch, a very large group
BATCHES = [(1, 8, 1), (8, 8, 1), (64, 16, 1), (64, 16, 3), (512, 16, 1), (512, 16, 3), (8, 1024, 1)]
REPEATS = 200  # medians are over them
# (tokens of the prompt, completions a step, completions a micro-batch) of one group's training
STEPS = [(16, 8, 8), (128, 8, 8), (128, 64, 8)]
STEPS_EACH = 8  # the first warms up


def trl_inline(rewards_per_func: Tensor, weights: Tensor, group_size: int) -> tuple[Tensor, Tensor]:
    """TRL 1.16.0's advantages at its defaults, and which groups have no spread."""
    unscorable = torch.isnan(rewards_per_func).all(dim=1)
    rewards = (rewards_per_func * weights.unsqueeze(0)).nansum(dim=1)
    rewards[unscorable] = torch.nan
    groups = rewards.view(-1, group_size)
    mean = torch.nanmean(groups, dim=1).repeat_interleave(group_size, dim=0)
    std = nanstd(groups, dim=1).repeat_interleave(group_size, dim=0)
    return torch.nan_to_num((rewards - mean) / (std + 1e-4), nan=0.0), torch.isclose(std, torch.zeros_like(std))


def milliseconds(call: Callable[[], Any]) -> float:
    """The median of a call."""
    times = []
    for _ in range(REPEATS + 5):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1e3 * statistics.median(times[5:])


def time_batch(groups: int, group_size: int, functions: int) -> dict[str, Any]:
    """Milliseconds of TRL's advantages, of the op in their place, and of all that the adapter adds to TRL's."""
    rows = groups * group_size
    rewards_per_func = torch.rand(rows, functions, generator=torch.Generator().manual_seed(rows))
    weights = torch.ones(functions)
    theirs, _ = trl_inline(rewards_per_func, weights, group_size)
    log = deque(theirs.tolist(), maxlen=rows)
    trainer = SimpleNamespace(
        accelerator=SimpleNamespace(num_processes=1, process_index=0),
        num_generations=group_size,
        reward_funcs=[None] * functions,
        reward_weights=weights,
        advantage_settings={},
        _logs={"advantages": log},
        _metrics={"train": defaultdict(list)},
    )

    def op() -> None:
        rewards, scorable = sum_rewards(rewards_per_func, weights, group_size)
        advantage(rewards, valid=scorable)

    def replacement() -> None:
        GapoGRPOTrainer._replace_advantages(trainer, {"advantages": theirs}, [rewards_per_func], rows, "train")

    return {
        "groups": groups,
        "group_size": group_size,
        "functions": functions,
        "trl_ms": milliseconds(lambda: trl_inline(rewards_per_func, weights, group_size)),
        "op_ms": milliseconds(op),
        "replacement_ms": milliseconds(replacement),
    }


def time_step(prompt_length: int, group_size: int, micro_batch: int) -> dict[str, Any]:
    """A step of a real training, and the part of it that the adapter adds."""
    steps: list[tuple[float, float]] = []

    class Timed(GapoGRPOTrainer):
        def _replace_advantages(self, *args: Any) -> None:
            start = time.process_time()
            super()._replace_advantages(*args)
            self.replacement_s = time.process_time() - start

    class Watch(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            self.start = time.process_time()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            steps.append((trainer.replacement_s, time.process_time() - self.start))

    with tempfile.TemporaryDirectory() as folder:
        trainer = trl_trainer(Timed, GapoGRPOConfig, folder, prompt_length, group_size, micro_batch, STEPS_EACH)
        trainer.add_callback(Watch())
        trainer.train()
    replacement, step = (statistics.median(column) for column in zip(*steps[1:], strict=True))
    return {
        "prompt_tokens": prompt_length,
        "new_tokens": NEW_TOKENS,
        "group_size": group_size,
        "replacement_ms": 1e3 * replacement,
        "step_ms": 1e3 * step,
        "share": replacement / step,
        "largest_share": max(part / whole for part, whole in steps[1:]),
    }


def main() -> None:
    torch.set_num_threads(1)
    origin = provenance("cpu", PACKAGES)
    load = os.getloadavg()[0]
    batches = [time_batch(*batch) for batch in BATCHES]
    steps = [time_step(*step) for step in STEPS]
    write_result(
        RESULTS, origin, {"unit": "CPU milliseconds, medians", "load_before": load, "batches": batches, "steps": steps}
    )


if __name__ == "__main__":
    main()
