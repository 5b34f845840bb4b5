"""The policy: a transformers causal LM, its tokenizer and the prompt format that goes with it.

Left out: any modelling code. ``trust_remote_code`` is off, so a folder or hub name can bring weights and
configuration, never code.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    StopStringCriteria,
)
from transformers.models.auto.tokenization_auto import get_tokenizer_config

from gapo_trainer.checkpoint import CHECKPOINTS, checkpoints
from gapo_trainer.data.extraction import UPDATED
from gapo_trainer.data.formats import PromptFormat, make_format
from gapo_trainer.data.task import Task
from gapo_trainer.engine.fsdp import gathered
from gapo_trainer.engine.generation import evaluating
from gapo_trainer.errors import UserError

EMBEDDED_POLICY = "tiny"  # the name of the embedded policy
SAMPLE = f"if x:\n    y = 1\n{UPDATED}"  # an edit of the format plain


@dataclass
class Policy:
    """What answers a task.

    Attributes:
        model: the transformers model.
        tokenizer: its tokenizer.
        format: how a task becomes a prompt and a completion an edit.
        end_tokens: ids that end a completion.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    format: PromptFormat
    end_tokens: tuple[int, ...]

    def encode(self, *tasks: Task) -> list[list[int]]:
        """The token ids of each task's prompt."""
        if not tasks:
            return []
        prompts = [self.format.prompt(task) for task in tasks]
        ids = self.tokenizer(prompts, add_special_tokens=self.format.add_special_tokens)["input_ids"]
        # some tokenizers put an end token behind every text: a prompt goes on
        return [row[:-1] if row[-1:] == [self.tokenizer.eos_token_id] else row for row in ids]

    @functools.cached_property
    def stop(self) -> StopStringCriteria | None:
        """What ends a completion besides the end tokens."""
        return StopStringCriteria(self.tokenizer, list(self.format.stop)) if self.format.stop else None

    def edit(self, task: Task, tokens: list[int]) -> str:
        """The edit that the completion ``tokens`` makes."""
        return self.format.extract(self._text(tokens), task)

    def has_ended(self, tokens: list[int]) -> bool:
        """Whether the completion ``tokens`` came to its end; otherwise it was cut off."""
        if not tokens or tokens[-1] in self.end_tokens:
            return bool(tokens)
        return bool(self.format.stop) and self.format.is_complete(self._text(tokens))

    def _text(self, tokens: list[int]) -> str:
        before, text_before = self._other_text
        return str(self.tokenizer.decode([*before, *tokens], skip_special_tokens=True))[len(text_before) :]

    @functools.cached_property
    def _other_text(self) -> tuple[list[int], str]:
        """What a completion is decoded behind: at the beginning of a text some tokenizers drop a space."""
        tokens = self.tokenizer.encode("x", add_special_tokens=False)
        return tokens, str(self.tokenizer.decode(tokens))

    @torch.no_grad()
    def generate(self, prompts: Sequence[list[int]], max_new_tokens: int, **how: Any) -> list[list[int]]:
        """One completion for each of several prompts, its end token included; ``how`` as in transformers.

        What the model's own settings add (a penalty of repetitions, beams) is left out: it is not the trained policy.
        """
        width = max(map(len, prompts))
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=self.model.device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=self.model.device)
        unfiltered = {"top_k": 0, "top_p": 1.0} if how.get("do_sample") else {"top_k": None, "top_p": None}
        settings = self.model.generation_config
        self.model.generation_config = GenerationConfig()  # the model's would be merged into any that is passed
        try:
            with evaluating(self.model), gathered(self.model):
                rows = self.model.generate(  # type: ignore[operator]  # transformers' mixins confuse mypy
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=max_new_tokens,
                    eos_token_id=list(self.end_tokens),
                    pad_token_id=pad,
                    stopping_criteria=[self.stop] if self.stop else None,
                    **unfiltered,
                    **how,
                )
        finally:
            self.model.generation_config = settings
        return [self._until_end(row) for row in rows[:, width:].tolist()]

    def _until_end(self, tokens: list[int]) -> list[int]:
        for i, token in enumerate(tokens):
            if token in self.end_tokens:
                return tokens[: i + 1]
        while self.stop and tokens and tokens[-1] == self.tokenizer.pad_token_id:  # behind one that stopped otherwise
            tokens = tokens[:-1]
        return tokens


