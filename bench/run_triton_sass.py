"""Compiles the Triton kernels for sm_90, counts their instructions and writes bench/results/triton_sass.json.

``python -m bench.run_triton_sass``; no GPU is needed. ``--table`` only writes the table of docs/triton.md anew.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from typing import Any

from bench import ROOT, results_file
from bench.markdown import short_commit

RESULTS = results_file.FOLDER / "triton_sass.json"
DOCUMENT = ROOT / "docs" / "triton.md"
BEGIN, END = "<!-- table: bench/results/triton_sass.json -->", "<!-- end of table -->"
TARGET = "sm_90"
COMMAND = "python -m bench.run_triton_sass"


def measure() -> dict[str, Any]:
    """Every class, dense and full, by the default rule, in float32, and the largest of each layout in other forms."""
    from bench.triton_compile import compile_variant, short_variant
    from gapo_kernels.triton_kernels import tiers
    from gapo_trainer.provenance import provenance

    facts = {**provenance("cpu"), "command": COMMAND}
    facts["versions"]["triton"] = version("triton")
    chosen = [(tier, "full") for tier in tiers.TIERS]
    chosen += [(tiers.tier_of(32), form) for form in ("dense", "dense_valid", "varlen", "by_id")]
    kernels = []
    for tier, form in chosen:
        compiled = compile_variant(short_variant(tier, form=form), TARGET)
        total = sum(compiled.instructions.values())
        kernels.append(
            {
                "group_size": tier.capacity,
                "lanes": tier.lanes,
                "rewards": tier.rewards,
                "form": form,
                "registers": compiled.registers,
                "spilled_bytes": compiled.spilled,
                "instructions": total,
                "per_reward": round(total / tier.rewards, 1),
                "compile_seconds": round(compiled.seconds, 1),
            }
        )
    return {"provenance": facts, "target": TARGET, "kernels": kernels}


def table(results: dict[str, Any]) -> str:
    """In Markdown, with where it comes from."""
    lines = ["| group size | lanes × rewards | call | registers | spilled | instructions a reward |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for k in results["kernels"]:
        lines.append(
            f"| {k['group_size']:,} | {k['lanes']} × {k['rewards']} | {k['form']} | {k['registers']}"
            f" | {k['spilled_bytes']} | {k['per_reward']} |"
        )
    facts = results["provenance"]
    slowest = max(k["compile_seconds"] for k in results["kernels"])
    lines += [
        "",
        f"Compiled for {results['target']} by Triton {facts['versions']['triton']}, float32, (`hdi_median`, `rms`); the"
        f" slowest took {slowest} s of processor time. {facts['date']}, commit {short_commit(facts['commit'])}, by"
        f" `{facts['command']}`.",
    ]
    return "\n".join(lines)


def write_table(results: dict[str, Any]) -> None:
    """Replaces what stands between the document's two marks."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true", help="only write the table of docs/triton.md from the results")
    if not parser.parse_args().table:
        RESULTS.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    write_table(json.loads(RESULTS.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
