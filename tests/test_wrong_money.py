"""Forms that would record wrong amounts are refused, or need confirmation first."""

from decimal import Decimal

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from models.accounts import Organization
from models.sales import Invoice, Job, Lead, Payment, Proposal, ProposalStatus
from tests.support.firm import new_firm, new_invoice, new_lead, new_line, new_product
from tests.support.visitor import Visitor, new_person

ANA = "ana@rivera.example"
LINE = {"lines-0-description": "Visit", "lines-0-unit_price": "100"}


@pytest.fixture
def firm(session: Session) -> int:
    firm = new_firm(session)
    new_person(session, firm, ANA)
    return firm


@pytest.fixture
def taxed(session: Session, firm: int) -> None:
    session.execute(update(Organization).values(tax_rate=Decimal("7.5")))
    session.commit()


@pytest.fixture
def ana(app: Flask, firm: int) -> Visitor:
    return Visitor(app).sign_in(ANA)


@pytest.fixture
def lead(session: Session, firm: int) -> int:
    lead = new_lead(firm)
    session.add(lead)
    session.commit()
    return lead.id


def count(session: Session, model: type[Invoice] | type[Payment]) -> int:
    session.rollback()
    return session.scalar(select(func.count()).select_from(model)) or 0


# --- A form that was opened before somebody changed the record ------------------------------------


def test_a_void_asks_again_when_a_payment_came_meanwhile(
    ana: Visitor, firm: int, lead: int, session: Session
) -> None:
    invoice = new_invoice(firm, session.get_one(Lead, lead))
    session.add(invoice)
    session.commit()
    address = f"/invoices/{invoice.id}"
    ana.open(f"{address}/void")
    form = ana.answer
    ana.open(f"{address}/payments/new").submit({"method": "card", "amount": "40"})
    ana.answer = form
    ana.submit(press="Void the invoice")
    assert ana.status == 422
    assert "What was paid on it has changed" in ana.text
    assert "$40.00 was already paid on it" in ana.text
    ana.submit(press="Void the invoice")
    assert "is void" in ana.text


def test_changing_what_a_client_agreed_to_asks_first(
    ana: Visitor, lead: int, session: Session
) -> None:
    ana.open(f"/proposals/new?lead={lead}").submit({"title": "Main line", **LINE})
    proposal = session.scalars(select(Proposal)).one()
    ana.open(f"/proposals/{proposal.id}/edit")
    proposal.status = ProposalStatus.ACCEPTED  # while the form is open
    session.commit()
    ana.submit({"lines-0-unit_price": "9000"}, press="Save proposal")
    assert ana.status == 422
    assert "accepted at $100.00. The new total is $9,000.00." in ana.text
    ana.submit({"confirms_accepted": "y"}, press="Save proposal")
    assert "is saved" in ana.text
    ana.open(f"/proposals/{proposal.id}/edit").submit({"title": "Main line, north"})
    assert "is saved" in ana.text  # what is to be paid stays


# --- Tax ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("taxed")
def test_a_new_line_is_taxable_once_the_firm_has_a_rate(
    ana: Visitor, lead: int, session: Session
) -> None:
    ana.open(f"/invoices/new?lead={lead}").submit(LINE, press="Save invoice")
    assert "Tax 7.5% $7.50" in ana.text
    assert session.scalars(select(Invoice)).one().total == Decimal("107.50")


@pytest.mark.usefixtures("taxed")
@pytest.mark.parametrize("path", ["/invoices/new", "/proposals/new", "/jobs/new"])
def test_rows_that_are_added_are_taxable_too(ana: Visitor, lead: int, path: str) -> None:
    ana.open(f"{path}?lead={lead}").submit(press="Add a line")
    boxes = ana.page.select("[data-part=taxable]")
    assert len(boxes) == 6
    assert all(box.has_attr("checked") for box in boxes)


def test_without_a_rate_new_lines_are_not_taxable(ana: Visitor, lead: int) -> None:
    boxes = ana.open(f"/invoices/new?lead={lead}").page.select("[data-part=taxable]")
    assert not any(box.has_attr("checked") for box in boxes)


@pytest.mark.usefixtures("taxed")
def test_a_product_remembers_whether_it_is_taxable(
    ana: Visitor, lead: int, session: Session, firm: int
) -> None:
    product = new_product(firm, "Permit", "60")
    session.add(product)
    session.commit()
    line = LINE | {"lines-1-product_id": str(product.id)}
    ana.open(f"/invoices/new?lead={lead}").submit(line, press="Save invoice")
    lines = session.scalars(select(Invoice)).one().lines
    assert [one.description for one in lines if one.taxable] == ["Visit"]


