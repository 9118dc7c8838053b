"""Rule 19: an organization of region BR sees nothing of QuickBooks, and writes nothing for it."""

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import AuditEvent, Organization, Region, Role
from models.outbox import Entry, Lane, LaneState
from models.quickbooks import Connection, Revocation, Tokens
from models.sales import Lead
from outbox import lanes
from simulator.testing import SimulatorHandle
from tests.support.connected import connect, drain
from tests.support.firm import entries_of, new_firm, new_invoice, new_lead, new_payment
from tests.support.visitor import Visitor, new_person

BRUNO, ADMIN = "bruno@silva.example", "admin@dunahub.example"
HIDDEN = ("quickbooks.", "connection.", "outbox.", "live.")


@pytest.fixture
def silva(session: Session) -> int:
    firm = new_firm(session, name="Silva Reformas", region="BR")
    new_person(session, firm, BRUNO)
    return firm


def hidden_paths(app: Flask, entry_id: int) -> list[tuple[str, str]]:
    return [
        (method, rule.rule.replace("<key:entry_id>", str(entry_id)))
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith(HIDDEN)
        for method in sorted((rule.methods or set()) & {"GET", "POST"})
    ]


def assert_nothing_shows(visitor: Visitor, app: Flask, session: Session, firm: int) -> None:
    session.rollback()
    lead = session.scalars(select(Lead).where(Lead.organization_id == firm)).first()
    assert lead
    paths = ["/leads", "/products", "/jobs", "/proposals", "/invoices", "/payments", "/settings"]
    paths += ["/settings/record"]
    paths += [f"/leads/{lead.id}", f"/leads/{lead.id}/edit", f"/leads/{lead.id}/delete"]
    invoices = (
        f"/invoices/new?lead={lead.id}",
        "/invoices/1",
        "/invoices/1/edit",
        "/invoices/1/void",
    )
    for path in [*paths, *invoices, "/invoices/1/payments/new", "/payments/1", "/nothing"]:
        page = visitor.open(path).answer.get_data(as_text=True)
        assert "quickbooks" not in page.lower(), path
        assert "intuit" not in page.lower(), path
    token = visitor.token()
    for method, path in hidden_paths(app, 1):
        data = {"csrf_token": token} if method == "POST" else None
        answer = visitor.client.open(path, method=method, data=data)
        assert answer.status_code == 404, (method, path)


def test_rule_19_a_brazilian_organization_sees_and_finds_nothing(
    app: Flask, session: Session, silva: int
) -> None:
    lead = new_lead(silva, "Mariana Costa")
    invoice = new_invoice(silva, lead)
    session.add_all([lead, invoice, new_payment(silva, invoice)])
    session.commit()
    assert_nothing_shows(Visitor(app).sign_in(BRUNO), app, session, silva)


def test_rule_19_a_new_organization_of_brazil_sees_nothing_from_the_start(
    app: Flask, session: Session
) -> None:
    visitor = Visitor(app).open("/sign-up")
    visitor.submit(
        {
            "organization": "Costa Obras",
            "region": "BR",
            "time_zone": "America/Sao_Paulo",
            "name": "Mariana",
            "email": "mariana@costa.example",
            "password": "a long password",
        }
    )
    assert "Welcome to DunaHub, Mariana." in visitor.text
    assert "quickbooks" not in visitor.answer.get_data(as_text=True).lower()
    assert visitor.open("/settings/quickbooks").status == 404
    assert "Costa Obras" in visitor.open("/settings").answer.get_data(as_text=True)


def test_rule_19_the_record_of_acts_hides_the_years_in_the_us(
    app: Flask, session: Session, silva: int
) -> None:
    acts = ("accountant.link_made", "accountant.visited", "payments.connected", "leads.imported")
    session.add_all(AuditEvent(organization_id=silva, action=act) for act in acts)
    session.commit()
    said = Visitor(app).sign_in(BRUNO).open("/settings/record").text
    assert ("ccountant" in said, "Stripe" in said, "imported" in said) == (False, False, True)


def test_rule_19_its_writes_make_no_entries_even_with_a_lane(
    app: Flask, session: Session, silva: int
) -> None:
    lanes.create(session, silva)
    session.commit()
    visitor = Visitor(app).sign_in(BRUNO)
    visitor.open("/leads/new").submit({"name": "Mariana Costa"})
    lead = session.scalars(select(Lead)).one()
    visitor.open(f"/invoices/new?lead={lead.id}").submit(
        {"lines-0-description": "Reforma", "lines-0-unit_price": "100"}, press="Save invoice"
    )
    visitor.open("/invoices/1/payments/new").submit({"method": "cash"}, press="Record payment")
    assert "The payment is recorded." in visitor.text
    assert entries_of(session) == []


