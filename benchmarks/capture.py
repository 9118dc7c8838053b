"""What capture adds to the time of a save: `python -m benchmarks.capture [--quick] [--json]`."""

import itertools
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import partial

from flask import Flask
from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session, UOWTransaction

from app import DunaHub
from benchmarks.apps import quiet_app
from benchmarks.harness import Report, Row, ask, median, own_postgres, percentile, turns
from benchmarks.ours import environment
from config import Config
from db import Sessions, make_engine, make_sessions
from models.sales import Invoice, InvoiceLine, Lead, lock_invoices_of_changed_parts, recalculate
from outbox import capture
from simulator.testing import ApiClient, SimulatorHandle, running_simulator
from tests.support.firm import new_firm_with_lane
from tests.support.visitor import Visitor, new_person
from web import once

LINES = 6
LATENCY = 0.15  # seconds: Intuit's own latency on a good day
AT_MOST = 1.25

METHOD = f"""
An invoice of {LINES} lines is saved, again and again, for firms that differ in nothing else. WITH
is the app as it is. WITHOUT is the same app had QuickBooks never been built: its sessions compute
the invoice's sums, take the same locks, and know of no capture, no entry and no guard. DIRECT is
WITHOUT that tells QuickBooks in the request, before it answers: one POST on a connection kept open,
to the simulator, which takes {LATENCY * 1000:.0f} ms. "By the form" is POST /invoices through the
whole app, signed in, until its redirect: what a person waits for. "By the ORM" is only a session
that adds the invoice and commits: the hardest case, with nothing else to spread the cost on.

The ways take turns, save by save, in another order each round, in one process on one database that
writes every commit to the disk. Ratios are those of medians. Statements are counted on the wire,
BEGIN and COMMIT left out.
"""

Save = Callable[[], None]


@dataclass(frozen=True)
class Way:
    path: str  # how the invoice is saved: "by the ORM" | "by the form"
    what: str  # with | without | direct
    save: Save
    engine: Engine


def main() -> None:
    asked = ask("capture", __doc__ or "")
    rounds = 12 if asked.quick else 600
    with ExitStack() as life:
        databases = life.enter_context(own_postgres(quick=asked.quick))
        simulator = life.enter_context(running_simulator())
        ways = _ways(life, databases.create("saves"), simulator)
        statements = {(way.path, way.what): _statements(way) for way in ways}
        databases.seal("saves")
        took: dict[tuple[str, str], list[float]] = {(way.path, way.what): [] for way in ways}
        for way in turns(ways, rounds):
            if way.what == "direct" and len(took[way.path, way.what]) >= rounds / 4:
                continue  # it mostly waits, and varies little
            began = time.perf_counter()
            way.save()
            took[way.path, way.what].append((time.perf_counter() - began) * 1000)
        report = _report(took, statements, quick=asked.quick)
        report.tell(asked, databases.version())


def _report(
    took: dict[tuple[str, str], list[float]],
    statements: dict[tuple[str, str], int],
    *,
    quick: bool,
) -> Report:
    report = Report("capture", METHOD, quick)
    rows: list[Row] = []
    for (path, what), times in took.items():
        without = median(took[path, "without"])
        rows.append(
            {
                "an invoice of six lines": f"{path}, {what}",
                "saves": len(times),
                "p50 ms": median(times),
                "p95 ms": percentile(times, 0.95),
                "to without": median(times) / without,
                "statements": statements[path, what],
            }
        )
        report.raw[f"{path}, {what}"] = times
        if what == "with":
            report.at_most(f"{path}, with capture to without", median(times) / without, AT_MOST)
        if what == "direct":
            report.ratios[f"{path}, a direct call to without"] = median(times) / without
    report.tables["What a save takes"] = rows
    return report


# --- The ways -----------------------------------------------------------------------------------


def _ways(life: ExitStack, url: str, simulator: SimulatorHandle) -> list[Way]:
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the simulator speaks plain http
    config = Config.from_environ(environment(url, SIMULATOR_URL=simulator.url))
    bookkeeping = life.enter_context(_bookkeeping(simulator))
    with_ = life.enter_context(quiet_app(config))
    without = life.enter_context(_app_without_capture(config))
    direct = life.enter_context(_app_without_capture(config, tell=bookkeeping))
    apps = {"without": without, "with": with_, "direct": direct}
    ways = []
    for number, (what, app) in enumerate(apps.items()):
        dunahub: DunaHub = app.extensions["dunahub"]
        with with_.extensions["dunahub"].sessions() as session:
            firm, _ = new_firm_with_lane(session, name=f"Firm {what}")
            lead = Lead(organization_id=firm, name="Green Lawn Co")
            session.add(lead)
            session.commit()
            email = f"owner{number}@example.com"
            new_person(session, firm, email)
        if what != "direct":
            by_orm = partial(_save_by_orm, dunahub.sessions, firm, lead.id, itertools.count(1))
            ways.append(Way("by the ORM", what, by_orm, dunahub.database))
        visitor = Visitor(app).sign_in(email)
        by_form = partial(_save_by_form, visitor, _fields(visitor.token(), lead.id))
        ways.append(Way("by the form", what, by_form, dunahub.database))
    return sorted(ways, key=lambda way: way.path)


