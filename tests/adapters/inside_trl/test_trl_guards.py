"""A TRL that works differently raises before anything is trained; a subclass that changes the rewards is followed."""

import pytest

pytest.importorskip("trl.trainer", reason="needs TRL: make test-adapters-trl")

import torch
import trl
from trl import GRPOTrainer
from trl_runs import Rewards, Watched, assert_advantages, make_trainer, reference_advantages

TABLE = [0.1, 0.9, 0.2, 0.3, 1.0, 1.0, 0.0, 0.5]


class Changed(GRPOTrainer):
    """A TRL to come: ``change`` is what it does to its batch."""

    def _generate_and_score_completions(self, inputs):
        return self.change(super()._generate_and_score_completions(inputs))


class Reorders(Changed):
    def change(self, batch):
        return batch | {"advantages": batch["advantages"].flip(0)}


class Shortens(Changed):
    def change(self, batch):
        return batch | {"advantages": batch["advantages"][:4]}


class ScoresTokens(Changed):
    def change(self, batch):
        return batch | {"advantages": batch["advantages"].unsqueeze(1).expand(-1, 6)}


class Renames(Changed):
    def change(self, batch):
        batch["scores"] = batch.pop("advantages")
        return batch


class ScoresTwice(GRPOTrainer):
    def _generate_and_score_completions(self, inputs):
        self._calculate_rewards(inputs, ["w2"] * 8, ["w3"] * 8, [[3]] * 8)
        return super()._generate_and_score_completions(inputs)


class ScoresElsewhere(GRPOTrainer):
    def _generate_and_score_completions(self, inputs):
        self._calculate_rewards = GRPOTrainer._calculate_rewards.__get__(self)
        return super()._generate_and_score_completions(inputs)


class ScoresMore(GRPOTrainer):
    def _calculate_rewards(self, *args):
        return super()._calculate_rewards(*args).repeat(2, 1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (Reorders, "its advantages do not rise with the rewards of their group"),
        (Shortens, r"the batch has no advantages of shape \[8\]"),
        (ScoresTokens, r"the batch has no advantages of shape \[8\]"),
        (Renames, r"the batch has no advantages of shape \[8\]"),
        (ScoresTwice, r"scored \[\[8, 1\], \[8, 1\]\], not once \[8, 1\]"),
        (ScoresElsewhere, r"scored \[\], not once \[8, 1\]"),
        (ScoresMore, r"scored \[\[16, 1\]\], not once \[8, 1\]"),
    ],
)
def test_a_changed_trl_is_noticed_in_its_first_step(tmp_path, changed, message):
    trainer = make_trainer(tmp_path, Rewards(table=TABLE), trainer=type("Kind", (Watched, changed), {}))
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    with pytest.raises(RuntimeError, match=rf"TRL {trl.__version__} .*: {message}"):
        trainer.train()
    assert all(torch.equal(before[name], weight) for name, weight in trainer.model.named_parameters())


def test_a_trl_without_the_internals_is_refused_at_construction(tmp_path):
    class Renamed(GRPOTrainer):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            del self.num_generations_eval

    with pytest.raises(RuntimeError, match=rf"TRL {trl.__version__} .*: GRPOTrainer has no num_generations_eval"):
        make_trainer(tmp_path, Rewards(), trainer=type("Kind", (Watched, Renamed), {}))


def test_rewards_that_a_subclass_changes_are_those_that_are_scored(tmp_path):
    class Bonus(Watched):
        def _calculate_rewards(self, *args, **kwargs):
            return super()._calculate_rewards(*args, **kwargs) ** 2

    trainer = make_trainer(tmp_path, Rewards(table=TABLE), trainer=Bonus, max_steps=1, scale="none")
    trainer.train()
    assert_advantages(trainer.batches["train"][0], reference_advantages([[value**2 for value in TABLE]], scale="none"))


def test_a_patched_instance_stays_patched(tmp_path):
    trainer = make_trainer(tmp_path, Rewards(table=TABLE), max_steps=2, scale="none")
    calculate = trainer._calculate_rewards
    trainer._calculate_rewards = lambda *args, **kwargs: calculate(*args, **kwargs) ** 2
    trainer.train()
    for batch in trainer.batches["train"]:
        assert_advantages(batch, reference_advantages([[value**2 for value in TABLE]], scale="none"))


def test_an_error_of_a_reward_function_leaves_the_trainer_usable(tmp_path):
    class Fails(Rewards):
        def __call__(self, completion_ids, **kwargs):
            if not self.calls:
                self.calls.append("failed")
                raise OSError("the judge does not answer")
            return super().__call__(completion_ids, **kwargs)

    trainer = make_trainer(tmp_path, Fails(table=TABLE), max_steps=1)
    with pytest.raises(OSError, match="the judge does not answer"):
        trainer.train()
    assert "_calculate_rewards" not in vars(trainer)  # it is watched during a step only
    trainer.train()
    assert_advantages(trainer.batches["train"][0], reference_advantages([TABLE]))
