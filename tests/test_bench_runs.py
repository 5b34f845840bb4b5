"""The benchmarks run: on a CPU with small shapes, and the GPU's logic with a clock and a recorder of our own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import venv
from pathlib import Path

import bench_modules  # noqa: F401
import pytest
import torch
from op_samples import OPS

from bench import ROOT, figures, markdown, memory, results_file, run_gpu, sanitized_calls, trainer_vs_trl
from bench.device_time import LEAST_CALLS, LEAST_REPLAYS, MOST_BYTES, device_time, host_dispatch, record_calls, rotation
from bench.forms import FORMS, Peer
from bench.run_cpu import summarise
from bench.tables import SMALL, TABLES, Case, Table, cases


class Clock:
    """Time that passes only where the test lets it."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_turns_are_summed_up_by_case_in_microseconds():
    facts = {"table": "dense", "form": "advantage", "peer": "gapo", "shape": [2, 2], "dtype": "float32", "threads": 1}
    raw = [
        {"extra_info": {**facts, "turn": turn}, "stats": {"median": m, "q1": m, "q3": m, "rounds": 10}}
        for turn, m in enumerate((1e-6, 3e-6, 2e-6))
    ]
    (entry,) = summarise(raw)
    assert (entry["median"], entry["turns"], entry["rounds"]) == (2.0, [1.0, 3.0, 2.0], 30)
    assert "turn" not in entry
    assert len(summarise([*raw, {**raw[0], "extra_info": {**facts, "threads": 2, "turn": 0}}])) == 2


def test_a_table_is_measured_and_a_run_that_was_cut_off_goes_on(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)  # pytest-benchmark would believe that it shares the cores
    out = tmp_path / "cpu.json"
    options = ["--small", "--seconds=0.001", "--turns=2", f"--out={out}", "--only"]
    command = [sys.executable, "-m", "bench.run_cpu", *options]
    first = subprocess.run([*command, "ragged"], cwd=ROOT, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    (entry,) = [case for case in results_file.read(out)["ragged"]["cases"] if case["peer"] == "gapo"]
    assert entry["shape"] == [16, 8]
    assert len(entry["turns"]) == 2
    assert 0 < entry["median"] < 1e6
    if results_file.read(out)["ragged"]["provenance"]["commit"] is not None:
        again = subprocess.run([*command, "ragged"], cwd=ROOT, capture_output=True, text=True)
        assert (again.returncode, again.stdout) == (0, ""), "the table was measured again"


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="reads Linux's peak of a process")
def test_the_peak_of_a_call_is_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    elements = 8 << 20
    torch_needs = memory.measured_apart("advantage", "torch", (1 << 17, 64))
    assert 4 * elements < torch_needs < 40 * elements  # torch.sort alone makes values and int64 indices
    assert memory.measured_apart("advantage", "gapo", (1 << 17, 64)) < 4 * elements


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="reads Linux's peak of a process")
def test_a_trainer_is_timed_by_the_interpreter_of_another_environment(tmp_path, monkeypatch):
    """One that has torch and transformers, but neither this package nor, from where the test stands, bench."""
    venv.create(tmp_path / "other", symlinks=True)
    (packages,) = (tmp_path / "other").glob("lib/python*/site-packages")
    (packages / "installed.pth").write_text(str(Path(torch.__file__).parents[1]))  # whose own .pth files are not read
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    python = str(tmp_path / "other" / "bin" / "python")
    absent = "from importlib.util import find_spec; print(find_spec('bench'), find_spec('gapo_trainer'))"
    assert subprocess.check_output([python, "-c", absent], text=True) == "None None\n"
    found = trainer_vs_trl.measure(python, "generate", trainer_vs_trl.Case(8, 2, 2, steps=2))
    assert len(found["steps"]) == 2
    assert 0 < found["memory_above_start_mb"] < 1000


def test_inputs_rotate_past_the_cache_within_the_memory():
    assert rotation(traffic=1 << 20, cache=50 << 20) == 150
    assert rotation(traffic=64 << 20, cache=50 << 20) == LEAST_CALLS
    assert rotation(traffic=MOST_BYTES, cache=50 << 20) == 2
    assert rotation(traffic=0, cache=50 << 20, most=99) == 99


