"""Makes ``bench``, which is not installed, importable behind whatever is."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
