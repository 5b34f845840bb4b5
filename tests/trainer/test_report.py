import json
import math
import random
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from gapo_trainer.cli import main
from gapo_trainer.report.curves import draw_curves
from gapo_trainer.report.diffs import edit_diff
from gapo_trainer.report.group_figure import draw_group
from gapo_trainer.report.page import _cost, _shown_group, _spread, differing_settings
from gapo_trainer.report.runs import load_run
from gapo_trainer.train import train

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=y>"


@pytest.fixture(scope="module")
def runs(small, tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs")
    for name, estimator in (("a", "gapo"), ("b", "grpo")):
        (folder / name).mkdir()
        train(small(estimator=estimator, out=name), folder / name, "cpu")
    return folder


def test_the_page_compares_runs_and_needs_nothing_else(runs, tmp_path):
    out = tmp_path / "report.html"
    assert main(["report", str(runs / "a"), str(runs / "b"), "--out", str(out)]) == 0
    page = out.read_text()
    assert page.count("data:image/svg+xml;base64,") == 1 + 2 * 2  # curves, and two groups of each run
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "<script" not in page
    for setting, values in {"estimator": ("gapo", "grpo")}.items():
        cells = "".join(f'<td class="left">{value}</td>' for value in values)
        assert f"<tr><td>{setting}</td>{cells}</tr>" in page
    assert "<td>lr</td>" not in page  # the runs agree in it
    assert page.count("(8), step 4</td>") == 2 * 2  # the last evaluation of each run and split
    assert re.search(r"<pre>--- m\d+.py\n@@ -1 \+1 @@", page)  # which file an earlier change was in


def test_runs_without_evaluations_are_named_too(runs):
    found = [replace(load_run(runs / name), evals=[]) for name in ("a", "b")]
    figure = draw_curves(found)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    assert not any("greedy" in axis.get_title() for axis in figure.axes)
    assert len(figure.axes) + 2 == len(draw_curves([load_run(runs / "a")]).axes)


def test_a_run_is_named_whatever_its_folder_is_called(runs, monkeypatch):
    monkeypatch.chdir(runs / "a")
    found = [load_run(Path(".")), replace(load_run(runs / "b"), name="_b")]
    assert [text.get_text() for text in draw_curves(found).legends[0].get_texts()] == ["a", "_b"]


def test_what_a_model_or_a_repository_wrote_is_escaped(runs, tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    for file in (runs / "a").glob("*.*"):
        (folder / file.name).write_bytes(file.read_bytes())
    (group, *_) = (json.loads(line) for line in (folder / "groups.jsonl").read_text().splitlines())
    group["task"] |= {"path": HOSTILE, "region": HOSTILE + "a", "target": HOSTILE}
    group["task"]["history"][0]["diff"] = HOSTILE
    group["edits"] = [{"text": HOSTILE + "b", "count": 1, "reward": None}]
    (folder / "groups.jsonl").write_text(json.dumps(group) + "\n")
    assert main(["report", str(folder), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert "onerror=y>" not in page
    assert page.count("&lt;script&gt;") >= 4
    assert "unscorable" in page


def test_the_groups_shown_are_spread_over_the_steps():
    assert _spread(list(range(11)), 6) == [0, 2, 4, 6, 8, 10]
    assert _spread([1, 2, 3], 6) == [1, 2, 3]


def test_a_group_is_shown_with_the_changes_of_the_line_as_it_was(runs, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "gapo_trainer.report.page.draw_group", lambda group, tau, title: (drawn.append(tau), Figure())[1]
    )
    run = load_run(runs / "a")
    (group, *_) = run.groups
    group["task"] |= {"region": "old", "target": "right"}
    group["edits"] = [{"text": "new", "count": 1, "reward": 1.0}]
    shown = _shown_group(replace(run, config=replace(run.config, tau=0.75)), group)
    assert shown["wanted"] == "<del>old</del><ins>right</ins>"
    assert shown["edits"][0]["diff"] == "<del>old</del><ins>new</ins>"
    assert drawn == [0.75]


def test_what_steps_cost_on_average_and_in_all(runs):
    parts = {"rollout_s": 2.0, "advantage_s": 0.5, "update_s": 1.5, "tokens_per_s": 10.0, "peak_mb": 7.0}
    later = {"rollout_s": 4.0, "advantage_s": 0.5, "update_s": 3.5, "tokens_per_s": 20.0, "peak_mb": 9.0}
    run = replace(load_run(runs / "a"), timings=[parts, later])
    assert run.seconds() == {"rollout": 6.0, "advantage": 1.0, "update": 5.0}
    assert _cost(run) == {
        "steps": 2, "step_s": 6.0, "rollout_s": 3.0, "update_s": 2.5, "advantage_share": 0.5 / 6.0,
        "tokens_per_s": 15.0, "peak_mb": 9.0,
    }  # fmt: skip
    assert _cost(replace(run, timings=[]))["step_s"] == 0


def test_a_run_alone_is_shown_with_all_its_settings(runs):
    (run,) = [load_run(runs / "a")]
    assert differing_settings([run]) == [(name, [value]) for name, value in vars(run.config).items()]


def test_every_run_has_its_colour_and_its_interval(runs):
    scores = [{"step": step, "split": "test_id", "em": 0.5, "em_low": 0.4, "em_high": 0.7} for step in (0, 4)]
    unknown = {"step": 2, "split": "test_id", "em": 0.0, "em_low": None, "em_high": None}
    found = [replace(load_run(runs / name), evals=[scores[0], unknown, scores[1]]) for name in ("a", "b")]
    found[1].metrics[0]["kl"] = None
    figure = draw_curves(found)
    evaluation, *training = figure.axes
    for axis in figure.axes:
        assert same_color([line.get_color() for line in axis.lines], ["C0", "C1"])
    for band in evaluation.collections:
        corners = band.get_paths()[0].vertices
        assert sorted(set(corners[:, 1])) == [0.4, 0.7]
        assert set(corners[:, 0]) == {0, 4}
    (kl,) = [axis for axis in training if axis.get_title().startswith("KL")]
    assert math.isnan(kl.lines[1].get_ydata()[0])


def test_a_diff_marks_whole_words():
    assert str(edit_diff("f(old, 1)", "f(older, 1, <x>)")) == (
        "f(<del>old</del><ins>older</ins>, 1<ins>, &lt;x&gt;</ins>)"
    )
    assert str(edit_diff("a\n", "a\n\n")) == "a<del>\n</del><ins>\n\n</ins>"
    repeated = "x, " * 100  # which difflib by itself takes for junk
    assert str(edit_diff(f"a, {repeated}", repeated)) == f"<del>a, </del>{repeated}"


def test_the_diff_of_endless_repetitions_takes_no_longer_than_that_of_other_texts():
    """Without a limit a hundred times as long: every repetition begins as many matches as there are repetitions."""

    def taken(before: str, after: str) -> float:
        start = time.perf_counter()
        edit_diff(before, after)
        return time.perf_counter() - start

    draw = random.Random(0)
    words = [" ".join(draw.choices([f"word{i}" for i in range(200)], k=800)) for _ in range(2)]
    assert taken("a b " * 400, "a c " * 400) < 10 * min(taken(*words) for _ in range(3))


def test_the_group_figure_draws_the_window_q_and_the_mean():
    rewards = [0.0, 0.1, 0.2, 0.8, 0.9, 0.95, None]
    figure = draw_group({"rewards": rewards}, 0.6, "a group")
    (axis,) = figure.axes
    assert axis.get_title() == "a group"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["HDI, τ = 0.6", "Q = 0.850", "mean = 0.492"]
    assert [line.get_xdata()[0] for line in axis.lines] == pytest.approx([0.85, 2.95 / 6])
    *bars, window = axis.patches
    assert window.get_x() == pytest.approx(0.2, abs=0.01)
    assert window.get_x() + window.get_width() == pytest.approx(0.95, abs=0.01)
    assert sum(bar.get_height() for bar in bars) == 6
    assert (bars[0].get_x(), bars[-1].get_x() + bars[-1].get_width()) == pytest.approx((0, 1))  # as of other groups


def test_a_window_of_equal_rewards_is_seen():
    assert draw_group({"rewards": [0.5] * 4}, 0.5, "a group").axes[0].patches[-1].get_width() > 0


def test_a_group_without_a_reward_is_an_empty_figure():
    figure = draw_group({"rewards": [None, None]}, 0.5, "a group")
    assert not figure.axes[0].patches
    assert not figure.legends


def test_the_group_figure_holds_every_reward():
    axis = draw_group({"rewards": [-2.0, 0.5, 3.0]}, 0.5, "a group").axes[0]
    assert sum(patch.get_height() for patch in axis.patches[:40]) == 3


def test_a_folder_without_a_run_is_one_line(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert f"report expects folders of runs, got {tmp_path}, which has no config.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("log", "row", "message"),
    [
        ("metrics", "[1]", "line 5 of metrics.jsonl expects an object, got [1]"),
        ("metrics", '{"step": 5}', "the logs are not as this version writes them: KeyError: 'reward'"),
        ("evals", "{}", "the logs are not as this version writes them: KeyError: 'split'"),
        ("groups", '{"step": 5}', "the logs are not as this version writes them: KeyError: 'task'"),
    ],
)
def test_rows_of_another_shape_are_one_line(runs, tmp_path, capsys, log, row, message):
    folder = tmp_path / "run"
    shutil.copytree(runs / "a", folder)
    with (folder / f"{log}.jsonl").open("a") as file:
        file.write(row + "\n")
    assert main(["report", str(folder), "--out", str(tmp_path / "page.html")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "page.html").exists()


def test_a_page_that_cannot_be_written_is_refused_before_the_drawing(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("gapo_trainer.report.page.draw_curves", lambda _: pytest.fail("figures are drawn"))
    for out, message in (
        (tmp_path / "absent" / "page.html", "--out expects a file in a folder that exists and can be written, got "),
        (tmp_path, "--out expects a file, got the folder "),
    ):
        assert main(["report", str(runs / "a"), "--out", str(out)]) == 1
        assert f"{message}{out}" in capsys.readouterr().err


def test_a_full_disk_leaves_an_earlier_page_alone(runs, tmp_path, files_of_at_most, capsys):
    out = tmp_path / "page.html"
    out.write_text("before")
    with files_of_at_most(1000):
        assert main(["report", str(runs / "a"), "--out", str(out)]) == 1
    assert "the report could not be written: [Errno 27]" in capsys.readouterr().err
    assert out.read_text() == "before"
    assert list(tmp_path.iterdir()) == [out]
