"""Times training steps of one trainer in this process and prints them as JSON; `trainer_vs_trl.py` runs it.

For TRL's side it does so by the interpreter of an environment that has TRL but not this package.
Both sides train the same Qwen2 on the same prompt, drawing, scoring and updating on one group a step: ``engine`` with
gapo_trainer.engine, ``trl`` with TRL's GRPOTrainer, made to score completions only, as it does on a GPU (its CPU path
scores the prompt's positions too and would be slower still). Times are CPU seconds of one thread.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from typing import Any, NamedTuple

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from bench.process_memory import forget_peak, resident

VOCABULARY = 2048
MODEL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
NEW_TOKENS = 24
PAD = 0
EOS = 1
LEARNING_RATE = 1e-5
MB = 1 << 20


class Step(NamedTuple):
    """CPU seconds of one training step."""

    generation_s: float
    step_s: float


class Measured(NamedTuple):
    """What one side did: its steps, and the memory of the process before the first, in MB."""

    steps: list[Step]
    start_mb: float


def build_model() -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    return Qwen2ForCausalLM(Qwen2Config(**MODEL, eos_token_id=EOS, pad_token_id=PAD))


def build_prompt(length: int) -> torch.Tensor:
    return torch.randint(2, VOCABULARY, (length,), generator=torch.Generator().manual_seed(1))


def reward(tokens: list[int]) -> float:
    """The share of even tokens: costs nothing and differs between completions."""
    return sum(token % 2 == 0 for token in tokens) / len(tokens)


def start_memory_mb() -> float:
    """Forget the peak so far, which imports caused, and give the memory now."""
    forget_peak()
    return resident("VmRSS") / MB


def engine_steps(prompt_length: int, group: int, micro_batch: int, steps: int) -> Measured:
    from gapo_trainer.engine import Sampling, generate, prompt_once

    model, prompt = build_model(), build_prompt(prompt_length)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    sampling = Sampling(NEW_TOKENS, (EOS,))
    start_mb = start_memory_mb()
    times = []
    for _ in range(steps):
        start = time.process_time()
        completions = generate(model, prompt, group, sampling).completions
        generated = time.process_time()
        rewards = torch.tensor([reward(row) for row in completions.to_lists()])
        advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
        tokens = completions.lengths.sum()
        with prompt_once(model, prompt) as shared:
            for rows in completions.micro_batches(micro_batch):
                logprobs, _ = shared.logprobs_and_entropy(completions[rows])  # TRL computes the entropy too
                ratio = torch.exp(logprobs - logprobs.detach())
                weight = advantages[rows, None] * completions[rows].mask
                surrogate = torch.minimum(ratio * weight, ratio.clamp(0.8, 1.2) * weight)
                (-surrogate.sum() / tokens).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        times.append(Step(generated - start, time.process_time() - start))
    return Measured(times, start_mb)


def trl_trainer(
    kind: type, config: type, folder: str, prompt_length: int, group: int, micro_batch: int, steps: int
) -> Any:
    """A trainer of TRL's or of a class derived from it, for the same model, prompt and reward as the engine's side."""
    import trl.trainer.utils
    from datasets import Dataset
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    trl.trainer.utils._use_triton = lambda device: True  # where it only decides which positions are scored

    prompt = build_prompt(prompt_length)
    names = {"<pad>": PAD, "<eos>": EOS} | {f"w{token}": token for token in range(2, VOCABULARY)}
    words = Tokenizer(WordLevel(names, unk_token="<pad>"))
    words.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<eos>", pad_token="<pad>")
    text = " ".join(f"w{token}" for token in prompt.tolist())
    assert tokenizer(text).input_ids == prompt.tolist(), "TRL must get the same prompt"
    return kind(
        model=build_model(),
        processing_class=tokenizer,
        reward_funcs=lambda completion_ids, **_: [reward(row) for row in completion_ids],
        train_dataset=Dataset.from_dict({"prompt": [text] * steps}),
        args=config(
            output_dir=folder,
            per_device_train_batch_size=micro_batch,
            gradient_accumulation_steps=group // micro_batch,
            num_generations=group,
            max_completion_length=NEW_TOKENS,
            max_steps=steps,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant",
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            beta=0.0,
            bf16=False,
            gradient_checkpointing=False,
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
    )


def trl_steps(prompt_length: int, group: int, micro_batch: int, steps: int) -> Measured:
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    times: list[Step] = []

    class Timed(GRPOTrainer):
        def _generate(self, prompts: list) -> Any:
            start = time.process_time()
            result = super()._generate(prompts)
            self.generation_s = time.process_time() - start
            return result

    class Watch(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            self.start = time.process_time()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            times.append(Step(trainer.generation_s, time.process_time() - self.start))

    with tempfile.TemporaryDirectory() as folder:
        trainer = trl_trainer(Timed, GRPOConfig, folder, prompt_length, group, micro_batch, steps)
        trainer.add_callback(Watch())
        start_mb = start_memory_mb()
        trainer.train()
    return Measured(times, start_mb)


def generate_steps(prompt_length: int, group: int, _micro_batch: int, steps: int) -> Measured:
    """Time ``generate`` of transformers alone, on the repeated prompt; it knows no micro-batches."""
    model, prompt = build_model().eval(), build_prompt(prompt_length)
    repeated = prompt.expand(group, -1)
    start_mb = start_memory_mb()
    times = []
    for _ in range(steps):
        start = time.process_time()
        model.generate(
            repeated, attention_mask=torch.ones_like(repeated), max_new_tokens=NEW_TOKENS, do_sample=True, top_k=0
        )
        taken = time.process_time() - start
        times.append(Step(taken, taken))
    return Measured(times, start_mb)


SIDES = {"engine": engine_steps, "trl": trl_steps, "generate": generate_steps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=SIDES)
    for name in ("prompt-length", "group", "micro-batch", "steps"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    measured = SIDES[arguments.side](arguments.prompt_length, arguments.group, arguments.micro_batch, arguments.steps)
    steps = [step._asdict() for step in measured.steps]
    print(json.dumps({"steps": steps, "memory_above_start_mb": resident("VmHWM") / MB - measured.start_mb}))


if __name__ == "__main__":
    main()
