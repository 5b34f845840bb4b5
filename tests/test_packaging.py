"""What is packed: all that a build needs, and nothing that an earlier build left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("csrc", "gapo_kernels", "make", "python", "trainer")
FILES = ("LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py")
LEFT_BEHIND = "gapo_kernels/_C_cuda.so"


@pytest.fixture
def tree(tmp_path):
    """The package's files, the C++ ones empty: what is packed is looked at, not what is compiled."""
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for file in FILES:
        shutil.copy(ROOT / file, tmp_path)
    for source in tmp_path.rglob("*.cpp"):
        source.write_text("")
    return tmp_path


def build(tree, kind):
    """Builds without CUDA."""
    command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--skip-dependency-check"]
    done = subprocess.run(command, cwd=tree, env=os.environ | {"GAPO_CUDA": "0"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (archive,) = (tree / "dist").iterdir()
    return archive


def test_a_wheel_has_nothing_of_an_earlier_build(tree):
    """Such as the CUDA library, where GAPO_CUDA=0 leaves it out."""
    left = tree / "build" / f"lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}" / LEFT_BEHIND
    left.parent.mkdir(parents=True)
    left.touch()
    names = zipfile.ZipFile(build(tree, "wheel")).namelist()
    assert LEFT_BEHIND not in names
    assert "gapo_kernels/_C.so" in names


def test_a_source_archive_has_what_any_build_needs(tree):
    """The CUDA library's sources as well, made where there is no nvcc."""
    needed = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file() and path.suffix != ".mk"}
    with tarfile.open(build(tree, "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert needed - names == set()
