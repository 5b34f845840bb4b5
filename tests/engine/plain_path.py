"""What the engine is compared with: every prompt run with its completion, padded, all logits held."""

import torch


def plain_logprobs(model, prompt, completions, temperature=1.0):
    """Log-probs and entropies of the completions' tokens, [rows, longest], 0 behind a row's length."""
    rows = len(completions)
    sequences = torch.cat([prompt.expand(rows, -1), completions.tokens], dim=1)
    mask = torch.cat([torch.ones(rows, len(prompt), dtype=torch.bool), completions.mask], dim=1)
    logits = model(sequences, attention_mask=mask.long(), use_cache=False).logits[:, len(prompt) - 1 : -1].float()
    log_p = (logits / temperature).log_softmax(-1)
    logprobs = log_p.gather(-1, completions.tokens[..., None]).squeeze(-1) * completions.mask
    entropy = -(log_p.exp() * log_p).sum(-1) * completions.mask
    return logprobs, entropy


def gradients(model):
    """All gradients as one vector; clears them."""
    found = torch.cat([p.grad.flatten() if p.grad is not None else torch.zeros(p.numel()) for p in model.parameters()])
    model.zero_grad()
    return found


def relative(found, expected):
    return float((found - expected).norm() / expected.norm())
