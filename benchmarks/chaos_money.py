"""Money of clients in a chaos run: paid and refunded through Stripe, taken back, refunded by hand.

Processes are killed at the two moments that matter: between Stripe's event and our commit of the
payment, and between Stripe's answer and our commit of the refund. A second session holds the
invoice until the process waits for it, and the process is killed there.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import requests
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from benchmarks import chaos_log
from benchmarks.chaos_log import FirmLog, Saved, Verdict
from config import Config
from db import Sessions
from models.processors import ProcessorAccount, Refund, RefundState
from models.quickbooks import Connection
from models.sales import GoodwillRefund, Payment
from models.sums import CENT
from processors import paying, recording, refunding, tending
from processors.processor import AccessEnded, Refused, Unreachable
from processors.stripe import Stripe
from processors.stripe_objects import MARK_KEY
from simulator.testing import Books
from stripe_simulator.testing import StripeHandle

PLATFORM_SECRET, CONNECT_SECRET = "whsec_of_the_platform", "whsec_of_connected_accounts"
HELD_FOR = 5.0  # seconds until the process must have come to the invoice
ARRIVES_WITHIN = 20.0  # seconds until an event is recorded, unless the process was killed
CENTS = 100

Trouble = (SQLAlchemyError, OSError, requests.RequestException, Unreachable, Refused, AccessEnded)


def environ(stripe: StripeHandle) -> dict[str, str]:
    return {
        "STRIPE_SECRET_KEY": "sk_test_of_the_chaos_run",
        "STRIPE_WEBHOOK_SECRET": f"{PLATFORM_SECRET},{CONNECT_SECRET}",
        "STRIPE_API_BASE": stripe.url,
    }


@dataclass
class Till:
    """The simulated Stripe, the firms' accounts there, and who is killed."""

    stripe: StripeHandle
    processor: Stripe
    sessions: Sessions
    patience: float
    kill: Callable[[], None]
    faults: Counter[str]
    accounts: dict[int, str] = field(default_factory=dict)  # by organization
    # Of what was not recorded in time we look at the end.
    unseen: list[tuple[chaos_log.Invoice, float]] = field(default_factory=list)

    def open_account(self, organization_id: int) -> None:
        key = f"chaos-{organization_id}"
        account_id = self.processor.open_account(email="o@example.com", name=key, key=key)
        with self.sessions.begin() as session:
            session.add(
                ProcessorAccount(
                    organization_id=organization_id, is_live=False, account_id=account_id
                )
            )
        self.stripe.act("onboard", account=account_id)
        self.accounts[organization_id] = account_id


def till(
    stripe: StripeHandle,
    config: Config,
    sessions: Sessions,
    patience: float,
    kill: Callable[[], None],
    faults: Counter[str],
) -> Till:
    return Till(stripe, Stripe(config), sessions, patience, kill, faults)


def send_events_to(stripe: StripeHandle, port: int) -> None:
    address = f"http://127.0.0.1:{port}/webhooks/stripe"
    stripe.act(
        "endpoints",
        endpoints=[
            {"url": address, "secret": PLATFORM_SECRET, "is_connect": False},
            {"url": address, "secret": CONNECT_SECRET, "is_connect": True},
        ],
    )


# --- What people do -------------------------------------------------------------------------------


Save = Callable[[Callable[[Session], None], Callable[[Session], bool]], Saved]


@dataclass(frozen=True)
class Desk:
    """A firm at which something is to be done. `save` saves until it is certainly stored."""

    firm: int
    log: FirmLog
    open_invoice: chaos_log.Invoice | None
    save: Save
    till: Till | None
    chance: random.Random


def paid(invoice: chaos_log.Invoice) -> Decimal:
    kept = [one for one in invoice.payments if not (one.taken_back or one.gone)]
    return sum((one.amount for one in kept), Decimal(0))


def pay_online(desk: Desk) -> None:
    """The client pays all that is open by card; half of the time we are killed while recording."""
    till, invoice = desk.till, desk.open_invoice
    if till is None or invoice is None or invoice.total - paid(invoice) < 1:
        return
    wish = paying.Wish(
        invoice.id, till.accounts[desk.firm], "card", f"Invoice {invoice.number}",  # type: ignore[arg-type]
        "c@example.com", "en", "http://127.0.0.1/",
    )  # fmt: skip
    begin = time.monotonic()
    invoice.awaits_payment = True
    with suppress(*Trouble):
        page = paying.open_page(till.sessions, till.processor, wish)
        if page is None:
            invoice.awaits_payment = False
            return
        with _held(till, invoice.id, "Stripe's event", desk.chance.random() < 0.5):
            till.stripe.pay(page)
    _await_payment(till, invoice, begin)


def _await_payment(till: Till, invoice: chaos_log.Invoice, begin: float) -> None:
    """Notes the payment that was recorded; what is not there in time is looked for at the end."""
    until = time.monotonic() + ARRIVES_WITHIN * till.patience
    while time.monotonic() < until:
        with suppress(SQLAlchemyError):
            if _note_payments(till, invoice, begin):
                return
        time.sleep(0.3)
    till.unseen.append((invoice, begin))


