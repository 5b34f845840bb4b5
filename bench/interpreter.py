"""Makes ``ptx_library`` importable: the PTX interpreter's tests, where it lies, are not a package."""

from __future__ import annotations

import sys

from bench import ROOT

sys.path.append(str(ROOT / "tests" / "cuda"))
import ptx_library

__all__ = ["ptx_library"]
