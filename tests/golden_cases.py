"""The 240 cases that the paper authors' published code computed, where ../shared/golden lies beside the clone.

GAPO_GOLDEN names the file where it lies elsewhere.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

BESIDE = Path(__file__).parents[2] / "shared" / "golden" / "gapo_golden.npz"
GOLDEN = Path(os.environ.get("GAPO_GOLDEN") or BESIDE)
if GOLDEN != BESIDE and not GOLDEN.exists():
    raise FileNotFoundError(f"GAPO_GOLDEN expects a file that is there, got {GOLDEN}")
needs_golden = pytest.mark.skipif(not GOLDEN.exists(), reason="the golden vectors (../shared/golden) are not here")

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


def name_of(case: dict) -> str:
    return f"{case['case']}-{case['kind']}"


CASES = load_cases()
every_case = pytest.mark.parametrize("case", CASES, ids=name_of)


def options(case: dict) -> dict:
    """The case's settings as the Python functions take them."""
    scale = None if case["normalize"] else "none"
    return {"estimator": ESTIMATORS[case["center"]], "tau": case["tau"], "scale": scale}


def assert_golden(result: torch.Tensor, expected: torch.Tensor) -> None:
    tolerance = 3e-6 * expected.abs().clamp(min=1)  # golden/README.md
    excess = ((result - expected).abs() - tolerance).max().item()
    assert excess <= 0, f"off by {excess} more than the tolerance"
