"""The CUDA library without a GPU: tests/gpu on its PTX, interpreted on the CPU, with every access to memory checked."""

from __future__ import annotations

import os
import re

import bench_modules  # noqa: F401
import ptx_library
import pytest

from bench import run_large_counts, run_ragged_counts

LARGE = 310  # PTX instructions a reward of a group of 16,384 normal ones, by both blocks of a cluster
RAGGED = {"ragged": 160, "unordered": 900}  # and of 64 groups of 33 to 64, all kernels of the call together


def test_the_gpu_tests_pass_on_interpreted_ptx():
    command = ("-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests/gpu")
    run = ptx_library.run_python(*command, GAPO_GPU_EXAMPLES=os.environ.get("GAPO_GPU_EXAMPLES", "300"))
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed is not None, run.stdout[-2_000:]
    assert int(passed[1]) > 250  # without the golden vectors; the others skip


SHARED_GROUPS = """
import os, torch
from hashlib import sha256
torch.ops.load_library(os.environ["GAPO_PTX_LIBRARY"])
generator = torch.Generator().manual_seed(0)
masked = {"center": "hdi_mean", "scale": "mad"}
for groups, size, dtype, options in (
    (3, 9_000, torch.float32, {}), (2, 16_384, torch.float64, masked),
    (1, 33_000, torch.float32, masked), (1, 131_073, torch.float32, {}),
):
    rewards = torch.randn(groups, size, generator=generator, dtype=dtype)
    valid = torch.rand(groups, size, generator=generator) > 0.1 if options else None
    for result in torch.ops.gapo_ptx.advantage_stats(rewards, valid=valid, **options):
        print(sha256(result.numpy()).hexdigest())
"""


def test_groups_that_a_cluster_shares():
    def run(processors, clusters=1):
        environment = {"GAPO_PTX_PROCESSORS": str(processors), "GAPO_CLUSTERS": str(clusters)}
        launches, results = ptx_library.count_launches(SHARED_GROUPS, **environment)
        return [(launch.blocks, launch.cluster, launch.early) for launch in launches], results

    shared, results = run(8, clusters=0)
    assert shared == [(3, 1, True), (2, 1, True), (5, 1, False), (8, 1, False)]
    assert len(set(results.split())) == 8
    assert run(8) == ([(3, 1, True), (4, 2, True), (4, 4, True), (8, 8, True)], results)
    assert run(16) == ([(3, 1, True), (4, 2, True), (4, 4, True), (16, 16, True)], results)


def test_clusters_that_run_at_once_with_fewer_bins_alone():
    call = run_large_counts.CALL.format(source="torch.randn", size="3, 131_073")
    # where a part of the GPU has 18 processors, of 50 two times 16 are left for blocks of which one fits in a processor
    (launch,), _ = ptx_library.count_launches(call, GAPO_PTX_PROCESSORS="50")
    assert (launch.blocks, launch.cluster) == (48, 16)


def test_instructions_of_large_groups():
    found = run_large_counts.count("normal", 16_384)
    # less than half of the budget would mean that a pass was not counted
    assert LARGE / 2 < found["instructions_per_reward"] <= LARGE


@pytest.mark.parametrize("call", RAGGED)
def test_kernels_are_launched_behind_the_one_before(call):
    launches, _ = ptx_library.count_launches(run_ragged_counts.program(900, 1100, call))
    # blocks that wait for each other are launched together
    others = [launch for launch in launches if not re.search("12large_groups|8sort_ids", launch.kernel)]
    assert others
    assert all(launch.early for launch in others), launches
    for environment in ({"GAPO_PDL": "0"}, {"GAPO_PTX_DRIVER": "12020"}):  # asked for; a driver that is too old
        plain, _ = ptx_library.count_launches(run_ragged_counts.program(900, 1100, call), **environment)
        assert [launch.kernel for launch in plain] == [launch.kernel for launch in launches]
        assert not any(launch.early for launch in plain), plain


@pytest.mark.parametrize("call", RAGGED)
def test_instructions_of_ragged_groups(call):
    found = run_ragged_counts.count(33, 64, call)
    assert RAGGED[call] / 2 < found["instructions_per_reward"] <= RAGGED[call]
