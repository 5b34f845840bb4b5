"""``gapo-data``: mine repositories, look at tasks, count them."""

from __future__ import annotations

import argparse
import io
import os
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from gapo_trainer.atomic import check_writable
from gapo_trainer.data.argument_types import folder, languages, licenses, names, share, task_count
from gapo_trainer.data.formats import make_format
from gapo_trainer.data.loading import BadRow, iter_tasks
from gapo_trainer.data.mining.licenses import PERMISSIVE, license_doubt
from gapo_trainer.data.mining.miner import JOURNAL_SUFFIX, Options, RepositorySummary, mine
from gapo_trainer.data.show import rendered, safe
from gapo_trainer.data.stats import Stats, draw, tables
from gapo_trainer.data.task import SPLITS, Task
from gapo_trainer.errors import UserError, in_a_line

_SOURCE = "a .jsonl, .jsonl.gz or .parquet file, a data set's name, or stdlib"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: without the program's name; None for those of the process.

    Returns:
        The exit status: 0; 1 where something could not be read or written; 2 for wrong arguments; 130 on Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # code has letters that a terminal may not know
    try:
        options.run(options)
    except (UserError, OSError, sqlite3.OperationalError) as error:  # the latter two: a full disk, a read-only folder
        print(f"gapo-data: {in_a_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("gapo-data: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gapo-data", description="History-aware code edits from git histories.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    mining = commands.add_parser("mine", help="turn git repositories into tasks", description=_mine.__doc__)
    mining.add_argument("repos", nargs="+", type=folder, metavar="REPO", help="a git repository on this disk")
    mining.add_argument("--out", required=True, type=Path, help="tasks.parquet, tasks.jsonl or tasks.jsonl.gz")
    mining.add_argument("--lang", type=languages, default=(), metavar="LANG,…", help="only these languages")
    mining.add_argument(
        "--allow-license",
        type=licenses,
        default=(),
        metavar="SPDX,…",
        help=f"only repositories under these licences; 'permissive' stands for {', '.join(PERMISSIVE)}",
    )
    mining.add_argument(
        "--held-out",
        type=names,
        default=(),
        metavar="NAME,…",
        help="repositories, by owner/name, that make test_ood",
    )
    mining.add_argument(
        "--test-share",
        type=share,
        default=Options.test_share,
        metavar="SHARE",
        help="share of each other repository's commits with tasks, the latest, that makes test_id (%(default)s)",
    )
    mining.add_argument("--quiet", action="store_true", help="no progress bar")
    mining.set_defaults(run=_mine)

    show = commands.add_parser("show", help="look at tasks", description=_show.__doc__)
    show.add_argument("source", help=_SOURCE)
    show.add_argument("--id", help="the task of this id")
    show.add_argument("--lang", help="only this language")
    show.add_argument("--start", type=task_count, default=0, help="skip so many tasks (%(default)s)")
    show.add_argument("-n", type=task_count, default=1, help="show so many tasks (%(default)s)")
    show.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="(%(default)s)")
    show.add_argument("--format", choices=("plain", "compact"), help="as a prompt")
    _add_reading(show)
    show.set_defaults(run=_show)

    stats = commands.add_parser("stats", help="count tasks", description=_stats.__doc__)
    stats.add_argument("source", help=_SOURCE)
    stats.add_argument("--picture", type=Path, metavar="FILE", help="draw them too: .png, .svg or .pdf")
    _add_reading(stats)
    stats.set_defaults(run=_stats)
    return parser


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split", choices=SPLITS, help="only this split")
    parser.add_argument("--skip-bad", action="store_true", help="count malformed rows instead of stopping at the first")


