import pytest

from gapo_trainer.config import DAPO, Config, load_config, to_yaml
from gapo_trainer.errors import UserError


def test_overrides_beat_settings_beat_the_file_beats_the_defaults(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("lr: 1e-4\ngroup_size: 128\ntau: 0.6\n")
    config = load_config(file, ["group_size=32"], group_size=64, tau=0.7)
    assert (config.lr, config.group_size, config.tau) == (1e-4, 32, 0.7)
    assert config.steps == Config().steps


def test_a_written_configuration_reads_back(tmp_path):
    config = load_config(overrides=["estimator=rloo", "lr=3e-7", "out=a: #b", "dynamic_sampling=true"])
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert load_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("group_sise=3", "no setting is called 'group_sise'; did you mean 'group_size'?"),
        ("qqqqqq=3", "no setting is called 'qqqqqq'$"),
        ("group_size", "override expects name=value, got 'group_size'"),
        ("group_size=many", "group_size expects int, got 'many'"),
        ("group_size=1.5", "group_size expects int, got 1.5"),
        ("track_kl=1", "track_kl expects bool, got 1"),
        (f"lr=1{'0' * 400}", "lr expects float, got 1000"),
        ("lr=fast", "lr expects float, got 'fast'"),
        ("lr=[", "override 'lr=\\['"),
        ("loss=mean", "loss expects one of sequence, token, constant, got 'mean'"),
        ("estimator=ppo", "estimator expects one of gapo, .*got 'ppo'"),
        ("group_size=0", "group_size expects a value >= 1, got 0"),
        ("tau=0", "expects 0 < tau <= 1, got 0$"),
        ("lr=nan", "lr expects a value > 0, got nan"),
        ("kl_coef=nan", "kl_coef expects a value >= 0, got nan"),
        ("entropy_coef=nan", "entropy_coef expects a finite number, got nan"),
        ("temperature=.inf", "temperature expects a finite number, got inf"),
        ("overlong_penalty=-1", "overlong_penalty expects a value >= 0, got -1.0"),
        ("seed=9223372036854775808", "seed expects a value < 2\\^63, got 9223372036854775808"),
        ("seed=-1", "seed expects a value >= 0, got -1"),
        ("out=", "out expects a folder, got ''"),
        ("dual_clip=0.5", "dual_clip expects 0, for none, or a value > 1, got 0.5"),
        ("reward_noise=1.5", "reward_noise expects 0 <= reward_noise <= 1, got 1.5"),
        ("mini_batches=3", r"mini_batches expects a divisor of prompts_per_step \(8\), got 3"),
        ("overlong_buffer=4", "overlong_buffer expects 0 <= overlong_buffer <= 1, got 4.0"),
    ],
)
def test_bad_settings_are_refused_by_name(override, message):
    with pytest.raises(UserError, match=message):
        load_config(overrides=[override])


def test_an_unknown_key_in_a_file_names_the_file(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("temprature: 0.5\n")
    with pytest.raises(UserError, match=r"run.yaml: no setting is called 'temprature'; did you mean 'temperature'"):
        load_config(file)


def test_a_key_that_a_file_has_twice_is_refused(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("steps: 1\nseed: 2\nsteps: 3\n")
    with pytest.raises(UserError, match=r"config .*run.yaml sets 'steps' more than once"):
        load_config(file)
    for nothing in ("# nothing\n", "null\n", "~\n"):
        file.write_text(nothing)
        assert load_config(file) == Config()


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", "7\n", "steps\n"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text):
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(UserError, match=r"config .*run.yaml"):
        load_config(tmp_path / "run.yaml")


@pytest.mark.parametrize(
    "wrong", ["temperature=0", "dual_clip=1", "keep_checkpoints=0", "epochs=0", "clip_low=-0.1", "steps=true", "lr=0"]
)
def test_values_at_the_edge_are_refused(wrong):
    with pytest.raises(UserError, match=f"{wrong.partition('=')[0]} expects"):
        load_config(overrides=[wrong])


def test_values_at_the_edge_that_are_allowed():
    load_config(overrides=["overlong_buffer=1", "max_grad_norm=.inf", "reward_timeout=.inf", "kl_coef=0", "min_lr=1"])


def test_what_dapo_is():
    assert DAPO == {"dynamic_sampling": True, "clip_high": 0.28, "loss": "token", "overlong_buffer": 0.2}
