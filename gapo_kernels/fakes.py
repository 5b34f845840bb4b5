"""What the ops return, without computing it: for torch.compile, torch.export and meta tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch


def register(ops: Iterable[str]) -> None:
    """Registers the fake implementation of every op, by its name in ``torch.ops.gapo``."""
    for op in ops:
        torch.library.register_fake(f"gapo::{op}", _fake(op))


def _fake(op: str) -> Callable[..., object]:
    names = [argument.name for argument in getattr(torch.ops.gapo, op).default._schema.arguments]

    def fake(*given: object, **named: object) -> object:
        arguments = {**dict(zip(names, given, strict=False)), **named}
        rewards = arguments[names[0]]
        assert isinstance(rewards, torch.Tensor)
        for name, value in arguments.items():
            # Calls that mix meta tensors with others are dispatched here as well; the real op refuses two devices.
            if isinstance(value, torch.Tensor) and value.device != rewards.device:
                raise RuntimeError(f"gapo::{op} expects {name} on {rewards.device}, as the rewards, got {value.device}")
        result = rewards.new_empty(rewards.shape)
        if op != "advantage_stats":
            return result
        groups = rewards.shape[:-1] if arguments.get("group_ids") is None else rewards.shape
        return result, rewards.new_empty((*groups, 4))

    return fake
