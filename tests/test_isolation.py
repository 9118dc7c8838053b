"""Rule 18: every route × every role × another organization's records, new routes included."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from PIL import Image
from sqlalchemy import Row, text
from sqlalchemy.orm import Session
from werkzeug.routing import Rule

from models import Base
from models.accountants import AccountantLink
from models.accounts import Invitation, Role
from models.clients import Letterhead
from models.comparisons import Comparison, Difference
from models.imports import LeadImport
from models.outbox import BulkAct, Entry
from models.quickbooks import Connection
from models.sales import GoodwillRefund, InvoiceDraft, Job, Proposal
from tests.support.firm import (
    new_firm,
    new_firm_with_lane,
    new_invoice,
    new_lead,
    new_payment,
    new_product,
)
from tests.support.visitor import Visitor, new_person

FIRM_BLUEPRINTS = {
    "leads",
    "imports",
    "products",
    "jobs",
    "proposals",
    "invoices",
    "invoice_drafts",
    "payments",
    "drafts",
    "settings",
    "people",
    "client_letters",
    "client_links",
}
QUICKBOOKS_BLUEPRINTS = {
    "quickbooks",
    "connection",
    "outbox",
    "fixes",
    "customers",
    "sending",
    "arrivals",
    "live",
    "matches",
    "accountants",
    "online_payments",
}
OWNERS_ONLY = {
    "accountants.index",
    "accountants.create",
    "accountants.revoke",
    "home.hide_steps",
    "online_payments.connect",
    "online_payments.come_back",
    "connection.connect",
    "connection.connect_other_company",
    "connection.show_company",
    "connection.start",
    "connection.choose_another",
    "connection.show_disconnect",
    "connection.disconnect",
    "settings.update_letterhead",
    "settings.update_organization",
    "settings.record",
    "people.invite",
    "people.withdraw",
    "people.show",
    "people.change_role",
    "people.sign_out",
    "people.remove",
}
BOOKS_ONLY = {  # a bookkeeper may, too
    "imports.read_customers",
    "connection.show_trial",
    "quickbooks.requeue_failed",
    "quickbooks.decide_waiting",
    "outbox.requeue",
    "outbox.skip",
    "outbox.undo_skip",
    "fixes.show",
    "fixes.decide",
    "customers.show",
    "customers.change",
    "sending.show",
    "sending.send",
    "sending.show_payment",
    "sending.send_payment",
    "sending.show_all",
    "sending.send_all",
    "arrivals.update",
    "matches.compare",
    "payments.decide_refund",
}
# What needs no sign-in, and why nothing of a firm shows there.
PUBLIC = {
    "home.show",  # leads on to where one belongs
    "accounts.show_sign_in",
    "accounts.enter",
    "signing_up.show",  # the same answer whoever asks
    "signing_up.begin",
    "signing_up.show_firm",  # by a secret of its own
    "signing_up.finish",
    "accounts.show_invitation",  # by a secret of its own
    "accounts.join",
    "forgotten.show",  # the same answer whoever asks
    "forgotten.ask",
    "forgotten.show_password",  # by a secret of its own, as the next three
    "forgotten.set_password",
    "forgotten.show_email",
    "forgotten.confirm_email",
    "second_factor.ask",  # after the password, and before anything else
    "second_factor.enter",
    "books.show",  # by a link of its own: tests/test_accountants.py
    "books.show_month",
    "books.export_month",
    "books.not_sent",
    "books.export_activity",
    "languages.choose",  # of one's own browser or account
    "health.healthz",  # for machines: figures, no names
    "health.readyz",
    "health.figures",
    "client_pages.show",  # by a link's secret: one document, and nothing else
    "client_pages.show_pdf",
    "client_pages.show_logo",
    "client_pages.pay",
    "client_pages.answer",
    "webhooks.receive_payment",  # by a signature; without a secret it is not there
}
NOBODYS = {"month", "kind"}  # a part of an address that names no record: everybody has a November
UNTESTED = {"static"}
ONES_OWN = {  # what they change is the visitor's, whoever that is
    "accounts.sign_out_everywhere",
    "settings.update_letterhead",
    "home.hide_steps",
}
SIGNED = "webhooks."  # nobody's session: the sender's signature decides, and has tests of its own
EMAILS = {
    "ana": "ana@rivera.example",
    "tom": "tom@rivera.example",
    "bianca": "bianca@books.example",
    "carla": "carla@oakhvac.example",
    "bruno": "bruno@silva.example",
    "admin": "admin@dunahub.example",
}


@dataclass(frozen=True)
class World:
    """Rivera's records, by the name that routes give their keys, and everyone who might knock."""

    keys: Mapping[str, int | str]
    people: Mapping[str, Visitor]


