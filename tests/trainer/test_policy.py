"""What a policy answers is decided by its weights."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen3MoeConfig

from gapo_trainer.data.formats import FIM_TOKENS, Plain, make_format
from gapo_trainer.errors import UserError
from gapo_trainer.evaluate import answer, by_language
from gapo_trainer.policy import Policy, load_policy


def test_answers_do_not_depend_on_how_many_are_decoded_at_once(model_folder, tasks):
    policy, together = load_policy(model_folder), []
    generate = policy.generate
    policy.generate = lambda prompts, *a, **k: (together.append(len(prompts)), generate(prompts, *a, **k))[1]
    given = [answer(policy, tasks[:10], "greedy", 8, at_once=at_once) for at_once in (10, 4)]
    assert together == [10, 4, 4, 2]
    assert given[0] == given[1]


def test_the_languages_come_by_how_many_answers_they_have(tasks):
    given = [SimpleNamespace(task=replace(tasks[0], lang=language)) for language in ("rust", "c", "go", "go")]
    assert [(name, len(part)) for name, part in by_language(given).items()] == [("go", 2), ("c", 1), ("rust", 1)]


def test_many_prompts_are_decoded_64_at_once_at_most(model_folder, tasks):
    policy, together, answered = load_policy(model_folder), [], []
    policy.generate = lambda prompts, *_, **how: (together.append(len(prompts)), [[5]] * len(prompts))[1]
    answer(policy, tasks[:10] * 10, "greedy", 8, advance=answered.append, at_once=99)
    assert together == answered == [64, 36]


def test_answers_are_sampled_at_the_temperature_that_is_asked_for(model_folder, tasks):
    policy, asked = load_policy(model_folder), []
    policy.generate = lambda prompts, *_, **how: (asked.append(how), [[5]])[1]
    for decoding in ("sampled", "greedy"):
        answer(policy, tasks[:1], decoding, 8, temperature=0.3)
    assert asked == [{"do_sample": True, "temperature": 0.3}, {"do_sample": False}]


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


def test_answers_come_in_the_order_of_their_tasks_and_by_their_seed(model_folder, tasks):
    policy = load_policy(model_folder)
    some = [replace(tasks[0], region="x = 1\n" * 9), *tasks[1:4]]  # the first has the longest prompt
    assert [given.task for given in answer(policy, some, "greedy", 4)] == some

    def texts(decoding, **how):
        return [given.text for given in answer(policy, some, decoding, 8, **how)]

    assert texts("sampled", seed=1) == texts("sampled", seed=1) != texts("sampled", seed=2)
    assert texts("sampled", temperature=1e-4, seed=3) == texts("greedy")


def test_a_completion_ends_with_its_first_end_token(model_folder):
    policy = load_policy(model_folder)
    policy.end_tokens = tuple(range(0, 320, 2))
    for row in policy.generate([[5, 6, 7], [8, 9, 10]], 16, do_sample=True):
        assert all(token % 2 for token in row[:-1])


def test_end_tokens_of_the_models_settings_end_too(model_folder, tmp_path):
    policy = load_policy(model_folder)
    policy.model.generation_config.eos_token_id = [policy.tokenizer.eos_token_id, 17]
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    assert load_policy(str(tmp_path)).end_tokens == tuple(sorted((policy.tokenizer.eos_token_id, 17)))


def test_weights_are_float32_whatever_they_were_saved_in(model_folder, tmp_path):
    policy = load_policy(model_folder)
    policy.model.bfloat16().save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    assert {p.dtype for p in load_policy(str(tmp_path)).model.parameters()} == {torch.float32}


def test_samples_are_drawn_from_the_whole_distribution(model_folder):
    """transformers' own default would keep the fifty most probable tokens."""
    torch.manual_seed(0)
    assert len({row[0] for row in load_policy(model_folder).generate([[5, 6, 7]] * 600, 1, do_sample=True)}) > 100


@pytest.mark.parametrize("training", [True, False])
def test_answering_leaves_the_mode_as_it_was(model_folder, training):
    policy, modes = load_policy(model_folder), []
    policy.model.train(training)
    policy.model.model.layers[0].register_forward_hook(lambda module, *_: modes.append(module.training))
    policy.generate([[5, 6, 7]], 2, do_sample=False)
    assert policy.model.training is training
    assert set(modes) == {False}


def llama_like(texts):
    """A tokenizer that writes spaces as ▁ and drops the first one when it decodes."""
    inner = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.pre_tokenizer = pre_tokenizers.Split("\n", "isolated")
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    alphabet = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=["<unk>", "<s>", "</s>", *alphabet])
    inner.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def test_an_edit_keeps_its_first_space(tasks):
    texts = ["    def f(x):\n        return x\n", ">>>>>>> UPDATED\n=======\n"]
    tokenizer = llama_like(texts)
    policy = Policy(None, tokenizer, make_format("plain", tokenizer), (tokenizer.eos_token_id,))
    before = tokenizer.encode("=======\n", add_special_tokens=False)
    for target in ("    def f(x):\n", " x\n", "x\n", ""):
        task = replace(tasks[0], target=target)
        whole = tokenizer.encode(f"=======\n{policy.format.completion(task)}", add_special_tokens=False)
        assert whole[: len(before)] == before
        assert policy.edit(task, whole[len(before) :]) == target
        assert policy.has_ended(whole[len(before) :])


def saved(model_folder, folder, change):
    policy = load_policy(model_folder)
    change(policy)
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    return str(folder)


def drop_the_decoder(policy):
    policy.tokenizer.backend_tokenizer.decoder = decoders.WordPiece()


def move_the_end(policy):
    policy.tokenizer.add_special_tokens({"eos_token": "<|the end|>"})


def add_marks(policy):
    policy.tokenizer.add_tokens(list(FIM_TOKENS[0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_the_decoder, "its tokenizer does not give back the text that the format plain writes"),
        (move_the_end, "its tokenizer has no end token that the model knows: no completion would end"),
    ],
)
def test_a_tokenizer_that_does_not_fit_is_refused(model_folder, tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        load_policy(saved(model_folder, tmp_path, change), "plain")


def test_marks_without_an_embedding_are_not_used(model_folder, tmp_path):
    assert load_policy(saved(model_folder, tmp_path, add_marks), "plain").format == Plain()


def test_experts_are_not_asked_for_a_loss_of_their_own(model_folder, tmp_path):
    config = Qwen3MoeConfig(
        vocab_size=len(load_policy(model_folder).tokenizer), hidden_size=32, intermediate_size=32, head_dim=16,
        num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, moe_intermediate_size=32, num_experts=4,
        num_experts_per_tok=2, output_router_logits=True, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    load_policy(model_folder).tokenizer.save_pretrained(tmp_path)
    policy = load_policy(str(tmp_path))
    assert [len(row) > 0 for row in policy.generate([[5, 6, 7], [8, 9]], 4, do_sample=True)] == [True, True]
