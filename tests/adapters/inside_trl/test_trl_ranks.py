"""Two processes, one group spread over both: each trains on its slice of what one process would compute."""

import pytest

pytest.importorskip("trl.trainer", reason="needs TRL: make test-adapters-trl")

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from trl_runs import PROMPTS, Rewards, make_trainer, reference_advantages

from gapo_trainer.ranks import leave

WORLD = 2
ROWS = 6  # of each rank: groups of 4 begin at rows 0, 4 and 8, so that the second is on both
EVAL_ROWS = 3  # one group of 6, on both
TABLES = ([0.1, 0.9, 0.2, 0.3, 1.0, 0.2], [None, 0.5, 0.4, 0.6, 0.4, None])  # of each rank


def train(folder):
    """One rank: what was scored here, trained on here, and logged."""
    rank = int(os.environ["RANK"])
    rewards, drawn = Rewards("table", TABLES[rank]), Rewards()
    trainer = make_trainer(
        folder,
        [rewards, drawn],
        reward_weights=[1.0, 0.5],
        per_device_train_batch_size=ROWS,
        eval_prompts=PROMPTS[:2],
        num_generations_eval=EVAL_ROWS * WORLD,
        per_device_eval_batch_size=EVAL_ROWS,
        ddp_backend="gloo",
    )
    trainer.train()
    log = list(trainer._logs["advantages"])
    metrics = trainer.state.log_history[1]
    trainer.evaluate()
    seen = {
        "rewards": [rewards.calls, drawn.calls],
        "train": [batch["advantages"].tolist() for batch in trainer.batches["train"]],
        "eval": [batch["advantages"].tolist() for batch in trainer.batches["eval"]],
        "log": log,
        "groups": metrics.get("gapo/groups"),
    }
    (Path(folder) / f"{rank}.json").write_text(json.dumps(seen))


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={WORLD}"]
    finished = subprocess.run(
        [*launch, __file__, str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert finished.returncode == 0, finished.stdout[-3000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(WORLD)]


def expected(ranks, call, **options):
    """From the rewards of all ranks, in the order of ranks."""
    columns = [[value for rank in ranks for value in rank["rewards"][i][call]] for i in range(2)]
    return reference_advantages(columns, weights=[1.0, 0.5], **options)


def test_each_rank_trains_on_its_slice(ranks):
    for step in range(2):
        trained = [value for rank in ranks for value in rank["train"][step]]
        assert all(len(rank["train"][step]) == ROWS for rank in ranks)
        np.testing.assert_allclose(trained, expected(ranks, step), rtol=2e-5, atol=2e-6)


def test_evaluation_has_a_group_on_both_ranks(ranks):
    for batch in range(2):
        evaluated = [value for rank in ranks for value in rank["eval"][batch]]
        np.testing.assert_allclose(evaluated, expected(ranks, 2 + batch, group_size=6), rtol=2e-5, atol=2e-6)


def test_the_log_has_all_ranks_rows(ranks):
    for rank in ranks:
        assert rank["log"] == [value for other in ranks for value in other["train"][1]]
    assert ranks[0]["groups"] == 3


if __name__ == "__main__":
    train(sys.argv[1])
    leave(0)
