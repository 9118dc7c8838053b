"""What counts as never sent: not what went along with another record, nor what waited meanwhile."""

import pytest
from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import text

from development.database import ALEMBIC_INI
from models.sales import GoodwillRefund, Invoice, Lead, Payment, Product
from outbox.capture import ALLOWED
from tests.support.refunds import choose_receipts, paid, refund, take_back
from tests.support.situation import SETTINGS, Situation
from tests.test_cases_counterpart import decide, reconnect

NOT_SENT = f"{SETTINGS}/not-sent"
NONE = "0 records are only in DunaHub"
EVERY_MODEL = (Lead, Product, Invoice, Payment, GoodwillRefund)


def without_first_entry(at: Situation) -> list[str]:
    at.session.rollback()
    return [
        model.__tablename__
        for model in EVERY_MODEL
        for _ in at.session.query(model).where(model.first_entry_at.is_(None))
    ]


@pytest.mark.parametrize("decision", ["send", "leave"])
def test_a_payment_recorded_while_disconnected_is_not_never_sent(
    at: Situation, decision: str
) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    at.disconnect()
    at.pay(invoice, "20")
    assert "1 record is only in DunaHub" in at.ana.open(NOT_SENT).text
    reconnect(at)
    assert NONE in at.ana.open(NOT_SENT).text  # it waits for the answer, and counts there
    decide(at, decision)
    assert NONE in at.ana.open(NOT_SENT).text
    assert without_first_entry(at) == []


def test_a_refund_recorded_while_disconnected_has_an_entry(at: Situation) -> None:
    at.connect()
    choose_receipts(at)
    _, payment = paid(at)
    at.disconnect()
    refund(at, payment, "30")
    reconnect(at)
    assert without_first_entry(at) == []


def test_a_payment_taken_back_before_it_was_sent_stays_never_sent(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    at.disconnect()
    take_back(at, at.pay(invoice, "20"), "20")
    reconnect(at)
    assert without_first_entry(at) == ["payments"]


def test_what_went_along_with_its_first_invoice_is_not_never_sent(at: Situation) -> None:
    lead = at.save_lead("Old Co")
    at.connect()
    assert "1 record is only in DunaHub" in at.ana.open(NOT_SENT).text
    at.save_invoice(lead, "100")
    at.drain()
    assert NONE in at.ana.open(NOT_SENT).text
    assert without_first_entry(at) == []


def test_what_an_earlier_release_did_not_note_is_noted_by_the_upgrade(
    at: Situation, monkeypatch: pytest.MonkeyPatch
) -> None:
    at.save_lead("Never sent")
    at.connect()
    choose_receipts(at)
    _, payment = paid(at)
    refund(at, payment, "30")
    at.session.rollback()
    at.session.connection().exec_driver_sql("SET LOCAL dunahub.captured = 'on'")
    for model in EVERY_MODEL:
        at.session.connection().info[ALLOWED] = True
        at.session.execute(text(f"UPDATE {model.__tablename__} SET first_entry_at = NULL"))
    at.session.commit()
    alembic = AlembicConfig(ALEMBIC_INI)
    monkeypatch.setenv("DATABASE_URL", at.config.database_url)
    command.downgrade(alembic, "0048")
    command.upgrade(alembic, "head")
    assert without_first_entry(at) == ["leads"]
    assert "1 record is only in DunaHub" in at.ana.open(NOT_SENT).text


@pytest.mark.parametrize(
    ("page", "button", "said"),
    [
        (
            "/quickbooks/send/invoices/1",
            "Send it",
            "is being sent to QuickBooks now. 1 payment is waiting",
        ),
        (
            "/quickbooks/send/all/invoice",
            "Send them",
            "2 records are being sent to QuickBooks now. 1 payment",
        ),
    ],
)
def test_a_payment_partly_paid_back_is_said_to_wait_for_a_person(
    at: Situation, page: str, button: str, said: str
) -> None:
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "60")
    take_back(at, at.pay(invoice, "40"), "10")  # the form sends this one, its last
    at.connect()
    assert "it was refunded here" in at.ana.open(page).text
    at.ana.submit({"agrees": "y"}, press=button)
    assert said in at.ana.text
    at.drain()
    assert "payment failed" in at.states()
