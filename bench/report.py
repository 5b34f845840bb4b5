"""Writes the tables of README.md and docs/benchmarks.md, and the figures, from the committed results.

``python -m bench.report``. A document marks where a table stands: ``<!-- table: NAME -->`` … ``<!-- end of table -->``.
A test fails where a document and the results differ.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from typing import Any

from bench import ROOT, markdown, results_file, steps

DOCUMENTS = [ROOT / "README.md", ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "adapters" / "verl.md"]
MARK = re.compile(r"(<!-- table: (?P<name>[\w.]+) -->\n).*?(<!-- end of table -->)", flags=re.DOTALL)
NOT_MEASURED = "Not measured yet."
STEPS = {"verl_step": steps.verl, "trl_step": steps.trl, "advantage_share": steps.own}


def tables() -> dict[str, Callable[[], str]]:
    """The Markdown of every table by its name in the documents."""
    cpu, gpu = (results_file.read(results_file.FOLDER / f"{name}.json") for name in ("cpu", "gpu"))
    plain = {
        name: json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        for name in STEPS
        for path in [results_file.FOLDER / f"{name}.json"]
    }

    def known(name: str, draw: Callable[[Any], str]) -> Callable[[], str]:
        return lambda: draw(plain[name]) if plain[name] else NOT_MEASURED

    return {
        "cpu.short": lambda: markdown.short(cpu),
        **{
            f"cpu.{name}": lambda name=name: markdown.by_threads(name, cpu[name])
            for name in ("dense", "ragged", "unordered", "tokens")
        },
        "cpu.dtypes": lambda: markdown.dtypes(cpu["dtypes"]),
        "cpu.by_size": lambda: markdown.sweep(cpu["by_size"]),
        "cpu.by_batch": lambda: markdown.sweep(cpu["by_batch"]),
        "cpu.memory": lambda: markdown.memory(cpu["memory"]),
        "cpu.noise": lambda: markdown.noise(cpu),
        "gpu": lambda: markdown.gpu(gpu),
        **{name: known(name, draw) for name, draw in STEPS.items()},
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


if __name__ == "__main__":
    main()
