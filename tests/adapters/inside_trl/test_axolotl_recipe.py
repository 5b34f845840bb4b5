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
TABLE = [0.1, 0.9, 0.2, 0.3, 1.0, 1.0, 0.0, 0.5]


class OptimizerInitMixin:
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)


class AxolotlGRPOTrainer(OptimizerInitMixin, GRPOTrainer):
    pass


def test_a_step_trains_on_gapos_advantages(tmp_path, monkeypatch):
    name = "axolotl.core.trainers.grpo.trainer"
    for end in range(1, 6):
        module = ".".join(name.split(".")[:end])
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    sys.modules[name].AxolotlGRPOTrainer = AxolotlGRPOTrainer
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec(compile(block, PAGE.name, "exec"), names)

    class Watched(names["GapoTrainer"]):
        def _generate_and_score_completions(self, inputs):
            self.batch = super()._generate_and_score_completions(inputs)
            return self.batch

    trainer = make_trainer(tmp_path, Rewards(table=TABLE), trainer=Watched, config=GRPOConfig, max_steps=1)
    assert trainer.advantage_settings["tau"] == 0.5
    trainer.advantage_settings["tau"] = 0.75  # what the page sets is what is used
    trainer.train()
    assert_advantages(trainer.batch, reference_advantages([TABLE], tau=0.75))
    assert any("gapo/center" in line for line in trainer.state.log_history)
