"""A page says what was true at one moment, whatever commits while it is read.

Each test lets something commit just before the first statement of the page, then before the
second, and so on to the last.
"""

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import OperationalError

from benchmarks import pooler
from db import Sessions, make_engine, make_sessions, one_snapshot, single_statements, snapshots
from models.accounts import AuditEvent, User
from models.clients import ClientLetter, ClientLink, LetterKind
from models.processors import Refund
from models.sales import Invoice, InvoiceLine, Payment
from processors import recording, refunding, tending
from tests.support.connected import drain
from tests.support.firm import new_payment
from tests.support.meanwhile import each_moment, just_before_statement
from tests.support.round_trips import RoundTrips
from tests.support.situation import SETTINGS, Situation
from tests.support.till import ACH_TAKES, Till
from tests.support.visitor import Visitor
from tests.test_accountants import new_link


def set_price(sessions: Sessions, invoice: int, price: str) -> None:
    """Of the invoice's one line, as a colleague saves it."""
    with sessions.begin() as database:
        of_invoice = select(InvoiceLine).where(InvoiceLine.invoice_id == invoice)
        database.scalars(of_invoice).one().unit_price = Decimal(price)


def pay(till: Till, invoice: int) -> None:
    with till.sessions.begin() as database:
        database.add(new_payment(till.firm, database.get_one(Invoice, invoice), "100"))


# --- Money ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keeps_paid", [False, True])
def test_a_refund_settled_while_its_payment_is_read_is_told_once(
    till: Till, keeps_paid: bool
) -> None:
    till.pay()
    payment_id = till.payments[0].id
    user = till.session.scalars(select(User.id)).one()

    def settle(refund_id: int) -> None:
        with till.sessions.begin() as database:
            invoice_id = database.get_one(Payment, payment_id).invoice_id
            payment = recording.lock_payment(database, payment_id, invoice_id)
            recording.settle(database, payment, database.get_one(Refund, refund_id))

    for moment in each_moment():
        with till.sessions.begin() as database:
            payment = database.get_one(Payment, payment_id)
            asked = refunding.ask(database, payment, Decimal(1), user, keeps_paid=keeps_paid)
            refund_id = asked.id
        with just_before_statement(till.app, moment, partial(settle, refund_id)) as came:
            page = till.owner.open(f"/payments/{payment_id}").text
        if not came:
            break
        assert "recorded by hand" not in page, came
        assert "−$" not in page, came
    assert moment > 5


def test_an_invoice_does_not_ask_for_a_payment_that_it_lists(till: Till) -> None:
    for moment in each_moment():
        key, _token = till.new_invoice(number=str(3_000 + moment))
        with just_before_statement(till.app, moment, partial(pay, till, key)) as came:
            page = till.owner.open(f"/invoices/{key}")
        if not came:
            break
        is_listed = "None yet." not in page.text
        asks = page.page.find("a", string="Record payment") is not None
        assert asks is not is_listed, came
    assert moment > 5


@pytest.mark.parametrize("kind", ["client", "print"])
def test_a_paper_has_the_sums_of_its_lines(till: Till, kind: str) -> None:
    for moment in each_moment():
        key, token = till.new_invoice(number=str(4_000 + moment))
        is_client = kind == "client"
        visitor, path = (
            (till.client, f"/i/{token}") if is_client else (till.owner, f"/invoices/{key}/print")
        )
        with just_before_statement(
            till.app, moment, partial(set_price, till.sessions, key, "250")
        ) as came:
            page = visitor.open(path).text
        if not came:
            break
        assert ("$100.00" in page) is not ("$250.00" in page), came
    assert moment > 5


@pytest.mark.parametrize("covers_all", [True, False])
def test_a_transfer_that_arrives_while_the_page_is_read_is_in_it_once(
    till: Till, covers_all: bool
) -> None:
    """It is on its way, or paid; of an invoice that was raised meanwhile, the rest is due."""
    for moment in each_moment():
        key, token = till.new_invoice("60", number=str(5_000 + moment))
        till.stripe.send_transfer(till.page(token=token, method="ach"))
        till.stripe.await_quiet()
        if not covers_all:
            set_price(till.sessions, key, "100")
        till.stripe.act("webhooks", mode="held")
        till.pass_time(ACH_TAKES)
        with just_before_statement(till.app, moment, till.let_arrive) as came:
            page = till.client.open(f"/i/{token}").text
        till.stripe.act("webhooks", mode="normal")
        if not came:
            break
        assert "Pay by card" not in page if covers_all else "Amount due $40.00" in page, came
        assert not ("Paid. Thank you!" in page and "on its way" in page), came
    assert moment > 3


def test_a_transfer_that_arrives_closes_no_page_of_the_rest(till: Till, engine: Engine) -> None:
    key, token = till.new_invoice("40", number="7900")
    till.stripe.send_transfer(till.page(token=token, method="ach"))
    till.stripe.await_quiet()
    set_price(till.sessions, key, "100")
    till.stripe.act("webhooks", mode="held")
    till.pass_time(ACH_TAKES)
    page = till.page(token=token)  # of the other 60

    with just_before_statement(engine, "coalesce(sum(checkouts.amount)", till.let_arrive) as came:
        tending.tend_checkouts(till.sessions, till.processor)
    assert came
    assert "This page has expired" not in till.stripe.pay(page).text


# --- QuickBooks -----------------------------------------------------------------------------------


def polled(visitor: Visitor) -> str:
    """The address that the status page asks next; "" if it rests."""
    found = visitor.page.select_one("#moving[hx-get]")
    return str(found["hx-get"]) if found else ""


