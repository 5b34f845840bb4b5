"""What the engine has to do where FSDP2 shards a model's parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.distributed.fsdp import FSDPModule


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """Keep an FSDP2 model's parameters whole within the block, once they have been gathered; else do nothing.

    Generation runs the model once a token. Gathering at each would be slow, and ranks whose completions end at
    different lengths would wait for one another forever. Behind the block the parameters are sharded again and
    ``reshard_after_forward`` is True in every module, as suits training.
    """
    if not isinstance(model, FSDPModule):
        yield
        return
    model.set_reshard_after_forward(False)
    try:
        yield
    finally:
        model.set_reshard_after_forward(True)
        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()
