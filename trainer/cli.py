"""``gapo-train``: run, eval, report, compare."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers.utils import logging as transformers_logging

from gapo_trainer.config import DAPO, Config, load_config
from gapo_trainer.errors import UserError, in_a_line
from gapo_trainer.progress import tell
from gapo_trainer.runlog import CONFIG, check_run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 for an error told in one line, 130 when interrupted."""
    parser = _parser()
    args, behind = parser.parse_known_args(arguments)
    if any(text.startswith("-") for text in behind) or (behind and "settings" not in args):
        parser.error(f"unrecognized arguments: {' '.join(behind)}")
    if behind:  # argparse takes them from one place only: these stand behind an option that follows other settings
        args.settings = [*args.settings, *behind]
    transformers_logging.disable_progress_bar()
    try:
        args.command(args, Console())
    except (UserError, OSError) as error:  # the latter: a full disk, a read-only folder
        line = f"gapo-train: {in_a_line(error)}"
        Console(stderr=True).print(line, style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        Console(stderr=True).print("gapo-train: interrupted; a run goes on with gapo-train run --resume FOLDER")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gapo-train", description="Train a language model on groups of completions.")
    commands = parser.add_subparsers(required=True, metavar="command")

    run = _command(commands, "run", _run, "train; without arguments: the embedded policy, in minutes on a CPU")
    run.add_argument("--resume", type=Path, metavar="FOLDER", help="go on with the run in this folder")
    _add_settings(run)

    report = _command(commands, "report", _report, "write one HTML page that compares runs")
    report.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs")
    report.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE")

    evaluate = _command(commands, "eval", _eval, "score a policy on evaluation tasks, greedily and sampled")
    evaluate.add_argument("--answers", type=Path, metavar="FILE", help="write every answer to this JSON Lines file")
    _add_settings(evaluate)

    compare = _command(commands, "compare", _compare, "train the same recipe with several estimators and seeds")
    compare.add_argument("--estimators", default="gapo,grpo", help="names, with commas; also dapo and NAME+dapo")
    compare.add_argument("--out", type=Path, metavar="FOLDER", help="of all the runs (default: runs/compare)")
    compare.add_argument("--seeds", type=int, default=3, help="runs of each (default: 3)")
    compare.add_argument("--reward-noise", type=float, help="share of rewards replaced by an outlier")
    _add_settings(compare, dapo=False)
    return parser


def _command(commands: Any, name: str, function: Callable[..., None], what: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=what, description=what)
    parser.set_defaults(command=function)
    return parser


def _add_settings(parser: argparse.ArgumentParser, dapo: bool = True) -> None:
    parser.add_argument("settings", nargs="*", metavar="name=value", help="settings, stronger than the file's")
    parser.add_argument("--config", type=Path, metavar="FILE", help="a YAML file of settings")
    if dapo:
        parser.add_argument("--dapo", action="store_true", help=f"DAPO's options: {DAPO}")
    source = inspect.getsource(Config)  # the one place where names, defaults and what they mean stand
    settings = source.split('"""')[2].partition("    def ")[0].replace(" = TAU", f" = {Config.tau}")
    parser.epilog = "settings:\n" + settings
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def _settings(args: argparse.Namespace, file: Path | None) -> Config:
    return load_config(file, args.settings, **(DAPO if args.dapo else {}))


def _run(args: argparse.Namespace, console: Console) -> None:
    from gapo_trainer.run import run

    if args.resume and args.config:
        raise UserError(f"--resume goes on with the settings of {args.resume}, and name=value; leave out --config")
    if args.resume:
        check_run("--resume expects the folder of a run", args.resume)
    run(_settings(args, args.resume / CONFIG if args.resume else args.config), args.resume, console)


def _eval(args: argparse.Namespace, console: Console) -> None:
    from gapo_trainer.eval_command import evaluate_command

    evaluate_command(_settings(args, args.config), args.answers, console)


def _compare(args: argparse.Namespace, console: Console) -> None:
    from gapo_trainer.compare import compare

    named = {setting.partition("=")[0].strip() for setting in args.settings}
    for name in ("estimator", "seed"):
        if name in named:
            raise UserError(f"compare sets {name} for each run: give --{name}s, not {name}=")
    options = {"reward_noise": args.reward_noise, "out": args.out and str(args.out)}
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name in named:
            raise UserError(f"compare takes {name} once: --{name.replace('_', '-')} or {name}=, not both")
    config = load_config(args.config, args.settings, defaults={"out": "runs/compare"}, **given)
    compare(config, [name.strip() for name in args.estimators.split(",")], args.seeds, console)


def _report(args: argparse.Namespace, console: Console) -> None:
    from gapo_trainer.report.page import write_report

    write_report(args.runs, args.out)
    tell(console, f"report: {args.out}")


if __name__ == "__main__":
    status = main()

    from gapo_trainer import ranks  # by now imported, where there was work to do

    if ranks.started_by_torchrun():
        ranks.leave(status)
    sys.exit(status)
