"""A fault of the device does not fail the tests that come after it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TESTS = """
import time

import pytest

LOST = []

@pytest.mark.parametrize("n", range(60))
def test_one(n):
    time.sleep(0.01)
    if n == 20:
        LOST.append(n)
    if LOST:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
"""


def test_a_lost_device_ends_its_worker_alone(tmp_path):
    for name in ("conftest.py", "end_of_device.py"):
        shutil.copy(HERE / name, tmp_path)
    (tmp_path / "torch.py").touch()  # for the fixtures of conftest.py, which nobody asks for here
    (tmp_path / "test_faults.py").write_text(TESTS)
    faults = tmp_path / "faults.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    options = ["-q", "-n", "2", "--dist", "worksteal", "-p", "no:cacheprovider", "-o", "addopts="]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=tmp_path,
        env=environment | {"GAPO_FAULTS": str(faults)},
        capture_output=True,
        text=True,
    )
    assert "59 passed" in done.stdout, done.stdout
    assert "CUDA error: an illegal memory access" in done.stdout
    (fault,) = faults.read_text().splitlines()
    assert fault.startswith("test_faults.py::test_one[20]: ")
    assert fault.endswith("RuntimeError: CUDA error: an illegal memory access was encountered")
