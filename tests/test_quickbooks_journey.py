"""Records reach the books of a simulated company through the real engine."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import User
from models.outbox import Counterpart
from models.quickbooks import Connection
from models.sales import Invoice, Lead, RecordType
from outbox import actions
from simulator.testing import SimulatorHandle
from tests.support.connected import RIVERA, connect, drain, firm_of, new_owner, states
from tests.support.firm import (
    entries_of,
    new_invoice,
    new_lead,
    new_line,
    new_payment,
    new_product,
)


@pytest.fixture
def owner(session: Session) -> User:
    return new_owner(session)


@pytest.fixture
def connection(
    simulator: SimulatorHandle, sessions: Sessions, config: Config, owner: User
) -> Connection:
    return connect(sessions, config, owner)


def books(simulator: SimulatorHandle) -> dict[str, list[Any]]:
    return dict(simulator.books(RIVERA))


def a_paid_invoice(session: Session, firm: int) -> Invoice:
    lead = new_lead(firm, email="green@lawn.example", phone="(415) 555-0142", street="1 Main St")
    product = new_product(firm)
    lines = [
        new_line(firm, quantity="2", price="120", product=product, taxable=True),
        new_line(firm, "Hauling — “by hand”", "1.5", "33.33", position=2),
        new_line(firm, "Visit", "1", "0.5", position=3, taxable=True),
    ]
    invoice = new_invoice(firm, lead, lines, tax_rate="8.25")
    session.add(invoice)
    session.commit()
    for amount, method in (("100", "card"), ("210.34", "ach")):
        session.add(new_payment(firm, invoice, amount, method))
        session.commit()
    return invoice


def test_a_lead_an_invoice_and_its_payments_arrive_with_the_same_lines_and_totals(
    session: Session,
    sessions: Sessions,
    config: Config,
    owner: User,
    connection: Connection,
    simulator: SimulatorHandle,
) -> None:
    invoice = a_paid_invoice(session, firm_of(owner))
    simulator.clear_journal()
    drain(sessions, config, connection.lane_id)
    assert {state for _, state in states(session)} == {"synced"}

    found = books(simulator)
    (customer,) = found["Customer"]
    assert customer["DisplayName"] == "Green Lawn Co"
    (sent,) = found["Invoice"]
    assert sent["TotalAmt"] == invoice.total == Decimal("310.34")
    assert sent["Balance"] == 0
    sales = [line for line in sent["Line"] if line["DetailType"] == "SalesItemLineDetail"]
    assert [line["Amount"] for line in sales] == [Decimal("240"), Decimal("50.00"), Decimal("0.5")]
    assert [payment["TotalAmt"] for payment in found["Payment"]] == [100, Decimal("210.34")]
    assert all(payment["UnappliedAmt"] == 0 for payment in found["Payment"])
    reads = sum(entry["metered_reads"] for entry in simulator.journal())
    assert reads == 0, "rule 16: reads are paid for"


def test_an_update_writes_only_what_changed_and_makes_no_second_customer(
    session: Session,
    sessions: Sessions,
    config: Config,
    owner: User,
    connection: Connection,
    simulator: SimulatorHandle,
) -> None:
    lead = new_lead(firm_of(owner), email="old@lawn.example", phone="415 555 0142")
    session.add(lead)
    session.commit()
    drain(sessions, config, connection.lane_id)
    lead.email = "new@lawn.example"
    lead.phone = ""
    session.commit()
    drain(sessions, config, connection.lane_id)
    (customer,) = books(simulator)["Customer"]
    assert customer["PrimaryEmailAddr"] == {"Address": "new@lawn.example"}
    assert "PrimaryPhone" not in customer
    update_call = [each for each in simulator.journal() if each["method"] == "POST"][-1]
    assert "DisplayName" not in update_call["body"]


def test_requeueing_every_synced_entry_leaves_the_books_exactly_as_they_were(
    session: Session,
    sessions: Sessions,
    config: Config,
    owner: User,
    connection: Connection,
    simulator: SimulatorHandle,
) -> None:
    a_paid_invoice(session, firm_of(owner))
    drain(sessions, config, connection.lane_id)
    before = books(simulator)
    synced = [entry.id for entry in entries_of(session) if entry.state == "synced"]
    acted = actions.requeue(session, synced, organization_id=None)
    session.commit()
    assert sorted(acted.done) == synced
    simulator.clear_journal()
    drain(sessions, config, connection.lane_id)
    assert {state for _, state in states(session)} == {"synced"}
    assert books(simulator) == before
    assert {entry["method"] for entry in simulator.journal()} == {"GET"}


def test_an_edit_of_a_paid_invoice_reads_its_version_and_arrives(
    session: Session,
    sessions: Sessions,
    config: Config,
    owner: User,
    connection: Connection,
    simulator: SimulatorHandle,
) -> None:
    invoice = a_paid_invoice(session, firm_of(owner))
    drain(sessions, config, connection.lane_id)
    invoice.lines[1].quantity = Decimal(3)
    session.commit()
    simulator.clear_journal()
    drain(sessions, config, connection.lane_id)
    session.refresh(invoice)
    (sent,) = books(simulator)["Invoice"]
    assert sent["TotalAmt"] == invoice.total
    assert [entry["method"] for entry in simulator.journal()] == ["GET", "POST"]


def test_an_invoice_that_changes_customer_and_products_arrives(
    session: Session,
    sessions: Sessions,
    config: Config,
    owner: User,
    connection: Connection,
    simulator: SimulatorHandle,
) -> None:
    invoice = a_paid_invoice(session, firm_of(owner))
    other = new_invoice(firm_of(owner), new_lead(firm_of(owner), "Other"), number="1002")
    other.lines = [new_line(firm_of(owner), product=invoice.lines[0].product)]
    session.add(other)
    session.commit()
    drain(sessions, config, connection.lane_id)
    other.lead = invoice.lead
    other.lines = [new_line(firm_of(owner), "Something else", "1", "70")]
    session.commit()
    drain(sessions, config, connection.lane_id)
    assert entries_of(session)[-1].state == "synced"
    sent = books(simulator)["Invoice"][-1]
    assert sent["CustomerRef"]["name"] == "Green Lawn Co"
    assert sent["TotalAmt"] == 70


def test_a_voided_invoice_is_voided_there(
    session: Session,
    sessions: Sessions,
    config: Config,
    owner: User,
    connection: Connection,
    simulator: SimulatorHandle,
) -> None:
    firm = firm_of(owner)
    invoice = new_invoice(firm, new_lead(firm))
    session.add(invoice)
    session.commit()
    drain(sessions, config, connection.lane_id)
    invoice.voided_at = invoice.created_at
    session.commit()
    drain(sessions, config, connection.lane_id)
    (sent,) = books(simulator)["Invoice"]
    assert (sent["TotalAmt"], sent["Balance"]) == (0, 0)
    link = session.query(Counterpart).filter_by(record_type=RecordType.INVOICE).one()
    assert link.voided_at is not None


def test_many_leads_go_in_batches_without_a_read(
    session: Session,
    sessions: Sessions,
    config: Config,
    owner: User,
    connection: Connection,
    simulator: SimulatorHandle,
) -> None:
    firm = firm_of(owner)
    session.add_all([Lead(organization_id=firm, name=f"Customer {number}") for number in range(65)])
    session.commit()
    simulator.clear_journal()
    drain(sessions, config, connection.lane_id)
    assert len(books(simulator)["Customer"]) == 65
    sent = [entry["path"].rsplit("/", 1)[1] for entry in simulator.journal()]
    # At least two by the batch; the rest also one by one, while the next batch may not go yet.
    assert sent.count("batch") >= 2
    assert set(sent) <= {"batch", "customer"}
    assert {entry["method"] for entry in simulator.journal()} == {"POST"}


def test_a_name_that_is_taken_by_someone_else_asks_and_a_fix_sends_it_by_itself(
    session: Session,
    sessions: Sessions,
    config: Config,
    owner: User,
    connection: Connection,
    simulator: SimulatorHandle,
) -> None:
    firm = firm_of(owner)
    first = new_lead(firm, email="one@lawn.example")
    second = new_lead(firm, email="two@lawn.example")
    session.add(first)
    session.commit()
    drain(sessions, config, connection.lane_id)
    session.add(second)
    session.commit()
    drain(sessions, config, connection.lane_id)
    refused = entries_of(session)[-1]
    assert (refused.state, refused.fault_code, refused.fault_field) == ("failed", "6240", "name")
    second.name = "Green Lawn of Fresno"
    session.commit()
    drain(sessions, config, connection.lane_id)
    assert entries_of(session)[-1].state == "synced"
    assert len(books(simulator)["Customer"]) == 2
