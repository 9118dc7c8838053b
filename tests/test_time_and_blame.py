"""Time is steady, and an entry is only blamed for processes that died with it."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InternalError
from sqlalchemy.orm import Session

import db
from config import Config
from db import Sessions
from outbox import lanes
from outbox.company import Answer, Hold, Reading, Sent
from outbox.dispatches import next_dispatch
from outbox.scheduler import Engine
from outbox.settle import settle
from tests.support.drains import drain, make_due
from tests.support.firm import entries_of, lane_of, new_firm_with_lane, new_lead, states
from tests.support.ledger import Ledger


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


# --- Holds name the sign-in they are about --------------------------------------------------------


@pytest.mark.parametrize("certain", [True, False])
def test_case_e09_a_refusal_of_an_old_sign_in_holds_no_new_one(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config, certain: bool
) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    claim = lanes.lease_lane(sessions, lane, config.lease)
    assert claim
    sent = next_dispatch(sessions, claim, ledger, config)
    assert isinstance(sent, Sent)
    with sessions.begin() as own:
        lanes.hold(own, lane, "signed_out")
    with sessions.begin() as own:  # the owner reconnects while the call is out
        lanes.reopen(own, lane)
    late = Reading(trouble=Hold("signed_out", certain=certain), taken=False)
    assert settle(sessions, claim, sent, Answer(401), late) is not None
    found = lane_of(session, lane)
    assert (found.state, found.hold_reason, found.hold_suspected) == ("open", None, None)
    make_due(session)
    drain(sessions, ledger, lane, config)
    assert states(session) == ["synced"]


# --- Only a process that died counts --------------------------------------------------------------


@pytest.fixture
def impatient(sessions: Sessions) -> Iterator[Sessions]:
    """Its statements wait a moment for a lock, and no longer."""
    engine = db.make_engine(sessions.kw["bind"].url.render_as_string(hide_password=False))
    with engine.begin() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f"ALTER DATABASE {name} SET lock_timeout = '50ms'"))
    engine.dispose()
    yield db.make_sessions(engine)
    engine.dispose()


@pytest.mark.parametrize("table", ["outbox_dispatches", "outbox_dispatch_items", "outbox"])
def test_case_e10_a_locked_table_is_no_entrys_crash(
    session: Session, sessions: Sessions, impatient: Sessions, ledger: Ledger, config: Config,
    table: str,
) -> None:  # fmt: skip
    firm, lane = new_firm_with_lane(session)
    session.add_all([new_lead(firm, f"Lead {number}") for number in range(5)])
    session.commit()
    with sessions() as other:
        other.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        for _ in range(25):
            with suppress(DBAPIError):
                drain(impatient, ledger, lane, config)
            with sessions.begin() as own:
                own.execute(
                    text("UPDATE outbox_lanes SET lease_until = NULL, pause_until = NULL,"
                         " pause_reason = NULL")
                )  # fmt: skip
        other.rollback()
    assert lane_of(session, lane).claims_unsettled == 0
    make_due(session)
    drain(impatient, ledger, lane, config)
    assert states(session) == ["synced"] * 5
    assert [len(call.items) for call in ledger.calls] == [5]


def test_case_e10_a_repeat_that_the_database_kept_from_going_is_no_crash(
    session: Session, sessions: Sessions, impatient: Sessions, ledger: Ledger, config: Config
) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    ledger.fail = lambda _sent: Answer(504)
    drain(impatient, ledger, lane, config)
    ledger.fail = lambda _sent: None
    for _ in range(12):
        make_due(session)

        def lock(_sent: Sent) -> Answer | None:
            other.execute(text("LOCK TABLE outbox_dispatches IN ACCESS EXCLUSIVE MODE"))
            return None

        with sessions() as other:
            ledger.fail = lock
            with suppress(DBAPIError):
                drain(impatient, ledger, lane, config)
            other.rollback()
    ledger.fail = lambda _sent: None
    make_due(session)
    drain(impatient, ledger, lane, config)
    [entry] = entries_of(session)
    assert (entry.state, entry.fault_code) == ("synced", None)


# --- A failover -----------------------------------------------------------------------------------


def test_case_r20_a_read_only_connection_is_a_lost_one(sessions: Sessions) -> None:
    engine = db.make_engine(sessions.kw["bind"].url.render_as_string(hide_password=False))
    made = db.make_sessions(engine)
    with engine.begin() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    engine.dispose()
    pooled = [engine.connect() for _ in range(5)]  # they lead to what is a standby now
    for connection in pooled:
        connection.close()
    with sessions.kw["bind"].begin() as connection:
        connection.execute(text("SET LOCAL transaction_read_only = off"))
        connection.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
    failed = 0
    for number in range(30):
        try:
            with made.begin() as own:
                own.execute(
                    text(
                        "INSERT INTO organizations (name, region, time_zone)"
                        " VALUES (:name, 'US', 'UTC')"
                    ),
                    {"name": f"Firm {number}"},
                )
        except InternalError:
            failed += 1  # fmt: skip
    assert failed == 1
    assert engine.pool._recycle == db.POOL_RECYCLE.total_seconds()
    engine.dispose()


# --- The scheduler --------------------------------------------------------------------------------


@pytest.fixture
def running(
    sessions: Sessions, ledger: Ledger, config: Config, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    monkeypatch.setattr("outbox.scheduler.DEAD_AFTER", 0.6)
    started = Engine(sessions, ledger, config)
    started.start()
    yield started
    started.stop()


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    ends_at = time.monotonic() + seconds
    while not holds() and time.monotonic() < ends_at:
        time.sleep(0.05)
    assert holds()


def test_a_clock_that_is_set_back_stops_no_look(
    running: Engine, session: Session, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour_later = datetime.now(UTC) + timedelta(hours=1)
    for job in running._scheduler.get_jobs():  # as the scheduler sees it when the clock went back
        running._scheduler.modify_job(job.id, next_run_time=hour_later)
    before = running._scheduler
    now = time.time
    monkeypatch.setattr("outbox.scheduler.time.time", lambda: now() - 3600)
    wait_until(lambda: running._scheduler is not before)
    wait_until(lambda: running.seconds_since_look < 0.5)
    assert not running.cannot_heal


def test_a_look_that_hangs_is_noticed_and_a_process_that_cannot_heal_says_so(
    running: Engine, session: Session, sessions: Sessions
) -> None:
    firm, _ = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    before = running._scheduler
    with sessions() as other:
        other.execute(text("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE"))
        wait_until(lambda: running._scheduler is not before)
        wait_until(lambda: running.cannot_heal, 60)
        other.rollback()
    wait_until(lambda: not running.cannot_heal)
    wait_until(lambda: states(session) == ["synced"])
