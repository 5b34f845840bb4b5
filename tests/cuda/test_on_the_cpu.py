"""The CUDA library without a GPU: tests/gpu on its PTX, interpreted on the CPU, with every access to memory checked."""

from __future__ import annotations

import json
import os
import re

import bench_modules  # noqa: F401
import ptx_library

from bench.run_large_counts import RESULTS, count, table

BUDGET = 250  # PTX instructions a reward of a group of 16,384 normal ones


def test_the_gpu_tests_pass_on_interpreted_ptx():
    command = ("-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests/gpu")
    run = ptx_library.run_python(*command, GAPO_GPU_EXAMPLES=os.environ.get("GAPO_GPU_EXAMPLES", "300"))
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed is not None, run.stdout[-2_000:]
    assert int(passed[1]) > 250  # without the golden vectors; the others skip


def test_instructions_of_large_groups():
    found = count("normal", 16_384)
    # less than half of the budget would mean that a pass was not counted
    assert BUDGET / 2 < found["instructions_per_reward"] <= BUDGET


def test_the_documented_counts():
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert table(results) in (ptx_library.ROOT / "docs" / "cuda.md").read_text(encoding="utf-8")