@pytest.fixture
def world(app: Flask, session: Session) -> World:
    rivera, lane = new_firm_with_lane(session)
    oak, _ = new_firm_with_lane(session, name="Oak HVAC Inc")
    silva = new_firm(session, name="Silva Reformas", region="BR")
    ana = new_person(session, rivera, EMAILS["ana"])
    new_person(session, rivera, EMAILS["tom"], Role.MEMBER)
    new_person(session, rivera, EMAILS["bianca"], Role.BOOKKEEPER)
    tess = new_person(session, rivera, "secret.tess@rivera.example", Role.MEMBER)
    new_person(session, oak, EMAILS["carla"])
    new_person(session, silva, EMAILS["bruno"])
    new_person(session, None, EMAILS["admin"], Role.ADMIN)
    lead = new_lead(rivera, "Secret Customer")
    invoice = new_invoice(rivera, lead, number="SECRET-1")
    payment = new_payment(rivera, invoice)
    refund = GoodwillRefund(
        organization_id=rivera, payment=payment, amount=1, refunded_on=date(2026, 11, 20)
    )
    product = new_product(rivera, "Secret service")
    job = Job(organization_id=rivera, lead=lead, title="Secret job")
    proposal = Proposal(organization_id=rivera, lead=lead, number="SECRET-2", title="Secret plan")
    days = {"issued_on": date(2026, 11, 20), "due_on": date(2026, 12, 20)}
    draft = InvoiceDraft(organization_id=rivera, lead=lead, memo="Secret draft", **days)
    invitation = Invitation(
        organization_id=rivera,
        email="new@rivera.example",
        role=Role.MEMBER,
        digest="-",
        invited_by_id=ana.id,
    )
    head = Letterhead(
        organization_id=rivera, address="Secret street", logo=_logo(), logo_digest="-"
    )
    link = AccountantLink(
        organization_id=rivera,
        name="Secret accountant",
        digest="-",
        created_by_id=ana.id,
        expires_at=text("now() + interval '1 day'"),
    )
    kept = LeadImport(
        organization_id=rivera,
        user_id=ana.id,
        source="file",
        rows={"read": [{"name": "Secret Customer 2", "email": ""}]},
    )
    session.add_all([kept, link, head, lead, invoice, payment, refund])
    session.add_all([product, job, proposal, draft, invitation])
    session.commit()
    _compare(session, rivera, lane)
    entry = session.query(Entry).order_by(Entry.id).first()
    assert entry
    bulk = BulkAct(user_id=ana.id, act="requeue", reason="-", entries=[entry.id])
    session.add(bulk)
    session.commit()
    keys: dict[str, int | str] = {
        "lead_id": lead.id,
        "invoice_id": invoice.id,
        "payment_id": payment.id,
        "refund_id": refund.id,
        "product_id": product.id,
        "job_id": job.id,
        "proposal_id": proposal.id,
        "draft_id": draft.id,
        "entry_id": entry.id,
        "bulk_id": bulk.id,
        "organization_id": rivera,
        "invitation_id": invitation.id,
        "user_id": tess.id,
        "link_id": link.id,
        "import_id": kept.id,
        "token": "nobody-has-this-token-of-theirs",
        "secret": "inv_nobody-has-this-one",
        "choice": "choose_customer",
        "month": "2026-11",
        "kind": "invoice",
    }
    session.commit()
    people = {name: Visitor(app).sign_in(email) for name, email in EMAILS.items()}
    return World(keys, {**people, "stranger": Visitor(app)})


def _logo() -> bytes:
    target = BytesIO()
    Image.new("RGB", (2, 2)).save(target, "PNG")
    return target.getvalue()


