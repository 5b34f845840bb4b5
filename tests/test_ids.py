"""Ids of any kind: equal ones are one group, whatever they are and wherever they lie."""

import uuid

import numpy as np
import pytest
import torch
from op_samples import rewards_of

import gapo_kernels

NUMBERS = [3, 1, 3, 2, 1, 3]
UUIDS = {number: uuid.UUID(int=number) for number in NUMBERS}
READ_ONLY = np.array(NUMBERS)
READ_ONLY.setflags(write=False)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "ids",
    [
        NUMBERS,
        tuple(NUMBERS),
        [f"uid-{number}" for number in NUMBERS],
        [UUIDS[number] for number in NUMBERS],
        [None if number == 1 else float(number) for number in NUMBERS],
        np.array([f"uid-{number}" for number in NUMBERS]),
        np.array([f"uid-{number}" for number in NUMBERS], object),
        np.array(NUMBERS, np.float64),
        np.array(NUMBERS, ">i4"),
        np.array(NUMBERS, np.uint64) + np.uint64(2**63),
        np.array(NUMBERS[::-1])[::-1],
        np.repeat(NUMBERS, 2)[::2],
        READ_ONLY,
        torch.tensor(NUMBERS, dtype=torch.uint8),
        torch.tensor(NUMBERS, dtype=torch.uint16),
        torch.tensor(NUMBERS, dtype=torch.uint32),
        (torch.tensor(NUMBERS) - 2**63).view(torch.uint64),
        torch.tensor(NUMBERS) - 2**63,
    ],
    ids=lambda ids: f"{type(ids).__name__}-{getattr(ids, 'dtype', type(ids[0]).__name__)}",
)
def test_the_same_groups(ids):
    rewards = rewards_of(len(NUMBERS))
    expected = torch.ops.gapo.advantage_by_id(rewards, torch.tensor(NUMBERS))
    assert torch.equal(gapo_kernels.advantage_by_id(rewards, ids), expected)
    assert torch.equal(gapo_kernels.advantage_stats(rewards, ids).advantage, expected)
    tokens, mask = rewards.unsqueeze(-1), torch.ones(len(NUMBERS), 1)
    assert torch.equal(gapo_kernels.token_advantage(tokens, mask, ids), expected.unsqueeze(-1))


@pytest.mark.parametrize("ids", [[], (), np.array([]), np.array([], object), np.array([], int)], ids=repr)
def test_no_rows(ids):
    assert gapo_kernels.advantage_by_id(torch.empty(0), ids).shape == (0,)
