"""Batches as verl's trainers hand them to an estimator, and what the reference says about them."""

import numpy as np
import torch
from verl import DataProto
from verl.trainer.ppo.ray_trainer import compute_advantage

from gapo_kernels import ESTIMATORS, reference

LENGTH = 7


def make_batch(rewards, uids, mask_dtype=torch.int64, shaped=0.0):
    """A batch of completions of 1 to 7 tokens with the reward on the last one.

    ``shaped`` is added to the first token and taken from the last, as a KL penalty would spread over a row.
    """
    rewards = torch.as_tensor(rewards, dtype=torch.float32)
    lengths = torch.randint(1, LENGTH + 1, (len(rewards), 1), generator=torch.Generator().manual_seed(0))
    token_rewards = torch.zeros(len(rewards), LENGTH).scatter_(1, lengths - 1, rewards.unsqueeze(1) - shaped)
    token_rewards[:, 0] += shaped
    mask = (torch.arange(LENGTH) < lengths).to(mask_dtype)
    return DataProto.from_dict(
        tensors={"token_level_rewards": token_rewards, "response_mask": mask},
        non_tensors={"uid": np.array(uids, dtype=object)},
    )


def advantages_of(batch, estimator, **options):
    """One advantage a row: the row's are equal over its mask and 0 elsewhere, and the returns are the same."""
    scored = compute_advantage(batch, estimator, **options).batch
    mask = scored["response_mask"] != 0
    rows = scored["advantages"].gather(1, mask.int().argmax(1, keepdim=True))
    expected = torch.where(mask, rows, 0.0)
    assert torch.equal(scored["advantages"].nan_to_num(7), expected.nan_to_num(7))
    assert scored["returns"] is scored["advantages"] or torch.equal(scored["returns"], scored["advantages"])
    assert not scored["advantages"].requires_grad
    return rows.squeeze(1)


def reference_advantages(batch, estimator="gapo", **options):
    """What the float64 reference says about the batch's rows."""
    center, scale = ESTIMATORS[estimator]
    rewards = batch.batch["token_level_rewards"].sum(-1)
    named = {"center": center, "scale": scale, **options}
    result, _ = reference.advantage(rewards.numpy(), batch.non_tensor_batch["uid"].astype(str), **named)
    return torch.from_numpy(result).float()


def ragged_batch(mask_dtype=torch.int64):
    """Groups of 1 to 9 in any order, uid strings as verl's: with ties, a constant group and an outlier.

    Rewards are sixteenths, so that no sum over a row rounds and ties stay ties.
    """
    random = np.random.default_rng(3)
    sizes = [1, 2, 3, 9, 5, 8, 4]
    rewards = [random.integers(0, 17, size) / 16 for size in sizes]
    rewards[2][:] = 0.125
    rewards[3][4] = 25.0
    uids = np.repeat([f"{group:08x}-uid" for group in range(len(sizes))], sizes)
    order = random.permutation(sum(sizes))
    return make_batch(np.concatenate(rewards)[order], uids[order], mask_dtype, shaped=0.5)
