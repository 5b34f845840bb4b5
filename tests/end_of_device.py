"""Ends a worker whose CUDA context is lost: every later call of its process would fail, and every later test.

Only where ``bench/gpu.sh`` runs the tests: it names a file, in ``GAPO_FAULTS``, for what met the fault.
"""

from __future__ import annotations

import os


def end_if_lost(what: str, message: str) -> None:
    """Ends a worker of pytest-xdist, which starts another one, if ``message`` tells of a lost context.

    Args:
        what: what met the fault, for the file.
        message: of the error.
    """
    faults = os.environ.get("GAPO_FAULTS")
    if not faults or "PYTEST_XDIST_WORKER" not in os.environ or "CUDA error" not in message:
        return
    line = [line for line in message.splitlines() if "CUDA error" in line][-1]
    with open(faults, "a", encoding="utf-8") as file:
        file.write(f"{what}: {line.strip()}\n")
    os._exit(1)
