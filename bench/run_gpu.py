"""Measures the op and its peers on a GPU and writes bench/results/gpu.json, case by case, within a time budget.

``bench/gpu.sh`` builds, tests and runs it. ``--device cpu --small`` rehearses it where no GPU is. Nothing but torch,
NumPy and this package is needed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from bench import results_file
from bench.device_time import Record, device_time, host_dispatch, record_calls, record_graph, record_waiting, rotation
from bench.forms import FORMS, Inputs, Peer
from bench.markdown import peers_of, shapes_of
from bench.results_file import Entry
from bench.tables import MAIN_TABLES, SMALL, TABLES, Case, cases
from gapo_kernels.backends import list_backends
from gapo_trainer.provenance import provenance

RESULTS = results_file.FOLDER / "gpu.json"
ORDER = (*MAIN_TABLES, "masked", "dtypes", "token_dtypes", "by_size", "by_batch")
OWN = ("gapo", "triton")  # this package's kernels
COMPILED = ("triton", "torch.compile")  # seconds for every shape: after all tables of the others
REPLAYS = 25
MANY_KERNELS = 256  # calls in a graph of a peer that launches tens of kernels a call
WAITING_CALLS = 4  # of a peer that makes the host wait: milliseconds each, of which no cache decides
WARM_CALLS = 200
BUSY_SECONDS = 1.0  # until an idle GPU runs at its clock
HOST_CALLS = 20  # few enough that no launch queue fills and makes the host wait
TOLERANCE = 1e-4  # of the greatest advantage; sums are ordered otherwise on a GPU
ROUNDED = {"float16": 1e-2, "bfloat16": 3e-2}
OUT_OF_TIME, INTERRUPTED = "the time budget was spent", "interrupted"
MOST_SECONDS, MOST_SECONDS_COMPILING = 30.0, 90.0  # of a case; beyond them the device hangs
EXIT_HUNG = 3


class LeftOut(Exception):
    """A case that is not measured, with the reason."""


def cache_bytes(device: str) -> int:
    """The L2 cache of a GPU; of a CPU a token, for a rehearsal."""
    return torch.cuda.get_device_properties(device).L2_cache_size if device == "cuda" else 1 << 12


def synchronise(device: str) -> Callable[[], None]:
    return torch.cuda.synchronize if device == "cuda" else lambda: None


def lost_device(device: str, label: str) -> str:
    """What ended the device for this process, so that every later call would meet the same error; "" if nothing did."""
    try:
        synchronise(device)()
    except RuntimeError as error:
        return f"the device is lost after {label}: {first_line(error)}"
    return ""


def first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def recorder(peer: Peer, device: str) -> Record:
    if device == "cpu":
        return record_calls
    return record_waiting if peer.waits else record_graph


def check(case: Case, peer: Peer, inputs: Inputs) -> float:
    """The greatest error against the CPU's op, relative to the greatest advantage: before speed, the same result.

    Raises:
        LeftOut: it is wrong.
    """
    result = peer.call(*peer.prepare(*inputs)).float().cpu()
    on_cpu = [value.cpu() if isinstance(value, torch.Tensor) else value for value in inputs]
    expected = FORMS[case.form].peers["gapo"].call(*on_cpu).float()
    error = float((result - expected).abs().max() / expected.abs().max().clamp(min=1))
    if not error <= ROUNDED.get(case.dtype, TOLERANCE):  # NaN is wrong as well
        raise LeftOut(f"wrong: off by {error:.2g} of the greatest advantage")
    return error


def measure(case: Case, device: str, cache: int) -> Entry:
    """Times of one case: cold (inputs rotated past the L2 cache), warm (one input), and the host's dispatch.

    Raises:
        LeftOut: the peer cannot run here, or computes something else than the CPU.
    """
    form, peer = FORMS[case.form], FORMS[case.form].peers[case.peer]
    if reason := peer.absent():
        raise LeftOut(reason)
    if peer.at_most is not None:
        raise LeftOut("a loop over rows in Python, or over strings: on a GPU every row waits for the device")
    generator = torch.Generator().manual_seed(0)
    dtype = getattr(torch, case.dtype)
    first = form.draw(case.shape, dtype, device, generator)
    error = check(case, peer, first) if case.peer in OWN else None
    traffic = form.traffic(*first)
    single = peer.floor or case.peer in OWN
    sets = rotation(traffic, cache, *(() if single else (WAITING_CALLS if peer.waits else MANY_KERNELS,)))
    drawn = [first, *(form.draw(case.shape, dtype, device, generator) for _ in range(sets - 1))]
    prepared = [peer.prepare(*one) for one in drawn]
    calls = [(lambda one=one: peer.call(*one)) for one in prepared]
    record = recorder(peer, device)
    cold = device_time(calls, record, REPLAYS)
    warm = device_time(calls[:1] * min(sets, WARM_CALLS), record, REPLAYS, keep=False)
    return {
        "peer": case.peer,
        "shape": list(case.shape),
        "dtype": case.dtype,
        **{key: getattr(cold, key) for key in ("median", "q1", "q3", "replays", "calls")},
        "warm": warm.median,
        "host": host_dispatch(calls[:HOST_CALLS], synchronise(device)),
        "traffic": traffic,
        "rotated": sets * traffic,  # less than the L2 cache: the cold time is a warm one
        "error": error,
    }


def copy_bandwidth(device: str, cache: int) -> float:
    """Bytes a second, read and written, of a copy far larger than the L2 cache; the median of the replays."""
    source = torch.randn(max(1 << 16, 8 * cache // 4), device=device)  # float32: eight caches' worth
    target = torch.empty_like(source)
    begun = time.monotonic()
    while device == "cuda" and time.monotonic() - begun < BUSY_SECONDS:
        target.copy_(source)
        synchronise(device)()
    record = record_calls if device == "cpu" else record_graph
    taken = device_time([lambda: target.copy_(source)] * 3, record, REPLAYS, keep=False)
    return 2 * source.nbytes / (taken.median / 1e6)


@contextlib.contextmanager
def limited(seconds: float, give_up: Callable[[], None]) -> Iterator[None]:
    """Calls ``give_up`` in another thread if what is inside takes longer: no signal ends a wait for a hung device."""
    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def is_done(table: dict[str, Any], case: Case, label: str) -> bool:
    """Whether an earlier run has measured the case, or has found out that it cannot be."""
    if results_file.find(table, peer=case.peer, shape=list(case.shape), dtype=case.dtype):
        return True
    return table["left_out"].get(label, OUT_OF_TIME) not in (OUT_OF_TIME, INTERRUPTED)


def run(
    tables: dict[str, Any], device: str, deadline: float, origin: Entry, out: Path, resume: bool = False
) -> results_file.Results:
    """All tables, the most important first, until the deadline; the file is written after every case.

    A case is named before it begins: should the device hang, the log ends with what it hung in. The process then ends
    with EXIT_HUNG; ``resume`` goes on behind that case.
    """
    cache = cache_bytes(device)
    results = results_file.read(out) if resume else {}
    if not results:
        bandwidth = copy_bandwidth(device, cache)
        facts = {"provenance": origin, "unit": "microseconds", "copy_bandwidth": bandwidth, "l2": cache}
        results = {name: {**facts, "left_out": {}, "cases": []} for name in ORDER}
    lost = ""
    in_order = [case for name in ORDER for case in cases(name, tables[name], device)]
    for case in sorted(in_order, key=lambda case: case.peer in COMPILED):
        table = results[case.table]
        label = f"{case.peer} {'x'.join(map(str, case.shape))} {case.dtype}"
        if resume and is_done(table, case, label):
            continue
        table["left_out"].pop(label, None)
        if lost or time.monotonic() > deadline:
            table["left_out"][label] = lost or OUT_OF_TIME
            continue
        print(f"{case.table}: {label}", flush=True)
        most = MOST_SECONDS_COMPILING if case.peer in COMPILED else MOST_SECONDS

        def give_up(table: dict[str, Any] = table, label: str = label, most: float = most) -> None:
            table["left_out"][label] = f"no end within {most:g} s"
            results_file.write(out, results)
            os._exit(EXIT_HUNG)

        try:
            with limited(most, give_up):
                entry = measure(case, device, cache)
            table["cases"].append(entry)
        except LeftOut as reason:
            table["left_out"][label] = str(reason)
        except KeyboardInterrupt:  # bench/gpu.sh cuts it off: what was measured is still reported
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # it may come twice, to the process and to its group
            table["left_out"][label], deadline = INTERRUPTED, 0.0
        except Exception as error:  # one peer, or its compiler, must not lose the others
            table["left_out"][label] = first_line(error)
            lost = lost_device(device, label)
        results_file.write(out, results)
    results_file.write(out, results)
    return results


def short_table(results: results_file.Results) -> str:
    """Microseconds a call from a cold cache, a line for every shape: the end of a log tells what matters."""
    lines = []
    for name in MAIN_TABLES:
        peers = peers_of(results[name])
        lines.append(f"{name:<20}" + "".join(f"{peer[:13]:>14}" for peer in peers))
        for shape in shapes_of(results[name]):
            row = [results_file.find(results[name], peer=peer, shape=shape) for peer in peers]
            cells = "".join(f"{entry['median']:>14.2f}" if entry else f"{'-':>14}" for entry in row)
            lines.append(f"{'x'.join(map(str, shape)):<20}" + cells)
    return "\n".join(lines)


def failures(results: results_file.Results) -> list[str]:
    """What went wrong with this package's kernels: not what the time did not suffice for, nor what is not there."""
    expected = (OUT_OF_TIME, INTERRUPTED, *(peer.absent() for form in FORMS.values() for peer in form.peers.values()))
    return [
        f"{name}: {label}: {reason}"
        for name, table in results.items()
        for label, reason in table["left_out"].items()
        if label.partition(" ")[0] in OWN and reason not in expected
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="small shapes, to rehearse")
    parser.add_argument("--budget", type=float, default=170, help="seconds, after which no case is begun")
    parser.add_argument("--resume", action="store_true", help="go on with the cases that an earlier run has not tried")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    deadline = time.monotonic() + given.budget
    serving = [backend.name for backend in list_backends() if given.device in backend.serves]
    origin = provenance(given.device, results_file.PACKAGES) | {
        "command": "bench/gpu.sh",  # which names a place of the machine's for the result
        "served_by": serving,
    }
    results = run(SMALL if given.small else TABLES, given.device, deadline, origin, given.out, given.resume)
    print(short_table(results))
    if failed := failures(results):
        raise SystemExit("\n".join(failed))


if __name__ == "__main__":
    main()
