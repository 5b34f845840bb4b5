"""The op against the float64 reference, on whatever hypothesis comes up with.

``make test`` runs two thousand examples; ``make fuzz`` sets GAPO_FUZZ_EXAMPLES to 200,000 and prints how many ran.
"""

from __future__ import annotations

import os

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from op_samples import CENTERS, DTYPES, SCALES, group_of_row, offsets_of
from tolerances import assert_close, by_definition

from gapo_kernels.rule import Rule

EXAMPLES = int(os.environ.get("GAPO_FUZZ_EXAMPLES", "2000"))
RUN = {"examples": 0}

# Sizes at which the kernels change their method: SIMD lanes, blocks of the network, the largest column, the largest
# group that is sorted.
EDGES = [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1000, 1024]
EDGES += [2047, 2048, 4095, 4096]
LARGE = [2049, 3000, 4097, 5000] * 3 + [8193, 16_385, 32_769]  # the largest take long
SIZES = st.one_of(st.integers(1, 40), st.sampled_from(EDGES), st.integers(1, 300), st.sampled_from(LARGE))


def uniform(rng, n):
    return rng.random(n)


def signed(rng, n):
    return rng.standard_normal(n)


def skewed(rng, n):
    return rng.exponential(size=n)


def binary(rng, n):
    return rng.integers(0, 2, n).astype(float)


def tenths(rng, n):
    """Ties of windows that differ only where widths are rounded to float32."""
    return rng.integers(0, 11, n) / 10


def edit(rng, n):
    """Exact match plus edit distance, as code edits are scored."""
    distance = rng.beta(5, 2, n)
    return np.where(rng.random(n) < 0.2, 1.0, distance / 2)


def heavy_tailed(rng, n):
    return rng.standard_cauchy(n) * 10.0 ** rng.integers(-3, 4)


def huge(rng, n):
    return rng.standard_normal(n) * 1e30


def subnormal(rng, n):
    return rng.integers(-9, 10, n) * 1e-42


def signed_zeros(rng, n):
    return np.where(rng.random(n) < 0.5, 0.0, -0.0) * rng.integers(0, 2, n)


def evenly_spaced(rng, n):
    return rng.permutation(n) * 0.1


def constant(rng, n):
    return np.full(n, rng.choice([0.1, 0.0, -3.3, 1e9]))


def with_infinities(rng, n):
    values = rng.standard_normal(n)
    values[rng.random(n) < rng.choice([0.02, 0.4])] = rng.choice([np.inf, -np.inf])
    return np.where(rng.random(n) < 0.02, -np.inf, values)


def with_nans(rng, n):
    return np.where(rng.random(n) < 0.3 / n, np.nan, rng.standard_normal(n))


KINDS = [
    uniform, signed, skewed, binary, tenths, edit, heavy_tailed, huge, subnormal, signed_zeros, evenly_spaced, constant,
    with_infinities, with_nans,
]  # fmt: skip


@st.composite
def calls(draw):
    """One call: rewards, which of them are valid, the groups' sizes, the rule, the form, and what draws the rest."""
    first = draw(SIZES)
    budget = max(1, min(40, 4000 // first))
    sizes = [first] * draw(st.integers(1, budget)) if draw(st.booleans()) else [first]
    if draw(st.booleans()):
        sizes += draw(st.lists(st.integers(0, 70), max_size=12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3))
    groups = [kinds[i % len(kinds)](rng, n) if n else np.empty(0) for i, n in enumerate(sizes)]
    dtype = draw(st.sampled_from(DTYPES))
    rewards = torch.from_numpy(np.concatenate(groups)).to(dtype)
    valid = torch.from_numpy(rng.random(len(rewards)) < 0.8) if draw(st.integers(0, 3)) == 0 else None
    tau = draw(st.one_of(st.sampled_from([0.5, 0.5, 0.25, 0.55, 0.8, 1.0, 1e-6]), st.floats(0.01, 1.0)))
    center = draw(st.sampled_from(["hdi_median", *CENTERS]))
    scale = draw(st.sampled_from(["rms", *SCALES]))
    eps = draw(st.sampled_from([1e-6, 1e-6, 1e-3, 0.0]))
    form = draw(st.sampled_from(["dense", "varlen", "by_id", "stats", "stats_by_id"]))
    return rewards, valid, sizes, Rule(tau, center, scale, eps), form, rng


@given(calls())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize="GAPO_FUZZ_EXAMPLES" not in os.environ,
)
def test_the_op_agrees_with_the_reference(call):
    compare(call)


def compare(call, ops=torch.ops.gapo) -> None:
    """Runs one call through ``ops`` and through the reference."""
    rewards, valid, sizes, rule, form, rng = call
    RUN["examples"] += 1
    if form == "dense" and len(set(sizes)) > 1:
        form = "varlen"
    if form == "stats" and len(set(sizes)) > 1:
        sizes = [len(rewards)]
    ids = group_of_row(sizes)
    if "by_id" in form:
        order = torch.from_numpy(rng.permutation(len(rewards)))
        scattered = torch.from_numpy(rng.integers(-(2**62), 2**62, len(sizes)))
        ids, rewards, valid = ids[order], rewards[order], None if valid is None else valid[order]
        given_ids = scattered[ids] if rng.random() < 0.5 else ids
    expected, stats = by_definition(rewards, ids, valid, **rule._asdict())

    shape = (len(sizes), sizes[0])  # of the dense forms
    if form == "dense":
        mask = None if valid is None else valid.view(shape)
        result = ops.advantage(rewards.view(shape), *rule, mask).flatten()
    elif form == "varlen":
        offsets = offsets_of(*sizes, dtype=torch.int32 if rng.random() < 0.5 else torch.int64)
        result = ops.advantage_varlen(rewards, offsets, max(sizes), *rule, valid)
    elif form == "by_id":
        result = ops.advantage_by_id(rewards, given_ids, *rule, valid)
    elif form == "stats_by_id":
        result, found = ops.advantage_stats(rewards, given_ids, *rule, valid)
        assert_close(found, stats, rewards.dtype, "stats")
    else:
        mask = None if valid is None else valid.view(shape)
        result, found = ops.advantage_stats(rewards.view(shape), None, *rule, mask)
        result = result.flatten()
        assert_close(found, stats[:: sizes[0]], rewards.dtype, "stats")
    assert_close(result, expected, rewards.dtype, "advantage")


@pytest.fixture(scope="module", autouse=True)
def report_examples():
    yield
    print(f"\ncompared with the reference: {RUN['examples']} examples")
