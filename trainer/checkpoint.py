"""Checkpoints: a folder that transformers can load, plus the optimiser and one JSON file. No pickle.

A checkpoint is written beside its final name, flushed to the disk and renamed, so a folder called ``step_…`` is whole;
``state.json`` lists every file with its size and SHA-256, and has one of its own, so that what happened to them later
is noticed too. There is no scheduler and no generator state in it: both are functions of (seed, step).
Left out: sharded and asynchronous checkpoints (one file of weights serves up to a few billion parameters).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch.distributed as dist
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

from gapo_trainer.errors import UserError, Warn

if TYPE_CHECKING:  # which names checkpoints in an error
    from gapo_trainer.policy import Policy

CHECKPOINTS = "checkpoints"  # their folder, in that of a run
WRITING = ".writing_"  # begins the name of one that is not whole yet
FORMAT = "gapo_trainer checkpoint"
VERSION = 2
STATE, OPTIMIZER = "state.json", "optimizer.safetensors"
FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)


class Progress(NamedTuple):
    """Where a run stands, apart from its tensors: what ``state.json`` carries."""

    step: int  # rollout steps done
    tasks_taken: int  # the sampler's position
    bad_updates: int  # skipped in a row
    log_bytes: dict[str, int]  # length of every log of the run at this step


def sync_folder(path: Path) -> None:
    """Flush everything in ``path`` and the folder itself to the disk."""
    for entry in [*path.rglob("*"), path]:
        descriptor = os.open(entry, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in ``folder``, oldest first."""
    numbers = {path: path.name.removeprefix("step_") for path in folder.glob("step_*")}
    return sorted((path for path, number in numbers.items() if number.isdecimal()), key=lambda path: int(numbers[path]))


def save_checkpoint(
    folder: Path,
    progress: Progress,
    policy: Policy,
    optimizer: Optimizer,
    keep: int,
) -> None:
    """Write ``folder/step_…`` whole or not at all, then remove all but the newest ``keep``. Every rank calls it.

    Checkpoints of later steps go too: they are damaged, else the run would have gone on from them.

    Args:
        folder: where the run keeps its checkpoints.
        progress: counters to resume from.
        policy: the model, sharded or not, and its tokenizer, because ids mean nothing without it.
        optimizer: its state is gathered and saved.
        keep: how many checkpoints to leave.

    Raises:
        UserError: the disk is full or refuses; earlier checkpoints are untouched.
    """
    final = folder / f"step_{progress.step:06d}"
    weights = get_model_state_dict(policy.model, options=FULL)
    moments: Any = get_optimizer_state_dict(policy.model, optimizer, options=FULL)  # empty on all ranks but the first
    if dist.is_initialized() and dist.get_rank() != 0:
        return
    for stale in folder.glob(f"{WRITING}*"):  # of a process that was killed while it wrote
        shutil.rmtree(stale, ignore_errors=True)
    partial = folder / f"{WRITING}{final.name}"
    try:
        partial.mkdir(parents=True)
        policy.model.save_pretrained(partial, state_dict=weights)
        _save_tokenizer(policy, partial)
        save_file(_flat(moments["state"]), partial / OPTIMIZER)
        written = [path for path in sorted(partial.rglob("*")) if path.is_file()]
        files = {str(p.relative_to(partial)): {"bytes": p.stat().st_size, "sha256": sha256(p)} for p in written}
        state = {"format": FORMAT, "version": VERSION, **progress._asdict(), "files": files}
        (partial / STATE).write_text(json.dumps(state | {"sha256": _digest(state)}, indent=1))
        sync_folder(partial)
        shutil.rmtree(final, ignore_errors=True)  # only ever one that failed its checks and was trained again
        partial.rename(final)
        sync_folder(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        earlier = checkpoints(folder)
        raise UserError(
            f"checkpoint of step {progress.step} could not be written: {error}. "
            + (f"The run can be resumed from {earlier[-1]}." if earlier else "The run has no earlier checkpoint.")
        ) from error
    saved = checkpoints(folder)
    reached = saved.index(final) + 1
    for other in saved[:reached][:-keep] + saved[reached:]:
        shutil.rmtree(other)


def read_progress(checkpoint: Path) -> Progress:
    """Check every file of ``checkpoint`` and return its counters.

    Raises:
        UserError: it is no checkpoint of this trainer, of another version, or a file is missing or damaged.
    """
    try:
        state = json.loads((checkpoint / STATE).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{checkpoint} is no checkpoint of this trainer: {error}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UserError(f"{checkpoint} is no checkpoint of this trainer: {STATE} does not say {FORMAT!r}")
    if state.get("version") != VERSION:
        raise UserError(f"{checkpoint} has version {state.get('version')}, this trainer reads {VERSION}")
    if state.pop("sha256", None) != _digest(state):
        raise UserError(f"{checkpoint} is damaged: {STATE} differs from what was written")
    for name, expected in state["files"].items():
        path = checkpoint / name
        size = path.stat().st_size if path.is_file() else None
        if size != expected["bytes"]:
            found = "is missing" if size is None else f"has {size}"
            raise UserError(f"{checkpoint} is damaged: {name} should have {expected['bytes']} bytes and {found}")
        if sha256(path) != expected["sha256"]:
            raise UserError(f"{checkpoint} is damaged: {name} differs from what was written")
    return Progress(**{field: state[field] for field in Progress._fields})


def _digest(state: dict[str, Any]) -> str:
    """SHA-256 of what ``state.json`` says besides."""
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def newest_checkpoint(folder: Path, warn: Warn) -> tuple[Path, Progress] | None:
    """The newest checkpoint that passes its checks, or None where there is none at all.

    Args:
        folder: where the run keeps its checkpoints.
        warn: called with one line for each damaged one that is passed over.

    Raises:
        UserError: there are checkpoints and all are damaged.
    """
    candidates = checkpoints(folder)
    for candidate in reversed(candidates):
        try:
            return candidate, read_progress(candidate)
        except UserError as error:
            warn(f"passed over: {error}")
    if candidates:
        raise UserError(f"{folder} holds no checkpoint that is whole")
    return None


def load_optimizer(checkpoint: Path, model: nn.Module, optimizer: Optimizer) -> None:
    """Put the saved optimiser state back, sharded as ``model`` is."""
    moments: Any = {}
    for key, tensor in load_file(checkpoint / OPTIMIZER).items():
        kind, _, parameter = key.partition("/")
        moments.setdefault(parameter, {})[kind] = tensor
    groups = get_optimizer_state_dict(model, optimizer)["param_groups"]
    set_optimizer_state_dict(model, optimizer, {"state": moments, "param_groups": groups}, options=FULL)


def _save_tokenizer(policy: Policy, folder: Path) -> None:
    """Save the tokenizer; an OSError where that fails, as for the other files."""
    try:
        policy.tokenizer.save_pretrained(folder)
    except Exception as error:
        if type(error) is Exception:  # that is how the tokenizers library tells of a full disk
            raise OSError(str(error)) from error
        raise


def _flat(moments: dict[str, Any]) -> dict[str, Any]:
    """``{"exp_avg/model.norm.weight": tensor, …}`` from torch's nested optimiser state."""
    return {f"{kind}/{name}": t.contiguous() for name, kinds in moments.items() for kind, t in kinds.items()}
