"""Asks a model's output head for something other than logits, from inside the model's own forward.

The head's parameters are whole only there: FSDP2 gathers them in the forward of the module that holds them, and its
hooks on what leaves the model bring them back for the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from gapo_trainer.engine.errors import UnsupportedModelError

HeadFunction = Callable[[Tensor, Tensor, "Tensor | None"], Tensor]


def run_with_head(model: PreTrainedModel, head_function: HeadFunction, **inputs: Any) -> Tensor:
    """Run the model with ``head_function(hidden, weight, bias)`` in place of its output head.

    Args:
        model: a causal language model that passed ``check_model``.
        head_function: given the final hidden states [rows, length, hidden size], the head's weight
            [vocabulary, hidden size] and its bias or None. Its result is float32, so that wrappers which cast a
            model's outputs to float32 leave it alone.
        **inputs: for the model's forward.

    Returns:
        What ``head_function`` returned. It leaves the model in the place of its logits.

    Raises:
        UnsupportedModelError: the model does not call its head once, or writes to its result.
    """
    head, forward = model.get_output_embeddings(), model.forward
    answers = []

    def answer(hidden: Tensor) -> Tensor:
        given = head_function(hidden, head.weight, head.bias)
        answers.append((given, given._version))
        return given

    def forward_with_answer(**inputs: Any) -> Any:
        output = forward(**inputs)
        if len(answers) != 1 or any(given._version != version for given, version in answers):
            found = "a result that was written to" if len(answers) == 1 else f"{len(answers)} calls"
            raise UnsupportedModelError(
                f"model expects one call of its output head, whose result stays as it is, got {found} in "
                f"{type(model).__name__}"
            )
        output.logits = answers[0][0]  # not what the model made of it, by a scale or a soft cap
        return output

    with forward_replaced(head, answer), forward_replaced(model, forward_with_answer):
        logits: Tensor = model(**inputs).logits
    return logits


@contextmanager
def forward_replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Let ``module`` compute ``forward`` within the block; its hooks run as ever."""
    own = vars(module).get("forward")  # accelerate, too, sets one on the instance
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own
