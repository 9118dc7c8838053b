"""Every form and address, thrown anything: no failure of ours, and no damage to what is stored.

Routes and fields are found by themselves: from the app's URL map, and from the forms on its pages.
A sample runs always, the same one, so that a build fails for what it changed; `--full` throws
20,000 of another seed each time. The seed is shown when something breaks; set FUZZ_SEED to it to
have the same again.
"""

import itertools
import os
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from bs4 import BeautifulSoup, Tag
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from config import Config
from db import Sessions
from models import Base
from models.accounts import Invitation, Role, User
from models.outbox import Entry
from models.sales import GoodwillRefund, InvoiceDraft, Job, Lead, Proposal
from quickbooks import months
from quickbooks.comparison import Month
from simulator.testing import SimulatorHandle
from tests.support.connected import connect
from tests.support.firm import (
    new_firm,
    new_firm_with_lane,
    new_invoice,
    new_lead,
    new_payment,
    new_product,
)
from tests.support.visitor import PASSWORD_HASH, Visitor, crawl, new_person

CHOSEN_SEED = int(os.environ.get("FUZZ_SEED") or 0)
SAMPLE, ALL = 500, 20_000
EMAILS = {"owner": "ana@rivera.example", "admin": "dana@dunahub.example"}
PROBE, SUM = "<xss-probe>", "{{1234*5678}}"
RESULT_OF_SUM = str(1234 * 5678)

# What has broken programs before.
NASTY = [
    "", " ", "\x00", "a\x00b", "'", "' OR '1'='1", "'; DROP TABLE leads; --", "\\", "%",
    "%s%n", "_%", SUM, "{% raw %}", "${7*7}", "#{7*7}", PROBE, f'"><script>{PROBE}</script>',
    "javascript:alert(1)", "-1", "0", "1", "1e999", "NaN", "Infinity", "-Infinity", "9" * 30,
    "0.00000001", "1,000.50", "１２", "0x10", "1_000", "٣", "--5", "1e5", "99999999.99",
    "-99999999.99", "2147483648", "9223372036854775807", "9223372036854775808", "true",
    "null", "[]", "{}", "\r\n\r\nX: y", "0000-00-00", "2026-02-30", "9999-12-31",
    "10000-01-01", "2026-11-22", "1999-12-31", "2026-W10-1", "US", "BR", "Mars/Olympus",
    "owner", "admin", "member", "card", "ach", "requeue", "skip", "undo_skip", "send", "now",
    "send_first", "//evil.example", "https://evil.example", "/\\evil.example", "../../etc",
    "😀" * 50, "‮gnidaer", "é́́́́", "\ufeff", "\u2028", "Ω≈ç√∫", "صادرات", "x" * 1_001,
    "x" * 25_000,
]  # fmt: skip
FILLERS = {
    "email": "kim@example.com", "name": "Kim", "password": "a long password",
    "title": "A title", "organization": "A firm", "quantity": "2", "unit_price": "10",
    "amount": "1", "number": "77", "description": "Something", "issued_on": "2026-11-22",
    "due_on": "2026-12-22", "received_on": "2026-11-22", "reason": "because", "region": "US",
    "act": "requeue", "role": "member",
}  # fmt: skip


@dataclass
class Target:
    """A route and a method, with what its form usually sends."""

    rule: Rule
    method: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Input:
    target: int
    role: str
    keys: tuple[str, ...]
    changed: tuple[tuple[str, tuple[str, ...]], ...]  # fields, and what they hold instead
    query: tuple[tuple[str, str], ...]
    shape: str  # form | form without the usual | json | file | text
    has_token: bool


