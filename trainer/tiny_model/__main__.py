"""``python -m gapo_trainer.tiny_model [OUT]``: tokenizer, clean policy, undecided policy, card. One core, minutes.

One thread and fixed seeds and step counts: the same machine and Python make the same weights. The tasks are lines of
the running Python's standard library, so another Python makes another, equally good, policy.
"""

from __future__ import annotations

import argparse
import platform
from importlib.resources import files
from pathlib import Path

import jinja2
import torch
import transformers
from transformers import PreTrainedTokenizerFast

from gapo_trainer.data.formats import COMPACT_MARKS, Compact
from gapo_trainer.data.stdlib_tasks import stdlib_tasks
from gapo_trainer.evaluate import SCORES, answer, summarize
from gapo_trainer.policy import Policy
from gapo_trainer.tiny_model.mixture import SHARES, undecided_targets
from gapo_trainer.tiny_model.pretrain import Example, fit, new_model
from gapo_trainer.tiny_model.tokenizer import EOS, PAD, train_tokenizer

SEED = 0
VOCABULARY = 768
TOKENIZER_TASKS = 20_000
CLEAN_STEPS, CLEAN_LR = 12_000, 2e-3
UNDECIDED_STEPS, UNDECIDED_LR = 400, 3e-4
EVALUATED = 512  # tasks of each split for the card


def main() -> None:
    """Make the policy and say how well it does."""
    parser = argparse.ArgumentParser(prog="python -m gapo_trainer.tiny_model", description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=files("gapo_trainer") / "assets" / "tiny_model")
    out = parser.parse_args().out
    torch.set_num_threads(1)  # the order of float sums, and so the weights, depend on it
    torch.manual_seed(SEED)

    tasks, prompts = stdlib_tasks("train", seed=SEED), Compact()
    texts = [text for t in tasks[:TOKENIZER_TASKS] for text in (t.region, t.target)]
    tokenizer = train_tokenizer(texts, list(COMPACT_MARKS), VOCABULARY)
    vocabulary = tokenizer.get_vocab()
    pad, end = vocabulary[PAD], vocabulary[EOS]
    model = new_model(len(tokenizer), pad, end)

    def examples(targets: list[str]) -> list[Example]:
        asked = tokenizer([prompts.prompt(t) for t in tasks], add_special_tokens=False)["input_ids"]
        answers = tokenizer([target.strip() for target in targets], add_special_tokens=False)["input_ids"]
        return [Example(a, [*b, end]) for a, b in zip(asked, answers, strict=True)]

    fit(
        model,
        examples([t.target for t in tasks]),
        pad=pad,
        steps=CLEAN_STEPS,
        peak_lr=CLEAN_LR,
        seed=SEED,
        what="clean",
    )
    clean = _scores(model, tokenizer)
    mixed = examples(undecided_targets(tasks, SEED))
    fit(model, mixed, pad=pad, steps=UNDECIDED_STEPS, peak_lr=UNDECIDED_LR, seed=SEED + 1, what="undecided")
    undecided = _scores(model, tokenizer)

    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "README.md").write_text(_card(len(tasks), model.num_parameters(), clean, undecided), encoding="utf-8")
    print(f"{out}: clean {clean}, undecided {undecided}")


def _scores(model: transformers.PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> dict[str, str]:
    """Greedy scores by split, as text."""
    policy = Policy(model.eval(), tokenizer, Compact(), (tokenizer.eos_token_id,))
    scores = {}
    for split in ("test_id", "test_ood"):
        means = summarize(answer(policy, stdlib_tasks(split, seed=SEED, limit=EVALUATED), "greedy", max_new_tokens=32))
        scores[split] = " / ".join(f"{means[name].mean:.3f}" for name in SCORES)
    model.train()
    return scores


def _card(tasks: int, parameters: int, clean: dict[str, str], undecided: dict[str, str]) -> str:
    template = (files("gapo_trainer.tiny_model") / "card.md.j2").read_text(encoding="utf-8")
    return jinja2.Template(template, keep_trailing_newline=True).render(
        parameters=parameters, tasks=tasks, vocabulary=VOCABULARY, shares=SHARES, clean=clean, undecided=undecided,
        clean_steps=CLEAN_STEPS, clean_lr=CLEAN_LR, undecided_steps=UNDECIDED_STEPS, undecided_lr=UNDECIDED_LR,
        seed=SEED, evaluated=EVALUATED, python=platform.python_version(), torch=torch.__version__,
        transformers=transformers.__version__,
    )  # fmt: skip


if __name__ == "__main__":
    main()