def test_without_scripts_a_products_name_in_the_box_is_that_product(
    ana: Visitor, lead: int, session: Session, firm: int
) -> None:
    product = new_product(firm, "Drain cleaning", "149")
    product.description, product.taxable = "Main line, up to 50 ft", True
    session.add(product)
    session.commit()
    typed = {"lines-0-description": "drain cleaning", "lines-0-quantity": "2"}
    ana.open(f"/invoices/new?lead={lead}").submit(typed, press="Save invoice")
    [line] = session.scalars(select(Invoice)).one().lines
    assert (line.product_id, line.description) == (product.id, "Main line, up to 50 ft")
    assert (line.amount, line.taxable) == (Decimal(298), True)


@pytest.mark.usefixtures("taxed")
def test_a_new_product_of_a_firm_with_a_rate_is_taxable(ana: Visitor) -> None:
    assert ana.open("/products/new").page.select_one("[name=taxable][checked]")


@pytest.mark.usefixtures("taxed")
def test_a_rate_that_taxes_nothing_asks_first(ana: Visitor, lead: int, session: Session) -> None:
    ana.open(f"/invoices/new?lead={lead}")
    for box in ana.page.select("[data-part=taxable]"):
        del box["checked"]
    untaxed = LINE | {"lead": str(lead), "tax_rate": "7.5"}
    days = {"issued_on": "2026-11-20", "due_on": "2026-12-20"}
    ana.post("/invoices", untaxed | days)
    assert (ana.status, count(session, Invoice)) == (422, 0)
    assert "There is a tax rate, but no line is taxable" in ana.text
    ana.submit({"confirms_untaxed": "y"}, press="Save invoice")
    invoice = session.scalars(select(Invoice)).one()
    assert (invoice.tax_rate, invoice.tax_amount) == (Decimal("7.5"), Decimal(0))
    ana.open(f"/invoices/{invoice.id}/edit").submit({"memo": "Thanks"}, press="Save invoice")
    assert "is saved" in ana.text  # agreed to once
    ana.post("/proposals", untaxed | {"title": "Pipes", "status": "draft"})
    assert "There is a tax rate, but no line is taxable" in ana.text


# --- Invoices that bill nothing -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ({}, "Add a line: what is billed?"),
        ({"lines-0-quantity": "3"}, "Add a line: what is billed?"),
        ({"lines-0-description": "Refund", "lines-0-unit_price": "-50"}, "below zero"),
        (LINE | {"lines-0-quantity": "-1"}, "below zero"),
        (LINE | {"lines-1-description": "Less", "lines-1-unit_price": "-100.01"}, "below zero"),
    ],
)
def test_an_invoice_without_lines_or_below_zero_is_refused(
    ana: Visitor, lead: int, session: Session, lines: dict[str, str], why: str
) -> None:
    ana.open(f"/invoices/new?lead={lead}").submit(lines, press="Save invoice")
    assert (ana.status, count(session, Invoice)) == (422, 0)
    assert why in ana.text


def test_an_edit_that_takes_away_the_last_line_is_refused(
    ana: Visitor, session: Session, firm: int
) -> None:
    invoice = new_invoice(firm, new_lead(firm))
    session.add(invoice)
    session.commit()
    ana.open(f"/invoices/{invoice.id}/edit").submit({"lines-0-remove": "y"}, press="Save invoice")
    assert (ana.status, "Add a line: what is billed?" in ana.text) == (422, True)


def test_two_edits_that_take_away_all_lines_together_are_refused(
    ana: Visitor, app: Flask, session: Session, firm: int
) -> None:
    lines = [new_line(firm, "One"), new_line(firm, "Two", position=2)]
    invoice = new_invoice(firm, new_lead(firm), lines)
    session.add(invoice)
    session.commit()
    new_person(session, firm, "tom@rivera.example")
    tom = Visitor(app).sign_in("tom@rivera.example")
    for person in (ana, tom):
        person.open(f"/invoices/{invoice.id}/edit")
    ana.submit({"lines-0-remove": "y"}, press="Save invoice")
    tom.submit({"lines-1-remove": "y"}, press="Save invoice")
    assert (tom.status, "Add a line: what is billed?" in tom.text) == (422, True)


def test_an_invoice_of_zero_is_saved_and_is_not_paid(
    ana: Visitor, lead: int, session: Session
) -> None:
    free = {"lines-0-description": "Warranty visit", "lines-0-unit_price": "0"}
    ana.open(f"/invoices/new?lead={lead}").submit(free, press="Save invoice")
    assert "Nothing due" in ana.text
    assert "1001" in ana.open("/invoices?state=nothing_due").text
    assert "No invoices match" in ana.open("/invoices?state=paid").text
    assert "No invoices match" in ana.open("/invoices?state=open").text


def test_an_old_invoice_below_zero_does_not_say_paid(
    ana: Visitor, session: Session, firm: int
) -> None:
    invoice = new_invoice(firm, new_lead(firm), [new_line(firm, price="-50")])
    session.add(invoice)
    session.commit()
    assert "Nothing due" in ana.open(f"/invoices/{invoice.id}").text
    assert "No invoices match" in ana.open("/invoices?state=paid").text


# --- More than is due -----------------------------------------------------------------------------