def test_device_time_divides_a_replay_by_its_calls():
    clock, made = Clock(), []

    def call():
        made.append(1)
        clock.now += 5e-6

    times = device_time([call] * 40, lambda calls, keep: record_calls(calls, keep, clock), replays=7)
    assert times.median == times.q1 == times.q3 == pytest.approx(5.0)
    assert (times.replays, times.calls) == (7, 40)
    assert len(made) == 3 + 40 * (1 + 7), "three calls warm up, one replay is thrown away"


def test_a_slow_replay_is_not_repeated_for_long():
    clock = Clock()

    def call():
        clock.now += 0.4

    times = device_time([call] * 2, lambda calls, keep: record_calls(calls, keep, clock), replays=25)
    assert times.median == pytest.approx(4e5)
    assert times.replays == LEAST_REPLAYS


class Result:
    """Counts how many of its kind are alive at a time."""

    alive, most = 0, 0

    def __init__(self):
        Result.alive += 1
        Result.most = max(Result.most, Result.alive)

    def __del__(self):
        Result.alive -= 1


@pytest.mark.parametrize(("keep", "most"), [(True, 8), (False, 2)])
def test_cold_results_are_kept_so_that_each_has_memory_of_its_own(keep, most):
    replay = record_calls([Result] * 8, keep)
    Result.most = Result.alive = 0
    replay()
    assert Result.most == most


def test_host_dispatch_leaves_the_device_out():
    clock = Clock()

    def call():
        clock.now += 2e-6

    def synchronise():
        clock.now += 1.0  # what the device takes

    assert host_dispatch([call] * 10, synchronise, clock=clock) == pytest.approx(2.0)


def test_a_wrong_result_is_not_timed(monkeypatch):
    wrong = Peer(lambda rewards: torch.ops.gapo.advantage(rewards) + 0.01)
    monkeypatch.setitem(FORMS["advantage"].peers, "gapo", wrong)
    case = Case("dense", "advantage", "gapo", (4, 8), "float32", 1)
    right = Peer(torch.ops.gapo.advantage)
    inputs = FORMS["advantage"].draw(case.shape, torch.float32, "cpu", torch.Generator().manual_seed(0))
    assert run_gpu.check(case, wrong, inputs) == 0.0  # against itself
    with pytest.raises(run_gpu.LeftOut, match="wrong: off by"):
        run_gpu.check(case, right, inputs)


def test_the_gpu_tables_are_written_up_to_the_deadline(tmp_path):
    origin = {"device": "a CPU", "commit": "0", "command": "none", "date": "today", "versions": {}}
    out = tmp_path / "gpu.json"
    results = run_gpu.run(SMALL, "cpu", time.monotonic() - 1, origin, out)
    assert all(not table["cases"] for table in results.values())
    assert set(results["dense"]["left_out"].values()) == {"the time budget was spent"}
    assert results_file.read(out) == results


def test_what_waits_or_is_compiled_does_not_take_the_time_of_the_others(tmp_path, monkeypatch):
    waiting = Case("ragged", "advantage_varlen", "torch", (16, 8), "float32", 1)
    assert run_gpu.measure(waiting, "cpu", 1 << 20)["calls"] == run_gpu.WAITING_CALLS
    begun = []
    monkeypatch.setattr(run_gpu, "measure", lambda case, *_: begun.append(case) or {"peer": case.peer})
    monkeypatch.setattr(run_gpu, "cases", lambda name, table, _: cases(name, table, "cuda"))
    run_gpu.run(TABLES, "cpu", time.monotonic() + 60, {}, tmp_path / "gpu.json")
    late = [case.peer in run_gpu.COMPILED for case in begun]
    assert {case.table for case in begun[: late.index(True)]} == set(run_gpu.ORDER)
    assert all(late[late.index(True) :])


