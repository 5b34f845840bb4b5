"""How many threads torch computes with on the CPU."""

from __future__ import annotations

import os

import torch

from gapo_trainer.policy import EMBEDDED_POLICY


def settle_threads(model: str) -> None:
    """Give the embedded policy one thread, unless ``OMP_NUM_THREADS`` says how many.

    Its matrices are too small to share out: a second thread gains little, and where other programs use the cores it
    costs a multiple, since OpenMP's threads wait for each other by spinning. Any other model keeps torch's number.
    """
    if model == EMBEDDED_POLICY and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
