from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_path import gradients, relative

from gapo_trainer.engine import Completions, distinct, prompt_once

ROWS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), min_size=1, max_size=30)


@given(ROWS)
@settings(deadline=None)
def test_distinct_finds_exactly_the_equal_rows(rows):
    found = distinct(Completions.from_lists(rows))
    unique = [tuple(rows[i]) for i in found.first.tolist()]
    assert dict(zip(unique, found.counts.tolist(), strict=True)) == Counter(map(tuple, rows))
    assert [unique[i] for i in found.inverse.tolist()] == [tuple(row) for row in rows]
    assert all(rows.index(rows[i]) == i for i in found.first.tolist())


def test_distinct_ignores_padding_but_not_length():
    tokens = torch.tensor([[5, 9], [5, 8], [5, 0], [5, 0]])
    found = distinct(Completions(tokens, torch.tensor([1, 1, 2, 1])))
    assert found.counts.tolist() == [3, 1]
    assert found.first.tolist() == [0, 2]


def test_training_distinct_rows_with_their_counts_is_exact(build_model):
    model, prompt = build_model("qwen2"), torch.arange(6)
    completions = Completions.from_lists([[1, 2], [7], [1, 2], [1, 2, 3], [7], [1, 2]])
    advantages = torch.tensor([0.5, -1.0, 0.5, 2.0, -1.0, 0.5])  # equal where completions are
    with prompt_once(model, prompt) as shared:
        (shared.logprobs(completions).sum(-1) * advantages).sum().backward()
    expected = gradients(model)
    first, _, counts = distinct(completions)
    with prompt_once(model, prompt) as shared:
        (shared.logprobs(completions[first]).sum(-1) * advantages[first] * counts).sum().backward()
    assert len(first) == 3
    assert relative(gradients(model), expected) < 1e-5


@given(ROWS, st.integers(1, 8))
@settings(deadline=None)
def test_micro_batches_hold_every_row_once(rows, size):
    completions = Completions.from_lists(rows)
    batches = list(completions.micro_batches(size))
    assert sorted(torch.cat(batches).tolist()) == list(range(len(rows)))
    assert all(len(batch) <= size for batch in batches)
    assert [row for batch in batches for row in completions[batch].to_lists()] == sorted(rows, key=len)


def test_a_selection_is_trimmed_to_its_longest_row():
    completions = Completions.from_lists([[1], [2, 3, 4], [5, 6]])
    assert completions[torch.tensor([2, 0])].tokens.tolist() == [[5, 6], [1, 0]]


@pytest.mark.parametrize(
    ("tokens", "lengths", "message"),
    [
        (torch.zeros(2, 3), torch.tensor([1, 2]), r"tokens expects int64 \[rows, longest\], got float32 \[2, 3\]"),
        (torch.zeros(2, 3, dtype=torch.int64), torch.tensor([1]), r"lengths expects int64 \[2\], got int64 \[1\]"),
        (torch.zeros(2, 3, dtype=torch.int64), torch.tensor([0, 3]), "lengths expects 1 … 3, got 0 … 3"),
        (torch.zeros(2, 3, dtype=torch.int64), torch.tensor([1, 4]), "lengths expects 1 … 3, got 1 … 4"),
        (torch.zeros(0, 3, dtype=torch.int64), torch.tensor([], dtype=torch.int64), "at least one completion"),
    ],
)
def test_inconsistent_tensors_are_refused(tokens, lengths, message):
    with pytest.raises(ValueError, match=message):
        Completions(tokens, lengths)


def test_micro_batches_of_nothing_are_refused():
    with pytest.raises(ValueError, match="size expects a value >= 1, got 0"):
        next(Completions.from_lists([[1]]).micro_batches(0))
