"""The large-group engine: a prompt computed once for all its completions, in generation and in training.

Generate with ``generate`` or a ``RolloutEngine``, score and train with ``prompt_once``, merge equal completions with
``distinct``. How it works and what it costs: docs/engine.md.
"""

from gapo_trainer.engine.chunked_logprobs import chunked_logprobs
from gapo_trainer.engine.completions import Completions, Distinct, Samples, distinct
from gapo_trainer.engine.errors import UnsupportedModelError
from gapo_trainer.engine.generation import generate
from gapo_trainer.engine.prompt import prompt_once
from gapo_trainer.engine.rollout import RolloutEngine, SharedPrefixRollout
from gapo_trainer.engine.sampling import Sampling
from gapo_trainer.engine.shared_prompt import SharedPrompt
from gapo_trainer.engine.vllm_rollout import VllmRollout

__all__ = [
    "Completions",
    "Distinct",
    "RolloutEngine",
    "Samples",
    "Sampling",
    "SharedPrefixRollout",
    "SharedPrompt",
    "UnsupportedModelError",
    "VllmRollout",
    "chunked_logprobs",
    "distinct",
    "generate",
    "prompt_once",
]
