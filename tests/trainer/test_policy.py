"""What a policy answers is decided by its weights."""

import torch

from gapo_trainer.policy import load_policy


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
