"""Compares gapo_trainer.engine with TRL's GRPOTrainer, step by step: time and memory, by group size and prompt length.

Every measurement is a process of its own (`trainer_step_worker.py`) on one thread. TRL needs an environment of its
own, with torch pinned in the same command (otherwise pip replaces it by a CUDA build)::

    python3 -m venv TRL_VENV
    TRL_VENV/bin/pip install torch==2.13.0 trl==1.16.0 transformers==5.23.0
    python -m bench.trainer_vs_trl --trl-python TRL_VENV/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from typing import Any, NamedTuple

from bench import ROOT, results_file
from bench.markdown import grid, origin
from bench.trainer_step_worker import MODEL, NEW_TOKENS
from gapo_trainer.provenance import provenance, write_result

RESULTS = results_file.FOLDER / "trainer_vs_trl.json"
PACKAGES = ("torch", "transformers", "trl", "accelerate")

# glibc hands tensors of 32 MB and more back to the kernel when they are freed and pays page faults for the next one.
# That costs the larger side more; with these settings it keeps them.
KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}


class Case(NamedTuple):
    """One size: tokens of the prompt, completions a step, completions a micro-batch."""

    prompt_length: int
    group: int
    micro_batch: int
    steps: int = 6  # the first warms up; medians are over the others
    allocator: str = "default"


ANCHORS = [Case(384, 64, 8), Case(384, 256, 32), Case(1024, 64, 8)]
KEEPING = ANCHORS[0]._replace(allocator="keeps freed memory")
BY_GROUP = [Case(384, 16, 8), ANCHORS[0], ANCHORS[1], Case(384, 1024, 32)]
BY_PROMPT = [Case(128, 64, 8), ANCHORS[0], ANCHORS[2], Case(2048, 64, 8)]
TRL_LEFT_OUT = (BY_GROUP[-1], BY_PROMPT[-1])  # to keep the run short
AXES = {  # what the figures are drawn over: cases, their field, its label
    "group": (BY_GROUP, "group", "completions a step (prompt of 384 tokens)"),
    "prompt": (BY_PROMPT, "prompt_length", "prompt length in tokens (64 completions a step)"),
}
CASES = list(dict.fromkeys([*ANCHORS, *BY_GROUP, *BY_PROMPT, KEEPING]))


def measure(python: str, side: str, case: Case) -> dict[str, Any]:
    """Run one side at one size in a new process; medians in CPU seconds, memory in MB."""
    allocator = {} if case.allocator == "default" else KEEP_FREED_MEMORY
    worker = [python, "-m", "bench.trainer_step_worker", side, f"--prompt-length={case.prompt_length}"]
    finished = subprocess.run(
        [*worker, f"--group={case.group}", f"--micro-batch={case.micro_batch}", f"--steps={case.steps}"],
        cwd=ROOT,  # where the other environment's interpreter finds bench
        env=os.environ | allocator | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(finished.stdout.splitlines()[-1])
    timed = found["steps"][1:]
    return {
        "step_s": statistics.median(step["step_s"] for step in timed),
        "generation_s": statistics.median(step["generation_s"] for step in timed),
        "memory_above_start_mb": found["memory_above_start_mb"],
        "steps": found["steps"],
    }


def ratios(engine: dict[str, Any], trl: dict[str, Any], generate: dict[str, Any]) -> dict[str, float]:
    """How many times less the engine takes; for memory, its share of TRL's."""
    return {
        "step": trl["step_s"] / engine["step_s"],
        "generation_against_trl": trl["generation_s"] / engine["generation_s"],
        "generation_against_generate": generate["generation_s"] / engine["generation_s"],
        "memory_share": engine["memory_above_start_mb"] / trl["memory_above_start_mb"],
    }


def facts(trl_python: str) -> dict[str, Any]:
    """The provenance of a measurement, with the versions of TRL's environment, where both sides' torch is the same."""
    ask = f"import importlib.metadata as m, json; print(json.dumps({{p: m.version(p) for p in {PACKAGES}}}))"
    return {
        **provenance("cpu"),
        "threads": 1,
        "versions": json.loads(subprocess.check_output([trl_python, "-c", ask], text=True)),
        "model": {"model_type": "qwen2", **MODEL},
        "new_tokens": NEW_TOKENS,
        "units": "CPU seconds, median of the steps after the first; peak memory above the start in MB",
    }


def measure_all(trl_python: str) -> None:
    """Measure the sizes that the result file lacks: a run that was cut off goes on, a deleted file starts anew."""
    about = facts(trl_python)
    entries: list[dict[str, Any]] = results_file.read(RESULTS).get("cases", [])
    pythons = {"engine": sys.executable, "trl": trl_python, "generate": sys.executable}
    for case in CASES:
        if find(entries, case):
            continue
        sides = ["engine"] if case in TRL_LEFT_OUT else list(pythons)
        found = {side: measure(pythons[side], side, case) for side in sides}
        shown = ratios(**found) if case not in TRL_LEFT_OUT else {}
        entries.append(case._asdict() | found | {"ratios": shown, "commit": about["commit"], "date": about["date"]})
        write_result(RESULTS, about, {"cases": entries})
        print(*case, {name: round(value, 2) for name, value in shown.items()}, flush=True)


def find(entries: list[dict[str, Any]], case: Case) -> dict[str, Any] | None:
    """What was measured at one size; None where nothing was."""
    return next((one for one in entries if case == Case(*(one[name] for name in Case._fields))), None)


def is_complete(results: dict[str, Any]) -> bool:
    """Whether all sizes were measured: a run that was cut off leaves a part of them."""
    return all(find(results["cases"], case) for case in CASES)


def table(results: dict[str, Any]) -> str:
    """Of docs/engine.md, in Markdown: the sizes that both sides were measured at, the largest gain first."""
    measured = sorted((one for one in results["cases"] if one["ratios"]), key=lambda one: -one["ratios"]["step"])
    rows = []
    for one in measured:
        trl, engine, ratio = one["trl"], one["engine"], one["ratios"]
        size = f"prompt {one['prompt_length']:,}, G = {one['group']:,}"
        size += "" if one["allocator"] == "default" else f", allocator {one['allocator']}"
        times = (f"{side['step_s']:.2f} ({side['generation_s']:.2f})" for side in (trl, engine))
        parts = ("step", "generation_against_trl", "generation_against_generate")
        memory = (f"{side['memory_above_start_mb']:,.0f}" for side in (trl, engine))
        rows.append([size, *times, *(f"{ratio[part]:.1f}×" for part in parts), " → ".join(memory) + " MB"])
    header = ["", "TRL GRPOTrainer", "this engine", "step, faster by"]
    header += ["generation, faster by", "faster than `generate` by", "memory"]
    return f"{grid(header, rows)}\n\nOne thread. {origin(results['provenance'])}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl-python", required=True, help="the interpreter of the environment with TRL")
    measure_all(parser.parse_args().trl_python)


if __name__ == "__main__":
    main()
