"""Peak memory of one call beyond its inputs and its result, on a CPU.

``python -m bench.memory FORM PEER SHAPE`` prints bytes; ``bench/run_cpu.py`` runs it in a process of its own for every
case, since what an allocator keeps from an earlier call would hide the next one's need.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import subprocess
import sys

import torch

from bench import ROOT
from bench.forms import FORMS
from bench.process_memory import forget_peak, resident

TOKENS = (1024, 64, 1024)
CASES = [
    *(("advantage", peer, shape) for shape in ((65536, 16), (4096, 1024), (1, 1048576)) for peer in ("gapo", "torch")),
    *(("advantage_by_id", peer, (512, 512)) for peer in ("gapo", "torch")),
    *(("token_advantage", peer, TOKENS) for peer in ("gapo", "torch", "verl grpo_vectorized")),
]


def peak_beyond(form: str, peer: str, shape: tuple[int, ...]) -> int:
    """Bytes that one call needed beyond its inputs and its result, at its peak; to about a quarter of a MiB."""
    who = FORMS[form].peers[peer]
    generator = torch.Generator().manual_seed(0)
    small = tuple(min(extent, 8) for extent in shape)
    for given in (small, shape):  # the small call loads code and starts threads
        inputs = who.prepare(*FORMS[form].draw(given, torch.float32, "cpu", generator))
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        before = resident("VmRSS")
        forget_peak()
        result = who.call(*inputs)
        peak = resident("VmHWM")
    return peak - before - result.nbytes


def measured_apart(form: str, peer: str, shape: tuple[int, ...]) -> int:
    """``peak_beyond`` in a process of its own."""
    command = [sys.executable, "-m", "bench.memory", form, peer, "x".join(map(str, shape))]
    return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("form", choices=FORMS)
    parser.add_argument("peer")
    parser.add_argument("shape", help="as 1024x64")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(peak_beyond(given.form, given.peer, tuple(map(int, given.shape.split("x")))))


if __name__ == "__main__":
    main()
