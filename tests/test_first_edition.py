"""A database of the first edition, whose process was killed while it sent, is upgraded and drained.

Its rows and its QuickBooks company were made by that edition (`tests/support/first_edition/`).
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config as AlembicConfig
from flask import Flask
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from config import Config
from db import Sessions, make_engine
from development.database import ALEMBIC_INI
from models.accounts import User
from models.outbox import Entry
from models.quickbooks import Connection, Tokens
from quickbooks import months, tokens
from simulator.documents import Document
from simulator.testing import SimulatorHandle, running_simulator
from tests.support.connected import drain
from tests.support.visitor import PASSWORD_HASH, Visitor

FOLDER = Path(__file__).parent / "support" / "first_edition"
SCHEMA = "0011"
MONTH = "/settings/quickbooks/matches/2026-11"
SAID = {  # by the first edition, of each record
    "/leads/1": "In QuickBooks",
    "/leads/2": "Waiting to send",
    "/leads/3": "Needs attention",
    "/leads/4": "Waiting to send",
    "/invoices/1": "In QuickBooks",
    "/invoices/2": "Voided in QuickBooks",
    "/invoices/5": "Waits for customer Cy Carver",
    "/invoices/4": "Waits for customer Green Lawn Co",
    "/payments/1": "In QuickBooks",
    "/payments/3": "Waiting to send",
}
COPY = ("DH-7RUN34T5CRU3", Decimal("1593.29"))  # of invoice 1001, made by that edition
INVOICES = [
    ("DH-7RUN34T5CRU3", Decimal("1593.29")),
    ("DH-6BUQSEHYFP7D", Decimal(0)),
    ("DH-5DV43IGNLRJ2", Decimal("2704.09")),
    ("DH-NUTI6ZJNIGMB", Decimal("33.33")),
    ("DH-NJCSUAX572MX", Decimal(70)),
]
PAYMENTS = [Decimal(70), Decimal(200), Decimal("2704.09")]


@pytest.fixture
def database_url(new_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> str:
    url = new_database("template0")
    monkeypatch.setenv("DATABASE_URL", url)
    alembic = AlembicConfig(ALEMBIC_INI)
    command.upgrade(alembic, SCHEMA)
    engine = make_engine(url, pool_size=1)
    _fill(engine)
    engine.dispose()
    command.upgrade(alembic, "head")
    return url


def _fill(engine: Engine) -> None:
    with closing(engine.raw_connection()) as connection:
        connection.cursor().execute((FOLDER / "database.sql").read_text())
        connection.commit()


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[SimulatorHandle]:
    shutil.copy(FOLDER / "books.jsonl", tmp_path / "simulator.log")
    with running_simulator(tmp_path) as simulator:
        yield simulator


def test_what_the_first_edition_left_is_sent_once_and_its_damage_is_listed_first(
    app: Flask, config: Config, sessions: Sessions, session: Session, simulator: SimulatorHandle
) -> None:
    lane_id, realm = _sign_in_again(session, config, simulator)
    ana = Visitor(app).sign_in("ana@rivera.example")
    assert {path: _pill(ana.open(path)) for path in SAID} == SAID

    drain(sessions, config, lane_id)
    books = simulator.books(realm)
    assert sorted(map(_mark_and_total, books["Invoice"])) == sorted([*INVOICES, COPY])
    assert sorted(Decimal(str(one["TotalAmt"])) for one in books["Payment"]) == PAYMENTS
    names = sorted(str(one["DisplayName"]) for one in books["Customer"])
    assert names == ["Ann Archer", "Bob Baker", "Cy Carver", "Dee Dyer"]
    assert _unsent(session) == {("lead", 3, "failed"), ("invoice", 4, "pending")}

    assert "Twice in QuickBooks: 1" in _compared(ana, sessions, config)
    _delete_copy(simulator, realm)
    ana.submit(press="Compare again")
    assert "Twice in QuickBooks" not in _compared(ana, sessions, config)


def _mark_and_total(invoice: Document) -> tuple[str, Decimal]:
    return str(invoice["PrivateNote"]).rpartition(" ")[2], Decimal(str(invoice["TotalAmt"]))


def _unsent(session: Session) -> set[tuple[str, int, str]]:
    session.rollback()
    entries = session.scalars(select(Entry).where(Entry.state.in_(["pending", "failed"])))
    return {(entry.record_type, entry.record_id, entry.state) for entry in entries}


def _compared(ana: Visitor, sessions: Sessions, config: Config) -> str:
    """The first difference that the month's page lists."""
    while months.compare_due(sessions, config):
        pass
    first = ana.open(MONTH).page.select_one("a[href^='#kind-']")
    return first.get_text() if first else ""


def _delete_copy(simulator: SimulatorHandle, realm: str) -> None:
    """What the page advises."""
    [copy] = [one for one in simulator.books(realm)["Invoice"] if one["DocNumber"] == "9077"]
    with closing(simulator.client(realm)) as bookkeeper:
        gone = {"Id": copy["Id"], "SyncToken": copy["SyncToken"]}
        bookkeeper.post("invoice", gone, operation="delete").object("Invoice")


def _sign_in_again(session: Session, config: Config, simulator: SimulatorHandle) -> tuple[int, str]:
    """The passwords and tokens of then open with no key of this run. Returns lane and company."""
    session.execute(update(User).values(password_hash=PASSWORD_HASH))
    connection = session.scalars(select(Connection)).one()
    granted = simulator.grant(connection.realm_id)
    session.execute(
        update(Tokens).values(
            access_token=tokens.encrypt(config, granted["access_token"]),
            refresh_token=tokens.encrypt(config, granted["refresh_token"]),
            access_expires_at=func.now() + timedelta(hours=1),
            refresh_expires_at=func.now() + timedelta(days=100),
        )
    )
    connection.hard_expires_at = func.now() + timedelta(days=1000)
    session.commit()
    return connection.lane_id, connection.realm_id


def _pill(page: Visitor) -> str:
    pill = page.page.select_one(".panel .pill")
    return " ".join(pill.get_text(" ").split()) if pill else ""
