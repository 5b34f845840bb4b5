"""Settings arrive from code, YAML and flags; what contradicts them is refused in words."""

import pytest

pytest.importorskip("trl.trainer", reason="needs TRL: make test-adapters-trl")

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer, TrlParser
from trl_runs import (
    PROMPTS,
    Rewards,
    Watched,
    assert_advantages,
    make_trainer,
    reference_advantages,
    tiny_model,
    tiny_tokenizer,
)

from gapo_kernels.adapters.trl import GapoGRPOConfig, GapoGRPOTrainer

REQUIRED = {"output_dir": "out", "use_cpu": True, "bf16": False, "report_to": "none"}


def flags(settings):
    return [part for name, value in settings.items() for part in (f"--{name}", str(value))]


def test_yaml_and_flags(tmp_path):
    file = tmp_path / "gapo.yaml"
    file.write_text("estimator: median\ntau: 0.25\neps: 1e-5\ncenter: hdi_mean\n")
    (parsed,) = TrlParser((GapoGRPOConfig,)).parse_args_and_config(
        ["--config", str(file), "--tau", "0.75", *flags(REQUIRED)]
    )
    settings = (parsed.estimator, parsed.tau, parsed.center, parsed.scale, parsed.eps)
    assert settings == ("median", 0.75, "hdi_mean", None, 1e-5)
    assert parsed.epsilon == 0.2  # TRL's clip range


def test_a_plain_configuration_means_the_defaults(tmp_path):
    trainer = make_trainer(tmp_path, rewards := Rewards(), config=GRPOConfig, max_steps=1)
    trainer.train()
    assert_advantages(trainer.batches["train"][0], reference_advantages(rewards.calls))


def test_none_means_the_default(tmp_path):
    unset = dict.fromkeys(("estimator", "tau", "center", "scale", "eps"))
    trainer = make_trainer(tmp_path, rewards := Rewards(), max_steps=1, **unset)
    trainer.train()
    assert trainer._name == "GAPO"
    assert_advantages(trainer.batches["train"][0], reference_advantages(rewards.calls))


def test_no_configuration_means_the_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # TRL names a folder by itself
    monkeypatch.setattr("transformers.training_args.is_torch_bf16_gpu_available", lambda: True)  # its default is bf16
    options = {"processing_class": tiny_tokenizer(), "train_dataset": Dataset.from_dict({"prompt": PROMPTS})}
    trainer = GapoGRPOTrainer(tiny_model(), Rewards(), args=None, **options)
    assert trainer.advantage_settings == {"estimator": "gapo", "tau": 0.5, "eps": 1e-6}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"estimator": "ppo"}, r"GapoGRPOConfig: estimator expects one of .*, got 'ppo'"),
        ({"tau": 0.0}, r"GapoGRPOConfig: .* expects 0 < tau <= 1, got 0"),
        ({"tau": "half"}, r"GapoGRPOConfig.tau expects a number, got 'half'"),
        ({"eps": -1.0}, r"GapoGRPOConfig: .* eps"),
        ({"center": "mode"}, r"GapoGRPOConfig: .* center"),
        ({"scale": "std"}, r"GapoGRPOConfig: .* scale"),
        (
            {"multi_objective_aggregation": "normalize_then_sum"},
            r"multi_objective_aggregation expects 'sum_then_normalize', got 'normalize_then_sum'",
        ),
        ({"scale_rewards": "batch"}, r"scale_rewards expects 'group' beside scale='rms', got 'batch'"),
        ({"scale_rewards": "none"}, r"scale_rewards expects 'group' beside scale='rms', got 'none'"),
        ({"scale_rewards": False, "scale": "mad"}, r"scale_rewards expects 'group' beside scale='mad', got 'none'"),
        (
            {"scale_rewards": "batch", "scale": "none"},
            r"scale_rewards expects 'group' or 'none' beside scale='none', got 'batch'",
        ),
    ],
    ids=str,
)
def test_what_is_refused(tmp_path, settings, message):
    """Before anything is loaded: there is no model of that name."""
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, Rewards(), model="nobody/nothing", **settings)


def test_the_model_card_names_the_estimator_that_was_used(tmp_path):
    assert make_trainer(tmp_path, Rewards())._name == "GAPO"
    assert make_trainer(tmp_path, Rewards()).model.model_tags == [*GRPOTrainer._tag_names, "gapo"]
    other = make_trainer(tmp_path, Rewards(), estimator="rloo")
    assert other._name == GRPOTrainer._name
    assert other.model.model_tags == GRPOTrainer._tag_names


def test_a_subclass_keeps_its_tags(tmp_path):
    tags = [*GRPOTrainer._tag_names, "gapo", "mine"]
    kind = type("Kind", (Watched,), {"_tag_names": tags})
    assert make_trainer(tmp_path, Rewards(), trainer=kind).model.model_tags == tags
