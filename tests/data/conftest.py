"""What the tests of the data side share."""

from __future__ import annotations

from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "code_edits.jsonl.gz"


@pytest.fixture(scope="session")
def sample_path() -> Path:
    """The 10,924 mined tasks, which only the developers' machines have."""
    if not SAMPLE.exists():
        pytest.skip("the sample data are not here")
    return SAMPLE


@pytest.fixture(scope="session")
def sample(sample_path):
    from gapo_trainer.data.loading import load_tasks

    return load_tasks(sample_path).tasks
