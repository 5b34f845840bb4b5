"""The benchmarks: every script is started as ``python -m bench.NAME`` in the repository's root."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