def _note_payments(till: Till, invoice: chaos_log.Invoice, begin: float) -> bool:
    known = {one.mark for one in invoice.payments}
    with till.sessions() as session:
        found = session.execute(
            select(Payment.id, Payment.mark, Payment.amount).where(
                Payment.invoice_id == invoice.id, Payment.event_id.is_not(None)
            )
        ).all()
    new = [one for one in found if one.mark not in known]
    for one in new:
        saved = Saved(0, begin, time.monotonic())
        payment = chaos_log.Payment(one.id, one.mark, one.amount, saved, is_online=True)
        invoice.payments.append(payment)
    invoice.awaits_payment = invoice.awaits_payment and not new
    return bool(new)


def refund_online(desk: Desk) -> None:
    """Refunds through Stripe, whole or as goodwill. A process of the app carries it out, and half
    of the time it is killed before it can record Stripe's answer."""
    till, chance, found = desk.till, desk.chance, _whole_payment(desk, is_online=True)
    if till is None or found is None:
        return
    invoice, payment = found
    keeps_paid = chance.random() < 0.5
    amount = (payment.amount / 2).quantize(CENT) if keeps_paid else payment.amount
    if amount <= 0:
        return
    begin = time.monotonic()
    with suppress(*Trouble):
        with till.sessions.begin() as session:
            held = recording.lock_payment(session, payment.id, invoice.id)
            if keeps_paid and held.invoice.credit:  # that would come off first, as a part
                return
            asked = refunding.ask(
                session, held, amount, _owner(session, held), keeps_paid=keeps_paid
            )
            asked.available_at = session.execute(text("SELECT clock_timestamp()")).scalar_one()
        payment.is_asked_back = True
        # the app looks for refunds that are due every ten seconds
        with _held(till, invoice.id, "Stripe's answer", chance.random() < 0.5, every=12.0):
            pass
    payment.asked_back_at = begin


def _owner(session: Session, payment: Payment) -> int:
    query = text("SELECT min(id) FROM users WHERE organization_id = :organization")
    found: int = session.execute(query, {"organization": payment.organization_id}).scalar_one()
    return found


_WAITS_FOR_US = text(
    """
    SELECT EXISTS (SELECT FROM pg_stat_activity
                   WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid)))
    """
)


@contextmanager
def _held(
    till: Till, invoice_id: int, what: str, kills: bool, every: float = 0.0
) -> Iterator[None]:
    """Holds the invoice until somebody waits for it, and kills them."""
    if not kills:
        yield
        return
    with till.sessions() as session:
        recording.lock_invoice(session, invoice_id)
        yield
        until = time.monotonic() + (HELD_FOR + every) * till.patience
        while not (waits := session.scalar(_WAITS_FOR_US)) and time.monotonic() < until:
            time.sleep(0.05)
        if waits:
            till.kill()
            till.faults[f"killed between {what} and our commit"] += 1
        session.rollback()


# --- Money by hand --------------------------------------------------------------------------------


def take_back(desk: Desk) -> None:
    """A payment is returned as a whole: it is voided in QuickBooks."""
    if not (found := _whole_payment(desk, is_online=False)):
        return
    invoice, payment = found

    def write(session: Session) -> None:
        held = recording.lock_payment(session, payment.id, invoice.id)
        recording.give_back(session, held, held.left, keeps_paid=False)

    def is_there(session: Session) -> bool:
        return bool(session.get_one(Payment, payment.id).refunded_amount)

    payment.taken_back = desk.save(write, is_there)


def refund(desk: Desk) -> None:
    """Half of it goes back, and the invoice stays paid: a refund receipt."""
    if not (found := _whole_payment(desk, is_online=False)):
        return
    invoice, payment = found
    amount, marks = (payment.amount / 2).quantize(CENT), list[str]()
    if amount <= 0:
        return

    def write(session: Session) -> None:
        held = recording.lock_payment(session, payment.id, invoice.id)
        marks.clear()  # only the last try can be stored
        if held.invoice.credit:  # that would come off the payment first, as a part
            return
        given = recording.give_back(session, held, amount, keeps_paid=True)
        assert given is not None
        marks.append(given.mark)

    def is_there(session: Session) -> bool:
        query = select(GoodwillRefund.id).where(GoodwillRefund.mark.in_(marks))
        return session.scalar(query) is not None

    saved = desk.save(write, is_there)
    if marks:
        payment.refunds.append(chaos_log.Refund(marks[-1], amount, saved))


def _whole_payment(
    desk: Desk, *, is_online: bool
) -> tuple[chaos_log.Invoice, chaos_log.Payment] | None:
    known = [
        (invoice, payment)
        for invoice in desk.log.invoices[-12:]
        if not invoice.gone
        for payment in invoice.payments
        if payment.is_online is is_online and payment.is_whole
    ]
    return desk.chance.choice(known) if known else None


ACTS = (take_back, refund, pay_online, refund_online)


