"""Builds the CUDA library for the interpreter in tests/cuda/ptx: its kernels' PTX, run on the CPU."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

sys.path += map(str, Path(__file__).parents[1:3])  # neither tests/ nor make/ is installed
from one_at_a_time import one_at_a_time

from make.cuda_build import Cuda, CudaUnavailable, Library, compile_kernels, find_nvcc

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "ptx"
# the CUDA library's ops with the interpreter in the place of a GPU, and what is preloaded
OPS = FOLDER / "gapo_ptx.so"
ALLOCATIONS = FOLDER / "allocations.so"


def names(pattern: str) -> list[str]:
    """The repository's files of a pattern."""
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern))


def build() -> None:
    """Brings OPS and ALLOCATIONS up to date; skips where there is no nvcc."""
    try:
        cuda = Cuda(*find_nvcc(), ("9.0+PTX",))  # as `make setup` has it, so that its objects serve
    except CudaUnavailable as why:
        pytest.skip(str(why))
    interpreter = names("tests/cuda/ptx/*.cpp")
    preloaded = interpreter.pop(interpreter.index("tests/cuda/ptx/allocations.cpp"))
    headers = [*names("csrc/**/*.h"), *names("tests/cuda/ptx/*.h"), "csrc/torch/cuda_ops.cpp"]
    here = os.getcwd()
    os.chdir(ROOT)  # the makefiles' folder, for the paths in objects and messages
    try:
        with one_at_a_time(FOLDER):
            library = Library.for_torch(["csrc/torch/checks.cpp", *interpreter], headers, "the PTX interpreter", "none")
            library.link_flags.append("-Xlinker=-Bsymbolic")  # the stream and the guard are its own, not torch's
            objects = compile_kernels(cuda, editable=True) + library.compile(cuda, FOLDER)
            if not OPS.exists() or OPS.stat().st_mtime < max(path.stat().st_mtime for path in objects):
                library.link(cuda, objects, OPS)
            if not ALLOCATIONS.exists() or ALLOCATIONS.stat().st_mtime < os.path.getmtime(preloaded):
                alone = Library([preloaded], headers, [], [], runtime="none")
                alone.link(cuda, alone.compile(cuda, FOLDER), ALLOCATIONS)
    finally:
        os.chdir(here)


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in the repository's root, in a process that has the interpreter in the place of a GPU."""
    build()
    env = os.environ | {"LD_PRELOAD": str(ALLOCATIONS), "GAPO_PTX_LIBRARY": str(OPS)} | environment
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, text=True)


class Launch(NamedTuple):
    """What the interpreter counted of one kernel: PTX instructions, all threads together."""

    kernel: str  # as the compiler names it
    instructions: int
    blocks: int
    cluster: int  # so many blocks each form one
    early: bool  # it may begin before what came before it has ended, and waits


def count_launches(code: str, **environment: str) -> tuple[list[Launch], str]:
    """The launches of a Python program, and what it printed."""
    run = run_python("-c", code, GAPO_PTX_COUNT="1", **environment)
    run.check_returncode()
    found = re.findall(r"(\d+) instructions, (\d+) blocks of \d+, clusters of (\d+)(, early)?: (.*)", run.stderr)
    launches = [
        Launch(name, int(steps), int(blocks), int(cluster), early != "")
        for steps, blocks, cluster, early, name in found
    ]
    return launches, run.stdout
