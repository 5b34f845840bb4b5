"""Which RL frameworks are installed, and whether GAPO is active there: told from metadata, without importing any.

verl logs a plug-in that fails to import at DEBUG only, and then knows no ``gapo``: ``load_plugins`` imports it to see.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import NamedTuple

VERL_PLUGIN = "gapo_kernels.adapters.verl"  # registers when it is imported
VERL_FINDS_PLUGINS = (0, 9)
VERL_REGISTRY = "verl.trainer.ppo.core_algos"


class Framework(NamedTuple):
    """A framework, the distributions that bring it, and what its user does to get GAPO."""

    name: str
    distributions: tuple[str, ...]
    how: str


FRAMEWORKS = (
    Framework("verl", ("verl",), "algorithm.adv_estimator=gapo"),
    Framework("TRL", ("trl",), "from gapo_kernels.adapters.trl import GapoGRPOTrainer"),
    Framework(
        "slime", ("slime",), "--custom-reward-post-process-path gapo_kernels.adapters.slime.post_process_rewards"
    ),
    Framework("SkyRL", ("skyrl", "skyrl-train"), "gapo_kernels.adapters.skyrl.register()"),
    Framework("NeMo-RL", ("nemo-rl",), "a patch: docs/adapters/nemo_rl.md"),
    Framework("OpenRLHF", ("openrlhf",), "a patch: docs/adapters/openrlhf.md"),
    Framework("AReaL", ("areal",), "a patch: docs/adapters/areal.md"),
    Framework("prime-rl", ("prime-rl",), "a patch: docs/adapters/prime_rl.md"),
    Framework("ms-swift", ("ms-swift",), "a patch: docs/adapters/ms_swift.md"),
    Framework("Axolotl", ("axolotl",), "a trainer class: docs/adapters/axolotl.md"),
)


def report(load_plugins: bool = False) -> list[str]:
    """One line a framework.

    Args:
        load_plugins: import verl and its plug-in, which takes seconds, instead of judging by metadata.

    Returns:
        The name, the installed version, and how GAPO is used there and whether it is active, or why it is not.
    """
    return [_line(framework, load_plugins) for framework in FRAMEWORKS]


def _line(framework: Framework, load_plugins: bool) -> str:
    found = next((v for v in map(_version, framework.distributions) if v is not None), None)
    if found is None:
        return f"  {framework.name:<10} not found"
    if framework.name == "verl":
        return f"  {framework.name:<10} {found:<12} {_state_in_verl(framework.how, found, load_plugins)}"
    return f"  {framework.name:<10} {found:<12} to be called for: {framework.how}"


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _state_in_verl(how: str, installed: str, load_plugins: bool) -> str:
    if _is_another_verl():
        return "not active: this distribution named verl has no verl.trainer.ppo (EasyR1 is named so)"
    named = VERL_PLUGIN in os.environ.get("VERL_USE_EXTERNAL_MODULES", "").split(",")
    reason = None if named else _why_verl_skips_the_plugin(installed)
    if reason is not None:
        return f"not active: {reason}"
    if not load_plugins and VERL_REGISTRY not in sys.modules:
        return f"plug-in found: {how} (python -m gapo_kernels.doctor --load-plugins tells whether it loads)"
    try:
        estimators = importlib.import_module(VERL_PLUGIN).ESTIMATORS
        registry = importlib.import_module(VERL_REGISTRY).ADV_ESTIMATOR_REGISTRY
    except Exception as error:  # whatever it is, it is what verl swallows
        return f"not active: importing {VERL_PLUGIN} failed: {type(error).__name__}: {error}"
    others = [name for name, estimator in estimators.items() if registry.get(name) is not estimator]
    return f"not active: {', '.join(others)} registered by somebody else" if others else f"active: {how}"


def _is_another_verl() -> bool:
    found = importlib.util.find_spec("verl")  # of a top-level package, which is not imported for that
    places = found.submodule_search_locations or [] if found else []
    return bool(places) and not any(Path(place, "trainer", "ppo").is_dir() for place in places)


def _why_verl_skips_the_plugin(installed: str) -> str | None:
    """Why verl does not import the plug-in through its entry point, or None where it does."""
    names = [point.name for point in entry_points(group="verl.plugins") if point.value == VERL_PLUGIN]
    allowed = os.environ.get("VERL_USE_EXTERNAL_PLUGINS", "auto").strip().lower()
    by_name = f"set VERL_USE_EXTERNAL_MODULES={VERL_PLUGIN}"
    if tuple(int(part) for part in installed.split(".")[:2] if part.isdigit()) < VERL_FINDS_PLUGINS:
        return f"verl before {'.'.join(map(str, VERL_FINDS_PLUGINS))} looks for no plug-ins, {by_name}"
    if not names:
        return f"this installation has no entry point in verl.plugins (install it anew), or {by_name}"
    if allowed != "auto" and not {name.strip() for name in allowed.split(",")} & set(names):
        return f"VERL_USE_EXTERNAL_PLUGINS={allowed} leaves {names[0]} out"
    return None
