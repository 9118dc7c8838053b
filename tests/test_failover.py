"""Another database server takes over: what it doesn't know may have been sent."""

import threading

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
from outbox.company import Sent
from outbox.dispatches import next_dispatch
from outbox.lanes import lease_lane
from outbox.settle import settle
from quickbooks.consenting import Connected
from quickbooks.delivery import QuickBooks
from simulator.testing import SimulatorHandle
from tests.support.firm import new_invoice, new_lead, new_payment
from tests.support.office import Office, open_office
from tests.support.serving import eventually


@pytest.fixture
def office(
    sessions: Sessions, config: Config, simulator: SimulatorHandle, session: Session
) -> Office:
    office = open_office(sessions, config, simulator, session)
    assert isinstance(office.connect(), Connected)
    office.session.rollback()
    return office


def _forget_what_was_sent(office: Office, kind: str = "payment") -> None:
    """As on a standby that lacks the last seconds: all was stored there, and nothing was sent."""
    session = office.session
    session.rollback()
    for statement in (
        "DELETE FROM outbox_dispatch_items",
        "DELETE FROM outbox_dispatches",
        "DELETE FROM outbox_links WHERE aggregate_type = :kind",
        "UPDATE outbox SET state = 'pending', settled_at = NULL, first_attempt_at = NULL,"
        " attempts = 0, knowledge = '{}', available_at = created_at"
        " WHERE aggregate_type = :kind",
    ):
        session.execute(text(statement), {"kind": kind} if ":kind" in statement else {})
    session.commit()


def _take_over(office: Office) -> None:
    """The next server has another timeline: the one that is stored is not its own."""
    office.session.execute(text("UPDATE database_server SET server = '1/00000001'"))
    office.session.commit()


def _wait_out(office: Office) -> None:
    """Requests of the former server have had their time."""
    office.drain()
    office.session.execute(
        text("UPDATE database_server SET changed_at = changed_at - interval '1 hour'")
    )
    office.session.commit()
    office.pass_time()
    office.drain()


def _part_payment(office: Office) -> None:
    lead = new_lead(office.firm, "Green Lawn Co")
    invoice = new_invoice(office.firm, lead)
    office.save(lead, invoice)
    office.save(new_payment(office.firm, invoice, "40"))
    office.drain()


def _payments(office: Office) -> int:
    return len(office.books("Payment"))


def test_case_e26_a_payment_sent_before_a_failover_is_not_sent_again(office: Office) -> None:
    _part_payment(office)
    _forget_what_was_sent(office)
    _take_over(office)
    _wait_out(office)
    assert _payments(office) == 1
    assert {state for _, state in office.states()} == {"synced"}


def test_case_e26_a_request_that_is_still_on_its_way_at_the_failover_is_waited_for(
    office: Office,
) -> None:
    lead = new_lead(office.firm, "Green Lawn Co")
    invoice = new_invoice(office.firm, lead)
    office.save(lead, invoice)
    office.drain()
    office.save(new_payment(office.firm, invoice, "40"))
    lane = office.connection.lane_id
    assert lane
    company = QuickBooks(office.sessions, office.config)
    claim = lease_lane(office.sessions, lane, office.config.lease)
    assert claim
    on_its_way = next_dispatch(office.sessions, claim, company, office.config)
    assert isinstance(on_its_way, Sent)
    _forget_what_was_sent(office)
    _take_over(office)
    office.pass_time()  # the lease
    office.drain()
    assert _payments(office) == 0
    company.send(on_its_way)
    _wait_out(office)
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
    _wait_out(office)
    assert _payments(office) == 1
    assert "superseded" in {state for _, state in office.states()}


def test_case_e26_a_customer_changed_after_the_failover_is_known_by_what_it_was(
    office: Office,
) -> None:
    lead = new_lead(office.firm, "Green Lawn Co", phone="713-555-0100")
    office.save(lead)
    office.drain()
    _forget_what_was_sent(office, "lead")
    _take_over(office)
    servers.notice_change(office.session)
    lead.phone = "713-555-0199"
    office.session.commit()
    _wait_out(office)
    (customer,) = office.books("Customer")
    assert customer["PrimaryPhone"]["FreeFormNumber"] == "713-555-0199"
    assert {state for _, state in office.states()} == {"synced"}


def test_case_e26_the_command_doubts_what_a_snapshot_put_back(app: Flask, office: Office) -> None:
    _part_payment(office)
    _forget_what_was_sent(office)
    told = app.test_cli_runner().invoke(args=["outbox", "after-restore"])
    assert "are looked for in QuickBooks" in told.output
    _wait_out(office)
    assert _payments(office) == 1


def _as_before(office: Office, token: int) -> None:
    """As on a standby that lacks the newest lead, its request and the lease it was sent under:
    sequences and counters go on from where that server knew them."""
    session = office.session
    session.rollback()
    connection = session.connection().connection.driver_connection
    assert connection
    with connection.cursor() as cursor:  # around capture, as replication is
        cursor.execute("SET LOCAL dunahub.captured = 'on'")
        for table in ("outbox_dispatch_items", "outbox_dispatches", "outbox", "leads"):
            cursor.execute(f"DELETE FROM {table}")
        for table in ("outbox_dispatches", "outbox", "leads"):
            cursor.execute(f"ALTER SEQUENCE {table}_id_seq RESTART")
        cursor.execute("UPDATE outbox_lanes SET lease_until = NULL, lease_token = %s", (token,))
    session.commit()
    _take_over(office)
    servers.notice_change(session)
    session.commit()


def test_case_e26_an_answer_from_before_the_failover_settles_nothing_after_it(
    office: Office,
) -> None:
    """The new server gives out the same numbers again: of the lead, entry, request and lease."""
    session, config = office.session, office.config
    company = QuickBooks(office.sessions, config)
    lane = office.connection.lane_id
    assert lane
    token = session.scalar(text("SELECT lease_token FROM outbox_lanes"))
    office.save(new_lead(office.firm, "Green Lawn Co"))
    before = lease_lane(office.sessions, lane, config.lease)
    assert before
    sent = next_dispatch(office.sessions, before, company, config)
    assert isinstance(sent, Sent)
    answer = company.send(sent)

    _as_before(office, token or 0)
    office.save(new_lead(office.firm, "Oak Street Bakery"))
    after = lease_lane(office.sessions, lane, config.lease)
    assert after
    again = next_dispatch(office.sessions, after, company, config)
    assert isinstance(again, Sent)
    assert (again.id, again.due.keys()) == (sent.id, sent.due.keys())
    assert settle(office.sessions, before, sent, answer, company.read(sent, answer)) is None
    reading = company.read(again, answer := company.send(again))
    assert settle(office.sessions, after, again, answer, reading) == 1
    assert {one["DisplayName"] for one in office.books("Customer")} >= {"Oak Street Bakery"}


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


def test_who_notices_it_second_looks_for_what_may_have_been_sent(office: Office) -> None:
    """All drainers of a process notice it at once, and one of them writes it down."""
    _part_payment(office)
    _forget_what_was_sent(office)
    _take_over(office)
    second = threading.Thread(target=office.drain)
    with office.sessions() as first, office.sessions() as onlooker:
        assert servers.notice_change(first)
        second.start()
        eventually(lambda: _waits_for_a_lock(onlooker))
        first.commit()
    second.join()
    assert _payments(office) == 1
    _wait_out(office)
    assert _payments(office) == 1
    assert {state for _, state in office.states()} == {"synced"}


def _waits_for_a_lock(session: Session) -> bool:
    waiting = session.scalar(
        text(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    )
    session.rollback()
    return bool(waiting)
