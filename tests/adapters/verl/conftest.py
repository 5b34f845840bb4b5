"""Makes tests/golden_cases.py importable where tests/ is not on the path.

`make test-adapters` keeps tests/ off it (--confcutdir): a folder there named after a package would pass for that
package where it is not installed, and torch looks for triton.
"""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("golden_cases") is None:
    spec = importlib.util.spec_from_file_location("golden_cases", Path(__file__).parents[2] / "golden_cases.py")
    sys.modules["golden_cases"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["golden_cases"])
