"""What was typed while the session had ended is still there after signing in."""

import pytest
from flask import Flask
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from models.accounts import Draft
from models.sales import Invoice, Lead
from tests.support.firm import new_firm, new_invoice, new_lead
from tests.support.visitor import PASSWORD, Visitor, new_person
from web.drafts import MAX_DRAFT_LENGTH, MAX_DRAFTS_PER_HOUR

ANA = "ana@rivera.example"


@pytest.fixture
def firm(session: Session) -> int:
    firm = new_firm(session)
    new_person(session, firm, ANA)
    return firm


@pytest.fixture
def ana(app: Flask, firm: int) -> Visitor:
    return Visitor(app).sign_in(ANA)


def signed_out(visitor: Visitor, session: Session, how: str) -> None:
    """The page stays open; the session does not."""
    if how == "cookie gone":
        visitor.client.delete_cookie("dunahub")
    else:
        session.execute(text("UPDATE users SET session_version = session_version + 1"))
        session.commit()


def sign_in_again(visitor: Visitor) -> None:
    assert visitor.path == "/sign-in"
    assert "What you typed is kept" in visitor.text
    visitor.submit({"email": ANA, "password": PASSWORD})
    assert visitor.path.startswith("/drafts/")
    visitor.submit(press="Continue")


@pytest.mark.parametrize("how", ["cookie gone", "signed out everywhere"])
def test_an_invoice_typed_while_signed_out_survives_the_sign_in(
    ana: Visitor, session: Session, firm: int, how: str
) -> None:
    lead = new_lead(firm, "Kim Park")
    session.add(lead)
    session.commit()
    ana.open(f"/invoices/new?lead={lead.id}")
    signed_out(ana, session, how)
    typed = {"lines-0-description": "A <b>leak</b>", "lines-0-unit_price": "80", "memo": "Thanks"}
    ana.submit(typed, press="Save invoice")
    sign_in_again(ana)
    assert session.scalar(select(func.count()).select_from(Invoice)) == 0  # not by itself
    assert "For Kim Park" in ana.text
    ana.submit(press="Save invoice")
    invoice = session.scalars(select(Invoice)).one()
    assert (invoice.lines[0].description, invoice.memo) == ("A <b>leak</b>", "Thanks")
    assert invoice.total == 80


@pytest.mark.parametrize("path", ["/leads/new", "/leads/{lead}/edit", "/invoices/{invoice}/edit"])
def test_other_forms_are_kept_too(ana: Visitor, session: Session, firm: int, path: str) -> None:
    invoice = new_invoice(firm, new_lead(firm, "Kim Park"))
    session.add(invoice)
    session.commit()
    field = "memo" if "invoice" in path else "notes"
    ana.open(path.format(lead=invoice.lead_id, invoice=invoice.id))
    signed_out(ana, session, "cookie gone")
    ana.submit({field: "Gate code 4711"} | ({"name": "Kim"} if "new" in path else {}))
    sign_in_again(ana)
    assert ana.page.find(id=field).get_text().strip() == "Gate code 4711"  # type: ignore[union-attr]
    ana.submit()
    assert "is saved" in ana.text
    assert session.scalar(select(func.count()).select_from(Lead)) == (2 if "new" in path else 1)


def test_what_grants_power_or_is_too_long_is_not_kept(
    ana: Visitor, session: Session, firm: int
) -> None:
    ana.open("/settings/people")
    signed_out(ana, session, "cookie gone")
    ana.submit({"email": "tom@rivera.example"})
    ana.client.post("/leads", data={"name": "x" * MAX_DRAFT_LENGTH})
    assert session.scalar(select(func.count()).select_from(Draft)) == 0


def test_a_stranger_cannot_fill_the_table(app: Flask, session: Session, firm: int) -> None:
    stranger = Visitor(app)
    for _ in range(MAX_DRAFTS_PER_HOUR + 5):
        stranger.client.post("/leads", data={"name": "x"})
    assert session.scalar(select(func.count()).select_from(Draft)) == MAX_DRAFTS_PER_HOUR
    session.execute(text("UPDATE drafts SET created_at = now() - interval '2 days'"))
    session.commit()
    Visitor(app).client.post("/leads", data={"name": "x"})
    assert session.scalar(select(func.count()).select_from(Draft)) == 1


def test_nobody_opens_a_draft_without_its_secret(ana: Visitor) -> None:
    assert ana.open("/drafts/abc").status == 404


def test_who_signed_in_again_in_another_tab_goes_on_from_the_page_that_was_open(
    ana: Visitor, session: Session
) -> None:
    ana.open("/leads/new")
    page = ana.answer
    ana.client.delete_cookie("dunahub")
    ana.sign_in(ANA)
    ana.answer = page
    ana.submit({"name": "Kim Park"})
    assert (ana.status, "What you typed is still here" in ana.text) == (400, True)
    ana.submit(press="Continue").submit()
    assert session.scalars(select(Lead)).one().name == "Kim Park"


def test_a_draft_of_a_firm_opens_for_nobody_of_another(
    ana: Visitor, session: Session, firm: int
) -> None:
    new_person(session, new_firm(session, name="Oak HVAC"), "carla@oak.example")
    ana.open("/leads/new")
    signed_out(ana, session, "signed out everywhere")
    ana.submit({"name": "Green Lawn Co", "notes": "The key is under the mat"})
    ana.submit({"email": "carla@oak.example", "password": PASSWORD})
    assert (ana.status, "Green Lawn" in ana.text) == (404, False)
