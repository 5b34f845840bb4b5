"""``update``: one or several optimiser steps on a rollout.

A step's loss is a sum over completion tokens, so it is gathered prompt by prompt and micro-batch by micro-batch; the
engine computes each prompt once and carries the gradient of all its completions back through it. Equal completions
with equal advantages are trained once, weighted by how often they occurred: the same sum with fewer terms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedModel

from gapo_trainer import ranks
from gapo_trainer.config import Config
from gapo_trainer.engine import distinct, prompt_once
from gapo_trainer.engine.completions import first_rows
from gapo_trainer.episodes import Episodes
from gapo_trainer.errors import UserError
from gapo_trainer.loss import Size, token_loss, token_weights
from gapo_trainer.precision import forward_precision

COUNTED = ("clipped", "kl", "entropy")  # means over tokens


class Merged(NamedTuple):
    """Scored rows of a group that differ in tokens or advantage: the first of each, and how often it occurs."""

    first: Tensor
    copies: Tensor


class UpdateStats(NamedTuple):
    """What one ``update`` did, over all its optimiser steps and ranks.

    Attributes:
        loss: mean over optimiser steps.
        grad_norm: mean over optimiser steps, before clipping.
        clip_ratio: share of tokens where clipping decided the loss.
        kl: k3 estimate of KL(policy || reference) per token; NaN without a reference.
        entropy: per token in nats; NaN where it is not asked for.
        trained_rows: distinct rows that went through the model per pass.
        bad_updates: steps skipped in a row up to now, because loss or gradient was not finite.
    """

    loss: float
    grad_norm: float
    clip_ratio: float
    kl: float
    entropy: float
    trained_rows: int
    bad_updates: int


def update(
    model: PreTrainedModel,
    optimizer: Optimizer,
    episodes: Sequence[Episodes],
    advantages: Sequence[Tensor],
    config: Config,
    bad_updates: int = 0,
) -> UpdateStats:
    """Improve ``model`` on a rollout.

    Args:
        model: the policy, sharded or not.
        optimizer: over its parameters, its learning rate set.
        episodes: the rollout, a group each.
        advantages: float32 [rows] for each group, computed over the whole group.
        config: the run's settings.
        bad_updates: updates skipped in a row before this call.

    Returns:
        What happened.

    Raises:
        UserError: ``max_bad_updates`` updates in a row had NaN or inf in loss or gradient.
    """
    size = len(episodes) // config.mini_batches
    losses, norms, sums, trained = [], [], torch.zeros(1 + len(COUNTED), dtype=torch.float64), 0
    for _ in range(config.epochs):
        for start in range(0, len(episodes), size):
            part = slice(start, start + size)
            with forward_precision(model, config):
                loss, counts, rows = _backward(model, episodes[part], advantages[part], config)
            norm = ranks.gradient_norm(model, config.max_grad_norm)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                bad_updates += 1
            elif rows:  # with nothing scored the optimiser's momentum would still move the weights
                optimizer.step()
                bad_updates = 0
            optimizer.zero_grad()
            if bad_updates >= config.max_bad_updates:
                raise UserError(
                    f"{bad_updates} updates in a row had NaN or inf in loss ({loss}) or gradient norm ({norm}) and "
                    "were skipped; the run stops. Lower lr, or look at the rewards"
                )
            losses.append(loss)
            norms.append(norm)
            sums += counts
            trained += rows
    clipped, kl, entropy = (sums[1:] / sums[0]).tolist()
    return UpdateStats(
        loss=sum(losses) / len(losses),
        grad_norm=sum(norms) / len(norms),
        clip_ratio=clipped,
        kl=kl if episodes[0].reference is not None else math.nan,
        entropy=entropy if config.needs_entropy else math.nan,
        trained_rows=trained // config.epochs,
        bad_updates=bad_updates,
    )


def _backward(
    model: PreTrainedModel, episodes: Sequence[Episodes], advantages: Sequence[Tensor], config: Config
) -> tuple[float, Tensor, int]:
    """Add the gradient of one mini-batch; gives its loss, the sums behind its statistics, and the rows that ran."""
    lengths = torch.cat([e.samples.completions.lengths.cpu()[e.scored] for e in episodes]).double()
    rows, tokens = ranks.total(torch.stack([torch.tensor(len(lengths)).double(), lengths.sum()])).tolist()
    size = Size(max(rows, 1.0), max(tokens, 1.0))  # with nothing scored the loss is 0
    sums = torch.zeros(3 + len(COUNTED), dtype=torch.float64)
    for group, advantage in zip(episodes, advantages, strict=True):
        sums += _backward_group(model, group, advantage, size, config)
    loss, trained, *counts = ranks.total(sums)
    return float(loss), torch.stack(counts), int(trained)


def _backward_group(model: PreTrainedModel, group: Episodes, advantage: Tensor, size: Size, config: Config) -> Tensor:
    """Add the gradient of one group in a mini-batch of ``size``.

    Returns:
        float64: the group's part of the loss, distinct rows, tokens, and sums over tokens of ``COUNTED``.
    """
    sums = torch.zeros(3 + len(COUNTED), dtype=torch.float64)
    kinds, samples = merged(group, advantage), group.samples
    advantage = advantage.to(samples.logprobs.device)
    with prompt_once(model, group.prompt) as shared:
        for chunk, copies in _micro_batches(kinds, samples.completions.lengths, config.micro_batch):
            batch = samples.completions[chunk]
            columns = slice(batch.tokens.shape[1])
            if config.needs_entropy:
                logp, entropy = shared.logprobs_and_entropy(batch, config.temperature)
            else:
                logp, entropy = shared.logprobs(batch, config.temperature), None
            reference = None if group.reference is None else group.reference[chunk, columns]
            terms = token_loss(logp, samples.logprobs[chunk, columns], advantage[chunk], config, reference, entropy)
            loss = (token_weights(batch.mask, copies, size, config) * terms.loss).sum()
            (loss * ranks.world_size()).backward()  # FSDP2 takes the mean over ranks, and the loss is a sum

            counted = batch.mask * copies[:, None]
            means = [counted.sum(), *((counted * getattr(terms, name)).sum() for name in COUNTED)]
            sums += torch.stack([loss.detach(), copies.count_nonzero(), *means]).double().cpu()
    return sums


def _micro_batches(kinds: Merged, lengths: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(rows, copies) of at most ``size`` rows of similar length, equally many on every rank.

    Sharded parameters are gathered by all ranks together, so a rank with fewer distinct rows joins in with a row that
    counts 0 times.
    """
    count = int(ranks.largest(math.ceil(len(kinds.first) / size)))
    shortest_first = torch.argsort(lengths[kinds.first], stable=True)
    for part in shortest_first.tensor_split(count):
        if len(part):
            yield kinds.first[part], kinds.copies[part]
        else:
            yield kinds.first[:1], torch.zeros_like(kinds.copies[:1])


def merged(episodes: Episodes, advantage: Tensor) -> Merged:
    """Merge the scored rows of a group that are equal in tokens and in advantage.

    Args:
        episodes: the group.
        advantage: float32 [rows].

    Returns:
        The first row of each kind and how often it occurs, int64 on the completions' device; of a group without any
        scored row its first row, 0 times.
    """
    which = distinct(episodes.samples.completions).inverse
    scored = torch.nonzero(episodes.scored.to(which.device)).squeeze(-1)
    if len(scored) == 0:
        return Merged(which.new_zeros(1), which.new_zeros(1))
    kinds = torch.stack([which.double(), advantage.to(which.device).double()], dim=1)[scored]
    _, inverse, copies = torch.unique(kinds, dim=0, return_inverse=True, return_counts=True)
    return Merged(scored[first_rows(inverse, len(copies))], copies)
