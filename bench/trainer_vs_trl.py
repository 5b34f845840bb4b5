"""Compares gapo_trainer.engine with TRL's GRPOTrainer, step by step: time and memory, by group size and prompt length.

Every measurement is a process of its own (`trainer_step_worker.py`) on one thread. TRL needs an environment of its
own, with torch pinned in the same command (otherwise pip replaces it by a CUDA build)::

    python3 -m venv TRL_VENV
    TRL_VENV/bin/pip install torch==2.13.0 trl==1.16.0 transformers==5.23.0
    python -m bench.trainer_vs_trl measure --trl-python TRL_VENV/bin/python
    python -m bench.trainer_vs_trl plot
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
from gapo_trainer.provenance import provenance

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


def origin(trl_python: str) -> dict[str, Any]:
    """The provenance of a measurement, with the versions of TRL's environment, where both sides' torch is the same."""
    ask = f"import importlib.metadata as m, json; print(json.dumps({{p: m.version(p) for p in {PACKAGES}}}))"
    return {
        **provenance("cpu"),
        "threads": 1,
        "versions": json.loads(subprocess.check_output([trl_python, "-c", ask], text=True)),
        "command": "python -m bench.trainer_vs_trl measure --trl-python TRL_VENV/bin/python",
        "model": "Qwen2, hidden 128, 4 layers, 4 heads, 2 key heads, feed-forward 512, vocabulary 2048, tied, float32",
        "new_tokens": 24,
        "units": "CPU seconds, median of the steps after the first; peak memory above the start in MB",
    }


def measure_all(trl_python: str) -> None:
    """Measure the sizes that the result file lacks: a run that was cut off goes on, a deleted file starts anew."""
    about = origin(trl_python)
    entries = json.loads(RESULTS.read_text())["cases"] if RESULTS.exists() else []
    pythons = {"engine": sys.executable, "trl": trl_python, "generate": sys.executable}
    for case in CASES:
        if any(case == Case(*(entry[name] for name in Case._fields)) for entry in entries):
            continue
        sides = ["engine"] if case in TRL_LEFT_OUT else list(pythons)
        found = {side: measure(pythons[side], side, case) for side in sides}
        shown = ratios(**found) if case not in TRL_LEFT_OUT else {}
        entries.append(case._asdict() | found | {"ratios": shown, "commit": about["commit"], "date": about["date"]})
        RESULTS.write_text(json.dumps({"provenance": about, "cases": entries}, indent=1) + "\n")
        print(*case, {name: round(value, 2) for name, value in shown.items()}, flush=True)


def plot() -> None:
    import matplotlib.pyplot as plt

    grey = "#808080"  # legible on white and on black
    plt.rcParams.update({"svg.fonttype": "none", "font.size": 10, "svg.hashsalt": "trainer_vs_trl"})
    for name in ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"):
        plt.rcParams[name] = grey
    found = {Case(*(entry[name] for name in Case._fields)): entry for entry in json.loads(RESULTS.read_text())["cases"]}
    for name, cases, field, label in (
        ("group", BY_GROUP, "group", "completions a step (prompt of 384 tokens)"),
        ("prompt", BY_PROMPT, "prompt_length", "prompt length in tokens (64 completions a step)"),
    ):
        figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
        for axis, quantity, unit in ((axes[0], "step_s", "step, CPU seconds"),
                                     (axes[1], "memory_above_start_mb", "memory above start, MB")):  # fmt: skip
            for side, colour, title in (("trl", "#e07b39", "TRL GRPOTrainer"), ("engine", "#2a9d8f", "this engine")):
                measured = [case for case in cases if side in found[case]]
                sizes = [getattr(case, field) for case in measured]
                axis.plot(sizes, [found[case][side][quantity] for case in measured], "o-", color=colour, label=title)
            axis.set(xscale="log", yscale="log", xlabel=label, ylabel=unit)
            axis.set_xticks(sizes, [str(size) for size in sizes])
            axis.minorticks_off()
            axis.grid(color=grey, alpha=0.25)
            axis.spines[["top", "right"]].set_visible(False)
        axes[0].legend(frameon=False)
        for kind in ("svg", "png"):
            path = RESULTS.with_name(f"trainer_vs_trl_by_{name}.{kind}")
            figure.savefig(path, transparent=True, dpi=150, metadata={"Date": None} if kind == "svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("measure", help="measure and write the result file").add_argument(
        "--trl-python", required=True, help="the interpreter of the environment with TRL"
    )
    commands.add_parser("plot", help="draw the figures from the result file")
    arguments = parser.parse_args()
    measure_all(arguments.trl_python) if arguments.command == "measure" else plot()


if __name__ == "__main__":
    main()
