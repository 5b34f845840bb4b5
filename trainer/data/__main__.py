"""``python -m gapo_trainer.data``: the same as the ``gapo-data`` command."""

import sys

from gapo_trainer.data.cli import main

sys.exit(main())
