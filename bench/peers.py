"""What people use today for the same result, in our own words; each takes rewards and returns advantages."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def vectorised_torch(rewards: Tensor, tau: float = 0.5, eps: float = 1e-6) -> Tensor:
    """GAPO in torch operations over the last dimension: sort, slice, argmin, gather. rewards: [B, G]."""
    size = rewards.shape[-1]
    k = max(1, -int(-tau * size // 1))
    ordered = rewards.sort(dim=-1).values
    widths = ordered[:, k - 1 :] - ordered[:, : size - k + 1]
    start = widths.argmin(dim=-1, keepdim=True)
    low = ordered.gather(-1, start + (k - 1) // 2)
    high = ordered.gather(-1, start + k // 2)
    deviations = rewards - (low + high) / 2
    scale = (deviations.square().sum(-1, keepdim=True) / (size - 1)).sqrt()
    return deviations / (scale + eps)


def numpy_sort(rewards: Tensor) -> np.ndarray:
    """The floor of any sorting implementation on a CPU: it sorts, and nothing else."""
    return np.sort(rewards.numpy(), axis=-1)


def masked_whitened_tokens(token_rewards: Tensor, mask: Tensor, group_ids: Tensor) -> Tensor:
    """The advantage step of a token-level trainer in torch operations, as verl's vectorised GRPO does it.

    token_rewards: [N, L]; mask: [N, L]; group_ids: [N], dense. The statistic is the mean and the standard deviation.
    """
    scores = token_rewards.sum(dim=-1)
    groups = int(group_ids.max()) + 1
    counts = torch.zeros(groups).index_add_(0, group_ids, torch.ones_like(scores))
    means = torch.zeros(groups).index_add_(0, group_ids, scores) / counts
    squares = torch.zeros(groups).index_add_(0, group_ids, (scores - means[group_ids]).square())
    deviations = (squares / (counts - 1).clamp(min=1)).sqrt()
    advantages = (scores - means[group_ids]) / (deviations[group_ids] + 1e-6)
    return advantages.unsqueeze(-1) * mask
