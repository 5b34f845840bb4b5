"""One call of every op for every tier of group sizes, small enough for compute-sanitizer; ``bench/gpu.sh`` runs it.

Inputs are made on the CPU, so that only this package's kernels run on the device, and each result is compared with the
CPU's. ``--device cpu`` rehearses it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import torch
from torch import Tensor

import gapo_kernels  # noqa: F401  registers torch.ops.gapo

# one size on each side of what a tier may end at, and the smallest that a cluster or a stream of blocks may serve
SIZES = (1, 2, 7, 16, 31, 33, 64, 65, 129, 257, 1023, 1025, 2049, 4097, 33000, 70000)
LARGEST = 300_000
GROUPS_OF = 2048  # rewards of a call of small groups, at most


def calls() -> Iterator[tuple[str, tuple]]:
    """Every op's name with its arguments, on the CPU."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    for size in SIZES:
        yield "advantage", (draw(max(1, GROUPS_OF // size), size),)
    yield "advantage", (draw(1, LARGEST),)
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        yield "advantage", (draw(9, 33).to(dtype),)
        yield "advantage", (draw(1, 17_000).to(dtype),)
    for size in (33, 17_000):  # read one by one: rows that begin between 16 bytes, and rows that are not all valid
        rewards = draw(9 * size + 1)[1:].view(9, size)
        yield "advantage", (rewards,)
        yield "advantage", (rewards, 0.5, "hdi_median", "rms", 1e-6, rewards > -1)
    # what a large group may need besides: all of it sorted, sums within the window, digits of deviations
    clusters = torch.randint(2, (1, 20_000), generator=generator) + 1e-3 * draw(1, 20_000)
    yield "advantage", (clusters,)
    yield "advantage", (clusters, 0.5, "hdi_mean", "mad")
    yield "advantage", (torch.arange(17_000.0).view(1, -1), 0.5, "median", "rms")
    sizes = torch.tensor([0, 3, 0, 1, 40, 700, 5000, 16])
    rewards, offsets = draw(int(sizes.sum())), sizes.cumsum(0)
    offsets = torch.nn.functional.pad(offsets, (1, 0))
    yield "advantage_varlen", (rewards, offsets, int(sizes.max()))
    yield "advantage_varlen", (draw(60_000), torch.tensor([0, 9000, 50_000, 52_000, 60_000]), 41_000)
    ids = torch.randint(50, (4000,), generator=generator) * 1_000_003 - 7
    yield "advantage_by_id", (draw(4000), ids)
    for different in (300, 3000):  # ids of one and of two digits, sorted by several blocks
        yield "advantage_by_id", (draw(10_000), torch.randperm(10_000, generator=generator) % different)
    yield "advantage_stats", (draw(12, 48),)
    yield "advantage_stats", (draw(4000), ids)
    for mask in (torch.ones(64, 33, dtype=torch.int64), torch.ones(64, 33, dtype=torch.bool)):
        yield "token_advantage", (draw(64, 33), mask, torch.arange(64) // 8)
    yield "token_advantage", (draw(8, 5000), torch.ones(8, 5000, dtype=torch.bool), torch.arange(8) // 4)
    yield "token_advantage", (draw(9000, 4), torch.ones(9000, 4, dtype=torch.bool), torch.arange(9000) // 9)


def compare(op: str, arguments: tuple, device: str) -> None:
    """Makes one call on the device and on the CPU.

    Raises:
        AssertionError: they differ.
    """
    call = getattr(torch.ops.gapo, op)
    moved = [value.to(device) if isinstance(value, Tensor) else value for value in arguments]
    torch.testing.assert_close(call(*moved), call(*arguments), rtol=1e-3, atol=1e-3, equal_nan=True, check_device=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    device = parser.parse_args().device
    made = wrong = 0
    for op, arguments in calls():
        made += 1
        label = f"{op} {list(arguments[0].shape)} {arguments[0].dtype}"
        print(label, flush=True)  # should it hang or be cut off, the log ends with what was under way
        try:
            compare(op, arguments, device)
        except Exception as error:  # the calls after it are to be looked at as well
            wrong += 1
            print(f"{label}: {type(error).__name__}: {error}", flush=True)
    print(f"{made - wrong} of {made} calls agree with the CPU")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