def in_background(at: Situation) -> Callable[[], object]:
    """Sends what waits, in another thread."""
    lane = at.connection.lane_id
    at.session.rollback()
    return partial(drain, at.sessions, at.config, lane)


def test_counts_that_stop_being_asked_for_are_the_last(at: Situation) -> None:
    at.connect()
    for moment in each_moment():
        at.save_lead(f"Lead {moment}")
        address = polled(at.ana.open(SETTINGS))
        assert address
        with just_before_statement(at.app, moment, in_background(at)) as came:
            at.ana.open(address)
        if not came:
            break
        counts = " ".join(at.ana.page.get_text(" ").split())
        assert "0 Waiting" in counts or polled(at.ana), came
        at.drain()
    assert moment > 5


def test_a_state_shown_as_final_is_not_of_two_versions(at: Situation) -> None:
    """QuickBooks has deleted an invoice; it is changed here while its page is read."""
    at.connect()
    gone = text("UPDATE outbox_links SET gone_at = now() WHERE aggregate_type = 'invoice'")

    def change(invoice: int) -> None:
        with at.sessions.begin() as session:
            session.get_one(Invoice, invoice).memo = "Thank you"

    for moment in each_moment():
        invoice = at.save_invoice(at.save_lead(f"Lead {moment}"))
        at.drain()
        with at.sessions.begin() as session:
            session.execute(gone)
        with just_before_statement(at.app, moment, partial(change, invoice)) as came:
            page = at.ana.open(f"/invoices/{invoice}")
        if not came:
            break
        pill = page.page.select_one(".panel .pill")
        assert pill
        assert pill.get_text(" ", strip=True) != "In QuickBooks", came
        at.drain()
    assert moment > 5


# --- What a page writes ---------------------------------------------------------------------------


WRITTEN = ("organizations", "users", "accountant_links", "client_letters", "processor_accounts")


def write_all(sessions: Sessions) -> None:
    """Others write each row that a page writes, or refers to, unless the page has it locked."""
    for table in WRITTEN:
        with suppress(OperationalError), sessions.begin() as database:
            database.execute(text("SET LOCAL lock_timeout = '50ms'"))
            database.execute(text(f"UPDATE {table} SET id = id"))


@pytest.mark.parametrize(
    ("name", "noted"),
    [
        ("books", "accountant.visited"),
        ("books/activity.csv", "accountant.visited"),
        ("/settings/quickbooks/activity.csv", "quickbooks.activity_downloaded"),
        ("/settings/payments/return", None),
        ("letter", None),
    ],
)
def test_what_a_page_writes_fails_for_nobody_else(till: Till, name: str, noted: str | None) -> None:
    books = new_link(till.owner)
    till.session.add(letter := letter_of(till))
    till.session.commit()
    pages = {"letter": f"/i/{till.token}?letter={letter.id}"}
    path = pages.get(name, name if name[0] == "/" else name.replace("books", books))
    for moment in each_moment():
        till.session.execute(text("UPDATE client_letters SET opened_at = NULL"))
        till.session.commit()
        with just_before_statement(till.app, moment, partial(write_all, till.sessions)) as came:
            page = till.owner.open(path)
            page.answer.get_data()  # a file, to its end
        assert page.status == 200, came
        if not came:
            break
    assert moment > 2
    till.session.refresh(letter)
    assert (letter.opened_at is not None) is (name == "letter")
    events = till.session.scalars(select(AuditEvent).where(AuditEvent.action == noted)).all()
    assert len(events) == (moment + 1 if noted else 0)


def letter_of(till: Till) -> ClientLetter:
    return ClientLetter(
        organization_id=till.firm,
        link=till.session.scalars(select(ClientLink)).first(),
        kind=LetterKind.FIRST,
        to_address="maria@client.example",
        subject="Your invoice",
        body="Here it is.",
        language="en",
        sent_by_id=till.session.scalars(select(User.id)).one(),
    )


# --- What it costs --------------------------------------------------------------------------------


LEVEL = text("SHOW transaction_isolation")


def check_levels(sessions: Sessions) -> None:
    """Each kind of session has its own, whatever used its connection before."""
    for _ in range(3):
        with one_snapshot(sessions) as reading:
            assert reading.scalar(LEVEL) == "repeatable read"
        with snapshots(sessions)() as reading:
            assert reading.scalar(LEVEL) == "repeatable read"
            reading.close()
            assert reading.scalar(LEVEL) == "repeatable read"
        with sessions() as writing:
            assert writing.scalar(LEVEL) == "read committed"
        with single_statements(sessions) as single:
            assert single.scalar(LEVEL) == "read committed"


def test_only_what_reads_has_a_snapshot(sessions: Sessions) -> None:
    check_levels(sessions)


@pytest.mark.skipif(pooler.PATH is None, reason="apt-get install pgbouncer")
def test_a_pooler_keeps_a_snapshot_apart(database_url: str, open_folder: Path) -> None:
    open_folder.chmod(0o755)  # the account of PostgreSQL has to come through
    with pooler.running_pooler(database_url, open_folder / "pooler") as url:
        engine = make_engine(url)
        check_levels(make_sessions(engine))
        engine.dispose()


def test_a_page_is_one_transaction_and_asks_for_nothing_more(till: Till) -> None:
    trips = RoundTrips(till.app.extensions["dunahub"].database)
    till.owner.open(f"/invoices/{till.invoice_id}")
    assert trips.made.count("BEGIN") == trips.made.count("ROLLBACK") == 1
    assert not [made for made in trips.made if made.startswith(("SET", "SHOW", "COMMIT"))]
