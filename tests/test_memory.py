"""Calls do not leak: not a result, not a string, not on the way out of an error."""

import os
import subprocess
import sys

import pytest

CALLS = {
    "advantage": "gapo_kernels.advantage(rewards)",
    "options": "gapo_kernels.advantage(rewards, tau=0.7, center='quantile', scale='mad', valid=keep)",
    "non_contiguous_half": "gapo_kernels.advantage(half)",
    "advantage_varlen": "gapo_kernels.advantage_varlen(flat, offsets, 4)",
    "advantage_by_id": "gapo_kernels.advantage_by_id(flat, ids, valid=keep.view(-1))",
    "string_ids": "gapo_kernels.advantage_by_id(flat, names)",
    "advantage_stats": "gapo_kernels.advantage_stats(flat, ids)",
    "token_advantage": "gapo_kernels.token_advantage(rewards, keep, ids[:2])",
    "gapo_numpy": "gapo_numpy.advantage_stats(array, group_ids=numbers)",
    "binned": "gapo_kernels.advantage(binned, estimator='gapo_mean')",
}
REFUSED = {
    "refused_option": "gapo_kernels.advantage(rewards, center='a name too long for a small string to hold')",
    "refused_shape": "gapo_kernels.advantage_varlen(flat, offsets, 1)",
}

# The least growth of three rounds: memory that is kept once (a pool, a cache) shows in one round, a leak in all.
SCRIPT = """
import resource, sys, torch, gapo_kernels, gapo_numpy
torch.set_num_threads(1)
rewards, flat, keep = torch.rand(2, 4), torch.rand(8), torch.ones(2, 4, dtype=torch.bool)
half, binned = torch.rand(4, 3).half().t(), torch.rand(2049)
offsets, ids = torch.tensor([0, 4, 8]), torch.tensor([7, -7, 10**9, 7, 7, -7, 10**9, 7])
kept = []
names, array, numbers = ["a", "b"] * 4, flat.numpy(), ids.numpy()

def call():
    {body}

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

growth = []
for round in range(4):
    before = resident()
    for _ in range({calls}):
        call()
    growth.append(resident() - before)
print(min(growth[1:]))
"""
GUARDED = """try:
        {}
    except RuntimeError:
        pass"""


def growth(call: str, calls: int) -> int:
    """Bytes by which the process grows over that many calls."""
    body = GUARDED.format(call) if call in REFUSED.values() else call
    command = [sys.executable, "-c", SCRIPT.format(body=body, calls=calls)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "GAPO_BACKEND": ""})
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads Linux's /proc")


@pytest.mark.parametrize("name", [*CALLS, *REFUSED])
def test_calls_do_not_leak(name):
    calls = 3000 if name == "binned" or name in REFUSED else 10_000
    assert growth({**CALLS, **REFUSED}[name], calls) < 50 * calls  # half of what is a leak


def test_a_leak_of_100_bytes_would_be_seen():
    assert growth("kept.append(bytes(100 - 33))", 10_000) > 50 * 10_000