def choose(session: Session, firm: int, books: Books) -> None:
    """What is taken back is voided, and refunds become receipts."""
    bank = next(str(one["Id"]) for one in books["Account"] if one["AccountType"] == "Bank")
    for connection in session.scalars(select(Connection).where(Connection.organization_id == firm)):
        chosen = {"taken_back": "void", "refunds": "receipt", "refund_account_id": bank}
        connection.settings = {**connection.settings, **chosen}


# --- The end --------------------------------------------------------------------------------------


def settle(till: Till, firms: list[tuple[int, list[chaos_log.Invoice]]], until: float) -> None:
    """What no event reported is read from Stripe, as once a day; refunds left over are made."""
    while time.monotonic() < until:
        with suppress(*Trouble):
            with till.sessions.begin() as session:
                session.execute(text("UPDATE processor_accounts SET compared_at = NULL"))
                session.execute(
                    text("UPDATE refunds SET available_at = now() WHERE state = 'asked'")
                )
            tending.compare(till.sessions, till.processor)
            tending.read_refunds(till.sessions, till.processor)
            refunding.finish_due(till.sessions, till.processor)
            with till.sessions() as session:
                query = select(Refund.id).where(Refund.state == RefundState.ASKED)
                if not session.scalars(query).all():
                    break
        time.sleep(0.5)
    for invoice, begin in till.unseen:
        with suppress(SQLAlchemyError):
            _note_payments(till, invoice, begin)
    for _firm, invoices in firms:
        for invoice in invoices:
            for payment in invoice.payments:
                if payment.is_asked_back:
                    _note_refunds(till, payment)


_REFUNDED = text(
    """
    SELECT goodwill.mark, coalesce(goodwill.amount, refund.booked) AS booked FROM refunds AS refund
    LEFT JOIN goodwill_refunds AS goodwill ON goodwill.id = refund.goodwill_id
    WHERE refund.payment_id = :payment AND refund.state = 'done' AND refund.booked > 0
    """
)


def _note_refunds(till: Till, payment: chaos_log.Payment) -> None:
    # It was recorded at some time since it was asked for.
    saved = Saved(0, payment.asked_back_at, time.monotonic())
    with till.sessions() as session:
        for row in session.execute(_REFUNDED, {"payment": payment.id}):
            if row.mark is None:
                payment.taken_back = saved
            else:
                payment.refunds.append(chaos_log.Refund(row.mark, row.booked, saved))


def judge(till: Till, verdict: Verdict) -> None:
    """Stripe's payments and refunds against ours: each once, to the cent."""
    objects = till.stripe.everything()["objects"]
    with till.sessions() as session:
        for firm, account in till.accounts.items():
            of_account = list(objects.get(account, {}).values())
            _judge_payments(session, firm, of_account, verdict)
            _judge_refunds(session, firm, of_account, verdict)


def _judge_payments(
    session: Session, firm: int, objects: list[dict[str, Any]], verdict: Verdict
) -> None:
    ours = {
        str(row.event_id).removeprefix("stripe:"): row.amount
        for row in session.execute(
            select(Payment.event_id, Payment.amount).where(
                Payment.organization_id == firm, Payment.event_id.is_not(None)
            )
        )
    }
    theirs = {
        str(one["payment_intent"]): Decimal(one["amount_total"]) / CENTS
        for one in objects
        if one["object"] == "checkout.session" and one["payment_status"] == "paid"
    }
    verdict.records += len(theirs)
    for intent in theirs.keys() | ours.keys():
        if intent not in ours:
            verdict.note("lost", f"{intent} was paid at Stripe and is not recorded")
        elif intent not in theirs:
            verdict.note("unwanted", f"{intent} is recorded and was not paid")
        elif ours[intent] != theirs[intent]:
            verdict.note("wrong_totals", f"{intent}: {ours[intent]} of {theirs[intent]}")


_OUR_REFUNDS = text(
    """
    SELECT charge.payment_intent_id AS intent, refund.mark, refund.state, refund.booked
    FROM refunds AS refund JOIN charges AS charge USING (payment_id)
    WHERE refund.organization_id = :firm
    """
)


def _judge_refunds(
    session: Session, firm: int, objects: list[dict[str, Any]], verdict: Verdict
) -> None:
    made = Counter[str]()
    back = Counter[str]()
    for one in objects:
        if one["object"] == "refund" and one["status"] != "failed":
            made[str(one["metadata"].get(MARK_KEY))] += 1
            back[str(one["payment_intent"])] += one["amount"]
    booked = Counter[str]()
    for row in session.execute(_OUR_REFUNDS, {"firm": firm}):
        verdict.records += 1
        booked[row.intent] += int(row.booked * CENTS)
        if made[row.mark] > 1:
            verdict.note("duplicates", f"refund {row.mark}: {made[row.mark]} times at Stripe")
        if not made[row.mark]:
            verdict.note("lost", f"refund {row.mark} was never made at Stripe: {row.state}")
    for intent in back.keys() | booked.keys():
        if back[intent] != booked[intent]:
            verdict.note("wrong_totals", f"{intent}: {booked[intent]} of {back[intent]} cents back")
