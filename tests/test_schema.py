"""Names, order and defaults of the ops are fixed: users rely on them."""

import inspect

import pytest
import torch
from op_samples import CENTERS, OPS, SCALES

import gapo_kernels
import gapo_numpy
from gapo_kernels import distributed, reference
from gapo_numpy.estimators import EPS, ESTIMATORS, TAU

OPTIONS = (
    'float tau=0.5, str center="hdi_median", str scale="rms", float eps=9.9999999999999995e-07, Tensor? valid=None'
)
SCHEMAS = {
    "advantage": "Tensor rewards, {} -> Tensor",
    "advantage_varlen": "Tensor rewards, Tensor offsets, SymInt max_group_size, {} -> Tensor",
    "advantage_by_id": "Tensor rewards, Tensor group_ids, {} -> Tensor",
    "advantage_stats": "Tensor rewards, Tensor? group_ids=None, {} -> (Tensor, Tensor)",
    "token_advantage": "Tensor token_rewards, Tensor mask, Tensor group_ids, {} -> Tensor",
}


def test_the_names_are_these():
    """From which the other tests take them."""
    assert set(OPS) == set(SCHEMAS)
    assert CENTERS == ("hdi_median", "hdi_mean", "quantile", "median", "mean", "loo_mean", "none")
    assert SCALES == ("rms", "mad", "none")
    assert list(ESTIMATORS) == ["gapo", "gapo_mean", "grpo", "dr_grpo", "rloo", "median", "median_mad", "qae"]


@pytest.mark.parametrize("op", OPS)
def test_schema(op):
    arguments, returns = SCHEMAS[op].format(OPTIONS).split(" -> ")
    assert str(getattr(torch.ops.gapo, op).default._schema) == f"gapo::{op}({arguments}) -> {returns}"


def test_these_are_all_the_ops():
    registered = {name for name in torch._C._dispatch_get_all_op_names() if name.startswith("gapo::")}
    assert registered == {f"gapo::{op}" for op in OPS}


@pytest.mark.parametrize("op", OPS)
def test_the_schema_defaults_are_those_of_python(op):
    defaults = {
        argument.name: argument.default_value for argument in getattr(torch.ops.gapo, op).default._schema.arguments
    }
    assert (defaults["tau"], defaults["eps"]) == (TAU, EPS) == (0.5, 1e-6)
    assert (defaults["center"], defaults["scale"]) == ESTIMATORS["gapo"]
    assert defaults["valid"] is None


FUNCTIONS = [
    *(getattr(gapo_kernels, op) for op in OPS),
    distributed.advantage,
    gapo_numpy.advantage,
    gapo_numpy.advantage_stats,
]


@pytest.mark.parametrize("function", [*FUNCTIONS, reference.advantage], ids=lambda f: f"{f.__module__}.{f.__name__}")
def test_every_function_has_the_same_defaults(function):
    defaults = {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}
    assert (defaults["tau"], defaults["eps"], defaults["valid"]) == (TAU, EPS, None)
    if function is reference.advantage:
        assert (defaults["center"], defaults["scale"]) == ESTIMATORS["gapo"]
    else:
        assert (defaults["estimator"], defaults["center"], defaults["scale"]) == ("gapo", None, None)


def test_names_are_the_same_everywhere():
    assert gapo_numpy.CENTERS == reference.CENTERS
    assert gapo_numpy.SCALES == reference.SCALES
    assert all(center in reference.CENTERS and scale in reference.SCALES for center, scale in ESTIMATORS.values())
