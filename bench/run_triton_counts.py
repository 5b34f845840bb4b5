"""Counts what the Triton and the CUDA kernels execute for one call: ``bench/results/triton_counts.json``.

``python -m bench.run_triton_counts``, where nvcc is. No GPU is needed: the PTX of both is interpreted (docs/cuda.md).
PTX is not what a GPU runs, and instructions are not time: one tells roughly whether the two do as much.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from bench import results_file
from bench.interpreter import ptx_library
from bench.markdown import grid, source
from gapo_trainer.provenance import provenance, write_result

RESULTS = results_file.FOLDER / "triton_counts.json"
REWARDS = 4096  # of a call
SIZES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
CALLS = """
import sys
sys.path[:0] = ["tests", "tests/cuda", "tests/triton_backend"]
import torch
{load}
for size in {sizes}:
    rewards = torch.randn({rewards} // size, size, generator=torch.Generator().manual_seed(size))
    {call}
"""
BACKENDS = {
    "cuda": ("import device_ops", "torch.ops.gapo_ptx.advantage(rewards)"),
    "triton": (
        "import ptx_driver\nfrom gapo_kernels.triton_kernels import ops",
        "ops.advantage(rewards)",
    ),
}


def count(backend: str) -> list[int]:
    """PTX instructions of a call of each size, all threads together, for (hdi_median, rms) in float32."""
    load, call = BACKENDS[backend]
    code = CALLS.format(load=load, sizes=SIZES, rewards=REWARDS, call=call)
    found = [launch.instructions for launch in ptx_library.count_launches(code)[0]]
    if len(found) != len(SIZES):
        raise RuntimeError(f"expected one launch a call of {backend}, got {len(found)} launches of {len(SIZES)} calls")
    return found


def table(results: dict[str, Any]) -> str:
    """Of docs/triton.md, in Markdown."""
    rows = []
    for row in results["sizes"]:
        counts = [f"{row[backend] / REWARDS:.1f}" for backend in BACKENDS]
        rows.append([f"{row['group_size']:,}", *counts, f"{row['triton'] / row['cuda']:.2f}"])
    facts = results["provenance"]
    header = ["group size", "CUDA", "Triton", "ratio"]
    return f"{grid(header, rows)}\n\nnvcc {facts['nvcc']}, Triton {facts['triton']}, {source(facts)}"


def main() -> None:
    counts = {backend: count(backend) for backend in BACKENDS}
    sizes = [
        {"group_size": size, **{backend: counts[backend][i] for backend in BACKENDS}} for i, size in enumerate(SIZES)
    ]
    origin = {**provenance("cpu"), "nvcc": ptx_library.find_nvcc()[1], "triton": version("triton")}
    write_result(RESULTS, origin, {"rewards": REWARDS, "sizes": sizes})


if __name__ == "__main__":
    main()
