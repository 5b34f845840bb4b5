"""A policy-gradient trainer for large groups of completions, small enough to read: start with ``train.py``."""
