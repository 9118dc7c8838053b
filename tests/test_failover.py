"""Another database server takes over: what it doesn't know may have been sent."""

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.outbox import Dispatch
from models.sales import Payment
from models.servers import DatabaseServer
from outbox import servers
from quickbooks.consenting import Connected
from simulator.testing import SimulatorHandle
from tests.support.firm import new_invoice, new_lead, new_payment
from tests.support.office import Office, open_office


@pytest.fixture
def office(
    sessions: Sessions, config: Config, simulator: SimulatorHandle, session: Session
) -> Office:
    office = open_office(sessions, config, simulator, session)
    assert isinstance(office.connect(), Connected)
    office.session.rollback()
    return office


def _forget_what_was_sent(office: Office) -> None:
    """As on a standby that lacks the last seconds: all was stored there, and nothing was sent."""
    session = office.session
    session.rollback()
    for statement in (
        "DELETE FROM outbox_dispatch_items",
        "DELETE FROM outbox_dispatches",
        "DELETE FROM outbox_links WHERE aggregate_type = 'payment'",
        "UPDATE outbox SET state = 'pending', settled_at = NULL, first_attempt_at = NULL,"
        " attempts = 0, knowledge = '{}', available_at = created_at"
        " WHERE aggregate_type = 'payment'",
    ):
        session.execute(text(statement))
    session.commit()


def _take_over(office: Office) -> None:
    """The next server has another timeline: the one that is stored is not its own."""
    office.session.execute(text("UPDATE database_server SET server = '1/00000001'"))
    office.session.commit()


def _part_payment(office: Office) -> None:
    lead = new_lead(office.firm, "Green Lawn Co")
    invoice = new_invoice(office.firm, lead)
    office.save(lead, invoice)
    office.save(new_payment(office.firm, invoice, "40"))
    office.drain()


def _payments(office: Office) -> int:
    return len(office.simulator.books(office.realm)["Payment"])


def test_case_e26_a_payment_sent_before_a_failover_is_not_sent_again(office: Office) -> None:
    _part_payment(office)
    _forget_what_was_sent(office)
    _take_over(office)
    office.drain()
    assert _payments(office) == 1
    assert {state for _, state in office.states()} == {"synced"}


def test_case_e26_without_a_failover_a_young_entry_is_not_looked_for(office: Office) -> None:
    """A look costs a question. So the case above would fail if nothing were noticed."""
    _part_payment(office)
    _forget_what_was_sent(office)
    office.drain()
    assert _payments(office) == 2


def test_case_e26_an_edit_after_the_failover_is_looked_for_too(office: Office) -> None:
    """The entry is new; its record is not."""
    _part_payment(office)
    _forget_what_was_sent(office)
    _take_over(office)
    servers.notice_change(office.session)
    office.session.scalars(select(Payment)).one().note = "by phone"
    office.session.commit()  # before anything was sent
    office.drain()
    assert _payments(office) == 1
    assert "superseded" in {state for _, state in office.states()}


def test_case_e26_the_command_doubts_what_a_snapshot_put_back(app: Flask, office: Office) -> None:
    _part_payment(office)
    _forget_what_was_sent(office)
    told = app.test_cli_runner().invoke(args=["outbox", "after-restore"])
    assert "are looked for in QuickBooks" in told.output
    office.drain()
    assert _payments(office) == 1


def test_what_is_entered_after_a_failover_is_sent_without_a_look(office: Office) -> None:
    _part_payment(office)
    _take_over(office)
    office.save(new_lead(office.firm, "Next Co"))
    office.drain()
    office.save(new_lead(office.firm, "Another Co"))
    before = office.simulator.journal()
    office.drain()
    paths = [str(entry["path"]) for entry in office.simulator.journal()[len(before) :]]
    assert len([path for path in paths if "query" in path]) == 0, paths


def test_a_change_is_noticed_once(office: Office) -> None:
    _take_over(office)
    session = office.session
    assert servers.notice_change(session)
    assert not servers.notice_change(session)
    session.commit()
    stored = session.scalars(select(DatabaseServer)).one()
    assert stored.changed_at
    assert stored.last_dispatch_id == (
        session.scalar(select(text("max(id)")).select_from(Dispatch)) or 0
    )
