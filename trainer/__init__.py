"""A policy-gradient trainer for language models and large groups: GAPO, GRPO, DAPO and others by name."""
