"""Triton serves CUDA and HIP devices where the CUDA library does not, and doctor() tells why it does or does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from gapo_kernels import backends, triton_kernels

ON_HIP = """
import sys, torch
torch.version.cuda, torch.version.hip = None, "7.0"  # as in a ROCm build of torch, which has no CUDA library
import gapo_kernels
from gapo_kernels.backends import OPS
assert "triton" not in sys.modules
has = torch._C._dispatch_has_kernel_for_dispatch_key
print(all(has(f"gapo::{op}", "CUDA") for op in OPS))
print(gapo_kernels.doctor())
"""


@pytest.fixture
def torch_with_hip(monkeypatch):
    monkeypatch.delenv("GAPO_BACKEND", raising=False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", "7.0")


@pytest.mark.skipif(triton_kernels.installed_version() is None, reason="triton is not installed")
@pytest.mark.parametrize("forced", [{}, {"GAPO_BACKEND": "triton"}], ids=["by itself", "forced"])
def test_it_serves_hip(forced):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GAPO_")}
    done = subprocess.run([sys.executable, "-c", ON_HIP], env={**clean, **forced}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    registered, report = done.stdout.split("\n", 1)
    assert registered == "True"
    version = triton_kernels.installed_version()
    assert f"  triton     in use       triton {version}, compiled on the first call or by warmup()" in report
    assert "  cuda (no such device here)   triton" in report


def backend_of(name: str) -> backends.Backend:
    return next(backend for backend in backends.list_backends() if backend.name == name)


def triton_backend() -> backends.Backend:
    return backend_of("triton")


def test_a_torch_without_gpus(monkeypatch):
    monkeypatch.delenv("GAPO_BACKEND", raising=False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    backend = triton_backend()
    assert not backend.serves
    assert backend.why == f"torch {torch.__version__} has neither CUDA nor HIP"


def test_no_triton(torch_with_hip, monkeypatch):
    monkeypatch.setattr(triton_kernels, "DISTRIBUTIONS", ())
    backend = triton_backend()
    assert not backend.serves
    assert backend.why == "triton is not installed; torch's CUDA and ROCm wheels bring it"


def test_an_old_triton(torch_with_hip, monkeypatch):
    monkeypatch.setattr(triton_kernels, "version", lambda name: "3.5.1")
    assert triton_backend().why == "triton 3.5 is installed, 3.6 or later is needed"
    for recent in ("3.6.0", "3.10.0+rocm"):
        monkeypatch.setattr(triton_kernels, "version", lambda name, recent=recent: recent)
        assert triton_backend().serves == ("cuda",)


def test_it_serves_a_gpu_that_the_build_has_no_kernels_for(monkeypatch, tmp_path):
    monkeypatch.delenv("GAPO_BACKEND", raising=False)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(backends, "CUDA_LIBRARY", tmp_path / "absent")
    monkeypatch.setattr(triton_kernels, "version", lambda name: "3.9.0")
    assert not backend_of("cuda").serves
    assert backend_of("cuda").why.startswith("this build has no CUDA kernels")
    assert triton_backend().serves == ("cuda",)


def test_the_cuda_library_goes_first(torch_with_hip, monkeypatch):
    monkeypatch.setattr(triton_kernels, "version", lambda name: "3.9.0")
    monkeypatch.setattr(backends, "_cuda_obstacle", lambda: None)
    backend = triton_backend()
    assert not backend.serves
    assert backend.why == "the CUDA kernels serve; GAPO_BACKEND=triton puts triton 3.9 in their place"
    monkeypatch.setenv("GAPO_BACKEND", "triton")
    assert triton_backend().serves == ("cuda",)
    monkeypatch.setenv("GAPO_BACKEND", "cpu")
    assert triton_backend().why == "GAPO_BACKEND=cpu"
