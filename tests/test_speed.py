"""The lead over vectorised torch, as a ratio of medians measured in turn: so that no change loses it unnoticed.

The margins are a third of what bench/ measures, which no noise of a shared machine has reached.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import pytest
import torch

import gapo_kernels  # noqa: F401

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench.peers import vectorised_torch


@pytest.mark.parametrize(("shape", "least"), [((1024, 64), 8.0), ((8192, 32), 8.0), ((64, 16384), 4.0)])
def test_faster_than_vectorised_torch(shape, least):
    rewards = torch.randn(shape)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ratios = []
    for _ in range(9):
        times = []
        for function in (vectorised_torch, torch.ops.gapo.advantage):
            function(rewards)
            start = time.perf_counter()
            function(rewards)
            times.append(time.perf_counter() - start)
        ratios.append(times[0] / times[1])
    torch.set_num_threads(threads)
    assert statistics.median(ratios) > least
