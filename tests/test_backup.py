"""Yesterday's backup is restored while QuickBooks has today's records: nothing is doubled.

The restored database knows nothing of today and hands out the same keys and numbers once more, to
other records. Marks and request ids are random, and what waited is looked for before it is sent.
"""

import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from config import Config
from db import Sessions, make_engine, make_sessions
from development.postgres import _programs
from models.accounts import User
from models.outbox import Counterpart, Entry, State
from models.quickbooks import ConnectionStatus, Purpose, Tokens
from models.sales import Invoice, Lead, Payment
from outbox.capture import attach
from quickbooks.consenting import Connected
from quickbooks.tokens import decrypt
from simulator.testing import SimulatorHandle
from tests.support.firm import new_invoice, new_lead, new_line, new_payment
from tests.support.office import Office, money, open_office

DAY = timedelta(days=1)


@pytest.fixture
def yesterday(
    sessions: Sessions, config: Config, simulator: SimulatorHandle, session: Session
) -> Office:
    """A firm at work. One invoice is in the books, one waits, one was sent without an answer."""
    office = open_office(sessions, config, simulator, session)
    assert isinstance(office.connect(), Connected)
    lead = new_lead(office.firm, "Green Lawn Co", email="kim@greenlawn.example")
    invoice = new_invoice(office.firm, lead, number="1001")
    office.save(lead, invoice)
    office.save(new_payment(office.firm, invoice, "40"))
    office.drain()
    assert {state for _, state in office.states()} == {State.SYNCED}

    simulator.fault(match={"method": "POST", "path": "/invoice", "times": 1}, do={"reset": "after"})
    unanswered = new_invoice(office.firm, lead, number="1002")
    office.save(unanswered)
    office.drain(rounds=1)
    office.save(new_lead(office.firm, "Waiting Co", email="pat@waiting.example"))
    waiting = new_invoice(office.firm, lead, number="1003")
    office.save(waiting)
    office.save(new_payment(office.firm, waiting, "60"))
    states = Counter(state for _, state in office.states())
    assert states == {State.SYNCED: 3, State.PENDING: 4}
    return office


@pytest.fixture
def backup(yesterday: Office, database_url: str, tmp_path: Path) -> Path:
    yesterday.session.rollback()
    path = tmp_path / "backup"
    _run("pg_dump", "--format=custom", f"--file={path}", "--dbname", _libpq(database_url))
    return path


@pytest.fixture
def restored(
    backup: Path, yesterday: Office, new_database: Callable[[str], str]
) -> Iterator[Office]:
    """Today goes on after the backup; then the disk is lost, and the backup is restored."""
    _live_today(yesterday)
    url = new_database("template0")
    _run("pg_restore", "--exit-on-error", "--no-owner", "--dbname", _libpq(url), str(backup))
    engine = make_engine(url)
    sessions = make_sessions(engine)
    attach(sessions)
    with sessions() as session:
        # It is a day old.
        session.execute(text("UPDATE outbox SET created_at = created_at - interval '1 day',"
                             " available_at = available_at - interval '1 day'"))  # fmt: skip
        session.execute(
            text("UPDATE outbox_dispatches SET created_at = created_at - interval '1 day'")
        )
        session.execute(
            text("UPDATE quickbooks_tokens SET access_expires_at = now() - interval '1 day'")
        )
        session.commit()
        owner = session.scalars(select(User)).one()
        yield Office(
            sessions, yesterday.config, yesterday.simulator, session, yesterday.firm, owner
        )
    engine.dispose()


def _live_today(office: Office) -> None:
    """All arrives; new records too; the refresh token becomes another one."""
    for _ in range(4):
        office.pass_time()
        office.drain()
    today = new_lead(office.firm, "Today Co", email="lee@today.example")
    invoice = new_invoice(office.firm, today, [new_line(office.firm, price="75")], number="1004")
    office.save(today, invoice)
    office.save(new_payment(office.firm, invoice, "75"))
    office.drain()
    assert {state for _, state in office.states()} == {State.SYNCED}
    assert {"1001", "1002", "1003", "1004"} <= _numbers(office).keys()
    before = _refresh_token(office)
    office.simulator.advance(2 * DAY.total_seconds())
    office.save(new_lead(office.firm, "Later Co", email="sam@later.example"))
    office.drain()
    assert _refresh_token(office) != before


