"""How setup.py builds the CUDA library: whether, with which nvcc, for which GPUs. It never looks at the machine's GPU.

``GAPO_CUDA=0`` skips it, ``GAPO_CUDA=1`` insists on it; else it is built where nvcc is. ``TORCH_CUDA_ARCH_LIST``
chooses the architectures as it does for torch: numbers separated by semicolons or spaces, ``+PTX`` for later GPUs.
``MAX_JOBS`` is how many files are compiled at once, 2 if not given: each may take a gigabyte.

``python -m make.cuda_build`` compiles the kernels of an editable installation, which takes no torch.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path

OLDEST_NVCC = (12, 8)  # the first that knows sm_100
# the macro for the oldest torch whose stable ABI the code may use, gapo_kernels.backends.OLDEST_TORCH: one build runs
# on it and on every later one
STABLE_ABI = ("TORCH_TARGET_VERSION", "0x020a000000000000")
DEFAULT_ARCHITECTURES = "8.0;9.0;10.0+PTX"
DEFAULT_JOBS = 2
OBJECTS = Path("build", "cuda")  # the kernels', which are kept: nearly all of a build's time

# What docs/cuda.md says of the code holds for these flags: no contraction, on the device or the host, so that sums and
# windows are what they are written as.
NVCC_FLAGS = [
    "-std=c++20",
    "-O3",
    "-fmad=false",
    "--expt-relaxed-constexpr",
    "-Xcompiler=-fPIC,-fvisibility=hidden,-ffp-contract=off",
]


class CudaUnavailable(Exception):
    """Why the CUDA library cannot be built here."""


@dataclass(frozen=True)
class Cuda:
    """The compiler, its version, and the architectures as ``TORCH_CUDA_ARCH_LIST`` writes them.

    ``readable`` leaves the code in the objects uncompressed, for the tests.
    """

    nvcc: str
    version: str
    architectures: tuple[str, ...]
    readable: bool = False

    def flags(self) -> list[str]:
        """``-gencode`` for every architecture, and how the code is kept."""
        flags = ["-no-compress"] if self.readable else []
        for architecture in self.architectures:
            number = architecture.removesuffix("+PTX").replace(".", "")
            flags += ["-gencode", f"arch=compute_{number},code=sm_{number}"]
            if architecture.endswith("+PTX"):
                flags += ["-gencode", f"arch=compute_{number},code=compute_{number}"]
        return flags


def find_cuda() -> Cuda | None:
    """What to build the CUDA library with; None where it is left out, with a line that says why.

    Raises:
        SystemExit: ``GAPO_CUDA=1`` and it cannot be built, or a setting that cannot be read.
    """
    choice = os.environ.get("GAPO_CUDA", "")
    if choice not in ("", "0", "1"):
        raise SystemExit(f"GAPO_CUDA expects 0 (skip the CUDA kernels) or 1 (insist on them), got {choice!r}")
    if choice == "0":
        print("gapo-kernels: built without CUDA kernels, as GAPO_CUDA=0 asks")
        return None
    try:
        nvcc, version = find_nvcc()
    except CudaUnavailable as why:
        if choice == "1":
            raise SystemExit(f"GAPO_CUDA=1 asks for the CUDA kernels, but {why}") from why
        print(f"gapo-kernels: built without CUDA kernels: {why}")
        return None
    return Cuda(nvcc, version, parse_architectures(os.environ.get("TORCH_CUDA_ARCH_LIST") or DEFAULT_ARCHITECTURES))


def parse_architectures(text: str) -> tuple[str, ...]:
    """``"8.0;9.0a 10.0+PTX"`` as a tuple.

    Raises:
        SystemExit: an entry that is not a number.
    """
    entries = tuple(re.split(r"[;\s]+", text.strip()))
    for entry in entries:
        if not re.fullmatch(r"\d+\.\d[af]?(\+PTX)?", entry):
            raise SystemExit(f"TORCH_CUDA_ARCH_LIST expects entries such as 9.0 or 10.0+PTX, got {entry!r} in {text!r}")
    return entries


def find_nvcc() -> tuple[str, str]:
    """The compiler and its release.

    Raises:
        CudaUnavailable: there is none that will do.
    """
    home = os.environ.get("CUDA_HOME")
    nvcc = shutil.which(str(Path(home, "bin", "nvcc"))) if home else shutil.which("nvcc")
    if nvcc is None and not home:
        nvcc = shutil.which("/usr/local/cuda/bin/nvcc")
    if nvcc is None:
        raise CudaUnavailable(f"there is no nvcc {f'in CUDA_HOME={home}' if home else 'on the PATH'}")
    report = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"release (\d+)\.(\d+)", report)
    if found is None:
        raise CudaUnavailable(f"{nvcc} --version does not tell its release")
    if (int(found[1]), int(found[2])) < OLDEST_NVCC:
        oldest = ".".join(map(str, OLDEST_NVCC))
        raise CudaUnavailable(f"{nvcc} is release {found[1]}.{found[2]}, and {oldest} is the oldest that will do")
    return nvcc, f"{found[1]}.{found[2]}"


def jobs() -> int:
    """How many files are compiled at once.

    Raises:
        SystemExit: ``MAX_JOBS`` is not a number of them.
    """
    text = os.environ.get("MAX_JOBS") or str(DEFAULT_JOBS)
    if not text.isdecimal() or int(text) == 0:
        raise SystemExit(f"MAX_JOBS expects how many files to compile at once, got {text!r}")
    return int(text)


@dataclass(frozen=True)
class Library:
    """A shared library of .cu and .cpp files, all compiled and linked by nvcc, which finds its own headers.

    ``runtime`` says how CUDA's own is linked, as nvcc's ``-cudart`` has it.
    """

    sources: list[str]
    headers: list[str]
    flags: list[str]
    link_flags: list[str]
    runtime: str = "static"

    @classmethod
    def of_kernels(cls) -> Library:
        """The kernels and their launchers, which know nothing of torch."""
        sources = sorted(glob("csrc/cuda/*.cu") + glob("csrc/cuda/*.cpp"))
        return cls(sources, glob("csrc/*.h") + glob("csrc/cuda/*.h"), ["-Icsrc"], [])

    @classmethod
    def for_torch(cls, sources: list[str], headers: list[str], architectures: str, runtime: str = "static") -> Library:
        """One that registers ops, with the flags that torch's headers need; the core's own headers are in csrc."""
        from torch.utils import cpp_extension

        flags = [
            "-Icsrc",
            *(f"-isystem={path}" for path in cpp_extension.include_paths()),
            "-DUSE_CUDA",
            "-D" + "=".join(STABLE_ABI),
            f'-DGAPO_CUDA_ARCHITECTURES="{architectures}"',
        ]
        link_flags = [*(f"-L{path}" for path in cpp_extension.library_paths()), "-ltorch", "-ltorch_cpu"]
        return cls(sources, headers, flags, link_flags, runtime)

    def compile(self, cuda: Cuda, objects: Path) -> list[Path]:
        """The sources' objects, in the folder ``objects``; compiled anew if a source or the command has changed."""
        command = [cuda.nvcc, *NVCC_FLAGS, *cuda.flags(), *self.flags]
        more = [os.environ.get(name, "") for name in ("NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS")]
        folder = objects / hashlib.sha256("\n".join([cuda.version, *command, *more]).encode()).hexdigest()[:12]
        newest = max(os.path.getmtime(path) for path in self.headers)

        def compiled(source: str) -> Path:
            target = (folder / source).with_suffix(".o")
            if not target.exists() or target.stat().st_mtime < max(newest, os.path.getmtime(source)):
                target.parent.mkdir(parents=True, exist_ok=True)
                unfinished = target.with_suffix(".part.o")
                _run([*command, "-c", source, "-o", str(unfinished)])
                unfinished.replace(target)
            return target

        with ThreadPoolExecutor(jobs()) as pool:
            return list(pool.map(compiled, self.sources))

    def link(self, cuda: Cuda, compiled: list[Path], target: Path) -> None:
        """Links objects, this library's own and others', into ``target``."""
        target.parent.mkdir(parents=True, exist_ok=True)
        # torch's CUDA symbols are not in the headers' torch: they are found where the library is loaded
        linker = ["-Xlinker=--no-as-needed,--allow-shlib-undefined", *self.link_flags]
        runtime = f"-cudart={self.runtime}"
        _run([cuda.nvcc, "-shared", runtime, *cuda.flags(), *map(str, compiled), "-o", str(target), *linker])


def compile_kernels(cuda: Cuda, editable: bool) -> list[Path]:
    """The kernels' objects; the tests read the PTX in those of an editable installation."""
    return Library.of_kernels().compile(replace(cuda, readable=editable), OBJECTS)


def _run(command: list[str]) -> None:
    print(" ".join(command), flush=True)
    subprocess.run(command, check=True)


if __name__ == "__main__" and (found := find_cuda()):
    compile_kernels(found, editable=True)
