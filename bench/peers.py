"""What people use today for the same result, in our own words; each takes rewards and returns advantages.

All compute GAPO, except ``token_grpo`` and verl's own functions (``bench/verl_peers.py``), whose statistic
is the mean and the standard deviation. Windows of equal width may be resolved otherwise than in the op, which compares
widths in float64; only ``authors_loop`` does so too.
"""

from __future__ import annotations

import functools
import math
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from gapo_numpy.estimators import EPS, TAU


def window_size(group_size: int) -> int:
    return max(1, math.ceil(TAU * group_size))


def vectorised_torch(rewards: Tensor) -> Tensor:
    """GAPO in torch operations over the last dimension: sort, slice, argmin, gather. rewards: [B, G]."""
    size = rewards.shape[-1]
    k = window_size(size)
    ordered = rewards.sort(dim=-1).values
    widths = ordered[:, k - 1 :] - ordered[:, : size - k + 1]
    start = widths.argmin(dim=-1, keepdim=True)
    low = ordered.gather(-1, start + (k - 1) // 2)
    high = ordered.gather(-1, start + k // 2)
    deviations = rewards - (low + high) / 2
    scale = (deviations.square().sum(-1, keepdim=True) / (size - 1)).sqrt()
    return deviations / (scale + EPS)


@functools.cache
def compiled_torch() -> Callable[[Tensor], Tensor]:
    """``vectorised_torch`` by torch.compile, a graph for every shape, which is the fastest it offers."""
    torch._dynamo.config.recompile_limit = 1024  # as many shapes as are measured, not dynamo's handful
    return torch.compile(vectorised_torch, dynamic=False)


def no_compiler() -> str:
    """Why torch.compile cannot be measured for the CPU in this process; empty where it can."""
    found = any(shutil.which(name) for name in (os.environ.get("CXX"), "g++", "clang++") if name)
    return "" if found else "torch.compile needs a C++ compiler, and none was found"


def vectorised_numpy(rewards: np.ndarray) -> np.ndarray:
    """``vectorised_torch`` in NumPy. rewards: [B, G]."""
    size = rewards.shape[-1]
    k = window_size(size)
    ordered = np.sort(rewards, axis=-1)
    start = (ordered[:, k - 1 :] - ordered[:, : size - k + 1]).argmin(axis=-1)
    rows = np.arange(len(rewards))
    centre = (ordered[rows, start + (k - 1) // 2] + ordered[rows, start + k // 2]) / 2
    deviations = rewards - centre[:, None]
    scale = np.sqrt(np.square(deviations).sum(axis=-1, keepdims=True) / (size - 1))
    return deviations / (scale + np.asarray(EPS, rewards.dtype))


def masked_torch(rewards: Tensor, valid: Tensor) -> Tensor:
    """GAPO of the valid rewards in torch operations: the others are sorted behind them, as infinities.

    rewards, valid: [B, G]; what is not valid gets 0.
    """
    sizes = valid.sum(dim=-1, keepdim=True)
    padded = rewards.masked_fill(~valid, torch.inf)
    ordered = padded.sort(dim=-1).values
    k = (TAU * sizes).ceil().long().clamp(min=1)
    largest = rewards.shape[-1]
    last = torch.arange(largest, device=rewards.device) + k - 1
    widths = ordered.gather(-1, last.clamp(max=largest - 1)) - ordered
    start = widths.masked_fill(last >= sizes, torch.inf).argmin(dim=-1, keepdim=True)
    low, high = ordered.gather(-1, start + (k - 1) // 2), ordered.gather(-1, start + k // 2)
    alone = sizes == 1
    centre = ((low + high) / 2).masked_fill(alone, 0)
    deviations = (padded - centre).masked_fill(~valid, 0)
    scale = (deviations.square().sum(-1, keepdim=True) / (sizes - 1).clamp(min=1)).sqrt().masked_fill(alone, 1)
    return deviations / (scale + EPS)


def padded_torch(rewards: Tensor, offsets: Tensor, max_group_size: int) -> Tensor:
    """Ragged GAPO in torch operations: every group padded to the largest.

    rewards: [N]; offsets: [B + 1]; max_group_size: that of the largest group.
    """
    inside = torch.arange(max_group_size, device=rewards.device) < offsets.diff().unsqueeze(-1)
    padded = rewards.new_zeros(inside.shape).masked_scatter_(inside, rewards)
    return masked_torch(padded, inside)[inside]


def sorted_and_padded_torch(rewards: Tensor, group_ids: Tensor) -> Tensor:
    """GAPO for rows in any order in torch operations: sorted by id, padded, and put back. rewards, group_ids: [N]."""
    _, counts = group_ids.unique(return_counts=True)
    order = group_ids.argsort(stable=True)
    offsets = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    result = torch.empty_like(rewards)
    result[order] = padded_torch(rewards[order], offsets, int(counts.max()))
    return result


def authors_loop(
    rewards: Tensor,
    ids: Sequence[object],
    tau: float = TAU,
    center: str = "median",
    normalize: bool = True,
) -> Tensor:
    """GAPO group by group in Python, after the manner of the authors' verl-GAPO (commit 58f42b55).

    Like theirs it collects scalar tensors in lists, turns each group into a Python list, tries every window in a loop,
    and writes row by row. Unlike theirs it does not analyse and print each group's distribution, and serves groups of
    two: the comparison is in their favour.

    rewards: [N]; ids: [N]; center: "median" or "mean" of the window.
    """
    scores = rewards.clone()
    members: dict[object, list[Tensor]] = defaultdict(list)
    for row in range(len(scores)):
        members[ids[row]].append(scores[row])
    centres: dict[object, float] = {}
    scales: dict[object, Tensor] = {}
    for name, rows in members.items():
        group = torch.stack(rows)
        if len(rows) == 1:
            centres[name], scales[name] = 0.0, torch.tensor(1.0)
            continue
        ordered = sorted(group.tolist())
        k = math.ceil(tau * len(ordered) - 1e-9 * len(ordered))
        best = 0
        for start in range(len(ordered) - k + 1):
            if ordered[start + k - 1] - ordered[start] < ordered[best + k - 1] - ordered[best]:
                best = start
        window = np.array(ordered[best : best + k])
        centres[name] = float(np.median(window) if center == "median" else np.mean(window))
        scales[name] = torch.sqrt(torch.sum((group - centres[name]) ** 2) / (len(rows) - 1))
    for row in range(len(scores)):
        deviation = scores[row] - centres[ids[row]]
        scores[row] = deviation / (scales[ids[row]] + EPS) if normalize else deviation
    return scores


def token_gapo(token_rewards: Tensor, mask: Tensor, group_size: int) -> Tensor:
    """The advantage step of a token-level trainer with GAPO, for equal groups that lie one after the other.

    token_rewards, mask: [N, L].
    """
    scores = token_rewards.sum(dim=-1)
    return vectorised_torch(scores.view(-1, group_size)).view(-1, 1) * mask


def token_grpo(token_rewards: Tensor, mask: Tensor, group_ids: Tensor) -> Tensor:
    """The same step as verl's vectorised GRPO does it: sums by ``index_add_``, mean and standard deviation.

    token_rewards, mask: [N, L]; group_ids: [N], dense.
    """
    scores = token_rewards.sum(dim=-1)
    groups = int(group_ids.max()) + 1
    zeros = scores.new_zeros(groups)
    counts = zeros.index_add(0, group_ids, torch.ones_like(scores))
    means = zeros.index_add(0, group_ids, scores) / counts
    squares = zeros.index_add(0, group_ids, (scores - means[group_ids]).square())
    deviations = (squares / (counts - 1).clamp(min=1)).sqrt()
    advantages = (scores - means[group_ids]) / (deviations[group_ids] + EPS)
    return advantages.unsqueeze(-1) * mask
