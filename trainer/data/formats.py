"""Prompt formats: how a task is shown to a model, what a perfect model would write, and the edit in what it did write.

A format's ``prompt`` and ``completion`` are text. Completions are decoded without special tokens
(``skip_special_tokens=True``) and may end anywhere.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, get_args

import jinja2

from gapo_trainer.data import extraction, fences
from gapo_trainer.data.task import Task
from gapo_trainer.errors import UserError


class PromptFormat(Protocol):
    """Both directions between a task and text."""

    @property
    def add_special_tokens(self) -> bool:
        """Whether the tokenizer is to add its own begin-of-text to a prompt."""

    def prompt(self, task: Task) -> str:
        """What the model reads."""

    def completion(self, task: Task) -> str:
        """What a model writes that makes the author's edit; the end-of-text token follows it."""

    def extract(self, completion: str, task: Task) -> str:
        """The text that ``completion`` puts in place of ``task.region``."""

    @property
    def stop(self) -> tuple[str, ...]:
        """Texts behind which a completion need not go on; they may begin with what ends the prompt."""

    def is_complete(self, completion: str) -> bool:
        """Whether ``completion`` has ended by itself, although no end token follows."""


class EndsWithItsToken:
    """Of formats whose completions end with the end token and nothing else."""

    stop = ()

    def is_complete(self, completion: str) -> bool:
        """Never without it."""
        return False


class FimTokens(NamedTuple):
    """A tokenizer's fill-in-the-middle tokens: before the prefix, before the suffix, before the middle."""

    prefix: str
    suffix: str
    middle: str


