"""Counts what the CUDA kernel for large groups executes: ``bench/results/cuda_large.json``.

``python -m bench.run_large_counts``, where nvcc is. No GPU is needed: the kernel's PTX is interpreted (docs/cuda.md).
The interpreter has as many processors as an H200, so that as many blocks share a group as there.
"""

from __future__ import annotations

from typing import Any

from bench import results_file
from bench.interpreter import ptx_library
from bench.markdown import grid, source
from gapo_trainer.provenance import provenance, write_result

RESULTS = results_file.FOLDER / "cuda_large.json"
SIZES = (5_000, 16_384, 131_072, 1 << 20)
PROCESSORS = 132
SOURCES = {"normal": "torch.randn", "uniform": "torch.rand"}
CALL = """
import os, torch
torch.ops.load_library(os.environ["GAPO_PTX_LIBRARY"])
rewards = {source}({size}, generator=torch.Generator().manual_seed(0))
torch.ops.gapo_ptx.advantage(rewards)
"""


def count(rewards: str, size: int) -> dict[str, Any]:
    """PTX instructions of one group, all threads together, for (hdi_median, rms) in float32."""
    code = CALL.format(source=SOURCES[rewards], size=size)
    launches, _ = ptx_library.count_launches(code, GAPO_PTX_PROCESSORS=str(PROCESSORS))
    (launch,) = (launch for launch in launches if "large_groups" in launch.kernel)
    per_reward = round(launch.instructions / size, 1)
    return {"rewards": rewards, "size": size, "blocks": launch.blocks, "instructions_per_reward": per_reward}


def table(results: dict[str, Any]) -> str:
    """Of docs/cuda.md, in Markdown."""
    found = {(row["rewards"], row["size"]): row for row in results["groups"]}
    rows = [
        [f"{size:,}", str(found["normal", size]["blocks"])]
        + [f"{found[name, size]['instructions_per_reward']:g}" for name in SOURCES]
        for size in SIZES
    ]
    facts = results["provenance"]
    header = ["one group of", "blocks", *(f"{name} rewards" for name in SOURCES)]
    return f"{grid(header, rows)}\n\nnvcc {facts['nvcc']}, {source(facts)}"


def main() -> None:
    groups = [count(rewards, size) for rewards in SOURCES for size in SIZES]
    origin = {**provenance("cpu"), "nvcc": ptx_library.find_nvcc()[1], "architecture": "9.0"}
    write_result(RESULTS, origin, {"kernel": "float32, hdi_median, rms", "processors": PROCESSORS, "groups": groups})


if __name__ == "__main__":
    main()
