"""The installed commands: where the extra's packages are missing they say how to get them.

Nothing heavy is imported at the top: Ctrl-C in the seconds that the packages take is told in a line, too.
"""

from __future__ import annotations

import sys
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
    except KeyboardInterrupt:
        print("interrupted before anything began", file=sys.stderr)
        return 130
    return main()
