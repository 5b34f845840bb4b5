"""The installed commands without the packages of their extra."""

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


def test_the_status_is_the_commands_own():
    code = "import sys; from gapo_trainer import commands; sys.exit(commands.data())"
    assert subprocess.run([sys.executable, "-c", code, "stats", "none.jsonl"], capture_output=True).returncode == 1
