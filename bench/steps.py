"""What the advantages cost in a trainer's step, as Markdown tables: verl's, TRL's and this package's own."""

from __future__ import annotations

from typing import Any

from bench.markdown import grid, in_threads, origin, time

ESTIMATORS = {"grpo": "verl's `grpo`", "grpo_vectorized": "verl's `grpo_vectorized`", "gapo": "this package's `gapo`"}


def milliseconds(value: float) -> str:
    return time(value * 1e3)


def verl(results: dict[str, Any]) -> str:
    """The whole of verl's ``compute_advantage`` on one batch: row sums, statistic, broadcast, verl's handling."""
    threads = sorted({case["threads"] for case in results["cases"]})
    rows = []
    for name, title in ESTIMATORS.items():
        found = {case["threads"]: case for case in results["cases"] if case["estimator"] == name}
        quartiles = [tuple(map(milliseconds, found[n][clock])) for n in threads for clock in ("wall_ms", "cpu_ms")]
        rows.append([title, *(f"{median} ({q1} – {q3})" for q1, median, q3 in quartiles)])
    header = ["estimator", *(f"{in_threads(number)}, {clock}" for number in threads for clock in ("wall", "CPU"))]
    load = f"Load average before: {results['load_before']:.1f}; where it exceeds the cores, wall times are too long"
    shape = f"{results['prompts']} prompts × {results['group_size']} completions × {results['tokens']:,} tokens"
    return f"{shape}, quartiles in brackets:\n\n{grid(header, rows)}\n\n{load}. {origin(results['provenance'])}"


def trl(results: dict[str, Any]) -> str:
    """TRL's inline advantages against the op and against all that the adapter adds; then their share of a step."""
    batches = [
        [
            f"{one['groups']:,} × {one['group_size']:,}",
            str(one["functions"]),
            *(milliseconds(one[part]) for part in ("trl_ms", "op_ms", "replacement_ms")),
        ]
        for one in results["batches"]
    ]
    steps = [
        [
            f"{one['group_size']} × ({one['prompt_tokens']} + {one['new_tokens']})",
            *(milliseconds(one[part]) for part in ("replacement_ms", "step_ms")),
            f"{one['share']:.2%}",
        ]
        for one in results["steps"]
    ]
    return "\n\n".join(
        [
            grid(
                ["groups × size", "reward functions", "TRL's torch calls", "this op", "all the adapter adds"], batches
            ),
            "In a real step of a small model:",
            grid(["completions × (prompt + new tokens)", "the adapter", "the step", "share"], steps),
            f"CPU time. {origin(results['provenance'])}",
        ]
    )


def own(results: dict[str, Any]) -> str:
    """A step of this package's trainer: what the advantage is of it."""
    rows = [
        [
            f"{one['prompts']} × {one['group_size']:,}",
            *(time(one[part] * 1e6) for part in ("rollout_s", "advantage_s", "update_s")),
            f"{one['share']:.3%}",
        ]
        for one in results["sizes"]
    ]
    table = grid(["prompts × completions", "rollout", "advantage", "update", "the advantage's share"], rows)
    return f"{table}\n\n{origin(results['provenance'])}"
