"""What the benchmark compares with computes what it claims: every peer against the reference, the authors' loop against
what the authors' code itself returned.
"""

from __future__ import annotations

import bench_modules  # noqa: F401
import numpy as np
import pytest
import torch
from golden_cases import CASES, assert_golden, needs_golden

from bench import peers, verl_peers
from bench.forms import FORMS, group_sizes
from gapo_kernels import reference

SHAPES = {
    "advantage": (13, 17),
    "advantage, masked": (13, 17),
    "advantage_varlen": (40, 9),  # the power law gives groups of 3 to 90
    "advantage_by_id": (40, 9),
    "token_advantage": (5, 12, 7),
}
MEAN_INSTEAD = ("verl grpo", "verl grpo_vectorized", "torch, mean")
COMPUTING = [(form, peer) for form in FORMS for peer, who in FORMS[form].peers.items() if not who.floor]


def expected(form: str, inputs: tuple, center: str) -> np.ndarray:
    """The reference's advantages for a form's inputs."""
    rewards = inputs[0].numpy()
    if form == "advantage":
        return reference.advantage(rewards, center=center)[0]
    if form == "advantage, masked":
        return reference.advantage(rewards, valid=inputs[1].numpy(), center=center)[0]
    if form == "advantage_varlen":
        ids = np.repeat(np.arange(len(inputs[1]) - 1), inputs[1].diff().numpy())
        return reference.advantage(rewards, ids, center=center)[0]
    if form == "advantage_by_id":
        return reference.advantage(rewards, inputs[1].numpy(), center=center)[0]
    rows = reference.advantage(rewards.sum(-1), inputs[2].numpy(), center=center)[0]
    return rows[:, None] * inputs[1].numpy()


@pytest.mark.parametrize(("form", "name"), COMPUTING, ids=lambda value: value)
def test_peers_compute_what_the_op_computes(form, name):
    peer = FORMS[form].peers[name]
    if reason := peer.absent():
        pytest.skip(reason)
    if peer.devices == ("cuda",):
        pytest.skip("needs a CUDA device")
    if name == "torch.compile":
        pytest.skip("compiles for ten seconds; its source is vectorised_torch, which is compared")
    inputs = FORMS[form].draw(SHAPES[form], torch.float32, "cpu", torch.Generator().manual_seed(1))
    given = [value.clone() if isinstance(value, torch.Tensor) else value for value in inputs]
    result = torch.as_tensor(peer.call(*peer.prepare(*inputs)))
    for value, before in zip(inputs, given, strict=True):
        assert value is before or torch.equal(value, before), "the next peer would get other inputs"
    wanted = expected(form, inputs, "mean" if name in MEAN_INSTEAD else "hdi_median")
    np.testing.assert_allclose(result.reshape(wanted.shape).numpy(), wanted, rtol=2e-5, atol=2e-6)


@needs_golden
def test_the_authors_loop_returns_what_the_authors_code_returned():
    for case in CASES:
        result = peers.authors_loop(
            case["rewards"],
            case["group"].tolist(),
            tau=case["tau"],
            center=case["center"],
            normalize=case["normalize"],
        )
        assert_golden(result, case["advantage"])


def test_groups_of_one_and_two():
    rewards, offsets = torch.tensor([5.0, 1.0, 4.0]), torch.tensor([0, 1, 3])
    wanted = reference.advantage(rewards.numpy(), np.array([0, 1, 1]))[0]
    for result in (peers.authors_loop(rewards, [0, 1, 1]), peers.padded_torch(rewards, offsets, 2)):
        np.testing.assert_allclose(result.numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_the_power_law_has_the_mean_it_is_asked_for():
    for groups, mean in ((4096, 16), (512, 512)):
        sizes = group_sizes(groups, mean)
        assert 0.7 * mean < sizes.double().mean() < 1.3 * mean
        assert sizes.max() > 10 * mean, "no tail"
        assert sizes.min() >= 1


def test_verl_is_left_out_with_a_reason_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(verl_peers.importlib.util, "find_spec", lambda name: None)
    assert "not installed" in FORMS["token_advantage"].peers["verl grpo"].absent()
