"""Counts what the CUDA kernels for (hdi_median, rms) take, from their disassembly: ``bench/results/cuda_sass.json``.

``python -m bench.run_sass``, after a build for one architecture. No GPU is needed: registers and instructions are facts
of the compiler. Instructions a reward: those of the straight path (``bench/sass.py``), by a lane's rewards.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gapo_kernels
from bench import results_file
from bench.markdown import grid, source
from bench.sass import disassemble, find_cuobjdump, resources, straight_path
from gapo_numpy import _core, build_info
from gapo_trainer.provenance import provenance, write_result

RESULTS = results_file.FOLDER / "cuda_sass.json"
LIBRARY = Path(gapo_kernels.__file__).with_name("_C_cuda.so")
KERNELS = {"thread": "thread_groups", "lanes": "lane_groups", "block": "block_groups"}  # by tier


def count(cuobjdump: str, library: Path) -> list[dict[str, Any]]:
    """One row a size class: its shape, and registers and instructions of its short float32 kernel."""
    kernels = {
        f"{KERNELS[shape['tier']]}<true, float, {i}>": shape for i, shape in enumerate(_core.cuda_size_classes())
    }
    used = resources(cuobjdump, library)
    code = disassemble(cuobjdump, library)
    rows = []
    for kernel, shape in kernels.items():
        path = straight_path(code[kernel])
        rows.append(
            {
                **{key: shape[key] for key in ("tier", "largest", "lanes", "rewards_per_lane", "threads")},
                "registers": used[kernel].registers,
                "instructions": path,
                "instructions_per_reward": round(path / shape["rewards_per_lane"], 1),
                "budget_per_reward": shape["instructions"],
            }
        )
    return rows


def table(results: dict[str, Any]) -> str:
    """Of docs/cuda.md, in Markdown."""
    rows = [
        [f"{row['largest']:,}", row["tier"], f"{row['lanes']} × {row['rewards_per_lane']}"]
        + [f"{row[fact]:g}" for fact in ("threads", "registers", "instructions_per_reward")]
        for row in results["classes"]
    ]
    header = ["largest group", "tier", "lanes × rewards", "threads", "registers", "instructions a reward"]
    facts = results["provenance"]
    return f"{grid(header, rows)}\n\nnvcc {facts['nvcc']}, a build for {facts['architecture']}, {source(facts)}"


def main() -> None:
    cuobjdump = find_cuobjdump()
    if cuobjdump is None:
        raise SystemExit("bench.run_sass needs cuobjdump: the CUDA toolkit or requirements-dev.txt bring it")
    info = build_info()
    if len(info["cuda_architectures"]) != 1:
        raise SystemExit(f"bench.run_sass reads a build for one architecture, got {info['cuda_architectures']}")
    built = {"nvcc": info["cuda"], "architecture": info["cuda_architectures"][0].removesuffix("+PTX")}
    origin = {**provenance("cpu"), **built}
    write_result(RESULTS, origin, {"kernel": "float32, hdi_median, rms", "classes": count(cuobjdump, LIBRARY)})


if __name__ == "__main__":
    main()
