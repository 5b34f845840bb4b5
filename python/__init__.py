"""The op without torch: NumPy in, NumPy out, the estimators, the build's facts and the launch plan of a shape.

For reward workers and plotting code that should not import torch. The definition is that of ``gapo_kernels.reference``;
the kernels are those that serve ``torch.ops.gapo.*`` on the CPU, on the calling thread.
"""

from __future__ import annotations

from importlib.util import find_spec
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

if find_spec("gapo_numpy._core") is None:
    raise ImportError("gapo_numpy was not built: its compiled module _core is missing; pip install . builds it")

from gapo_numpy import _core
from gapo_numpy.estimators import EPS, ESTIMATORS, TAU, Estimator, resolve

__all__ = [
    "CENTERS",
    "ESTIMATORS",
    "SCALES",
    "AdvantageStats",
    "Estimator",
    "advantage",
    "advantage_stats",
    "build_info",
    "plan",
]

CENTERS: tuple[str, ...] = _core.CENTERS
SCALES: tuple[str, ...] = _core.SCALES


def _one_of(argument: str, value: str, names: tuple[str, ...]) -> None:
    if value not in names:
        raise ValueError(f"{argument} expects one of {', '.join(names)}, got {value!r}")


def _number(argument: str, value: object) -> float:
    if not isinstance(value, Real):
        raise TypeError(f"{argument} expects a number, got {value!r}")
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return np.inf


def _count(argument: str, value: object, least: int) -> int:
    if not isinstance(value, Integral):
        raise TypeError(f"{argument} expects an integer, got {value!r}")
    number = int(value)
    if not least <= number < 2**63:
        raise ValueError(f"{argument} expects an integer >= {least} and < 2^63, got {number}")
    return number


def _array(argument: str, value: ArrayLike) -> NDArray[Any]:
    if isinstance(value, np.ma.MaskedArray):  # NumPy would drop the mask
        raise TypeError(f"{argument} expects an array without a mask; valid=~mask leaves rows out")
    try:
        return np.asarray(value)
    except ValueError as error:  # rows of several lengths
        raise ValueError(f"{argument} expects an array: {error}") from None


class AdvantageStats(NamedTuple):
    """Advantages and the statistics behind them, as ``gapo_kernels.AdvantageStats`` has them.

    Attributes:
        advantage: the shape of the rewards.
        center: Q, [...] one a group, or with ids [N], each row its group's; for ``loo_mean`` the group's mean.
        scale: S, before eps is added, shaped as ``center``; 1 for the scale ``none`` and for a group of one.
        lower: the least reward of the narrowest window, shaped as ``center``.
        upper: the greatest reward of that window, shaped as ``center``.
    """

    advantage: NDArray[Any]
    center: NDArray[Any]
    scale: NDArray[Any]
    lower: NDArray[Any]
    upper: NDArray[Any]