def test_rule_19_a_flip_to_brazil_ends_everything_at_once_and_back_it_is_not_connected(
    app: Flask, sessions: Sessions, config: Config, session: Session, simulator: SimulatorHandle
) -> None:
    firm = new_firm(session)
    owner = new_person(session, firm, "ana@rivera.example")
    new_person(session, None, ADMIN, Role.ADMIN)
    connection = connect(sessions, config, owner)
    ana = Visitor(app).sign_in("ana@rivera.example")
    ana.open("/leads/new").submit({"name": "Green Lawn Co"})
    drain(sessions, config, connection.lane_id)
    ana.open("/leads/new").submit({"name": "Waiting at the flip"})
    lead = new_lead(firm, "For the pages")
    invoice = new_invoice(firm, lead)
    session.add_all([lead, invoice])
    session.commit()
    session.add(new_payment(firm, invoice))
    session.commit()

    admin = Visitor(app).sign_in(ADMIN).open(f"/admin/organizations/{firm}")
    admin.submit({"region": "BR", "reason": ""})
    assert "Say why" in admin.text
    admin.submit({"region": "BR", "reason": "They moved to Recife"})
    assert "is disconnected from Rivera Plumbing LLC at once" in admin.text
    assert "4 waiting records are held and not sent." in admin.text
    session.rollback()
    assert session.get_one(Organization, firm).region == "US"
    admin.submit(press="Move to BR")
    assert "is in BR now" in admin.text

    session.rollback()
    session.expire_all()
    stored = session.get_one(Connection, connection.id)
    assert (stored.status, stored.lane.state) == ("disconnected", "closed")
    assert session.scalars(select(Tokens)).all() == []
    [revocation] = session.scalars(select(Revocation))
    assert revocation.revoked_at  # case S14: Intuit hears of it at once, not from a job
    assert "/revoke" in str(simulator.journal())
    assert_nothing_shows(ana, app, session, firm)
    before = len(entries_of(session))
    ana.open("/leads/new").submit({"name": "Made in Brazil"})
    assert len(entries_of(session)) == before
    event = session.scalars(
        select(AuditEvent).where(AuditEvent.action == "organization.region_changed")
    ).one()
    assert (event.reason, event.details) == ("They moved to Recife", {"old": "US", "new": "BR"})

    admin.open(f"/admin/organizations/{firm}").submit({"region": "US", "reason": "Back again"})
    admin.submit(press="Move to US")
    assert "Not connected" in ana.open("/settings/quickbooks").text
    assert "On hold" in ana.open("/leads").text
    drain(sessions, config, connection.lane_id)
    names = [customer["DisplayName"] for customer in simulator.books(stored.realm_id)["Customer"]]
    assert "Green Lawn Co" in names
    assert "Waiting at the flip" not in names


def test_rule_19_the_admin_requeues_nothing_for_a_brazilian_organization(
    app: Flask, session: Session
) -> None:
    firm = new_firm(session)
    lanes.create(session, firm)
    session.add(new_lead(firm))
    session.commit()
    session.get_one(Organization, firm).region = Region.BR
    session.scalars(select(Lane)).one().state = LaneState.CLOSED
    session.commit()
    new_person(session, None, ADMIN, Role.ADMIN)
    entry = session.scalars(select(Entry)).one()
    admin = Visitor(app).sign_in(ADMIN).open("/admin/outbox")
    admin.submit({"entry": str(entry.id)}, press="Requeue…")
    admin.submit({"reason": "Try it"})
    assert "QuickBooks is not connected for this organization." in admin.text


# --- Words of Brazil ------------------------------------------------------------------------------


def test_brazil_has_its_own_words_for_addresses_and_payments(app: Flask, session: Session) -> None:
    silva = new_firm(session, name="Silva Reformas", region="BR")
    new_person(session, silva, "bruno@silva.example")
    bruno = Visitor(app).sign_in("bruno@silva.example")
    labels = {label.get_text() for label in bruno.open("/leads/new").page.select("main label")}
    assert {"State (UF)", "Postal code (CEP)"} <= labels
    assert not {"State", "ZIP code"} & labels
    bruno.submit({"name": "Casa Verde", "state": "SP", "postal_code": "01310-100"})
    lead = new_lead(silva)
    invoice = new_invoice(silva, lead)
    session.add_all([lead, invoice])
    session.commit()
    bruno.open(f"/invoices/{invoice.id}/payments/new")
    assert "Pix or bank transfer" in bruno.text
    assert "ACH" not in bruno.text
    bruno.submit({"amount": "40", "method": "ach"})
    for path in ("/payments", f"/invoices/{invoice.id}", "/payments/1", "/payments/1/refund"):
        assert "ACH" not in bruno.open(path).text, path


def test_the_us_keeps_its_words(app: Flask, session: Session) -> None:
    rivera = new_firm(session)
    new_person(session, rivera, "ana@rivera.example")
    ana = Visitor(app).sign_in("ana@rivera.example").open("/leads/new")
    assert {"State", "ZIP code"} <= {label.get_text() for label in ana.page.select("main label")}