class Range:
    """The app, everyone who may throw something at it, and what must not change meanwhile."""

    def __init__(self, app: Flask, session: Session, sessions: Sessions, config: Config) -> None:
        self.app, self.session, self.sessions, self.config = app, session, sessions, config
        self.intuit = f"{config.simulator_url}/connect/oauth2?"
        self.keys = self._furnish()
        self.bystander = self._of_others()
        visitors = {
            "owner": Visitor(app).sign_in(EMAILS["owner"]),
            "admin": Visitor(app).sign_in(EMAILS["admin"]),
            "stranger": Visitor(app),
        }
        self.tokens = {name: visitor.token() for name, visitor in visitors.items()}
        self.cookies = {name: _cookie(visitor.client) for name, visitor in visitors.items()}
        self.targets = self._targets(visitors)
        self.names = sorted({name for one in self.targets for name in one.fields} | set(FILLERS))
        self.addresses = itertools.count(1)
        self.statuses: Counter[int] = Counter()

    def _furnish(self) -> dict[str, int | str]:
        """A firm with one of everything, and a bystander with the same. Keys by routes' names."""
        session = self.session
        firm = new_firm(session)
        bystander, _ = new_firm_with_lane(session, name="Oak HVAC Inc")
        owner = new_person(session, firm, EMAILS["owner"])
        new_person(session, None, EMAILS["admin"], Role.ADMIN)
        new_person(session, bystander, "carla@oakhvac.example")
        colleague = new_person(session, firm, "tess@rivera.example", Role.MEMBER)
        self._connect()
        keys: dict[str, int | str] = {}
        for place in (bystander, firm):
            lead = new_lead(place, "Green Lawn Co")
            invoice = new_invoice(place, lead)
            payment, product = new_payment(place, invoice), new_product(place)
            job = Job(organization_id=place, lead=lead, title="Valve")
            proposal = Proposal(organization_id=place, lead=lead, number="9", title="Plan")
            draft = InvoiceDraft(
                organization_id=place,
                lead=lead,
                issued_on=date(2026, 11, 20),
                due_on=date(2026, 12, 20),
            )
            invitation = Invitation(
                organization_id=place,
                email="tom@rivera.example",
                role=Role.MEMBER,
                digest=f"digest {place}",
                invited_by_id=owner.id,
            )
            refund = GoodwillRefund(
                organization_id=place, payment=payment, amount=1, refunded_on=date(2026, 11, 20)
            )
            session.add_all(
                [lead, invoice, payment, refund, product, job, proposal, draft, invitation]
            )
            session.commit()
            keys = {
                "lead_id": lead.id,
                "invoice_id": invoice.id,
                "payment_id": payment.id,
                "refund_id": refund.id,
                "product_id": product.id,
                "job_id": job.id,
                "proposal_id": proposal.id,
                "draft_id": draft.id,
                "invitation_id": invitation.id,
            }
        session.execute(text("UPDATE outbox SET state = 'failed', fault_code = '6240',"
                             " settled_at = clock_timestamp() WHERE id % 2 = 0"))  # fmt: skip
        session.commit()
        entry = select(func.max(Entry.id)).where(Entry.organization_id == firm)
        keys |= {"entry_id": session.scalar(entry) or 0, "secret": "inv_nobody-has-this"}
        month = Month.of(datetime.now(UTC).date())
        assert months.ask(session, firm, month, owner.id)
        session.commit()
        assert months.compare_due(self.sessions, self.config) == 1
        keys |= {"month": str(month), "choice": "choose_customer"}
        keys |= {"user_id": colleague.id}
        spare = new_firm(session, name="Spare Inc")  # whose region may be changed back and forth
        return keys | {"organization_id": spare, "bystander": bystander}

    def _targets(self, visitors: Mapping[str, Visitor]) -> list[Target]:
        targets = [
            Target(rule, method)
            for rule in self.app.url_map.iter_rules()
            if rule.endpoint != "static"
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        ]
        adapter = self.app.url_map.bind("localhost")
        for visitor in visitors.values():
            for _path, page in _pages(visitor.client):
                for form in BeautifulSoup(page, "html.parser").select("form"):
                    method = str(form.get("method") or "get").upper()
                    action = urlsplit(str(form.get("action") or _path))
                    if action.netloc:
                        continue
                    try:
                        endpoint, _ = adapter.match(action.path, method)
                    except HTTPException:  # it was led on to another page, whose form it is
                        continue
                    for target in targets:
                        if (target.rule.endpoint, target.method) == (endpoint, method):
                            target.fields |= _fields(form)
        return targets

    def inputs(self) -> st.SearchStrategy[Input]:
        value = st.one_of(
            st.sampled_from(NASTY),
            st.text(max_size=40),
            st.integers(-(10**20), 10**20).map(str),
            st.decimals(allow_nan=False, allow_infinity=False).map(str),
        )
        values = st.lists(value, min_size=1, max_size=2).map(tuple)
        name = st.sampled_from(self.names) | st.text(min_size=1, max_size=12)
        # Mostly a key that is there: behind a 404 nothing is tried.
        key = st.sampled_from(["real"] * 20 + ["1", "0", "-1", "999999", "9" * 25, "a", "'"])

        @st.composite
        def compose(draw: st.DrawFn) -> Input:
            number = draw(st.integers(0, len(self.targets) - 1))
            own = sorted(self.targets[number].fields)
            changed = draw(
                st.lists(
                    st.tuples((st.sampled_from(own) | name) if own else name, values), max_size=4
                )
            )
            return Input(
                target=number,
                role=draw(
                    st.sampled_from(["owner", "owner", "owner", "admin", "admin", "stranger"])
                ),
                keys=tuple(draw(st.lists(key, min_size=3, max_size=3))),
                changed=tuple(changed),
                query=tuple(draw(st.lists(st.tuples(name, value), max_size=2))),
                shape=draw(st.sampled_from(["form"] * 8 + ["bare", "json", "file", "text"])),
                has_token=draw(st.integers(0, 19)) > 0,
            )

        return compose()

    def throw(self, thrown: Input) -> None:
        target = self.targets[thrown.target]
        path = self._path(target.rule, thrown.keys)
        if path is None:
            return
        client = self.app.test_client()
        client.set_cookie("dunahub", self.cookies[thrown.role])
        number = next(self.addresses)
        client.environ_base["REMOTE_ADDR"] = (
            f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        )
        answer = client.open(
            path,
            method=target.method,
            query_string=list(thrown.query),
            **self._body(target, thrown),
        )
        told = f"{thrown.role}: {target.method} {path} ({target.rule.endpoint}) → {answer.status}"
        note(told)
        assert answer.status_code < 500, told
        self.statuses[answer.status_code] += 1
        page = answer.get_data().decode(errors="replace")  # a PDF is no text
        if answer.mimetype == "text/html":
            assert PROBE not in page, told
            assert "<script>" not in page, told
        assert RESULT_OF_SUM not in page, told
        assert "Content-Security-Policy" in answer.headers, told
        assert "X" not in answer.headers, told
        led_to = answer.headers.get("Location", "")
        assert urlsplit(led_to).netloc in ("", "localhost") or led_to.startswith(self.intuit), told
        self._mend(target.rule.endpoint)
        answer.close()

    def _mend(self, endpoint: str) -> None:
        """What a few acts take away is there again, or nothing of it would be tried any more."""
        self.session.execute(text("DELETE FROM ended_sessions"))
        changed = "session_version <> 0 OR password_hash <> :known"
        self.session.execute(
            text(f"UPDATE users SET session_version = 0, password_hash = :known WHERE {changed}"),
            {"known": PASSWORD_HASH},
        )
        if endpoint == "people.remove":
            self.session.execute(text("UPDATE users SET removed_at = NULL"))
        if endpoint == "leads.delete":
            self.session.expire_all()
            for lead in self.session.scalars(select(Lead).where(Lead.deleted_at.is_not(None))):
                lead.deleted_at = None
        self.session.commit()
        if endpoint == "connection.disconnect":
            self._connect()

    def _connect(self) -> None:
        """The firm's QuickBooks company, unless it is connected."""
        owner = self.session.scalars(select(User).where(User.email == EMAILS["owner"])).one()
        self.session.rollback()
        live = text("SELECT FROM quickbooks_connections WHERE status <> 'disconnected'")
        if self.session.execute(live).first() is None:
            connect(self.sessions, self.config, owner)
        self.session.rollback()

    def _path(self, rule: Rule, keys: tuple[str, ...]) -> str | None:
        path = rule.rule
        for name, key in zip(sorted(rule.arguments), itertools.cycle(keys), strict=False):
            value = str(self.keys.get(name, "new")) if key == "real" else key
            converter = "key:" if f"<key:{name}>" in path else ""
            path = path.replace(f"<{converter}{name}>", value)
        return path if "<" not in path else None

    def _body(self, target: Target, thrown: Input) -> dict[str, Any]:
        if target.method != "POST":
            return {}
        usual = {} if thrown.shape == "bare" else dict(target.fields)
        fields: dict[str, list[str]] = {name: [value] for name, value in usual.items()}
        fields |= {name: list(values) for name, values in thrown.changed}
        if thrown.has_token:
            fields["csrf_token"] = [self.tokens[thrown.role]]
        else:
            fields.pop("csrf_token", None)
        match thrown.shape:
            case "json":
                return {"json": fields}
            case "text":
                return {"data": str(thrown.changed).encode(), "content_type": "text/plain"}
            case "file":
                upload = (BytesIO(b"\x00\xff" * 100), "../../../etc/passwd\x00.png")
                return {"data": {**fields, "upload": upload, "name": upload}}
            case _:
                return {"data": fields}

    def _of_others(self) -> str:
        """Everything of the firm that nobody here belongs to, and who may do what."""
        self.session.rollback()
        found = []
        for name, table in sorted(Base.metadata.tables.items()):
            if "organization_id" not in table.c or name in ("audit_events", "notices"):
                continue
            query = select(table).where(table.c.organization_id == self.keys["bystander"])
            found.append(f"{name}: {self.session.execute(query.order_by(table.c[0])).all()}")
        people = select(User.id, User.role, User.organization_id).where(User.id <= 3)
        found.append(str(self.session.execute(people.order_by(User.id)).all()))
        self.session.rollback()
        return "\n".join(found)

    def judge(self) -> None:
        """What is stored afterwards is whole, belongs to whom it did, and can all be shown."""
        assert self._of_others() == self.bystander
        for what, statement in DAMAGE.items():
            assert self.session.execute(text(statement)).all() == [], what
        admins = select(func.count()).where(User.role == Role.ADMIN)
        assert self.session.scalar(admins) == 1
        self.session.rollback()
        for name in ("owner", "admin"):
            client = self.app.test_client()
            client.set_cookie("dunahub", self.cookies[name])
            pages = list(_pages(client, most=150))
            assert len(pages) > 5
            for path, page in pages:
                assert PROBE not in page, path
                assert RESULT_OF_SUM not in page, path


