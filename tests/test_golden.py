"""The 240 cases that the paper authors' published code computed, through each form of the op."""

from __future__ import annotations

import torch
from golden_cases import CASES, assert_golden, every_case, needs_golden, options
from op_samples import offsets_of

import gapo_kernels

pytestmark = needs_golden


def test_all_cases_are_there():
    assert len(CASES) == 240
    assert {case["mode"] for case in CASES} == {"equal", "ragged", "shuffled"}


@every_case
def test_by_id(case):
    assert_golden(gapo_kernels.advantage_by_id(case["rewards"], case["group"], **options(case)), case["advantage"])


@every_case
def test_varlen(case):
    order = torch.argsort(case["group"], stable=True)
    sizes = torch.bincount(case["group"]).tolist()
    offsets = offsets_of(*sizes, dtype=torch.int32)
    result = gapo_kernels.advantage_varlen(case["rewards"][order], offsets, max(sizes), **options(case))
    assert_golden(result, case["advantage"][order])


@every_case
def test_dense(case):
    order = torch.argsort(case["group"], stable=True)
    rewards, expected = case["rewards"][order], case["advantage"][order]
    for group, wanted in zip(rewards.split(case["sizes"]), expected.split(case["sizes"]), strict=True):
        assert_golden(gapo_kernels.advantage(group, **options(case)), wanted)
    if case["mode"] == "equal":
        shape = (-1, case["sizes"][0])
        assert_golden(gapo_kernels.advantage(rewards.view(shape), **options(case)), expected.view(shape))
