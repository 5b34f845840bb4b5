"""Settings of the op out of a framework's configuration, as keyword arguments for the functions of ``gapo_kernels``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from numbers import Real
from typing import TypedDict

import torch

from gapo_kernels import ops


class Settings(TypedDict, total=False):
    """Only what was given: the defaults stand for the rest. ``ops.advantage(rewards, **settings)``."""

    estimator: str
    tau: float
    center: str
    scale: str
    eps: float


def read_settings(given: object, where: str) -> Settings:
    """The given settings, checked before any reward is there, so that a training does not start with a wrong one.

    Args:
        given: any of ``estimator``, ``tau``, ``center``, ``scale``, ``eps``, in a mapping (OmegaConf's as well) or a
            dataclass; None means not given, here and there. A number may be a string, as YAML's readers make one of
            1e-3.
        where: what the user calls the section, for messages; ``algorithm.gapo`` for instance.

    Returns:
        The keyword arguments for any op of ``gapo_kernels``, without those that were not given.

    Raises:
        ValueError: a name or a value that the op does not take; the message names it and what was expected.
    """
    settings = Settings()
    if given is None:
        return settings
    if is_dataclass(given) and not isinstance(given, type):
        given = {field.name: getattr(given, field.name) for field in fields(given)}
    if not isinstance(given, Mapping):
        raise ValueError(f"{where} expects settings such as {where}.tau=0.5, got {given!r}")
    for name, value in given.items():
        if name not in Settings.__annotations__:
            raise ValueError(f"{where} expects {', '.join(Settings.__annotations__)}, got {name!r}")
        if value is None:
            continue
        if name in ("tau", "eps"):
            settings[name] = _number(value, f"{where}.{name}")  # type: ignore[literal-required]
        elif isinstance(value, str):
            settings[name] = value  # type: ignore[literal-required]
        else:
            raise ValueError(f"{where}.{name} expects a name, got {value!r}")
    try:
        ops.advantage(torch.empty(0, 1, device="cpu"), **settings)  # the op's own checks, on no rewards
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{where}: {str(error).splitlines()[0]}") from None
    return settings


def _number(value: object, where: str) -> float:
    if isinstance(value, (Real, str)) and not isinstance(value, bool):
        with suppress(ValueError):
            return float(value)
    raise ValueError(f"{where} expects a number, got {value!r}")


def without_division(settings: Settings, divide: object, where: str, switch: str) -> Settings:
    """The settings under a framework's own switch that turns the division by the standard deviation off.

    Args:
        settings: what ``read_settings`` returned.
        divide: the switch; True, every framework's default, changes nothing, nor does None.
        where: what the user calls the section of the settings.
        switch: what the user calls the switch.

    Raises:
        ValueError: the switch is off and a scale other than ``none`` was given: they contradict one another.
    """
    if divide is None or divide:
        return settings
    if settings.get("scale", "none") != "none":
        raise ValueError(f"{where}.scale expects none or nothing while {switch} is off, got {settings['scale']!r}")
    return {**settings, "scale": "none"}
