"""Opens the processor's page for a client, with at most one open checkout per invoice.

The checkout is stored before the processor is asked, with a mark that makes repeated requests
return the same page. Two tabs get one page; a page for another amount or method is closed first.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import structlog
from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.orm import Session as Database

from db import Sessions
from models.processors import Checkout, CheckoutState, ProcessorAccount
from models.sales import Invoice, PaymentMethod
from processors import recording
from processors.processor import (
    MAX_AMOUNT,
    MIN_AMOUNT,
    AccessEnded,
    Order,
    Processor,
    Refused,
    Session,
    Unreachable,
)

OPEN_FOR = timedelta(hours=1)  # Stripe allows thirty minutes to a day
MIN_TIME_LEFT = timedelta(minutes=5)  # before it expires: the client needs time to type
TRANSFER_TAKES = timedelta(days=10)  # at most
MAX_TRIES = 3  # each closes one page that doesn't fit

log = structlog.get_logger()


@dataclass(frozen=True)
class Wish:
    """What a client wants to pay, and how."""

    invoice_id: int
    account_id: str
    method: PaymentMethod
    title: str
    email: str
    language: str
    return_url: str


def account_of(
    database: Database, organization_id: int, *, is_live: bool
) -> ProcessorAccount | None:
    return database.scalar(
        select(ProcessorAccount).where(
            ProcessorAccount.organization_id == organization_id,
            ProcessorAccount.is_live == is_live,
        )
    )


def account_by(database: Database, account_id: str) -> ProcessorAccount | None:
    return database.scalar(
        select(ProcessorAccount).where(ProcessorAccount.account_id == account_id)
    )


def is_open(account_id: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """Whether we have access to this account. Without it, there is no point in asking."""
    return account_id.in_(
        select(ProcessorAccount.account_id).where(ProcessorAccount.ended_at.is_(None))
    )


@dataclass(frozen=True)
class Paying:
    """How far a client is who pays an invoice online."""

    on_its_way: Decimal  # bank transfers in progress
    has_open_page: bool  # that the client may just have paid on


def under_way(database: Database, invoice_id: int) -> Paying:
    """Read it in one snapshot with the invoice, or under its lock: of a payment that is recorded
    between the two, the page would ask for the money again, or count it twice.

    A transfer at an account that we lost access to counts for as long as it may take: afterwards,
    the client may pay again.
    """
    is_recent = Checkout.created_at > func.clock_timestamp() - TRANSFER_TAKES
    comes = and_(
        Checkout.state == CheckoutState.ON_ITS_WAY, or_(is_open(Checkout.account_id), is_recent)
    )
    is_waiting = Checkout.state.in_(recording.WAITING_STATES)
    amount, waiting = database.execute(
        select(
            func.coalesce(func.sum(Checkout.amount).filter(comes), 0),
            func.coalesce(func.bool_or(is_waiting), False),
        ).where(Checkout.invoice_id == invoice_id)
    ).one()
    return Paying(Decimal(amount), waiting)


def on_its_way(database: Database, invoice_id: int) -> Decimal:
    return under_way(database, invoice_id).on_its_way


def payable(database: Database, invoice: Invoice) -> Decimal:
    """The amount that can be paid online now; 0 if nothing is due, or not by this means."""
    return within_limits(invoice.balance - on_its_way(database, invoice.id))


def within_limits(left: Decimal) -> Decimal:
    """This much if Stripe takes an amount like it, otherwise 0."""
    return left if MIN_AMOUNT <= left <= MAX_AMOUNT else Decimal(0)


def open_page(sessions: Sessions, processor: Processor, wish: Wish) -> str | None:
    """The address of the payment page; None if there is nothing to pay.

    Raises Unreachable, Refused, AccessEnded.
    """
    for _try in range(MAX_TRIES):
        with sessions.begin() as database:
            checkout = _checkout(database, wish)
            if checkout is None:
                return None
            database.flush()
            database.expunge(checkout)
        if checkout.state == CheckoutState.OPENING:
            session = _open(sessions, processor, checkout)
        elif _fits(checkout, wish):
            return checkout.url
        else:
            session = dated(processor, _closed(processor, checkout, wish))
        with sessions.begin() as database:
            kept = recording.note_session(database, session)
            if kept and kept.state == CheckoutState.OPEN and _fits(kept, wish):
                return kept.url
    return None


def _open(sessions: Sessions, processor: Processor, checkout: Checkout) -> Session:
    """Opens the page. After a missing answer the checkout is abandoned, because Stripe repeats an
    error for a day.

    If Stripe did open a page, nobody has its address; if it were paid anyway, its mark would
    identify it.
    """
    try:
        return processor.open_checkout(_order(checkout))
    except (Unreachable, Refused, AccessEnded):
        with sessions.begin() as database:
            database.execute(
                update(Checkout)
                .where(Checkout.id == checkout.id, Checkout.state == CheckoutState.OPENING)
                .values(state=CheckoutState.EXPIRED, settled_at=func.clock_timestamp())
            )
        raise


def _closed(processor: Processor, checkout: Checkout, wish: Wish) -> Session:
    """Closes the page. At an account that the firm left for another we can't, and it may still be
    paid until it expires."""
    assert checkout.session_id
    try:
        return processor.close_checkout(checkout.account_id, checkout.session_id)
    except AccessEnded as problem:
        if checkout.account_id == wish.account_id:
            raise
        raise Unreachable("a page is open at the account that was left") from problem


def _checkout(database: Database, wish: Wish) -> Checkout | None:
    """The open checkout, whether or not it fits, or a new one. None: nothing to pay."""
    invoice = recording.lock_invoice(database, wish.invoice_id)
    amount = payable(database, invoice)
    found = database.scalar(
        select(Checkout).where(
            Checkout.invoice_id == invoice.id, Checkout.state.in_(recording.WAITING_STATES)
        )
    )
    now = datetime.now(UTC)
    if found is not None and _is_over(found, amount, now):
        found.state, found.settled_at = CheckoutState.EXPIRED, now
        database.flush()
        found = None
    elif found is not None and found.state == CheckoutState.OPEN:
        has_time = found.expires_at - MIN_TIME_LEFT > now
        # One that fits no request any more is closed before another opens.
        found.url = found.url if has_time and found.amount == amount else None
    if found is not None or not amount:
        return found if amount else None
    checkout = Checkout(
        organization_id=invoice.organization_id,
        invoice_id=invoice.id,
        account_id=wish.account_id,
        method=wish.method,
        amount=amount,
        state=CheckoutState.OPENING,
        expires_at=datetime.now(UTC) + OPEN_FOR,
        told={
            "title": wish.title,
            "email": wish.email,
            "language": wish.language,
            "return_url": wish.return_url,
        },
    )
    database.add(checkout)
    return checkout


def _is_over(checkout: Checkout, amount: Decimal, now: datetime) -> bool:
    """Whether nobody can pay it any more, without asking Stripe: it has expired there, or nobody
    ever had its address."""
    if checkout.session_id is None:
        return checkout.amount != amount or checkout.expires_at - MIN_TIME_LEFT <= now
    return checkout.expires_at + MIN_TIME_LEFT <= now


def _fits(checkout: Checkout, wish: Wish) -> bool:
    return checkout.url is not None and (checkout.method, checkout.account_id) == (
        wish.method,
        wish.account_id,
    )


def _order(checkout: Checkout) -> Order:
    return Order(
        account_id=checkout.account_id,
        mark=checkout.mark,
        invoice_id=checkout.invoice_id,
        organization_id=checkout.organization_id,
        method=checkout.method,
        amount=checkout.amount,
        title=checkout.told["title"],
        email=checkout.told["email"],
        language=checkout.told["language"],
        return_url=checkout.told["return_url"],
        expires_at=checkout.expires_at,
    )


def catch_up(sessions: Sessions, processor: Processor, checkout: Checkout) -> Session:
    """Reads a checkout's state from the processor and records it, for when no event reported it."""
    assert checkout.session_id
    session = dated(processor, processor.session(checkout.account_id, checkout.session_id))
    failed, failure = False, None
    if session.state == CheckoutState.ON_ITS_WAY and session.payment_intent_id:
        receipt = processor.receipt(checkout.account_id, session.payment_intent_id)
        failed, failure = receipt.state == "failed", receipt.failure
    with sessions.begin() as database:
        recording.note_session(database, session, has_failed=failed, failure=failure)
    return session


def dated(processor: Processor, session: Session) -> Session:
    """With the moment at which a card was charged, which only its charge has."""
    if session.state != CheckoutState.PAID or not session.payment_intent_id:
        return session
    receipt = processor.receipt(session.account_id, session.payment_intent_id)
    return replace(session, paid_at=receipt.charged_at)
