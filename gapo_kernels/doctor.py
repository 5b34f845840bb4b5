"""``python -m gapo_kernels.doctor``: prints what ``gapo_kernels.doctor()`` returns.

A command, not for import: imported, this module would take the place of the function of its name.
"""

import argparse

from gapo_kernels.diagnosis import doctor

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m gapo_kernels.doctor", description="Versions, backends, frameworks."
    )
    parser.add_argument("--load-plugins", action="store_true", help="import the frameworks' plug-ins: do they load?")
    print(doctor(parser.parse_args().load_plugins))
