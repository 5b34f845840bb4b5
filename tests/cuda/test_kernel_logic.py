"""The CUDA kernels' own templates on the CPU (tests/cuda/cpp): sorts lane by lane, every size class, every rule."""

from __future__ import annotations

import subprocess

from cpp_programs import build_program


def test_kernel_logic() -> None:
    program = build_program("make/cuda.mk", "build/cpp/cuda/cuda_logic_tests")
    run = subprocess.run([program, "--small"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
