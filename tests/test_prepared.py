"""Statements that are planned once for each connection: where that is safe, and what ends it."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

import db
from benchmarks import pooler
from config import Config
from db import Sessions, make_engine, make_sessions
from models.outbox import Entry, State
from outbox import looks, waves
from outbox.capture import attach
from outbox.poller import drain_lane
from quickbooks.delivery import QuickBooks
from simulator.testing import SimulatorHandle
from tests.support.connected import connect, drain, firm_of, new_owner
from tests.support.firm import new_lead

ASKED = {"lanes": [], "since": [], "late": timedelta(0)}  # of a look


def look(connection: Connection) -> None:
    connection.execute(looks._LOOK, ASKED).all()


def look_twice(connection: Connection) -> None:
    """The first is sent as it is."""
    look(connection)
    look(connection)


def kept(connection: Connection) -> dict[str, int]:
    """What this connection has prepared, and how often each was executed so."""
    rows = connection.execute(text("SELECT name, generic_plans FROM pg_prepared_statements"))
    return {row.name.rpartition("_")[0]: row.generic_plans for row in rows}


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


def test_a_statement_is_prepared_at_its_second_execution(connection: Connection) -> None:
    look(connection)
    assert kept(connection) == {}
    look(connection)
    look(connection)
    assert kept(connection) == {"look": 2}
    assert connection.scalar(text("SHOW plan_cache_mode")) == "force_generic_plan"


def test_each_connection_prepares_for_itself(engine: Engine) -> None:
    with engine.connect() as one, engine.connect() as another:
        look_twice(one)
        assert kept(another) == {}
        look_twice(another)
        assert kept(another) == {"look": 1}


def test_a_statement_that_failed_is_still_known_to_be_prepared(engine: Engine) -> None:
    with engine.connect() as connection:
        for _ in range(2):
            with suppress(SQLAlchemyError):
                connection.execute(looks._LOOK, {**ASKED, "late": "no interval"})
            connection.rollback()
        look(connection)
        assert kept(connection) == {"look": 1}


def test_a_statement_that_could_not_be_prepared_is_prepared_later(engine: Engine) -> None:
    """Also at its fourth execution, when what was prepared is made anew."""
    with engine.connect() as connection, engine.connect() as another:
        for before in (1, 3):
            for _ in range(before):
                look(connection)
            connection.rollback()
            another.execute(text("LOCK TABLE outbox"))
            connection.execute(text("SET LOCAL lock_timeout = 1"))
            with suppress(SQLAlchemyError):
                look(connection)
            connection.rollback()
            another.rollback()
            look(connection)
            assert kept(connection) == {"look": 1}
            connection.rollback()
            connection.info.clear()
            connection.execute(text("DEALLOCATE ALL"))


def test_a_plan_made_for_an_empty_table_does_not_last(
    session: Session, connection: Connection
) -> None:
    """Reading all of a table is right only while that is a page or two."""
    plans = text("SELECT prepare_time FROM pg_prepared_statements")
    made = []
    for _ in range(20):
        look(connection)
        made.append(connection.scalar(plans))
    assert [number + 1 for number in range(1, 20) if made[number] != made[number - 1]] == [2, 4, 16]


@pytest.mark.parametrize(
    "blow", ["DISCARD ALL", "DEALLOCATE ALL", "ALTER TABLE outbox ADD COLUMN more integer"]
)
def test_what_is_no_longer_prepared_is_the_databases_trouble_once(
    engine: Engine, connection: Connection, blow: str
) -> None:
    """A pooler that looked like the server, or a migration while we serve."""
    asked = {"lane": 1, "old": timedelta(1), "resend_after": timedelta(1)}
    with engine.connect() as other:
        for _ in range(2):
            connection.execute(waves._LOAD[1], asked)
            other.execute(waves._LOAD[1], asked)
        other.rollback()
        connection.execute(text(blow))
        with pytest.raises(db.DATABASE_ERRORS):
            connection.execute(waves._LOAD[1], asked)
        assert connection.invalidated
    for _ in range(2):
        with engine.connect() as again:
            for _ in range(2):
                again.execute(waves._LOAD[1], asked)
            assert bool(kept(again)) is blow.startswith("ALTER")


def test_what_another_has_prepared_under_our_name_ends_preparing(engine: Engine) -> None:
    with engine.connect() as connection:
        look_twice(connection)
        connection.info.clear()  # as if it were another one, lent by a pooler that we didn't see
        with pytest.raises(db.DATABASE_ERRORS):
            look_twice(connection)
    with engine.connect() as again:
        look_twice(again)
        assert kept(again) == {}


def test_a_new_connection_after_a_lost_one_prepares_again(engine: Engine) -> None:
    with engine.connect() as connection:
        look_twice(connection)
        with suppress(*db.DATABASE_ERRORS):
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    with engine.connect() as again:
        look_twice(again)
        assert kept(again) == {"look": 1}


def test_a_record_is_sent_although_a_migration_changed_its_tables(
    session: Session, sessions: Sessions, config: Config, simulator: SimulatorHandle
) -> None:
    owner = new_owner(session)
    lane = connect(sessions, config, owner).lane_id
    for name in ("Olivia Hart", "Ivy Moss", "Max Ong"):
        drain(sessions, config, lane)
        session.add(new_lead(firm_of(owner), name))
        session.commit()
    drain(sessions, config, lane)
    session.execute(text("ALTER TABLE outbox ADD COLUMN more integer"))
    session.add(new_lead(firm_of(owner), "Bo Diaz"))
    session.commit()
    company = QuickBooks(sessions, config)
    for _ in range(2):  # the first is refused, and hands the lane back; five seconds later in life
        with suppress(*db.DATABASE_ERRORS):
            drain_lane(sessions, company, lane, config, threading.Event())
        session.execute(text("UPDATE outbox_lanes SET lease_until = NULL"))
        session.commit()
    assert {entry.state for entry in session.query(Entry)} == {State.SYNCED}


@pytest.mark.skipif(pooler.PATH is None, reason="apt-get install pgbouncer")
def test_behind_a_pooler_nothing_is_prepared(
    database_url: str, open_folder: Path, session: Session, config: Config,
    simulator: SimulatorHandle,
) -> None:  # fmt: skip
    open_folder.chmod(0o755)  # the account of PostgreSQL has to come through
    with pooler.running_pooler(database_url, open_folder / "pooler") as url:
        engine = make_engine(url)
        sessions = make_sessions(engine)
        attach(sessions)
        owner = new_owner(session)
        lane = connect(sessions, config, owner).lane_id
        with sessions.begin() as pooled:
            pooled.add(new_lead(firm_of(owner), "Olivia Hart"))
        drain(sessions, config, lane)
        with engine.connect() as one, engine.connect() as another:  # at once, so two of the server
            for connection in (one, another):
                look_twice(connection)
                assert kept(connection) == {}
        engine.dispose()
    assert {entry.state for entry in session.query(Entry)} == {State.SYNCED}
