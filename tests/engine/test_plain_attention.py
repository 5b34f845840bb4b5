"""Windows, caps and sinks against the formula, a query at a time."""

import pytest
import torch

from gapo_trainer.engine import plain_attention as module
from gapo_trainer.engine.plain_attention import Rules, plain_attention

ROWS, HEADS, KEY_HEADS, DIM, VALUE_DIM = 2, 4, 2, 3, 5


def tensors(prompt, own, length):
    generator = torch.Generator().manual_seed(prompt + 10 * own)

    def random(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    return (
        random(ROWS, HEADS, length, DIM),
        random(1, KEY_HEADS, prompt, DIM),
        random(1, KEY_HEADS, prompt, VALUE_DIM),
        random(ROWS, KEY_HEADS, own, DIM),
        random(ROWS, KEY_HEADS, own, VALUE_DIM),
    )


def formula(query, prompt_key, prompt_value, key, value, rules):
    rows, heads, length, _ = query.shape
    keys = torch.cat([prompt_key.expand(rows, -1, -1, -1), key], dim=2).repeat_interleave(HEADS // KEY_HEADS, dim=1)
    values = torch.cat([prompt_value.expand(rows, -1, -1, -1), value], dim=2).repeat_interleave(
        HEADS // KEY_HEADS, dim=1
    )
    out = []
    for i in range(length):
        position = keys.shape[2] - length + i
        begin = 0 if rules.window is None else max(0, position + 1 - rules.window)
        seen = slice(begin, position + 1)
        scores = (query[:, :, i : i + 1] * keys[:, :, seen]).sum(-1) * rules.scale
        if rules.cap is not None:
            scores = rules.cap * torch.tanh(scores / rules.cap)
        largest = scores.max(-1, keepdim=True).values
        weights = (scores - largest).exp()
        total = weights.sum(-1, keepdim=True)
        if rules.sinks is not None:
            total = total + (rules.sinks.reshape(1, heads, 1) - largest).exp()
        out.append(((weights / total)[..., None] * values[:, :, seen]).sum(2))
    return torch.stack(out, dim=2)


@pytest.fixture(params=[1 << 24, 1, 60], ids=["at_once", "one_query", "a_few"])
def held_scores(request, monkeypatch):
    monkeypatch.setattr(module, "SCORES", request.param)


@pytest.mark.parametrize("sinks", [False, True])
@pytest.mark.parametrize("cap", [None, 0.7])
@pytest.mark.parametrize("window", [None, 1, 3, 9, 100])
@pytest.mark.parametrize(
    ("prompt", "own", "length"),
    [(0, 5, 5), (4, 5, 5), (7, 1, 1), (2, 6, 1)],  # the prompt itself; completions; the first and a later next token
)
def test_the_formula(held_scores, prompt, own, length, window, cap, sinks):
    inputs = tensors(prompt, own, length)
    leaves = [*inputs]
    if sinks:
        leaves.append(torch.linspace(-1, 1, HEADS, dtype=torch.float64).requires_grad_())
    rules = Rules(0.6, window, cap, leaves[-1] if sinks else None)
    found, expected = plain_attention(*inputs, rules), formula(*inputs, rules)
    torch.testing.assert_close(found, expected)
    weights = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for got, wanted in zip(
        torch.autograd.grad((found * weights).sum(), leaves, materialize_grads=True),
        torch.autograd.grad((expected * weights).sum(), leaves, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted)


def test_scores_are_computed_again_in_the_backward_pass(monkeypatch):
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda x: x):
        plain_attention(*tensors(50, 8, 8), Rules(1.0, window=20))
    assert max(kept, default=0) <= 50 * KEY_HEADS * VALUE_DIM  # inputs only, no scores: these are 2 * 4 * 8 * 27


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_scores_are_not_rounded_or_overflowed(dtype):
    inputs = [tensor.detach().to(dtype) for tensor in tensors(4, 5, 5)]
    large = [30 * inputs[0], 400 * inputs[1], inputs[2], 400 * inputs[3], inputs[4]]  # scores of up to 1e5
    rules = Rules(0.6, window=3)
    with torch.autocast("cpu", torch.bfloat16):
        found = plain_attention(*large, rules)
    expected = formula(*(tensor.double() for tensor in large), rules)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=0.03)
