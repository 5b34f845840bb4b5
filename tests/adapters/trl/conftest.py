"""TRL runs offline: nothing is looked up in a hub, and no telemetry is sent."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"

# pytest puts tests/ on the path, where the folder triton passes for the package if that is not installed
triton = find_spec("triton")
if triton is not None and triton.origin is None:
    sys.path.remove(str(Path(__file__).parents[2]))
