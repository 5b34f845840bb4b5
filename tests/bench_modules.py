"""Makes ``bench``, which is not installed, importable behind whatever is."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))
