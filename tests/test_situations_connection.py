"""The life of a connection: situations 1 to 20, through the app's own pages."""

from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import AuditEvent
from simulator.testing import SimulatorHandle
from tests.support.situation import SETTINGS, Situation, begin


@pytest.fixture
def at(
    app: Flask, sessions: Sessions, config: Config, session: Session, simulator: SimulatorHandle
) -> Iterator[Situation]:
    with begin(app, sessions, config, session, simulator) as situation:
        yield situation


def gap(at: Situation) -> tuple[int, int, int]:
    """A lead, an invoice of $100 and a payment of $80 of a time without QuickBooks; it is back."""
    at.connect()
    at.disconnect()
    lead = at.save_lead()
    invoice = at.save_invoice(lead, "100")
    payment = at.pay(invoice, "80")
    at.connect()
    return lead, invoice, payment


# --- 4 to 8: what was saved without QuickBooks ---------------------------------------------------


def test_situation_4_nothing_of_the_gap_flows_by_itself_and_the_gap_is_counted(
    at: Situation,
) -> None:
    lead, invoice, payment = gap(at)
    at.drain()
    assert at.states() == []
    assert at.calls() == []
    for page in (f"/leads/{lead}", f"/invoices/{invoice}", f"/payments/{payment}"):
        assert "Not sent" in at.ana.open(page).panel()
    at.ana.open(SETTINGS)
    assert "3 Not sent · $80.00 of payments" in at.ana.text
    at.ana.open(f"{SETTINGS}/not-sent")
    assert "$100.00 in all that the books in QuickBooks lack" in at.ana.text


def test_situation_4_an_owner_sends_one_by_hand_after_a_preview_and_a_warning(
    at: Situation,
) -> None:
    _, invoice, payment = gap(at)
    at.ana.open(f"/invoices/{invoice}")
    send = at.ana.page.find("a", string="Send this invoice")
    assert send
    at.ana.open(str(send["href"]))  # type: ignore[index]
    assert "would count $100.00 of income twice" in at.ana.text
    assert "Green Lawn Co goes along" in at.ana.text
    at.ana.submit(press="Send it")
    assert "Nothing was sent. Confirm first" in at.ana.text
    assert at.states() == []
    at.ana.submit({"agrees": "y"}, press="Send it")
    assert "goes to QuickBooks now with 1 payment." in at.ana.text
    at.drain()
    [sent] = at.books("Invoice")
    assert (int(sent["TotalAmt"]), int(sent["Balance"])) == (100, 20)
    assert "In QuickBooks" in at.ana.open(f"/payments/{payment}").panel()
    act = at.session.scalars(select(AuditEvent).where(AuditEvent.action == "outbox.sent_by_hand"))
    assert act.one().details["number"] == at.invoice(invoice).number
    at.ana.open(f"/quickbooks/send/invoices/{invoice}")
    assert "can't be sent by hand" in at.ana.text


def test_situation_5_a_lead_of_the_gap_updated_later_becomes_a_customer(at: Situation) -> None:
    lead, _, _ = gap(at)
    at.ana.open(f"/leads/{lead}/edit").submit({"phone": "916-555-0199"})
    at.drain()
    assert at.states() == ["lead synced"]
    assert [c["DisplayName"] for c in at.books("Customer")] == ["Green Lawn Co"]


def test_situation_6_an_invoice_of_the_gap_stays_not_sent_when_it_is_edited(at: Situation) -> None:
    _, invoice, _ = gap(at)
    at.ana.open(f"/invoices/{invoice}/edit").submit({"memo": "Thanks"}, press="Save invoice")
    at.drain()
    assert at.states() == []
    assert "Not sent" in at.ana.open(f"/invoices/{invoice}").panel()


def test_situation_7_a_new_invoice_takes_its_lead_of_the_gap_along(at: Situation) -> None:
    lead, _, _ = gap(at)
    invoice = at.save_invoice(lead, "40")
    at.drain()
    number = at.invoice(invoice).number
    assert f"needed by invoice {number}" in at.ana.open(f"/leads/{lead}").panel()
    assert len(at.books("Customer")) == len(at.books("Invoice")) == 1


def test_situation_8_a_payment_of_an_unsent_invoice_says_why_and_goes_with_it(
    at: Situation,
) -> None:
    _, invoice, first = gap(at)
    second = at.pay(invoice, "20", "ach")
    at.drain()
    assert at.states() == []
    assert "Its invoice isn't in QuickBooks." in at.ana.open(f"/payments/{second}").panel()
    send = at.ana.page.find("a", string="Send the invoice and this payment")
    assert send
    at.ana.open(str(send["href"]))  # type: ignore[index]
    at.ana.submit({"agrees": "y"}, press="Send it")
    at.drain()
    assert [int(payment["TotalAmt"]) for payment in at.books("Payment")] == [20]
    assert "Not sent" in at.ana.open(f"/payments/{first}").panel()
