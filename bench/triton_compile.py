"""Compiles the Triton kernels for GPUs that are not here, and reads what the compiler made of them."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, make_backend

from bench.sass import run_tool, triton_cuobjdump
from gapo_kernels.triton_kernels import launch, tiers
from gapo_kernels.triton_kernels.long_groups import long_groups
from gapo_kernels.triton_kernels.memory_sort import sort_groups
from gapo_kernels.triton_kernels.options import options as launch_options
from gapo_kernels.triton_kernels.shared_groups import shared_groups, steps_of
from gapo_kernels.triton_kernels.short_groups import short_groups
from gapo_kernels.triton_kernels.tokens import broadcast_rows, row_sums

TARGETS = {
    **{f"sm_{arch}": GPUTarget("cuda", arch, 32) for arch in (80, 89, 90, 100, 120)},
    **{name: GPUTarget("hip", name, 64) for name in ("gfx90a", "gfx942", "gfx950")},
}
CUOBJDUMP = str(triton_cuobjdump())
EXTRAS = ("valid", "rows", "stats")  # the arguments by which a launch's options change
# The pointers for whose alignment a kernel is compiled anew; those of fresh tensors have it.
ALIGNED = {"rewards", "advantage", "tokens", "sums", "values", "mask", "out"}


@dataclass(frozen=True)
class Variant:
    """One kernel as a call would compile it.

    Attributes:
        name: for people.
        kernel: the jitted function.
        types: each run-time argument's type; None for an argument that is not given.
        constants: the constexpr arguments.
        threads: of a block.
        capacity: the largest group, 0 where there is no limit.
    """

    name: str
    kernel: Any
    types: dict[str, str | None]
    constants: dict[str, Any]
    threads: int
    capacity: int = 0


@dataclass(frozen=True)
class Compiled:
    """What came of it.

    Attributes:
        seconds: of processor time that the compilation took, ptxas included: a busy machine does not change it.
        binary: the cubin or hsaco.
        registers: of a thread; None where the tools cannot tell.
        spilled: bytes of a thread's stack, which these kernels use for nothing else.
        instructions: of a thread of the whole kernel, by name, modifiers included.
    """

    seconds: float
    binary: bytes
    registers: int | None = None
    spilled: int | None = None
    instructions: dict[str, int] = field(default_factory=dict)


NUMBERS = {"count": "i64", "group_size": "i64", "above": "i64", "total": "i64", "tau": "fp64", "eps": "fp64"}
DENSE_FORMS = ("full", "dense", "full_valid", "dense_valid", "full_stats", "dense_stats")
FORMS = (*DENSE_FORMS, "varlen", "varlen_valid", "by_id", "by_id_stats", "by_id_valid_stats")
SHARED_TILE = {"SPANS": tiers.MOST_SPANS, "CHUNK": tiers.LONG_CHUNK}
LONG_TILE = dict(zip(("CHUNK", "RUNS", "LANES", "R"), tiers.LONG_TILE, strict=True))


def _precision(dtype: str) -> str:
    """Type of a tensor of the precision of rewards of a dtype."""
    return "*fp64" if dtype == "fp64" else "*fp32"


def _tensors(form: str, dtype: str) -> dict[str, str | None]:
    """Types of the tensor arguments that the kernels share."""
    ragged = "*i64" if form.startswith(("varlen", "by_id")) else None
    return {
        "rewards": f"*{dtype}",
        "valid": "*i1" if "valid" in form else None,
        "begins": ragged,
        "ends": ragged,
        "rows": "*i64" if form.startswith("by_id") else None,
        "advantage": f"*{dtype}",
        "stats": f"*{dtype}" if "stats" in form else None,
    }


def short_variant(
    tier: tiers.Tier, dtype: str = "fp32", center: str = "hdi_median", scale: str = "rms", form: str = "full"
) -> Variant:
    """One class of ``short_groups``; full: groups of exactly its capacity, dense: of any size in it."""
    return Variant(
        f"short_groups {tier.lanes}x{tier.rewards} {dtype} {center} {scale} {form}",
        short_groups,
        {**_tensors(form, dtype), **NUMBERS},
        {"center": center, "scale": scale, **tier.layout(form.startswith("full"))},
        tier.threads,
        tier.capacity,
    )


def long_variant(dtype: str = "fp32", center: str = "hdi_median", scale: str = "rms", form: str = "varlen") -> Variant:
    """``long_groups``, in a ragged form."""
    scratch = _precision(dtype)
    return Variant(
        f"long_groups {dtype} {center} {scale} {form}",
        long_groups,
        {**_tensors(form, dtype), **NUMBERS, "runs": scratch, "spare": scratch},
        {"center": center, "scale": scale, **LONG_TILE},
        tiers.LONG_RUNS.threads,
    )


def sort_variant(dtype: str = "fp32") -> Variant:
    """``sort_groups``."""
    types = dict.fromkeys(("rewards", "runs", "spare"), f"*{dtype}") | {"count": "i64", "group_size": "i64"}
    return Variant(f"sort_groups {dtype}", sort_groups, types, LONG_TILE, tiers.LONG_RUNS.threads)


def shared_variants(
    dtype: str = "fp32", center: str = "hdi_median", scale: str = "rms", form: str = "dense"
) -> Iterator[Variant]:
    """The steps of ``shared_groups``, of a dense form."""
    tensors = {name: kind for name, kind in _tensors(form, dtype).items() if name not in ("begins", "ends", "rows")}
    tensors |= {"ascending": f"*{dtype}", "counts": "*i64" if "valid" in form else None, "findings": "*fp64"}
    for step, *rule in steps_of(center, scale, "stats" in form):
        yield Variant(
            f"shared_groups {dtype} {' '.join(rule)} {form} {step}",
            shared_groups,
            {**tensors, **NUMBERS, "span": "i64"},
            {"center": rule[0], "scale": rule[1], "STEP": step, **SHARED_TILE},
            tiers.LONG_RUNS.threads,
        )


def token_variants(dtype: str = "fp32", mask: str = "i64", length: int = 1024) -> Iterator[Variant]:
    """The two passes of token_advantage."""
    numbers, values = {"stride": "i64", "count": "i64", "length": "i64"}, _precision(dtype)
    tile = dict(zip(("ROWS", "COLUMNS"), launch.token_tile(length), strict=True))
    sums = {"tokens": f"*{dtype}", "sums": values, **numbers}
    spread = {"values": values, "mask": f"*{mask}", "out": f"*{dtype}", **numbers}
    for kernel, types in ((row_sums, sums), (broadcast_rows, spread)):
        yield Variant(f"{kernel.fn.__name__} {dtype} {mask} {length}", kernel, types, tile, tiers.TOKEN_THREADS)


def compile_variant(variant: Variant, target: str = "sm_90", **options: Any) -> Compiled:
    """Compiles anew, whatever the cache holds; ``options`` are Triton's, besides those of a launch."""
    gpu = TARGETS[target]
    absent = {name: None for name, kind in variant.types.items() if kind is None}
    constants = {**variant.constants, **absent}
    order = variant.kernel.arg_names
    signature = {name: "constexpr" if name in constants else variant.types[name] for name in order}
    attributes = {
        # As a call of tensors below 2 GB finds: D, divisible by 16; S, small, which AMD's buffer accesses need.
        (order.index(name),): make_backend(gpu).parse_attr("DS" if name in ALIGNED else "S")
        for name, kind in variant.types.items()
        if name not in absent and kind.startswith("*")
    }
    given = launch_options(variant.threads, gpu, map(variant.types.get, EXTRAS))
    source = ASTSource(variant.kernel, signature, constexprs=constants, attrs=attributes)
    with tempfile.TemporaryDirectory() as cache, triton.knobs.cache.scope():
        triton.knobs.cache.dir = cache
        begin = sum(os.times()[:4])
        compiled = triton.compile(source, target=gpu, options={**given, **options})
        seconds = sum(os.times()[:4]) - begin
    if gpu.backend == "hip":
        return _read_amd(seconds, compiled.asm["hsaco"], compiled.asm["amdgcn"])
    return _read_cubin(seconds, compiled.asm["cubin"])


def _read_amd(seconds: float, binary: bytes, assembly: str) -> Compiled:
    facts = {key: int(value) for key, value in re.findall(r"\.(vgpr_count|vgpr_spill_count):\s+(\d+)", assembly)}
    return Compiled(seconds, binary, facts["vgpr_count"], 4 * facts["vgpr_spill_count"])


def _read_cubin(seconds: float, binary: bytes) -> Compiled:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(binary)
        usage, sass = (run_tool(CUOBJDUMP, option, str(path)) for option in ("-res-usage", "-sass"))
    registers, spilled = re.search(r"REG:(\d+) STACK:(\d+)", usage).groups()
    counts: dict[str, int] = {}
    for name in re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ +)?([A-Z][A-Z0-9_.]*)", sass, re.MULTILINE):
        counts[name] = counts.get(name, 0) + (name != "NOP")
    return Compiled(seconds, binary, int(registers), int(spilled), counts)