def _mine(options: argparse.Namespace) -> None:
    """Mine the histories of repositories; interrupted, the same command goes on where it stopped."""
    for doubt in filter(None, map(license_doubt, options.allow_license)):
        print(f"gapo-data: --allow-license: {doubt}", file=sys.stderr)
    wanted = Options(options.lang, options.allow_license, options.held_out, options.test_share)
    with tqdm(unit=" commits", disable=options.quiet, file=sys.stderr) as bar:
        found = 0

        def progress(name: str, tasks: int) -> None:
            nonlocal found
            found += tasks
            bar.set_postfix_str(f"{name}, {found:,} tasks", refresh=False)
            bar.update()

        try:
            summaries = mine(options.repos, options.out, wanted, progress)
        except KeyboardInterrupt:
            bar.write(f"kept in {options.out}{JOURNAL_SUFFIX}; the same command goes on from there", file=sys.stderr)
            raise
    console = Console()
    for summary in summaries:
        console.print(_summary_table(summary))
    if all(summary.fault for summary in summaries):
        raise UserError("none of the repositories could be mined")
    total = sum(sum(summary.split.values()) for summary in summaries)
    console.print(f"{total:,} tasks in {options.out}", soft_wrap=True, markup=False)
    if not total:
        print(f"gapo-data: no task was found; left out: {_most_left_out(summaries)}", file=sys.stderr)


def _most_left_out(summaries: Sequence[RepositorySummary]) -> str:
    left_out = Counter[str]()
    for summary in summaries:
        left_out.update({what: number for what, number in summary.counts.items() if what not in ("commits", "tasks")})
    return ", ".join(f"{what} ({number:,})" for what, number in left_out.most_common(3))


def _summary_table(summary: RepositorySummary) -> Table:
    title = Text(safe(f"{summary.name}, licence {summary.license or 'not read'}"))
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    if summary.fault:
        table.add_row(Text(safe(summary.fault)), "")
        return table
    kept = sum(summary.split.values())
    counts = dict(summary.counts)
    table.add_row("commits visited", f"{counts.pop('commits', 0):,}")
    table.add_row("tasks found", f"{(found := counts.pop('tasks', 0)):,}")
    table.add_row("  the same as another", f"{found - kept:,}")
    for split, number in summary.split.items():
        table.add_row(f"  in {split}", f"{number:,}")
    table.add_section()
    for what, number in counts.items():
        table.add_row(f"left out, {what}", f"{number:,}")
    return table


def _show(options: argparse.Namespace) -> None:
    """Show tasks as coloured diffs, or as the prompt and completion of a format."""
    bad: list[BadRow] = []
    tasks = (task for task in _read(options, bad) if _is_wanted(task, options))
    console = Console(
        force_terminal={"always": True, "never": False}.get(options.color),
        no_color=True if options.color == "never" else None,
    )
    chosen = list(islice(tasks, options.start, options.start + options.n))
    for task in chosen:
        if options.format:
            form = make_format(options.format)
            _print(form.prompt(task) + form.completion(task))
        else:
            console.print(rendered(task))
    _report(bad)
    if not chosen and options.n:
        raise UserError(f"{options.source}: no such task")


def _print(text: str) -> None:
    """Print to the letter, where rich would expand tabs; a reader such as ``head`` may have seen enough."""
    if sys.stdout.isatty():  # which would obey what the code sends
        text = "\n".join(map(safe, text.split("\n")))
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the flush at the exit would complain
        raise SystemExit(1) from None  # as rich does


def _stats(options: argparse.Namespace) -> None:
    """Count tasks by language, split, size and repository."""
    if options.picture:  # counting may take long
        if not options.picture.suffix:
            raise UserError(f"--picture expects a name that ends in .png, .svg or .pdf, got {options.picture}")
        check_writable("--picture", options.picture)
    bad: list[BadRow] = []
    stats = Stats.of(_read(options, bad))
    if not stats.tasks:
        _report(bad)
        raise UserError(f"{options.source}: no task")
    Console().print(tables(stats))
    if options.picture:
        try:
            draw(stats, options.picture)
        except ValueError as error:  # matplotlib's list of suffixes
            raise UserError(f"--picture {options.picture}: {error}") from error
    _report(bad)


def _read(options: argparse.Namespace, bad: list[BadRow]) -> Iterator[Task]:
    return iter_tasks(options.source, split=options.split, on_bad=bad.append if options.skip_bad else None)


def _is_wanted(task: Task, options: argparse.Namespace) -> bool:
    return (options.id in (None, task.id)) and (options.lang in (None, task.lang))


def _report(bad: list[BadRow]) -> None:
    if bad:
        print(f"gapo-data: {len(bad)} bad rows skipped, the first: {bad[0]}", file=sys.stderr)
