"""The installed commands: where the extra's packages are missing they say how to get them."""

from __future__ import annotations

from importlib import import_module


def train() -> int:
    """``gapo-train``."""
    return _run("gapo_trainer.cli")


def data() -> int:
    """``gapo-data``."""
    return _run("gapo_trainer.data.cli")


def _run(module: str) -> int:
    try:
        main = import_module(module).main
    except ModuleNotFoundError as error:
        raise SystemExit(f"{error}: install this package with its extra, '.[trainer]'") from None
    return main()
