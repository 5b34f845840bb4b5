"""What the engine refuses."""

from __future__ import annotations

from gapo_trainer.errors import UserError


class UnsupportedModelError(UserError, ValueError):
    """The model computes something that the engine would get wrong; the message says what, and what to change."""
