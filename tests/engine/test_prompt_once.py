import pytest
import torch
from plain_path import gradients, plain_logprobs, relative

from gapo_trainer.engine import Completions, prompt_once

FLOAT32 = 1e-5  # relative; float32's own noise on these gradients is about 3e-6


def ragged(lengths, seed=1):
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randint(97, (length,), generator=generator).tolist() for length in lengths]
    return Completions.from_lists(rows)


def prompt_of(length):
    return torch.randint(97, (length,), generator=torch.Generator().manual_seed(2))


def loss_weights(completions, seed=3):
    """A loss that gives every token another weight, so that no gradient cancels or goes missing."""
    return torch.randn(completions.tokens.shape, generator=torch.Generator().manual_seed(seed))


def train(model, prompt, completions, micro_batch, temperature=1.0, with_entropy=False):
    """Gradients and log-probs through the engine."""
    weights = loss_weights(completions)
    logprobs = torch.zeros_like(weights)
    with prompt_once(model, prompt) as shared:
        for rows in completions.micro_batches(micro_batch):
            micro = completions[rows]
            width = micro.tokens.shape[1]
            scored, entropy = shared.logprobs_and_entropy(micro, temperature)
            loss = (scored * weights[rows, :width]).sum()
            if with_entropy:
                loss = loss + (entropy * weights[rows, :width].square()).sum()
            loss.backward()
            logprobs[rows, :width] = scored.detach()
    return gradients(model), logprobs


def train_plainly(model, prompt, completions, temperature=1.0, with_entropy=False):
    weights = loss_weights(completions)
    logprobs, entropy = plain_logprobs(model, prompt, completions, temperature)
    loss = (logprobs * weights).sum()
    if with_entropy:
        loss = loss + (entropy * weights.square()).sum()
    loss.backward()
    return gradients(model), logprobs.detach()


@pytest.mark.parametrize(
    ("prompt_length", "lengths", "micro_batch"),
    [
        (11, [7, 3, 1, 5, 7, 2], 4),  # padding, odd lengths, a short last micro-batch
        (33, [6] * 8, 8),  # one micro-batch, nothing padded
        (12, [9], 1),  # G = 1
        (1, [4, 5], 1),  # the shortest prompt
        (8, [1, 1, 1], 2),  # only first tokens: all gradient comes through the last prompt position
    ],
)
def test_gradients_equal_the_plain_paths(model, prompt_length, lengths, micro_batch):
    prompt, completions = prompt_of(prompt_length), ragged(lengths)
    found, logprobs = train(model, prompt, completions, micro_batch)
    expected, plain = train_plainly(model, prompt, completions)
    torch.testing.assert_close(logprobs, plain, rtol=1e-5, atol=1e-5)
    assert relative(found, expected) < FLOAT32


@pytest.mark.parametrize("longest", [3, 4, 5, 6, 9])  # with the prompt: shorter than the window, as long, longer
@pytest.mark.parametrize("name", ["mistral", "qwen2"])  # every layer slides, and all but the first
def test_a_window_that_begins_to_hide_something(build_model, name, longest):
    some = {"use_sliding_window": True, "max_window_layers": 1} if name == "qwen2" else {}
    model, prompt = build_model(name, sliding_window=14, **some), prompt_of(10)
    completions = ragged([longest, 1, longest - 1])
    found, logprobs = train(model, prompt, completions, 2)
    expected, plain = train_plainly(model, prompt, completions)
    torch.testing.assert_close(logprobs, plain, rtol=1e-5, atol=1e-5)
    assert relative(found, expected) < FLOAT32


def test_temperature_and_entropy(build_model):
    model, prompt, completions = build_model("qwen3"), prompt_of(9), ragged([4, 6, 1])
    found, logprobs = train(model, prompt, completions, 2, temperature=0.7, with_entropy=True)
    expected, plain = train_plainly(model, prompt, completions, temperature=0.7, with_entropy=True)
    torch.testing.assert_close(logprobs, plain, rtol=1e-5, atol=1e-5)
    assert relative(found, expected) < FLOAT32


