"""What a policy answers is decided by its weights."""

import torch
from tokenizers.processors import TemplateProcessing

from gapo_trainer.evaluate import answer
from gapo_trainer.policy import load_policy


def test_answers_do_not_depend_on_how_many_are_decoded_at_once(model_folder, tasks):
    policy, together = load_policy(model_folder), []
    generate = policy.generate
    policy.generate = lambda prompts, *a, **k: (together.append(len(prompts)), generate(prompts, *a, **k))[1]
    given = [answer(policy, tasks[:10], "greedy", 8, at_once=at_once) for at_once in (10, 4)]
    assert together == [10, 4, 4, 2]
    assert given[0] == given[1]


def test_the_models_own_settings_of_generation_change_no_answer():
    """Training draws without them; they would be the scores of another policy."""
    policy = load_policy("tiny")
    prompts = [policy.tokenizer.encode(text) for text in ("x = x + x + x", "for i in range(10):\n    print(i)")]

    def answers() -> list:
        torch.manual_seed(0)
        return [policy.generate(prompts, 20, do_sample=False), policy.generate(prompts, 20, do_sample=True)]

    expected = answers()
    settings = policy.model.generation_config
    settings.update(no_repeat_ngram_size=1, repetition_penalty=3.0, num_beams=2, min_new_tokens=20, min_p=0.5, top_k=1)
    assert answers() == expected
    assert policy.model.generation_config is settings


def test_a_prompt_does_not_end_where_a_tokenizer_ends_every_text(model_folder, tasks):
    policy = load_policy(model_folder, "plain")
    before = policy.encode(*tasks[:3])
    end, token = policy.tokenizer.eos_token_id, policy.tokenizer.eos_token
    policy.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {token}", special_tokens=[(token, end)]
    )
    assert policy.tokenizer.encode("x")[-1] == end
    assert policy.encode(*tasks[:3]) == before
    assert policy.encode() == []


def test_padding_has_an_embedding(model_folder, tmp_path):
    """A padding token that somebody added to a tokenizer, and not to the model."""
    policy = load_policy(model_folder)
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    policy.tokenizer.save_pretrained(tmp_path)
    policy = load_policy(str(tmp_path))
    assert policy.tokenizer.pad_token_id == policy.tokenizer.eos_token_id
    assert len(policy.generate([[5, 6, 7], [5]], 4)) == 2
