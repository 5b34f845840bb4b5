"""Ids of any kind: equal ones are one group, whatever they are and wherever they lie."""

import time
import uuid

import numpy as np
import pytest
import torch
from op_samples import rewards_of

import gapo_kernels
from gapo_kernels.ids import as_id_tensor

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


def test_ids_that_a_multiplication_would_put_side_by_side():
    """Multiples of the inverse of the hash's factor: a search that passes all others is quadratic."""
    inverse = pow(0x9E3779B97F4A7C15, -1, 2**64)
    rows = 1 << 16

    def seconds(ids: torch.Tensor) -> float:
        began = time.perf_counter()
        torch.ops.gapo.advantage_by_id(torch.zeros(rows), ids)
        return time.perf_counter() - began

    signed = inverse - 2**64 if inverse >= 2**63 else inverse
    scattered, aligned = (torch.arange(rows) * factor for factor in (2**40 + 12345, signed))
    assert min(seconds(aligned) for _ in range(3)) < 20 * min(seconds(scattered) for _ in range(3))


@pytest.mark.parametrize("ids", [[], (), np.array([]), np.array([], object), np.array([], int)], ids=repr)
def test_no_rows(ids):
    assert gapo_kernels.advantage_by_id(torch.empty(0), ids).shape == (0,)


@pytest.mark.parametrize("distinct", [7, 5000, 20_000])  # objects that were seen last are found by their addresses
def test_objects_are_told_apart_by_value(distinct):
    order = np.random.default_rng(0).integers(distinct, size=20_000)
    shared = [f"uid-{number}" for number in range(distinct)]
    again = [name[:-1] + name[-1] for name in shared]  # equal, and other objects
    assert again[0] is not shared[0]
    names = [(shared if row % 2 else again)[number] for row, number in enumerate(order)]
    ids = as_id_tensor(names, torch.device("cpu"))
    first = {number: row for row, number in reversed(list(enumerate(order.tolist())))}
    expected = {number: place for place, number in enumerate(sorted(first, key=first.__getitem__))}
    assert ids.tolist() == [expected[number] for number in order.tolist()]


def test_what_an_id_raises_is_passed_on():
    class Broken:
        def __hash__(self):
            return 1

        def __eq__(self, other):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        as_id_tensor([Broken(), Broken()], torch.device("cpu"))


def test_fractions_are_not_rounded():
    ids = np.array([0.25, 0.5, 0.25, 0.75, 0.5])
    assert as_id_tensor(ids, torch.device("cpu")).tolist() == [0, 1, 0, 2, 1]


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.uint64])
def test_arrays_of_integers_keep_their_values(dtype):
    assert as_id_tensor(np.array([7, 5, 7], dtype), torch.device("cpu")).tolist() == [7, 5, 7]


def test_bytes_are_no_sequence_of_ids():
    with pytest.raises(TypeError, match=r"^group_ids expects a tensor, an array or a sequence of ids, got bytes$"):
        gapo_kernels.advantage_by_id(rewards_of(8), b"abcdefgh")