def _compare(session: Session, firm: int, lane: int) -> None:
    """Rivera's November beside QuickBooks', with one difference."""
    company = Connection(
        organization_id=firm,
        lane_id=lane,
        environment="simulator",
        realm_id="1",
        company_name="Secret company",
        country="US",
        status="disconnected",  # a live one has facts that this test does not tell
        status_since=text("now()"),
        connected_at=text("now()"),
    )
    session.add(company)
    session.flush()
    none = {"here": 0, "there": 0, "agree": 0, "sum_here": "0", "sum_there": "0", "kinds": {}}
    comparison = Comparison(
        organization_id=firm,
        month=date(2026, 11, 1),
        compared_at=text("now()"),
        connection_id=company.id,
        figures={"lead": none, "invoice": {**none, "kinds": {"made_there": 1}}, "payment": none},
    )
    session.add(comparison)
    session.flush()
    session.add(
        Difference(
            organization_id=firm,
            comparison_id=comparison.id,
            kind="made_there",
            record_type="invoice",
            remote_id="1",
            title="SECRET-3",
            name="Secret Customer",
            day=date(2026, 11, 2),
        )
    )


@dataclass(frozen=True)
class Door:
    endpoint: str
    method: str
    path: str
    names_a_record: bool

    @property
    def blueprint(self) -> str:
        return self.endpoint.partition(".")[0]


def doors(app: Flask, keys: Mapping[str, int | str]) -> Iterator[Door]:
    for rule in app.url_map.iter_rules():
        if rule.endpoint in UNTESTED or rule.endpoint.startswith(SIGNED):
            continue
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield Door(rule.endpoint, method, _path(rule, keys), bool(rule.arguments - NOBODYS))


def _path(rule: Rule, keys: Mapping[str, int | str]) -> str:
    unknown = rule.arguments - set(keys)
    assert not unknown, f"{rule.rule} has a key that this test knows no record for: {unknown}"
    built = rule.build({name: keys[name] for name in rule.arguments}, append_unknown=False)
    assert built
    return built[1]


def knock(visitor: Visitor, door: Door, token: str) -> int:
    answer = visitor.client.open(
        door.path,
        method=door.method,
        data={"csrf_token": token} if door.method == "POST" else None,
        buffered=True,  # to its end: a download is written while it is read
    )
    visitor.answer = answer
    return answer.status_code


def everything(session: Session) -> str:
    """The whole database, apart from who signed in and out when and how often they tried."""
    session.rollback()
    tables = sorted(set(Base.metadata.tables) - {"audit_events", "ended_sessions", "tallies"})
    return "\n".join(
        str(_readable(session.execute(text(f"SELECT * FROM {table} ORDER BY 1")).all()))
        for table in tables
    )


def _readable(rows: Sequence[Row[Any]]) -> list[list[object]]:
    return [[bytes(v) if isinstance(v, memoryview) else v for v in row] for row in rows]


def test_rule_18_a_stranger_is_sent_to_the_sign_in(app: Flask, world: World) -> None:
    stranger = world.people["stranger"]
    token = stranger.token()
    for door in doors(app, world.keys):
        if door.endpoint in PUBLIC:
            continue
        assert knock(stranger, door, token) == 302, door
        assert stranger.answer.headers["Location"].startswith("/sign-in"), door


@pytest.mark.parametrize("name", ["carla", "bruno", "admin"])
def test_rule_18_nobody_outside_the_firm_finds_or_changes_its_records(
    app: Flask, world: World, session: Session, name: str
) -> None:
    visitor, before = world.people[name], everything(session)
    token = visitor.token()
    for door in doors(app, world.keys):
        if door.endpoint in PUBLIC | ONES_OWN:
            continue
        if name == "admin" and door.blueprint == "admin":
            continue
        status = knock(visitor, door, token)
        page = visitor.answer.get_data(as_text=True)
        assert status < 500, door
        assert "ecret" not in page.replace("client_secret", ""), door
        assert "SECRET-" not in page, door
        if door.names_a_record:
            assert status == 404, door
        if door.endpoint == "accounts.leave":
            visitor.sign_in(EMAILS[name])
            token = visitor.token()
    assert everything(session) == before


@pytest.mark.parametrize(
    "path",
    [
        "/invoices/new?lead={lead_id}",
        "/invoices/new?job={job_id}",
        "/invoices/new?proposal={proposal_id}",
        "/jobs/new?lead={lead_id}",
        "/proposals/new?lead={lead_id}",
        "/quickbooks/badges?panel=invoice-{invoice_id}-0&round=1",
    ],
)
def test_rule_18_a_key_in_a_query_is_judged_as_one_in_a_path(world: World, path: str) -> None:
    assert world.people["carla"].open(path.format(**world.keys)).status == 404
    assert world.people["ana"].open(path.format(**world.keys)).status == 200


