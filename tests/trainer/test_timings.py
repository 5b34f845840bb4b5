"""What is told of a step's time and memory."""

import pytest
import torch

from gapo_trainer.train import _timings


def test_memory_is_that_of_the_device_that_trains(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", {"cuda:1": 3_000_000}.__getitem__)
    assert _timings(0.0, 1.0, 2.0, 10.0, "cuda:1")["peak_mb"] == 3.0
    assert _timings(0.0, 1.0, 2.0, 10.0, "cpu")["peak_mb"] > 10.0  # of the process, which has torch in it


def test_a_step_has_three_parts():
    timings = _timings(-3.0, -2.0, -1.5, 10.0, "cpu")
    assert (timings["rollout_s"], timings["advantage_s"]) == (1.0, 0.5)
    parts = timings["rollout_s"] + timings["advantage_s"] + timings["update_s"]
    assert timings["tokens_per_s"] == pytest.approx(10.0 / parts)
