"""Whole runs of the chaos: a standby takes over, a pooler is in between, clocks are apart."""

import json
import subprocess
import sys

import pytest

from benchmarks import clocks, pooler
from benchmarks.chaos import WRONG

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]


def _chaos(*options: str) -> dict[str, object]:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", "--json", "--minutes", "1.5", *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    told: dict[str, object] = json.loads(ran.stdout)
    return told


def _wrong(report: dict[str, object]) -> dict[str, object]:
    return {name: report[name] for name in WRONG if report[name]}


def test_a_synchronous_standby_that_takes_over_loses_and_doubles_nothing() -> None:
    report = _chaos("--standby", "synchronous")
    assert _wrong(report) == {}, json.dumps(report, indent=1)
    assert report["failovers"]
    assert report["last_server_is_known"]


def test_an_asynchronous_standby_that_takes_over_doubles_nothing_and_it_is_noticed() -> None:
    report = _chaos("--standby", "asynchronous")
    assert _wrong(report) == {}, json.dumps(report, indent=1)
    assert report["failovers"]
    assert report["last_server_is_known"]


@pytest.mark.skipif(clocks.library() is None, reason="apt-get install faketime")
def test_processes_whose_clocks_are_90_seconds_apart_agree() -> None:
    report = _chaos("--clocks-apart", "90")
    assert _wrong(report) == {}, json.dumps(report, indent=1)


@pytest.mark.skipif(pooler.PATH is None, reason="apt-get install pgbouncer")
def test_a_pooler_in_transaction_mode_changes_nothing() -> None:
    report = _chaos("--pooler")
    assert _wrong(report) == {}, json.dumps(report, indent=1)
