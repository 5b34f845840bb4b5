"""Mining speed and reward speed; writes bench/results/data.json.

``python -m bench.run_data REPOSITORY`` where REPOSITORY is a git clone with a long history, such as apache/thrift's.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import ROOT, results_file
from gapo_trainer.provenance import provenance

RESULTS = results_file.FOLDER / "data.json"


def mining(repository: Path) -> dict[str, Any]:
    """One run of ``gapo-data mine`` as a process: what it kept, its CPU time in seconds, its peak memory in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "tasks.jsonl"
        command = [sys.executable, "-m", "gapo_trainer.data", "mine", str(repository), "--out", str(out), "--quiet"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with out.open(encoding="utf-8") as lines:
            kept = sum(1 for _ in lines)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime
    return {
        "repository": repository.name,
        "tasks_kept": kept,
        "cpu_seconds": round(seconds, 1),
        "tasks_kept_per_cpu_second": round(kept / seconds),
        "peak_rss_mib": round(used.ru_maxrss / 1024),
    }


def rewards() -> dict[str, float]:
    """The median of each reward over 4,096 completions, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        arguments = ["-q", "-o", "addopts=", "bench/test_rewards.py", "--benchmark-only", f"--benchmark-json={report}"]
        subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        entries = json.loads(report.read_text())["benchmarks"]
    return {entry["params"]["name"]: round(entry["stats"]["median"] * 1e3, 1) for entry in entries}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=Path)
    facts = {**provenance("cpu"), "command": "python -m bench.run_data REPOSITORY"}
    result = {"provenance": facts, "mining": mining(parser.parse_args().repository), "reward_ms": rewards()}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
