"""Rewards against cases worked out by hand and against plain implementations; the sample's tasks scored."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapo_trainer.data.rewards import REWARDS, bleu, ed, edem, em


def plain_levenshtein(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


def plain_ed(completion: str, target: str) -> float:
    a, b = completion.strip(), target.strip()
    return 1.0 if a == b else 1 - plain_levenshtein(a, b) / max(len(a), len(b))


def plain_bleu(completion: str, target: str) -> float:
    hypothesis, reference = completion.split(), target.split()
    logs = []
    for n in range(1, 5):
        grams = [
            Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1)) for words in (hypothesis, reference)
        ]
        matches = sum((grams[0] & grams[1]).values())
        if n == 1 and not matches:
            return 0.0
        logs.append(math.log((matches or 0.1) / max(1, len(hypothesis) - n + 1)))
    brevity = min(1.0, math.exp(1 - len(reference) / len(hypothesis)))
    return brevity * math.exp(sum(logs) / 4)


# By hand: "kitten" -> "sitting" takes 3 edits of 7 characters.
BY_HAND = [
    ("kitten", "sitting", 0.0, 4 / 7),
    ("  same \n", "same", 1.0, 1.0),
    ("", "", 1.0, 1.0),
    (" \n", "", 1.0, 1.0),
    ("", "abcd", 0.0, 0.0),
    ("abcd", "", 0.0, 0.0),
    ("abc", "abd", 0.0, 2 / 3),
    ("a b", "a  b", 0.0, 3 / 4),  # white space within counts
    ("größe", "große", 0.0, 4 / 5),  # characters, not bytes
    ("𝒳", "x", 0.0, 0.0),
]


@pytest.mark.parametrize(("completion", "target", "exact", "similar"), BY_HAND)
def test_by_hand(completion, target, exact, similar):
    assert em([completion], target) == [np.float32(exact)]
    assert ed([completion], target)[0] == pytest.approx(similar, abs=1e-7)
    assert edem([completion], target)[0] == pytest.approx((exact + similar) / 2, abs=1e-7)


@pytest.mark.parametrize(
    ("completion", "target", "expected"),
    [
        ("a b c d e", "a b c d e", 1.0),
        ("a b c d", "a b c d e", math.exp(1 - 5 / 4)),  # all of it matches, one word short
        ("a b c d x", "a b c d e", (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25),
        ("x", "y", 0.0),
        ("", "y", 0.0),
        ("a", "a", (1 * 0.1 * 0.1 * 0.1) ** 0.25),  # no pair of words to match: method 1 counts a tenth
    ],
)
def test_bleu_by_hand(completion, target, expected):
    assert bleu([completion], target)[0] == pytest.approx(expected, abs=1e-6)


texts = st.text("ab \n_(é", max_size=30)


@settings(max_examples=150, deadline=None)
@given(st.lists(texts, max_size=6), texts)
def test_against_plain_implementations(completions, target):
    similar = np.array([plain_ed(c, target) for c in completions], np.float64)
    exact = np.array([c.strip() == target.strip() for c in completions], np.float64)
    np.testing.assert_allclose(ed(completions, target), similar, atol=1e-6)
    np.testing.assert_array_equal(em(completions, target), exact)
    np.testing.assert_allclose(edem(completions, target), (similar + exact) / 2, atol=1e-6)
    np.testing.assert_allclose(bleu(completions, target), [plain_bleu(c, target) for c in completions], atol=1e-6)


@pytest.mark.parametrize("name", REWARDS)
def test_what_is_no_list_of_strings_is_refused(name):
    for wrong in ("abc", ["abc", None], [b"abc"]):
        with pytest.raises(TypeError, match="completions"):
            REWARDS[name](wrong, "abc")


@pytest.mark.parametrize("name", REWARDS)
def test_shape_and_type(name):
    for size in (0, 1, 5):
        rewards = REWARDS[name](["x y"] * size, "x y")
        assert rewards.shape == (size,)
        assert rewards.dtype == np.float32


def test_the_samples_tasks_are_scored(sample):
    for task in sample:
        right, unchanged, empty = edem([task.target, task.region, ""], task.target)
        assert right == 1.0
        assert 0.0 <= unchanged < 0.5 + 1e-6  # no exact match
        assert empty == (0.0 if task.target.strip() else 1.0)  # some edits leave an empty line
    for task in sample[::40]:
        assert ed([task.region], task.target)[0] == pytest.approx(plain_ed(task.region, task.target), abs=1e-6)
        assert bleu([task.region], task.target)[0] == pytest.approx(plain_bleu(task.region, task.target), abs=1e-6)
