"""Limits of forms are checked before any work is done, and for the resulting document."""

import time
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.sales import Invoice, InvoiceLine, Job, JobLine
from tests.support.firm import new_firm, new_invoice, new_lead, new_line
from tests.support.visitor import Visitor, new_person
from web.lines import MAX_LINES, MAX_ROWS

ANA = "ana@rivera.example"
MANY = 60_000
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def firm(session: Session) -> int:
    firm = new_firm(session)
    new_person(session, firm, ANA)
    return firm


@pytest.fixture
def ana(app: Flask, firm: int) -> Visitor:
    return Visitor(app).sign_in(ANA)


@pytest.fixture
def lead(session: Session, firm: int) -> int:
    lead = new_lead(firm)
    session.add(lead)
    session.commit()
    return lead.id


def rows(count: int, first: int = 0) -> Iterator[tuple[str, str]]:
    for number in range(first, first + count):
        yield f"lines-{number}-description", f"Part {number}"
        yield f"lines-{number}-unit_price", "1"


@pytest.mark.parametrize("path", ["/jobs", "/proposals", "/invoices"])
@pytest.mark.parametrize("part", ["description", "key"])
def test_case_s03_sixty_thousand_lines_are_refused_at_once(
    ana: Visitor, lead: int, path: str, part: str, session: Session
) -> None:
    fields = [(f"lines-{number}-{part}", "a") for number in range(MANY)]
    body = urlencode(
        [("title", "Valve"), ("lead", str(lead)), ("csrf_token", ana.token()), *fields]
    )
    began = time.process_time()
    answer = ana.client.post(path, data=body + "&add_rows=yes", content_type=FORM)
    assert answer.status_code == 413
    assert "Too much at once" in answer.text
    assert time.process_time() - began < 1
    assert len(answer.data) < 50_000
    assert session.scalar(select(func.count()).select_from(Job)) == 0


@pytest.mark.parametrize("path", ["/leads", "/products", "/settings/organization", "/sign-in"])
def test_case_s03_thousands_of_fields_are_refused_by_every_form(ana: Visitor, path: str) -> None:
    fields = [("csrf_token", ana.token()), *((f"x{number}", "") for number in range(5_000))]
    answer = ana.client.post(path, data=urlencode(fields), content_type=FORM)
    assert answer.status_code == 413


def test_case_s03_a_form_a_little_too_long_keeps_what_was_typed(
    ana: Visitor, lead: int, session: Session
) -> None:
    ana.open(f"/invoices/new?lead={lead}")
    ana.post("/invoices", dict(rows(MAX_LINES + 1)) | {"lead": lead})
    assert ana.status == 422
    assert f"One document can have at most {MAX_LINES} lines." in ana.text
    assert f"Part {MAX_LINES}" in ana.text
    ana.post("/invoices", dict(rows(MAX_ROWS + 1)) | {"lead": lead})
    assert ana.status == 413
    assert session.scalar(select(func.count()).select_from(Invoice)) == 0


def test_case_s03_add_lines_stops_at_the_limit(ana: Visitor, lead: int) -> None:
    ana.post("/jobs", dict(rows(MAX_LINES - 1)) | {"lead": lead, "add_rows": "yes"})
    assert len(ana.page.select(".line")) == MAX_LINES
    ana.post("/jobs", dict(rows(MAX_LINES)) | {"lead": lead, "add_rows": "yes"})
    assert (ana.status, len(ana.page.select(".line"))) == (200, MAX_LINES)


def test_case_s03_lines_added_again_and_again_count_for_the_document(
    ana: Visitor, lead: int, session: Session, firm: int
) -> None:
    start = {"lead": lead, "title": "Valve", "status": "done"}
    ana.post("/jobs", dict(rows(150)) | start)
    job = session.scalars(select(Job)).one()
    for _ in range(2):  # a form that shows none of the lines that are there
        ana.post(f"/jobs/{job.id}", dict(rows(60)) | {"title": "Valve", "status": "done"})
        assert ana.status == 422
        assert f"at most {MAX_LINES} lines" in ana.text
    assert session.scalar(select(func.count()).select_from(JobLine)) == 150
    ana.post(f"/jobs/{job.id}", dict(rows(50)) | {"title": "Valve", "status": "done"})
    assert session.scalar(select(func.count()).select_from(JobLine)) == MAX_LINES


def test_case_s03_two_edits_that_only_together_are_too_much_are_refused(
    ana: Visitor, app: Flask, lead: int, session: Session, firm: int
) -> None:
    invoice = new_invoice(firm, new_lead(firm), [new_line(firm, "Pipe", "1", "9999999")])
    session.add(invoice)
    session.commit()
    new_person(session, firm, "tom@rivera.example")
    tom = Visitor(app).sign_in("tom@rivera.example")
    for person in (ana, tom):
        person.open(f"/invoices/{invoice.id}/edit")
    ana.submit({"lines-0-unit_price": "1"}, press="Save invoice")
    assert ana.status == 200
    tom.submit({"lines-0-quantity": "9999999"}, press="Save invoice")
    assert tom.status == 200  # $9,999,999 once the price is $1
    ana.open(f"/invoices/{invoice.id}/edit").submit({"lines-0-unit_price": "9999999"})
    assert ana.status == 422
    assert "One line can be at most 99,999,999.99." in ana.text
    line = session.scalars(select(InvoiceLine)).one()
    session.refresh(line)
    assert line.amount == 9_999_999


@pytest.mark.parametrize("key", ["0", "00", "-1", "999999999999999999"])
def test_case_s10_a_product_that_is_none_is_refused_beside_its_line(
    ana: Visitor, lead: int, key: str, session: Session
) -> None:
    line = {"lines-0-product_id": key, "lines-0-description": "A", "lines-0-unit_price": "1"}
    ana.post("/invoices", line | {"lead": lead, "issued_on": "2026-11-20", "due_on": "2026-12-20"})
    assert ana.status == 422
    assert "from the list" in ana.text
    assert session.scalar(select(func.count()).select_from(Invoice)) == 0


FORGED = ("0", "-1", "999999999999999999", "9" * 40, "x", "", "\x00", "1'--", "²")
ANSWERS = (200, 302, 303, 400, 404, 422)


def test_case_s10_a_forged_hidden_field_of_an_invoice_blames_no_number(
    ana: Visitor, lead: int
) -> None:
    fields = {
        "lead": str(lead),
        "issued_on": "2026-11-20",
        "due_on": "2026-12-20",
        "lines-0-description": "A",
        "lines-0-unit_price": "1",
    }
    for field in ("lead", "job", "proposal", "was", "due_shown", "form_key"):
        for forged in FORGED:
            ana.post("/invoices", fields | {field: forged})
            assert ana.status in ANSWERS, (field, forged)
            assert "Another invoice has this number." not in ana.text, (field, forged)


def test_case_s10_a_forged_field_of_another_new_record_is_answered(ana: Visitor) -> None:
    for path in ("/jobs", "/proposals", "/leads", "/products"):
        for forged in FORGED:
            fields = {"lead": forged, "was": forged, "lines-0-product_id": forged}
            ana.post(path, fields | {"lines-0-description": "A", "name": "A", "title": "A"})
            assert ana.status in ANSWERS, (path, forged)
