"""The Triton kernels compiled for sm_90, their PTX interpreted: every tier, every op, against the float64 reference.

test_triton_on_the_cpu.py runs these in a process; ptx_driver.py says how. GAPO_EVERY_RULE=1 takes every centre with
every scale through three tiers, which compiles for minutes.
"""

from __future__ import annotations

import os

import ptx_driver  # before anything is launched
import pytest
import torch
from op_samples import CENTERS, SCALES, group_of_row, ids_of, offsets_of, rewards_of
from same_bits import assert_same_bits
from tolerances import assert_close, by_definition

from gapo_kernels.triton_kernels import ops
from gapo_kernels.triton_kernels.options import target_of


def test_the_target_is_what_the_driver_says():
    """Calls on tensors of the CPU, as all of these are, do not ask it."""
    assert target_of(torch.device("cuda", 0)) == ptx_driver.Driver().get_current_target()


RULE = (0.5, "hdi_median", "rms", 1e-6)


# one thread a group, exactly full or not; several lanes; more than one of each lane's registers; beyond the tiers: one
# block and two blocks a group
@pytest.mark.parametrize("size", [16, 13, 40, 200, 1000, 2500, 5000])
def test_dense(size):
    rewards = rewards_of(11 if size < 2000 else 2, size, seed=size)
    expected, _ = by_definition(rewards)
    assert_close(ops.advantage(rewards, *RULE, None), expected, rewards.dtype, "advantage")


# the quickest to compile: each centre and each scale once
RULES = [(4, center, SCALES[i % 3]) for i, center in enumerate(CENTERS)] + [
    (4, "hdi_median", "mad"),
    (50, "mean", "mad"),
]
if os.environ.get("GAPO_EVERY_RULE"):
    RULES = [(size, center, scale) for size in (4, 50, 2500) for center in CENTERS for scale in SCALES]


@pytest.mark.parametrize(("size", "center", "scale"), RULES)
def test_rules(size, center, scale):
    rewards = rewards_of(7, size, seed=2)
    expected, stats = by_definition(rewards, tau=0.7, center=center, scale=scale, eps=1e-3)
    result, found = ops.advantage_stats(rewards, None, 0.7, center, scale, 1e-3, None)
    assert_close(result, expected, rewards.dtype, "advantage")
    assert_close(found, stats, rewards.dtype, "statistics")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_other_dtypes_and_rewards_left_out(dtype):
    rewards, valid = rewards_of(9, 50, dtype=dtype), rewards_of(9, 50, seed=1) > 0.05
    expected, _ = by_definition(rewards, valid=valid)
    assert_close(ops.advantage(rewards, *RULE, valid), expected, dtype, "advantage")


def test_where_the_rewards_lie_decides_nothing():
    """Rewards that do not begin at a multiple of 16 bytes have a kernel of their own, and the same bits."""
    memory = torch.randn(301, generator=torch.Generator().manual_seed(0))
    shifted = memory[1:].view(3, 100)
    found = ops.advantage_stats(shifted, None, *RULE, None)
    assert_same_bits(found, ops.advantage_stats(shifted.clone(), None, *RULE, None))


def test_ragged():
    sizes = (5, 40, 0, 300, 1, 700, 16, 2500)
    rewards = rewards_of(sum(sizes))
    expected, _ = by_definition(rewards, group_of_row(sizes))
    result = ops.advantage_varlen(rewards, offsets_of(*sizes), max(sizes), *RULE, None)
    assert_close(result, expected, rewards.dtype, "advantage")


def test_token_level():
    rows = 15  # one less than a block reads: nothing behind them is looked at
    tokens, mask, ids = rewards_of(rows, 33), rewards_of(rows, 33, seed=1) > 0.1, ids_of(rows, 4)
    expected = torch.ops.gapo.token_advantage(tokens, mask, ids)
    result = ops.token_advantage(tokens, mask, ids, *RULE, None)
    torch.testing.assert_close(result, expected, rtol=2e-6, atol=2e-6)
