"""What training gave, as Markdown tables: a run before and after, and recipes against each other."""

from __future__ import annotations

from typing import Any

from bench.markdown import grid, in_threads, source, versions
from gapo_trainer.names import SCORE_NAMES, SPLIT_NAMES
from gapo_trainer.stats import Mean, mean_of_seeds, paired_test

RECIPES = {"gapo": "GAPO", "grpo": "GRPO", "dapo": "DAPO"}
SHOWN = "em"  # the score by which recipes are compared


def run(results: dict[str, Any]) -> str:
    """Greedy scores before and after the run of ``gapo-train run`` whose ``result.json`` this is."""
    rows = []
    for split, title in SPLIT_NAMES.items():
        found = [row for row in results["evals"] if row["split"] == split]
        for score, name in SCORE_NAMES.items():
            rows.append([f"{title}, {name}", *(str(Mean.from_row(row, score)) for row in (found[0], found[-1]))])
    tasks, steps = results["evals"][0]["tasks"], results["config"]["steps"]
    header = [f"greedy, {tasks} tasks each", "before", f"after {steps} steps"]
    seconds = results["seconds"]
    total = sum(seconds.values())
    share = seconds["advantage"] / total
    return (
        f"{grid(header, rows)}\n\nIn brackets 95% intervals over tasks. The steps took {total:.0f} s, the advantages"
        f" {share:.2%} of that. {_where(results)}"
    )


def comparison(results: dict[str, Any]) -> str:
    """Recipes of ``gapo-train compare``, whose ``result.json`` this is: exact match, and the first less each other."""
    scores = results["scores_by_seed"]
    first = next(iter(scores))
    rows = []
    for name, runs in scores.items():
        row = [RECIPES.get(name, name)]
        for split in SPLIT_NAMES:
            ours, theirs = ([one[f"{split}_{SHOWN}"] for one in which] for which in (scores[first], runs))
            row.append(str(mean_of_seeds(theirs)))
            if split == "test_ood" and name != first:
                test = paired_test(ours, theirs)
                row += [signed(test.difference), f"{test.p:.2f}"]
        rows.append(row + [""] * (5 - len(row)))
    header = ["", *(f"{title} {SCORE_NAMES[SHOWN]}" for title in SPLIT_NAMES.values())]
    header += [f"{RECIPES.get(first, first)} minus it, {SPLIT_NAMES['test_ood']}", "p"]
    seeds, config = len(scores[first]), results["config"]
    return (
        f"{grid(header, rows)}\n\n{seeds} seeds, {config['steps']} steps, groups of {config['group_size']}; greedy,"
        f" {config['eval_tasks']} tasks each. {_where(results)}"
    )


def signed(mean: Mean) -> str:
    return f"{mean.mean:+.3f} [{mean.low:+.3f}, {mean.high:+.3f}]".replace("-", "−")


def _where(results: dict[str, Any]) -> str:
    facts = results["provenance"]
    return f"{facts['device']}, {in_threads(facts['threads'])}, {versions(facts)}, {source(facts)}"
