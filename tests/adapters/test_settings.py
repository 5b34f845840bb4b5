"""Settings from a framework's configuration: only what was given is passed on, and a wrong one stops at once."""

import pytest
import torch

import gapo_kernels
from gapo_kernels.adapters.settings import read_settings


def test_only_what_was_given():
    assert read_settings({}, "here") == {}
    assert read_settings({"tau": 1, "center": None, "scale": "mad"}, "here") == {"tau": 1.0, "scale": "mad"}


def test_they_are_the_doors_arguments():
    given = {"estimator": "qae", "tau": 0.75, "center": "median", "scale": "none", "eps": 1e-3}
    rewards = torch.tensor([0.0, 0.1, 0.5, 1.0])
    settings = read_settings(given, "here")
    assert settings == given
    assert torch.equal(gapo_kernels.advantage(rewards, **settings), rewards - 0.3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tua": 0.5}, r"^here expects estimator, tau, center, scale, eps, got 'tua'$"),
        ({"tau": "half"}, r"^here\.tau expects a number, got 'half'$"),
        ({"tau": True}, r"^here\.tau expects a number, got True$"),
        ({"center": 3}, r"^here\.center expects a name, got 3$"),
        ({"tau": 0}, r"^here: .*0 < tau <= 1, got 0"),
        ({"eps": -1.0}, r"^here: .*eps >= 0, got -1"),
        ({"center": "middle"}, r"^here: .*center to be one of hdi_median, .*got 'middle'"),
        ({"scale": "std"}, r"^here: .*scale to be one of rms, mad, none, got 'std'"),
        ({"estimator": "ppo"}, r"^here: estimator expects one of gapo, .*got 'ppo'"),
    ],
)
def test_a_wrong_setting_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        read_settings(given, "here")