def test_what_was_measured_before_an_interruption_is_kept(tmp_path, monkeypatch):
    def measure(case, *_):
        if case.peer == "torch":
            raise KeyboardInterrupt
        return {"peer": case.peer, "shape": list(case.shape), "median": 1.0}

    monkeypatch.setattr(run_gpu, "measure", measure)
    handlers = []
    monkeypatch.setattr(run_gpu.signal, "signal", lambda *handler: handlers.append(handler))
    results = run_gpu.run(SMALL, "cpu", time.monotonic() + 60, {}, tmp_path / "gpu.json")
    assert handlers == [(signal.SIGINT, signal.SIG_IGN)]
    assert [case["peer"] for case in results["dense"]["cases"]] == ["gapo"]
    assert set(results["dense"]["left_out"].values()) == {"interrupted", "the time budget was spent"}
    assert re.search(r"^16x8 +1\.00", run_gpu.short_table(results), re.MULTILINE)
    assert results_file.read(tmp_path / "gpu.json") == results


def test_what_fails_is_told_and_a_lost_device_ends_the_run(tmp_path, monkeypatch, capsys):
    def measure(case, *_):
        if case.peer == "gapo":
            raise RuntimeError("an illegal memory access was encountered\nand more")
        raise run_gpu.LeftOut("wrong: off by 0.1 of the greatest advantage")

    def lost():
        raise RuntimeError("CUDA error")

    monkeypatch.setattr(run_gpu, "measure", measure)
    out = tmp_path / "gpu.json"
    failed = run_gpu.failures(run_gpu.run(SMALL, "cpu", time.monotonic() + 60, {}, out))
    message = "dense: gapo 16x8 float32: RuntimeError: an illegal memory access was encountered"
    assert message in failed
    assert not any("torch" in line for line in failed)  # peers may fail
    begun = capsys.readouterr().out.splitlines()
    monkeypatch.setattr(run_gpu, "synchronise", lambda device: lost)
    monkeypatch.setattr(run_gpu, "copy_bandwidth", lambda *_: 1.0)
    results = run_gpu.run(SMALL, "cpu", time.monotonic() + 60, {}, out)
    assert capsys.readouterr().out.splitlines() == begun[:1] == ["dense: gapo 16x8 float32"]  # the log ends with it
    (other, *_) = set(results["tokens"]["left_out"].values())
    assert other == "the device is lost after gapo 16x8 float32: RuntimeError: CUDA error"
    monkeypatch.setattr(run_gpu, "run", lambda *_: results)
    monkeypatch.setattr(sys, "argv", ["run_gpu", "--device", "cpu", "--small"])
    with pytest.raises(SystemExit, match="dense: gapo 16x8 float32"):
        run_gpu.main()


def test_a_case_that_hangs_ends_the_process_and_the_next_goes_on_behind_it(tmp_path, monkeypatch, capsys):
    entry = {"median": 1.0, "host": 1.0}
    ended = threading.Event()

    def measure(case, *_):
        if (case.table, case.peer) == ("tokens", "gapo"):
            ended.wait(10)
            raise KeyboardInterrupt  # what comes after os._exit is nothing
        return {"peer": case.peer, "shape": list(case.shape), "dtype": case.dtype, **entry}

    monkeypatch.setattr(run_gpu, "measure", measure)
    monkeypatch.setattr(run_gpu, "MOST_SECONDS", 0.2)
    monkeypatch.setattr(run_gpu.signal, "signal", lambda *handler: None)
    left, out = [], tmp_path / "gpu.json"

    def end(status):
        left.append((status, results_file.read(out)))
        ended.set()

    monkeypatch.setattr(run_gpu.os, "_exit", end)
    run_gpu.run(SMALL, "cpu", time.monotonic() + 60, {}, out)
    ((status, results),) = left
    assert status == run_gpu.EXIT_HUNG
    assert (
        results["tokens"] | {"cases": [], "left_out": {"gapo 4x4x8 float32": "no end within 0.2 s"}}
        == results["tokens"]
    )
    before = results["dense"]["cases"]
    assert before
    results_file.write(out, results)
    capsys.readouterr()
    again = run_gpu.run(SMALL, "cpu", time.monotonic() + 60, {}, out, resume=True)
    begun = capsys.readouterr().out
    assert "dense:" not in begun
    assert "tokens: gapo 4" not in begun
    assert "tokens: torch 4x4x8 float32" in begun
    assert again["dense"]["cases"] == before
    assert run_gpu.failures(again) == ["tokens: gapo 4x4x8 float32: no end within 0.2 s"]


