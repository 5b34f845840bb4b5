"""The Triton backend without a GPU: its kernels, compiled for sm_90, on the PTX interpreter of tests/cuda."""

from __future__ import annotations

from pathlib import Path

import bench_modules  # noqa: F401
import pytest

from bench.interpreter import ptx_library

HERE = Path(__file__).parent
pytest.importorskip("triton", reason="Triton is not installed")


def test_every_tier_on_interpreted_ptx(tmp_path):
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / "ptx_calls.py"))
    run = ptx_library.run_python(*command, TRITON_CACHE_DIR=str(tmp_path))
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
    assert " passed" in run.stdout
    assert "skipped" not in run.stdout, run.stdout[-2_000:]
