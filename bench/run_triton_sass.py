"""Compiles the Triton kernels for sm_90, counts their instructions and writes bench/results/triton_sass.json.

``python -m bench.run_triton_sass``; no GPU is needed.
"""

from __future__ import annotations

from typing import Any

from bench import results_file
from bench.markdown import grid, source
from gapo_trainer.provenance import provenance, write_result

RESULTS = results_file.FOLDER / "triton_sass.json"
TARGET = "sm_90"


def measure() -> list[dict[str, Any]]:
    """Every class, dense and full, by the default rule, in float32, and the largest of each layout in other forms."""
    from bench.triton_compile import compile_variant, short_variant
    from gapo_kernels.triton_kernels import tiers

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
    return kernels


def table(results: dict[str, Any]) -> str:
    """Of docs/triton.md, in Markdown."""
    rows = [
        [f"{k['group_size']:,}", f"{k['lanes']} × {k['rewards']}", k["form"]]
        + [str(k[fact]) for fact in ("registers", "spilled_bytes", "per_reward")]
        for k in results["kernels"]
    ]
    header = ["group size", "lanes × rewards", "call", "registers", "spilled", "instructions a reward"]
    slowest = max(k["compile_seconds"] for k in results["kernels"])
    return (
        f"{grid(header, rows)}\n\nCompiled for {results['target']}, float32, (`hdi_median`, `rms`); the slowest took"
        f" {slowest} s of processor time. Triton {results['provenance']['versions']['triton']},"
        f" {source(results['provenance'])}"
    )


def main() -> None:
    facts = provenance("cpu", ("torch", "triton"))
    write_result(RESULTS, facts, {"target": TARGET, "kernels": measure()})


if __name__ == "__main__":
    main()
