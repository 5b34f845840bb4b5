"""Result files: tables of cases, each with its provenance; written case by case a line, and read by the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench import ROOT
from gapo_trainer.atomic import write_whole

FOLDER = ROOT / "bench" / "results"
PACKAGES = ("gapo-kernels", "torch", "numpy", "triton", "verl")

Entry = dict[str, Any]
Results = dict[str, dict[str, Any]]


def read(path: Path) -> Results:
    """The tables of a result file by name; none where there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write(path: Path, tables: Results) -> None:
    """As JSON with a fact or a case on each line, so that differences stay readable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pieces = []
    for name, table in tables.items():
        facts = "".join(f" {json.dumps(key)}: {json.dumps(table[key])},\n" for key in table if key != "cases")
        cases = ",\n".join(f"  {json.dumps(case)}" for case in table["cases"])
        pieces.append(f'"{name}": {{\n{facts} "cases": [\n{cases}\n ]\n}}')
    write_whole(str(path), path, "{\n" + ",\n".join(pieces) + "\n}\n")  # an interruption leaves the one before


def find(table: dict[str, Any], **wanted: Any) -> Entry | None:
    """The case with those facts; None where it was not measured."""
    return next((case for case in table["cases"] if all(case[key] == value for key, value in wanted.items())), None)
