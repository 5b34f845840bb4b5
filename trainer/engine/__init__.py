"""The large-group engine: a prompt computed once for all its completions, in generation and in training.

Generate with `generate` or a `RolloutEngine`, score and train with `prompt_once`, merge equal completions with
`distinct`. How it works and what it costs: docs/engine.md.
"""

from .chunked_logprobs import chunked_logprobs
from .completions import Completions, Distinct, Samples, distinct
from .errors import UnsupportedModelError
from .generation import generate
from .prompt import prompt_once
from .rollout import RolloutEngine, SharedPrefixRollout
from .sampling import Sampling
from .shared_prompt import SharedPrompt
from .vllm_rollout import VllmRollout

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
