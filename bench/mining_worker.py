"""Mines one repository in this process and prints what that took as JSON; `run_data.py` starts it.

A process of its own, without torch: its memory is that of ``gapo-data mine``. The peak is this process's, not that of
the one that started it, which Linux hands on in ``ru_maxrss``.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from pathlib import Path

from bench.process_memory import resident
from gapo_trainer.data.mining.miner import Options, mine


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (summary,) = mine([Path(sys.argv[1])], Path(folder) / "tasks.jsonl", Options(), lambda name, tasks: None)
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds, kept = used.ru_utime + used.ru_stime, sum(summary.split.values())
    found = {
        "repository": summary.name,
        "commits": summary.counts["commits"],
        "tasks_found": summary.counts["tasks"],
        "tasks_kept": kept,
        "cpu_seconds": round(seconds, 1),
        "tasks_kept_per_cpu_second": round(kept / seconds),
        "peak_rss_mib": resident("VmHWM") >> 20,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
