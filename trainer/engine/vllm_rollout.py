"""Completions from vLLM, an optional engine: written against its documented API, not run where this was developed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, StopStringCriteria

from gapo_trainer.engine.completions import Completions, Samples
from gapo_trainer.engine.sampling import Sampling
from gapo_trainer.errors import UserError

if TYPE_CHECKING:
    from vllm import LLM, SamplingParams


class VllmRollout:
    """Samples from a vLLM engine in this process, on the device that trains, and copies the policy into it.

    The log-probs are vLLM's own, of the distribution after temperature, top-p and top-k: they differ in rounding from
    the trained model's (score the completions again where that matters), and with top-p or top-k they are those of the
    truncated distribution.
    """

    def __init__(self, model_path: str, **engine_options: Any):
        """Start the engine.

        Args:
            model_path: a folder or hub name with the policy's architecture and tokenizer.
            **engine_options: for ``vllm.LLM``: ``gpu_memory_utilization``, ``max_model_len``, …

        Raises:
            UserError: vLLM is not installed.
        """
        # in this process the worker's model is reachable, so that weights are copied rather than pickled
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        try:
            from vllm import LLM, SamplingParams
        except ImportError as missing:
            raise UserError("the vLLM rollout engine needs vLLM: pip install vllm") from missing
        self._llm: LLM = LLM(model=model_path, logprobs_mode="processed_logprobs", **engine_options)
        self._parameters: type[SamplingParams] = SamplingParams

    def generate(
        self,
        prompt_ids: Tensor,
        group_size: int,
        sampling: Sampling,
        generator: torch.Generator | None = None,
        rows: slice = slice(None),
    ) -> Samples:
        """See ``RolloutEngine.generate``; the generator only chooses vLLM's seed."""
        if len(range(group_size)[rows]) < group_size:
            raise ValueError(f"rows expects the whole group: vLLM draws it in one process, got {rows}")
        stop = list(sampling.stop.stop_strings) if isinstance(sampling.stop, StopStringCriteria) else []
        parameters = self._parameters(
            n=group_size,
            max_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            stop_token_ids=list(sampling.eos_token_ids),
            ignore_eos=True,  # only the tokens asked for end a sequence
            seed=int(torch.randint(2**31, (), generator=generator)),
            logprobs=0,  # of the sampled token alone
            stop=stop,
            include_stop_str_in_output=True,
            detokenize=bool(stop),
        )
        prompt = {"prompt_token_ids": prompt_ids.tolist()}
        (request,) = self._llm.generate([prompt], parameters, use_tqdm=False)
        drawn_rows = [list(output.token_ids) for output in request.outputs]
        completions = Completions.from_lists(drawn_rows, prompt_ids.device)
        logprobs = torch.zeros(completions.tokens.shape)
        for row, output in enumerate(request.outputs):
            drawn = zip(output.token_ids, output.logprobs, strict=True)
            logprobs[row, : len(output.token_ids)] = torch.tensor(
                [position[token].logprob for token, position in drawn]
            )
        ended = torch.tensor([output.finish_reason == "stop" for output in request.outputs])
        return Samples(completions, logprobs.to(prompt_ids.device), ended.to(prompt_ids.device))

    def load_weights(self, model: PreTrainedModel) -> None:
        """Copy the policy's parameters into vLLM; what its cache holds belongs to the policy before."""
        parameters = [(name, parameter.detach()) for name, parameter in model.named_parameters()]
        self._llm.apply_model(lambda worker_model: worker_model.load_weights(parameters))
        self._llm.reset_prefix_cache()
