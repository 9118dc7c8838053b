"""A failover that leaves pooled connections at the old primary, which takes no writes any more.

Two real servers: the second follows the first and takes over, the address leads to the second, and
the first lives on, read-only, as behind many a managed database.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import InternalError

from app import create_app
from benchmarks.standby import Pair
from config import Config
from db import Sessions, make_engine, make_sessions
from development.database import migrate
from outbox import servers
from outbox.capture import attach
from outbox.poller import drain_lane
from outbox.scheduler import Engine as Outbox
from tests.support.firm import new_firm_with_lane, new_lead, states
from tests.support.ledger import Ledger
from tests.support.visitor import PASSWORD, Visitor, new_person
from tests.test_time_and_blame import wait_until

ANA = "ana@rivera.example"
TRIES = 5


@pytest.fixture
def pair(open_folder: Path) -> Iterator[Pair]:
    open_folder.chmod(0o755)
    pair = Pair(open_folder / "pair", synchronous=True)
    pair.start()
    try:
        migrate(pair.url)
        yield pair
    finally:
        pair.stop()


@contextmanager
def pool_at(pair: Pair) -> Iterator[Sessions]:
    """Sessions of a process whose whole pool leads to the primary of now."""
    engine = make_engine(pair.url)
    _fill(engine)
    sessions = make_sessions(engine)
    attach(sessions, wake=None)
    yield sessions
    engine.dispose()


def _fill(engine: Engine) -> None:
    connections = [engine.connect() for _ in range(10)]
    for connection in connections:
        connection.close()


def refusals(act: Callable[[], object]) -> int:
    """How often it is refused before it works, and then goes on working."""
    refused = 0
    for _ in range(TRIES):
        try:
            act()
        except InternalError:
            refused += 1
    return refused


@pytest.mark.timeout(400)  # on a busy machine two servers alone take a minute
def test_case_r20_each_place_that_writes_leaves_a_read_only_server(
    pair: Pair, config: Config
) -> None:
    config = replace(config, database_url=pair.url)
    app, another = create_app(config), create_app(config)
    ledger = Ledger()
    with (
        pool_at(pair) as saving,
        pool_at(pair) as draining,
        pool_at(pair) as noticing,
        pool_at(pair) as looking,
    ):
        firm, lane = _firm(saving)
        for one in (app, another):
            _fill(one.extensions["dunahub"].database)
        ana = Visitor(app).sign_in(ANA)
        outbox = Outbox(looking, ledger, config)
        outbox.start()
        old = pair.primary
        pair.hand_over()
        try:
            # A page that saves: one person is told that it was not saved, once.
            answers = [_save_a_lead(ana, number) for number in range(TRIES)]
            assert answers == [500, *[200] * (TRIES - 1)]
            # Somebody who signs in.
            first, second = (
                Visitor(another).open("/sign-in").submit({"email": ANA, "password": PASSWORD})
                for _ in range(2)
            )
            assert first.status == 500
            assert (second.status, second.open("/leads").status) == (200, 200)
            # A session that captures.
            assert refusals(lambda: _capture(saving, firm)) == 1
            # A drainer that leases, and what the engine knows of the server.
            stopping = threading.Event()
            assert refusals(lambda: drain_lane(draining, ledger, lane, config, stopping)) == 1
            assert refusals(lambda: _notice(noticing)) == 1
            # The poller of a process that was not told of anything.
            with pool_at(pair) as fresh, fresh() as session:
                wait_until(lambda: set(states(session)) == {"synced"}, 120)
            assert old.ask("SELECT count(*) FROM leads") == 0
        finally:
            outbox.stop()
            for one in (app, another):
                one.extensions["dunahub"].database.dispose()
            old.die()


def _firm(sessions: Sessions) -> tuple[int, int]:
    with sessions() as session:
        firm, lane = new_firm_with_lane(session)
        new_person(session, firm, ANA)
        return firm, lane


def _save_a_lead(ana: Visitor, number: int) -> int:
    return ana.open("/leads/new").submit({"name": f"Client {number}"}).status


def _capture(sessions: Sessions, firm: int) -> None:
    with sessions() as session:
        session.add(new_lead(firm))
        session.commit()


def _notice(sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(text("UPDATE database_server SET server = server"))
        servers.notice_change(session)
