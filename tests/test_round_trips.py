"""How often the database is asked between a wake and the request: a person waits for each time."""

import threading
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from config import Config
from db import Sessions, single_statements
from models.sales import Invoice, Lead, Payment
from outbox.company import Answer
from outbox.lanes import _LEASE
from outbox.poller import drain_lane
from quickbooks import client
from quickbooks.delivery import QuickBooks
from simulator.testing import SimulatorHandle
from tests.support.connected import connect, drain, firm_of, new_owner
from tests.support.firm import new_firm_with_lane, new_invoice, new_lead, new_payment
from tests.support.round_trips import RoundTrips
from tests.support.serving import eventually

CUSTOMER, INVOICE, PAYMENT = 7, 8, 8  # round trips; 22, 23 and 24 with one of each step's own


@pytest.fixture
def round_trips(engine: Engine) -> RoundTrips:
    return RoundTrips(engine)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, round_trips: RoundTrips) -> list[list[str]]:
    """What the database was asked before each request to QuickBooks, and since the last."""
    asked: list[list[str]] = []
    real = client.call

    def noting(*arguments: Any) -> Answer:
        asked.append(list(round_trips.made))
        round_trips.made.clear()
        return real(*arguments)

    monkeypatch.setattr(client, "call", noting)
    return asked


def test_a_request_leaves_after_few_round_trips(
    session: Session,
    sessions: Sessions,
    config: Config,
    simulator: SimulatorHandle,
    round_trips: RoundTrips,
    asked: list[list[str]],
) -> None:
    owner = new_owner(session)
    lane = connect(sessions, config, owner).lane_id
    firm, company = firm_of(owner), QuickBooks(sessions, config)
    drain(sessions, config, lane)

    def needed(record: Lead | Invoice | Payment) -> int:
        session.add(record)
        session.commit()
        asked.clear()
        round_trips.made.clear()
        drain_lane(sessions, company, lane, config, threading.Event())
        drain(sessions, config, lane)
        return len(asked[0])

    lead = new_lead(firm, "Olivia Hart", email="o@hart.example")
    assert needed(lead) <= CUSTOMER, asked
    invoice = new_invoice(firm, lead)
    assert needed(invoice) <= INVOICE, asked
    assert needed(new_payment(firm, invoice, "1")) <= PAYMENT, asked


def test_a_lease_is_not_flushed_on_its_own_and_nothing_else_is_kept_back(
    session: Session, config: Config
) -> None:
    _firm, lane = new_firm_with_lane(session)
    flushes = text("SHOW synchronous_commit")
    session.execute(text("SET synchronous_commit = 'on'"))  # a test's server does not flush
    session.commit()
    session.execute(_LEASE, {"lane": lane, "lease": config.lease}).one()
    assert session.scalar(flushes) == "off"
    session.commit()
    assert session.scalar(flushes) == "on"


def test_a_connection_that_the_server_closed_is_replaced_unasked(
    session: Session, sessions: Sessions
) -> None:
    session.execute(text("SELECT 1"))  # on another connection
    with sessions() as other:
        pid = other.execute(text("SELECT pg_backend_pid()")).scalar_one()
    is_there = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")

    def is_closed() -> bool:  # in one transaction: another one could be given the dying connection
        session.execute(text("SELECT pg_stat_clear_snapshot()"))
        return bool(session.scalar(is_there, {"pid": pid}) == 0)

    session.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    eventually(is_closed)
    session.rollback()
    with sessions() as other:
        assert other.execute(text("SELECT pg_backend_pid()")).scalar_one() != pid


def test_a_connection_is_used_for_transactions_again_after_single_statements(
    session: Session, sessions: Sessions
) -> None:
    """Also after one that failed, and after one during which the server closed it."""
    firm, _lane = new_firm_with_lane(session)

    def is_rolled_back() -> bool:
        with sessions() as other:
            other.add(new_lead(firm, "Never saved"))
            other.flush()
            other.rollback()
        return session.query(Lead).count() == 0

    for statement in ("SELECT 1", "SELECT 1 / 0", "SELECT pg_terminate_backend(pg_backend_pid())"):
        with suppress(DBAPIError), single_statements(sessions) as single:
            single.execute(text(statement))
        assert is_rolled_back(), statement
        session.rollback()
