"""Group ids as frameworks have them, strings included, into the integers that the op takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from gapo_numpy import _core

GroupIds: TypeAlias = Tensor | np.ndarray | Sequence[object]


def are_integers(group_ids: GroupIds) -> bool:
    """Whether the ids are integers that mean the same wherever they come from; others are numbered as they come."""
    return isinstance(group_ids, Tensor) or (isinstance(group_ids, np.ndarray) and group_ids.dtype.kind in "iu")


def as_id_tensor(group_ids: GroupIds, device: torch.device) -> Tensor:
    """Integer ids on ``device``, equal where and only where the given ids are equal.

    Args:
        group_ids: [N]: an integer tensor (returned as it is), a NumPy array of integers, or an array or a sequence of
            anything hashable, such as the uid strings of verl. They are equal as keys of a dict are: a NaN is equal to
            itself alone, as the one object that it is.
        device: where the op will run.

    Raises:
        TypeError: ids of another kind, or one that is not hashable.
    """
    return ids_and_names(group_ids, device)[0]


def ids_and_names(group_ids: GroupIds, device: torch.device) -> tuple[Tensor, list[object]]:
    """What ``as_id_tensor`` returns, and of ids that it numbered the distinct ones by number; else none.

    For arguments and errors see ``as_id_tensor``.
    """
    if isinstance(group_ids, Tensor):
        return group_ids, []
    if isinstance(group_ids, np.ma.MaskedArray):  # what it hides would count
        raise TypeError("group_ids expects an array without a mask, got a masked one: fill it, or use valid")
    if isinstance(group_ids, np.ndarray):
        if are_integers(group_ids):  # what torch takes without a copy or a warning is C-contiguous and writeable
            return torch.from_numpy(np.require(group_ids, np.int64, ["C", "W"])).to(device), []
        ids, names = ids_and_names(group_ids.ravel().tolist(), device)
        return ids.reshape(group_ids.shape), names
    if isinstance(group_ids, (str, bytes)) or not isinstance(group_ids, Sequence):
        raise TypeError(f"group_ids expects a tensor, an array or a sequence of ids, got {type(group_ids).__name__}")
    try:
        numbered, distinct = _core.number_objects(tuple(group_ids))
    except TypeError as error:
        raise TypeError(f"group_ids expects hashable ids: {error}") from None
    if any(isinstance(value, Tensor) for value in distinct):  # each would be a group of its own
        raise TypeError("group_ids expects ids that hash by value, got a sequence of tensors: pass torch.stack of it")
    return torch.from_numpy(numbered).to(device), list(distinct)
