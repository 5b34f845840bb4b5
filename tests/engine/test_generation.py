import itertools

import pytest
import torch
from transformers import GenerationConfig, StoppingCriteria

from gapo_trainer.engine import Sampling, SharedPrefixRollout, generate, prompt_once
from gapo_trainer.engine.errors import UnsupportedModelError
from gapo_trainer.engine.example_check import check_example
from gapo_trainer.engine.sampling import TokenSampler
from gapo_trainer.errors import UserError

PROMPT = torch.randint(97, (11,), generator=torch.Generator().manual_seed(5))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def greedily(model, max_new_tokens, eos=()):
    """What transformers generates, eos included."""
    config = GenerationConfig(
        do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=list(eos) or None, pad_token_id=0
    )
    return model.generate(PROMPT[None], attention_mask=torch.ones(1, 11), generation_config=config)[0, 11:].tolist()


def test_greedy_tokens_equal_generate(model):
    unended = greedily(model, 12)
    samples = generate(model, PROMPT, 3, Sampling(12, (), temperature=0))
    assert samples.completions.to_lists() == [unended] * 3
    assert not samples.ended.any()

    eos = next(token for token in unended[2:] if token not in unended[:2])  # ends somewhere in the middle
    samples = generate(model, PROMPT, 3, Sampling(12, (eos, 96), temperature=0))
    assert samples.completions.to_lists() == [greedily(model, 12, (eos, 96))] * 3
    assert samples.ended.all()


def test_logprobs_are_those_that_scoring_gives(model):
    samples = generate(model, PROMPT, 40, Sampling(9, (3, 4, 5, 6), temperature=0.8, top_p=0.9), seeded())
    assert samples.completions.lengths.unique().numel() > 3  # rows ended at different steps and left the batch
    with torch.no_grad(), prompt_once(model, PROMPT) as shared:
        scored = shared.logprobs(samples.completions, temperature=0.8)
    torch.testing.assert_close(samples.logprobs, scored, rtol=1e-4, atol=1e-5)


def test_a_generator_reproduces_and_slices_change_nothing(build_model):
    model, sampling = build_model("qwen3"), Sampling(8, (3, 4, 5))
    whole = generate(model, PROMPT, 30, sampling, seeded(1))
    again = generate(model, PROMPT, 30, sampling, seeded(1))
    sliced = generate(model, PROMPT, 30, sampling, seeded(1), rows_at_a_time=7)
    other = generate(model, PROMPT, 30, sampling, seeded(2))
    shared = [generate(model, PROMPT, 30, sampling, seeded(1), rows=slice(b, b + 10)) for b in (0, 10, 20)]
    lists = [samples.completions.to_lists() for samples in (whole, again, sliced, other)]
    assert lists[0] == lists[1] == lists[2] != lists[3]
    assert [row for part in shared for row in part.completions.to_lists()] == lists[0]
    assert torch.equal(whole.ended, sliced.ended)


def test_every_row_stops_at_its_first_eos(build_model):
    eos = (3, 4, 5, 6, 7)
    samples = generate(build_model("llama"), PROMPT, 60, Sampling(10, eos), seeded())
    for tokens, ended in zip(samples.completions.to_lists(), samples.ended.tolist(), strict=True):
        assert not set(tokens[:-1]) & set(eos)
        assert ended == (tokens[-1] in eos)
        assert ended or len(tokens) == 10
    assert 0 < samples.ended.sum() < 60


def test_finished_rows_leave_the_batch(build_model):
    model, rows_run = build_model("llama").eval(), []
    check_example(model, PROMPT.device)  # runs the model as well, the first time
    model.model.layers[0].register_forward_hook(lambda module, inputs, output: rows_run.append(output.shape[:2]))
    samples = generate(model, PROMPT, 60, Sampling(10, (3, 4, 5, 6, 7)), seeded())
    prefill, *steps = rows_run
    assert prefill == (1, 11)  # once, for the whole group
    going_on = [int((samples.completions.lengths > step + 1).sum()) for step in range(9)]
    assert [rows for rows, length in steps if length == 1] == [rows for rows in going_on if rows]


def test_tokens_follow_the_models_distribution(build_model):
    model, rows = build_model("qwen2"), 20_000
    expected = model(PROMPT[None]).logits[0, -1].div(1.3).softmax(-1)
    samples = generate(model, PROMPT, rows, Sampling(1, (), temperature=1.3), seeded())
    counts = samples.completions.tokens.flatten().bincount(minlength=97)
    chi_square = ((counts - rows * expected).square() / (rows * expected)).sum()
    assert chi_square < 158  # the 0.9999 quantile with 96 degrees of freedom


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(1, (), top_k=2), {1, 3}),
        (Sampling(1, (), top_p=0.6), {1, 3}),  # 0.5 is short of it, 0.8 reaches it
        (Sampling(1, (), top_p=0.4), {1}),
        (Sampling(1, ()), {0, 1, 2, 3}),
        (Sampling(1, (), temperature=0), {1}),
    ],
)
def test_truncation_keeps_the_most_probable(sampling, kept):
    probabilities = torch.tensor([0.15, 0.5, 0.05, 0.3])
    draws = torch.cat([torch.linspace(0, 1 - 2**-24, 400), torch.tensor([1 - 2**-24])])
    tokens, logprobs = TokenSampler(sampling)(probabilities.log().expand(401, -1), draws)
    assert set(tokens.tolist()) == kept
    torch.testing.assert_close(logprobs.exp(), probabilities[tokens])  # before truncation