DAMAGE = {
    "sums that do not add up": """
        SELECT invoice.id FROM invoices AS invoice
        LEFT JOIN LATERAL (SELECT coalesce(sum(amount), 0) AS subtotal FROM invoice_lines
                           WHERE invoice_id = invoice.id) AS lines ON true
        WHERE invoice.subtotal <> lines.subtotal
           OR invoice.total <> invoice.subtotal + invoice.tax_amount
    """,
    "parts of one firm in a document of another": """
        SELECT line.id FROM invoice_lines AS line JOIN invoices ON invoices.id = line.invoice_id
        LEFT JOIN products ON products.id = line.product_id
        WHERE line.organization_id <> invoices.organization_id
           OR products.organization_id <> invoices.organization_id
        UNION ALL
        SELECT invoices.id FROM invoices JOIN leads ON leads.id = invoices.lead_id
        WHERE leads.organization_id <> invoices.organization_id
        UNION ALL
        SELECT payments.id FROM payments JOIN invoices ON invoices.id = payments.invoice_id
        WHERE payments.organization_id <> invoices.organization_id
    """,
    "entries in a lane of another firm": """
        SELECT entry.id FROM outbox AS entry JOIN outbox_lanes AS lane ON lane.id = entry.lane_id
        WHERE entry.organization_id <> lane.organization_id
    """,
    "people without a name": "SELECT id FROM users WHERE name = '' OR email NOT LIKE '%@%'",
}


