"""doctor() tells which backend serves what; GAPO_BACKEND and GAPO_CPU_CAPABILITY choose, or say why they cannot."""

import functools
import os
import re
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path

import pytest
import torch

import gapo_kernels
from gapo_kernels import backends

WITHOUT_CUDA = pytest.mark.skipif(torch.version.cuda is not None, reason="this torch has CUDA")

SCORE = """
import torch, gapo_kernels
rewards = torch.linspace(0, 1, 24).view(3, 8) ** 3
ids = torch.arange(24) % 5
offsets = torch.tensor([0, 4, 4, 24])
tokens = (rewards.view(12, 2), rewards.view(12, 2) > 0.1, ids[:12])
ops = torch.ops.gapo
keep = rewards.flatten() > 0.01
results = [
    ops.advantage(rewards), ops.advantage(rewards.double(), 0.8, "loo_mean", "mad"),
    ops.advantage_varlen(rewards.flatten(), offsets, 20), ops.advantage_by_id(rewards.flatten(), ids, valid=keep),
    *ops.advantage_stats(rewards.flatten(), ids), *ops.advantage_stats(rewards), ops.token_advantage(*tokens),
]
print([number for result in results for number in result.flatten().tolist()])
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GAPO_")}
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True)


@functools.cache
def score(**environment: str) -> list[float]:
    done = run("-c", SCORE, **environment)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return eval(done.stdout)


def test_the_report():
    report = gapo_kernels.doctor()
    assert version("gapo-kernels") in report
    assert torch.__version__ in report
    for backend in ("cpu", "cuda", "triton", "reference"):
        assert re.search(rf"^  {backend} +(in use|not in use) +\S", report, re.MULTILINE), backend
    assert re.search(r"^devices:\n  cpu +cpu\n  cuda", report, re.MULTILINE)
    assert gapo_kernels.build_info()["cpu_capability"] in report


def test_the_command():
    done = run("-m", "gapo_kernels.doctor")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert done.stdout.startswith(f"gapo-kernels {version('gapo-kernels')}")
    assert "GAPO_BACKEND not set" in done.stdout


def test_the_cpu_backend_by_name():
    assert score(GAPO_BACKEND="cpu") == score()


def test_the_reference_backend_agrees():
    assert score(GAPO_BACKEND="reference") == pytest.approx(score(), rel=2e-6, abs=2e-6)
    report = run("-m", "gapo_kernels.doctor", GAPO_BACKEND="reference").stdout
    assert "GAPO_BACKEND reference" in report
    assert re.search(r"^  cpu +reference$", report, re.MULTILINE)
    assert re.search(r"^  cuda.* reference$", report, re.MULTILINE)
    assert re.search(r"^  cpu +not in use +GAPO_BACKEND=reference$", report, re.MULTILINE)


def test_the_reference_backend_refuses_what_others_refuse():
    tests = str(Path(__file__).with_name("test_errors.py"))
    options = ("-q", "-p", "no:cacheprovider", "-k", "not nobody_serves")  # it serves every device
    done = run("-m", "pytest", *options, tests, GAPO_BACKEND="reference")
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        pytest.param("cuda", f"torch {torch.__version__} has no CUDA", marks=WITHOUT_CUDA),
        pytest.param("triton", f"torch {torch.__version__} has neither CUDA nor HIP", marks=WITHOUT_CUDA),
        ("nonsense", "expected one of cpu, cuda, triton, reference"),
    ],
)
def test_a_backend_that_is_not_there(name, why):
    done = run("-c", "import gapo_kernels", GAPO_BACKEND=name)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"ImportError: GAPO_BACKEND={name}: {why}"


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("GAPO_PDL", "off", "0 or 1"),
        ("GAPO_PDL", "10", "0 or 1"),
        ("GAPO_CLUSTERS", "2", "0 or 1"),
        ("GAPO_BLOCKS_PER_SM", "0", "a number from 1 to 9999"),
        ("GAPO_BLOCKS_PER_SM", "10000", "a number from 1 to 9999"),
    ],
)
def test_a_switch_of_the_cuda_library_that_it_would_not_understand(name, value, wanted):
    done = run("-c", "import gapo_kernels", **{name: value})
    assert done.stderr.splitlines()[-1] == f"ImportError: {name} expects {wanted}, got '{value}'"


def test_switches_of_the_cuda_library_that_it_understands():
    assert run("-c", "import gapo_kernels", GAPO_PDL="1", GAPO_BLOCKS_PER_SM="9999").returncode == 0
    assert run("-c", "import gapo_kernels", GAPO_PDL="", GAPO_BACKEND="").returncode == 0  # as if they were not set


def test_a_package_that_was_not_built(tmp_path, monkeypatch):
    monkeypatch.setattr(backends, "__file__", str(tmp_path / "gapo_kernels" / "backends.py"))
    with pytest.raises(ImportError, match=r"was not built: _C\.so is missing beside gapo_kernels/__init__\.py"):
        backends.load()


@pytest.mark.parametrize("package", ["gapo_kernels", "gapo_numpy"])
def test_a_capability_that_is_not_there(package):
    done = run("-c", f"import {package}; {package}.build_info()", GAPO_CPU_CAPABILITY="avx1024")
    assert done.returncode == 1
    pattern = r"GAPO_CPU_CAPABILITY expects one of what this CPU runs \(baseline[, a-z0-9]*\), got avx1024"
    assert re.search(pattern, done.stderr.splitlines()[-1])


def test_a_wrong_variable_is_an_import_error():
    done = run("-c", "import gapo_kernels", GAPO_CPU_CAPABILITY="avx1024")
    assert done.stderr.splitlines()[-1].startswith("ImportError: GAPO_CPU_CAPABILITY expects")


def test_the_least_capability():
    assert score(GAPO_CPU_CAPABILITY="baseline") == pytest.approx(score(), rel=1e-6, abs=1e-6)
    assert "CPU capability baseline" in run("-m", "gapo_kernels.doctor", GAPO_CPU_CAPABILITY="baseline").stdout


def test_a_torch_that_is_too_old():
    """Where pip was told to install without dependencies; the oldest is the one that the package asks pip for."""
    old = "import torch; torch.__version__ = torch.torch_version.TorchVersion('2.9.1'); import gapo_kernels"
    done = run("-c", old)
    assert done.stderr.splitlines()[-1] == "ImportError: gapo_kernels needs torch 2.10 or later, got torch 2.9.1"
    assert f"torch>={backends.OLDEST_TORCH}" in requires("gapo-kernels")
