"""Measures the op and its peers on this CPU and writes bench/results/cpu.json, table by table.

A run that was cut off goes on: a table that was measured at this commit is kept, unless ``--fresh`` is given. In an
environment with verl, verl's own functions are measured as well; elsewhere the file says why they are not.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Any

from bench import ROOT, memory, results_file
from bench.forms import FORMS
from bench.results_file import Entry
from bench.tables import SECONDS, TABLES
from gapo_numpy import build_info
from gapo_trainer.provenance import provenance

RESULTS = results_file.FOLDER / "cpu.json"


def run_pytest(name: str, options: list[str]) -> tuple[list[Entry], dict[str, str]]:
    """One table by pytest-benchmark: its raw entries, and by peer why one was left out."""
    with tempfile.TemporaryDirectory() as folder:
        report, log = Path(folder) / "report.json", Path(folder) / "log.xml"
        settings = ["-q", "-o", "addopts=", "-o", "timeout=0", "-p", "no:cacheprovider", "--benchmark-only"]
        outputs = ["--benchmark-disable-gc", f"--benchmark-json={report}", f"--junitxml={log}"]
        subprocess.run(
            [sys.executable, "-m", "pytest", "bench/test_op.py", f"--table={name}", *settings, *outputs, *options],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        skipped = {}
        for test in xml.parse(log).iter("testcase"):
            reason = test.find("skipped")
            if reason is not None:
                skipped[str(test.get("name"))] = str(reason.get("message"))
        return json.loads(report.read_text(encoding="utf-8"))["benchmarks"], skipped


def summarise(raw: list[Entry]) -> list[Entry]:
    """One entry a case, in microseconds: the median over the turns' medians and quartiles, and every turn's median."""
    turns: dict[str, list[Entry]] = {}
    for entry in raw:
        facts = {key: value for key, value in entry["extra_info"].items() if key not in ("turn", "table", "form")}
        turns.setdefault(json.dumps(facts), []).append(entry["stats"])
    return [
        {
            **json.loads(facts),
            **{key: round(statistics.median(one[key] for one in stats) * 1e6, 3) for key in ("median", "q1", "q3")},
            "turns": [round(one["median"] * 1e6, 3) for one in stats],
            "rounds": sum(one["rounds"] for one in stats),
        }
        for facts, stats in turns.items()
    ]


def measure_table(name: str, options: list[str]) -> dict[str, Any]:
    raw, skipped = run_pytest(name, options)
    measured = {entry["extra_info"]["peer"] for entry in raw}
    left_out = {
        peer: reason
        for peer in FORMS[TABLES[name].form].peers
        if peer not in measured
        for test, reason in skipped.items()
        if f"-{peer.replace(' ', '_')}-" in test
    }
    return {"unit": "microseconds", "left_out": left_out, "cases": summarise(raw)}


def measure_memory() -> dict[str, Any]:
    cases, left_out = [], {}
    for form, peer, shape in memory.CASES:
        if reason := FORMS[form].peers[peer].absent():
            left_out[peer] = reason
            continue
        beyond = memory.measured_apart(form, peer, shape)
        cases.append({"form": form, "peer": peer, "shape": list(shape), "beyond": beyond})
    return {"unit": "bytes beyond inputs and result, at the peak", "left_out": left_out, "cases": cases}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[*TABLES, "memory"], default=[*TABLES, "memory"])
    parser.add_argument("--fresh", action="store_true", help="measure every table anew")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="a case and turn")
    parser.add_argument("--small", action="store_true", help="small shapes, to rehearse; give --out as well")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    origin = {
        **provenance("cpu", results_file.PACKAGES),
        "cpu_capability": build_info()["cpu_capability"],
    }
    options = [f"--turns={given.turns}", f"--seconds={given.seconds}", *(["--small"] if given.small else [])]
    results = results_file.read(given.out)
    for name in given.only:
        kept = results.get(name, {}).get("provenance", {})
        if not given.fresh and origin["commit"] is not None and kept.get("commit") == origin["commit"]:
            continue
        before = os.getloadavg()[0]
        table = measure_memory() if name == "memory" else measure_table(name, options)
        load = {"load_before": round(before, 2), "load_after": round(os.getloadavg()[0], 2)}
        results[name] = {"provenance": {**origin, **load}, **table}
        results_file.write(given.out, {key: results[key] for key in [*TABLES, "memory"] if key in results})
        print(f"{name}: {len(table['cases'])} figures", flush=True)


if __name__ == "__main__":
    main()
