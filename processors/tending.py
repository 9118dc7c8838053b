"""Background jobs: fees, open checkouts, and news that no event reported.

All processes run them; a row is claimed by the time it was last checked.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

import structlog
from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.orm import Session as Database

from db import Sessions, one_snapshot
from models.processors import (
    Charge,
    Checkout,
    CheckoutState,
    ProcessorAccount,
    ProcessorEvent,
)
from models.sales import Invoice
from processors import paying, recording, refunding
from processors.processor import AccessEnded, Processor, Refused, Session, Unreachable

# Stripe knows the fee within an hour, usually within seconds
FEE_CHECK_INTERVAL = timedelta(minutes=2)
OPEN_CHECK_INTERVAL = timedelta(minutes=10)  # events arrive within seconds; this is for lost ones
TRANSFER_CHECK_INTERVAL = timedelta(hours=6)  # a bank transfer takes days
REFUNDS_READ_AGAIN_AFTER = timedelta(minutes=10)  # when they could not be read
COMPARED_EVERY = timedelta(days=1)
COMPARED_AGAIN = timedelta(hours=1)  # if Stripe didn't answer
# longer than a bank transfer takes, or an outage of ours over a weekend
LOOK_BACK = timedelta(days=10)
STANDING_EVERY = timedelta(hours=12)
STANDING_AGAIN = timedelta(minutes=10)  # if Stripe didn't answer
EVENTS_KEPT = timedelta(days=40)  # Stripe retries an event for three days and lists it for thirty
AT_ONCE = 50

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger()


def read_fees(sessions: Sessions, processor: Processor) -> int:
    """Reads each payment's fee and method. Returns how many fees were found."""
    came = 0
    for payment_id in _claim(
        sessions,
        Charge,
        Charge.payment_id,
        Charge.fee_asked_at,
        FEE_CHECK_INTERVAL,
        Charge.fee.is_(None),
        paying.is_open(Charge.account_id),
    ):
        with sessions() as database:
            charge = database.get_one(Charge, payment_id)
        receipt = _asked(processor.receipt, charge.account_id, charge.payment_intent_id)
        if receipt is None:
            continue
        with sessions.begin() as database:
            stored = database.get_one(Charge, payment_id, with_for_update=True)
            recording.note_receipt(database, stored, receipt)
            came += receipt.fee is not None
    return came


def read_refunds(sessions: Sessions, processor: Processor) -> int:
    """Reads refunds and disputes of payments of which something was said to have gone back."""
    with sessions() as database:
        due = database.scalars(
            select(Charge)
            .where(
                Charge.refunds_due_at <= func.clock_timestamp(), paying.is_open(Charge.account_id)
            )
            .order_by(Charge.refunds_due_at)
            .limit(AT_ONCE)
        ).all()
    for charge in due:
        try:
            seen = list(processor.refunds(charge.account_id, charge.payment_intent_id))
            disputes = list(processor.disputes(charge.account_id, charge.payment_intent_id))
        except (Unreachable, Refused, AccessEnded) as problem:
            log.warning("refunds not read", payment=charge.payment_id, problem=str(problem))
            _put_off(sessions, charge)
            continue
        with sessions.begin() as database:
            for refund in seen:
                recording.note_refund(database, refund, charge.account_id)
            refunding.correct_by(database, charge, seen)
            for dispute in reversed(disputes):  # the newest last
                recording.note_dispute(database, dispute, charge.account_id)
            database.execute(
                update(Charge)
                .where(
                    Charge.payment_id == charge.payment_id,
                    Charge.refunds_due_at == charge.refunds_due_at,
                )
                .values(refunds_due_at=None, refunds_read_at=Charge.refunds_due_at)
            )
    return len(due)


def _put_off(sessions: Sessions, charge: Charge) -> None:
    """Reads this one's refunds again later, so that it keeps no other from being read."""
    with sessions.begin() as database:
        database.execute(
            update(Charge)
            .where(
                Charge.payment_id == charge.payment_id,
                Charge.refunds_due_at == charge.refunds_due_at,
            )
            .values(refunds_due_at=func.clock_timestamp() + REFUNDS_READ_AGAIN_AFTER)
        )