def test_a_restored_backup_doubles_nothing_and_claims_nothing_that_is_not_there(
    restored: Office,
) -> None:
    office = restored
    before = office.simulator.books(office.realm)

    # The backup's sign-in is an old one: refused, and everything is held.
    office.drain()
    assert office.connection.status == ConnectionStatus.EXPIRED
    assert office.simulator.books(office.realm) == before

    # Keys and numbers of today's lost records go to others.
    lost = _keys_of_lost(office)
    other = new_lead(office.firm, "Another Co", email="alex@another.example")
    clash = new_invoice(office.firm, other, [new_line(office.firm, price="12")], number="1004")
    office.save(other, clash)
    fresh = new_invoice(office.firm, other, [new_line(office.firm, price="33")], number="1005")
    office.save(fresh)
    office.save(new_payment(office.firm, fresh, "33"))
    assert (other.id, clash.id) == lost

    assert isinstance(office.connect(purpose=Purpose.RECONNECT), Connected)
    for _ in range(4):
        office.pass_time()
        office.drain()

    # No duplicate.
    names = Counter(str(one["DisplayName"]) for one in office.books("Customer"))
    assert {name: count for name, count in names.items() if count > 1} == {}
    for name in ("Green Lawn Co", "Waiting Co", "Today Co", "Later Co", "Another Co"):
        assert names[name] == 1
    assert _numbers(office) == {"1001": 1, "1002": 1, "1003": 1, "1004": 1, "1005": 1}
    amounts = sorted(money(one["TotalAmt"]) for one in office.books("Payment"))
    assert amounts == [money(33), money(40), money(60), money(75)]

    # What waited was found, or sent; what is shown as sent is there, and is that.
    office.session.rollback()
    failed = office.session.scalars(select(Entry).where(Entry.state == State.FAILED)).all()
    assert [(one.record_type, one.record_id) for one in failed] == [("invoice", clash.id)]
    assert failed[0].fault_code == "6140"  # the number is another document's: a person decides
    assert {state for _, state in office.states()} == {State.SYNCED, State.FAILED}
    _what_is_shown_as_sent_is_there(office)

    # And nothing of it happens again.
    after = office.simulator.books(office.realm)
    office.pass_time()
    office.drain()
    assert office.simulator.books(office.realm) == after


def test_a_restored_record_that_was_changed_since_is_changed_once_more_not_made_again(
    restored: Office,
) -> None:
    office = restored
    assert isinstance(office.connect(purpose=Purpose.RECONNECT), Connected)
    office.pass_time()
    office.drain()
    lead = office.session.scalars(select(Lead).where(Lead.name == "Green Lawn Co")).one()
    lead.phone = "(916) 555-0199"
    office.save(lead)
    office.drain()
    [customer] = [one for one in office.books("Customer") if one["DisplayName"] == "Green Lawn Co"]
    assert customer["PrimaryPhone"]["FreeFormNumber"] == "(916) 555-0199"


def _what_is_shown_as_sent_is_there(office: Office) -> None:
    books = office.simulator.books(office.realm)
    there = {
        "lead": {str(one["Id"]): one["DisplayName"] for one in books["Customer"]},
        "invoice": {str(one["Id"]): one.get("DocNumber") for one in books["Invoice"]},
        "payment": {str(one["Id"]): one.get("PaymentRefNum") for one in books["Payment"]},
    }
    session = office.session
    shown = session.scalars(select(Entry).where(Entry.state == State.SYNCED)).all()
    assert len(shown) >= 9
    for entry in shown:
        if entry.record_type == "product":
            continue
        link = session.scalars(
            select(Counterpart).where(
                Counterpart.record_type == entry.record_type,
                Counterpart.record_id == entry.record_id,
            )
        ).one()
        match entry.record_type:
            case "lead":
                name = session.get_one(Lead, entry.record_id).name
            case "invoice":
                name = session.get_one(Invoice, entry.record_id).number
            case _:
                name = session.get_one(Payment, entry.record_id).mark
        assert there[entry.record_type][str(link.remote_id)] == name


def _keys_of_lost(office: Office) -> tuple[int, int]:
    """The keys that "Today Co" and its invoice had: the next ones after the backup's."""
    highest = text("SELECT (SELECT max(id) FROM leads), (SELECT max(id) FROM invoices)")
    leads, invoices = office.session.execute(highest).one()
    office.session.rollback()
    return leads + 1, invoices + 1


def _numbers(office: Office) -> Counter[str]:
    numbers = (str(one.get("DocNumber")) for one in office.books("Invoice"))
    return Counter(number for number in numbers if number.startswith("10") and len(number) == 4)


def _refresh_token(office: Office) -> str:
    with office.sessions() as session:
        return decrypt(office.config, session.scalars(select(Tokens)).one().refresh_token)


def _run(program: str, *options: str) -> None:
    subprocess.run(
        [str(_programs() / program), *options],
        check=True,
        capture_output=True,
        env={**os.environ, "LC_ALL": "C"},
    )


def _libpq(url: str) -> str:
    address = make_url(url)
    return f"host={address.query['host']} user={address.username} dbname={address.database}"
