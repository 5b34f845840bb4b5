"""Settings from a framework's configuration: only what was given is passed on, and a wrong one stops at once."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import gapo_kernels
from gapo_kernels import ops
from gapo_kernels.adapters.settings import read_settings, without_division


def test_only_what_was_given():
    assert read_settings({}, "here") == read_settings(None, "here") == {}
    assert read_settings({"tau": 1, "center": None, "scale": "mad"}, "here") == {"tau": 1.0, "scale": "mad"}


@pytest.mark.parametrize("slots", [False, True])
def test_a_dataclass(slots):
    @dataclass(slots=slots)
    class Section:
        tau: float = 0.75
        center: str | None = None

    assert read_settings(Section(), "here") == {"tau": 0.75}
    with pytest.raises(ValueError, match=r"^here expects settings such as here\.tau=0\.5, got <class "):
        read_settings(Section, "here")


def test_they_are_checked_whatever_the_default_device_is():
    with torch.device("meta"), pytest.raises(ValueError, match=r"^here: .*0 < tau <= 1, got 7"):
        read_settings({"tau": 7}, "here")


def test_a_switch_that_was_not_given_changes_nothing():
    assert without_division({"tau": 0.5}, None, "here", "divide") == {"tau": 0.5}
    assert without_division({"tau": 0.5}, 0, "here", "divide") == {"tau": 0.5, "scale": "none"}


@pytest.mark.parametrize("number", [1e-3, "1e-3", "0.001", np.float32(1e-3), np.float64(1e-3)])
def test_a_number_in_any_form(number):
    """yaml.safe_load makes a string of 1e-3."""
    eps = read_settings({"eps": number}, "here")["eps"]
    assert type(eps) is float
    assert eps == pytest.approx(1e-3)


@pytest.mark.parametrize("given", [0.5, 0, "tau", ["tau"], SimpleNamespace(tau=0.5)])
def test_what_is_no_section(given):
    with pytest.raises(ValueError, match=r"^here expects settings such as here\.tau=0\.5, got "):
        read_settings(given, "here")


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
        ({"tau": [0.5]}, r"^here\.tau expects a number, got \[0\.5\]$"),
        ({"eps": "nan"}, r"^here: .*eps >= 0, got nan"),
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


def test_a_trace_that_torch_adds_is_left_out(monkeypatch):
    def refuse(*args, **settings):
        raise RuntimeError("expects another\nException raised from ...")

    monkeypatch.setattr(ops, "advantage", refuse)
    with pytest.raises(ValueError, match=r"^here: expects another$") as raised:
        read_settings({"tau": 0.5}, "here")
    assert "\n" not in str(raised.value)
