"""No function of one instruction set can be linked into another: the kernels' objects export their table alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMPILER = os.environ.get("CXX", "g++")


@pytest.mark.skipif(not shutil.which(COMPILER) or not shutil.which("nm"), reason="needs a C++ compiler and nm")
@pytest.mark.parametrize("capability", ["baseline", "avx2", "avx512"])
def test_kernels_share_no_weak_symbol(capability, tmp_path):
    compiled = tmp_path / "kernels.o"
    source = ROOT / "csrc" / "cpu" / f"isa_{capability}.cpp"
    command = [COMPILER, "-std=c++20", "-O2", "-w", "-I", str(ROOT / "csrc"), "-c", str(source), "-o", str(compiled)]
    subprocess.run(command, check=True)
    symbols = subprocess.run(["nm", "-C", str(compiled)], check=True, capture_output=True, text=True).stdout
    weak = {line.split(" W ", 1)[1] for line in symbols.splitlines() if " W " in line}
    # plain inline functions of headers that are included before the target is chosen
    allowed = {"gapo::serial_for(long, long, gapo::RangeBody)", "gapo::window_size(long, double)"}
    assert weak <= allowed
