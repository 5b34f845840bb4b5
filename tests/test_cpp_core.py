"""The C++ tests of the torch-free core (tests/cpp); `make cpp-test` runs all for every instruction set of this CPU."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from cpp_programs import build_program

from gapo_numpy import build_info

SKIPPED = 77  # the program's exit status where the CPU lacks the instruction set


@pytest.fixture(scope="module")
def program() -> Path:
    return build_program("make/cpp.mk", "build/cpp/optimised/core_tests")


def run(program: Path, *arguments: str, **environment: str) -> None:
    done = subprocess.run([program, *arguments], env=os.environ | environment, capture_output=True, text=True)
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("capability", ["baseline", "avx2", "avx512"])
def test_each_capability(program: Path, capability: str) -> None:
    """In full the one that serves this CPU, in part the others."""
    effort = [] if capability == build_info()["cpu_capability"] else ["--small"]
    run(program, *effort, GAPO_CPU_CAPABILITY=capability)