@contextmanager
def _app_without_capture(config: Config, tell: Save | None = None) -> Iterator[Flask]:
    """The app without any QuickBooks code; `tell` runs in its saves before they answer."""
    with quiet_app(config) as app:
        engine = make_engine(config.database_url)
        app.extensions["dunahub"] = replace(
            app.extensions["dunahub"], database=engine, sessions=_plain_sessions(engine, tell)
        )
        yield app


def _plain_sessions(engine: Engine, tell: Save | None) -> Sessions:
    """Sessions that do everything for an invoice except what QuickBooks needs."""
    sessions = make_sessions(engine)

    @event.listens_for(engine, "begin")
    def open_the_door(connection: Connection) -> None:
        connection.info[capture.ALLOWED] = True  # the guards check nothing else
        connection.exec_driver_sql("SET LOCAL dunahub.captured = 'on'")

    @event.listens_for(sessions, "before_flush")
    def lock(session: Session, _flush: UOWTransaction, _instances: object) -> None:
        lock_invoices_of_changed_parts(session)

    @event.listens_for(sessions, "after_flush")
    def compute(session: Session, _flush: UOWTransaction) -> None:
        if new := [one.id for one in session.new if isinstance(one, Invoice)]:
            recalculate(session, new)
            session.info["told"] = tell

    @event.listens_for(sessions, "after_commit")
    def tell_quickbooks(session: Session) -> None:
        if (told := session.info.pop("told", None)) is not None:
            told()

    return sessions


@contextmanager
def _bookkeeping(simulator: SimulatorHandle) -> Iterator[Save]:
    """A call that creates such an invoice in QuickBooks."""
    realm = simulator.grant()["realm_id"]
    api = simulator.client(realm)
    customer = api.post("customer", {"DisplayName": "Green Lawn Co"}).object("Customer")["Id"]
    simulator.company(realm, latency=LATENCY)
    line = {
        "Amount": Decimal("120.00"),
        "DetailType": "SalesItemLineDetail",
        "Description": "Sprinkler repair",
        "SalesItemLineDetail": {"Qty": 1, "UnitPrice": 120},
    }
    document: Mapping[str, object] = {"CustomerRef": {"value": customer}, "Line": [line] * LINES}
    try:
        yield partial(_book, api, document)
    finally:
        api.close()


def _book(api: ApiClient, document: Mapping[str, object]) -> None:
    assert api.post("invoice", document).status == 200


# --- Saving -------------------------------------------------------------------------------------


def _save_by_orm(sessions: Sessions, firm: int, lead: int, numbers: Iterator[int]) -> None:
    today = date(2026, 11, 20)
    with sessions() as session:
        invoice = Invoice(
            organization_id=firm,
            lead_id=lead,
            number=f"O-{next(numbers)}",
            issued_on=today,
            due_on=today + timedelta(days=30),
            lines=[
                InvoiceLine(
                    organization_id=firm,
                    position=position,
                    description=f"Sprinkler repair {position}",
                    quantity=Decimal("1.5"),
                    unit_price=Decimal("80.00"),
                    taxable=False,
                )
                for position in range(1, LINES + 1)
            ],
        )
        session.add(invoice)
        session.commit()


def _fields(token: str, lead: int) -> dict[str, str]:
    fields = {
        "csrf_token": token,
        "lead": str(lead),
        "issued_on": "2026-11-20",
        "due_on": "2026-12-20",
        "tax_rate": "0",
    }
    for position in range(LINES):
        fields |= {
            f"lines-{position}-description": f"Sprinkler repair {position + 1}",
            f"lines-{position}-quantity": "1.5",
            f"lines-{position}-unit_price": "80.00",
        }
    return fields


def _save_by_form(visitor: Visitor, fields: dict[str, str]) -> None:
    # with a key of its own: the same form twice would save nothing the second time
    key = secrets.token_urlsafe(16)
    answer = visitor.client.post("/invoices", data={**fields, once.FIELD: key})
    assert answer.status_code == 303, answer.get_data(as_text=True)


def _statements(way: Way) -> int:
    """Statements per save, counted at the second save, when caches are filled."""
    way.save()
    count = 0

    def seen(*_: object) -> None:
        nonlocal count
        count += 1

    event.listen(way.engine, "before_cursor_execute", seen)
    way.save()
    event.remove(way.engine, "before_cursor_execute", seen)
    return count


if __name__ == "__main__":
    main()
