"""Group advantages for RL of language models: one op, ``torch.ops.gapo.advantage``, and friendlier doors to it."""
