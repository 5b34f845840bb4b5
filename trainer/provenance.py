"""Where a number comes from: machine, versions, commit, command and date, to stand beside it in its file."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pygit2
import torch

from gapo_trainer.errors import UserError

PACKAGES = ("gapo-kernels", "torch", "transformers")


def provenance(device: str) -> dict[str, Any]:
    """What has to be known to repeat a run on ``device``."""
    return {
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def write_result(path: Path, origin: dict[str, Any], result: dict[str, Any]) -> None:
    """Write ``result`` as JSON behind its ``origin``, the ``provenance`` taken when the work began.

    Raises:
        UserError: it cannot be written.
    """
    try:
        path.write_text(json.dumps({"provenance": origin, **result}, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} could not be written: {error}") from error


def _processor() -> str:
    """The processor's name as Linux tells it, else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a source tree that is not installed
        return None


def _commit() -> str | None:
    """The commit of the source tree that this package runs from; None where it was installed without one."""
    found = pygit2.discover_repository(str(Path(__file__).resolve().parent))
    return str(pygit2.Repository(found).head.target) if found else None
