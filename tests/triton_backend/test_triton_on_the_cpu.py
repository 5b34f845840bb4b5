"""The Triton backend without a GPU: its kernels, compiled for sm_90, on the PTX interpreter of tests/cuda."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "cuda"))
import ptx_library

HERE = Path(__file__).parent
pytest.importorskip("triton", reason="Triton is not installed")


def test_every_tier_on_interpreted_ptx(tmp_path):
    ptx_library.build()
    env = os.environ | {
        "LD_PRELOAD": str(ptx_library.ALLOCATIONS),
        "GAPO_PTX_LIBRARY": str(ptx_library.OPS),
        "TRITON_CACHE_DIR": str(tmp_path),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / "ptx_calls.py")]
    run = subprocess.run(command, cwd=HERE.parents[1], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
    assert " passed" in run.stdout
    assert "skipped" not in run.stdout, run.stdout[-2_000:]
