"""No function of one instruction set can be linked into another: the kernels' objects export their table alone.

Of the objects that the C++ tests are made of, which are compiled with -O2.
"""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from cpp_programs import build_program


@pytest.mark.skipif(not shutil.which("nm"), reason="needs nm")
@pytest.mark.parametrize("capability", ["baseline", "avx2", "avx512"])
def test_kernels_export_their_table_alone(capability):
    compiled = build_program("make/cpp.mk", f"build/cpp/optimised/csrc/cpu/isa_{capability}.o")
    symbols = subprocess.run(["nm", "-C", str(compiled)], check=True, capture_output=True, text=True).stdout
    exported = {name for kind, name in re.findall(r"^[0-9a-f]+ ([A-TV-Zu]) (.*)", symbols, flags=re.MULTILINE)}
    allowed = {  # plain inline functions of headers that are included before the target is chosen; the compiler's own
        "gapo::serial_for(long, long, gapo::RangeBody)", "gapo::window_size(long, double)",
        "DW.ref.__gxx_personality_v0",
    }  # fmt: skip
    assert exported - allowed == {f"gapo::kBackend_{capability}"}
