"""Builds the C++ test programs, by the makefiles that have their flags."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from one_at_a_time import one_at_a_time

ROOT = Path(__file__).parents[1]


def build_program(makefile: str, program: str) -> Path:
    """The program of a makefile, or an object of it, up to date; skips where there is no C++ compiler."""
    compiler = os.environ.get("CXX") or "g++"
    if shutil.which(shlex.split(compiler)[0]) is None:
        pytest.skip(f"no C++ compiler: {compiler} is not on the PATH")
    # free of an outer make, whose options and job server are not this one's
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    command = ["make", "-j2", "-f", makefile, program, f"CXX={compiler}"]
    with one_at_a_time(ROOT / "build"):
        build = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert build.returncode == 0, build.stdout + build.stderr
    return ROOT / program