def test_gradient_checkpointing_gives_the_same_gradients(model):
    prompt, completions = prompt_of(10), ragged([5, 3, 6])
    expected, _ = train_plainly(model, prompt, completions)
    model.train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    found, _ = train(model, prompt, completions, 2)
    assert relative(found, expected) < FLOAT32


@pytest.mark.parametrize("checkpointing", [False, True])
def test_bf16_autocast_is_as_close_to_float32_as_the_plain_path(build_model, checkpointing):
    model, prompt, completions = build_model("qwen3"), prompt_of(20), ragged([5, 3, 6, 6])
    exact, _ = train_plainly(model, prompt, completions)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain, _ = train_plainly(model, prompt, completions)
    if checkpointing:
        model.train()
        model.gradient_checkpointing_enable({"use_reentrant": False})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = train(model, prompt, completions, 2)
    assert 1e-4 < relative(found, exact) < 1.5 * relative(plain, exact)  # autocast acted, and cost no more than usual


def test_bf16_model(build_model):
    model, prompt, completions = build_model("llama"), prompt_of(20), ragged([5, 3, 6, 6])
    exact, _ = train_plainly(model, prompt, completions)
    plain, _ = train_plainly(model.bfloat16(), prompt, completions)
    found, _ = train(model, prompt, completions, 2)
    assert found.dtype == torch.bfloat16
    assert relative(found.float(), exact) < 1.5 * relative(plain.float(), exact)


def test_frozen_layers_get_no_gradient_and_do_not_disturb_the_others(build_model):
    model, prompt, completions = build_model("qwen2"), prompt_of(7), ragged([3, 4])
    model.model.embed_tokens.requires_grad_(False)
    model.model.layers[0].requires_grad_(False)
    found, _ = train(model, prompt, completions, 1)
    expected, _ = train_plainly(model, prompt, completions)
    assert relative(found, expected) < FLOAT32


def test_gradients_accumulate_over_prompts(build_model):
    model = build_model("llama")
    batches = [(prompt_of(5), ragged([3, 4])), (prompt_of(9), ragged([2, 6], seed=4))]
    expected = sum(train_plainly(model, *batch)[0] for batch in batches)
    for prompt, completions in batches:
        with prompt_once(model, prompt) as shared:
            (shared.logprobs(completions) * loss_weights(completions)).sum().backward()
    assert relative(gradients(model), expected) < FLOAT32


def test_no_grad_scores_only(model):
    prompt, completions = prompt_of(11), ragged([7, 3, 1])
    with torch.no_grad():
        with prompt_once(model, prompt) as shared:
            logprobs = shared.logprobs(completions)
        expected, _ = plain_logprobs(model, prompt, completions)
    torch.testing.assert_close(logprobs, expected, rtol=1e-5, atol=1e-5)
    assert not logprobs.requires_grad


def test_padding_is_never_read(build_model):
    model, prompt, completions = build_model("qwen2"), prompt_of(6), ragged([2, 5])
    other = completions.tokens.clone()
    other[0, 2:] = 96
    with torch.no_grad(), prompt_once(model, prompt) as shared:
        first, second = shared.logprobs(completions), shared.logprobs(Completions(other, completions.lengths))
    assert torch.equal(first, second)


def test_the_model_is_left_as_it_was(build_model):
    model, prompt = build_model("qwen2"), prompt_of(6)
    before = model.config._attn_implementation
    with pytest.raises(RuntimeError, match="stop here"), prompt_once(model, prompt) as shared:  # noqa: PT012
        shared.logprobs(ragged([2])).sum().backward()
        raise RuntimeError("stop here")
    assert model.config._attn_implementation == before
    assert "forward" not in vars(model.get_output_embeddings())
    assert model.model.layers[0].self_attn.k_proj.weight.grad is not None  # the micro-batch's own, nothing undone


@pytest.mark.parametrize("prompt", [torch.zeros(0, dtype=torch.int64), torch.zeros(1, 3, dtype=torch.int64)])
def test_a_prompt_that_is_none_is_refused(build_model, prompt):
    with pytest.raises(ValueError, match=r"prompt_ids expects int64 \[prompt length\], at least one token, got"):  # noqa: SIM117
        with prompt_once(build_model("qwen2"), prompt):
            pass
