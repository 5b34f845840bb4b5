"""No function of one instruction set can be linked into another: the kernels' objects export their table alone."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from cpp_programs import build_program


@pytest.mark.skipif(not shutil.which("nm"), reason="needs nm")
@pytest.mark.parametrize("capability", ["baseline", "avx2", "avx512"])
def test_kernels_share_no_weak_symbol(capability):
    compiled = build_program("make/cpp.mk", f"build/cpp/optimised/csrc/cpu/isa_{capability}.o")
    symbols = subprocess.run(["nm", "-C", str(compiled)], check=True, capture_output=True, text=True).stdout
    weak = {line.split(" W ", 1)[1] for line in symbols.splitlines() if " W " in line}
    # plain inline functions of headers that are included before the target is chosen
    allowed = {"gapo::serial_for(long, long, gapo::RangeBody)", "gapo::window_size(long, double)"}
    assert weak <= allowed
