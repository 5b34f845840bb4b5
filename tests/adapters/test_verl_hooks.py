"""What is wrapped in verl (``verl_hooks``), on modules that stand in for verl's: with verl, see inside_verl."""

import importlib
import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch

from gapo_kernels.adapters import verl_hooks

MODULES = {
    verl_hooks.METRICS: "def compute_data_metrics(batch):\n    return {'verl': 1.0}\n",
    verl_hooks.SESSIONS: """
def compute_advantage_for_multi_trajectories(data, batch_keys, adv_estimator, gamma=1.0, config=None):
    data.called_with = gamma, config
    data.batch["advantages"] = data.rewards.unsqueeze(1) * data.batch["response_mask"].float()
    return data
""",
}


class Data:
    """As much of verl's DataProto as is asked for."""

    def __init__(self, rewards, mask):
        self.rewards = rewards
        self.batch = {"response_mask": mask}

    def select_idxs(self, rows):
        return Data(self.rewards[rows], self.batch["response_mask"][rows])


@pytest.fixture
def verl(tmp_path, monkeypatch):
    """Imports the two modules; the hooks were installed before."""
    for name, code in MODULES.items():
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    known = [name for name in sys.modules if name.partition(".")[0] == "verl"]
    for name in known:
        monkeypatch.delitem(sys.modules, name)
    verl_hooks.install(frozenset({"gapo"}), lambda: {"gapo": 2.0})
    yield lambda: SimpleNamespace(**{name.rpartition(".")[2]: importlib.import_module(name) for name in MODULES})
    for name in [name for name in sys.modules if name.partition(".")[0] == "verl"]:
        del sys.modules[name]


def test_metrics_join_those_of_verl(verl):
    assert verl().metric_utils.compute_data_metrics(None) == {"verl": 1.0, "gapo": 2.0}
    assert not any(isinstance(finder, verl_hooks._AfterImport) for finder in sys.meta_path)


def test_a_search_for_the_modules_changes_nothing(verl):
    for name in (*MODULES, *MODULES):
        assert importlib.util.find_spec(name) is not None
    assert verl().metric_utils.compute_data_metrics(None) == {"verl": 1.0, "gapo": 2.0}


def test_an_import_that_fails_may_be_tried_again(verl, tmp_path):
    path = tmp_path.joinpath(*verl_hooks.METRICS.split(".")).with_suffix(".py")
    path.write_text("raise RuntimeError('not yet')")
    with pytest.raises(RuntimeError, match="not yet"):
        importlib.import_module(verl_hooks.METRICS)
    path.write_text(MODULES[verl_hooks.METRICS] + "# longer, so that what was compiled is not taken for it\n")
    importlib.invalidate_caches()
    assert verl().metric_utils.compute_data_metrics(None) == {"verl": 1.0, "gapo": 2.0}


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
def test_a_session_has_its_last_outputs_advantage_over_the_mask(verl, dtype):
    """Also one that is NaN: what is masked out stays 0."""
    mask = torch.tensor([[0, 1, 1], [1, 1, 0], [0, 0, 1]]).to(dtype)
    data = Data(torch.tensor([1.0, torch.nan, 3.0]), mask)
    keys = ["a_0_0", "a_0_1", "a_1_0"]
    done = verl().utils.compute_advantage_for_multi_trajectories(data, keys, "gapo").batch["advantages"]
    nan = torch.nan
    expected = torch.tensor([[0, nan, nan], [nan, nan, 0], [0, 0, 3.0]])
    torch.testing.assert_close(done, expected, rtol=0, atol=0, equal_nan=True)


def test_the_tenth_output_comes_after_the_second():
    keys = [f"a_0_{output}" for output in (0, 10, *range(1, 10))]
    assert verl_hooks.last_outputs(keys) == ([1], [0] * 11)


def test_all_arguments_reach_verl_by_position(verl):
    selected = []

    class Watched(Data):
        def select_idxs(self, rows):
            selected.append(super().select_idxs(rows))
            return selected[-1]

    data = Watched(torch.tensor([1.0, 2.0]), torch.ones(2, 1))
    verl().utils.compute_advantage_for_multi_trajectories(data, ["a_0_0", "a_0_1"], "gapo", 0.5, {"tau": 0.75})
    assert [ends.called_with for ends in selected] == [(0.5, {"tau": 0.75})]


def test_a_verl_without_the_function(verl, tmp_path):
    tmp_path.joinpath(*verl_hooks.SESSIONS.split(".")).with_suffix(".py").write_text("")
    assert not hasattr(verl().utils, "compute_advantage_for_multi_trajectories")


def test_installing_again_reaches_who_imported_by_name(verl, tmp_path):
    (tmp_path / "verl" / "trainer" / "by_name.py").write_text(f"from {verl_hooks.METRICS} import compute_data_metrics")
    by_name = importlib.import_module("verl.trainer.by_name")
    for number in (3.0, 4.0):
        verl_hooks.install(frozenset({"gapo"}), lambda number=number: {f"gapo/{number}": number})
        assert by_name.compute_data_metrics is verl().metric_utils.compute_data_metrics
        assert by_name.compute_data_metrics(None) == {"verl": 1.0, f"gapo/{number}": number}
