"""The installed commands without the packages of their extra, or interrupted while those are imported."""

import re
import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["train", "data"])
def test_what_is_missing_is_said_in_one_line(command):
    code = f"import sys; sys.modules['rich'] = None; from gapo_trainer import commands; commands.{command}()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(r"\S.*rich.*: install this package with its extra, '\.\[trainer\]'\n", done.stderr)


@pytest.mark.parametrize("command", ["train", "data"])
def test_an_interrupt_during_the_imports_is_one_line(command):
    code = (
        "import sys; from gapo_trainer import commands; commands.import_module = lambda name: "
        f"exec('raise KeyboardInterrupt'); sys.exit(commands.{command}())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "interrupted before anything began\n")


def test_the_status_is_the_commands_own():
    code = "import sys; from gapo_trainer import commands; sys.exit(commands.data())"
    assert subprocess.run([sys.executable, "-c", code, "stats", "none.jsonl"], capture_output=True).returncode == 1
