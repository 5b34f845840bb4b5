"""The lead over what people use, as ratios from one run on one thread: so that no change loses it unnoticed.

Both sides take turns, and the least time of each counts: whatever else the machine does can only add to a time. A
margin is about half of what was measured with the oldest instruction set that the package serves, on the machine where
the lead was smallest (torch sorts faster there, and others had work to do); two thirds where that is small. Results are
small, for what fresh memory costs differs from call to call.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import bench_modules  # noqa: F401
import pytest
import torch

from bench.forms import FORMS

pytestmark = pytest.mark.usefixtures("one_thread")
TURNS = 15
LEADS = [
    # (form, peer, shape, how many times longer the peer takes at least)
    ("advantage", "torch", (1024, 64), 6.0),
    ("advantage", "torch", (8192, 32), 6.0),
    ("advantage", "torch", (256, 1024), 8.0),
    ("advantage", "torch", (16, 16384), 5.0),
    ("advantage", "numpy", (8192, 32), 1.4),  # the fastest of the peers
    ("advantage_varlen", "torch", (512, 16), 20.0),
    ("advantage_by_id", "torch", (512, 16), 17.0),
    ("token_advantage", "torch", (16, 16, 256), 1.1),
]


def lead(slower: Callable[[], Any], faster: Callable[[], Any]) -> float:
    """How many times longer the first takes."""
    least = [float("inf"), float("inf")]
    for turn in range(TURNS + 1):
        for side, call in enumerate((slower, faster)):
            start = time.perf_counter()
            call()
            taken = time.perf_counter() - start
            if turn > 0:  # the first warms up
                least[side] = min(least[side], taken)
    return least[0] / least[1]


def calls(form: str, shape: tuple[int, ...], *names: str) -> list[Callable[[], Any]]:
    """A call of each peer on the same inputs."""
    inputs = FORMS[form].draw(shape, torch.float32, "cpu", torch.Generator().manual_seed(0))
    chosen = [FORMS[form].peers[name] for name in names]
    return [functools.partial(peer.call, *peer.prepare(*inputs)) for peer in chosen]


@pytest.mark.parametrize(("form", "peer", "shape", "least"), LEADS, ids=lambda value: str(value))
def test_the_op_is_ahead(form, peer, shape, least):
    assert lead(*calls(form, shape, peer, "gapo")) > least


@pytest.mark.parametrize("step", [6765, 832040, 1 << 32, -(1 << 48)], ids=str)
def test_ids_of_any_step_are_found_as_fast_as_random_ones(step):
    """Fibonacci numbers and powers of two are what simple hashes put side by side: many times slower."""
    generator = torch.Generator().manual_seed(0)
    rewards = torch.rand(8192, generator=generator)
    group = torch.randint(2048, rewards.shape, generator=generator)
    apart = torch.randint(-(1 << 62), 1 << 62, (2048,), generator=generator)
    spaced, random = (
        functools.partial(torch.ops.gapo.advantage_by_id, rewards, ids) for ids in (group * step, apart[group])
    )
    assert lead(spaced, random) < 4.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_rows_that_end_amid_a_vector_take_little_longer(dtype):
    """Their last tokens, one by one, would take as long as all others."""
    whole, ragged = (
        functools.partial(torch.ops.gapo.token_advantage, torch.ones(512, length, dtype=dtype), mask, torch.arange(512))
        for length in (112, 111)
        for mask in [torch.ones(512, length, dtype=torch.bool)]
    )
    assert lead(ragged, whole) < 3.0


def test_a_lost_lead_would_be_seen():
    (torch_,) = calls("advantage", (1024, 64), "torch")
    assert lead(torch_, torch_) < min(least for _, peer, _, least in LEADS if peer == "torch" and least > 2)