def test_paying_more_than_is_due_asks_first_and_is_shown_as_credit(
    ana: Visitor, session: Session, firm: int
) -> None:
    invoice = new_invoice(firm, new_lead(firm), [new_line(firm, price="189")])
    session.add(invoice)
    session.commit()
    ana.open(f"/invoices/{invoice.id}/payments/new").submit({"method": "card", "amount": "500"})
    assert (ana.status, count(session, Payment)) == (422, 0)
    assert "$311.00 more than is due: keep it as credit?" in ana.text
    ana.submit({"confirms_above": "y"}, press="Record payment")
    assert (ana.status, count(session, Payment)) == (200, 1)
    assert "Credit $311.00" in ana.text
    for path in (f"/invoices/{invoice.id}", "/invoices"):
        assert "Credit $311.00" in ana.open(path).text
        assert "−$311" not in ana.text
    ana.open(f"/invoices/{invoice.id}/payments/new").submit({"method": "card", "amount": "1"})
    assert "$1.00 more than is due" in ana.text


def test_of_two_people_who_record_the_same_payment_the_second_is_asked(
    ana: Visitor, app: Flask, session: Session, firm: int
) -> None:
    invoice = new_invoice(firm, new_lead(firm))
    session.add(invoice)
    session.commit()
    new_person(session, firm, "tom@rivera.example")
    tom = Visitor(app).sign_in("tom@rivera.example")
    for person in (ana, tom):
        person.open(f"/invoices/{invoice.id}/payments/new")
    ana.submit({"amount": "100", "method": "cash"})
    tom.submit({"amount": "100", "method": "cash"})
    assert (tom.status, "$100.00 more than is due" in tom.text) == (422, True)
    assert count(session, Payment) == 1


def test_what_is_due_to_the_cent_is_not_asked_about(
    ana: Visitor, session: Session, firm: int
) -> None:
    invoice = new_invoice(firm, new_lead(firm), [new_line(firm, price="33.33")])
    session.add(invoice)
    session.commit()
    ana.open(f"/invoices/{invoice.id}/payments/new").submit({"method": "card", "amount": "33.33"})
    assert "The payment is recorded." in ana.text


# --- Invoiced twice -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["proposal", "job"])
def test_what_was_invoiced_already_asks_before_it_is_again(
    kind: str, ana: Visitor, lead: int, session: Session
) -> None:
    ana.open(f"/{kind}s/new?lead={lead}")
    ana.submit(LINE | {"title": "Pipes"}, press=f"Save {kind}")
    key = Proposal.id if kind == "proposal" else Job.id
    new = f"/invoices/new?{kind}={session.scalars(select(key)).one()}"
    assert "Already invoiced" not in ana.open(new).text
    second = ana.answer
    ana.submit(press="Save invoice")
    ana.answer = second
    ana.submit({"form_key": "another-form-0123456789"[:22]}, press="Save invoice")
    assert (ana.status, count(session, Invoice)) == (422, 1)
    assert "Already invoiced: 1001 ($100.00)." in ana.text
    assert "Already invoiced: 1001 ($100.00)." in ana.open(new).text
    ana.submit({"confirms_again": "y"}, press="Save invoice")
    assert (ana.status, count(session, Invoice)) == (200, 2)
    for invoice in session.scalars(select(Invoice)).all():
        ana.open(f"/invoices/{invoice.id}/void").submit(press="Void the invoice")
    assert "Already invoiced" not in ana.open(new).text


# --- When it is due -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "due"),
    [
        ({}, "2026-12-20"),
        ({"due_in": "7"}, "2026-11-27"),
        ({"due_in": "0"}, "2026-11-20"),
        ({"due_on": "2027-01-05"}, "2027-01-05"),
        ({"due_in": "", "due_on": "2026-11-30"}, "2026-11-30"),
        ({"due_in": "15", "due_on": "2026-11-30"}, "2026-11-30"),  # a day that was typed counts
    ],
)
def test_without_scripts_the_day_follows_from_the_terms(
    ana: Visitor, lead: int, session: Session, typed: dict[str, str], due: str
) -> None:
    ana.open(f"/invoices/new?lead={lead}")
    ana.submit(LINE | {"issued_on": "2026-11-20"} | typed, press="Save invoice")
    assert session.scalars(select(Invoice)).one().due_on.isoformat() == due


# --- On the way -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["invoice", "proposal", "job"])
def test_who_adds_the_lead_first_comes_back_to_the_document(kind: str, ana: Visitor) -> None:
    ana.open(f"/{kind}s/new?q=Oak+HOA")
    link = ana.page.select_one("main .head .buttons a")
    assert link
    ana.open(str(link["href"])).submit({"email": "board@oak.example"}, press="Save lead")
    assert (ana.path, ana.status) == (f"/{kind}s/new", 200)
    assert "For Oak HOA" in ana.text


def test_a_page_elsewhere_is_not_gone_on_to(ana: Visitor) -> None:
    ana.open("/leads/new?next=https://evil.example/").submit({"name": "Oak HOA"})
    assert ana.path.startswith("/leads/")
