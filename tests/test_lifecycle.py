"""Processes: when the engine starts and stops, and what several of them do to one outbox."""

import os
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select

from config import Config
from db import Sessions
from development.browser import Browser
from development.demo import connect, sign_in
from development.seed import seed_once
from development.stack import ROOT
from models.accounts import Organization
from models.outbox import DispatchItem, Entry, Lane, State
from models.sales import Lead
from outbox.scheduler import Engine, Job, for_a_while
from simulator.seed import OAK, RIVERA
from simulator.testing import SimulatorHandle
from tests.support.ledger import Ledger
from tests.support.serving import eventually, serving

FIRMS = (
    ("ana@rivera.example", "Rivera Plumbing LLC", RIVERA),
    ("carla@oakhvac.example", "Oak HVAC Inc", OAK),
)
TWO_WORKERS = ("--workers=2", "--threads=4")


def test_nothing_starts_on_import_or_in_create_app(environ: dict[str, str]) -> None:
    names = "', '.join(thread.name for thread in threading.enumerate())"
    done = _python(environ, "-c", f"import app, threading; app.create_app(); print({names})")
    assert done.stdout.splitlines()[-1] == "MainThread"


@pytest.mark.parametrize("command", ["outbox status", "routes"])
def test_no_command_starts_the_engine(command: str, environ: dict[str, str]) -> None:
    done = _python(environ, "-m", "flask", "--app", "app", *command.split())
    assert "engine started" not in done.stdout + done.stderr


@pytest.mark.parametrize("options", [(), ("--preload",)])
def test_each_worker_starts_one_engine_after_the_fork(
    options: tuple[str, ...], environ: dict[str, str], tmp_path: Path
) -> None:
    with serving(environ, tmp_path, *TWO_WORKERS, *options) as served:
        eventually(lambda: len(served.log_lines("engine started")) >= 2)
        workers = {process.pid for process in served.workers()}
        assert served.terminate() == 0
    started = served.log_lines("engine started")
    assert len(started) == 2
    assert {pid for pid in workers for line in started if f'"pid": {pid}' in line} == workers


def test_jobs_that_wait_for_intuit_keep_no_other_job_waiting(
    sessions: Sessions, config: Config
) -> None:
    answered, looked = threading.Event(), threading.Event()
    often = timedelta(milliseconds=50)
    asking = [Job(f"ask {n}", often, lambda: answered.wait(30), asks_others=True) for n in range(4)]
    engine = Engine(sessions, Ledger(), config, [*asking, Job("look", often, looked.set)])
    engine.start()
    try:
        while_they_wait = []
        for _ in range(3):
            looked.clear()
            while_they_wait.append(looked.wait(10))
        assert while_they_wait == [True] * 3
    finally:
        answered.set()
        engine.stop()


def test_one_company_whose_job_breaks_keeps_no_other_from_its_own() -> None:
    def read(connection_id: int) -> bool:
        if connection_id == 2:
            raise ValueError("an answer like no other")
        return connection_id != 3

    assert for_a_while([1, 2, 3, 4], read) == 2


def test_every_job_that_waits_for_others_says_so(app: Flask) -> None:
    jobs = app.extensions["dunahub"]._jobs()
    assert {job.name for job in jobs if job.asks_others} == {
        "revoke", "disconnect", "keep-alive", "facts", "customers", "directory", "compare",
        "contradictions", "letters",
    }  # fmt: skip


def test_two_workers_never_send_an_entry_twice(
    environ: dict[str, str], sessions: Sessions, simulator: SimulatorHandle, tmp_path: Path
) -> None:
    """Rule 7. Both workers serve people of both firms, so that both are woken for both lanes."""
    _connect_two_firms(environ, tmp_path)
    with serving(environ, tmp_path, *TWO_WORKERS) as served, ThreadPoolExecutor(6) as people:
        writing = [people.submit(_write_leads_by_hand, served.url, n, 10) for n in range(6)]
        for person in writing:
            person.result()
        eventually(lambda: _synced(sessions) == 60, lambda: _states(sessions))
    _judge_books(sessions, simulator, leads=30)


