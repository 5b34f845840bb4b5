"""Where a number comes from: machine, versions, commit, command and date, to stand beside it in its file."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from gapo_trainer.atomic import write_whole

PACKAGES = ("gapo-kernels", "torch", "transformers")
VECTOR_FLAGS = ("sse4", "avx", "fma", "f16c", "amx", "asimd", "sve")  # prefixes of what a kernel may be compiled for


def provenance(device: str, packages: tuple[str, ...] = PACKAGES) -> dict[str, Any]:
    """What has to be known to repeat a run on ``device``, with the versions of ``packages``."""
    on_gpu = device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else _cpu_line("model name") or platform.machine(),
        **(_gpu_facts(device) if on_gpu else {"cpu_flags": _vector_flags()}),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
        "commit": _commit(),
        "command": _command(),
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def write_result(path: Path, origin: dict[str, Any], result: dict[str, Any]) -> None:
    """Write ``result`` as JSON behind its ``origin``, the ``provenance`` taken when the work began.

    Raises:
        UserError: it cannot be written.
    """
    write_whole(str(path), path, json.dumps({"provenance": origin, **result}, indent=1) + "\n")


def _command() -> str:
    """How this process was started, as somebody else would type it: without the place of the interpreter."""
    program = [Path(sys.argv[0]).name]
    module = sys.modules["__main__"].__spec__
    if module and module.name != "__main__":  # as that of a folder is, started by its path
        program = ["python", "-m", module.name.removesuffix(".__main__")]
    return shlex.join([*program, *sys.argv[1:]])


def _cpu_line(*names: str) -> str:
    """What Linux says of the first processor under one of ``names``; empty where it says nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(": ")[2] for line in lines if line.startswith(names)), "")


def _vector_flags() -> list[str]:
    """The processor's vector instruction sets, as Linux names them."""
    return [flag for flag in _cpu_line("flags", "Features").split() if flag.startswith(VECTOR_FLAGS)]


def _gpu_facts(device: str) -> dict[str, Any]:
    """Capability, memory in GiB, and the versions of CUDA or HIP and of the driver."""
    facts = torch.cuda.get_device_properties(device)
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return {
        "capability": f"{facts.major}.{facts.minor}",
        "memory_gib": round(facts.total_memory / 2**30, 1),
        "cuda": torch.version.cuda or torch.version.hip,
        "driver": (_answer(ask) or "").partition("\n")[0] or None,
    }


def _answer(command: list[str]) -> str | None:
    """What a command prints; None where there is no such command, or it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(package: str) -> str | None:
    if package == "torch":
        return str(torch.__version__)  # with the CUDA that it was built for, which its metadata may leave out
    try:
        return version(package)
    except PackageNotFoundError:  # run from a source tree that is not installed
        return None


def _commit() -> str | None:
    """The commit of the source tree that this package runs from; ``GAPO_COMMIT`` tells it of a copy without history.

    With "-dirty" behind it where the tree's files are not the commit's, results themselves apart.
    """
    git = ["git", "-C", str(Path(__file__).resolve().parent)]
    head = _answer([*git, "rev-parse", "HEAD"])
    if not head:
        return os.environ.get("GAPO_COMMIT")
    changed = _answer(
        [*git, "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)bench/results"]
    )
    return f"{head}-dirty" if changed else head
