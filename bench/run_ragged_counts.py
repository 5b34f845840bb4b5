"""Counts what the CUDA kernels execute for ragged and for unordered groups: ``bench/results/cuda_ragged.json``.

``python -m bench.run_ragged_counts``, where nvcc is. No GPU is needed: the kernels' PTX is interpreted (docs/cuda.md).
"""

from __future__ import annotations

from typing import Any

from bench import results_file
from bench.interpreter import ptx_library

RESULTS = results_file.FOLDER / "cuda_ragged.json"
GROUPS = 64
RANGES = ((8, 8), (16, 16), (17, 32), (33, 64), (65, 128), (129, 256), (1, 256), (257, 512), (513, 1024), (1, 1024))
# as the ops are called: groups side by side, and all rows shuffled
CALLS = {
    "ragged": "advantage_varlen(rewards, torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]), {largest})",
    "unordered": "advantage_by_id(rewards, ids[torch.randperm(len(ids), generator=draw)])",
}
PROGRAM = """
import os, torch
torch.ops.load_library(os.environ["GAPO_PTX_LIBRARY"])
draw = torch.Generator().manual_seed(0)
sizes = torch.randint({smallest}, {largest} + 1, ({groups},), generator=draw)
sizes[0] = {largest}
ids = torch.repeat_interleave(torch.arange({groups}), sizes)
rewards = torch.randn(len(ids), generator=draw)
print(len(ids))
torch.ops.gapo_ptx.{call}
"""


def program(smallest: int, largest: int, call: str) -> str:
    """Python that makes the call for groups of these sizes, and prints how many rewards they have."""
    values = {"smallest": smallest, "largest": largest, "groups": GROUPS}
    return PROGRAM.format(call=CALLS[call].format(**values), **values)


def count(smallest: int, largest: int, call: str) -> dict[str, Any]:
    """PTX instructions of a batch, all threads of all kernels together, for (hdi_median, rms) in float32."""
    launches, printed = ptx_library.count_launches(program(smallest, largest, call))
    rewards = int(printed)
    per_reward = round(sum(launch.instructions for launch in launches) / rewards, 1)
    sizes = {"smallest": smallest, "largest": largest, "rewards": rewards}
    return {"call": call, **sizes, "kernels": len(launches), "instructions_per_reward": per_reward}


def table(results: dict[str, Any]) -> str:
    """The rows of docs/cuda.md, in Markdown."""
    found = {(row["call"], row["smallest"], row["largest"]): row for row in results["batches"]}
    lines = ["| sizes of the groups | " + " | ".join(f"{call} (kernels)" for call in CALLS) + " |"]
    lines.append("| --- |" + " --- |" * len(CALLS))
    for smallest, largest in RANGES:
        rows = [found[call, smallest, largest] for call in CALLS]
        counts = " | ".join(f"{row['instructions_per_reward']:g} ({row['kernels']})" for row in rows)
        sizes = f"{largest:,}" if smallest == largest else f"{smallest:,} – {largest:,}"
        lines.append(f"| {sizes} | {counts} |")
    return "\n".join(lines)


def main() -> None:
    from gapo_trainer.provenance import provenance, write_result

    batches = [count(*sizes, call) for sizes in RANGES for call in CALLS]
    command = "python -m bench.run_ragged_counts"
    origin = {**provenance("cpu"), "command": command, "nvcc": ptx_library.find_nvcc()[1], "architecture": "9.0"}
    write_result(RESULTS, origin, {"kernel": "float32, hdi_median, rms", "groups": GROUPS, "batches": batches})


if __name__ == "__main__":
    main()
