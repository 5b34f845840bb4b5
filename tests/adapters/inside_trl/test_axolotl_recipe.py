"""The lines of docs/adapters/axolotl.md, on a stand-in for Axolotl's trainer at commit 067b021c, mixins and all."""

import re
import sys
import types
from pathlib import Path

import pytest

pytest.importorskip("trl.trainer", reason="needs TRL: make test-adapters-trl")

from trl import GRPOConfig, GRPOTrainer
from trl_runs import Rewards, assert_advantages, make_trainer, reference_advantages

PAGE = Path(__file__).parents[3] / "docs" / "adapters" / "axolotl.md"
(RECIPE,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
TABLE = [0.1, 0.9, 0.2, 0.3, 1.0, 1.0, 0.0, 0.5]


class OptimizerInitMixin:
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)


class AxolotlGRPOTrainer(OptimizerInitMixin, GRPOTrainer):
    _tag_names = (*GRPOTrainer._tag_names, "axolotl")


@pytest.fixture
def trainer_of(monkeypatch):
    """The class of a recipe, which imports Axolotl's."""
    name = "axolotl.core.trainers.grpo.trainer"
    for end in range(1, 6):
        module = ".".join(name.split(".")[:end])
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    sys.modules[name].AxolotlGRPOTrainer = AxolotlGRPOTrainer

    def run(recipe):
        names = {}
        exec(compile(recipe, PAGE.name, "exec"), names)
        return names["GapoTrainer"]

    return run


def test_a_step_trains_on_gapos_advantages(tmp_path, trainer_of):
    class Watched(trainer_of(RECIPE)):
        def _generate_and_score_completions(self, inputs):
            self.batch = super()._generate_and_score_completions(inputs)
            return self.batch

    trainer = make_trainer(tmp_path, Rewards(table=TABLE), trainer=Watched, config=GRPOConfig, max_steps=1)
    assert trainer.advantage_settings["tau"] == 0.5
    assert trainer.model.model_tags == [*AxolotlGRPOTrainer._tag_names, "gapo"]
    trainer.advantage_settings["tau"] = 0.75  # what the page sets is what is used
    trainer.train()
    assert_advantages(trainer.batch, reference_advantages([TABLE], tau=0.75))
    assert any("gapo/center" in line for line in trainer.state.log_history)


def test_a_wrong_setting_is_named_at_construction(tmp_path, trainer_of):
    wrong = trainer_of(RECIPE.replace("tau", "tua"))
    with pytest.raises(ValueError, match=r"^GapoTrainer expects estimator, tau, .*, got 'tua'$"):
        make_trainer(tmp_path, Rewards(table=TABLE), trainer=wrong, config=GRPOConfig)
