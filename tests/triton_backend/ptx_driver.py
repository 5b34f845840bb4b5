"""A driver for Triton without a GPU: compiles for sm_90, and runs the PTX in the interpreter of tests/cuda/ptx.

So the kernels run as a GPU would get them, on tensors of the CPU, inside a process that a test starts.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import triton
from device_ops import INTERPRETED
from triton.backends.compiler import GPUTarget

C_TYPES = {"i1": ctypes.c_int8, "i32": ctypes.c_int32, "i64": ctypes.c_int64, "fp64": ctypes.c_double}
SPARE = 4  # parameters behind the kernel's own, for memory that these kernels do not use

_texts: list[str] = []  # of the kernels loaded; a function's handle is its place


class Driver:
    """The members of Triton's drivers that a launch asks for."""

    def __init__(self) -> None:
        self.utils = SimpleNamespace(
            get_device_properties=lambda device: {"max_shared_mem": 227 << 10},
            load_binary=lambda name, binary, shared, device: (None, len(_texts) - 1, 0, 0, 1024),
            unload_module=lambda module: None,
        )
        self.launcher_cls = launcher

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)


def keep_text(module: Any, function: Any, name: str, files: dict[str, str], hash: str) -> None:
    """Called before a binary is loaded: the PTX that it was made of."""
    path = next(path for file, path in files.items() if file.endswith(".ptx"))
    _texts.append(Path(path).read_text())


def launcher(source: Any, metadata: Any) -> Callable[..., None]:
    """Runs a compiled kernel."""
    types = list(source.signature.values())
    run = ctypes.CDLL(INTERPRETED).gapo_ptx_run
    run.restype = ctypes.c_char_p

    def launch(x: int, y: int, z: int, stream: int, function: int, packed: Any, launch: Any, enter: Any, leave: Any,
               *given: Any) -> None:  # fmt: skip
        values = [
            ctypes.c_uint64(value.data_ptr()) if kind.startswith("*") else C_TYPES[kind](value)
            for kind, value in zip(types, given, strict=True)
            if kind != "constexpr"
        ] + [ctypes.c_uint64(0)] * SPARE
        addresses = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
        grid, block = (ctypes.c_uint32 * 3)(x, y, z), (ctypes.c_uint32 * 3)(metadata.num_warps * 32, 1, 1)
        fault = run(
            _texts[function].encode(), metadata.name.encode(), grid, block, ctypes.c_size_t(metadata.shared), addresses,
            1, False, False,
        )  # fmt: skip
        if fault is not None:
            raise RuntimeError(fault.decode())

    return launch


triton.knobs.runtime.kernel_load_start_hook = keep_text
triton.runtime.driver.set_active(Driver())
