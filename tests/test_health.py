"""Endpoints for monitoring: alive, ready, metrics; and the log lines of a request."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
import requests
from flask import Flask
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from app import create_app
from config import Config
from db import Sessions
from development.postgres import running_postgres
from development.stack import ROOT
from models.base import Json
from models.outbox import Entry, State
from simulator.testing import SimulatorHandle
from tests.support.firm import new_firm, new_firm_with_lane, new_lead
from tests.support.office import RIVERA, open_office
from tests.support.serving import eventually, serving
from tests.support.visitor import PASSWORD, Visitor, new_person


def test_alive_is_all_that_healthz_says(app: Flask) -> None:
    answer = app.test_client().get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_ready_tells_the_database_the_schema_and_what_waits(app: Flask, sessions: Sessions) -> None:
    with sessions() as session:
        firm, _ = new_firm_with_lane(session)
        session.add(new_lead(firm, "Nobody's business"))
        session.commit()
        session.execute(text("UPDATE outbox SET available_at = now() - interval '90 seconds'"))
        session.commit()
    answer = app.test_client().get("/readyz")
    told = answer.json or {}
    assert answer.status_code == 200
    assert told["status"] == "ready"
    assert (told["database"], told["migrations"], told["waiting"]) == ("ok", "at head", 1)
    assert 90 <= told["oldest_due_seconds"] < 200
    assert "Nobody" not in answer.get_data(as_text=True)


def test_case_s12_strangers_learn_only_whether_we_are_ready(environ: dict[str, str]) -> None:
    app = create_app(Config.from_environ(environ | {"METRICS_TOKEN": "a-long-random-figure-0451"}))
    stranger = app.test_client().get("/readyz", environ_base={"REMOTE_ADDR": "203.0.113.9"})
    assert (stranger.status_code, stranger.json) == (200, {"status": "ready"})
    token = {"Authorization": "Bearer a-long-random-figure-0451"}
    known = app.test_client().get("/readyz", headers=token)
    assert "waiting" in (known.json or {})
    app.extensions["dunahub"].database.dispose()


def test_a_schema_behind_is_not_ready_and_one_ahead_is(app: Flask, sessions: Sessions) -> None:
    def version(name: str) -> int:
        with sessions.begin() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :name"), {"name": name})
        return app.test_client().get("/readyz").status_code

    assert version("0001") == 503
    assert version("9999") == 200  # the next release has migrated, and this one serves on


def test_an_empty_database_is_not_ready(
    environ: dict[str, str], new_database: Callable[[str], str]
) -> None:
    app = create_app(Config.from_environ(environ | {"DATABASE_URL": new_database("template0")}))
    answer = app.test_client().get("/readyz")
    assert answer.status_code == 503
    assert "no schema" in answer.get_data(as_text=True)
    app.extensions["dunahub"].database.dispose()


def test_without_a_database_the_answer_is_clear_and_alive_stays_alive(
    environ: dict[str, str], tmp_path: Path
) -> None:
    url = make_url(environ["DATABASE_URL"]).set(query={"host": str(tmp_path)})
    away = environ | {"DATABASE_URL": url.render_as_string(hide_password=False)}
    app = create_app(replace(Config.from_environ(environ), database_url=away["DATABASE_URL"]))
    client = app.test_client()
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert (answer.json or {})["problems"] == ["The database does not answer."]
    figures = client.get("/metrics").get_data(as_text=True)
    assert "dunahub_database_up 0.0" in figures
    assert client.get("/sign-in").status_code in (200, 500)


def test_a_database_that_takes_no_writes_is_not_ready_and_says_why(app: Flask) -> None:
    """As with a full disk. Here the database is told to refuse."""
    database = app.extensions["dunahub"].database
    with database.begin() as connection:
        name = database.url.database
        connection.execute(text(f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC'))

    @event.listens_for(database, "begin")
    def read_only(connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL role = pg_read_all_data")

    answer = app.test_client().get("/readyz")
    told = answer.json or {}
    assert answer.status_code == 503
    assert told["database"] == "takes no writes"
    assert "InsufficientPrivilege" in told["problems"][0]
    assert app.test_client().get("/healthz").status_code == 200


def test_a_page_that_fails_with_the_database_is_a_page_all_the_same(
    app: Flask, session: Session
) -> None:
    firm = new_firm(session)
    new_person(session, firm, "ana@rivera.example")
    ana = Visitor(app).sign_in("ana@rivera.example")
    token = ana.token()
    away: list[object] = []

    @event.listens_for(app.extensions["dunahub"].database, "before_cursor_execute")
    def refuse(*told: object) -> None:
        if away or "INSERT INTO leads" in str(told[2]):
            away.append(told[2])
            raise OSError("no space left on device")

    answer = ana.client.post("/leads", data={"name": "Kim", "csrf_token": token})
    assert answer.status_code == 500
    page = answer.get_data(as_text=True)
    assert "Something went wrong" in page
    assert answer.headers["X-Request-Id"] in page


# --- Figures --------------------------------------------------------------------------------------


def test_figures_are_for_this_machine_only(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/metrics").status_code == 200
    away = app.test_client()
    away.environ_base["REMOTE_ADDR"] = "203.0.113.9"
    assert away.get("/metrics").status_code == 404
    through_a_proxy = {"X-Forwarded-For": "203.0.113.9"}
    assert client.get("/metrics", headers=through_a_proxy).status_code == 404


def test_figures_are_for_whoever_has_the_token(environ: dict[str, str]) -> None:
    app = create_app(Config.from_environ(environ | {"METRICS_TOKEN": "a-long-random-figure-0451"}))
    client = app.test_client()
    client.environ_base["REMOTE_ADDR"] = "203.0.113.9"
    for given, status in (
        ("", 404),
        ("Bearer wrong", 404),
        ("Bearer a-long-random-figure-0451é", 404),
        ("Bearer a-long-random-figure-0451", 200),
    ):
        assert client.get("/metrics", headers={"Authorization": given}).status_code == status
    app.extensions["dunahub"].database.dispose()


def test_figures_tell_how_it_goes_and_name_nobody(
    app: Flask, config: Config, simulator: SimulatorHandle
) -> None:
    sessions = app.extensions["dunahub"].sessions
    with sessions() as session:
        office = open_office(sessions, config, simulator, session)
        office.connect()
        office.save(new_lead(office.firm, "Green Lawn Co", email="kim@greenlawn.example"))
        office.drain()
        simulator.fault(match={"method": "POST", "path": "/v3/"}, do={"status": 429})
        office.save(new_lead(office.firm, "Second Co"))
        office.drain()
    told = app.test_client().get("/metrics").get_data(as_text=True)
    for line in (
        'dunahub_outbox_waiting_entries{lane="open"} 1.0',
        'dunahub_outbox_lanes{state="open"} 1.0',
        'dunahub_outbox_lanes_paused{reason="throttled"} 1.0',
        'dunahub_quickbooks_connections{status="connected"} 1.0',
        "dunahub_database_up 1.0",
    ):
        assert line in told, line
    for name in (
        'dunahub_outbox_answers_total{class="throttled"}',
        'dunahub_outbox_outcomes_total{outcome="synced"}',
        'dunahub_outbox_delay_seconds_bucket{le="1.0"}',
        "dunahub_outbox_late_results_total",
        "dunahub_outbox_forgotten_waiters_total",
        "dunahub_outbox_calls_ahead_seconds",
        "dunahub_outbox_oldest_due_seconds",
    ):
        assert name in told, name
    for private in ("Green", "greenlawn", "Rivera", RIVERA):
        assert private not in told


@pytest.fixture
def two_workers(
    environ: dict[str, str], sessions: Sessions, simulator: SimulatorHandle, tmp_path: Path
) -> Iterator[tuple[str, Path]]:
    with sessions() as session:
        config = Config.from_environ(environ)
        open_office(sessions, config, simulator, session).connect()
    with serving(environ, tmp_path, "--workers=2") as served:
        yield served.url, served.log


def test_two_workers_tell_one_sum_and_a_request_is_traced_to_quickbooks(
    two_workers: tuple[str, Path], sessions: Sessions
) -> None:
    url, log = two_workers
    _write_lead(url, "Traced Co", "trace-of-this-test-1")
    eventually(lambda: _synced(sessions) == 1)
    [captured] = [line for line in _events(log, "captured") if "trace" in str(line["request"])]
    assert captured["request"] == "trace-of-this-test-1"
    [answered] = [
        line for line in _events(log, "answered") if captured["entries"][0] in line["entries"]
    ]
    assert answered["answer"] == "ok"
    with sessions() as session:
        known = session.execute(text("SELECT request_id, trace_id FROM outbox_dispatches")).one()
    assert (answered["requestid"], answered["intuit_tid"]) == tuple(known)
    assert known.trace_id
    request = next(
        line for line in _events(log, "request") if line["request"] == "trace-of-this-test-1"
    )
    assert (request["route"], request["method"], request["status"]) == ("/leads", "POST", 303)
    assert "Traced" not in log.read_text()
    # Whichever worker answers, it tells the same sum.
    sums = {_figure(url, 'dunahub_outbox_answers_total{class="ok"}') for _ in range(10)}
    assert sums == {1.0}


def test_a_database_that_goes_away_and_comes_back_heals_by_itself(
    environ: dict[str, str], tmp_path: Path
) -> None:
    life = ExitStack()
    folder = Path(life.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))) / "postgres"
    with life, running_postgres(folder, throwaway=True) as server:
        url = server.url()
        subprocess.run(
            [sys.executable, "-m", "alembic", "upgrade", "head"],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": url},
            check=True,
            capture_output=True,
        )
        with serving(environ | {"DATABASE_URL": url}, tmp_path) as served:
            assert requests.get(f"{served.url}/readyz", timeout=10).status_code == 200
            postgres = psutil.Process(server.pid)
            postgres.send_signal(signal.SIGINT)  # ends every connection, too
            postgres.wait(30)
            eventually(lambda: _ready(served.url) == 503)
            assert requests.get(f"{served.url}/healthz", timeout=10).status_code == 200
            assert served.log_lines("looking for due lanes failed") or served.log_lines("not ready")
            with running_postgres(folder, throwaway=True):
                eventually(lambda: _ready(served.url) == 200)


def _synced(sessions: Sessions) -> int:
    with sessions() as session:
        return session.query(Entry).filter(Entry.state == State.SYNCED).count()


def _ready(url: str) -> int:
    return requests.get(f"{url}/readyz", timeout=20).status_code


def _write_lead(url: str, name: str, reference: str) -> None:
    """As a person would, through a proxy that names its requests."""
    with requests.Session() as person:
        token = _token(person.get(f"{url}/sign-in", timeout=10))
        who = {"email": "ana@rivera.example", "password": PASSWORD, "csrf_token": token}
        person.post(f"{url}/sign-in", data=who, timeout=10).raise_for_status()
        token = _token(person.get(f"{url}/leads/new", timeout=10))
        saved = person.post(
            f"{url}/leads",
            data={"name": name, "csrf_token": token},
            headers={"X-Request-Id": reference},
            allow_redirects=False,
            timeout=10,
        )
    assert saved.status_code == 303, saved.text
    assert saved.headers["X-Request-Id"] == reference


def _token(page: requests.Response) -> str:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def _events(log: Path, event: str) -> list[Json]:
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    return [told for told in map(json.loads, lines) if told.get("event") == event]


def _figure(url: str, name: str) -> float:
    told = requests.get(f"{url}/metrics", timeout=10).text
    return float(next(line for line in told.splitlines() if line.startswith(name)).split()[-1])
