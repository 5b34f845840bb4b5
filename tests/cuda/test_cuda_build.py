"""Whether and for what the CUDA library is built: make/cuda_build.py, with compilers made up."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))  # make/ is not installed
from make.cuda_build import DEFAULT_ARCHITECTURES, DEFAULT_JOBS, Cuda, find_cuda, jobs, parse_architectures


@pytest.fixture
def nvcc(tmp_path, monkeypatch):
    """Puts an nvcc of a release into CUDA_HOME; called with None, one that does not tell it."""
    for name in ("GAPO_CUDA", "TORCH_CUDA_ARCH_LIST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))

    def install(release: str | None) -> Path:
        compiler = tmp_path / "bin" / "nvcc"
        compiler.parent.mkdir()
        text = f"Cuda compilation tools, release {release}, V{release}.1" if release else "nothing"
        compiler.write_text(f"#!/bin/sh\necho '{text}'\n")
        compiler.chmod(0o755)
        return compiler

    return install


def test_nvcc_is_found(nvcc):
    compiler = nvcc("13.0")
    assert find_cuda() == Cuda(str(compiler), "13.0", ("8.0", "9.0", "10.0+PTX"))


def test_without_nvcc_the_package_is_built_without_cuda(nvcc, capsys, tmp_path):
    assert find_cuda() is None
    assert capsys.readouterr().out == (
        f"gapo-kernels: built without CUDA kernels: there is no nvcc in CUDA_HOME={tmp_path}\n"
    )


@pytest.mark.parametrize(("release", "why"), [("12.6", "12.8 is the oldest that will do"), (None, "does not tell")])
def test_an_nvcc_that_will_not_do(nvcc, capsys, release, why):
    nvcc(release)
    assert find_cuda() is None
    assert why in capsys.readouterr().out


def test_the_oldest_nvcc_that_will_do(nvcc):
    nvcc("12.8")
    assert find_cuda().version == "12.8"


def test_cuda_is_skipped_or_insisted_on(nvcc, monkeypatch):
    monkeypatch.setenv("GAPO_CUDA", "1")
    with pytest.raises(SystemExit, match="GAPO_CUDA=1 asks for the CUDA kernels, but there is no nvcc in CUDA_HOME="):
        find_cuda()
    nvcc("13.0")
    assert find_cuda() is not None
    monkeypatch.setenv("GAPO_CUDA", "0")
    assert find_cuda() is None
    monkeypatch.setenv("GAPO_CUDA", "yes")
    with pytest.raises(SystemExit, match=r"GAPO_CUDA expects 0 .* or 1 .*, got 'yes'"):
        find_cuda()


def test_architectures(nvcc, monkeypatch):
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.6 9.0a;12.0+PTX")
    nvcc("13.0")
    assert find_cuda().architectures == ("8.6", "9.0a", "12.0+PTX")
    assert find_cuda().flags() == [
        "-gencode", "arch=compute_86,code=sm_86", "-gencode", "arch=compute_90a,code=sm_90a",
        "-gencode", "arch=compute_120,code=sm_120", "-gencode", "arch=compute_120,code=compute_120",
    ]  # fmt: skip
    assert parse_architectures(DEFAULT_ARCHITECTURES) == ("8.0", "9.0", "10.0+PTX")
    for wrong in ("Hopper", "90", "9.0+ptx"):
        with pytest.raises(SystemExit, match=r"TORCH_CUDA_ARCH_LIST expects entries such as 9\.0 or 10\.0"):
            parse_architectures(wrong)


def test_how_many_files_are_compiled_at_once(monkeypatch):
    monkeypatch.delenv("MAX_JOBS", raising=False)
    assert jobs() == DEFAULT_JOBS
    monkeypatch.setenv("MAX_JOBS", "16")
    assert jobs() == 16
    for wrong in ("0", "-1", "many"):
        monkeypatch.setenv("MAX_JOBS", wrong)
        with pytest.raises(SystemExit, match="MAX_JOBS expects how many files to compile at once, got"):
            jobs()
