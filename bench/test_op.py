"""The op on a CPU beside its peers and floors, in one process on the same inputs: ``make bench``.

Ratios of medians are what counts; absolute times belong to one machine on one day.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

import gapo_kernels  # noqa: F401
from bench import peers

SHAPES = [(512, 16), (1024, 64), (8192, 32), (65536, 16), (1024, 1024), (64, 16384), (1, 1048576)]
FUNCTIONS = {
    "gapo": torch.ops.gapo.advantage,
    "torch": peers.vectorised_torch,
    "numpy.sort": peers.numpy_sort,
}
INPUTS = 4  # rotated, so that no call finds what the one before it left in the branch predictor


@pytest.fixture(autouse=True)
def steady_state(threads: int) -> Any:
    """A process that has worked before: threads set, and malloc past its first growth, which takes page faults."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.empty(8_000_000).fill_(0)
    yield
    torch.set_num_threads(before)


def rotate(function: Any, inputs: list[tuple[Any, ...]]) -> Any:
    """A call that takes the next of the inputs each time."""
    state = {"next": 0}

    def call() -> Any:
        state["next"] = (state["next"] + 1) % len(inputs)
        return function(*inputs[state["next"]])

    return call


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_advantage(benchmark: Any, name: str, shape: tuple[int, int], threads: int) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = [(torch.randn(shape, generator=generator),) for _ in range(INPUTS)]
    benchmark.extra_info.update(table="advantage", name=name, shape=list(shape), threads=threads)
    benchmark(rotate(FUNCTIONS[name], inputs))


TOKENS = (1024, 64, 1024)  # groups, group size, tokens a row


@pytest.fixture(scope="module")
def token_inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    groups, size, length = TOKENS
    generator = torch.Generator().manual_seed(0)
    rewards = torch.zeros(groups * size, length)
    rewards[:, -1] = torch.randn(groups * size, generator=generator)
    mask = torch.ones(groups * size, length, dtype=torch.int64)
    return rewards, mask, torch.arange(groups * size) // size


# The step must read 4 bytes of reward and 8 of mask and write 4 of advantage: as much as copying the mask.
def copy_to_fresh_memory(_: torch.Tensor, mask: torch.Tensor, __: torch.Tensor) -> torch.Tensor:
    return mask.clone()


def copy_to_warm_memory(_: torch.Tensor, mask: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    return out.copy_(mask)


TOKEN_FUNCTIONS = {
    "gapo": torch.ops.gapo.token_advantage,
    "torch": peers.masked_whitened_tokens,
    "copy, fresh memory": copy_to_fresh_memory,
    "copy, warm memory": copy_to_warm_memory,
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", TOKEN_FUNCTIONS)
def test_token_advantage(benchmark: Any, name: str, threads: int, token_inputs: Any) -> None:
    rewards, mask, ids = token_inputs
    third = torch.zeros_like(mask) if name == "copy, warm memory" else ids
    benchmark.extra_info.update(table="token_advantage", name=name, shape=list(TOKENS), threads=threads)
    benchmark.pedantic(TOKEN_FUNCTIONS[name], args=(rewards, mask, third), rounds=9, warmup_rounds=2)
