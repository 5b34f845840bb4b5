"""The C++ tests of the torch-free core (tests/cpp), once for each instruction set that this CPU runs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = "build/cpp/optimised/core_tests"
SKIPPED = 77  # the program's exit status where the CPU lacks the instruction set


@pytest.fixture(scope="module")
def program() -> Path:
    compiler = os.environ.get("CXX") or "g++"
    if shutil.which(shlex.split(compiler)[0]) is None:
        pytest.skip(f"no C++ compiler: {compiler} is not on the PATH")
    # free of an outer make, whose options and job server are not this one's
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    build = subprocess.run(
        ["make", "-f", "make/cpp.mk", PROGRAM, f"CXX={compiler}"], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert build.returncode == 0, build.stdout + build.stderr
    return ROOT / PROGRAM


@pytest.mark.parametrize("capability", ["baseline", "avx2", "avx512"])
def test_core(program: Path, capability: str) -> None:
    env = {**os.environ, "GAPO_CPU_CAPABILITY": capability}
    run = subprocess.run([program], env=env, capture_output=True, text=True)
    if run.returncode == SKIPPED:
        pytest.skip(run.stdout.strip())
    assert run.returncode == 0, run.stdout + run.stderr
