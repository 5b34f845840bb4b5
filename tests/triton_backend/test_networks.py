"""The networks sort: the 0-1 principle says that sorting every sequence of zeros and ones is sorting everything."""

import itertools

import numpy as np
import pytest

pytest.importorskip("triton")

from gapo_kernels.triton_kernels.networks import bitonic_merge, merge_exchange


def run(network, columns: np.ndarray) -> np.ndarray:
    """The network on each column of [n, sequences]."""
    values = columns.copy()
    for low, high in network:
        assert low < high
        values[[low, high]] = np.minimum(values[low], values[high]), np.maximum(values[low], values[high])
    return values


@pytest.mark.parametrize("n", [1, 2, 4, 8, 16])
def test_merge_exchange_sorts_every_sequence_of_zeros_and_ones(n):
    sequences = np.array(list(itertools.product((0, 1), repeat=n)), dtype=np.int8).T
    assert (run(merge_exchange(n), sequences) == np.sort(sequences, axis=0)).all()


def test_merge_exchange_of_32_sorts_random_sequences():
    """2^32 sequences are too many: permutations, and zeros and ones of every proportion."""
    rng = np.random.default_rng(0)
    permutations = rng.permuted(np.tile(np.arange(32)[:, None], 20_000), axis=0)
    assert (run(merge_exchange(32), permutations) == np.arange(32)[:, None]).all()
    ones = (rng.random((32, 200_000)) < rng.random(200_000)).astype(np.int8)
    assert (run(merge_exchange(32), ones) == np.sort(ones, axis=0)).all()
    assert len(merge_exchange(32)) == 191  # Batcher's network has as many (Knuth 3, 5.3.4)


@pytest.mark.parametrize("n", [1, 2, 4, 8, 16, 32])
def test_bitonic_merge_sorts_every_bitonic_sequence_of_zeros_and_ones(n):
    rows = [np.roll([1] * ones + [0] * (n - ones), shift) for ones in range(n + 1) for shift in range(n)]
    sequences = np.array(rows, dtype=np.int8).T
    assert (run(bitonic_merge(n), sequences) == np.sort(sequences, axis=0)).all()
