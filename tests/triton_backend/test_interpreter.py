"""Every Triton kernel under Triton's interpreter: in a process of its own, since Triton decides at import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

HERE = Path(__file__).parent
# The values of offsets on a device are not read back only to check them; and what is refused before any backend.
NOT_CHECKED_HERE = "not test_offsets[ and not looked_for and not numpy_arguments and not plan and not nobody_serves"


def run_tests(*arguments: str) -> str:
    """The last lines of a pytest run on the interpreted kernels, which has to succeed."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": f"{HERE}:{HERE.parent}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "interpreted_ops", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=HERE.parents[1])
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return done.stdout


def test_the_kernels_agree_with_the_reference():
    run_tests(str(HERE / "interpreted_cases.py"))


def test_the_errors_are_those_of_every_backend():
    run_tests(str(HERE.parent / "test_errors.py"), "-k", NOT_CHECKED_HERE)
