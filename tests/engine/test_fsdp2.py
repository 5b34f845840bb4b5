"""The engine in an FSDP2-wrapped model, on two gloo processes that each train half of a group."""

import os
import socket
from datetime import timedelta

import torch
from plain_path import plain_logprobs
from tiny_models import build
from torch import distributed
from torch.distributed.fsdp import fully_shard
from torch.multiprocessing import spawn

from gapo_trainer.engine import Completions, Sampling, generate, prompt_once
from gapo_trainer.ranks import leave

PROMPT = torch.arange(9)
HALVES = [[[3, 4, 5], [6]], [[7, 8, 9, 10, 11], [12, 13]]]  # lengths differ between the ranks


def expected_gradients(name):
    """One process, plain path; FSDP2 averages over ranks, so half the sum over the group."""
    model = build(name)
    logprobs, _ = plain_logprobs(model, PROMPT, Completions.from_lists(HALVES[0] + HALVES[1]))
    (logprobs.sum() / 2).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def train_and_generate(rank, name, checkpointing, head_apart):
    sampling = Sampling(12, tuple(range(3, 30)))  # ends early, at another step on each rank
    alone = generate(build(name), PROMPT, 4, sampling, torch.Generator().manual_seed(rank))

    model = build(name)
    for part in [*model.model.layers, *([model.lm_head] if head_apart else [])]:
        fully_shard(part)
    fully_shard(model)
    if checkpointing:
        model.train().gradient_checkpointing_enable({"use_reentrant": False})
    for _ in range(2):  # the second step meets what generation and the first left behind
        sharded = generate(model, PROMPT, 4, sampling, torch.Generator().manual_seed(rank))
        assert torch.equal(sharded.completions.tokens, alone.completions.tokens)
        model.zero_grad()
        completions = Completions.from_lists(HALVES[rank])
        with prompt_once(model, PROMPT) as shared:
            for rows in completions.micro_batches(1):
                shared.logprobs(completions[rows]).sum().backward()
        for parameter_name, gradient in expected_gradients(name).items():
            found = model.get_parameter(parameter_name).grad.full_tensor()
            error = (found - gradient).norm() / gradient.norm()
            assert error < 2e-5, f"{name}, {parameter_name}: relative error {error}"


def run(rank, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=2, timeout=timedelta(seconds=60))
    train_and_generate(rank, "qwen2_tied", checkpointing=False, head_apart=False)
    train_and_generate(rank, "llama", checkpointing=True, head_apart=True)
    distributed.destroy_process_group()
    leave(0)


def test_gradients_and_tokens_are_those_of_one_process():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    spawn(run, (port,), nprocs=2)
