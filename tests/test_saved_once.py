"""One form makes one record, however often and however fast it is sent."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Base
from models.accounts import Invitation
from models.outbox import Entry
from models.sales import Invoice, Job, Lead, Payment, Product, Proposal
from tests.support.firm import new_firm, new_firm_with_lane, new_invoice, new_lead, new_payment
from tests.support.visitor import Visitor, new_person

ANA = "ana@rivera.example"
LINE = {"lines-0-description": "Visit", "lines-0-unit_price": "80"}

FORMS: dict[str, tuple[str, dict[str, str], type[Base]]] = {
    "lead": ("/leads/new", {"name": "Oak HOA"}, Lead),
    "product": ("/products/new", {"name": "Visit", "unit_price": "80"}, Product),
    "job": ("/jobs/new?lead={lead}", {"title": "Valve"} | LINE, Job),
    "proposal": ("/proposals/new?lead={lead}", {"title": "Valve"} | LINE, Proposal),
    "invoice": ("/invoices/new?lead={lead}", LINE, Invoice),
    "payment": (
        "/invoices/{invoice}/payments/new",
        {"amount": "40", "method": "check"},
        Payment,
    ),
    "invitation": ("/settings/people", {"email": "tom@rivera.example"}, Invitation),
}


@pytest.fixture
def firm(session: Session) -> int:
    firm, _lane = new_firm_with_lane(session)
    new_person(session, firm, ANA)
    return firm


@pytest.fixture
def ana(app: Flask, firm: int) -> Visitor:
    return Visitor(app).sign_in(ANA)


@pytest.fixture
def address(session: Session, firm: int) -> Callable[[str], str]:
    """The address of a form, for a lead and an invoice of $100 that are there."""
    invoice = new_invoice(firm, new_lead(firm), number="77")
    session.add(invoice)
    session.commit()
    keys = {"lead": invoice.lead_id, "invoice": invoice.id}
    return lambda path: path.format(**keys)


def link_of(visitor: Visitor) -> str | None:
    """Where we can't mail, the link of an invitation: this page alone shows it."""
    found = re.search(r"http://\S+/inv_\S+", visitor.text)
    return found.group() if found else None


def count(session: Session, model: type[Base]) -> int:
    session.rollback()
    return session.scalar(select(func.count()).select_from(model)) or 0


@pytest.mark.parametrize("form", FORMS)
def test_case_s02_a_form_pressed_three_times_makes_one_record(
    form: str, ana: Visitor, session: Session, address: Callable[[str], str]
) -> None:
    path, fields, model = FORMS[form]
    before, entries = count(session, model), count(session, Entry)
    page = ana.open(address(path)).answer
    first = ana.submit(fields)
    assert (first.status, count(session, model)) == (200, before + 1)
    told, sent, link = ana.path, count(session, Entry), link_of(ana)
    assert sent - entries == (1 if form in ("lead", "invoice", "payment") else 0)
    for _ in range(2):
        ana.answer = page
        ana.submit(fields)
        assert (ana.status, ana.path) == (200, told)
        assert "already saved" in ana.text or link_of(ana) == link
    assert (count(session, model), count(session, Entry)) == (before + 1, sent)


@pytest.mark.parametrize("form", ["job", "proposal", "invoice"])
def test_case_s02_an_edit_sent_again_adds_its_line_once(
    form: str, ana: Visitor, session: Session, address: Callable[[str], str]
) -> None:
    path, fields, model = FORMS[form]
    ana.open(address(path)).submit(fields)
    page = ana.open(f"{ana.path}/edit").answer
    for price in ("50", "50", "60"):  # pressed twice; then, with *Back*, another price
        ana.answer = page
        ana.submit({"lines-1-description": "Extra", "lines-1-unit_price": price})
        assert ana.status == 200
        session.rollback()
        record = session.scalars(select(model).order_by(model.id.desc()).limit(1)).one()  # type: ignore[attr-defined]
        lines = [(line.description, line.unit_price) for line in record.lines]  # type: ignore[attr-defined]
        assert lines == [("Visit", Decimal(80)), ("Extra", Decimal(price))]


