"""The CUDA library without a GPU: tests/gpu on its PTX, interpreted on the CPU, with every access to memory checked."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import ptx_library


def test_the_gpu_tests_pass_on_interpreted_ptx():
    ptx_library.build()
    env = os.environ | {
        "LD_PRELOAD": str(ptx_library.ALLOCATIONS),
        "GAPO_PTX_LIBRARY": str(ptx_library.OPS),
        "GAPO_GPU_EXAMPLES": os.environ.get("GAPO_GPU_EXAMPLES", "300"),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests/gpu"]
    run = subprocess.run(command, cwd=ptx_library.ROOT, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed is not None, run.stdout[-2_000:]
    assert int(passed[1]) > 250  # without the golden vectors; the others skip
