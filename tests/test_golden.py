"""The 240 cases that the paper authors' published code computed, through each form of the op."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import gapo_kernels

GOLDEN = Path(__file__).parents[2] / "shared" / "golden" / "gapo_golden.npz"
pytestmark = pytest.mark.skipif(not GOLDEN.exists(), reason="the golden vectors (../shared/golden) are not here")

ESTIMATORS = {"median": "gapo", "mean": "gapo_mean"}


def load_cases() -> list[dict]:
    """The cases with their arrays; an empty list where the file is absent."""
    if not GOLDEN.exists():
        return []
    arrays = np.load(GOLDEN)
    cases = json.loads(str(arrays["cases"]))
    for case in cases:
        i = case["case"]
        case["rewards"] = torch.from_numpy(arrays[f"rewards_{i}"])
        case["group"] = torch.from_numpy(arrays[f"group_{i}"])
        case["advantage"] = torch.from_numpy(arrays[f"advantage_{i}"])
    return cases


CASES = load_cases()


def options(case: dict) -> dict:
    """The case's settings as the doors take them."""
    scale = None if case["normalize"] else "none"
    return {"estimator": ESTIMATORS[case["center"]], "tau": case["tau"], "scale": scale}


def assert_golden(result: torch.Tensor, expected: torch.Tensor) -> None:
    tolerance = 3e-6 * expected.abs().clamp(min=1)  # golden/README.md
    excess = ((result - expected).abs() - tolerance).max().item()
    assert excess <= 0, f"off by {excess} more than the tolerance"


def test_all_cases_are_there():
    assert len(CASES) == 240
    assert {case["mode"] for case in CASES} == {"equal", "ragged", "shuffled"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['case']}-{case['kind']}")
def test_by_id(case):
    assert_golden(gapo_kernels.advantage_by_id(case["rewards"], case["group"], **options(case)), case["advantage"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['case']}-{case['kind']}")
def test_varlen(case):
    order = torch.argsort(case["group"], stable=True)
    sizes = torch.bincount(case["group"])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]).to(torch.int32)
    result = gapo_kernels.advantage_varlen(case["rewards"][order], offsets, int(sizes.max()), **options(case))
    assert_golden(result, case["advantage"][order])


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['case']}-{case['kind']}")
def test_dense(case):
    order = torch.argsort(case["group"], stable=True)
    rewards, expected = case["rewards"][order], case["advantage"][order]
    for group, wanted in zip(rewards.split(case["sizes"]), expected.split(case["sizes"]), strict=True):
        assert_golden(gapo_kernels.advantage(group, **options(case)), wanted)
    if case["mode"] == "equal":
        shape = (-1, case["sizes"][0])
        assert_golden(gapo_kernels.advantage(rewards.view(shape), **options(case)), expected.view(shape))
