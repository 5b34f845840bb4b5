"""torch.compile, torch.export and the fake implementations agree with the eager op."""

import shutil

import pytest
import torch
from op_samples import OPS, SAMPLES, WITHOUT_NAN, ids_of, offsets_of, rewards_of
from same_bits import as_tuple
from torch._subclasses.fake_tensor import FakeTensorMode

import gapo_kernels

CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")
HAS_COMPILER = bool(shutil.which("g++") or shutil.which("clang++"))


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch.compiler.reset()


@pytest.mark.parametrize("sample", WITHOUT_NAN, ids=str)
def test_opcheck(sample):
    torch.library.opcheck(sample.packet, sample.args, sample.options, test_utils=CHECKS)


@pytest.mark.parametrize("op", OPS)
def test_opcheck_of_an_input_that_requires_grad(op):
    sample = next(sample for sample in SAMPLES if sample.op == op)
    rewards = sample.args[0].clone().requires_grad_()
    torch.library.opcheck(sample.packet, (rewards, *sample.args[1:]), sample.options, test_utils=CHECKS)


def layout(tensor: torch.Tensor) -> tuple:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.requires_grad


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_meta_and_fake_results_are_laid_out_as_the_eager_ones(sample):
    def on_meta(value):
        return value.to("meta") if isinstance(value, torch.Tensor) else value

    def call(convert):
        return as_tuple(sample.packet(*map(convert, sample.args), **{k: convert(v) for k, v in sample.options.items()}))

    eager = [layout(tensor) for tensor in sample.results()]
    assert [layout(tensor) for tensor in call(on_meta)] == eager
    with FakeTensorMode() as mode:
        faked = call(lambda value: mode.from_tensor(value) if isinstance(value, torch.Tensor) else value)
        assert [layout(tensor) for tensor in faked] == eager
        assert all(tensor.device.type == "cpu" for tensor in faked)


def step(groups, rewards, offsets, ids, tokens, mask, valid):
    """All five functions in one graph, with torch's own operations before and after."""
    dense = gapo_kernels.advantage(groups * 2, tau=0.8)
    ragged = gapo_kernels.advantage_varlen(rewards, offsets, 100, estimator="qae")
    by_id = gapo_kernels.advantage_by_id(rewards, ids, estimator="grpo", valid=valid)
    stats = gapo_kernels.advantage_stats(rewards, ids, scale="mad")
    by_token = gapo_kernels.token_advantage(tokens, mask, ids, estimator="rloo")
    return dense.exp(), ragged + by_id, stats.advantage, stats.upper - stats.lower, by_token.sum(-1)


def step_arguments(rows: int) -> tuple[torch.Tensor, ...]:
    tokens, offsets = rewards_of(rows, 5, seed=rows), offsets_of(rows // 2, 0, rows - rows // 2)
    valid = rewards_of(rows, seed=1) > 0.1
    return rewards_of(3, rows + 1), rewards_of(rows), offsets, ids_of(rows, 3), tokens, (tokens > 0.3).long(), valid


def assert_same(results, expected) -> None:
    for result, wanted in zip(results, expected, strict=True):
        torch.testing.assert_close(result, wanted, rtol=1e-6, atol=1e-6, equal_nan=True)


@pytest.mark.skipif(not HAS_COMPILER, reason="inductor needs a C++ compiler")
def test_compile_with_inductor():
    compiled = torch.compile(step, fullgraph=True, dynamic=True)
    for rows in (16, 24):
        arguments = step_arguments(rows)
        assert_same(compiled(*arguments), step(*arguments))


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_compile(dynamic):
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    for rows in (16, 24, 130):
        arguments = step_arguments(rows)
        assert_same(compiled(*arguments), step(*arguments))


@pytest.mark.parametrize(
    ("op", "calls"),
    [
        ("advantage", [(rewards_of(*shape),) for shape in ((4, 8), (6, 16), (9, 100))]),
        ("advantage_varlen", [(rewards_of(rows), offsets_of(2, rows - 2), rows - 2) for rows in (5, 6, 16, 100)]),
    ],
)
def test_one_dynamic_graph_serves_every_size(op, calls):
    graphs, function = [], getattr(torch.ops.gapo, op)

    def count(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(function, fullgraph=True, backend=count, dynamic=True)
    for arguments in calls:
        assert torch.equal(compiled(*arguments), function(*arguments))
    assert len(graphs) == 1


def test_a_compiled_training_step_has_the_gradients_of_the_eager_one():
    def loss(logits, rewards):
        return (gapo_kernels.advantage(rewards * logits.detach()) * logits).sum() + gapo_kernels.advantage(logits).sum()

    logits, rewards = rewards_of(4, 8).requires_grad_(), rewards_of(4, 8, seed=1)
    (expected,) = torch.autograd.grad(loss(logits, rewards), logits)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    (gradient,) = torch.autograd.grad(compiled(logits, rewards), logits)
    assert torch.equal(gradient, expected)


def test_a_compiled_call_refuses_what_the_eager_one_refuses():
    compiled = torch.compile(torch.ops.gapo.advantage, fullgraph=True, backend="aot_eager")
    with pytest.raises(RuntimeError, match=r"gapo::advantage expects 0 < tau <= 1, got 2"):
        compiled(rewards_of(8), 2.0)


class Step(torch.nn.Module):
    def forward(self, *arguments):
        return step(*arguments)


def test_export_with_dynamic_dimensions():
    rows, group_size = torch.export.Dim("rows", min=2, max=200), torch.export.Dim("group_size", min=2)
    by_row = {0: rows}
    shapes = ({1: group_size}, by_row, None, by_row, by_row, by_row, by_row)
    program = torch.export.export(Step(), step_arguments(16), dynamic_shapes={"arguments": shapes})
    targets = [str(node.target) for node in program.graph.nodes]
    for op in OPS:
        assert f"gapo.{op}.default" in targets
    for rows in (16, 24, 130):
        arguments = step_arguments(rows)
        assert_same(program.module()(*arguments), step(*arguments))


def test_export_of_ragged_groups_whose_largest_is_looked_for():
    class Ragged(torch.nn.Module):
        def forward(self, rewards, offsets):
            return gapo_kernels.advantage_varlen(rewards, offsets)

    given = (torch.rand(12), torch.tensor([0, 3, 4, 12]))
    program = torch.export.export(
        Ragged(), given, dynamic_shapes=({0: torch.export.Dim.AUTO}, {0: torch.export.Dim.AUTO})
    )
    for rewards, offsets in (given, (torch.rand(20), torch.tensor([0, 9, 9, 15, 20]))):
        expected = gapo_kernels.advantage_varlen(rewards, offsets)
        assert torch.equal(program.module()(rewards, offsets), expected)
