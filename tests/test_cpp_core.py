"""The C++ tests of the torch-free core (tests/cpp), once for each instruction set that this CPU runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from cpp_programs import build_program

SKIPPED = 77  # the program's exit status where the CPU lacks the instruction set


@pytest.fixture(scope="module")
def program() -> Path:
    return build_program("make/cpp.mk", "build/cpp/optimised/core_tests")


@pytest.mark.parametrize("capability", ["baseline", "avx2", "avx512"])
def test_core(program: Path, capability: str) -> None:
    env = {**os.environ, "GAPO_CPU_CAPABILITY": capability}
    run = subprocess.run([program], env=env, capture_output=True, text=True)
    if run.returncode == SKIPPED:
        pytest.skip(run.stdout.strip())
    assert run.returncode == 0, run.stdout + run.stderr