def test_tokens_without_probability_are_never_drawn():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    for draw in (0.0, 0.5, 1 - 2**-24):
        tokens, _ = TokenSampler(Sampling(1, ()))(logits, torch.tensor([draw]))
        assert tokens.item() in (1, 3)


@pytest.mark.parametrize("temperature", [0, 1])
@pytest.mark.parametrize("options", [{}, {"top_p": 0.9}, {"top_k": 5}], ids=["all", "top_p", "top_k"])
def test_logits_that_are_no_numbers(build_model, temperature, options):
    model = build_model("qwen2")
    with torch.no_grad():
        model.get_input_embeddings().weight[PROMPT[-1]] = torch.nan
    with pytest.raises(UserError, match="the policy's logits are NaN or infinite"):
        generate(model, PROMPT, 3, Sampling(4, (), temperature, **options), seeded())


def test_training_mode_and_checkpointing_do_not_matter(build_model):
    model = build_model("qwen2")
    expected = generate(model.eval(), PROMPT, 5, Sampling(6, ()), seeded())
    model.train().gradient_checkpointing_enable({"use_reentrant": False})
    found = generate(model, PROMPT, 5, Sampling(6, ()), seeded())
    assert torch.equal(found.completions.tokens, expected.completions.tokens)
    assert model.training


def test_rollout_samples_from_the_weights_it_was_given(build_model):
    sampling = Sampling(6, ())
    engine = SharedPrefixRollout(build_model("qwen2"), rows_at_a_time=2)
    engine.load_weights(build_model("llama"))
    found = engine.generate(PROMPT, 5, sampling, seeded())
    expected = generate(build_model("llama"), PROMPT, 5, sampling, seeded())
    assert torch.equal(found.completions.tokens, expected.completions.tokens)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sampling(0, ()), "max_new_tokens expects a value >= 1, got 0"),
        (lambda: Sampling(1, (), temperature=-1.0), "temperature expects a value >= 0, got -1.0"),
        (lambda: Sampling(1, (), temperature=float("nan")), "temperature expects a value >= 0, got nan"),
        (lambda: Sampling(1, (), top_p=0.0), "top_p expects 0 < top_p <= 1, got 0.0"),
        (lambda: Sampling(1, (), top_k=-1), "top_k expects a value >= 0, got -1"),
        (lambda: generate(None, PROMPT, 0, Sampling(1, ())), "group_size expects a value >= 1, got 0"),
        (lambda: generate(None, PROMPT, 1, Sampling(1, ()), rows_at_a_time=0), "rows_at_a_time expects a value >= 1"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_truncation_keeps_the_proportions():
    probabilities, draws = torch.tensor([0.15, 0.5, 0.05, 0.3]), (torch.arange(800) + 0.5) / 800
    for sampling in (Sampling(1, (), top_k=2), Sampling(1, (), top_p=0.6)):
        tokens, _ = TokenSampler(sampling)(probabilities.log().expand(800, -1), draws)
        assert tokens.bincount(minlength=4).tolist() == [0, 500, 0, 300]


def test_generation_beyond_the_positions_is_refused(build_model):
    model = build_model("llama")
    bound = model.config.max_position_embeddings
    with pytest.raises(UnsupportedModelError, match=f"takes at most {bound} tokens"):
        generate(model, PROMPT, 2, Sampling(bound - len(PROMPT) + 1, ()))


class AfterTwo(StoppingCriteria):
    """Ends a row with the second token that is equal to the prompt's last or to the one before it."""

    def __call__(self, input_ids, scores):
        return (input_ids[:, 1:] == input_ids[:, :-1]).sum(1) >= 2


def test_what_else_ends_a_row(build_model):
    model = build_model("llama")
    free = generate(model, PROMPT, 40, Sampling(30, ()), seeded(1))
    bound = generate(model, PROMPT, 40, Sampling(30, (), stop=AfterTwo()), seeded(1))
    assert 0 < int(bound.ended.sum()) < 40
    rows = zip(free.completions.to_lists(), bound.completions.to_lists(), bound.ended.tolist(), strict=True)
    for whole, row, ended in rows:
        assert row == whole[: len(row)]
        pairs = [a == b for a, b in itertools.pairwise([int(PROMPT[-1]), *row])]
        assert sum(pairs) == 2 if ended else sum(pairs) < 2
        assert pairs[-1] if ended else len(row) == 30
