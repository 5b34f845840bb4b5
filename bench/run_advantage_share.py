"""Measures which share of a training step the advantages take, by the group's size, on one thread.

``python -m bench.run_advantage_share`` writes bench/results/advantage_share.json, in about two minutes.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from bench import results_file
from gapo_trainer.config import load_config
from gapo_trainer.provenance import provenance, write_result
from gapo_trainer.runlog import TIMINGS, read_log
from gapo_trainer.train import train

RESULTS = results_file.FOLDER / "advantage_share.json"
# (prompts a step, completions a prompt): the smallest step, where a fixed cost weighs most, to the largest group
SIZES = [(1, 2), (1, 8), (8, 8), (8, 64), (8, 256), (1, 1024), (1, 4096)]
STEPS = 6  # the first warms up; medians are over the others


def share(prompts: int, group_size: int) -> dict[str, Any]:
    """Median seconds of a step's parts in a new run, and the share of the advantages."""
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(
            prompts_per_step=prompts, group_size=group_size, steps=STEPS, eval_every=STEPS, eval_tasks=1, max_tasks=64
        )
        train(config, Path(folder), "cpu", console=None)
        rows = read_log(Path(folder), TIMINGS)[1:]
    parts = {name: statistics.median(row[name] for row in rows) for name in ("rollout_s", "advantage_s", "update_s")}
    largest = max(row["advantage_s"] / sum(row[name] for name in parts) for row in rows)
    return {
        "prompts": prompts,
        "group_size": group_size,
        **parts,
        "share": parts["advantage_s"] / sum(parts.values()),
        "largest_share": largest,
    }


def main() -> None:
    """Measure every size, print each and write the file."""
    torch.set_num_threads(1)  # waiting for a busy second core would lengthen the rest of a step, and flatter the share
    origin = provenance("cpu")
    sizes = []
    for prompts, group_size in SIZES:
        sizes.append(share(prompts, group_size))
        Console().print_json(json.dumps(sizes[-1]), indent=None)
    write_result(RESULTS, origin, {"unit": "seconds, medians of the steps after the first", "sizes": sizes})


if __name__ == "__main__":
    main()
