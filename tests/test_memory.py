"""Calls do not leak: not a result, not a string, not on the way out of an error."""

import json
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
LEAK = "kept.append(bytes(100 - 33))"  # 33: the header of a bytes object
REFUSED = {
    "refused_option": "gapo_kernels.advantage(rewards, center='a name too long for a small string to hold')",
    "refused_shape": "gapo_kernels.advantage_varlen(flat, offsets, 1)",
}

# One process for all, as starting one takes longer than calling. The least growth of three rounds counts: memory that
# is kept once (a pool, a cache) shows in one round, a leak in all.
SCRIPT = """
import ctypes, json, resource, sys, torch, gapo_kernels, gapo_numpy
trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda kept: 0)  # glibc's
torch.set_num_threads(1)
rewards, flat, keep = torch.rand(2, 4), torch.rand(8), torch.ones(2, 4, dtype=torch.bool)
half, binned = torch.rand(4, 3).half().t(), torch.rand(32_769)
offsets, ids = torch.tensor([0, 4, 8]), torch.tensor([7, -7, 10**9, 7, 7, -7, 10**9, 7])
kept, names, array, numbers = [], ["a", "b"] * 4, flat.numpy(), ids.numpy()

def resident():
    trim(0)  # else a leak goes into what an import has freed
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

def growth(call, calls):
    before = resident()
    for _ in range(calls):
        try:
            call()
        except RuntimeError:
            pass
    return resident() - before

for name, text, calls in json.load(sys.stdin):
    call = eval("lambda: " + text)
    growth(call, 1000)
    print(name, min(growth(call, calls) for _ in range(3)) / calls)
"""


@pytest.fixture(scope="module")
def growth() -> dict[str, float]:
    """Bytes a call by which the process grows, of every call."""
    texts = CALLS | REFUSED | {"leak": LEAK}
    table = [(name, text, 2000 if name == "binned" or name in REFUSED else 5000) for name, text in texts.items()]
    command = [sys.executable, "-c", SCRIPT]
    environment = {**os.environ, "PYTHONMALLOC": "malloc"}  # Python's own allocator keeps what is freed
    done = subprocess.run(command, input=json.dumps(table), capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return {name: float(grown) for name, grown in map(str.split, done.stdout.splitlines())}


pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads Linux's /proc")


@pytest.mark.parametrize("name", [*CALLS, *REFUSED])
def test_calls_do_not_leak(growth, name):
    assert growth[name] < 50  # half of what is a leak


def test_a_leak_of_100_bytes_would_be_seen(growth):
    assert growth["leak"] > 50
