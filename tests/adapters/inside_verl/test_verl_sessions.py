"""A session of several outputs counts once, as with verl's own grpo, which alone verl reduces itself."""

import pytest

pytest.importorskip("verl.trainer.ppo.core_algos", reason="needs verl: make test-adapters-verl")
pytest.importorskip("verl.trainer.ppo.v1.utils", reason="verl has its v1 trainer from 0.9 on")

import torch
from verl.trainer.ppo.v1 import trainer_base, utils
from verl_batches import advantages_of, make_batch

# One prompt, four sessions; the winning one, s2, has three outputs, of which only the last is rewarded.
KEYS = ["a_0_0", "a_2_0", "a_1_0", "a_2_2", "a_2_1", "a_3_0"]
REWARDS = [0.0, 0.0, 0.2, 1.0, 0.0, 0.1]
ENDS = [0, 2, 3, 5]


def batch_of(rows):
    return make_batch([REWARDS[row] for row in rows], ["a"] * len(rows))


def reduced(estimator, config=None):
    batch = trainer_base.compute_advantage_for_multi_trajectories(
        batch_of(range(6)), batch_keys=KEYS, adv_estimator=estimator, config=config
    ).batch
    first = batch["response_mask"].argmax(1, keepdim=True)
    rows = batch["advantages"].gather(1, first)
    assert torch.equal(batch["advantages"], rows * batch["response_mask"])
    assert torch.equal(batch["returns"], batch["advantages"])
    return rows.squeeze(1)


@pytest.mark.parametrize("estimator", ["gapo", "gapo_mean"])
def test_only_the_last_output_counts_and_all_get_its_advantage(estimator):
    once = advantages_of(batch_of(ENDS), estimator)
    rows = reduced(estimator)
    assert torch.equal(rows[ENDS], once)
    assert rows[1] == rows[4] == rows[3] > 1


def test_as_verl_does_for_grpo():
    ours = reduced("gapo", {"gapo": {"estimator": "grpo"}})
    assert torch.allclose(ours, reduced("grpo"), rtol=1e-5)


def test_sessions_of_one_output():
    keys = [f"a_{row}_0" for row in range(4)]
    once = utils.compute_advantage_for_multi_trajectories(batch_of(ENDS), keys, "gapo").batch
    assert torch.equal(once["advantages"], utils.compute_advantage(batch_of(ENDS), "gapo").batch["advantages"])


def test_other_estimators_are_left_alone():
    rows = utils.compute_advantage_for_multi_trajectories(batch_of(range(6)), KEYS, "grpo_vectorized").batch
    assert torch.equal(
        rows["advantages"], utils.compute_advantage(batch_of(range(6)), "grpo_vectorized").batch["advantages"]
    )


def test_a_masked_last_output_leaves_its_session_at_zero():
    """verl reads the session's advantage off the output's first token, which is 0 there, for grpo too."""
    for estimator in ("grpo", "gapo"):
        batch = batch_of(range(6))
        batch.batch["response_mask"][3] = 0
        rows = utils.compute_advantage_for_multi_trajectories(batch, KEYS, estimator, config={}).batch["advantages"]
        assert (rows[[1, 3, 4]] == 0).all()
        assert rows[5].any()
