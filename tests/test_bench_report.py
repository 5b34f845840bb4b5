"""The documents' tables are those of the committed results, and the report reads results as they are written."""

from __future__ import annotations

import copy
import json
import re

import bench_modules  # noqa: F401
import pytest

from bench import figures, markdown, report, results_file, steps, training
from bench.forms import FORMS
from bench.results_file import FOLDER
from bench.tables import SMALL, TABLES, cases


@pytest.mark.parametrize("document", report.DOCUMENTS, ids=lambda path: path.name)
def test_the_tables_are_those_of_the_results(document):
    text = document.read_text(encoding="utf-8")
    assert text == report.rendered(text), "make report writes other tables than the committed ones"


def test_every_table_stands_in_a_document():
    texts = [path.read_text(encoding="utf-8") for path in report.DOCUMENTS]
    assert {mark["name"] for text in texts for mark in report.MARK.finditer(text)} == set(report.tables())


def test_another_result_gives_another_table(monkeypatch):
    results = results_file.read(FOLDER / "cpu.json")
    changed = copy.deepcopy(results)
    ours = results_file.find(changed["dense"], peer="gapo", shape=[512, 16], threads=1)
    ours["median"] *= 10
    assert markdown.short(changed) != markdown.short(results)


def test_every_result_says_where_it_comes_from():
    for path in FOLDER.glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        for part in [content] if "provenance" in content else content.values():
            facts = part["provenance"]
            assert all(facts[key] for key in ("device", "versions", "commit", "command", "date")), path.name


def made_up() -> results_file.Results:
    """Results of the small tables: this op a hundred microseconds, everyone else more."""
    origin = {"device": "a CPU", "cpu_capability": "avx2", "versions": {"torch": "2"}, "date": "2000-01-01"}
    results = {}
    for name, table in SMALL.items():
        entries = []
        for place, case in enumerate(cases(name, table)):
            median = 100.0 if case.peer == "gapo" else 200.0 + place
            facts = {"peer": case.peer, "shape": list(case.shape), "dtype": case.dtype, "threads": case.threads}
            entries.append({**facts, "traffic": 64, "median": median, "q1": 1.0, "q3": 1.0, "turns": [median, median]})
        provenance = {**origin, "commit": "0123456789abcdef", "command": "none", "load_before": 0.5}
        results[name] = {"provenance": provenance, "left_out": {"numpy": "a reason"}, "cases": entries}
    return results


def test_a_file_reads_as_it_was_written(tmp_path):
    results = made_up()
    results_file.write(tmp_path / "results.json", results)
    assert results_file.read(tmp_path / "results.json") == results
    assert results_file.read(tmp_path / "none.json") == {}


def test_a_comparison_names_the_fastest_peer_and_who_was_left_out():
    table = made_up()["dense"]
    results_file.find(table, peer="numpy", shape=[16, 8], threads=1)["median"] = 150.0
    text = markdown.by_threads("dense", table)
    assert re.search(r"16 × 8 .* 1\.5× \|", text)
    assert "Not measured: numpy (a reason)." in text
    assert "a CPU (avx2), torch 2, 2000-01-01, commit 0123456789ab, `none`" in text


def test_floors_and_this_op_are_no_peers():
    entries = {name: {"median": 1.0} for name, who in FORMS["advantage"].peers.items() if who.floor}
    entries |= {"gapo": {"median": 1.0}, "torch": {"median": 7.0}, "numpy": None}
    assert markdown.fastest_peer("advantage", entries) == 7.0


def test_noise_is_the_spread_between_turns():
    results = made_up()
    entry = results["dense"]["cases"][0]
    entry["turns"] = [80.0, 120.0]
    assert "worst was 40% (gapo, 16 × 8, table dense)" in markdown.noise(results)
    assert "load average before a table was 0.5 to 0.5" in markdown.noise(results)
    for table in results.values():
        for case in table["cases"]:
            case["turns"] = [1.0]
    assert "not measured" in markdown.noise(results)


ORIGIN = {"device": "a CPU", "versions": {"torch": "2"}, "date": "2000-01-01", "commit": "01", "command": "none"}


