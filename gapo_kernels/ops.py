"""The Python functions: ``torch.ops.gapo.*`` with names for estimators, ids of any kind, and docstrings.

The definition (arXiv 2510.21830 and ``gapo_kernels.reference``): of a group's ascending rewards the narrowest window
that holds a share ``tau`` of them is taken, its median is the centre Q, and the advantage of a reward r is
(r - Q) / (S + eps), S being the root mean square deviation about Q. Other estimators are other centres and scales.

What all of them share:

- rewards are float32, float64, float16 or bfloat16 and have no unit; float16 and bfloat16 are computed in float32.
  Q is rounded to that precision: give rewards whose spread is near the last place of their mean as float64.
  Deviations are squared in float64: float64 ones above 1e154 make S infinite, and below 1e-162 they make it 0.
- ``estimator`` names a centre and a scale (``ESTIMATORS``); ``center`` and ``scale`` replace either of the two.
- ``tau``: 0 < tau <= 1, the window's share of its group. ``eps``: >= 0, added to the scale.
- ``valid``: bool, one a reward (one a row for token rewards): a row marked False is left out of its group's statistics
  and gets advantage 0. A NaN in a group makes that group NaN, and no other.
- The ops are autograd-free: a result never requires grad.
- RuntimeError: an argument whose shape, dtype, device or value does not fit; the message names it. ValueError: an
  unknown estimator. TypeError: rewards or offsets that are no tensors, ids of another kind.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gapo_kernels.ids import GroupIds, as_id_tensor
from gapo_numpy.estimators import EPS, TAU, resolve


def expect_tensors(**arguments: object) -> None:
    """Refuses what is no tensor: the dispatcher would report it as missing, or it is looked into before the call."""
    for name, value in arguments.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} expects a tensor, got {type(value).__name__}")


class AdvantageStats(NamedTuple):
    """Advantages and the statistics behind them, for logs and plots.

    Attributes:
        advantage: the shape of the rewards.
        center: Q; for ``loo_mean``, whose Q differs by reward, the group's mean; of equal rewards the reward, whatever
            the centre.
        scale: S, before eps is added; 1 for the scale ``none`` and for a group of one.
        lower: the least reward of the narrowest window, whatever the centre.
        upper: the greatest reward of that window.
    """

    advantage: Tensor
    center: Tensor
    scale: Tensor
    lower: Tensor
    upper: Tensor


def advantage(
    rewards: Tensor,
    *,
    estimator: str = "gapo",
    tau: float = TAU,
    center: str | None = None,
    scale: str | None = None,
    eps: float = EPS,
    valid: Tensor | None = None,
) -> Tensor:
    """Group advantages where the last dimension is a group.

    Args:
        rewards: [..., G].
        estimator: a name out of ``ESTIMATORS``: a centre and a scale.
        tau: the window's share of its group, 0 < tau <= 1.
        center: in place of the estimator's centre.
        scale: in place of the estimator's scale.
        eps: >= 0, added to the scale before dividing.
        valid: bool [..., G] or None.

    Returns:
        [..., G], the dtype and device of ``rewards``, contiguous.

    Raises:
        RuntimeError, TypeError, ValueError: an argument that does not fit; the message names it.
    """
    expect_tensors(rewards=rewards)
    named = resolve(estimator, center, scale)
    return torch.ops.gapo.advantage(rewards, tau, *named, eps, valid)


def advantage_varlen(
    rewards: Tensor,
    offsets: Tensor,
    max_group_size: int | None = None,
    *,
    estimator: str = "gapo",
    tau: float = TAU,
    center: str | None = None,
    scale: str | None = None,
    eps: float = EPS,
    valid: Tensor | None = None,
) -> Tensor:
    """Group advantages for groups of different sizes that lie one after the other.

    Args:
        rewards: [N].
        offsets: int32 or int64 [B + 1], from 0, not decreasing, to N: group g is
            ``rewards[offsets[g]:offsets[g + 1]]``. On a GPU nobody looks at the values: wrong ones give wrong results,
            and what lies in no group is undefined.
        max_group_size: at least the size of the largest group. None reads it from ``offsets``, which makes the host
            wait for a GPU; give it where that matters.
        estimator: a name out of ``ESTIMATORS``: a centre and a scale.
        tau: the window's share of its group, 0 < tau <= 1.
        center: in place of the estimator's centre.
        scale: in place of the estimator's scale.
        eps: >= 0, added to the scale before dividing.
        valid: bool [N] or None.

    Returns:
        [N], the dtype and device of ``rewards``.

    Raises:
        RuntimeError, TypeError, ValueError: an argument that does not fit; the message names it.
    """
    expect_tensors(rewards=rewards, offsets=offsets)
    named = resolve(estimator, center, scale)
    if max_group_size is None:
        max_group_size = _largest_group(offsets)
    return torch.ops.gapo.advantage_varlen(rewards, offsets, max_group_size, tau, *named, eps, valid)


def _largest_group(offsets: Tensor) -> int:
    """0 where there is no group, and for what can be no offsets, which the op refuses by name."""
    if offsets.dim() != 1 or offsets.numel() < 2 or offsets.dtype not in (torch.int32, torch.int64):
        return 0
    return offsets.long().diff().max().clamp(min=0).item()  # type: ignore[return-value]


def advantage_by_id(
    rewards: Tensor,
    group_ids: GroupIds,
    *,
    estimator: str = "gapo",
    tau: float = TAU,
    center: str | None = None,
    scale: str | None = None,
    eps: float = EPS,
    valid: Tensor | None = None,
) -> Tensor:
    """Group advantages for rows in any order, each with the id of its group.

    Args:
        rewards: [N].
        group_ids: [N] integers of any values, or an array or a list of anything hashable, such as verl's uid strings.
        estimator: a name out of ``ESTIMATORS``: a centre and a scale.
        tau: the window's share of its group, 0 < tau <= 1.
        center: in place of the estimator's centre.
        scale: in place of the estimator's scale.
        eps: >= 0, added to the scale before dividing.
        valid: bool [N] or None.

    Returns:
        [N], in the order of ``rewards``, of its dtype and device.

    Raises:
        RuntimeError, TypeError, ValueError: an argument that does not fit; the message names it.
    """
    expect_tensors(rewards=rewards)
    named = resolve(estimator, center, scale)
    ids = as_id_tensor(group_ids, rewards.device)
    return torch.ops.gapo.advantage_by_id(rewards, ids, tau, *named, eps, valid)


def advantage_stats(
    rewards: Tensor,
    group_ids: GroupIds | None = None,
    *,
    estimator: str = "gapo",
    tau: float = TAU,
    center: str | None = None,
    scale: str | None = None,
    eps: float = EPS,
    valid: Tensor | None = None,
) -> AdvantageStats:
    """Group advantages together with each group's centre, scale and narrowest window.

    Args:
        rewards: [..., G], or [N] together with ``group_ids``.
        group_ids: as in ``advantage_by_id``, or None.
        estimator: a name out of ``ESTIMATORS``: a centre and a scale.
        tau: the window's share of its group, 0 < tau <= 1.
        center: in place of the estimator's centre.
        scale: in place of the estimator's scale.
        eps: >= 0, added to the scale before dividing.
        valid: bool, the shape of ``rewards``, or None.

    Returns:
        Without ids the statistics are [...], one a group; with ids [N], each row its group's. A group with no valid
        reward, or with a NaN, has NaN there.

    Raises:
        RuntimeError, TypeError, ValueError: an argument that does not fit; the message names it.
    """
    expect_tensors(rewards=rewards)
    named = resolve(estimator, center, scale)
    ids = None if group_ids is None else as_id_tensor(group_ids, rewards.device)
    result, stats = torch.ops.gapo.advantage_stats(rewards, ids, tau, *named, eps, valid)
    return AdvantageStats(result, *stats.unbind(-1))


def token_advantage(
    token_rewards: Tensor,
    mask: Tensor,
    group_ids: GroupIds,
    *,
    estimator: str = "gapo",
    tau: float = TAU,
    center: str | None = None,
    scale: str | None = None,
    eps: float = EPS,
    valid: Tensor | None = None,
) -> Tensor:
    """The whole advantage step of a token-level trainer: sum the rows, score the sums by group, write over the mask.

    Args:
        token_rewards: [N, L]; a row's reward is the sum of all its L entries.
        mask: [N, L], bool, integer or float: what each row's advantage is multiplied by. Where it is 0 the result is
            0, even in a NaN group.
        group_ids: [N], as in ``advantage_by_id``.
        estimator: a name out of ``ESTIMATORS``: a centre and a scale.
        tau: the window's share of its group, 0 < tau <= 1.
        center: in place of the estimator's centre.
        scale: in place of the estimator's scale.
        eps: >= 0, added to the scale before dividing.
        valid: bool [N] or None.

    Returns:
        [N, L], the dtype and device of ``token_rewards``.

    Raises:
        RuntimeError, TypeError, ValueError: an argument that does not fit; the message names it.
    """
    expect_tensors(token_rewards=token_rewards)
    named = resolve(estimator, center, scale)
    ids = as_id_tensor(group_ids, token_rewards.device)
    return torch.ops.gapo.token_advantage(token_rewards, mask, ids, tau, *named, eps, valid)
