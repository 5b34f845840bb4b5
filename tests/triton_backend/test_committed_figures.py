"""The committed figures are those of the table of tiers."""

import json

import bench_modules  # noqa: F401

from bench import run_triton_sass
from gapo_kernels.triton_kernels import tiers

RESULTS = json.loads(run_triton_sass.RESULTS.read_text(encoding="utf-8"))


def test_every_class_is_among_the_results():
    full = {(kernel["lanes"], kernel["rewards"]) for kernel in RESULTS["kernels"] if kernel["form"] == "full"}
    assert full == {(tier.lanes, tier.rewards) for tier in tiers.TIERS}
    assert all(kernel["spilled_bytes"] == 0 for kernel in RESULTS["kernels"])
