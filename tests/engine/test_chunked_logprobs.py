import importlib

import pytest
import torch
from plain_path import gradients, plain_logprobs, relative
from torch.utils._python_dispatch import TorchDispatchMode

from gapo_trainer.engine import Completions, chunked_logprobs, prompt_once
from gapo_trainer.engine.logit_curve import LogitCurve

module = importlib.import_module("gapo_trainer.engine.chunked_logprobs")


class LargestTensor(TorchDispatchMode):
    """Records the size of the largest tensor that any operation makes, forward and backward."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.untyped_storage().nbytes() // tensor.element_size())
        return result


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(module, "CHUNK_LOGITS", 0)
    monkeypatch.setattr(module, "CHUNK_POSITIONS", 4)


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("with_entropy", [False, True])
@pytest.mark.parametrize("positions", [1, 4, 9])  # one short chunk, one full, two and a rest
@pytest.mark.parametrize("curve", [LogitCurve(), LogitCurve(0.5), LogitCurve(1.5, cap=2.0)], ids=str)
def test_gradients_are_those_of_the_formula(small_chunks, curve, positions, with_entropy, with_bias):
    torch.manual_seed(0)
    hidden = torch.randn(positions, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(7, dtype=torch.float64, requires_grad=True) if with_bias else None
    targets = torch.randint(7, (positions,))

    def scores(hidden, weight, bias):
        return chunked_logprobs(hidden, weight, bias, targets, 0.6, with_entropy, curve)

    log_p = (curve.of(torch.nn.functional.linear(hidden, weight, bias)) / 0.6).log_softmax(-1)
    expected = [log_p[torch.arange(positions), targets], -(log_p.exp() * log_p).sum(-1)]
    torch.testing.assert_close(scores(hidden, weight, bias), torch.stack(expected[: 1 + with_entropy]))
    torch.autograd.gradcheck(scores, (hidden, weight, bias))


def test_autocast_rounds_no_entropy():
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(6, 5), torch.randn(7, 5), torch.randint(7, (6,))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, entropy = chunked_logprobs(hidden, weight, None, targets, 1.0, True)
    assert not torch.equal(entropy, entropy.bfloat16().float())


def test_only_wanted_gradients_are_computed(small_chunks):
    hidden, weight = torch.randn(6, 5, requires_grad=True), torch.randn(7, 5)
    chunked_logprobs(hidden, weight, None, torch.randint(7, (6,))).sum().backward()
    assert hidden.grad is not None
    assert weight.grad is None


def test_bf16_accumulates_in_float32(small_chunks):
    torch.manual_seed(0)
    hidden, weight = torch.randn(400, 8), torch.randn(30, 8)
    targets = torch.randint(30, (400,))

    def weight_gradient(dtype):
        leaf = weight.to(dtype).requires_grad_()
        scores = chunked_logprobs(hidden.to(dtype), leaf, None, targets)
        assert scores.dtype == torch.float32
        scores.sum().backward()
        return leaf.grad

    assert weight_gradient(torch.bfloat16).dtype == torch.bfloat16
    assert relative(weight_gradient(torch.bfloat16).float(), weight_gradient(torch.float32)) < 0.02  # 2**-8 a rounding


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="temperature expects a value > 0, got 0"):
        chunked_logprobs(torch.zeros(1, 2), torch.zeros(3, 2), None, torch.zeros(1, dtype=torch.int64), 0)


def test_no_tensor_is_ever_as_large_as_all_logits(build_model):
    vocabulary, rows, longest = 5000, 40, 25
    model = build_model("qwen2_tied", vocab_size=vocabulary)
    prompt = torch.randint(vocabulary, (50,))
    completions = Completions.from_lists(torch.randint(vocabulary, (rows, longest)).tolist())
    all_logits = rows * longest * vocabulary

    with LargestTensor() as chunked, prompt_once(model, prompt) as shared:
        shared.logprobs(completions).sum().backward()
    found = gradients(model)
    with LargestTensor() as plain:
        plain_logprobs(model, prompt, completions)[0].sum().backward()

    assert plain.elements >= all_logits  # the measurement sees what it is to see
    assert chunked.elements <= module.CHUNK_LOGITS < 0.9 * all_logits
    assert relative(found, gradients(model)) < 1e-5


def test_what_is_kept_for_backward_does_not_grow_with_the_vocabulary():
    def saved(vocabulary):
        hidden, weight = torch.randn(300, 16, requires_grad=True), torch.randn(vocabulary, 16, requires_grad=True)
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            chunked_logprobs(hidden, weight, None, torch.randint(vocabulary, (300,)))
        return sum(sizes) - weight.numel()

    assert saved(2000) == saved(50)
