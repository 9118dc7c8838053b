"""What pages say of records that were changed here while QuickBooks is disconnected."""

import pytest
from sqlalchemy import select, text

from models.notices import Condition, Notice
from notices import conditions
from tests.support.refunds import paid, take_back
from tests.support.situation import SETTINGS, Situation
from tests.test_cases_counterpart import decide, edit_invoice


def badge(at: Situation, page: str, kind: str, key: int) -> str:
    found = at.ana.open(page).page.select_one(f"#badge-{kind}-{key}")
    assert found
    return " ".join(found.get_text(" ").split())


def test_what_was_changed_here_is_not_called_in_quickbooks_alone(at: Situation) -> None:
    at.connect()
    untouched, payment = paid(at)
    dearer, voided = at.save_invoice(at.save_lead("Two")), at.save_invoice(at.save_lead("Three"))
    at.drain()
    at.disconnect()
    edit_invoice(at, dearer, **{"lines-0-unit_price": "120"})
    at.ana.open(f"/invoices/{voided}/void").submit(press="Void the invoice")
    take_back(at, payment, "30")
    assert badge(at, "/invoices", "invoice", untouched) == "In QuickBooks"
    differs = "In QuickBooks, total differs by $20.00"
    assert badge(at, "/invoices", "invoice", dearer) == differs
    assert badge(at, "/invoices", "invoice", voided) == "In QuickBooks, voided here"
    assert badge(at, "/payments", "payment", payment) == "In QuickBooks, refunded here"
    assert (
        f"{differs} $120.00 here, $100.00 in QuickBooks."
        in at.ana.open(f"/invoices/{dearer}").panel()
    )
    assert (
        "$30.00 was refunded or returned here while QuickBooks was not connected"
        in at.ana.open(f"/payments/{payment}").panel()
    )


@pytest.mark.parametrize("decision", ["send", "leave"])
def test_once_an_owner_has_decided_the_entries_say_it(at: Situation, decision: str) -> None:
    at.connect()
    dearer = at.save_invoice(at.save_lead())
    at.drain()
    at.disconnect()
    edit_invoice(at, dearer, **{"lines-0-unit_price": "120"})
    at.connect()
    assert badge(at, "/invoices", "invoice", dearer) == "On hold"
    decide(at, decision)
    expected = {"send": "In QuickBooks", "leave": "Skipped"}[decision]
    assert badge(at, "/invoices", "invoice", dearer) == expected


def test_a_whole_refund_is_said_and_is_no_news_once_it_was_sent(at: Situation) -> None:
    at.connect()
    _invoice, payment = paid(at)
    at.disconnect()
    take_back(at, payment)
    assert badge(at, "/payments", "payment", payment) == "In QuickBooks, refunded here"


def test_what_was_sent_as_it_is_here_stays_in_quickbooks(at: Situation) -> None:
    at.connect()
    invoice, payment = paid(at)
    edit_invoice(at, invoice, **{"lines-0-unit_price": "130"})
    at.drain()
    at.disconnect()
    assert badge(at, "/invoices", "invoice", invoice) == "In QuickBooks"
    assert badge(at, "/payments", "payment", payment) == "In QuickBooks"


def test_what_needed_attention_is_on_hold_everywhere(at: Situation) -> None:
    at.connect()
    at.simulator.fault(match={"path": "/customer", "times": 1}, do={"fault": {"code": "2210"}})
    lead = at.save_lead(phone="555-200-0001")
    at.drain()
    assert _letters(at) == 1
    at.disconnect()
    page = at.ana.open(f"/leads/{lead}")
    assert "On hold" in page.panel()
    assert "Once it is connected again, this record needs attention." in page.panel()
    assert "Send again" not in page.panel()
    assert badge(at, "/leads", "lead", lead) == "On hold"
    assert "1 Need attention" not in at.ana.open(SETTINGS).text
    assert at.ana.open(f"{SETTINGS}/activity?state=failed").page.select(".pill") == []
    assert _letters(at) == 0
    at.connect()
    assert "1 Need attention" in at.ana.open(SETTINGS).text
    assert "Send again" in at.ana.open(f"/leads/{lead}").panel()
    assert badge(at, "/leads", "lead", lead) == "Needs attention"
    assert _letters(at) == 1


def _letters(at: Situation) -> int:
    """How many letters about what needs attention are due."""
    with at.sessions.begin() as session:
        session.execute(text("UPDATE outbox SET settled_at = settled_at - interval '1 hour'"))
    conditions.look(at.sessions, at.config)
    with at.sessions() as session:
        lasting = (Notice.kind == Condition.ATTENTION) & Notice.lasts
        return len(session.scalars(select(Notice.id).where(lasting)).all())
