"""What ``gapo_kernels.doctor()`` finds: versions, backends, which one serves which device, and why not the others."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch

from gapo_kernels.adapters import presence
from gapo_kernels.backends import OPS, Backend, forced, list_backends
from gapo_numpy import build_info


def _registered(device: str) -> bool:
    """Whether the dispatcher has an implementation of every op for tensors of that device."""
    key = {"cpu": "CPU", "cuda": "CUDA"}[device]
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    return all(has(f"gapo::{op}", key) or has(f"gapo::{op}", "CompositeExplicitAutograd") for op in OPS)


def _devices() -> list[str]:
    """One line a device: which backend of the list serves it, if the dispatcher agrees."""
    lines = []
    for device in ("cpu", "cuda"):
        servers = [backend.name for backend in list_backends() if device in backend.serves]
        if servers and _registered(device):
            answer = servers[0]
        elif servers:
            answer = f"{servers[0]} should serve it, but the dispatcher has no kernel: please report this"
        else:
            answer = "none"
        present = "" if device == "cpu" or torch.cuda.is_available() else " (no such device here)"
        lines.append(f"  {device + present:<28} {answer}")
    return lines


def _state(backend: Backend) -> str:
    return f"  {backend.name:<10} {'in use' if backend.serves else 'not in use':<12} {backend.why}"


def doctor(load_plugins: bool = False) -> str:
    """A report for people, one fact a line; print it, and put it into bug reports.

    Args:
        load_plugins: import the plug-ins of the installed frameworks, and with them the frameworks, to see whether they
            load. That takes seconds; without it metadata is read and no framework imported.

    Returns:
        Versions and build facts, the backends with the reason why each is in use or not, who serves each device, and
        the RL frameworks that are installed with what makes GAPO active there, or why it is not.
    """
    info = build_info()
    return "\n".join(
        [
            f"gapo-kernels {version('gapo-kernels')}"
            f" (revision {info['revision'] or 'unknown'}, built with torch {info['torch']}, {info['compiler']})",
            f"torch {torch.__version__}, CUDA {torch.version.cuda or 'none'}, HIP {torch.version.hip or 'none'},"
            f" Python {platform.python_version()}, {platform.machine()}",
            f"GAPO_BACKEND {forced() or 'not set'}, CPU capability {info['cpu_capability']},"
            f" {torch.get_num_threads()} threads",
            "backends:",
            *map(_state, list_backends()),
            "devices:",
            *_devices(),
            "frameworks:",
            *presence.report(load_plugins),
        ]
    )
