"""Mining speed and reward speed; writes bench/results/data.json.

``python -m bench.run_data REPOSITORY`` where REPOSITORY is a git clone with a long history, such as apache/thrift's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import ROOT, results_file
from bench.markdown import grid, source
from gapo_trainer.data.stdlib_tasks import stdlib_tasks
from gapo_trainer.data.task import SPLITS
from gapo_trainer.provenance import provenance, write_result

RESULTS = results_file.FOLDER / "data.json"


def mining(repository: Path) -> dict[str, Any]:
    """What became of one mining of a repository, its CPU time, its peak memory."""
    command = [sys.executable, "-m", "bench.mining_worker", str(repository.absolute())]
    return json.loads(subprocess.check_output(command, cwd=ROOT))


def rewards() -> dict[str, float]:
    """The median of each reward over 4,096 completions, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        arguments = ["-q", "-o", "addopts=", "bench/test_rewards.py", "--benchmark-only", f"--benchmark-json={report}"]
        subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        entries = json.loads(report.read_text())["benchmarks"]
    return {entry["params"]["name"]: round(entry["stats"]["median"] * 1e3, 1) for entry in entries}


def table(results: dict[str, Any]) -> str:
    """Of docs/data.md, in Markdown."""
    mined, milliseconds = results["mining"], results["reward_ms"]
    what = f"mining {mined['repository']}, {mined['commits']:,} commits: {mined['tasks_found']:,} tasks found"
    rows = [
        [
            f"{what}, {mined['tasks_kept']:,} kept",
            f"{mined['cpu_seconds']:.0f} s, {mined['tasks_kept_per_cpu_second']:,} tasks kept a second",
        ],
        ["peak resident memory of that, the mapped pack included", f"{mined['peak_rss_mib']} MiB"],
        *([f"`{name}` of 4,096 random completions of 200 characters, median", f"{ms:.3g} ms"]
          for name, ms in milliseconds.items()),
        *([f"tasks of `stdlib_tasks(\"{split}\")`", f"{number:,}"] for split, number in results["stdlib"].items()),
    ]  # fmt: skip
    facts = results["provenance"]
    how = "Mining: CPU time; rewards: wall time."
    where = f"{facts['device']}, Python {facts['python']}, {source(facts)}"
    return f"{grid(['what', 'result'], rows)}\n\n{how} {where}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=Path)
    repository = parser.parse_args().repository
    stdlib = {split: len(stdlib_tasks(split)) for split in SPLITS}
    write_result(RESULTS, provenance("cpu"), {"mining": mining(repository), "reward_ms": rewards(), "stdlib": stdlib})


if __name__ == "__main__":
    main()
