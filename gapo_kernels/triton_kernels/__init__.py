"""The Triton backend: the op on CUDA and HIP devices where the CUDA library is not there.

Importing this package imports no Triton; the first call of an op does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import torch

DISTRIBUTIONS = ("triton", "triton-rocm", "pytorch-triton", "pytorch-triton-rocm")  # names under which torch brings it


class Version(NamedTuple):
    """A release of Triton."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


OLDEST = Version(3, 6)


def installed_version() -> Version | None:
    """The version of the installed Triton, read from its metadata; None if there is none."""
    for name in DISTRIBUTIONS:
        try:
            found = re.match(r"(\d+)\.(\d+)", version(name))
        except PackageNotFoundError:
            continue
        if found:
            return Version(int(found[1]), int(found[2]))
    return None


def register(library: torch.library.Library, ops: Iterable[str]) -> None:
    """Makes Triton the implementation of the ops for CUDA tensors, which HIP's are as well."""
    for op in ops:
        library.impl(op, _on_first_call(op), "CUDA")


def _on_first_call(op: str) -> Callable[..., Any]:
    """The op, whose module and with it Triton are imported when it is first called."""

    def serve(*arguments: Any, **options: Any) -> Any:
        return getattr(import_module("gapo_kernels.triton_kernels.ops"), op)(*arguments, **options)

    return serve
