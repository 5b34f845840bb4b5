"""The embedded policy's tokenizer: byte-level BPE that never merges across identifiers, digits and punctuation.

An edit is mostly a copy. Words, single digits, single punctuation marks and white space are split off first, so that a
name has the same tokens wherever it stands, and copying it is copying ids.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

PAD, EOS = "<pad>", "<eos>"


def train_tokenizer(texts: Iterable[str], marks: list[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Train the tokenizer on ``texts``.

    Args:
        texts: lines of code; they are sorted here, so that an unordered collection gives the same ids in every process.
        marks: the strings of the prompt format that become one token each.
        vocab_size: number of tokens, the special ones and the 256 bytes included.

    Returns:
        A stock fast tokenizer with left padding (the side that generation needs), ``<pad>`` and ``<eos>``.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[A-Za-z]+|[0-9]|\s+|."), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, EOS, *marks],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(texts), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        additional_special_tokens=marks,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
