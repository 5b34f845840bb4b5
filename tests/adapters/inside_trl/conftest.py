"""TRL runs offline: nothing is looked up in a hub, and no telemetry is sent."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
