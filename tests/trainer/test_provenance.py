"""A result says where it comes from."""

import subprocess
import sys
from pathlib import Path

import torch

from gapo_trainer import provenance as module
from gapo_trainer.provenance import provenance

ROOT = Path(__file__).parents[2]
PRINTS_ITS_COMMAND = """
from gapo_trainer.provenance import provenance
print(provenance("cpu")["command"])
"""


def test_a_cpu_is_named_with_its_vector_instructions():
    facts = provenance("cpu", ("torch", "no-such-package"))
    assert facts["device"]
    assert facts["versions"] == {"torch": torch.__version__, "no-such-package": None}
    known = torch.backends.cpu.get_cpu_capability()
    assert ("avx2" in facts["cpu_flags"]) == (known in ("AVX2", "AVX512"))


def test_the_commit_is_that_of_the_checkout_or_what_the_environment_says(monkeypatch):
    asked = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True)
    monkeypatch.setenv("GAPO_COMMIT", "0123abcd")
    found = provenance("cpu")["commit"].removesuffix("-dirty")
    assert found == (asked.stdout.strip() if asked.returncode == 0 else "0123abcd")
    monkeypatch.setattr(module, "_answer", lambda command: None)  # a copy without history
    assert provenance("cpu")["commit"] == "0123abcd"


def test_the_command_is_one_that_can_be_typed(tmp_path):
    tool = tmp_path / "tool"
    tool.mkdir()
    for name in ("__main__.py", "script.py"):
        (tool / name).write_text(PRINTS_ITS_COMMAND)
    for start, shown in (
        (["-m", "tool"], "python -m tool"),
        (["-m", "tool.script"], "python -m tool.script"),
        (["tool/script.py"], "script.py"),  # as an installed command, which lies on the path
        (["tool"], "tool"),
    ):
        told = subprocess.check_output([sys.executable, *start, "--name", "two words"], cwd=tmp_path, text=True)
        assert told.strip() == f"{shown} --name 'two words'"


def test_changes_that_are_not_committed_are_told(monkeypatch, tmp_path):
    def git(*command: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", "-C", str(tmp_path), *who, *command], check=True, capture_output=True)

    (tmp_path / "trainer").mkdir()
    (tmp_path / "bench" / "results").mkdir(parents=True)
    code, result = tmp_path / "code.py", tmp_path / "bench" / "results" / "cpu.json"
    for file in (code, result):
        file.write_text("before")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        git(*command)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "trainer" / "provenance.py"))
    clean = provenance("cpu")["commit"]
    assert len(clean) == 40
    result.write_text("after")  # one result after the other is written
    assert provenance("cpu")["commit"] == clean
    code.write_text("after")
    assert provenance("cpu")["commit"] == f"{clean}-dirty"
