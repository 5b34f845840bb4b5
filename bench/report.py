"""Writes the tables of README.md and of docs, and the figures, from the committed results.

``python -m bench.report``. A document marks where a table stands: ``<!-- table: NAME -->`` … ``<!-- end of table -->``.
A test fails where a document and the results differ.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

from bench import (
    ROOT,
    markdown,
    results_file,
    run_data,
    run_large_counts,
    run_ragged_counts,
    run_sass,
    run_triton_counts,
    run_triton_sass,
    steps,
    trainer_vs_trl,
    training,
)

MARK = re.compile(r"(<!-- table: (?P<name>[\w.]+) -->\n).*?(<!-- end of table -->)", flags=re.DOTALL)
DOCUMENTS = [
    path
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if MARK.search(path.read_text(encoding="utf-8"))
]
PLAIN: dict[str, Callable[[dict[str, Any]], str]] = {  # a result file that is one table
    "verl_step": steps.verl,
    "verl_step_xeon": steps.verl,
    "trl_step": steps.trl,
    "advantage_share": steps.own,
    "train": training.run,
    "compare": training.comparison,
    "compare_noise": training.comparison,
    "trainer_vs_trl": trainer_vs_trl.table,
    "data": run_data.table,
    "cuda_sass": run_sass.table,
    "cuda_large": run_large_counts.table,
    "cuda_ragged": run_ragged_counts.table,
    "triton_sass": run_triton_sass.table,
    "triton_counts": run_triton_counts.table,
}


def tables() -> dict[str, Callable[[], str]]:
    """The Markdown of every table by its name in the documents."""
    cpu, xeon, gpu = (results_file.read(results_file.FOLDER / f"{name}.json") for name in ("cpu", "cpu_xeon", "gpu"))

    def plain(name: str) -> str:
        found = results_file.read(results_file.FOLDER / f"{name}.json")
        return PLAIN[name](found) if found else markdown.NOT_MEASURED

    return {
        "cpu.short": lambda: markdown.short(cpu),
        **{
            f"cpu.{name}": lambda name=name: markdown.by_threads(name, cpu[name])
            for name in ("dense", "masked", "ragged", "unordered", "tokens")
        },
        "cpu.dtypes": lambda: markdown.dtypes(cpu["dtypes"]),
        "cpu.by_size": lambda: markdown.sweep(cpu["by_size"]),
        "cpu.by_batch": lambda: markdown.sweep(cpu["by_batch"]),
        "cpu.memory": lambda: markdown.memory(cpu["memory"]),
        "cpu.noise": lambda: markdown.noise(cpu),
        "xeon.short": lambda: markdown.short(xeon),
        "xeon.token_dtypes": lambda: markdown.dtypes(xeon["token_dtypes"]),
        "xeon.noise": lambda: markdown.noise(xeon),
        "gpu": lambda: markdown.gpu(gpu),
        **{name: lambda name=name: plain(name) for name in PLAIN},
    }


def rendered(text: str) -> str:
    """A document with every table written anew.

    Raises:
        KeyError: it marks a table that is not known.
    """
    known = tables()
    return MARK.sub(lambda found: f"{found[1]}{known[found['name']]().strip()}\n{found[3]}", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", action="store_true", help="no figures, which need matplotlib")
    given = parser.parse_args()
    for document in DOCUMENTS:
        document.write_text(rendered(document.read_text(encoding="utf-8")), encoding="utf-8")
    if not given.tables:
        from bench import figures

        for prefix in ("cpu", "gpu"):
            if found := results_file.read(results_file.FOLDER / f"{prefix}.json"):
                figures.save(found, prefix, results_file.FOLDER)
        figures.save_trainer_steps(results_file.read(trainer_vs_trl.RESULTS), results_file.FOLDER)


if __name__ == "__main__":
    main()
