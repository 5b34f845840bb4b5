from types import SimpleNamespace

import pytest
import torch

from gapo_trainer.engine import fused_attention
from gapo_trainer.engine.fused_attention import FUSED_ATTENTION
from gapo_trainer.engine.merged_attention import merged_attention


def inputs(rows, heads, key_heads, length, own_length, prompt_length, dim=8, value_dim=8, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shapes = [
        (rows, heads, length, dim),
        *((1, key_heads, prompt_length, last) for last in (dim, value_dim)),
        *((rows, key_heads, own_length, last) for last in (dim, value_dim)),
    ]
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


def by_definition(query, prompt_key, prompt_value, key, value, scale, sinks=None):
    """One softmax over the prompt's keys, a row's own and the sink, all expanded."""
    rows, heads, length, _ = query.shape
    repeats = heads // key.shape[1]
    keys = torch.cat([prompt_key.expand(rows, -1, -1, -1), key], 2).repeat_interleave(repeats, 1)
    values = torch.cat([prompt_value.expand(rows, -1, -1, -1), value], 2).repeat_interleave(repeats, 1)
    seen = torch.ones(length, keys.shape[2], dtype=torch.bool).tril(keys.shape[2] - length)
    scores = (query @ keys.mT * scale).masked_fill(~seen, -torch.inf)
    if sinks is not None:
        scores = torch.cat([scores, sinks[:, None, None].expand(rows, -1, length, 1)], -1)
    return torch.softmax(scores, -1)[..., : keys.shape[2]] @ values


def distance(found, expected):
    """Relative, as a whole: bfloat16 rounds single elements by much."""
    return ((found.float().cpu() - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("sinks", [False, True])
@pytest.mark.parametrize(
    ("rows", "heads", "key_heads", "length", "own_length", "prompt_length", "dim", "value_dim"),
    [
        (3, 4, 2, 5, 5, 7, 8, 8),  # whole completions, keys shared by two heads
        (1, 2, 2, 3, 3, 1, 8, 8),  # one row, no sharing, a prompt of one token
        (4, 6, 2, 1, 1, 9, 8, 8),  # first token
        (4, 6, 2, 1, 6, 9, 8, 8),  # next token
        (2, 2, 1, 40, 40, 33, 8, 8),  # past one block of the kernel
        (3, 4, 4, 5, 5, 7, 12, 8),  # values narrower than keys, as in multi-head latent attention
        (3, 4, 2, 1, 6, 7, 8, 12),  # and wider
        (1, 4, 2, 9, 9, 0, 8, 8),  # the prompt itself
    ],
)
def test_equals_one_softmax_over_both(rows, heads, key_heads, length, own_length, prompt_length, dim, value_dim, sinks):
    tensors = inputs(rows, heads, key_heads, length, own_length, prompt_length, dim, value_dim)
    sinks = torch.linspace(-1, 3, heads, dtype=torch.float64).requires_grad_() if sinks else None
    found, expected = merged_attention(*tensors, 0.3, sinks), by_definition(*tensors, 0.3, sinks)
    torch.testing.assert_close(found, expected)
    grad = torch.randn_like(found)
    used = [tensor for tensor in (*tensors, sinks) if tensor is not None and tensor.numel() > 0]
    for got, wanted in zip(
        torch.autograd.grad(found, used, grad), torch.autograd.grad(expected, used, grad), strict=True
    ):
        torch.testing.assert_close(got, wanted)


def test_a_share_that_vanishes_gives_no_nan():
    query, prompt_key, prompt_value, key, value = inputs(2, 2, 1, 3, 3, 4)
    with torch.no_grad():
        prompt_key.copy_(query[:1, :1, :1].expand_as(prompt_key) * 1e4)  # scores that leave nothing to the other part
    out = merged_attention(query, prompt_key, prompt_value, key, value, 1.0)
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(out.sum(), (query, prompt_key, key)))


def test_bf16_stays_bf16_and_close():
    tensors = [*inputs(3, 4, 2, 5, 5, 7, dtype=torch.float32), torch.linspace(-1, 2, 4, requires_grad=True)]
    halves = [tensor.detach().bfloat16().requires_grad_() for tensor in tensors]
    found, expected = merged_attention(*halves[:5], 0.3, halves[5]), by_definition(*tensors[:5], 0.3, tensors[5])
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)
    found.sum().backward()
    expected.sum().backward()
    for half, tensor in zip(halves, tensors, strict=True):
        assert half.grad.dtype == torch.bfloat16
        torch.testing.assert_close(half.grad.float(), tensor.grad, rtol=0.05, atol=0.1)


@pytest.mark.parametrize("queries", [32, 33])  # on and beside the kernel's alignment
def test_cuda_kernels_are_called_as_pytorch_declares_them(queries):
    """Shapes and signatures only, on meta tensors: no CUDA device computes here."""
    fused = FUSED_ATTENTION["cuda"]
    query, key = torch.empty(1, 2, queries, 8, device="meta"), torch.empty(1, 2, 50, 8, device="meta")
    out, lse = fused.forward(query, key, key, False, 0.3)
    assert (out.shape, lse.shape, lse.dtype) == (query.shape, (1, 2, queries), torch.float32)
    grads = fused.backward(out, query, key, key, out, lse, False, 0.3)
    assert [grad.shape for grad in grads] == [query.shape, key.shape, key.shape]


@pytest.mark.parametrize("length", [1, 5])
def test_cuda_kernels_get_outputs_as_they_read_them(length, monkeypatch):
    """In half precision the backward kernel ignores the strides of the output: a position's heads lie side by side."""
    aten, side_by_side = torch.ops.aten, []

    def backward(grad, query, key, value, bias, out, *rest, **named):
        side_by_side.append(out.transpose(1, 2).is_contiguous())
        return aten._scaled_dot_product_efficient_attention_backward(grad, query, key, value, bias, out, *rest, **named)

    forward = aten._scaled_dot_product_efficient_attention
    kernels = {
        "_scaled_dot_product_efficient_attention": forward,
        "_scaled_dot_product_efficient_attention_backward": backward,
    }
    monkeypatch.setattr(fused_attention, "aten", SimpleNamespace(**kernels))
    monkeypatch.setitem(FUSED_ATTENTION, "meta", FUSED_ATTENTION["cuda"])
    tensors = [tensor.detach().to("meta").requires_grad_() for tensor in inputs(3, 4, 2, length, 5, 7)]
    merged_attention(*tensors, 0.3).sum().backward()
    assert side_by_side == [True, True]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("length", "own_length"), [(5, 5), (1, 6), (40, 40)])
def test_cuda_equals_one_softmax_over_both(length, own_length, dtype):
    tensors = [*inputs(3, 4, 2, length, own_length, 33, dtype=torch.float32), torch.linspace(-1, 3, 4).requires_grad_()]
    expected = by_definition(*tensors[:5], 0.3, tensors[5])
    on_device = [tensor.detach().to("cuda", dtype).requires_grad_() for tensor in tensors]
    found = merged_attention(*on_device[:5], 0.3, on_device[5])
    tolerance = 1e-3 if dtype == torch.float32 else 3e-2
    assert distance(found, expected) < tolerance
    grad = torch.randn_like(expected)
    for got, wanted in zip(
        torch.autograd.grad(found, on_device, grad.to("cuda", dtype)),
        torch.autograd.grad(expected, tensors, grad),
        strict=True,
    ):
        assert distance(got, wanted) < tolerance