def test_steps_show_before_and_after():
    cases = [
        {"estimator": name, "threads": threads, "wall_ms": [median - 1, median, median + 1], "cpu_ms": [6.0, 7.0, 8.0]}
        for name, median in (("grpo", 900.0), ("grpo_vectorized", 80.0), ("gapo", 20.0))
        for threads in (1, 2)
    ]
    batch = {"prompts": 512, "group_size": 16, "tokens": 1024, "load_before": 0.25}
    text = steps.verl({"provenance": ORIGIN, **batch, "cases": cases})
    assert "| this package's `gapo` | 20 ms (19 ms – 21 ms) | 7 ms (6 ms – 8 ms) | 20 ms (19 ms – 21 ms) |" in text
    assert "Load average before: 0.2;" in text
    times = {"groups": 8, "group_size": 16, "functions": 3, "trl_ms": 0.5, "op_ms": 0.05, "replacement_ms": 0.2}
    step = {
        "prompt_tokens": 16,
        "new_tokens": 24,
        "group_size": 8,
        "replacement_ms": 0.2,
        "step_ms": 200,
        "share": 0.001,
    }
    text = steps.trl({"provenance": ORIGIN, "batches": [times], "steps": [step]})
    assert "| 8 × 16 | 3 | 500 µs | 50 µs | 200 µs |" in text
    assert "| 8 × (16 + 24) | 200 µs | 200 ms | 0.10% |" in text


def test_recipes_are_compared_with_the_first():
    scores = {"gapo": (0.5, 0.7), "grpo": (0.6, 0.9)}
    by_seed = {name: [{"test_id_em": 0.5, "test_ood_em": value} for value in values] for name, values in scores.items()}
    config = {"steps": 3, "group_size": 4, "eval_tasks": 5}
    facts = ORIGIN | {"threads": 2, "versions": {"torch": "2", "transformers": "5"}}
    text = training.comparison({"provenance": facts, "config": config, "scores_by_seed": by_seed})
    assert "| GAPO | 0.500 [0.500, 0.500] | 0.600 [-0.671, 1.871] |  |  |" in text
    assert "| GRPO | 0.500 [0.500, 0.500] | 0.750 [-1.156, 2.656] | −0.150 [−0.785, +0.485] | 0.20 |" in text
    assert "2 seeds, 3 steps, groups of 4; greedy, 5 tasks each. a CPU, 2 threads, torch 2" in text


def test_without_a_gpu_file_the_table_says_so():
    assert markdown.gpu({}) == "Not measured yet."


@pytest.mark.parametrize(("microseconds", "text"), [(8.4, "8.4 µs"), (1070, "1.07 ms"), (2.5e6, "2.5 s")])
def test_times_have_three_digits(microseconds, text):
    assert markdown.time(microseconds) == text


def test_figures_are_drawn_the_same_each_time(tmp_path):
    results = made_up()
    paths = figures.save(results, "cpu", tmp_path)
    assert {path.suffix for path in paths} == {".svg", ".png"}
    assert len(paths) == 2 * len(figures.FIGURES)
    first = [path.read_bytes() for path in paths if path.suffix == ".svg"]
    figures.save(results, "cpu", tmp_path)
    assert first == [path.read_bytes() for path in paths if path.suffix == ".svg"]
    assert "this op" in first[0].decode()


def test_a_figure_whose_tables_were_not_reached_is_not_drawn(tmp_path):
    results = made_up()
    results["by_batch"]["cases"] = []
    del results["tokens"]
    assert {path.stem for path in figures.save(results, "gpu", tmp_path)} == {"gpu_speed_up"}


def test_the_committed_figures_are_there():
    assert all((FOLDER / f"cpu_{name}.{kind}").exists() for name in figures.FIGURES for kind in ("svg", "png"))


def test_the_tables_have_the_shapes_of_the_design():
    assert len(TABLES["dense"].shapes) == 9
    assert [shape[1] for shape in TABLES["by_size"].shapes] == [1 << power for power in range(1, 21)]
    assert len({shape[0] * shape[1] for shape in TABLES["by_size"].shapes}) == 1


def test_figures_of_changed_files_do_not_pass_for_the_commits():
    facts = {"device": "a CPU", "versions": {}, "date": "today", "command": "none", "commit": "0123456789abcdef-dirty"}
    assert "commit 0123456789ab-dirty, " in markdown.origin(facts)
    assert "commit 0123456789ab, " in markdown.origin(facts | {"commit": "0123456789abcdef"})
    assert "commit unknown, " in markdown.origin(facts | {"commit": None})
