"""Options of the benchmark: which table, how long a case, how many turns; ``bench/run_cpu.py`` gives them."""

from __future__ import annotations

import pytest

from bench.tables import SECONDS, SMALL, TABLES, cases


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("op benchmark")
    group.addoption("--table", action="append", choices=TABLES, help="a table to measure; all of them if not given")
    group.addoption("--small", action="store_true", help="small shapes, to rehearse")
    group.addoption("--seconds", type=float, default=SECONDS, help="of measuring, a case and turn")
    group.addoption("--turns", type=int, default=1, help="how often the tables are gone through")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    option = metafunc.config.getoption
    tables = SMALL if option("--small") else TABLES
    chosen = [case for name in option("--table") or tables for case in cases(name, tables[name])]
    every = [(turn, case) for turn in range(option("--turns")) for case in chosen]
    metafunc.parametrize(("turn", "case"), every, ids=[f"{case.table}-{case}-turn{turn}" for turn, case in every])
