"""How long a device works on a call: many calls over rotated inputs are recorded once, replayed, and divided.

On a GPU the recording is a CUDA graph, so that the host's time to launch stays outside. On a CPU the calls are simply
made again: the same logic, to test it where no GPU is. Host dispatch, the other figure, is the time to enqueue a call.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

Call = Callable[[], Any]
Replay = Callable[[], float]  # replays what was recorded and returns seconds
Record = Callable[[Sequence[Call], bool], Replay]  # the calls, and whether each keeps memory of its own for its result

ROTATED_CACHES = 3  # rotated inputs and results fill the L2 cache that many times
MOST_CALLS = 4096  # in a recording: a graph of more nodes takes seconds to make
LEAST_CALLS, MOST_BYTES = 20, 4 << 30  # the least number of calls, unless they would need that much memory
SLEEP_CYCLES = 1_000_000  # half a millisecond, in which the host launches a graph: its time is not the device's
MOST_SLEEP_CYCLES = 64 * SLEEP_CYCLES  # for a host that takes longer
DISPATCH_ROUNDS = 5  # of which the host's dispatch is the median
LEAST_REPLAYS, ENOUGH_SECONDS = 5, 1.0  # no more replays than these, once they have taken so long


@dataclass(frozen=True)
class Times:
    """Microseconds a call: median and quartiles over the replays."""

    median: float
    q1: float
    q3: float
    replays: int
    calls: int


def record_graph(calls: Sequence[Call], keep: bool) -> Replay:
    """The calls as one CUDA graph. They run before that on a side stream, as capture asks, which compiles them too."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for call in calls[:3]:
            call()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    kept = []
    with torch.cuda.graph(graph):
        for call in calls:
            result = call()
            if keep:
                kept.append(result)
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    cycles = SLEEP_CYCLES

    def replay() -> float:
        nonlocal cycles
        while True:
            torch.cuda._sleep(cycles)
            start.record()
            graph.replay()
            began_early = start.query()  # the device had to wait for the host
            end.record()
            end.synchronize()
            if not began_early or cycles >= MOST_SLEEP_CYCLES:
                return start.elapsed_time(end) / 1e3
            cycles *= 2

    replay.kept = kept  # type: ignore[attr-defined]  # the results' memory belongs to the graph while it is replayed
    return replay


def record_waiting(calls: Sequence[Call], keep: bool) -> Replay:
    """Calls that make the host wait for the device, which no graph can hold: the wall time, the host's part with it."""
    replay_calls = record_calls(calls, keep)

    def replay() -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        replay_calls()
        torch.cuda.synchronize()
        return time.perf_counter() - start

    return replay


def record_calls(calls: Sequence[Call], keep: bool, clock: Callable[[], float] = time.perf_counter) -> Replay:
    """The calls one after the other, for a device that has no graphs."""
    for call in calls[:3]:
        call()

    def replay() -> float:
        kept = []
        start = clock()
        for call in calls:
            result = call()
            if keep:
                kept.append(result)
        return clock() - start

    return replay


def rotation(traffic: int, cache: int, most: int = MOST_CALLS) -> int:
    """How many inputs to rotate over, so that none is in a cache of that many bytes when its turn comes again."""
    least = max(2, min(LEAST_CALLS, MOST_BYTES // max(traffic, 1)))
    return min(most, max(least, math.ceil(ROTATED_CACHES * cache / max(traffic, 1))))


def device_time(calls: Sequence[Call], record: Record, replays: int, keep: bool = True) -> Times:
    """Median and quartiles of the time a call takes on the device, of fewer replays where each takes long."""
    replay = record(calls, keep)
    replay()  # the first one uploads the graph
    taken: list[float] = []
    while len(taken) < replays and (len(taken) < LEAST_REPLAYS or sum(taken) < ENOUGH_SECONDS):
        taken.append(replay())
    each = [seconds / len(calls) * 1e6 for seconds in taken]
    q1, median, q3 = statistics.quantiles(each, n=4, method="inclusive") if len(each) > 1 else each * 3
    return Times(*(round(value, 3) for value in (median, q1, q3)), len(each), len(calls))


def host_dispatch(
    calls: Sequence[Call],
    synchronise: Callable[[], None],
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Microseconds until an eager call returns to Python, the device still at work; the median of some rounds."""
    each = []
    for _ in range(DISPATCH_ROUNDS):
        synchronise()
        start = clock()
        for call in calls:
            call()
        each.append((clock() - start) / len(calls) * 1e6)
        synchronise()
    return round(statistics.median(each), 3)