def load_policy(name: str, format_name: str = "auto", device: str = "cpu", thinking: bool = True) -> Policy:
    """Load a policy in float32.

    Args:
        name: ``"tiny"`` for the embedded one, a folder (a checkpoint is one), or a hub name.
        format_name: a prompt format, or ``"auto"``.
        device: where the weights go.
        thinking: see ``make_format``.

    Raises:
        UserError: there is no such model, or its tokenizer knows no text or has no end token.
    """
    source = str(files("gapo_trainer") / "assets" / "tiny_model") if name == EMBEDDED_POLICY else name
    try:
        tokenizer = _load_tokenizer(source)
        model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    except (OSError, ValueError, KeyError, SafetensorError) as error:  # the last two: a damaged file
        saved = checkpoints(Path(name) / CHECKPOINTS)
        hint = f"this is a run's folder; its newest checkpoint is {saved[-1]}. " if saved else ""
        raise UserError(f"model {name!r} could not be loaded: {hint}{type(error).__name__}: {error}") from error
    if not tokenizer.encode("x = 1", add_special_tokens=False):  # transformers makes an empty one from a configuration
        raise UserError(f"model {name!r}: its tokenizer makes no tokens of a text; its files seem to be missing")
    embeddings = len(model.get_input_embeddings().weight)  # tokens that were added later have none
    if tokenizer.eos_token_id is None or tokenizer.eos_token_id >= embeddings:
        raise UserError(f"model {name!r}: its tokenizer has no end token that the model knows: no completion would end")
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id >= embeddings:
        tokenizer.pad_token = tokenizer.eos_token
    prompts = make_format(format_name, tokenizer, thinking, embeddings)
    given_back = str(tokenizer.decode(tokenizer.encode(SAMPLE, add_special_tokens=False)))
    if prompts.stop and given_back.strip() != SAMPLE.strip():
        raise UserError(f"model {name!r}: its tokenizer does not give back the text that the format plain writes")
    for part in (model.config, model.config.get_text_config()):
        if getattr(part, "output_router_logits", False):
            part.output_router_logits = False  # for a loss of experts' balance, which is not part of the objective
    return Policy(model.to(device), tokenizer, prompts, _end_tokens(model, tokenizer))


def _load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The tokenizer exactly as it was saved.

    For some architectures, Qwen2 among them, ``AutoTokenizer`` puts the architecture's own normalizer and splitting in
    place of those in ``tokenizer.json``, and other ids come out. A tokenizer that was saved as a plain fast one, as the
    embedded policy's is, has to be loaded as one.
    """
    plain = get_tokenizer_config(source).get("tokenizer_class") in ("TokenizersBackend", "PreTrainedTokenizerFast")
    return (PreTrainedTokenizerFast if plain else AutoTokenizer).from_pretrained(source, padding_side="left")


def resolve_device(name: str) -> str:
    """The device that ``name`` asks for; ``"auto"`` is CUDA where there is one.

    Raises:
        UserError: this machine, or this torch, has no such device.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if torch.device(name).type == "cuda":
            torch.cuda.get_device_properties(name)  # no tensor: it would stay on the first device, in every rank
        else:
            torch.zeros((), device=name).item()  # the device "meta" makes tensors, but none that can be read
    except (RuntimeError, AssertionError) as error:  # the latter: a torch that was built without CUDA
        raise UserError(f"device={name} cannot be used: {str(error).splitlines()[0]}") from error
    return name


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The tokenizer's end token and those that the model's generation settings add (chat models end turns)."""
    configured = model.generation_config.eos_token_id
    extra = configured if isinstance(configured, list) else [configured]
    return tuple(sorted({tokenizer.eos_token_id, *(token for token in extra if token is not None)}))
