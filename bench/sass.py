"""Reads the compiled CUDA kernels: registers, stack and spills, instructions on the straight path; by cuobjdump."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

# what a group's work consists of (a sort, windows, sums, divisions): the straight path is the one that does all of it
WORK = ("FMNMX", "LDS", "MUFU", "SHFL", "STS")


@dataclass(frozen=True)
class Instruction:
    """One line of the disassembly."""

    address: int
    guarded: bool  # runs under a predicate
    opcode: str  # with its modifiers
    target: int | None  # where a branch leads


@dataclass(frozen=True)
class Resources:
    """What a kernel takes; all but the registers in bytes, stack and local a thread, shared a block."""

    registers: int
    stack: int
    local: int
    shared: int


def find_cuobjdump() -> str | None:
    """The CUDA toolkit's cuobjdump, or the one in triton's wheel, or None."""
    return shutil.which("cuobjdump") or triton_cuobjdump()


def triton_cuobjdump() -> str | None:
    """The cuobjdump in triton's wheel, which knows what that triton compiles; None without triton."""
    spec = find_spec("triton")
    if spec is None or spec.origin is None:
        return None
    return shutil.which(str(Path(spec.origin).parent / "backends" / "nvidia" / "bin" / "cuobjdump"))


def run_tool(*command: str, text: str | None = None) -> str:
    """What a command prints, ``text`` on its standard input."""
    # cuobjdump calls the nvdisasm that lies beside it
    env = {**os.environ, "PATH": f"{Path(command[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    return subprocess.run(command, check=True, capture_output=True, text=True, input=text, env=env).stdout


def _short(symbol: str) -> str:
    """``void gapo::cuda::(anonymous namespace)::kernel<true, float, 3>(…)`` as ``kernel<true, float, 3>``."""
    found = re.search(r"(\w+(?:<[^()]*>)?)\(", symbol.replace("(anonymous namespace)::", ""))
    return found.group(1).removeprefix("gapo::cuda::") if found else symbol


def resources(cuobjdump: str, library: Path) -> dict[str, Resources]:
    """Every kernel of the library by its name with template arguments."""
    report = run_tool("c++filt", text=run_tool(cuobjdump, "--dump-resource-usage", str(library)))
    table = {}
    for symbol, line in re.findall(r"Function (.*?):\n\s*(.*)", report):
        fact = {key: int(value) for key, value in re.findall(r"(\w+):(\d+)", line)}
        table[_short(symbol)] = Resources(fact["REG"], fact["STACK"], fact["LOCAL"], fact["SHARED"])
    return table


def disassemble(cuobjdump: str, library: Path) -> dict[str, list[Instruction]]:
    """Every kernel's instructions."""
    listing = run_tool("c++filt", text=run_tool(cuobjdump, "-sass", str(library)))
    kernels = {}
    for part in listing.split("Function : ")[1:]:
        symbol, _, body = part.partition("\n")
        code = []
        for address, guard, opcode, rest in re.findall(r"/\*([0-9a-f]{4,})\*/\s+(@\S+ )?([A-Z][\w.]*)(.*?);", body):
            branch = re.search(r"0x([0-9a-f]+)", rest) if opcode.startswith(("BRA", "BRX", "CALL")) else None
            guarded = bool(guard) or (opcode.startswith("BRA") and re.match(r"\s*!?U?P\d", rest) is not None)
            code.append(Instruction(int(address, 16), guarded, opcode, int(branch.group(1), 16) if branch else None))
        kernels[_short(symbol)] = code
    return kernels


def straight_path(code: list[Instruction]) -> int:
    """How many instructions a full group runs: of the ways from entry to exit that do most of the work, the shortest.

    Loops count once: it is meant for kernels without any on that way. Calls of the slow halves of divisions and roots
    are not on it, nor what runs for groups that are longer or not aligned.
    """
    index = {instruction.address: i for i, instruction in enumerate(code)}
    best: list[tuple[int, int] | None] = [None] * len(code)  # (work, -length) from here to an exit
    state = [0] * len(code)  # 1: on the stack, 2: done
    stack = [0]
    while stack:
        i = stack[-1]
        successors = _successors(code, index, i)
        if state[i] == 0:
            state[i] = 1
            stack.extend(s for s in successors if state[s] == 0)
            continue
        stack.pop()
        if state[i] == 2:
            continue
        state[i] = 2
        ends = code[i].opcode.startswith("EXIT") and not code[i].guarded
        ways = [best[s] for s in successors if state[s] == 2 and best[s] is not None]
        if ends:
            ways = [(0, 0)]
        if ways:
            work, length = max(ways)
            best[i] = (work + code[i].opcode.startswith(WORK), length - 1)
    if best[0] is None:
        raise ValueError("no way from the kernel's entry to an exit")
    return -best[0][1]


def _successors(code: list[Instruction], index: dict[int, int], i: int) -> list[int]:
    instruction = code[i]
    following = [i + 1] if i + 1 < len(code) else []
    if instruction.opcode.startswith(("EXIT", "RET")):
        return following if instruction.guarded else []
    if instruction.opcode.startswith("BRA.DIV") or instruction.target is None:
        return following
    taken = [index[instruction.target]] if instruction.target in index else []
    if instruction.opcode.startswith("CALL"):
        return []  # of a slow path
    return taken + following if instruction.guarded else taken