def advantage_stats(
    rewards: ArrayLike,
    group_ids: ArrayLike | None = None,
    *,
    estimator: str = "gapo",
    tau: float = TAU,
    center: str | None = None,
    scale: str | None = None,
    eps: float = EPS,
    valid: ArrayLike | None = None,
) -> AdvantageStats:
    """The advantages of all groups and the statistics of each.

    Args:
        rewards: float array [..., G], the last dimension is a group; or [N] together with ``group_ids``. float64 and
            wider floats are computed in float64, everything else in float32, which holds integers up to 2^24.
        group_ids: integers [N], in any order, or None.
        estimator: one of ``ESTIMATORS``: a centre and a scale.
        tau: share of a group that the window holds, 0 < tau <= 1.
        center: one of ``CENTERS``, in place of the estimator's.
        scale: one of ``SCALES``, in place of the estimator's.
        eps: added to the scale, finite and >= 0.
        valid: bool, one a reward; a row marked False is left out of its group and gets advantage 0.

    Returns:
        float32 or float64 arrays, as computed. A group with no valid reward, or with a NaN, has NaN for statistics.

    Raises:
        ValueError: an argument of the wrong shape or value; the message names it.
        TypeError: rewards or ids of a type that is not floating or integer; another argument of another type.
    """
    values = _array("rewards", rewards)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"rewards expects a float array, got {values.dtype} {list(values.shape)}")
    if values.ndim < 1 or (group_ids is not None and values.ndim != 1):
        shape = "[N]" if group_ids is not None else "[..., group_size]"
        raise ValueError(f"rewards expects shape {shape}, got {list(values.shape)}")
    ids = None
    if group_ids is not None:
        ids = _array("group_ids", group_ids)
        if ids.size > 0 and ids.dtype.kind not in "iu":  # an empty list has no integers to tell by
            raise TypeError(f"group_ids expects integers [{values.size}], got {ids.dtype} {list(ids.shape)}")
        if ids.shape != values.shape:
            raise ValueError(f"group_ids expects shape [{values.size}], got {list(ids.shape)}")
    mask = None
    if valid is not None:
        mask = _array("valid", valid)
        if (mask.size > 0 and mask.dtype != np.bool_) or mask.shape != values.shape:
            raise ValueError(f"valid expects bool {list(values.shape)}, got {mask.dtype} {list(mask.shape)}")
    rule = resolve(estimator, center, scale)
    for argument, name in rule._asdict().items():
        if not isinstance(name, str):
            raise TypeError(f"{argument} expects a name, got {name!r}")
    doubles = values.dtype.kind == "f" and values.dtype.itemsize >= 8  # of either byte order
    run = _core.run_float64 if doubles else _core.run_float32
    result, stats = run(values, ids, _number("tau", tau), *rule, _number("eps", eps), mask)
    return AdvantageStats(result, *(stats[..., i] for i in range(4)))


def advantage(
    rewards: ArrayLike,
    group_ids: ArrayLike | None = None,
    *,
    estimator: str = "gapo",
    tau: float = TAU,
    center: str | None = None,
    scale: str | None = None,
    eps: float = EPS,
    valid: ArrayLike | None = None,
) -> NDArray[Any]:
    """The advantages of all groups, shaped as ``rewards``; arguments and errors are those of ``advantage_stats``."""
    return advantage_stats(
        rewards, group_ids, estimator=estimator, tau=tau, center=center, scale=scale, eps=eps, valid=valid
    ).advantage


def build_info() -> dict[str, Any]:
    """The build's facts: git revision, torch, compiler, CPU capability in use, CUDA version or None, architectures."""
    return _core.build_info()


def plan(groups: int, group_size: int, device: str = "cpu", dtype: str = "float32") -> dict[str, Any]:
    """How a dense call of ``groups`` groups of ``group_size`` rewards is run; read from the kernels' own tables.

    Args:
        groups: number of groups, >= 0.
        group_size: rewards a group, >= 1.
        device: "cpu" (this one) or "cuda" (any; the library need not be there).
        dtype: "float32", "float64", "float16" or "bfloat16".

    Returns:
        On the CPU, for a rule that needs the rewards in order, as the default does: device, tier ("columns": groups
        side by side in SIMD lanes, or one by one where they would fill too few; "ranked": one large group at a time,
        sorted or binned), lanes (groups that one task computes side by side), tasks (units of work that threads share).
        On CUDA: device, tier ("thread": one thread a group; "lanes": some lanes of a warp; "block": a block; "binned":
        larger than what is sorted whole), and for all but the last largest (group of this class), lanes and
        rewards_per_lane (of a group), threads and shared_bytes (of a block), groups_per_block, blocks.

    Raises:
        ValueError: a negative number of groups, a group size below 1, an unknown device or dtype.
        TypeError: a number of groups or a group size that is no integer.
    """
    shape = _count("groups", groups, least=0), _count("group_size", group_size, least=1)
    _one_of("device", device, ("cpu", "cuda"))
    _one_of("dtype", dtype, ("float32", "float64", "float16", "bfloat16"))
    planned = _core.cuda_plan if device == "cuda" else _core.plan
    return planned(*shape, dtype == "float64")
