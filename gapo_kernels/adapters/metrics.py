"""What a batch's groups looked like, as numbers for a framework's log."""

from __future__ import annotations

import torch
from torch import Tensor

from gapo_kernels.ids import GroupIds, as_id_tensor
from gapo_kernels.ops import AdvantageStats
from gapo_kernels.precision import precision_of

PREFIX = "gapo/"
Counted = dict[str, tuple[Tensor, Tensor]]  # by name: values, and which of them count


def group_metrics(
    rewards: Tensor, stats: AdvantageStats, group_ids: GroupIds | None = None, valid: Tensor | None = None
) -> dict[str, float]:
    """Summarise groups and advantages; a GPU is waited for.

    Args:
        rewards: what ``stats`` was computed from: [..., G], or [N] together with ``group_ids``.
        stats: what ``gapo_kernels.advantage_stats`` returned for the same rewards, ids and valid.
        group_ids: as given to ``advantage_stats``, or None.
        valid: as given to ``advantage_stats``, or None.

    Returns:
        Finite plain floats, each key behind ``gapo/``:

        - ``center``, ``scale``, ``window_width``: means of Q, S and upper - lower over the groups of at least two valid
          rewards; a group with a NaN or an infinite statistic is left out, and the key too where no group is left.
        - ``frac_zero_advantage``: share of the valid rows whose advantage is exactly 0: they train nothing.
        - ``frac_degenerate_groups``: share of the groups without a comparison: all valid rewards equal, one or none.
        - ``frac_unscorable``: share of the rows that ``valid`` leaves out.
        - ``frac_nan_groups``: share of the groups whose advantages are NaN.
        - ``advantage_sum``, ``advantage_abs_mean``: over the valid rows whose advantage is finite; the mean is left out
          where there is none. The sum is 0 for a mean as centre, and in general not for GAPO's Q.
        - ``groups``, ``group_size``: how many groups, and the mean of their numbers of valid rows.

        No groups at all give no keys.
    """
    values = rewards.detach().to(precision_of(rewards.dtype))
    if group_ids is None:
        size = max(rewards.shape[-1], 1)
        ids = torch.arange(rewards.numel(), device=rewards.device) // size
        per_row = [s.unsqueeze(-1).expand(rewards.shape).reshape(-1) for s in stats[1:]]
    else:
        ids = as_id_tensor(group_ids, rewards.device)
        per_row = list(stats[1:])
    if rewards.numel() == 0:
        return {}
    values, result = values.reshape(-1), stats.advantage.reshape(-1).to(values.dtype)
    keep = torch.ones_like(values, dtype=torch.bool) if valid is None else valid.reshape(-1)
    _, group, counts = ids.unique(return_inverse=True, return_counts=True)

    def of_group(row_values: Tensor, reduce: str, start: float) -> Tensor:
        empty = row_values.new_full(counts.shape, start)
        return empty.scatter_reduce(0, group, row_values, reduce)

    sizes = of_group(keep.to(values.dtype), "sum", 0.0)
    least = of_group(values.masked_fill(~keep, torch.inf), "amin", torch.inf)
    most = of_group(values.masked_fill(~keep, -torch.inf), "amax", -torch.inf)
    # a row's statistics are its group's: any of them will do
    center, scale, lower, upper = (of_group(s.to(values.dtype), "amax", -torch.inf) for s in per_row)
    compared = sizes >= 2
    finite = keep & result.isfinite()

    means = {
        "center": (center, compared & center.isfinite()),
        "scale": (scale, compared & scale.isfinite()),
        "window_width": (upper - lower, compared & (upper - lower).isfinite()),
        "frac_zero_advantage": (result == 0, keep),
        "frac_unscorable": (~keep, torch.ones_like(keep)),
        "frac_degenerate_groups": (~compared | (least == most), torch.ones_like(compared)),
        "frac_nan_groups": (of_group((result.isnan() & keep).to(values.dtype), "amax", 0.0), torch.ones_like(compared)),
        "advantage_abs_mean": (result.abs(), finite),
        "group_size": (sizes, torch.ones_like(compared)),
    }
    found = {**_read(means, {"advantage_sum": (result, finite)}), "groups": float(counts.numel())}
    return {PREFIX + name: number for name, number in found.items()}


def _read(means: Counted, sums: Counted) -> dict[str, float]:
    """The means, where anything counts, and the sums, by one copy from the device."""
    both = {**means, **sums}
    totals = [torch.where(counted, value, 0).sum(dtype=torch.float64) for value, counted in both.values()]
    counts = [counted.sum(dtype=torch.float64) for _, counted in both.values()]
    read = torch.stack([torch.stack(totals), torch.stack(counts)]).tolist()
    found = {}
    for name, total, count in zip(both, *read, strict=True):
        if name in sums:
            found[name] = total
        elif count > 0:
            found[name] = total / count
    return found
