"""Settings in every form in which verl's configuration arrives, and what is said about wrong ones."""

import warnings
from pathlib import Path

import pytest

pytest.importorskip("verl.trainer.ppo.core_algos", reason="needs verl: make test-adapters-verl")

import torch
import verl
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from verl.trainer.config import AlgoConfig
from verl_batches import advantages_of, ragged_batch, reference_advantages

from gapo_kernels.adapters import verl as adapter

RECIPE = Path(__file__).parents[3] / "trainer" / "verl_recipe"
VERL_CONFIG = Path(verl.__file__).parent / "trainer" / "config"


def struct(config):
    node = OmegaConf.create(config)
    OmegaConf.set_struct(node, True)
    return node


def dataclass(config):
    """AlgoConfig has no field for a plug-in's section; whoever builds one hangs it on."""
    section = config.pop("gapo", None)
    built = AlgoConfig(**config)
    if section is not None:
        built.gapo = section
    return built


def assert_is(config, estimator="gapo", name="gapo", **options):
    batch = ragged_batch()
    expected = reference_advantages(batch, estimator, **options)
    assert torch.allclose(advantages_of(batch, name, config=config), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", [dict, OmegaConf.create, struct, dataclass])
@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, {}),
        ({"gapo": None}, {}),
        ({"gapo": {}, "norm_adv_by_std_in_grpo": True}, {}),
        ({"gapo": {"tau": 1}}, {"tau": 1.0}),
        ({"gapo": {"tau": "1e-1"}}, {"tau": 0.1}),
        ({"gapo": {"tau": 0.25, "center": "median", "scale": "mad", "eps": 0.01}}, None),
        ({"norm_adv_by_std_in_grpo": False}, {"scale": "none"}),
        ({"gapo": {"scale": "none"}, "norm_adv_by_std_in_grpo": False}, {"scale": "none"}),
        ({"gapo": {"estimator": "rloo"}}, {"estimator": "rloo"}),
    ],
    ids=str,
)
def test_forms(form, config, expected):
    assert_is(form(dict(config)), **(config["gapo"] if expected is None else expected))


def test_no_configuration():
    adapter._warn_of_no_configuration.cache_clear()
    message = r"^verl's trainer passed no algorithm section: algorithm\.gapo and norm_adv_by_std_in_grpo are not read$"
    with pytest.warns(UserWarning, match=message):
        assert_is(None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # once is enough
        assert_is(None, "gapo_mean", "gapo_mean")


def test_settings_replace_those_of_the_name():
    assert_is({"gapo": {"tau": 0.75, "scale": "none"}}, "gapo_mean", "gapo_mean", tau=0.75, scale="none")


def test_verls_own_files_with_command_line_overrides():
    with initialize_config_dir(str(VERL_CONFIG), version_base=None):
        overrides = ["algorithm.adv_estimator=gapo", "+algorithm.gapo.tau=0.25", "+algorithm.gapo.eps=1e-3"]
        config = compose("ppo_trainer", overrides)
        plain = compose("ppo_trainer", ["algorithm.adv_estimator=gapo"])
    assert_is(config.algorithm, tau=0.25, eps=1e-3)
    assert_is(plain.algorithm)


def test_the_recipe(monkeypatch):
    monkeypatch.setenv("DATA", "data")
    with initialize_config_dir(str(RECIPE), version_base=None):
        config = compose("gapo", ["algorithm.gapo.tau=0.75"])
    base = compose_base()
    assert config.algorithm.adv_estimator == "gapo"
    assert_is(config.algorithm, tau=0.75)
    written = OmegaConf.load(RECIPE / "gapo.yaml")
    ours = {key for name in written if name not in ("hydra", "defaults") for key in keys_of(written[name], name)}
    assert ours - keys_of(base) == {"algorithm.gapo.tau"}, "settings that verl does not have"


def compose_base():
    with initialize_config_dir(str(VERL_CONFIG), version_base=None):
        return compose("ppo_trainer")


def keys_of(node, prefix=""):
    """The full names of a configuration's leaves."""
    if not OmegaConf.is_dict(node):
        return {prefix}
    container = OmegaConf.to_container(node, resolve=False)
    found = set()
    for key, value in container.items():
        name = f"{prefix}.{key}".lstrip(".")
        found |= keys_of(OmegaConf.create(value), name) if isinstance(value, dict) and value else {name}
    return found


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"gapo": {"tua": 0.5}}, r"^algorithm\.gapo expects estimator, tau, .*, got 'tua'$"),
        ({"gapo": {"tau": 0}}, r"^algorithm\.gapo: .*0 < tau <= 1, got 0"),
        ({"gapo": 0.5}, r"^algorithm\.gapo expects settings such as algorithm\.gapo\.tau=0\.5, got 0\.5$"),
        (
            {"gapo": {"scale": "mad"}, "norm_adv_by_std_in_grpo": False},
            r"^algorithm\.gapo\.scale expects none .* while algorithm\.norm_adv_by_std_in_grpo is off, got 'mad'$",
        ),
    ],
)
def test_a_wrong_setting_is_named(config, message):
    with pytest.raises(ValueError, match=message):
        advantages_of(ragged_batch(), "gapo", config=OmegaConf.create(config))
