"""The embedded tasks: the edit shown is the edit asked for, nothing held out is learnt, and a seed decides all."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import subprocess
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import pytest

from gapo_trainer.data.line_edits import KINDS, apply, is_python
from gapo_trainer.data.stdlib_lines import LONGEST, SHORTEST, library_functions
from gapo_trainer.data.stdlib_tasks import HELD_OUT, LONGEST_RESULT, split_of, stdlib_tasks
from gapo_trainer.data.task import CONTEXT, SPLITS, Task


@pytest.fixture(scope="module")
def tasks():
    return {split: stdlib_tasks(split, limit=None if split != "train" else 4000) for split in SPLITS}


def shown(task: Task) -> tuple[str, ...]:
    old, new = task.history[0].diff.split("\n")[1:3]
    return old[1:].strip(), new[1:].strip(), task.region.strip(), task.target.strip()


@pytest.mark.parametrize(
    ("kind", "hit", "choice", "line", "expected"),
    [
        ("rename", "n", "size", "n = len(name) + n", "size = len(name) + size"),
        ("rename", "n", "size", "print('n', n)", "print('n', size)"),
        ("rename", "n", "size", "x = 'n'", None),
        ("operator", "==", "!=", "if a == b:", "if a != b:"),
        ("operator", "<", "<=", "if a <= b:", None),
        ("number", "1", "2", "x = a1[1] + 10 + 1.5", "x = a1[2] + 10 + 1.5"),
        ("number", "1", "2", "    x = 1", "    x = 2"),
        ("string", "'r'", "'w'", "f = open(p, 'r')", "f = open(p, 'w')"),
        ("argument", "f", "key=key", "x = f(a, g(b))", "x = f(a, g(b), key=key)"),
        ("argument", "f", "1", "f()", "f(1)"),
        ("argument", "f", "x=2", "def f(a):", "def f(a, x=2):"),
        ("wrap", "s.read", "list", "x = s.read(n)", "x = list(s.read(n))"),
        ("wrap", "f", "str", "def f(a):", None),  # no Python
        ("wrap", "f", "await ", "return f(a)", "return await f(a)"),
        ("move", "name", "config", "self.name = self.names", "self.config.name = self.names"),
        ("get", "d", "get", "x = d[key]", "x = d.get(key)"),
        ("get", "d", "get", "d[key] = x", None),  # no Python
    ],
)
def test_edits(kind, hit, choice, line, expected):
    assert apply(kind, hit, choice, line) == expected
    if expected is not None:
        assert hit in KINDS[kind].hits(line)


@pytest.mark.parametrize(
    ("kind", "line", "hits"),
    [
        ("rename", "print('an n', cls.x2, f'a', 1e5)", {"print", "cls", "x2"}),
        ("operator", "a in b -1+ c", {"in"}),
        ("string", "f'a' + 'b'", {"'b'"}),
        ("wrap", "f(a).g(b)", {"f"}),
        ("move", "myself.a + self.b", {"b"}),
        ("get", "x.d[k] + y[1:2] + f().z[0]", {"x.d"}),
    ],
)
def test_what_can_be_hit(kind, line, hits):
    assert KINDS[kind].hits(line) == hits


def test_names_of_others_are_not_renamed_and_a_choice_changes_something():
    names = ["size", "self", "cls", "print", "if", "match"]
    assert [name for name in names if KINDS["rename"].choices(name, ["n"])] == ["size"]
    assert KINDS["number"].choices("1", []) == ["2", "3", "11"]
    assert KINDS["string"].choices("'r'", ["w"]) == ["'w'"]


@pytest.mark.parametrize(
    "line", ["x = a[1:2]", "else:", "elif x:", "except E:", "finally:", "try:", "for x in y:", "yield x", "await x"]
)
def test_statements_and_their_heads_are_python(line):
    assert is_python(line)
    assert not is_python(f"{line} )")


def test_the_history_shows_the_edit_that_is_asked_for(tasks):
    for task in tasks["train"] + tasks["test_ood"][:3000]:
        old, new, region, target = shown(task)
        assert len({old, new}) == len({region, target}) == 2
        assert old != region
        for line in (old, region):
            assert SHORTEST <= len(line) <= LONGEST
        assert max(len(new), len(target)) <= LONGEST_RESULT
        made = [(kind, hit, c) for kind in KINDS for hit in KINDS[kind].hits(old) & KINDS[kind].hits(region)
                for c in candidates(kind, hit, new, target) if apply(kind, hit, c, old) == new]  # fmt: skip
        assert any(apply(kind, hit, choice, region) == target for kind, hit, choice in made)


def candidates(kind: str, hit: str, new: str, target: str) -> list[str]:
    words = sorted(KINDS["rename"].hits(new) | KINDS["rename"].hits(target))
    if kind == "string":
        return sorted(KINDS["string"].hits(new))
    return list(KINDS[kind].choices(hit, words))


def test_the_first_edit_is_made_in_the_context(tasks):
    near, longest = 0, [0, 0]
    for task in tasks["test_id"][:500]:
        new = task.history[0].diff.split("\n")[2][1:] + "\n"
        near += new in task.prefix + task.suffix
        longest = [max(most, text.count("\n")) for most, text in zip(longest, (task.prefix, task.suffix), strict=True)]
    assert near > 250  # the others' first line is further away
    assert longest == [CONTEXT, CONTEXT]


def test_the_history_names_the_lines_number(tasks):
    for task in tasks["test_id"][:50]:
        head, old, _ = task.history[0].diff.split("\n", 2)
        number = int(re.fullmatch(r"@@ -(\d+) \+\1 @@", head)[1])
        lines = Path(sysconfig.get_path("stdlib"), task.path).read_text(encoding="utf-8").split("\n")
        assert old == f"-{lines[number - 1]}"


def test_edited_lines_are_python(tasks):
    for task in tasks["test_ood"][:300]:
        assert is_python(task.target.strip())
        assert is_python(shown(task)[1])


def test_the_kinds_are_all_there(tasks):
    kinds = Counter()
    for task in tasks["train"]:
        old, new, _, _ = shown(task)
        kinds.update(kind for kind in KINDS for hit in KINDS[kind].hits(old)
                     if any(apply(kind, hit, c, old) == new for c in candidates(kind, hit, new, new)))  # fmt: skip
    assert set(kinds) == set(KINDS)


def test_held_out_modules_and_pairs_are_not_learnt(tasks):
    assert all(task.split == split for split in SPLITS for task in tasks[split])
    modules = {split: {task.path.removesuffix(".py").split("/")[0] for task in tasks[split]} for split in SPLITS}
    assert modules["test_ood"] <= set(HELD_OUT)
    assert not modules["train"] & set(HELD_OUT)
    assert not modules["test_id"] & set(HELD_OUT)
    pairs = [shown(task) for split in SPLITS for task in tasks[split]]
    assert len(pairs) == len(set(pairs))
    assert len(tasks["test_id"]) > 2000
    assert len(tasks["test_ood"]) > 2000
    assert len({task.id for split in SPLITS for task in tasks[split]}) == len(pairs)


@pytest.mark.parametrize("split", SPLITS)
def test_a_limit_takes_tasks_from_all_over(split):
    few = stdlib_tasks(split, limit=200)
    assert len({(task.path, task.region) for task in few}) > 190
    assert len({task.path for task in few}) > 20


def test_a_split_is_chosen_by_name_wherever_the_function_stands():
    functions = [function for function in library_functions() if function.path == "json/decoder.py"]
    assert "JSONDecoder.decode" in {function.name for function in functions}
    for function in functions:
        assert split_of(dataclasses.replace(function, start=0, module=(), editable=())) == split_of(function)


def test_a_functions_lines_are_its_modules():
    for function in library_functions()[::200]:
        source = Path(sysconfig.get_path("stdlib"), function.path).read_text(encoding="utf-8")
        assert "\n".join(function.module) == source.removesuffix("\n")
        assert f"def {function.name.split('.')[-1]}(" in function.module[function.start]


def test_a_seed_decides_all_whatever_the_hash_seed():
    program = (
        "import hashlib; from gapo_trainer.data.stdlib_tasks import stdlib_tasks\n"
        "print(hashlib.sha256(repr(stdlib_tasks('test_ood', seed=3, limit=50)).encode()).hexdigest())"
    )
    other = subprocess.run(  # this process has a random hash seed of its own
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert other == hashlib.sha256(repr(stdlib_tasks("test_ood", seed=3, limit=50)).encode()).hexdigest()
    assert stdlib_tasks("test_ood", seed=3, limit=50) != stdlib_tasks("test_ood", seed=4, limit=50)
    assert stdlib_tasks("train", limit=0) == []


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="split expects one of train, test_id, test_ood, got 'test'"):
        stdlib_tasks("test")
    with pytest.raises(ValueError, match="limit"):
        stdlib_tasks(limit=-1)
