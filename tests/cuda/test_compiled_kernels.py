"""What the compiler made of the kernels: no spills, registers and instructions within the budgets of the one table."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import bench_modules  # noqa: F401
import pytest

import gapo_kernels
import gapo_numpy
from bench.run_sass import KERNELS, RESULTS, count
from bench.sass import Instruction, Resources, find_cuobjdump, resources, straight_path
from gapo_numpy import _core

LIBRARY = Path(gapo_kernels.__file__).with_name("_C_cuda.so")
CUOBJDUMP = find_cuobjdump()
RESERVED = 1024  # bytes of shared memory a block that CUDA keeps to itself from sm_80 on
CLASSES = _core.cuda_size_classes()

reads_the_library = pytest.mark.skipif(
    not LIBRARY.exists() or CUOBJDUMP is None, reason="no CUDA library in this build, or no cuobjdump"
)
one_architecture = pytest.mark.skipif(
    gapo_numpy.build_info()["cuda_architectures"] not in (("9.0",), ("9.0+PTX",)),
    reason="the budgets are those of sm_90",
)


@functools.cache
def used() -> dict[str, Resources]:
    assert CUOBJDUMP is not None
    return resources(CUOBJDUMP, LIBRARY)


@reads_the_library
@one_architecture
def test_nothing_spills():
    assert len(used()) > 3 * len(CLASSES)
    assert {name: kernel for name, kernel in used().items() if kernel.stack or kernel.local} == {}


@reads_the_library
@one_architecture
@pytest.mark.parametrize("index", range(len(CLASSES)))
def test_registers_and_shared_memory(index):
    shape = CLASSES[index]
    kernels = {name: kernel for name, kernel in used().items() if re.fullmatch(rf"\w+<\w+, \w+, {index}>", name)}
    assert {name.partition("<")[0] for name in kernels} == {KERNELS[shape["tier"]]}
    assert len(kernels) == 3  # short, any rule in float32, any rule in float64
    for name, kernel in kernels.items():
        doubles = "double" in name
        assert kernel.registers <= shape["double_registers" if doubles else "registers"], name
        plan = gapo_numpy.plan(1, shape["largest"], "cuda", "float64" if doubles else "float32")
        assert kernel.shared == plan["shared_bytes"] + RESERVED, name


@reads_the_library
@one_architecture
def test_instructions_per_reward():
    assert CUOBJDUMP is not None
    for row in count(CUOBJDUMP, LIBRARY):
        # less than half of a budget would mean that the count has missed the sort
        assert row["budget_per_reward"] / 2 < row["instructions_per_reward"] <= row["budget_per_reward"], row


def test_the_committed_figures():
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    for row, shape in zip(results["classes"], CLASSES, strict=True):
        for fact in ("tier", "largest", "lanes", "rewards_per_lane", "threads"):
            assert row[fact] == shape[fact]
        assert row["instructions_per_reward"] <= shape["instructions"]


def program(*lines: tuple[str, bool, int | None]) -> list[Instruction]:
    return [Instruction(16 * i, guarded, opcode, target) for i, (opcode, guarded, target) in enumerate(lines)]


def test_the_straight_path():
    plain = program(("LDG", False, None), ("FMNMX", False, None), ("STG", False, None), ("EXIT", False, None))
    assert straight_path(plain) == 4
    # a branch around the work is not taken, one around slow code without work is
    around_work = program(("BRA", True, 48), ("FMNMX", False, None), ("FMNMX", False, None), ("EXIT", False, None))
    assert straight_path(around_work) == 4
    around_slow = program(("BRA", True, 48), ("DFMA", False, None), ("DFMA", False, None), ("EXIT", False, None))
    assert straight_path(around_slow) == 2
    # a loop counts once, an early exit is passed by for the work behind it
    loop = program(("EXIT", True, None), ("FMNMX", False, None), ("BRA", True, 16), ("EXIT", False, None))
    assert straight_path(loop) == 4
    with pytest.raises(ValueError, match="no way from the kernel's entry to an exit"):
        straight_path(program(("BRA", False, 0)))
