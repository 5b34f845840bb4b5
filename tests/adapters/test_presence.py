"""What doctor says about frameworks: told from metadata, and the reason why one is not active."""

import re
import subprocess
import sys

import pytest

import gapo_kernels
from gapo_kernels.adapters import presence


class EntryPoint:
    name, value = "gapo", presence.VERL_PLUGIN


@pytest.fixture
def verl(monkeypatch):
    """An installed verl of the version that is given, with our entry point, and nothing in the environment."""
    monkeypatch.delenv("VERL_USE_EXTERNAL_MODULES", raising=False)
    monkeypatch.delenv("VERL_USE_EXTERNAL_PLUGINS", raising=False)
    monkeypatch.setattr(presence, "entry_points", lambda group: [EntryPoint] * (group == "verl.plugins"))
    monkeypatch.delitem(sys.modules, presence.VERL_REGISTRY, raising=False)

    def line(version="0.9.1", **options):
        monkeypatch.setattr(presence, "_version", {"verl": version}.get)
        return presence.report(**options)[0]

    return line


def test_every_framework_has_a_line():
    report = gapo_kernels.doctor()
    lines = report.partition("\nframeworks:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == [framework.name for framework in presence.FRAMEWORKS]
    for line in lines:
        assert re.search(r"not found$|\d: |: \S", line), line


def test_this_installation_has_the_entry_point():
    found = presence.entry_points(group="verl.plugins")
    assert presence.VERL_PLUGIN in [point.value for point in found], "install the package anew: make setup"


def test_the_plugin_is_found(verl):
    assert re.match(r"  verl +0\.9\.1 +plug-in found: algorithm\.adv_estimator=gapo \(.*--load-plugins", verl())


def test_versions_that_look_for_no_plugins(verl, monkeypatch):
    assert "not active: verl before 0.9 looks for no plug-ins, set VERL_USE_EXTERNAL_MODULES=" in verl("0.8.0")
    monkeypatch.setenv("VERL_USE_EXTERNAL_MODULES", f"other,{presence.VERL_PLUGIN}")
    assert "plug-in found" in verl("0.8.0")
    monkeypatch.setenv("VERL_USE_EXTERNAL_MODULES", f"{presence.VERL_PLUGIN}_mine")
    assert "not active: verl before 0.9 looks for no plug-ins" in verl("0.8.0")


@pytest.mark.parametrize(("folder", "is_verl"), [("trainer/ppo", True), ("trainer", False)])
def test_another_package_of_that_name(verl, monkeypatch, tmp_path, folder, is_verl):
    (tmp_path / "verl" / folder).mkdir(parents=True)
    (tmp_path / "verl" / "__init__.py").write_text("raise ImportError('to be found, not imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "verl", raising=False)
    assert ("not active: this distribution named verl has no verl.trainer.ppo" in verl("0.3.3")) != is_verl


def test_no_entry_point(verl, monkeypatch):
    monkeypatch.setattr(presence, "entry_points", lambda group: [])
    assert "not active: this installation has no entry point in verl.plugins" in verl()
    somebody_elses = type("EntryPoint", (), {"name": "gapo", "value": "theirs.plugin"})
    monkeypatch.setattr(presence, "entry_points", lambda group: [somebody_elses])
    assert "not active: this installation has no entry point in verl.plugins" in verl()


@pytest.mark.parametrize(
    ("setting", "active"),
    [("none", False), ("other", False), ("other, gapo", True), ("auto", True), (" Auto ", True), ("NONE", False)],
)
def test_verls_own_switch(verl, monkeypatch, setting, active):
    monkeypatch.setenv("VERL_USE_EXTERNAL_PLUGINS", setting)
    assert ("plug-in found" in verl()) == active
    read = setting.strip().lower()  # as verl does
    assert (f"not active: VERL_USE_EXTERNAL_PLUGINS={read} leaves gapo out" in verl()) != active


def test_a_plugin_that_does_not_load(verl, monkeypatch):
    """verl itself says nothing of it."""
    monkeypatch.setattr(presence, "VERL_PLUGIN", "gapo_kernels.adapters.no_such_module")
    monkeypatch.setattr(EntryPoint, "value", presence.VERL_PLUGIN)
    expected = "not active: importing gapo_kernels.adapters.no_such_module failed: ModuleNotFoundError: No module named"
    assert expected in verl(load_plugins=True)


def test_a_plugin_that_raises_something_else(verl, monkeypatch, tmp_path):
    (tmp_path / "raising_plugin.py").write_text("raise RuntimeError('no driver')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(presence, "VERL_PLUGIN", "raising_plugin")
    monkeypatch.setattr(EntryPoint, "value", presence.VERL_PLUGIN)
    assert "not active: importing raising_plugin failed: RuntimeError: no driver" in verl(load_plugins=True)


def test_no_framework_is_imported():
    code = "import sys, gapo_kernels; gapo_kernels.doctor(); print({'verl', 'trl', 'ray'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
