import io
import math

from rich.console import Console

from gapo_trainer.progress import SHOWN, ProgressView

ROW = {key: 0.25 for _, key, _ in SHOWN}


def test_a_run_that_nobody_watches_prints_some_lines_and_the_last():
    out = io.StringIO()
    with ProgressView(100, 0, Console(file=out)) as view:
        for step in range(1, 101):
            view.show(step, ROW | {"kl": math.nan})
    lines = out.getvalue().splitlines()
    assert len(lines) == 20
    assert lines[-1].startswith("step 100/100  reward 0.250  EM 0.250")
    assert "KL" not in lines[-1]  # there was no reference


def test_a_terminal_sees_every_number_of_the_latest_step():
    out = io.StringIO()
    with ProgressView(3, 1, Console(file=out, force_terminal=True, width=160)) as view:
        view.show(2, ROW | {"reward": 0.777})
    shown = out.getvalue()
    assert "0.777" in shown
    assert all(heading in shown for heading, _, _ in SHOWN)
    assert "2/3" in shown


def test_other_ranks_are_silent(capsys):
    with ProgressView(3, 0, None) as view:
        view.show(1, ROW)
    assert capsys.readouterr().out == ""
