"""The home page: what is due, what is late, what a new firm does first; and the demo month."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import Sessions
from development.seed import seed_once
from models.accounts import Organization, Role
from models.clients import Letterhead
from models.outbox import Entry
from models.sales import Invoice, Job, Lead, Payment
from tests.support.firm import new_firm, new_invoice, new_lead, new_line, new_payment, new_product
from tests.support.visitor import Visitor, new_person

ANA, TOM = "ana@rivera.example", "tom@rivera.example"


@pytest.fixture
def firm(session: Session) -> int:
    firm = new_firm(session)
    new_person(session, firm, ANA)
    new_person(session, firm, TOM, Role.MEMBER)
    return firm


def invoice_of(firm: int, number: str, price: str, due_in: int) -> Invoice:
    """Issued long ago, due in so many days."""
    lines = [new_line(firm, price=price)]
    invoice = new_invoice(firm, new_lead(firm, f"Client {number}"), lines, number=number)
    today = datetime.now(UTC).astimezone().date()
    invoice.issued_on, invoice.due_on = today - timedelta(90), today + timedelta(due_in)
    return invoice


def test_the_first_page_says_what_is_due_and_overdue(
    app: Flask, session: Session, firm: int
) -> None:
    late, due = invoice_of(firm, "1", "100", -10), invoice_of(firm, "2", "50.50", 10)
    paid, void = invoice_of(firm, "3", "70", -10), invoice_of(firm, "4", "900", -10)
    void.voided_at = datetime.now(UTC)
    session.add_all([late, due, paid, void])
    session.commit()
    part = new_payment(firm, late, "40")
    part.goodwill_amount = Decimal(5)  # went back, though the invoice counts it as paid
    whole = new_payment(firm, paid, "70")
    part.received_on = whole.received_on = datetime.now(UTC).date()
    session.add_all([part, whole])
    session.commit()
    page = Visitor(app).sign_in(ANA)
    assert page.path == "/"
    assert "$110.50 due · 2 invoices" in page.text
    assert "$60.00 overdue · 1 invoice" in page.text
    assert "$105.00 received this month" in page.text
    table = page.page.select_one("table.list")
    assert table
    assert "Client 1" in table.get_text()
    assert "Client 2" not in table.get_text()


def test_another_firms_money_is_not_there(app: Flask, session: Session, firm: int) -> None:
    oak = new_firm(session, name="Oak HVAC Inc")
    session.add(invoice_of(oak, "1", "100", -10))
    session.commit()
    text = Visitor(app).sign_in(ANA).text
    assert "$0.00 due · 0 invoices" in text
    assert "Client 1" not in text


def test_the_first_steps_are_ticked_off_and_go_when_done(
    app: Flask, session: Session, firm: int
) -> None:
    ana = Visitor(app).sign_in(ANA)
    assert "First steps" in ana.text
    links = {str(link["href"]) for link in ana.page.select(".checks a")}
    assert links == {
        "/settings/letterhead",
        "/settings/organization",
        "/products/new",
        "/leads/new",
        "/invoices/new",
        "/settings/quickbooks",
        "/invoices",
    }
    for link in links:
        assert ana.open(link).status == 200
    invoice = invoice_of(firm, "1", "100", 10)
    session.add_all([new_product(firm), invoice, Letterhead(organization_id=firm)])
    session.get_one(Organization, firm).tax_rate = Decimal("8.25")
    session.commit()
    ana.open("/")
    assert len(ana.page.select(".checks a")) == 2  # QuickBooks, and a payment
    assert "Fill in your letterhead · done" in ana.text
    ana.submit(press="Hide this list")
    assert ana.path == "/"
    assert "First steps" not in ana.text


def test_a_member_sees_the_steps_that_are_theirs(app: Flask, session: Session, firm: int) -> None:
    tom = Visitor(app).sign_in(TOM)
    assert "Add a lead" in tom.text
    assert "Connect QuickBooks" not in tom.text
    assert "letterhead" not in tom.text
    assert "Hide this list" not in tom.text
    session.add_all([new_product(firm), invoice := invoice_of(firm, "1", "100", 10)])
    session.commit()
    session.add(new_payment(firm, invoice))
    session.commit()
    assert "First steps" not in tom.open("/").text


def test_rule_19_a_firm_in_brazil_reads_nothing_of_quickbooks(app: Flask, session: Session) -> None:
    new_person(session, new_firm(session, name="Silva", region="BR"), "bruno@silva.example")
    page = Visitor(app).sign_in("bruno@silva.example").answer.get_data(as_text=True)
    assert "quickbooks" not in page.lower()


def test_the_demo_firms_come_with_a_month(
    app: Flask, database_url: str, sessions: Sessions
) -> None:
    seed_once(database_url, with_a_month=True)
    with sessions() as session:
        for name in ("Rivera Plumbing LLC", "Oak HVAC Inc"):
            firm = session.scalars(select(Organization.id).where(Organization.name == name)).one()
            counts = [
                session.scalar(select(func.count()).where(model.organization_id == firm))
                for model in (Lead, Invoice, Payment, Job)
            ]
            assert counts >= [10, 20, 10, 3], (name, counts)
            assert (
                session.scalar(
                    select(func.count()).where(Invoice.total <= 0, Invoice.organization_id == firm)
                )
                == 0
            )
        assert session.scalar(select(func.count()).select_from(Entry)) == 0
    ana = Visitor(app).sign_in(ANA)
    assert "$0.00" not in ana.text.split("First steps")[0]
    assert len(ana.page.select("table.list tbody tr")) >= 2
