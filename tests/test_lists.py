"""Lists of invoices and payments: overdue, sorted, with correct sums and statuses."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from models.sales import Invoice
from tests.support.firm import new_firm, new_invoice, new_lead, new_line, new_payment
from tests.support.situation import Situation
from tests.support.visitor import Visitor, new_person
from web.paging import ROWS_PER_PAGE

ANA = "ana@rivera.example"
ZONE = ZoneInfo("America/Los_Angeles")  # of `new_firm`


@pytest.fixture
def firm(session: Session) -> int:
    firm = new_firm(session)
    new_person(session, firm, ANA)
    return firm


@pytest.fixture
def ana(app: Flask, firm: int) -> Visitor:
    return Visitor(app).sign_in(ANA)


def invoice(firm: int, number: str, price: str, due_in: int) -> Invoice:
    """Due on a day of the firm's calendar, which is not always UTC's."""
    made = new_invoice(firm, new_lead(firm, f"Lead {number}"), [new_line(firm, price=price)])
    made.number = number
    made.issued_on = date(2026, 1, 1)
    made.due_on = datetime.now(ZONE).date() + timedelta(days=due_in)
    return made


def numbers(visitor: Visitor) -> list[str]:
    return [link.get_text() for link in visitor.page.select("table a.opens-row")]


@pytest.fixture
def invoices(session: Session, firm: int) -> dict[str, Invoice]:
    made = {
        "late": invoice(firm, "late", "100", -12),
        "later": invoice(firm, "later", "300", 20),
        "paid": invoice(firm, "paid", "50", -30),
        "void": invoice(firm, "void", "70", -30),
        "part": invoice(firm, "part", "200", -3),
    }
    session.add_all(made.values())
    session.add_all([new_payment(firm, made["paid"], "50"), new_payment(firm, made["part"], "80")])
    session.flush()
    made["void"].voided_at = datetime.now(UTC)
    session.commit()
    return made


def test_what_is_overdue_is_found_summed_and_said(
    ana: Visitor, invoices: dict[str, Invoice]
) -> None:
    assert "2 invoices are overdue: $220.00" in ana.open("/invoices").text
    ana.open("/invoices?state=overdue")
    assert numbers(ana) == ["part", "late"]
    assert "2 invoices Total $300.00 Open $220.00" in ana.text
    assert "12 days overdue" in ana.text
    assert len(ana.page.select("td.overdue")) == 2
    ana.open(f"/invoices/{invoices['late'].id}/payments/new").submit(
        {"method": "card", "amount": "100"}
    )
    assert numbers(ana.open("/invoices?state=overdue")) == ["part"]


def test_the_list_is_sorted_by_due_day_and_by_what_is_open(
    ana: Visitor, invoices: dict[str, Invoice]
) -> None:
    assert numbers(ana.open("/invoices")) == ["part", "void", "paid", "later", "late"]
    assert numbers(ana.open("/invoices?sort=due&state=open")) == ["late", "part", "later"]
    assert numbers(ana.open("/invoices?sort=open"))[:3] == ["later", "part", "late"]


@pytest.mark.parametrize(
    ("sort", "first"), [("due", "000"), ("open", f"{ROWS_PER_PAGE + 4:03}"), ("", "")]
)
def test_a_sorted_list_goes_on_where_the_page_ended(
    ana: Visitor, session: Session, firm: int, sort: str, first: str
) -> None:
    for number in range(ROWS_PER_PAGE + 5):
        session.add(invoice(firm, f"{number:03}", str(100 + number), number // 2))
    session.commit()
    seen = numbers(ana.open(f"/invoices?sort={sort}"))
    assert len(seen) == ROWS_PER_PAGE
    assert not first or seen[0] == first
    older = ana.page.find("a", rel="next")
    seen += numbers(ana.open(str(older["href"])))  # type: ignore[index]
    assert len(set(seen)) == len(seen) == ROWS_PER_PAGE + 5
    assert seen in (sorted(seen), sorted(seen, reverse=True))


def test_another_firms_row_is_no_place_to_go_on_from(
    ana: Visitor, session: Session, invoices: dict[str, Invoice]
) -> None:
    other = new_firm(session, name="Oak HVAC")
    theirs = invoice(other, "theirs", "150", 1)
    session.add(theirs)
    session.commit()
    assert numbers(ana.open(f"/invoices?sort=due&before={theirs.id}")) == []


def test_sums_are_of_all_that_fits_and_void_counts_as_nothing(
    ana: Visitor, invoices: dict[str, Invoice]
) -> None:
    assert "5 invoices Total $650.00 Open $520.00" in ana.open("/invoices?q=Lead").text
    assert "1 invoice Total $0.00 Open $0.00" in ana.open("/invoices?state=void").text
    row = ana.page.select_one("tbody tr")
    assert row
    assert row.select_one(".was-void")
    assert row.select(".amount")[-1].get_text(strip=True) == "–"


def test_what_was_paid_back_is_told_where_the_payment_is(
    ana: Visitor, session: Session, invoices: dict[str, Invoice]
) -> None:
    payment = invoices["part"].payments[0]
    payment.refunded_amount = Decimal(30)
    session.commit()
    for path in ("/payments", f"/invoices/{invoices['part'].id}"):
        assert "$80.00 −$30.00 refunded" in ana.open(path).text


@pytest.mark.parametrize(
    "path", ["/leads", "/jobs", "/proposals", "/invoices", "/payments", "/products"]
)
@pytest.mark.parametrize("sort", ["due", "open", "nothing", "'", "\x00"])
def test_an_order_that_is_none_is_the_usual_one(ana: Visitor, path: str, sort: str) -> None:
    ana.answer = ana.client.get(path, query_string={"sort": sort, "before": "7"})
    assert ana.status == 200


def test_a_void_invoice_says_void_here_and_there(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead())
    at.drain()
    assert "$100.00 in both" in at.ana.open(f"/invoices/{invoice}").panel()
    at.ana.open(f"/invoices/{invoice}/void").submit(press="Void the invoice")
    at.drain()
    assert "Voided in both" in at.ana.open(f"/invoices/{invoice}").panel()
    assert "$100.00" not in at.ana.panel()


def test_what_changed_while_disconnected_is_not_said_to_be_there(at: Situation) -> None:
    at.connect()
    lead = at.save_lead()
    edited, voided = at.save_invoice(lead), at.save_invoice(lead)
    at.drain()
    at.disconnect()
    at.ana.open(f"/invoices/{edited}/edit").submit({"lines-0-unit_price": "120"})
    at.ana.open(f"/invoices/{voided}/void").submit(press="Void the invoice")
    assert "$120.00 here, $100.00 there" in at.ana.open(f"/invoices/{edited}").panel()
    assert "Voided here, $100.00 there" in at.ana.open(f"/invoices/{voided}").panel()
    at.connect()
    assert "$120.00 here, $100.00 there" in at.ana.open(f"/invoices/{edited}").panel()
    assert "Voided here, $100.00 there" in at.ana.open(f"/invoices/{voided}").panel()
