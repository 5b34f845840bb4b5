"""The extensions; everything else stands in pyproject.toml."""

import shutil
import subprocess
import sys
import sysconfig
from glob import glob
from pathlib import Path

import pybind11
import torch
from pybind11.setup_helpers import ParallelCompile
from setuptools import Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from torch.utils import cpp_extension

sys.path.insert(0, str(Path(__file__).resolve().parent))  # an isolated build does not put it there
from make.cuda_build import STABLE_ABI, Library, compile_kernels, find_cuda, jobs

ParallelCompile(default=jobs()).install()  # the files of an extension side by side, as the kernels' are

HEADERS = [*glob("csrc/**/*.h", recursive=True), "make/result_flags.txt"]  # what everything depends on
CORE = ["csrc/grouping.cpp", *sorted(glob("csrc/cpu/*.cpp"))]
WARNINGS = ["-Wall", "-Wextra", "-Wno-psabi", "-Wno-maybe-uninitialized", "-Wno-unknown-pragmas"]
# What a result may depend on, which the C++ tests read as well. No contraction: a group's statistics are the same bits
# whether its sums ran in vectors or one by one.
RESULT_FLAGS = Path("make", "result_flags.txt").read_text(encoding="utf-8").split()
CXXFLAGS = [*RESULT_FLAGS, "-O3", "-g0", "-fvisibility=hidden"]
if sysconfig.get_platform() == "linux-x86_64":
    CXXFLAGS.append("-march=x86-64-v2")  # the least CPU that the package runs on; faster kernels are chosen at run time


def git_revision() -> str:
    """The commit that is built, or nothing outside of a checkout."""
    try:
        return subprocess.check_output(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"], text=True, stderr=subprocess.DEVNULL
        ).strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


class BuildAnew(build):
    """Builds into an empty folder: what earlier builds left there, a CUDA library for instance, would be installed."""

    def run(self) -> None:
        """Build as usual, after removing the folder."""
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


class BuildSharedLibraries(build_ext):
    """Builds the torch libraries without a Python in their names: they depend on none, and are loaded by torch."""

    def run(self) -> None:
        """Build as usual; remove an earlier build's CUDA library from an editable installation without CUDA."""
        super().run()
        if self.editable_mode and not CUDA:
            Path("gapo_kernels/_C_cuda.so").unlink(missing_ok=True)

    def build_extension(self, ext: Extension) -> None:
        """Build the CUDA library with nvcc, the others as usual."""
        if ext is not cuda_ops:
            return super().build_extension(ext)
        objects = compile_kernels(CUDA, self.editable_mode) + CUDA_OPS.compile(CUDA, Path(self.build_temp))
        CUDA_OPS.link(CUDA, objects, Path(self.get_ext_fullpath(ext.name)))

    def get_ext_filename(self, fullname: str) -> str:
        """The file of an extension, a plain .so for the torch libraries."""
        filename = super().get_ext_filename(fullname)
        if fullname.rpartition(".")[2].startswith("_C"):
            return filename.replace(sysconfig.get_config_var("EXT_SUFFIX"), ".so")
        return filename


torch_ops = Extension(
    "gapo_kernels._C",
    sources=[f"csrc/torch/{name}.cpp" for name in ("check_ops", "checks", "cpu_ops", "schema")],
    depends=HEADERS,
    include_dirs=["csrc", *cpp_extension.include_paths()],
    library_dirs=cpp_extension.library_paths(),
    libraries=["torch_cpu"],
    extra_compile_args=[*CXXFLAGS, *WARNINGS, "-Wno-unused-parameter"],
    define_macros=[STABLE_ABI],
    language="c++",
)
CUDA = find_cuda()
ARCHITECTURES = " ".join(CUDA.architectures) if CUDA else ""
KERNELS = Library.of_kernels()
CUDA_OPS = Library.for_torch(["csrc/torch/checks.cpp", "csrc/torch/cuda_ops.cpp"], HEADERS, ARCHITECTURES)
# built from the two libraries above by nvcc; an Extension, so that setuptools installs it beside the others
cuda_ops = Extension("gapo_kernels._C_cuda", sources=[], depends=[*HEADERS, *KERNELS.sources, *CUDA_OPS.sources])
numpy_core = Extension(
    "gapo_numpy._core",
    sources=sorted(glob("python/*.cpp")),
    depends=[*HEADERS, *glob("python/*.h")],
    include_dirs=["csrc", pybind11.get_include()],
    extra_compile_args=[*CXXFLAGS, *WARNINGS, "-O1"],  # it only converts arguments; -O3 takes twice as long
    define_macros=[
        ("GAPO_REVISION", f'"{git_revision()}"'),
        ("GAPO_BUILD_TORCH", f'"{torch.__version__}"'),
        ("GAPO_CUDA_VERSION", f'"{CUDA.version if CUDA else ""}"'),
        ("GAPO_CUDA_ARCHITECTURES", f'"{ARCHITECTURES}"'),
    ],
    language="c++",
)
# what both need, compiled once; the linker takes it out of an archive
core = {"sources": CORE, "obj_deps": {"": HEADERS}, "include_dirs": ["csrc"], "cflags": [*CXXFLAGS, *WARNINGS]}
setup(
    libraries=[("gapo_core", core)],
    ext_modules=[torch_ops, *([cuda_ops] if CUDA else []), numpy_core],
    cmdclass={"build": BuildAnew, "build_ext": BuildSharedLibraries},
)