def _cookie(client: FlaskClient) -> str:
    found = client.get_cookie("dunahub")
    return found.value if found else ""


def _fields(form: Tag) -> dict[str, str]:
    found = {}
    for part in form.select("input[name], select[name], textarea[name], button[name]"):
        name = str(part["name"])
        option = part.select_one("option[selected]") or part.select_one("option")
        shown = option or part
        value = str(shown.get("value") or shown.get_text() or "")
        found[name] = value or FILLERS.get(name.rpartition("-")[2], "")
    found.pop("csrf_token", None)
    return found


def _pages(client: FlaskClient, most: int = 400) -> Iterator[tuple[str, str]]:
    """Every page that links lead to. Files are not shown by a browser: what is typed may stand."""
    for path, answer in crawl(client, most):
        if answer.mimetype == "text/html":
            yield path, answer.get_data(as_text=True)


@pytest.fixture
def field_of_fire(
    app: Flask, session: Session, sessions: Sessions, config: Config, simulator: SimulatorHandle
) -> Range:
    """A firm that is connected: behind a page that says *Connect* nothing is tried."""
    assert simulator
    return Range(app, session, sessions, config)


@pytest.mark.timeout(900)  # it opens every page first: slow where the machine is busy
def test_nothing_thrown_at_any_route_breaks_it(field_of_fire: Range) -> None:
    _throw_all(field_of_fire, SAMPLE, CHOSEN_SEED or 1)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_twenty_thousand_inputs_break_nothing(field_of_fire: Range) -> None:
    _throw_all(field_of_fire, ALL, CHOSEN_SEED or random.randrange(2**32))


def _throw_all(range_: Range, count: int, chosen: int) -> None:
    print(f"FUZZ_SEED={chosen}")  # noqa: T201  (shown when it fails)

    @seed(chosen)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # a failure is shown as it came: state has changed by then
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(range_.inputs())
    def throw(thrown: Input) -> None:
        range_.throw(thrown)

    throw()
    print(range_.statuses)  # noqa: T201
    for status in (200, 303, 404, 422):  # it came through the doors, and was not only refused
        assert range_.statuses[status] > 0, range_.statuses
    range_.judge()
