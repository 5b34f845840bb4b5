"""The C++ tests of the torch-free core (tests/cpp); `make cpp-test` runs all for every instruction set of this CPU."""

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


def run(program: Path, *arguments: str, **environment: str) -> None:
    done = subprocess.run([program, *arguments], env=os.environ | environment, capture_output=True, text=True)
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr


def test_in_full_what_serves_this_cpu(program: Path) -> None:
    run(program)


@pytest.mark.parametrize("capability", ["baseline", "avx2", "avx512"])
def test_in_part_each_capability(program: Path, capability: str) -> None:
    run(program, "--small", GAPO_CPU_CAPABILITY=capability)