def tend_checkouts(sessions: Sessions, processor: Processor) -> int:
    """Closes pages whose amount is outdated, and checks on those without news."""
    closed = sum(_close(sessions, processor, key) for key in _outdated(sessions))
    quiet = [
        *_claim(
            sessions,
            Checkout,
            Checkout.id,
            Checkout.asked_at,
            OPEN_CHECK_INTERVAL,
            Checkout.state.in_(recording.WAITING_STATES),
            Checkout.session_id.is_not(None),
            paying.is_open(Checkout.account_id),
            Checkout.created_at < func.clock_timestamp() - OPEN_CHECK_INTERVAL,
        ),
        *_claim(
            sessions,
            Checkout,
            Checkout.id,
            Checkout.asked_at,
            TRANSFER_CHECK_INTERVAL,
            Checkout.state == CheckoutState.ON_ITS_WAY,
            paying.is_open(Checkout.account_id),
            Checkout.created_at < func.clock_timestamp() - TRANSFER_CHECK_INTERVAL,
        ),
    ]
    for key in quiet:
        with sessions() as database:
            checkout = database.get_one(Checkout, key)
        _asked(paying.catch_up, sessions, processor, checkout)
    _end_abandoned(sessions)
    return closed + len(quiet)


def _outdated(sessions: Sessions) -> list[int]:
    """Open pages whose amount is not what the invoice has left: it was paid, changed or voided."""
    with one_snapshot(sessions) as database:  # a transfer that arrives now is in it once
        found = database.scalars(
            select(Checkout.id)
            .join(Invoice, Invoice.id == Checkout.invoice_id)
            .where(
                Checkout.state == CheckoutState.OPEN,
                paying.is_open(Checkout.account_id),
                or_(
                    Invoice.voided_at.is_not(None),
                    Checkout.amount != Invoice.total - Invoice.paid_amount,
                ),
            )
            .limit(AT_ONCE)
        ).all()
        return [
            key
            for key in found
            if (checkout := database.get_one(Checkout, key))
            and checkout.amount != paying.payable(database, checkout.invoice)
        ]


def _close(sessions: Sessions, processor: Processor, key: int) -> bool:
    with sessions() as database:
        checkout = database.get_one(Checkout, key)
    if checkout.session_id is None:
        return False
    session_id = checkout.session_id
    closed = _asked(processor.close_checkout, checkout.account_id, session_id)
    session = _asked(paying.dated, processor, closed) if closed else None
    if session is None:
        return False
    with sessions.begin() as database:
        recording.note_session(database, session)
    return True


def _end_abandoned(sessions: Sessions) -> None:
    """Abandons checkouts whose answer never reached us; they expire at Stripe by themselves."""
    with sessions.begin() as database:
        database.execute(
            update(Checkout)
            .where(
                Checkout.state == CheckoutState.OPENING,
                Checkout.expires_at < func.clock_timestamp(),
            )
            .values(state=CheckoutState.EXPIRED, settled_at=func.clock_timestamp())
        )


def read_standings(sessions: Sessions, processor: Processor) -> int:
    """Reads what accounts may do, for changes that no event reported."""
    keys = _claim(
        sessions,
        ProcessorAccount,
        ProcessorAccount.id,
        ProcessorAccount.asked_at,
        STANDING_EVERY,
        ProcessorAccount.is_live == processor.is_live,
        ProcessorAccount.ended_at.is_(None),
    )
    for key in keys:
        with sessions() as database:
            account = database.get_one(ProcessorAccount, key)
        standing = _asked(processor.standing, account.account_id)
        with sessions.begin() as database:
            if standing is not None:
                recording.note_standing(database, standing)
            else:
                _read_again(
                    database, ProcessorAccount.asked_at, key, STANDING_EVERY, STANDING_AGAIN
                )
    return len(keys)


def _read_again(
    database: Database,
    asked_at: InstrumentedAttribute[datetime | None],
    key: int,
    every: timedelta,
    again: timedelta,
) -> None:
    """Makes an account that could not be read due again before the usual time."""
    due = func.clock_timestamp() - every + again
    database.execute(
        update(ProcessorAccount)
        .where(ProcessorAccount.id == key, asked_at.is_not(None))
        .values({asked_at: due})
    )


