"""The README keeps its word: its examples run, and what it links to is there."""

from __future__ import annotations

import re
from pathlib import Path

import torch

import gapo_kernels
from gapo_numpy import CENTERS, SCALES
from gapo_numpy.estimators import EPS, TAU

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_examples_run():
    (block,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names: dict = {}
    exec(block, names)
    assert torch.equal(names["gapo"].advantage(names["rewards"]), torch.ops.gapo.advantage(names["rewards"]))
    assert names["stats"].center.shape == (2,)


def test_the_estimators_are_those_of_the_package():
    pair = r"\| `(\w+)` \| `(\w+)`, `(\w+)` "
    shown = {name: (center, scale) for name, center, scale in re.findall(pair, README)}
    assert shown == {name: tuple(estimator) for name, estimator in gapo_kernels.ESTIMATORS.items()}
    settings = (ROOT / "docs" / "adapters" / "README.md").read_text(encoding="utf-8").partition("## Settings")[2]
    rows = {row[0]: row[1:] for row in re.findall(r"^\| `(\w+)`(.*?)\| (.*?) \| (.*) \|$", settings, re.MULTILINE)}
    assert re.findall(r"`(\w+)`", rows["estimator"][2]) == list(gapo_kernels.ESTIMATORS)
    assert re.findall(r"`(\w+)`", rows["center"][2]) == [*CENTERS, *SCALES]
    assert (float(rows["tau"][1]), float(rows["eps"][1])) == (TAU, EPS)


def test_every_linked_file_is_there():
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"
