"""``python -m gapo_trainer.verl_recipe SOURCE OUT``: tasks as the Parquet files that verl reads, one a split."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gapo_trainer.data.formats import Chat
from gapo_trainer.data.loading import load_tasks
from gapo_trainer.data.task import SPLITS, Task
from gapo_trainer.errors import UserError


def main() -> int:
    """Write ``OUT/<split>.parquet`` for every split that has tasks; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m gapo_trainer.verl_recipe", description=__doc__)
    parser.add_argument("source", help="stdlib, a JSONL or Parquet file, or a data set's name")
    parser.add_argument("out", type=Path, help="folder of the Parquet files")
    args = parser.parse_args()
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        tasks = load_tasks(args.source).tasks
        for split in SPLITS:
            rows = [as_row(task) for task in tasks if task.split == split]
            if rows:
                pq.write_table(pa.Table.from_pylist(rows), args.out / f"{split}.parquet")
            print(f"{args.out / split}.parquet: {len(rows)} tasks" + ("" if rows else ", not written"))
    except (UserError, OSError) as error:  # the latter: a full disk, a read-only folder
        print(f"verl_recipe: {error}", file=sys.stderr)
        return 1
    return 0


def as_row(task: Task) -> dict[str, Any]:
    """A task as verl's ``RLHFDataset`` expects it; the reward reads the whole task from ``extra_info``."""
    message = Chat(tokenizer=None).message(task)  # verl applies the model's chat template itself
    return {
        "data_source": f"code_edits/{task.lang}",
        "prompt": [{"role": "user", "content": message}],
        "ability": "code_edit",
        "reward_model": {"style": "rule", "ground_truth": task.target},
        "extra_info": {"split": task.split, "task": json.dumps(task.to_row())},
    }


if __name__ == "__main__":
    sys.exit(main())
