"""The two places where verl leaves a custom estimator out, and what is wrapped there.

- ``verl.trainer.ppo.v1`` counts a session of several outputs once, but only for the estimator named ``grpo``: it hands
  any other every output as a row of its own. Here the same reduction is done for ours.
- An estimator returns no metrics. Here the statistics of the batch that it scored join ``compute_data_metrics``.

Both functions belong to modules that workers do not need and that the trainers import by name, so each is wrapped right
after its module's import, whenever that is. Other estimators pass through untouched.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch

METRICS = "verl.trainer.ppo.metric_utils"
SESSIONS = "verl.trainer.ppo.v1.utils"


def install(estimators: frozenset[str], metrics: Callable[[], dict[str, float]]) -> None:
    """Wrap both functions, or have them wrapped when verl imports them.

    Args:
        estimators: the names whose sessions are counted once.
        metrics: gives the numbers to log, and nothing where none of these estimators ran.
    """
    _after_import(METRICS, lambda module: _wrap(module, "compute_data_metrics", _with_metrics, metrics))
    _after_import(
        SESSIONS, lambda module: _wrap(module, "compute_advantage_for_multi_trajectories", _with_sessions, estimators)
    )


def last_outputs(keys: Sequence[str]) -> tuple[list[int], list[int]]:
    """Which rows end their sessions, and which of these each row belongs to.

    Args:
        keys: ``{uid}_{session}_{output}`` for each row, as verl's v1 trainer names them.

    Returns:
        The rows of the sessions' last outputs, in the order in which the sessions first appear; and for each row the
        position in that list.
    """
    ends: dict[str, tuple[int, int]] = {}
    sessions = []
    for row, key in enumerate(keys):
        session, _, output = key.rpartition("_")
        sessions.append(session)
        ends[session] = max(ends.get(session, (-1, -1)), (int(output), row))
    position = {session: i for i, session in enumerate(ends)}
    return [row for _, row in ends.values()], [position[session] for session in sessions]


def _with_sessions(original: Callable[..., Any], estimators: frozenset[str]) -> Callable[..., Any]:
    @functools.wraps(original)
    def compute(data: Any, batch_keys: Sequence[str], adv_estimator: str, *args: Any, **kwargs: Any) -> Any:
        last, session_of_row = last_outputs(batch_keys) if adv_estimator in estimators else ([], [])
        if len(last) in (0, len(batch_keys)):  # another estimator, or one output a session
            return original(data, batch_keys, adv_estimator, *args, **kwargs)
        ends = original(data.select_idxs(last), [batch_keys[row] for row in last], adv_estimator, *args, **kwargs)
        first_token = (ends.batch["response_mask"] != 0).int().argmax(dim=1, keepdim=True)
        scores = ends.batch["advantages"].gather(1, first_token)
        mask = data.batch["response_mask"]
        advantages = torch.where(mask == 0, 0.0, scores[session_of_row] * mask)  # 0 also where a score is NaN
        data.batch["advantages"] = data.batch["returns"] = advantages
        return data

    return compute


def _with_metrics(
    original: Callable[..., dict[str, Any]], metrics: Callable[[], dict[str, float]]
) -> Callable[..., Any]:
    @functools.wraps(original)
    def compute(*args: Any, **kwargs: Any) -> dict[str, Any]:
        return {**original(*args, **kwargs), **metrics()}

    return compute


def _wrap(module: ModuleType, name: str, wrapper: Callable[..., Any], *options: Any) -> None:
    """Wrap a function of a module, there and wherever verl has imported it by name; once, however often this is called.

    A version of verl that has no such function has no such gap either.
    """
    current = getattr(module, name, None)
    if current is None:
        return
    original = getattr(current, "_gapo_original", current)
    wrapped = wrapper(original, *options)
    wrapped._gapo_original = original
    for holder in [loaded for key, loaded in list(sys.modules.items()) if key.partition(".")[0] == "verl"]:
        if vars(holder).get(name) in (original, current):
            setattr(holder, name, wrapped)


def _after_import(name: str, patch: Callable[[ModuleType], None]) -> None:
    """Call ``patch`` with the module of that name, now if it is imported already, else right after its import."""
    if name in sys.modules:
        patch(sys.modules[name])
    else:
        sys.meta_path[:] = [f for f in sys.meta_path if not (isinstance(f, _AfterImport) and f.name == name)]
        sys.meta_path.insert(0, _AfterImport(name, patch))


class _AfterImport(MetaPathFinder):
    """Finds one module as the others do, and has it patched after it has run; a search alone changes nothing."""

    def __init__(self, name: str, patch: Callable[[ModuleType], None]) -> None:
        self.name = name
        self.patch = patch
        self.is_searching = False

    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != self.name or self.is_searching:
            return None
        self.is_searching = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self.is_searching = False
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def run_and_patch(module: ModuleType) -> None:
            run(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            self.patch(module)

        spec.loader.exec_module = run_and_patch  # type: ignore[method-assign]
        return spec
