"""Prompts and the way back: exact over the sample and over any text, and robust to what models add."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from gapo_trainer.data.formats import COMPACT_MARKS, FIM_TOKENS, Chat, Compact, Plain, make_format
from gapo_trainer.data.stdlib_tasks import stdlib_tasks
from gapo_trainer.data.task import Hunk, Task
from gapo_trainer.errors import UserError

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TASK = Task(
    "id", "r", "MIT", "python", "a.py", "c", 0, "train", (Hunk("a.py", "@@ -1 +1 @@\n-old(x)\n+new(x)\n"),),
    "before\n", "    old(y)\n", "after\n", "    new(y)\n",
)  # fmt: skip


def tokenizer(*tokens: str, template: str | None = None) -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE({}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")
    made.add_special_tokens({"additional_special_tokens": list(tokens)})
    made.chat_template = template
    return made


EXACT = {
    "plain": Plain(),
    "fim": Plain(FIM_TOKENS[0]),
    "chat": Chat(tokenizer(template=TEMPLATE)),
}


@pytest.mark.parametrize("name", EXACT)
def test_the_samples_tasks_go_and_come_back(sample, name):
    form = EXACT[name]
    assert len(sample) == 10_924
    for task in sample:
        assert form.extract(form.completion(task), task) == task.target
        prompt = form.prompt(task)
        assert task.path in prompt
        assert task.region in prompt
        assert all(hunk.diff in prompt for hunk in task.history)
        assert task.prefix.strip() in prompt


def test_compact_comes_back_up_to_outer_white_space_and_exactly_for_embedded_tasks(sample):
    form = Compact()
    for task in sample:
        assert form.extract(form.completion(task), task).strip() == task.target.strip()
    for task in stdlib_tasks("test_ood", limit=2000):
        assert form.extract(form.completion(task), task) == task.target


# What could be mistaken for the formats' own marks, in every combination hypothesis thinks of.
pieces = st.sampled_from(
    ["```", "````", "```python", "~~~", "`", "\n", "\r\n", "\\", " ", ">>>>>>> UPDATED", "<<<<<<< CURRENT", "=======",
     "\\ No newline at end of file", "x = 1", "</think>", "<think>", "Sure:", "é"]
)  # fmt: skip
texts = st.lists(pieces, max_size=7).map("".join)


@settings(max_examples=400, deadline=None)
@given(texts, texts)
@example("\\ No newline at end of file\n", "")
@example("", "```\n")
@example("x\n```\ny\n```\nz", "x")
@example(">>>>>>> UPDATED \r\n", "x")
@example("\\>>>>>>> UPDATED\n", "x")
def test_any_edit_comes_back(target, region):
    task = dataclasses.replace(TASK, region=region, target=target)
    for form in EXACT.values():
        assert form.extract(form.completion(task), task) == target


NEW = TASK.target


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        (NEW + ">>>>>>> UPDATED\nand more\n>>>>>>> UPDATED\n", NEW),
        (NEW + ">>>>>>> UPDATED  ", NEW),
        (NEW + ">>>>>>> UPDATED\r\n```python\nnew(3)\n```\n", NEW),
        (NEW, NEW),  # cut off, or ended by the end-of-text token alone
        ("```python\n" + NEW + "```\n>>>>>>> UPDATED\n", NEW),
        ("```python\n" + NEW, NEW),
        ("Here is the code:\n```\n" + NEW + "```\nI renamed it.", NEW),
        ("Here is the updated region:\n\n" + NEW + "\nThis change renames the call.", "\n" + NEW),
        ("\n<<<<<<< CURRENT\n" + TASK.region + "=======\nNew\n=======\n>>>>>>> UPDATED\n", "New\n=======\n"),
        ("", ""),
    ],
)
def test_plain_completions_as_models_write_them(completion, expected):
    assert Plain().extract(completion, TASK) == expected


def test_what_models_say_before_and_behind_an_edit_is_no_part_of_it():
    for said in ("Sure!", "certainly:", "Of course.", "Okay, this:", "OK:", "Below is it:", "Here's it:", "Here is it:",
                 "\nHere are they:", "The updated code: \r", "the rewritten one:", "The edited lines:", "The new one:",
                 "The revised code:"):  # fmt: skip
        assert Plain().extract(f"{said}\n{NEW}", TASK) == NEW, said
    for said in ("Explanation: x", "Note : x", "Change: x", "Changes made: x", "This edit x", "These updates x",
                 "the code x", "I've changed x", "I have updated x", "I replaced x", "I renamed x", "I added x",
                 "I removed x", "Let me know x"):  # fmt: skip
        assert Plain().extract(f"{NEW}\n{said}", TASK) == NEW, said
    for code in ("okapi: float = 1.\n", "x\n\nThe codecs are listed.\n"):
        assert Plain().extract(code, TASK) == code


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Sure! Here you go:\n\n```python\n" + NEW + "```\nHope that helps.", NEW),
        ("~~~\n" + NEW + "~~~", NEW),
        ("```new``` it is:\n\n```python\n" + NEW + "```", NEW),  # code within a line opens no block
        ("```python\n" + TASK.region + "```\nbecomes\n```python\n" + NEW + "```", NEW),
        ("```python\n" + NEW + "```\nUse it so:\n```python\nnew(3)\n```", NEW),
        ("```python\n" + NEW, NEW),  # cut off
        ("<think>\nfirst ```python\nno\n``` then\n</think>\n\n```python\n" + NEW + "```", NEW),
        ("so far\n```\nno\n```\n</think>\n```\n" + NEW + "```", NEW),  # the template had opened it
        ("So:\n```\nx = '<think>'\n```", "x = '<think>'\n"),  # code about thoughts is none
        ("So:\n```\n<think>\nx\n</think>\n```", "<think>\nx\n</think>\n"),
        ("<think>\nnever ends ```python\nno\n```", ""),
        (NEW, NEW),
        ("```\n<<<<<<< CURRENT\n" + TASK.region + "=======\n" + NEW + ">>>>>>> UPDATED\n```", NEW),
        ("   ```python\n" + NEW + "   ```", NEW),
    ],
)
def test_chat_answers_as_models_write_them(answer, expected):
    assert EXACT["chat"].extract(answer, TASK) == expected


def test_fences_of_the_code_itself_are_kept():
    region = 'd = """\n```\nold\n```\n"""\n'
    target = region.replace("old", "new")
    task = dataclasses.replace(TASK, region=region, target=target)
    assert Plain().extract(target + ">>>>>>> UPDATED\n", task) == target
    assert EXACT["chat"].extract("Run\n```\nmake\n```\nDone:\n````\n" + target + "````\n", task) == target


def test_the_plain_prompt():
    assert Plain().prompt(TASK) == (
        "### After the region\nafter\n### Recent edits\n--- a.py\n@@ -1 +1 @@\n-old(x)\n+new(x)\n### a.py\nbefore\n"
        "<<<<<<< CURRENT\n    old(y)\n=======\n"
    )


def test_the_plain_format_stops_behind_its_mark():
    form = Plain()
    written = form.completion(TASK)
    assert written.endswith(f"{form.stop[0]}\n")
    assert form.is_complete(written)
    assert form.is_complete(f"{written}x = 1\n")
    assert not form.is_complete("    new(y)\n")
    for target, shown in (("", ""), ("x", "x\n\\ No newline at end of file\n")):
        assert form.completion(dataclasses.replace(TASK, target=target)) == f"{shown}>>>>>>> UPDATED\n"
    assert not form.is_complete(
        form.completion(dataclasses.replace(TASK, target=">>>>>>> UPDATED\n")).rsplit("\n", 2)[0]
    )
    for other in (Compact(), EXACT["chat"]):
        assert not other.stop
        assert not other.is_complete(other.completion(TASK))


def test_the_plain_prompt_ends_what_does_not_end_and_quotes_what_would_end_it():
    task = dataclasses.replace(TASK, prefix="before", suffix=">>>>>>> UPDATED\n")
    prompt = Plain().prompt(task)
    assert prompt.startswith("### After the region\n\\>>>>>>> UPDATED\n")
    assert prompt.endswith("### a.py\nbefore\n<<<<<<< CURRENT\n    old(y)\n=======\n")


@pytest.mark.parametrize("tokens", FIM_TOKENS)
def test_fill_in_the_middle_tokens_are_used_where_the_tokenizer_has_them(tokens):
    form = make_format("plain", tokenizer(*tokens))
    prompt = form.prompt(TASK)
    assert prompt.startswith(tokens.prefix)
    assert prompt.endswith(f"    old(y)\n=======\n{tokens.suffix}after\n{tokens.middle}")


def test_the_chat_prompt_is_the_templates():
    prompt = make_format("chat", tokenizer(template=TEMPLATE)).prompt(TASK)
    assert prompt.startswith("<s><|user|>### Recent edits\n")
    assert prompt.endswith("in one fenced code block.<|end|><|assistant|>")
    assert "before\n<<<<<<< CURRENT\n    old(y)\n>>>>>>> UPDATED\nafter\n```" in prompt


def test_thinking_is_left_to_the_template_or_switched_off():
    asks = tokenizer(template="{% if enable_thinking is defined %}{{ enable_thinking }}{% endif %}")
    assert make_format("chat", asks).prompt(TASK) == ""
    assert make_format("chat", asks, thinking=False).prompt(TASK) == "False"


OPENS = TEMPLATE.replace("<|assistant|>", "<|assistant|><think>\n")


@pytest.mark.parametrize(
    ("completion", "edit"),
    [
        ("Perhaps\n```python\n    draft(y)\n```\nBut wait,", ""),  # cut off within the thought
        ("Perhaps\n```python\n    draft(y)\n```\nhmm.</think>\n\n```python\n    new(y)\n```\n", "    new(y)\n"),
        ("short.</think>\n\n    new(y)\n", "    new(y)\n"),
    ],
)
def test_a_thought_is_no_edit_whoever_opened_it(completion, edit):
    for form, begun in ((Chat(tokenizer(template=OPENS)), ""), (EXACT["chat"], "<think>\n")):
        assert form.extract(begun + completion, TASK).strip() == edit.strip()


def test_a_template_that_refuses_is_told():
    form = Chat(tokenizer(template="{{ raise_exception('roles must start with system') }}"))
    with pytest.raises(UserError, match="the chat template refuses a user's message: roles must start with system"):
        form.prompt(TASK)


def test_marks_that_the_model_does_not_know_are_not_used():
    known = tokenizer(*FIM_TOKENS[1], *COMPACT_MARKS)
    assert isinstance(make_format("auto", known), Compact)
    assert make_format("plain", known, embeddings=len(known)) == Plain(FIM_TOKENS[1])
    assert make_format("auto", known, embeddings=len(known) - 1) == Plain(FIM_TOKENS[1])
    assert make_format("plain", known, embeddings=2) == Plain()


def test_auto_takes_what_the_tokenizer_has():
    assert isinstance(make_format("auto", tokenizer(*COMPACT_MARKS)), Compact)
    assert isinstance(make_format("auto", tokenizer(template=TEMPLATE)), Chat)
    assert make_format("auto", tokenizer(*FIM_TOKENS[1])) == Plain(FIM_TOKENS[1])
    assert make_format("auto") == Plain()
    assert make_format("auto", tokenizer(*COMPACT_MARKS[:3])) == Plain()  # some of them are not enough
    assert make_format("auto", tokenizer(*FIM_TOKENS[1][:2])) == Plain()


def test_the_compact_prompt():
    assert Compact().prompt(TASK) == "<old>old(x)<new>new(x)<cur>old(y)<upd>"
    earlier = Hunk("b.py", "@@ -1 +1 @@\n-a\n+b\n")
    assert Compact().prompt(dataclasses.replace(TASK, history=(earlier, *TASK.history))) == Compact().prompt(TASK)
    assert Compact().extract(" new(y)\n", TASK) == "    new(y)\n"


def test_wrong_formats_are_named():
    with pytest.raises(UserError, match="format expects one of auto, plain, chat, compact, got 'xml'"):
        make_format("xml")
    with pytest.raises(UserError, match="has none"):
        make_format("chat", tokenizer())