FIM_TOKENS = (
    FimTokens("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen, CodeGemma, Granite 4
    FimTokens("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder, StarCoder2, Granite, SmolLM corpus
    FimTokens("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),  # SantaCoder
    FimTokens("<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>"),  # Seed-Coder
    FimTokens("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # DeepSeek
    FimTokens("▁<PRE>", "▁<SUF>", "▁<MID>"),  # CodeLlama
    FimTokens("[PREFIX]", "[SUFFIX]", "[MIDDLE]"),  # Codestral
)


@dataclass(frozen=True)
class Plain:
    """For base and coder models: earlier hunks, the code around, and the region as the first half of a conflict.

    The order is that of Zed's Zeta models: history, path, then the region, which the model rewrites up to the mark
    that ends the conflict. With fill-in-the-middle tokens the code after the region is the suffix; without, it comes
    before the rest under a heading.

    Attributes:
        fim: the tokenizer's fill-in-the-middle tokens, or None.
    """

    fim: FimTokens | None = None
    add_special_tokens: bool = True

    def prompt(self, task: Task) -> str:
        """The prompt, which ends where the rewritten region is to begin."""
        before = f"{_history(task)}### {task.path}\n{_ended(task.prefix)}"
        conflict = f"{extraction.CURRENT}{extraction.write(task.region)}{extraction.BETWEEN}"
        if self.fim:
            return f"{self.fim.prefix}{before}{conflict}{self.fim.suffix}{task.suffix}{self.fim.middle}"
        return f"### After the region\n{extraction.write(task.suffix)}{before}{conflict}"

    def completion(self, task: Task) -> str:
        """The target and the mark that ends it."""
        return extraction.write_marked(task.target, task.region)

    def extract(self, completion: str, task: Task) -> str:
        """The edit: all before the mark."""
        return extraction.read_marked(completion, task.region)

    @property
    def stop(self) -> tuple[str, ...]:
        """The mark at the beginning of a line: base models rarely write an end token behind it."""
        mark = extraction.UPDATED.rstrip()
        return (f"\n{mark}", f"{self.fim.middle}{mark}") if self.fim else (f"\n{mark}",)

    def is_complete(self, completion: str) -> bool:
        """Whether the mark is there."""
        return extraction.is_marked(completion)


INSTRUCTION = (
    "Rewrite the region between <<<<<<< CURRENT and >>>>>>> UPDATED so that it goes on with the recent edits. "
    "Answer with the rewritten region only, in one fenced code block."
)


@dataclass(frozen=True)
class Chat(EndsWithItsToken):
    """For instruct models: one user message in the tokenizer's own chat template, answered by one fenced block.

    Attributes:
        tokenizer: has ``apply_chat_template`` and a template.
        thinking: whether the model may think first; if not, the template is given ``enable_thinking=False``.
    """

    tokenizer: Any
    thinking: bool = True
    add_special_tokens: bool = False  # the template writes them

    def message(self, task: Task) -> str:
        """The user's message, before the template."""
        excerpt = "".join(
            (_ended(task.prefix), extraction.CURRENT, extraction.write(task.region), extraction.UPDATED, task.suffix)
        )
        return f"{_history(task)}### {task.path}\n{fences.enclose(excerpt, task.lang)}\n{INSTRUCTION}"

    def prompt(self, task: Task) -> str:
        """The message in the template, with the model's turn opened."""
        return self._templated(self.message(task))

    def completion(self, task: Task) -> str:
        """The target as one fenced block."""
        return extraction.write_fenced(task.target, task.lang)

    def extract(self, completion: str, task: Task) -> str:
        """The edit: the first fenced block behind any thought that does more than repeat the region."""
        thought = extraction.THOUGHT if self._opens_thought else ""
        return extraction.read_fenced(thought + completion, task.region)

    def _templated(self, message: str) -> str:
        thinking = {} if self.thinking else {"enable_thinking": False}
        messages = [{"role": "user", "content": message}]
        try:
            return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **thinking)
        except jinja2.TemplateError as error:
            raise UserError(f"format: the chat template refuses a user's message: {error}; try plain") from error

    @functools.cached_property
    def _opens_thought(self) -> bool:
        """Whether the prompt ends within a thought, which a completion then goes on with."""
        return self.tokenizer is not None and self._templated("").rstrip().endswith(extraction.THOUGHT)


@dataclass(frozen=True)
class Compact(EndsWithItsToken):
    """For the embedded policy: the latest hunk and the region, without path, context and outer white space.

    Outer white space is the region's own on the way back, so a round trip is exact wherever target and region agree
    in theirs, as the embedded tasks do; rewards do not see the difference.
    """

    add_special_tokens: bool = False

    def prompt(self, task: Task) -> str:
        """``<old>…<new>…<cur>…<upd>``."""
        old, new = sides(task.history[-1].diff) if task.history else ("", "")
        return "".join(
            mark + text.strip() for mark, text in zip(COMPACT_MARKS, (old, new, task.region, ""), strict=True)
        )

    def completion(self, task: Task) -> str:
        """The stripped target."""
        return task.target.strip()

    def extract(self, completion: str, task: Task) -> str:
        """The completion with the region's outer white space."""
        inner = task.region.strip()
        start = task.region.find(inner)
        return task.region[:start] + completion.strip() + task.region[start + len(inner) :]


COMPACT_MARKS = ("<old>", "<new>", "<cur>", "<upd>")  # single tokens of the embedded policy's tokenizer
FormatName = Literal["auto", "plain", "chat", "compact"]
FORMATS: tuple[str, ...] = get_args(FormatName)


def make_format(name: str, tokenizer: Any = None, thinking: bool = True, embeddings: float = math.inf) -> PromptFormat:
    """The format of that name, fitted to a tokenizer.

    Args:
        name: ``plain``, ``chat``, ``compact``, or ``auto``: compact where the tokenizer has its marks, else chat where
            it has a template, else plain.
        tokenizer: a transformers tokenizer; None for plain text without fill-in-the-middle tokens.
        thinking: of ``chat``: False switches thinking off where the template can, as Qwen3's.
        embeddings: how many tokens the model knows; the tokenizer's marks beyond them are not used.

    Raises:
        UserError: an unknown name, or ``chat`` with a tokenizer that has no chat template.
    """
    if name not in FORMATS:
        raise UserError(f"format expects one of {', '.join(FORMATS)}, got {name!r}")
    ids = tokenizer.get_vocab() if tokenizer is not None else {}
    vocabulary = {token for token, number in ids.items() if number < embeddings}
    template = getattr(tokenizer, "chat_template", None)
    if name == "auto":
        name = "compact" if all(mark in vocabulary for mark in COMPACT_MARKS) else "chat" if template else "plain"
    if name == "compact":
        return Compact()
    if name == "chat":
        if not template:
            raise UserError("format: chat needs a tokenizer with a chat template, and this one has none; try plain")
        return Chat(tokenizer, thinking)
    return Plain(next((tokens for tokens in FIM_TOKENS if all(token in vocabulary for token in tokens)), None))


def _history(task: Task) -> str:
    if not task.history:
        return ""
    hunks = "".join(f"--- {hunk.path}\n{_ended(hunk.diff)}" for hunk in task.history)
    return f"### Recent edits\n{hunks}"


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def sides(diff: str) -> tuple[str, str]:
    """The removed and the added lines of a hunk, without their signs."""
    lines = diff.split("\n")
    old, new = ("\n".join(line[1:] for line in lines if line.startswith(sign)) for sign in "-+")
    return old, new
