"""What a run writes down: JSONL and TensorBoard always, Weights & Biases where asked for.

``metrics.jsonl`` (one row per step), ``evals.jsonl`` and ``groups.jsonl`` hold only what a seed reproduces to
the bit; seconds and tokens/s go to ``timings.jsonl``. A resumed run cuts every log back to where its checkpoint was
written, so that no step appears twice.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from pathlib import Path
from typing import Any, BinaryIO

from gapo_trainer.boards import Board, TensorBoard, WeightsAndBiases
from gapo_trainer.config import Config, to_yaml
from gapo_trainer.errors import UserError

CONFIG = "config.yaml"
METRICS, TIMINGS, EVALS, GROUPS = LOGS = ("metrics", "timings", "evals", "groups")


class RunLog:
    """The open logs of one run; a context manager.

    Args:
        folder: the run's folder, which exists; None writes nothing (all ranks but the first).
        config: for Weights & Biases, and for its project's name.
        step: steps done so far; TensorBoard drops what it has after it.
        log_bytes: where to cut each log back to, from the checkpoint; empty for a new run.
    """

    def __init__(self, folder: Path | None, config: Config, step: int, log_bytes: dict[str, int]) -> None:
        self._files: dict[str, BinaryIO] = {}
        self._boards: list[Board] = []
        if folder is None:
            return
        if config.wandb:  # first: what may fail leaves no folder that looks like a run
            self._boards.append(WeightsAndBiases(folder, config))
        partial = folder / ".config.yaml"
        partial.write_text(to_yaml(config), encoding="utf-8")
        partial.replace(folder / CONFIG)
        for name in LOGS:
            file = (folder / f"{name}.jsonl").open("ab")
            file.truncate(min(file.tell(), log_bytes.get(name, 0)))
            file.seek(0, os.SEEK_END)
            self._files[name] = file
        self._boards.append(TensorBoard(folder, step))

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *error: object) -> None:
        # what could not be written has been told by ``write``, and would be tried once more here
        for each in (*self._files.values(), *self._boards):
            with contextlib.suppress(OSError):
                each.close()

    def write(self, name: str, row: dict[str, Any]) -> None:
        """Append ``row`` to the log ``name``; its finite numbers also go to the boards, at ``row["step"]``."""
        if not self._files:
            return
        try:
            self._files[name].write(json.dumps(_plain(row)).encode() + b"\n")
            self._files[name].flush()
            if name != GROUPS:
                for board in self._boards:
                    board.log(_numbers(name, row), row["step"])
        except OSError as error:
            raise UserError(f"{name}.jsonl of step {row['step']} could not be written: {error}") from error

    def flushed_bytes(self) -> dict[str, int]:
        """Put everything on the disk and return the length of each log, for a checkpoint."""
        for file in self._files.values():
            os.fsync(file.fileno())
        return {name: file.tell() for name, file in self._files.items()}


def check_run(expected: str, folder: Path) -> None:
    """Refuse a folder that no run began in; ``expected`` begins the message.

    Raises:
        UserError: ``folder`` has no configuration.
    """
    if not (folder / CONFIG).exists():
        raise UserError(f"{expected}, got {folder}, which has no {CONFIG}")


def read_log(folder: Path, name: str) -> list[dict[str, Any]]:
    """All rows of one log; the last line of a run that was killed while writing it is passed over."""
    try:
        lines = (folder / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{folder} holds no run: {error}") from error
    rows = []
    for number, line in enumerate(lines[:-1], 1):  # what follows the last newline is no whole line
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{folder}: line {number} of {name}.jsonl is damaged: {error}") from error
        if not isinstance(row, dict):
            raise UserError(f"{folder}: line {number} of {name}.jsonl expects an object, got {line[:40]}")
        rows.append(row)
    return rows


def _plain(value: Any) -> Any:
    """``value`` as strict JSON can hold it: NaN and infinities become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _numbers(name: str, row: dict[str, Any]) -> dict[str, float]:
    """The finite numbers of ``row`` under names such as ``evals/test_ood/greedy/em``."""
    prefix = "/".join([name, *(str(row[key]) for key in ("split", "decoding") if key in row)])
    numbers = {key: value for key, value in row.items() if key != "step" and isinstance(value, (int, float))}
    return {f"{prefix}/{key}": value for key, value in numbers.items() if math.isfinite(value)}
