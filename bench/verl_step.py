"""Times verl's advantage step: its own GRPO, plain and vectorised, and GAPO through the plug-in.

To run with the environment of verl's adapter, after `make test-adapters-verl`, in a few minutes::

    .venv-verl/bin/python -m bench.verl_step      writes bench/results/verl_step.json

Each call is verl's own `compute_advantage` on a DataProto, as its trainers make it, everything included: row sums, uid
strings to groups, statistics, the product with the int64 mask, and the plug-in's bookkeeping for the log. The
estimators take turns within each round, so that what else runs on the machine meets all of them.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

import numpy as np
import torch
from verl import DataProto
from verl.trainer.config import AlgoConfig
from verl.trainer.ppo.ray_trainer import compute_advantage

from bench import results_file
from gapo_trainer.provenance import provenance, write_result

RESULTS = results_file.FOLDER / "verl_step.json"
PACKAGES = ("gapo-kernels", "torch", "verl", "tensordict", "numpy")
PROMPTS, GROUP, TOKENS = 512, 16, 1024  # the paper's batch
ESTIMATORS = ("grpo", "grpo_vectorized", "gapo")
THREADS = (1, 2)
ROUNDS = 15


def make_batch() -> DataProto:
    """Completions of random lengths, shuffled, with a reward on the last token; uids as verl's trainer draws them."""
    rows = PROMPTS * GROUP
    random = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, TOKENS + 1, (rows, 1), generator=random)
    rewards = torch.zeros(rows, TOKENS).scatter_(1, lengths - 1, torch.rand(rows, 1, generator=random) ** 3)
    uids = np.array([f"{group:08x}-0000-4000-8000-{group:012x}" for group in range(PROMPTS)], dtype=object)
    order = torch.randperm(rows, generator=random).numpy()
    return DataProto.from_dict(
        tensors={"token_level_rewards": rewards, "response_mask": (torch.arange(TOKENS) < lengths).long()},
        non_tensors={"uid": np.repeat(uids, GROUP)[order]},
    )


def time_all(threads: int) -> list[dict[str, Any]]:
    """Wall and CPU milliseconds of each estimator, medians and quartiles over the rounds."""
    torch.set_num_threads(threads)
    batch, config = make_batch(), AlgoConfig()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ESTIMATORS}
    for _ in range(ROUNDS + 1):
        for name in ESTIMATORS:
            wall, cpu = time.perf_counter(), time.process_time()
            compute_advantage(batch, adv_estimator=name, config=config)
            times[name].append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)))
    return [
        {"estimator": name, "threads": threads, **summary("wall_ms", walls), **summary("cpu_ms", cpus)}
        for name, measured in times.items()
        for walls, cpus in [zip(*measured[1:], strict=True)]  # the first round warms up
    ]


def summary(name: str, values: tuple[float, ...]) -> dict[str, list[float]]:
    """First quartile, median, third quartile."""
    return {name: [round(quartile, 2) for quartile in statistics.quantiles(values, n=4)]}


def main() -> None:
    """Measure and write."""
    origin = {**provenance("cpu", PACKAGES), "threads": list(THREADS)}
    load = os.getloadavg()[0]
    cases = [case for threads in THREADS for case in time_all(threads)]
    facts = {"prompts": PROMPTS, "group_size": GROUP, "tokens": TOKENS, "rounds": ROUNDS, "load_before": round(load, 2)}
    write_result(RESULTS, origin, {**facts, "statistics": "first quartile, median, third quartile", "cases": cases})


if __name__ == "__main__":
    main()