def test_rule_18_a_badge_of_another_firm_says_nothing(world: World) -> None:
    path = "/quickbooks/badges?b=invoice-{invoice_id}-0&b=lead-{lead_id}-0&round=1"
    path = path.format(**world.keys)
    carla = world.people["carla"].open(path)
    assert (carla.status, "badge-" in carla.answer.get_data(as_text=True)) == (200, False)
    ana = world.people["ana"].open(path)
    assert "badge-invoice-" in ana.answer.get_data(as_text=True)


@pytest.mark.parametrize("field", ["lead", "job", "proposal"])
@pytest.mark.parametrize("path", ["/invoices", "/proposals", "/jobs"])
def test_rule_18_a_key_in_a_form_is_judged_as_one_in_a_path(
    world: World, session: Session, path: str, field: str
) -> None:
    before = everything(session)
    carla = world.people["carla"]
    carla.post(path, {field: world.keys[f"{field}_id"], "title": "Mine", "issued_on": "2026-11-20"})
    assert carla.status == 404
    assert everything(session) == before


@pytest.mark.parametrize(
    ("name", "closed"), [("tom", OWNERS_ONLY | BOOKS_ONLY), ("bianca", OWNERS_ONLY)]
)
def test_each_role_finds_closed_what_is_not_its_own(
    app: Flask, world: World, session: Session, name: str, closed: set[str]
) -> None:
    visitor = world.people[name]
    token = visitor.token()
    before = everything(session)
    refused = {
        door.endpoint
        for door in doors(app, world.keys)
        if door.endpoint in closed and knock(visitor, door, token) == 403
    }
    assert refused == closed
    assert "Your role doesn't include this." in visitor.text
    assert everything(session) == before


def test_a_bookkeeper_finds_open_what_is_about_the_books(app: Flask, world: World) -> None:
    bianca = world.people["bianca"]
    token = bianca.token()
    for door in doors(app, world.keys):
        if door.endpoint in BOOKS_ONLY:
            assert knock(bianca, door, token) not in (403, 500), door


@pytest.mark.parametrize("name", ["tom", "bianca"])
def test_only_an_owner_is_offered_to_connect(world: World, name: str) -> None:
    settings = world.people[name].open("/settings/quickbooks")
    assert "Connect QuickBooks" not in settings.text
    assert "Only an owner can connect or disconnect." in settings.text


def test_a_member_and_an_owner_find_their_firms_records(app: Flask, world: World) -> None:
    for name in ("ana", "tom"):
        visitor = world.people[name]
        for door in doors(app, world.keys):
            if door.method != "GET" or door.blueprint == "admin" or door.endpoint in PUBLIC:
                continue
            if door.endpoint == "drafts.show":  # found by its secret only
                continue
            expected = {200, 302, 400}  # 400: Intuit's callback and the badges, asked for nothing
            if door.endpoint in OWNERS_ONLY | BOOKS_ONLY or door.blueprint == "connection":
                expected = expected | {403}
            assert knock(visitor, door, "") in expected, door


def test_only_admins_find_the_admin_pages(app: Flask, world: World) -> None:
    for door in doors(app, world.keys):
        if door.blueprint != "admin":
            continue
        for name in ("ana", "tom", "carla", "bruno"):
            visitor = world.people[name]
            assert knock(visitor, door, visitor.token()) == 404, (name, door)
        if door.method == "GET":
            assert knock(world.people["admin"], door, "") == 200, door


def test_every_route_stands_behind_a_door_this_test_knows(app: Flask, world: World) -> None:
    known = (
        FIRM_BLUEPRINTS
        | QUICKBOOKS_BLUEPRINTS
        | {"admin", "accounts", "health", "languages", "webhooks", "client_pages"}
        | {"home", "books", "forgotten", "second_factor", "signing_up"}
    )
    assert {door.blueprint for door in doors(app, world.keys)} <= known


def test_every_form_needs_its_token(app: Flask, world: World, session: Session) -> None:
    before = everything(session)
    for door in doors(app, world.keys):
        if door.method == "POST" and door.blueprint != "webhooks":  # those are signed instead
            assert knock(world.people["ana"], door, "") == 400, door
    assert "open too long" in world.people["ana"].text
    assert everything(session) == before


def test_signed_out_everywhere_ends_every_session(world: World, session: Session) -> None:
    ana = world.people["ana"]
    assert ana.open("/leads", follow=False).status == 200
    session.execute(text("UPDATE users SET session_version = session_version + 1"))
    session.commit()
    assert ana.open("/leads", follow=False).status == 302
