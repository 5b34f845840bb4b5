"""``gapo-data show`` and ``stats``, the filters that decide on text, and languages by extension."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import matplotlib.image
import pytest

from gapo_trainer.data.cli import main
from gapo_trainer.data.languages import language_of
from gapo_trainer.data.mining.file_filters import file_fault, path_fault
from gapo_trainer.data.mining.text_filters import text_fault
from gapo_trainer.data.show import edit_lines
from gapo_trainer.data.stats import SIZES, Stats
from gapo_trainer.data.task import Hunk, Task
from gapo_trainer.data.writers import write_rows

TASKS = [
    Task("aa", "o/[n]", "MIT", "python", "a.py", "c" * 40, 0, "train", (Hunk("[red].py", "@@ -1 +1 @@\n-a\n+b\n"),),
         "p\n", "old = 1\nsame\n", "s\n", "new = 1\nsame\n"),
    Task("bb", "o/n", "MIT", "go", "b.go", "d", 0, "test_id", (), "", "\x1b]0;title\x07x\n", "", "y\n"),
]  # fmt: skip


@pytest.fixture
def path(tmp_path):
    write_rows(tmp_path / "tasks.jsonl", (task.to_row() for task in TASKS))
    return str(tmp_path / "tasks.jsonl")


def test_show_colours_the_edit(path, capsys):
    assert main(["show", path, "--color", "always"]) == 0
    out = capsys.readouterr().out
    for line in ("[36m@@ -1 +1 @@", "[31m-a", "[32m+b", "[31m-old = 1", "[32m+new = 1", "[2m same"):
        assert f"\x1b{line}" in out
    assert "earlier hunk 1: [red].py" in out.replace("\x1b[0m", "")


def test_an_edit_is_shown_whole_even_where_it_changes_nothing():
    task = TASKS[0]
    assert list(edit_lines(task)) == [" p", "-old = 1", "+new = 1", " same", " s"]
    assert list(edit_lines(replace(task, target=task.region))) == [" p", " old = 1", " same", " s"]
    far = list(edit_lines(replace(task, region=task.region + "x\n" * 9, target=task.target + "x\n" * 9)))
    assert far == [" p", "-old = 1", "+new = 1", " same", *[" x"] * 9, " s"]


@pytest.mark.parametrize(("time", "shown"), [(86399, "1970-01-01"), (1 << 60, str(1 << 60)), (1 << 70, str(1 << 70))])
def test_any_time_that_a_commit_claims_is_shown(tmp_path, capsys, time, shown):
    write_rows(tmp_path / "tasks.jsonl", [replace(TASKS[0], time=time, commit="c").to_row()])
    assert main(["show", str(tmp_path / "tasks.jsonl")]) == 0
    assert f"c {shown}, MIT" in capsys.readouterr().out


def test_show_without_colours_chooses(path, capsys):
    assert main(["show", path, "--id", "bb", "--color", "never"]) == 0
    out = capsys.readouterr().out
    assert "aa" not in out
    assert "\x1b" not in out  # nor what the code itself would send to the terminal
    assert r"-\x1b]0;title\x07x" in out
    assert main(["show", path, "-n", "5", "--start", "1"]) == 0
    assert "aa " not in capsys.readouterr().out
    assert main(["show", path, "--lang", "rust"]) == 1
    assert "no such task" in capsys.readouterr().err


def test_counts_have_an_end(path, capsys):
    assert main(["show", path, "-n", "9" * 18, "--start", "9" * 18]) == 1
    assert "no such task" in capsys.readouterr().err
    for option in ("-n", "--start"):
        for digits in (19, 23, 5000):  # more than islice takes; more than Python reads
            with pytest.raises(SystemExit):
                main(["show", path, option, "9" * digits])
            assert f"argument {option}: expects a number >= 0 of at most 18 digits, got 99" in capsys.readouterr().err


def test_show_as_a_prompt(path, capsys):
    assert main(["show", path, "--format", "compact"]) == 0
    assert capsys.readouterr().out.startswith("<old>a<new>b<cur>old = 1\nsame<upd>new = 1\nsame")


def test_a_prompt_does_not_command_a_terminal(path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["show", path, "--id", "bb", "--format", "plain"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert r"\x1b]0;title\x07x" in out


def test_a_prompt_is_shown_to_the_letter_and_in_any_encoding(tmp_path):
    task = replace(TASKS[0], region="old\t= '→'\x1b\n", target="old = 2\n")
    write_rows(tmp_path / "tasks.jsonl", [task.to_row()])
    code = f"from gapo_trainer.data.cli import main; main(['show', {str(tmp_path / 'tasks.jsonl')!r}, *{{}}])"
    for options, encoding, expected in (
        (["--format", "compact"], "utf-8", "<cur>old\t= '→'\x1b<upd>"),
        (["--format", "compact"], "ascii", "<cur>old\t= '\\u2192'\x1b<upd>"),
        ([], "ascii", "-old    = '\\u2192'\\x1b"),
    ):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, "-c", code.format(options)], capture_output=True, env=environment)
        assert expected in done.stdout.decode(), (options, encoding, done.stderr)


def test_a_reader_may_have_seen_enough(path):
    code = f"from gapo_trainer.data.cli import main; main(['show', {path!r}, '--format', 'compact'])"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_stats_count_and_draw(path, tmp_path, capsys):
    picture = tmp_path / "stats.png"
    assert main(["stats", path, "--picture", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "2 tasks" in out
    assert "python" in out
    assert "o/[n]" in out
    image = matplotlib.image.imread(picture)
    assert image.shape[0] > 300
    assert image.std() > 0.05  # something is drawn
    again = tmp_path / "again.png"
    main(["stats", path, "--picture", str(again)])
    assert again.read_bytes() == picture.read_bytes()
    for suffix in (".svg", ".pdf"):
        twice = [tmp_path / f"{number}{suffix}" for number in range(2)]
        for file in twice:
            main(["stats", path, "--picture", str(file)])
        assert twice[0].read_bytes() == twice[1].read_bytes()
    capsys.readouterr()
    before = sorted(tmp_path.iterdir())
    for wrong, message in (
        ("stats.xyz", "stats.xyz: Format 'xyz' is not supported"),
        ("stats", "--picture expects a name that ends in .png, .svg or .pdf, got "),
        ("absent/stats.png", "--picture expects a file in a folder that exists and can be written, got "),
    ):
        assert main(["stats", path, "--picture", str(tmp_path / wrong)]) == 1
        assert message in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_sizes_are_counted_in_characters_and_languages_by_their_tasks():
    stats = Stats.of([TASKS[1], TASKS[0], TASKS[0]])
    assert stats.languages() == ["python", "go"]
    assert [stats.quantile(name, 1.0) for name in SIZES] == [13, 13, 4, 18, 11]
    assert [stats.quantile("edit distance", share) for share in (0.3, 2 / 3, 0.7)] == [3, 3, 11]


def test_names_are_shown_to_the_letter(tmp_path, capsys, recwarn):
    """No command to the terminal, no mark-up, no emoji, no formula, and a letter that the font lacks is a box."""
    path, picture = tmp_path / "tasks.jsonl", tmp_path / "stats.png"
    langs = ["\x1b[2J", "$\\foo$", "編集"]
    name = "\x1b:smile:/[b]n[/b]"
    rows = [replace(TASKS[0], id=name, lang=lang, repo=name, path=name, history=(Hunk(name, "x"),)) for lang in langs]
    write_rows(path, (task.to_row() for task in rows))
    for options, of_a_task in (["stats", "--picture", str(picture)], 0), (["show", "-n", "3"], 4):
        assert main([options[0], str(path), *options[1:]]) == 0
        out = capsys.readouterr().out
        assert "\x1b" not in out
        for shown in (r"\x1b[2J", r"$\foo$", "編集"):
            assert shown in out
        assert out.count(r"\x1b:smile:/[b]n[/b]") == (of_a_task * len(rows) or 1)  # counted once, shown everywhere
    assert picture.exists()
    assert not recwarn.list


def test_bad_rows_are_told_or_counted(path, capsys):
    with open(path, "a") as file:
        file.write(json.dumps({"id": "x"}) + "\n")
    assert main(["stats", path]) == 1
    assert f"{path}, line 3: field 'repo' is missing" in capsys.readouterr().err
    assert main(["stats", path, "--skip-bad"]) == 0
    assert "1 bad rows skipped" in capsys.readouterr().err
    assert main(["show", path, "--skip-bad", "--id", "absent"]) == 1
    assert "1 bad rows skipped" in capsys.readouterr().err


def test_numbers_of_the_sample(sample):
    stats = Stats.of(sample)
    assert stats.tasks.total() == 10_924
    assert sum(n for (_, split), n in stats.tasks.items() if split == "test_ood") == 800
    assert len(stats.languages()) == 20
    assert stats.languages()[:2] == ["python", "cpp"]
    regions = sorted(len(task.region) for task in sample)
    assert stats.quantile("region", 0.5) == regions[10_924 // 2 - 1]
    assert stats.quantile("region", 1.0) == regions[-1]
    assert set(stats.sizes) == set(SIZES)


def test_the_samples_files_are_in_the_samples_languages(sample):
    assert {(task.lang, language_of(task.path)) for task in sample} == {(task.lang, task.lang) for task in sample}
    assert len({task.lang for task in sample}) == 20


@pytest.mark.parametrize(("path", "lang"), [("views/a.blade.php", None), ("src/blade.php", "php"), ("A.PHP", "php")])
def test_a_template_is_not_in_the_language_that_its_name_ends_in(path, lang):
    assert language_of(path) == lang


@pytest.mark.parametrize(
    "text",
    [
        "AKIA" + "ABCDEFGH12345678",
        "ghp_" + "a1B2" * 9,
        "xoxb-" + "123456789012-abcdef",
        "AIza" + "a1B2c" * 7,
        "sk_live_" + "a1B2" * 5,
        "hf_" + "aB1" * 12,
        "sk-proj-" + "a1B2" * 6,
        "-----BEGIN RSA PRIVATE KEY-----",
        "postgres://user:hunter2@db/x",
        'password = "correct1horse2battery"',
        "'api_key': 'abcd1234efgh5678'",
        'SECRET_KEY="django-insecure-123abc"',
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefgh",
    ],
)
def test_secrets_are_seen(text):
    assert text_fault(f"before\n  {text}\nafter") == "secret"


@pytest.mark.parametrize(
    "text",
    [
        "token = tokenizer.next_token(text, position=12)",
        'password = os.environ["PASSWORD_1234567"]',
        'password = "${PASSWORD_FROM_1_VAULT}"',
        'key = "name"',
        "https://example.com/a:b/c@v1",
        "@Override public void run()",
        "mail = user@example.com",
        "commit d6fc79122b7dce9731033b86cc54b2de07e6fa43",
        "a << 7; x = a @ b",
    ],
)
def test_code_is_no_secret(text):
    assert text_fault(text) is None


def test_people_and_merges_are_seen():
    assert text_fault("by jane.doe@corp.org") == "address of a person"
    assert text_fault("x\n<<<<<<< HEAD\ny") == "conflict marker"


@pytest.mark.parametrize(
    ("path", "expected"),
    [("src/vendor/x.go", "vendored"), ("third_party/x.c", "vendored"), ("gen-py/x.py", "generated"),
     ("x.pb.go", "generated"), ("lib.min.js", "minified"), ("js/bundle.js", "minified"), ("a.bundle.js", "minified"),
     ("src/bundle.py", None), ("js/jquery-3.1.js", "vendored"), ("d3-v5.9.2.min.js", "vendored"),
     ("js/jquery-ui.js", None), ("js/step-2.js", None), ("src/unbundle.js", None),
     ("src/vendors.py", None), ("src/generate.py", None), ("pip/_vendor/x.py", "vendored"), ("extern/x.c", "vendored"),
     ("Godeps/x.go", "vendored"), ("js/jquery.1.9.js", "vendored"), ("src/external.py", None),
     ("a.pb.swift", "generated"), ("a.pbenum.dart", "generated"), ("ui_main.h", "generated"), ("y.tab.cc", "generated"),
     ("icons_rc.py", "generated"), ("target/generated-sources/A.java", "generated"), ("src/ui_main.py", None),
     ("moment.min.pretty.js", "minified"), ("min/locales.js", "minified"), ("src/min.js", None),
     ("src/admin.js", None), ("min/a.py", None)],
)  # fmt: skip
def test_paths(path, expected):
    assert path_fault(path) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"/* Autogenerated by Thrift Compiler\n * DO NOT EDIT\n */\n", "generated"), (b"a\0b", "binary"),
     (b"// Generated from Expr.g4 by ANTLR 4.13.1\npackage x;\n", "generated"),
     (b"# Generated by Django 4.2 on 2024-01-01 10:00\n\nfrom django.db import migrations\n", "generated"),
     (b"/* A Bison parser, made by GNU Bison 3.8.2.  */\n", "generated"),
     (b"/* Generated by Cython 3.0.8 */\n", "generated"),
     (b"// DO NOT EDIT\n// Generated by JFlex 1.9.1 http://jflex.de/\n", "generated"),
     (b"/* The following code was generated by JFlex 1.4.3 on 1/1/20 */\n", "generated"),
     (b"/* Generated by re2c 3.0 on Mon Jan  1 */\n#line 1\n", "generated"),
     (b"# -*- coding: utf-8 -*-\n\n# Form implementation generated from reading ui file 'a.ui'\n", "generated"),
     (b"# File generated from our OpenAPI spec by Stainless. See CONTRIBUTING.md\n\nimport x\n", "generated"),
     (b'# coding: utf-8\n\n"""\n    API\n\n    (generated by Openapi Generator https://x)\n"""\n', "generated"),
     (b"// DO NOT EDIT.\n//\n// Generated by the Swift generator plugin for the compiler.\nimport X\n", "generated"),
     (b"// C++ code generated with wxFormBuilder\n//\n// PLEASE DO *NOT* EDIT THIS FILE!\n", "generated"),
     (b"/* This is a generated file */\n", "generated"),
     (b"! The module was generated by fypp.\nmodule a\n", "generated"),
     (b"<?php\n", None), (b"/* NOTE: This class is auto generated by OpenAPI Generator */\n", "generated"),
     (b"# !!!!!!!   This file is machine-generated by mktables from x.\n", "generated"),
     (b"// This file has been generated.\n// Your changes to it will be lost.\n", "generated"),
     (b"function f(){}\n//# sourceMappingURL=app.js.map\n", "generated"),
     (b"/******/ (() => { // webpackBootstrap\n", "generated"),
     (b"# Draws noise generated from the data.\nx = 1\n", None),
     (b"# Function calls generated by [funs()], generated code will be wrapped\n", None),
     (b"# Helpers for auto-generated primary keys.\n", None),
     (b"x = 1\n# do not edit: generated\ny = 'this is a generated file'\n" * 2, "generated"),
     (b"x = 1\ny = 'this is a generated file, changes will be lost'\n", None),
     (b"/* Code generated from the same table would be shorter. */\nint f(void);\n", None),
     (b"// Generated by the user's own script are only the names.\nint f(void);\n", None),
     (b"/* Draws pictures, of old\n * generated by plotters.\n */\nint f(void);\n", None),
     (b"# Reads what was generated from a grammar by a tool such as Bison.\n", None),
     (b"# Automatically generated: do not edit\n", "generated"),
     (b"/* This file was automatically generated\n * by SWIG. */\n", "generated"),
     (b"<?php\n/*\n| Composer provides a convenient, automatically generated class loader\n*/\n", None),
     (b'"""Respond with automatically generated sentences."""\n', None),
     (b"x" * 3000, "minified"), (b"x = 1\n" * 200 + b"x" * 2500, "minified"), (b"x = 1\n" * 500 + b"x" * 2500, None),
     (b"def generate():\n    return 1\n", None), (b"", None)],
)  # fmt: skip
def test_contents(data, expected):
    assert file_fault(data) == expected
