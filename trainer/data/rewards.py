"""What a completion is worth: the paper's four rewards, each for a whole group of completions against one target.

Every reward compares stripped strings, so white space around an edit is neither asked for nor punished. BLEU is taken
over tokens between white space with smoothing method 1, so an exact answer of fewer than four tokens scores less
than 1: that is the definition of the paper's code, not a slip. A completion that is no string is a TypeError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

Rewards = NDArray[np.float32]
RewardFunction = Callable[[Sequence[str], str], Rewards]


def expect_strings(completions: Sequence[str]) -> list[str]:
    """The completions as a list.

    Raises:
        TypeError: a single string, or anything among them that is none.
    """
    if isinstance(completions, str):
        raise TypeError("completions expects a list of strings, got a string")
    for index, completion in enumerate(completions):
        if not isinstance(completion, str):
            raise TypeError(f"completions[{index}] expects a string, got {type(completion).__name__}")
    return list(completions)


def em(completions: Sequence[str], target: str) -> Rewards:
    """Exact match: 1 where the completion is the target, else 0.

    Args:
        completions: the edits of one group, [G].
        target: what the author wrote.

    Returns:
        [G] float32.
    """
    stripped = target.strip()
    texts = expect_strings(completions)
    return np.fromiter((text.strip() == stripped for text in texts), np.float32, len(texts))


def ed(completions: Sequence[str], target: str) -> Rewards:
    """Edit similarity: 1 - Levenshtein distance / length of the longer, in characters; 1 where both are empty.

    Args:
        completions: the edits of one group, [G].
        target: what the author wrote.

    Returns:
        [G] float32 within [0, 1].
    """
    stripped = [completion.strip() for completion in expect_strings(completions)]
    similarity = process.cdist([target.strip()], stripped, scorer=Levenshtein.normalized_similarity, dtype=np.float32)
    return similarity.reshape(len(completions))


def edem(completions: Sequence[str], target: str) -> Rewards:
    """(``ed`` + ``em``) / 2, the paper's default: nearness, and a premium for getting it right.

    Args:
        completions: the edits of one group, [G].
        target: what the author wrote.

    Returns:
        [G] float32 within [0, 1].
    """
    return np.float32(0.5) * (ed(completions, target) + em(completions, target))


def bleu(completions: Sequence[str], target: str) -> Rewards:
    """Sentence BLEU-4 over white-space tokens, smoothing method 1; 0 where either side has no token.

    Args:
        completions: the edits of one group, [G].
        target: what the author wrote.

    Returns:
        [G] float32 within [0, 1].
    """
    # Imported here: nltk takes half a second, which runs with another reward need not wait for.
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    references = [target.split()]
    smoothing = SmoothingFunction().method1
    # Short edits repeat within a group, and BLEU is the one slow reward: each distinct completion is scored once.
    score = {
        completion: sentence_bleu(references, completion.split(), smoothing_function=smoothing)
        for completion in dict.fromkeys(expect_strings(completions))
    }
    return np.fromiter((score[completion] for completion in completions), np.float32, len(completions))


REWARDS: dict[str, RewardFunction] = {"em": em, "ed": ed, "edem": edem, "bleu": bleu}
