"""Loads the backends and registers them under ``torch.ops.gapo``: one op, whichever backend serves it.

``GAPO_BACKEND`` forces one: ``cpu``, ``cuda``, ``triton`` or ``reference``; it is an error if that one cannot serve.
Nothing is compiled or downloaded here, and no backend silently replaces another; ``gapo_kernels.doctor()`` tells which
backend serves which device.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from gapo_kernels import fakes, reference_ops, triton_kernels
from gapo_numpy import build_info

OLDEST_TORCH = "2.10"  # whose stable ABI the libraries are built on
OPS = ("advantage", "advantage_varlen", "advantage_by_id", "advantage_stats", "token_advantage")
# What the CUDA library reads from the environment by itself: (a name, its values, in words).
SWITCHES = (
    ("GAPO_PDL", "[01]", "0 or 1"),
    ("GAPO_CLUSTERS", "[01]", "0 or 1"),
    ("GAPO_BLOCKS_PER_SM", "[1-9][0-9]{0,3}", "a number from 1 to 9999"),
)
CUDA_LIBRARY = Path(__file__).with_name("_C_cuda.so")

_library: torch.library.Library | None = None  # keeps the Python registrations alive


@dataclass(frozen=True)
class Backend:
    """One implementation of the op.

    Attributes:
        name: what ``GAPO_BACKEND`` calls it.
        serves: the devices whose tensors it computes here; empty where it is not in use.
        why: why it is in use, or why not.
    """

    name: str
    serves: tuple[str, ...]
    why: str


def forced() -> str | None:
    """The backend that ``GAPO_BACKEND`` names, or None."""
    return os.environ.get("GAPO_BACKEND") or None


def list_backends() -> list[Backend]:
    """Every backend, with what it serves and why."""
    info, asked = build_info(), "GAPO_BACKEND=reference"
    reference = forced() == "reference"
    return [
        _backend("cpu", ("cpu",), asked if reference else None, f"compiled kernels, {info['cpu_capability']}"),
        _backend(
            "cuda",
            ("cuda",),
            _cuda_obstacle(),
            f"compiled kernels for {', '.join(info['cuda_architectures'])}, CUDA {info['cuda']}",
        ),
        _backend(
            "triton",
            ("cuda",),
            _triton_obstacle(),
            f"triton {triton_kernels.installed_version()}, compiled on the first call or by warmup()",
        ),
        _backend("reference", ("cpu", "cuda"), None if reference else f"for tests; {asked} turns it on", asked),
    ]


def _backend(name: str, devices: tuple[str, ...], obstacle: str | None, served_by: str) -> Backend:
    return Backend(name, (), obstacle) if obstacle else Backend(name, devices, served_by)


def _cuda_obstacle() -> str | None:
    """Why the CUDA library is not to be loaded, or None; asked without looking at any device."""
    choice = forced()
    if choice not in (None, "cuda"):
        return f"GAPO_BACKEND={choice}"
    if torch.version.cuda is None:
        return f"torch {torch.__version__} has no CUDA"
    if not CUDA_LIBRARY.exists():
        return "this build has no CUDA kernels: there was no nvcc 12.8 or later, or GAPO_CUDA=0"
    return None


def _triton_obstacle() -> str | None:
    """Why Triton is not to serve CUDA and HIP devices, which torch both calls cuda, or None."""
    choice, installed = forced(), triton_kernels.installed_version()
    if choice not in (None, "triton"):
        return f"GAPO_BACKEND={choice}"
    if torch.version.cuda is None and torch.version.hip is None:
        return f"torch {torch.__version__} has neither CUDA nor HIP"
    if installed is None:
        return "triton is not installed; torch's CUDA and ROCm wheels bring it"
    if installed < triton_kernels.OLDEST:
        return f"triton {installed} is installed, {triton_kernels.OLDEST} or later is needed"
    if choice is None and _cuda_obstacle() is None:
        return f"the CUDA kernels serve; GAPO_BACKEND=triton puts triton {installed} in their place"
    return None


def load() -> None:
    """Loads the shared library and registers what lives in Python; called once, by ``import gapo_kernels``.

    Raises:
        ImportError: torch is too old, the compiled library is missing, ``GAPO_BACKEND`` names a backend that is not
            there, or ``GAPO_CPU_CAPABILITY`` or one of the ``SWITCHES`` has another value than it may have.
    """
    global _library
    if torch.__version__ < OLDEST_TORCH:  # pip sees to it, unless it was told not to
        raise ImportError(f"gapo_kernels needs torch {OLDEST_TORCH} or later, got torch {torch.__version__}")
    for name, values, words in SWITCHES:
        given = os.environ.get(name)
        if given and not re.fullmatch(values, given):
            raise ImportError(f"{name} expects {words}, got {given!r}")
    try:
        build_info()  # the CPU's kernels are chosen here
    except RuntimeError as error:
        raise ImportError(str(error)) from None
    path = Path(__file__).with_name("_C.so")
    if not path.exists():
        raise ImportError(f"gapo_kernels was not built: {path.name} is missing beside {path.parent.name}/__init__.py")
    torch.ops.load_library(path)
    if _cuda_obstacle() is None:
        torch.ops.load_library(CUDA_LIBRARY)
    _library = torch.library.Library("gapo", "IMPL")
    for op in OPS:
        # Autograd-free: the dispatcher passes the Autograd keys over, so no graph is recorded and no hop is paid.
        _library.impl(op, torch.library.fallthrough_kernel, "Autograd")
    fakes.register(OPS)
    choice = forced()
    if choice == "reference":
        reference_ops.register(_library)
    if _triton_obstacle() is None:
        triton_kernels.register(_library, OPS)
    named = {backend.name: backend for backend in list_backends()}
    if choice is not None and (choice not in named or not named[choice].serves):
        why = named[choice].why if choice in named else f"expected one of {', '.join(named)}"
        raise ImportError(f"GAPO_BACKEND={choice}: {why}")
