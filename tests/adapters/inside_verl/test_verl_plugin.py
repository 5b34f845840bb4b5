"""verl finds the plug-in by itself; registering again does no harm; a name that is taken is said aloud."""

import functools
import importlib
import os
import subprocess
import sys

import pytest

pytest.importorskip("verl.trainer.ppo.core_algos", reason="needs verl: make test-adapters-verl")

from verl.trainer.ppo import core_algos

from gapo_kernels.adapters import presence
from gapo_kernels.adapters import verl as adapter

HAS_PLUGINS = tuple(map(int, __import__("verl").__version__.split(".")[:2])) >= (0, 9)
LIST = (
    "import verl; from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY as r;"
    " print(sorted(name for name, f in r.items() if f.__module__.startswith('gapo_kernels')))"
)


def registered(**environment):
    clean = os.environ | {"VERL_USE_EXTERNAL_PLUGINS": "auto", "VERL_USE_EXTERNAL_MODULES": ""}
    done = subprocess.run([sys.executable, "-c", LIST], env=clean | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.skipif(not HAS_PLUGINS, reason="verl loads plug-ins from 0.9 on")
def test_the_entry_point():
    assert registered() == "['gapo', 'gapo_mean']"
    assert registered(VERL_USE_EXTERNAL_PLUGINS="none") == "[]"


def test_the_module_by_name():
    loaded = registered(VERL_USE_EXTERNAL_PLUGINS="none", VERL_USE_EXTERNAL_MODULES="gapo_kernels.adapters.verl")
    assert loaded == "['gapo', 'gapo_mean']"


def test_registering_again():
    adapter.register()
    again = importlib.reload(adapter)
    assert core_algos.get_adv_estimator_fn("gapo") is again.gapo
    again.register()


def test_a_name_that_is_taken(monkeypatch):
    def somebody_elses():
        raise AssertionError

    monkeypatch.setitem(core_algos.ADV_ESTIMATOR_REGISTRY, "gapo", somebody_elses)
    with pytest.warns(UserWarning, match=r"adv_estimator=gapo is .*somebody_elses, which was registered first"):
        adapter.register()
    assert core_algos.get_adv_estimator_fn("gapo") is somebody_elses


def test_doctor_says_that_it_is_active(monkeypatch):
    monkeypatch.delenv("VERL_USE_EXTERNAL_MODULES", raising=False)  # how a release without plug-ins is tested
    report = "\n".join(presence.report())  # verl is loaded here: its registry is asked
    assert ("active: algorithm.adv_estimator=gapo" in report) == HAS_PLUGINS
    monkeypatch.setenv("VERL_USE_EXTERNAL_MODULES", presence.VERL_PLUGIN)
    assert "active: algorithm.adv_estimator=gapo" in "\n".join(presence.report())
    monkeypatch.setitem(core_algos.ADV_ESTIMATOR_REGISTRY, "gapo", print)
    assert "not active: gapo registered by somebody else" in "\n".join(presence.report())


def test_a_name_that_a_partial_has_taken(monkeypatch):
    monkeypatch.setitem(core_algos.ADV_ESTIMATOR_REGISTRY, "gapo", functools.partial(print))
    with pytest.warns(UserWarning, match=r"adv_estimator=gapo is functools\..*print.*, which was registered first"):
        adapter.register()