def test_a_term_in_the_midst_of_work_leaves_nothing_half_done(
    environ: dict[str, str], sessions: Sessions, simulator: SimulatorHandle, tmp_path: Path
) -> None:
    """Rule 10."""
    _connect_two_firms(environ, tmp_path)
    for _email, _name, realm_id in FIRMS:
        simulator.company(realm_id, latency=0.1)
    for round_ in range(1, 4):
        with serving(environ, tmp_path, *TWO_WORKERS) as served:
            _write_leads(sessions, 12)
            eventually(lambda: _synced(sessions) >= 3 * round_, lambda: _states(sessions))  # noqa: B023
            # More than goes in one go: by QuickBooks' limits the fourth batch waits for seconds.
            _write_leads(sessions, 6 if round_ < 3 else 100)
            assert served.terminate() == 0
        assert _open_items(sessions) == 0
        assert _leased_lanes(sessions) == 0
    assert _pending(sessions) > 0
    with serving(environ, tmp_path, *TWO_WORKERS):
        eventually(lambda: _pending(sessions) == 0, lambda: _states(sessions))
    _judge_books(sessions, simulator, leads=148)


def _python(environ: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
    )


# --- Arranging ----------------------------------------------------------------------------------


def _connect_two_firms(environ: dict[str, str], folder: Path) -> None:
    """Two firms whose owners went through the consent page."""
    seed_once(environ["DATABASE_URL"])
    with serving(environ, folder) as served:
        for email, _name, realm_id in FIRMS:
            browser = Browser(served.url)
            sign_in(browser, email)
            assert connect(browser, realm_id) == realm_id
            browser.close()


def _write_leads(sessions: Sessions, each: int) -> None:
    """Written by a process without an engine: nobody is woken, and both workers go looking."""
    with sessions() as session:
        for _email, name, _realm_id in FIRMS:
            firm_id = session.scalars(select(Organization.id).filter_by(name=name)).one()
            known = session.scalar(select(func.count()).where(Lead.organization_id == firm_id))
            session.add_all(
                Lead(organization_id=firm_id, name=f"Customer {(known or 0) + number}")
                for number in range(each)
            )
            session.commit()


def _write_leads_by_hand(address: str, person: int, count: int) -> None:
    browser = Browser(address)
    sign_in(browser, FIRMS[person % 2][0])
    for number in range(count):
        browser.open("/leads/new")
        browser.submit({"name": f"Customer {person}.{number}"}, press="Save")
    browser.close()


# --- Judging ------------------------------------------------------------------------------------


def _pending(sessions: Sessions) -> int:
    with sessions() as session:
        return session.scalar(select(func.count()).where(Entry.state == State.PENDING)) or 0


def _synced(sessions: Sessions) -> int:
    with sessions() as session:
        return session.scalar(select(func.count()).where(Entry.state == State.SYNCED)) or 0


def _open_items(sessions: Sessions) -> int:
    with sessions() as session:
        return session.scalar(select(func.count()).where(DispatchItem.outcome.is_(None))) or 0


def _leased_lanes(sessions: Sessions) -> int:
    with sessions() as session:
        leased = Lane.lease_until > func.clock_timestamp()
        return session.scalar(select(func.count(Lane.id)).where(leased)) or 0


def _states(sessions: Sessions) -> Counter[tuple[str, str | None]]:
    with sessions() as session:
        rows = session.execute(select(Entry.state, Entry.fault_code))
        return Counter((state, fault_code) for state, fault_code in rows)


def _judge_books(sessions: Sessions, simulator: SimulatorHandle, *, leads: int) -> None:
    """Each lead is one customer, and no request that wrote was ever sent a second time."""
    assert set(_states(sessions)) == {(State.SYNCED, None)}
    for _email, _name, realm_id in FIRMS:
        customers = simulator.books(realm_id)["Customer"]
        names = [one["DisplayName"] for one in customers]
        written = [name for name in names if str(name).startswith("Customer ")]
        assert len(written) == len(set(written)) == leads
    writes = [entry for entry in simulator.journal() if entry["requestid"]]
    assert Counter(entry["requestid"] for entry in writes).most_common(1)[0][1] == 1
