"""The op on a CPU beside its peers and floors, in one process on the same inputs; ``make bench`` runs it.

pytest-benchmark keeps the times. The peers of a shape are measured one after the other, and the whole table in turns,
so that a noisy moment of the machine meets all of them, and a noisy minute shows as a spread between the turns.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytest
import torch

from bench.forms import FORMS, Inputs
from bench.tables import Case

SETS = 4  # inputs in rotation, so that no call finds what the one before it left in the branch predictor
LARGE = 64 << 20  # bytes; above, one set fills the caches by itself
SETTLE = 1.0  # seconds of calls before a large one is timed: the first ones wait for the kernel to find free pages
SLOW = 0.5  # seconds; such a call is measured once, in the first turn
MOST_ROUNDS = 2000
slow: set[Case] = set()


@pytest.fixture(autouse=True)
def steady_state(case: Case) -> Iterator[None]:
    """A warm process: its threads are set, and malloc has grown already, which causes page faults."""
    before = torch.get_num_threads()
    torch.set_num_threads(case.threads)
    torch.empty(8_000_000).fill_(0)
    yield
    torch.set_num_threads(before)


@functools.lru_cache(maxsize=1)
def drawn(form: str, shape: tuple[int, ...], dtype: str) -> list[Inputs]:
    """The inputs in rotation, the same for all peers of a shape."""
    generator = torch.Generator().manual_seed(0)
    first = FORMS[form].draw(shape, getattr(torch, dtype), "cpu", generator)
    sets = SETS if FORMS[form].traffic(*first) < LARGE else 1
    return [first, *(FORMS[form].draw(shape, getattr(torch, dtype), "cpu", generator) for _ in range(sets - 1))]


def rotate(function: Callable[..., Any], inputs: list[Inputs]) -> Callable[[], Any]:
    """A call that takes the next of the inputs each time."""
    state = {"next": 0}

    def call() -> Any:
        state["next"] = (state["next"] + 1) % len(inputs)
        return function(*inputs[state["next"]])

    return call


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def test_case(benchmark: Any, request: pytest.FixtureRequest, case: Case, turn: int) -> None:
    peer = FORMS[case.form].peers[case.peer]
    if reason := peer.absent():
        pytest.skip(reason)
    if case in slow:
        pytest.skip("measured in the first turn")
    inputs = drawn(case.form, case.shape, case.dtype)
    call = rotate(peer.call, [peer.prepare(*one) for one in inputs])
    once = seconds(call)
    if once < SLOW or case.peer == "torch.compile":  # whose first call compiles
        once = seconds(call)
    if FORMS[case.form].traffic(*inputs[0]) >= LARGE:
        settled = time.perf_counter() + SETTLE
        while time.perf_counter() < settled:
            once = seconds(call)
    if once < SLOW:
        rounds = min(MOST_ROUNDS, max(3, int(request.config.getoption("--seconds") / once)))
        benchmark.pedantic(call, rounds=rounds, warmup_rounds=rounds // 10)
    else:
        slow.add(case)
        benchmark.pedantic(call, rounds=1)
    benchmark.extra_info.update(asdict(case), turn=turn, traffic=FORMS[case.form].traffic(*inputs[0]))