def compare(sessions: Sessions, processor: Processor) -> int:
    """Once a day: lists recent payments, refunds and disputes, and records what is missing.

    Returns how many accounts were compared. An account that can't be read is retried after an hour.
    """
    keys = _claim(
        sessions,
        ProcessorAccount,
        ProcessorAccount.id,
        ProcessorAccount.compared_at,
        COMPARED_EVERY,
        ProcessorAccount.is_live == processor.is_live,
        ProcessorAccount.ended_at.is_(None),
    )
    return sum(_compare(sessions, processor, key) for key in keys)


def _compare(sessions: Sessions, processor: Processor, key: int) -> bool:
    with sessions() as database:
        account = database.get_one(ProcessorAccount, key)
        since = database.execute(select(func.clock_timestamp() - LOOK_BACK)).scalar_one()
    try:
        for session in processor.sessions_since(account.account_id, since):
            if session.state == CheckoutState.PAID:
                _record_paid(sessions, processor, session)
            else:
                _look_at_transfer(sessions, processor, account.account_id, session.id)
        for refund in processor.refunds_since(account.account_id, since):
            with sessions.begin() as database:
                recording.note_refund(database, refund, account.account_id)
        for dispute in reversed(list(processor.disputes_since(account.account_id, since))):
            with sessions.begin() as database:
                recording.note_dispute(database, dispute, account.account_id)
    except (Unreachable, Refused, AccessEnded) as problem:
        log.warning("payments not compared", account=account.account_id, problem=str(problem))
        with sessions.begin() as database:
            _read_again(database, ProcessorAccount.compared_at, key, COMPARED_EVERY, COMPARED_AGAIN)
        return False
    return True


def _record_paid(sessions: Sessions, processor: Processor, session: Session) -> None:
    with sessions() as database:
        is_known = recording.is_recorded(database, session.payment_intent_id)
    if session.mark and not is_known:
        session = paying.dated(processor, session)
    with sessions.begin() as database:
        recording.note_session(database, session)


def _look_at_transfer(
    sessions: Sessions, processor: Processor, account_id: str, session_id: str
) -> None:
    """A bank transfer whose checkout is complete but not paid: it is in progress, or has failed."""
    with sessions() as database:
        checkout = database.scalar(
            select(Checkout).where(
                Checkout.session_id == session_id,
                Checkout.account_id == account_id,
                Checkout.state.not_in((CheckoutState.FAILED, CheckoutState.PAID)),
            )
        )
    if checkout is not None:
        paying.catch_up(sessions, processor, checkout)


def forget_events(sessions: Sessions) -> int:
    with sessions.begin() as database:
        gone = database.execute(
            delete(ProcessorEvent)
            .where(ProcessorEvent.received_at < func.clock_timestamp() - EVENTS_KEPT)
            .returning(ProcessorEvent.id)
        )
        return len(gone.all())


# --- Claiming, and asking -------------------------------------------------------------------------


def _claim(
    sessions: Sessions,
    model: type[Charge] | type[Checkout] | type[ProcessorAccount],
    key: InstrumentedAttribute[int],
    asked_at: InstrumentedAttribute[object],
    every: timedelta,
    *conditions: ColumnElement[bool],
) -> list[int]:
    """Claims the rows that are due; they are ours until `every` has passed again."""
    is_due = or_(asked_at.is_(None), asked_at < func.clock_timestamp() - every)
    due = select(key).where(is_due, *conditions).limit(AT_ONCE).with_for_update(skip_locked=True)
    with sessions.begin() as database:
        claimed = database.execute(
            update(model)
            .where(key.in_(due))
            .values({asked_at: func.clock_timestamp()})
            .returning(key)
            .execution_options(synchronize_session=False)
        )
        return [row[0] for row in claimed]


def _asked(ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """The answer, or None if there was none; the row will be due again."""
    try:
        return ask(*args, **kwargs)
    except (Unreachable, Refused, AccessEnded) as problem:
        log.warning("processor not asked", problem=str(problem))
        return None
