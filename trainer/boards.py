"""Where numbers go to be looked at live: TensorBoard always, Weights & Biases where a project is named."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Protocol

from torch.utils.tensorboard import SummaryWriter

from gapo_trainer.config import Config
from gapo_trainer.errors import UserError


class Board(Protocol):
    """Takes named numbers by step."""

    def log(self, numbers: dict[str, float], step: int) -> None:
        """Show ``numbers`` at ``step``."""

    def close(self) -> None:
        """Flush and end."""


class TensorBoard:
    """Event files in ``folder/tensorboard``; what an earlier process wrote after ``step`` is dropped."""

    def __init__(self, folder: Path, step: int) -> None:
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def log(self, numbers: dict[str, float], step: int) -> None:
        """See ``Board``."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """See ``Board``."""
        self._writer.close()


class WeightsAndBiases:
    """A run named like the folder in the configured project; a resumed run goes on in it."""

    def __init__(self, folder: Path, config: Config) -> None:
        try:
            import wandb
        except ImportError as error:
            raise UserError(f"wandb={config.wandb} needs a package: pip install wandb") from error
        stored = folder / "wandb_id"  # a folder's name is no id: many runs are called "train"
        name = stored.read_text(encoding="utf-8") if stored.exists() else secrets.token_hex(4)
        self._run = wandb.init(
            project=config.wandb, id=name, name=folder.name, dir=str(folder), resume="allow", config=vars(config)
        )
        stored.write_text(name, encoding="utf-8")

    def log(self, numbers: dict[str, float], step: int) -> None:
        """See ``Board``."""
        self._run.log(numbers, step=step)

    def close(self) -> None:
        """See ``Board``."""
        self._run.finish()
