"""Every kernel and class compiles for GPUs that are not here: without spills, and in reasonable time.

``make test`` compiles for sm_90: every class as a dense call of the default rule meets it, and each option once where
it costs most, in the largest class of a layout; what it does is the interpreter's to test.
``make check-archs`` compiles every class in every form, and every rule, for the GPUs of data centres, and what
``make test`` compiles for others (GAPO_TRITON_TARGETS, GAPO_TRITON_EVERY_CLASS).
"""

from __future__ import annotations

import importlib
import os
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("triton")
import bench_modules  # noqa: F401

from bench import triton_compile
from bench.triton_compile import (
    Compiled,
    Variant,
    compile_variant,
    long_variant,
    shared_variants,
    short_variant,
    sort_variant,
    token_variants,
)
from gapo_kernels.reference import CENTERS, SCALES
from gapo_kernels.triton_kernels import tiers
from gapo_kernels.triton_kernels.long_groups import long_groups
from gapo_kernels.triton_kernels.memory_sort import sort_groups

EVERY_CLASS = bool(os.environ.get("GAPO_TRITON_EVERY_CLASS"))
TARGETS = os.environ.get("GAPO_TRITON_TARGETS", "").split() or ["sm_90"]
BUDGET = 20  # seconds of processor time for one kernel
THREAD, LANES = tiers.tier_of(32), tiers.tier_of(1024)


def variants() -> list[Variant]:
    every_class = [short_variant(tier) for tier in tiers.TIERS]
    if not EVERY_CLASS:
        return [
            *every_class,
            *(short_variant(THREAD, form=form) for form in ("dense", "dense_valid", "varlen", "by_id_stats")),
            *(short_variant(LANES, form=form) for form in ("full_valid", "by_id_valid_stats")),
            short_variant(tiers.tier_of(4), form="full_valid"),
            short_variant(LANES, "fp32", "loo_mean", "mad", "by_id_valid_stats"),
            short_variant(THREAD, "fp64", "hdi_mean", "mad"),
            short_variant(tiers.tier_of(512), "fp64", "loo_mean", "mad", "by_id_valid_stats"),
            short_variant(tiers.tier_of(256), "bf16", "median", "mad"),
            long_variant(),
            long_variant("fp64", "hdi_mean", "mad", "by_id_stats"),
            sort_variant(),
            *shared_variants(),
            *shared_variants("fp64", "hdi_mean", "mad", "dense_valid_stats"),
            *token_variants(),
            *token_variants("fp16", "i1", 64),
        ]
    rules = [(center, scale) for center in CENTERS for scale in SCALES]
    return [
        *every_class,
        *(short_variant(tier, form=form) for tier in tiers.TIERS for form in triton_compile.FORMS[1:]),
        *(short_variant(tier, center=c, scale=s) for tier in (THREAD, tiers.tier_of(128)) for c, s in rules),
        *(short_variant(LANES, center=c, scale=s, form="by_id_valid_stats") for c, s in rules),
        *(short_variant(tiers.tier_of(512), "fp64", c, s, "by_id_valid_stats") for c, s in rules),
        *(short_variant(tier, dtype) for tier in tiers.TIERS[:-1] for dtype in ("fp16", "bf16", "fp64")),
        *(long_variant(center=c, scale=s, form=form) for c, s in rules for form in ("varlen", "by_id_stats")),
        *(v for c, s in rules for form in ("dense", "dense_valid_stats") for v in shared_variants("fp32", c, s, form)),
        *(long_variant(dtype) for dtype in ("fp16", "bf16", "fp64")),
        *(sort_variant(dtype) for dtype in ("fp32", "fp16", "bf16", "fp64")),
        *(v for dtype in ("fp16", "bf16", "fp64") for v in shared_variants(dtype)),
        *(
            v
            for dtype in ("fp32", "fp16", "fp64")
            for mask in ("i1", "i64", "fp32")
            for v in token_variants(dtype, mask)
        ),
    ]


VARIANTS = {variant.name: variant for variant in variants()}


def compile_by_name(name: str, target: str) -> Compiled:
    return compile_variant(VARIANTS[name], target)


class Compilations(dict):
    """By (name of a variant, target): what is being compiled, begun when it is first asked for."""

    def __init__(self, pool):
        self.pool = pool

    def __missing__(self, key):
        self[key] = self.pool.submit(compile_by_name, *key)
        return self[key]


@pytest.fixture(scope="module")
def compiled(request):
    """All that was selected, two at a time: the first test waits for what it needs, and the rest goes on meanwhile."""
    with ProcessPoolExecutor(2) as pool:
        found = Compilations(pool)
        for item in request.session.items:
            if item.originalname == "test_compiles":
                found[item.callspec.params["name"], item.callspec.params["target"]]  # begins
        yield found


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.timeout(3600)
def test_compiles(compiled, name, target):
    result = compiled[name, target].result()
    assert result.binary[:4] == b"\x7fELF"
    assert result.seconds < BUDGET
    assert result.registers > 0
    if VARIANTS[name].kernel not in (long_groups, sort_groups):  # float64, sorted in memory, lies partly on the stack
        assert result.spilled == 0


def test_full_groups_are_read_and_written_16_bytes_at_a_time(compiled):
    target = next((target for target in TARGETS if target.startswith("sm_")), None)
    if target is None:
        pytest.skip("no NVIDIA target, whose instructions can be read")
    for tier in tiers.TIERS[1:]:
        found = compiled[short_variant(tier).name, target].result().instructions
        accesses = {name for name in found if name.startswith(("LDG", "STG"))}
        assert len(accesses) >= 2
        assert all("128" in name for name in accesses)


def test_every_class_and_every_kernel_is_among_them():
    assert {v.capacity for v in VARIANTS.values() if v.capacity} == {tier.capacity for tier in tiers.TIERS}
    sources = Path(importlib.import_module("gapo_kernels.triton_kernels.ops").__file__).parent.glob("*.py")
    kernels = {name for path in sources for name in re.findall(r"@triton\.jit\([^@]*\)\ndef (\w+)\(", path.read_text())}
    assert kernels == {variant.kernel.__name__ for variant in VARIANTS.values()}


def test_a_kernel_that_spills_is_seen():
    assert compile_variant(short_variant(tiers.tier_of(8), form="dense"), maxnreg=24).spilled > 0