def test_what_is_measured_on_a_gpu_is_reported_and_drawn(tmp_path):
    origin = {"device": "a GPU", "driver": "1", "commit": "0", "command": "none", "date": "today", "versions": {}}
    few = {name: SMALL[name] if name in ("dense", "tokens") else Table("advantage", []) for name in SMALL}
    results = run_gpu.run(few, "cpu", time.monotonic() + 60, origin, tmp_path / "gpu.json")
    text = markdown.gpu(results)
    assert re.search(r"\| 16 × 8 \|.* [\d.]+ µs \| [\d.]+ µs \| \d+% \|", text)
    assert "a GPU, driver 1" in text
    assert {path.name for path in figures.save(results, "gpu", tmp_path)} == {"gpu_speed_up.svg", "gpu_speed_up.png"}


def test_only_what_runs_there_is_measured_on_a_gpu():
    on_gpu = {case.peer for name in TABLES for case in cases(name, TABLES[name], "cuda")}
    assert {"gapo", "triton", "torch", "torch.compile", "copy", "empty kernel"} <= on_gpu
    assert not {"numpy", "numpy.sort", "empty call"} & on_gpu
    on_cpu = {case.peer for name in TABLES for case in cases(name, TABLES[name])}
    assert not {"triton", "empty kernel"} & on_cpu


def test_the_sanitised_calls_cover_every_op():
    made = {op for op, _ in sanitized_calls.calls()}
    assert made == set(OPS)


def test_the_sanitised_calls_go_on_behind_a_wrong_one(monkeypatch, capsys):
    right, wrong = (torch.arange(6.0).view(2, 3),), (torch.arange(6).view(2, 3),)  # integers are refused
    monkeypatch.setattr(sanitized_calls, "calls", lambda: [("advantage", wrong), ("advantage", right)])
    monkeypatch.setattr(sys, "argv", ["sanitized_calls.py", "--device", "cpu"])
    with pytest.raises(SystemExit) as ended:
        sanitized_calls.main()
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "advantage [2, 3] torch.int64: RuntimeError: " in said
    assert said.endswith("1 of 2 calls agree with the CPU\n")


@pytest.mark.skipif(shutil.which("timeout") is None, reason="needs the command timeout")
def test_the_gpu_script_rehearses_on_a_cpu(tmp_path):
    command = ["bash", "bench/gpu.sh", "--dry-run", "--out", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHON": sys.executable}
    )
    assert "measure: passed" in done.stdout, done.stdout + done.stderr
    assert "16x8" in done.stdout, "no short table"
    measured = results_file.read(tmp_path / "gpu.json")
    assert results_file.find(measured["dense"], peer="gapo", shape=[16, 8])["error"] == 0.0
    assert (tmp_path / "logs.tar.gz").exists()


@pytest.mark.skipif(shutil.which("timeout") is None, reason="needs the command timeout")
def test_a_part_of_the_gpu_script_that_is_cut_off_says_what_it_found(tmp_path):
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/bash\n[[ $* == *pytest* ]] || exit 0\ntrap 'echo 1 failed; exit 1' INT\nwhile sleep 0.1; do :; done"
    )
    python.chmod(0o755)
    command = ["bash", "bench/gpu.sh", "--dry-run", "--budget", "66"]  # the tests leave 60 seconds to what follows
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHON": str(python)})
    assert re.search(r"^tests: cut off after \d+ s, \d+ s; 1 failed$", done.stdout, re.MULTILINE), done.stdout


def test_the_gpu_script_refuses_what_it_does_not_know():
    done = subprocess.run(["bash", "bench/gpu.sh", "--fast"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "unknown option --fast" in done.stderr
