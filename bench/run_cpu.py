"""Runs the CPU benchmark and writes bench/results/cpu.json and the README's table from it.

``python bench/run_cpu.py`` measures; ``--table`` only writes the table anew from the committed results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results" / "cpu.json"
README = ROOT / "README.md"
BEGIN, END = "<!-- table: bench/results/cpu.json -->", "<!-- end of table -->"
COMMAND = "make bench"


def measure() -> dict[str, Any]:
    """Runs pytest-benchmark and keeps, of each case, what a reader needs: median, quartiles, rounds; microseconds."""
    from gapo_numpy import build_info
    from gapo_trainer.provenance import provenance

    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        arguments = ["bench/test_op.py", "--benchmark-only", "--benchmark-enable", f"--benchmark-json={report}"]
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "--benchmark-warmup=on", *arguments],
            cwd=ROOT,
            check=True,
        )
        raw = json.loads(report.read_text())
    cases = []
    for entry in raw["benchmarks"]:
        stats = {key: round(entry["stats"][key] * 1e6, 3) for key in ("median", "q1", "q3")}
        cases.append({**entry["extra_info"], **stats, "rounds": entry["stats"]["rounds"]})
    facts = {**provenance("cpu"), "command": COMMAND, "cpu_capability": build_info()["cpu_capability"]}
    facts["versions"]["numpy"] = version("numpy")
    return {"provenance": facts, "unit": "microseconds", "cases": cases}


def median(results: dict[str, Any], table: str, name: str, shape: list[int], threads: int) -> float:
    """The median of one case, in microseconds."""
    key = (table, name, shape, threads)
    return next(c["median"] for c in results["cases"] if (c["table"], c["name"], c["shape"], c["threads"]) == key)


def time(microseconds: float) -> str:
    """Three digits and a unit."""
    return f"{microseconds:,.3g} µs" if microseconds < 1000 else f"{microseconds / 1000:,.3g} ms"


def table(results: dict[str, Any]) -> str:
    """The README's tables, in Markdown."""
    facts = results["provenance"]
    lines = ["| groups × size | this op | vectorised torch | `numpy.sort` alone | against torch | against the sort |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    ours_alone = ("advantage", "gapo", 1)
    for shape in [c["shape"] for c in results["cases"] if (c["table"], c["name"], c["threads"]) == ours_alone]:
        ours, torch_, sort = (median(results, "advantage", name, shape, 1) for name in ("gapo", "torch", "numpy.sort"))
        lines.append(
            f"| {shape[0]:,} × {shape[1]:,} | {time(ours)} | {time(torch_)} | {time(sort)}"
            f" | {torch_ / ours:.1f}× | {sort / ours:.2f}× |"
        )
    shape = next(c["shape"] for c in results["cases"] if c["table"] == "token_advantage")
    lines += ["", f"`token_advantage` for {shape[0]:,} groups × {shape[1]} rows × {shape[2]:,} tokens, int64 mask:", ""]
    lines += [
        "| threads | this op | torch operations | a copy of as many bytes, fresh memory | the same, warm memory |"
    ]
    lines.append("| --- | --- | --- | --- | --- |")
    for threads in (1, 2):
        names = ("gapo", "torch", "copy, fresh memory", "copy, warm memory")
        cells = [time(median(results, "token_advantage", name, shape, threads)) for name in names]
        lines.append(f"| {threads} | " + " | ".join(cells) + " |")
    lines += ["", f"Medians, float32, one thread in the first table. {describe(facts)}"]
    return "\n".join(lines)


def describe(facts: dict[str, Any]) -> str:
    """Where the figures come from, in one line."""
    return (
        f"Measured on {facts['device']} ({facts['cpu_capability']}), torch {facts['versions']['torch']}, numpy"
        f" {facts['versions']['numpy']}, {facts['date']}, commit {facts['commit'][:12]}, by `{facts['command']}`."
    )


def write_table(results: dict[str, Any]) -> None:
    """Replaces what stands between the README's two marks."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true", help="only write the README's table from the results")
    if not parser.parse_args().table:
        RESULTS.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    write_table(json.loads(RESULTS.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