@pytest.mark.parametrize("row", ["²", "9" * 5000, "-1", "", "0x1", "١"])
def test_case_s03_a_forged_row_number_is_refused(
    row: str, ana: Visitor, address: Callable[[str], str]
) -> None:
    ana.open(address("/jobs/new?lead={lead}"))
    sent = {"csrf_token": ana.token(), "title": "Valve", f"lines-{row}-description": "a"}
    answer = ana.client.post(address("/jobs?lead={lead}"), data=sent)
    assert answer.status_code == 400


def test_case_s02_a_refund_pressed_twice_is_paid_back_once(
    ana: Visitor, session: Session, firm: int
) -> None:
    payment = new_payment(firm, new_invoice(firm, new_lead(firm)), "80")
    session.add(payment)
    session.commit()
    page = ana.open(f"/payments/{payment.id}/refund").answer
    ana.submit({"amount": "30"})
    ana.answer = page
    ana.submit({"amount": "30"})
    assert (ana.path, "already saved" in ana.text) == (f"/payments/{payment.id}", True)
    session.refresh(payment)
    assert payment.refunded_amount == 30


@pytest.mark.parametrize("form", ["lead", "payment", "invoice"])
def test_case_s02_presses_at_the_same_moment_make_one_record(
    form: str, ana: Visitor, app: Flask, session: Session, address: Callable[[str], str]
) -> None:
    path, fields, model = FORMS[form]
    before = count(session, model)
    page = ana.open(address(path)).answer

    def press(_number: int) -> str:
        hand = Visitor(app)
        hand.client.set_cookie("dunahub", ana.client.get_cookie("dunahub").value)  # type: ignore[union-attr]
        hand.answer = page
        return hand.submit(fields).path

    with ThreadPoolExecutor(6) as hands:
        led_to = set(hands.map(press, range(6)))
    assert len(led_to) == 1
    assert count(session, model) == before + 1


def test_case_s02_a_form_that_was_refused_saves_once_it_is_right(
    ana: Visitor, session: Session, address: Callable[[str], str]
) -> None:
    ana.open("/leads/new").submit({"name": ""})
    assert (ana.status, count(session, Lead)) == (422, 1)
    ana.submit({"name": "Oak HOA"})
    assert (ana.status, count(session, Lead)) == (200, 2)


def test_case_s02_every_opened_form_saves_its_own_record(ana: Visitor, session: Session) -> None:
    for _ in range(2):
        ana.open("/leads/new").submit({"name": "Twin"})
    assert count(session, Lead) == 2


@pytest.mark.parametrize("key", [None, "", "short", "x" * 23, "\x00" * 22, "ключ" * 6])
def test_case_s02_a_form_of_an_earlier_release_has_no_key_and_saves_once(
    key: str | None, ana: Visitor, session: Session
) -> None:
    fields = {"name": "Oak HOA", "csrf_token": ana.token()} | (
        {} if key is None else {"form_key": key}
    )
    led_to = {ana.client.post("/leads", data=fields).headers["Location"] for _ in range(3)}
    assert (len(led_to), count(session, Lead)) == (1, 1)
    ana.client.post("/leads", data=fields | {"name": "Elm HOA"})
    assert count(session, Lead) == 2


def test_case_s02_another_firms_key_tells_nothing(
    ana: Visitor, app: Flask, session: Session
) -> None:
    new_person(session, new_firm(session, name="Oak HVAC"), "carla@oak.example")
    carla = Visitor(app).sign_in("carla@oak.example")
    key = ana.open("/leads/new").page.find("input", {"name": "form_key"})["value"]  # type: ignore[index]
    ana.submit({"name": "Secret Customer"})
    carla.open("/leads/new").submit({"name": "Oak HOA", "form_key": str(key)})
    assert "Oak HOA" in carla.text
    assert "already saved" not in carla.text
    assert count(session, Lead) == 2


def test_case_s02_sums_stay_right_after_an_impatient_payment(
    ana: Visitor, session: Session, address: Callable[[str], str]
) -> None:
    page = ana.open(address("/invoices/{invoice}/payments/new")).answer
    for _ in range(3):
        ana.answer = page
        ana.submit({"amount": "100", "method": "check"})
    assert session.scalars(select(Invoice)).one().paid_amount == Decimal(100)
