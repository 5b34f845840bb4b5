"""Counts what the CUDA kernels execute for ragged and for unordered groups: ``bench/results/cuda_ragged.json``.

``python -m bench.run_ragged_counts``, where nvcc is. No GPU is needed: the kernels' PTX is interpreted (docs/cuda.md).
"""

from __future__ import annotations

from typing import Any

from bench import results_file
from bench.interpreter import ptx_library
from bench.markdown import grid, source
from gapo_trainer.provenance import provenance, write_result

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
    """Of docs/cuda.md, in Markdown."""
    found = {(row["call"], row["smallest"], row["largest"]): row for row in results["batches"]}
    rows = []
    for smallest, largest in RANGES:
        sizes = f"{largest:,}" if smallest == largest else f"{smallest:,} – {largest:,}"
        calls = [found[call, smallest, largest] for call in CALLS]
        rows.append([sizes, *(f"{row['instructions_per_reward']:g} ({row['kernels']})" for row in calls)])
    facts = results["provenance"]
    header = ["sizes of the groups", *(f"{call} (kernels)" for call in CALLS)]
    return f"{grid(header, rows)}\n\nnvcc {facts['nvcc']}, {source(facts)}"


def main() -> None:
    batches = [count(*sizes, call) for sizes in RANGES for call in CALLS]
    origin = {**provenance("cpu"), "nvcc": ptx_library.find_nvcc()[1], "architecture": "9.0"}
    write_result(RESULTS, origin, {"kernel": "float32, hdi_median, rms", "groups": GROUPS, "batches": batches})


if __name__ == "__main__":
    main()
