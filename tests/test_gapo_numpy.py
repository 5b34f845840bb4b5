"""gapo_numpy: the same bits as the torch op, without torch."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from op_samples import CENTERS, SCALES, ids_of, rewards_of

import gapo_kernels
import gapo_numpy


def test_torch_is_not_imported():
    script = """
import sys, gapo_numpy
gapo_numpy.advantage([[0.0, 1.0, 0.5]]), gapo_numpy.build_info(), gapo_numpy.plan(4, 4)
assert "torch" not in sys.modules, "torch was imported"
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def assert_same(found: gapo_numpy.AdvantageStats, expected: tuple[torch.Tensor, torch.Tensor]) -> None:
    """What torch's op returns: the advantage, and the four statistics in one tensor."""
    assert found._fields == gapo_kernels.AdvantageStats._fields
    for result, wanted in zip(found, (expected[0], *expected[1].unbind(-1)), strict=True):
        np.testing.assert_array_equal(result, wanted.numpy(), strict=True)


@pytest.mark.parametrize("center", CENTERS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_agreement_to_the_bit(center, scale, dtype):
    options = {"tau": 0.7, "center": center, "scale": scale, "eps": 1e-3}
    for shape in ((5, 16), (3,), (2, 3, 7), (4, 1), (2, 2100), (1, 40_000), (0, 4), (3, 0)):
        rewards = rewards_of(*shape, dtype=dtype)
        keep = rewards_of(*shape, seed=1) > 0.1
        for valid in (None, keep):
            expected = torch.ops.gapo.advantage_stats(rewards, None, *options.values(), valid)
            array_mask = None if valid is None else valid.numpy()
            result = gapo_numpy.advantage_stats(rewards.numpy(), valid=array_mask, **options)
            assert_same(result, expected)
            np.testing.assert_array_equal(
                gapo_numpy.advantage(rewards.numpy(), valid=array_mask, **options), expected[0].numpy(), strict=True
            )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_agreement_with_ids(dtype):
    for rows in (0, 1, 300, 5000):
        rewards, ids, keep = rewards_of(rows, dtype=dtype), ids_of(rows, 9), rewards_of(rows, seed=1) > 0.1
        expected = torch.ops.gapo.advantage_stats(rewards, ids, valid=keep)
        assert_same(gapo_numpy.advantage_stats(rewards.numpy(), ids.numpy(), valid=keep.numpy()), expected)


def test_what_it_takes():
    expected = gapo_numpy.advantage(np.array([0, 1, 4, 9], np.float32))
    for rewards in ([0, 1, 4, 9], np.array([0, 1, 4, 9], np.int16), np.array([0, 1, 4, 9], np.float16)):
        np.testing.assert_array_equal(gapo_numpy.advantage(rewards), expected, strict=True)
    strided = np.stack([[0, 1, 4, 9], [5, 5, 5, 5]]).astype(np.float32).T[:, 0]
    np.testing.assert_array_equal(gapo_numpy.advantage(strided), expected, strict=True)
    swapped = np.array([0, 1, 4, 9], ">f4")
    np.testing.assert_array_equal(gapo_numpy.advantage(swapped), expected, strict=True)
    expected = gapo_numpy.advantage([0.0, 0.1, 0.4, 0.9])
    assert expected.dtype == np.float64
    for wide in (">f8", "<f8"):
        np.testing.assert_array_equal(gapo_numpy.advantage(np.array([0, 0.1, 0.4, 0.9], wide)), expected, strict=True)
    assert gapo_numpy.advantage(np.array([0, 0.1, 0.4, 0.9], np.longdouble)).dtype == np.float64
    assert gapo_numpy.advantage([], [], valid=[]).shape == (0,)
    for kind in (np.int8, np.uint64):
        np.testing.assert_array_equal(
            gapo_numpy.advantage(np.arange(6.0), np.array([1, 2, 1, 2, 1, 2], kind)),
            gapo_numpy.advantage(np.arange(6.0), [1, 2, 1, 2, 1, 2]),
        )


def test_estimators():
    assert gapo_numpy.ESTIMATORS is gapo_kernels.ESTIMATORS
    rewards = rewards_of(4, 8)
    for name, (center, scale) in gapo_numpy.ESTIMATORS.items():
        expected = gapo_kernels.advantage(rewards, estimator=name).numpy()
        np.testing.assert_array_equal(gapo_numpy.advantage(rewards.numpy(), estimator=name), expected)
        np.testing.assert_array_equal(gapo_numpy.advantage(rewards.numpy(), center=center, scale=scale), expected)
    expected = gapo_kernels.advantage_stats(rewards, estimator="grpo", scale="mad")
    found = gapo_numpy.advantage_stats(rewards.numpy(), estimator="grpo", scale="mad")
    np.testing.assert_array_equal(found.scale, expected.scale.numpy())
    alone = gapo_numpy.advantage_stats(rewards[0].numpy(), estimator="grpo", scale="mad")
    np.testing.assert_array_equal(alone.scale, expected.scale[0].numpy(), strict=True)


def test_build_info():
    info = gapo_numpy.build_info()
    assert list(info) == ["revision", "torch", "compiler", "cpu_capability", "cuda", "cuda_architectures"]
    assert info["cpu_capability"] in ("baseline", "avx2", "avx512")
    assert info["torch"]
    assert info["compiler"]
    assert gapo_kernels.build_info is gapo_numpy.build_info


def test_plan():
    assert gapo_kernels.plan is gapo_numpy.plan
    small, large = gapo_numpy.plan(1000, 4096), gapo_numpy.plan(3, 4097)
    assert (small["device"], small["tier"]) == ("cpu", "columns")
    assert small["tasks"] == -(-1000 // small["lanes"])
    assert large == {"device": "cpu", "tier": "ranked", "lanes": 1, "tasks": 3}
    assert gapo_numpy.plan(0, 1)["tasks"] == 0
    assert gapo_numpy.plan(2**63 - 1, 4)["tasks"] == -(-(2**63 - 1) // small["lanes"])
    assert gapo_numpy.plan(1000, 4096, dtype="float64")["lanes"] == small["lanes"] // 2


def test_cuda_plan():
    plan = gapo_numpy.plan(1000, 16, "cuda")
    assert plan == {
        "device": "cuda", "tier": "thread", "largest": 16, "lanes": 1, "rewards_per_lane": 16, "threads": 64,
        "groups_per_block": 64, "blocks": 16, "shared_bytes": 64 * 16 * 4,
    }  # fmt: skip
    assert gapo_numpy.plan(1000, 16, "cuda", "float64")["shared_bytes"] == 64 * 16 * 8
    tiers = [gapo_numpy.plan(1, size, "cuda")["tier"] for size in (1, 32, 33, 1024, 1025, 4096, 4097, 2**20)]
    assert tiers == ["thread", "thread", "lanes", "lanes", "block", "block", "binned", "binned"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 4, "tpu"), "device expects one of cpu, cuda, got 'tpu'"),
        ((1, 4, "cuda", "int8"), "dtype expects one of float32, float64, float16, bfloat16, got 'int8'"),
    ],
)
def test_plan_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        gapo_numpy.plan(*arguments)
