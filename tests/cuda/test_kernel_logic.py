"""The CUDA kernels' own templates on the CPU (tests/cuda/cpp): sorts lane by lane, every size class, every rule."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = "build/cpp/cuda/cuda_logic_tests"


def test_kernel_logic() -> None:
    compiler = os.environ.get("CXX") or "g++"
    if shutil.which(shlex.split(compiler)[0]) is None:
        pytest.skip(f"no C++ compiler: {compiler} is not on the PATH")
    # free of an outer make, whose options and job server are not this one's
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    build = subprocess.run(
        ["make", "-f", "make/cuda.mk", PROGRAM, f"CXX={compiler}"], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert build.returncode == 0, build.stdout + build.stderr
    run = subprocess.run([ROOT / PROGRAM, "--small"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
