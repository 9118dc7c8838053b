"""Refunds through the processor: stored, requested, settled. A crash between any two is harmless.

A request that was not settled is first looked up at the processor, then repeated with the same key:
one refund, however often we crash.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session as Database

from db import Sessions
from models.processors import Charge, Refund, RefundKind, RefundState
from models.sales import Payment
from processors import recording
from processors.processor import AccessEnded, Processor, RefundSeen, Refused, Unreachable

FIRST_RETRY_DELAY = timedelta(seconds=30)  # longer than one refund request may take; doubles
MAX_RETRY_DELAY = timedelta(hours=1)
ACCESS_ENDED = "access_ended"
NOT_MADE = "not_made"  # a person has looked: nothing went back
NOT_THERE = "not_there"  # a person said that it went back, and the processor has no such refund
CORRECTED = "corrected"  # a person had recorded by hand what did not go back

log = structlog.get_logger()


def left_of(database: Database, payment: Payment) -> Decimal:
    """What can still be refunded, minus requests without an answer."""
    asked = database.scalar(
        select(func.coalesce(func.sum(Refund.amount), 0)).where(
            Refund.payment_id == payment.id, Refund.state == RefundState.ASKED
        )
    )
    return max(payment.left - (asked or Decimal(0)), Decimal(0))


def ask(
    database: Database, payment: Payment, amount: Decimal, user_id: int, *, keeps_paid: bool = False
) -> Refund:
    """Stores a refund request. The payment must be locked and have that much left."""
    refund = Refund(
        organization_id=payment.organization_id,
        payment_id=payment.id,
        kind=RefundKind.REFUND,
        amount=amount,
        state=RefundState.ASKED,
        booked=Decimal(0),
        keeps_paid=keeps_paid,
        asked_by_id=user_id,
        # until then this process carries it out
        available_at=datetime.now(UTC) + FIRST_RETRY_DELAY,
        attempts=1,
    )
    database.add(refund)
    database.flush()
    return refund


def finish_due(sessions: Sessions, processor: Processor) -> int:
    """Carries out requests that were left unfinished. Returns how many were settled."""
    with sessions() as database:
        due = database.scalars(
            select(Refund.id).where(
                Refund.state == RefundState.ASKED, Refund.available_at <= func.clock_timestamp()
            )
        ).all()
    return sum(
        _claim(sessions, refund_id) and carry_out(sessions, processor, refund_id)
        for refund_id in due
    )


def _claim(sessions: Sessions, refund_id: int) -> bool:
    """Claims the refund by moving its next attempt into the future, so that one process does it."""
    with sessions.begin() as database:
        claimed = database.execute(
            update(Refund)
            .where(
                Refund.id == refund_id,
                Refund.state == RefundState.ASKED,
                Refund.available_at <= func.clock_timestamp(),
            )
            .values(
                attempts=Refund.attempts + 1,
                available_at=func.clock_timestamp()
                + func.least(
                    FIRST_RETRY_DELAY * func.power(2, func.least(Refund.attempts, 10)),
                    MAX_RETRY_DELAY,
                ),
            )
            .returning(Refund.id)
        )
        return claimed.first() is not None


def carry_out(sessions: Sessions, processor: Processor, refund_id: int) -> bool:
    """Asks the processor and settles its answer; False if the outcome is still unknown."""
    with sessions() as database:
        refund = database.get_one(Refund, refund_id)
        charge = database.get_one(Charge, refund.payment_id)
    failure = None
    try:
        seen = _found(processor, charge, refund) or processor.refund(
            charge.account_id, charge.payment_intent_id, amount=refund.amount, mark=refund.mark
        )
    except Unreachable as problem:
        log.warning("refund not answered yet", refund=refund_id, problem=str(problem))
        return False
    except (Refused, AccessEnded) as problem:
        log.warning("refund refused", refund=refund_id, problem=str(problem))
        failure = problem.sentence if isinstance(problem, Refused) else ACCESS_ENDED
        if failure == ACCESS_ENDED and refund.attempts > 1:  # an earlier attempt may have paid
            _keep_unsure(sessions, refund_id)
            return False
    with sessions.begin() as database:
        if failure is None:
            recording.note_refund(database, seen, charge.account_id)
            return True
        payment = database.get_one(Payment, refund.payment_id)
        payment = recording.lock_payment(database, payment.id, payment.invoice_id)
        stored = database.get_one(Refund, refund_id, with_for_update=True, populate_existing=True)
        if stored.state == RefundState.ASKED:
            recording.settle(database, payment, stored, failure=failure)
    return True


def _found(processor: Processor, charge: Charge, refund: Refund) -> RefundSeen | None:
    """A refund made by an earlier attempt. A first attempt has nothing to look up."""
    if refund.attempts <= 1:
        return None
    try:
        made = processor.refunds(charge.account_id, charge.payment_intent_id)
        return next((one for one in made if one.mark == refund.mark), None)
    except Refused as problem:  # the question, which says nothing about the refund
        raise Unreachable(f"not looked up: {problem}") from problem


def _keep_unsure(sessions: Sessions, refund_id: int) -> None:
    """The refund is asked for again later, and a person is told that it may have been made."""
    with sessions.begin() as database:
        database.execute(
            update(Refund)
            .where(Refund.id == refund_id, Refund.state == RefundState.ASKED)
            .values(failure=ACCESS_ENDED)
        )


def settle_by_hand(database: Database, payment: Payment, refund: Refund, *, went: bool) -> None:
    """A person has looked at the processor. They may have looked too early, so the processor is
    asked as soon as it answers us again. The payment must be locked."""
    recording.settle(database, payment, refund, failure=None if went else NOT_MADE)
    database.get_one(Charge, payment.id).refunds_due_at = datetime.now(UTC)


def record_by_hand(
    database: Database, payment: Payment, amount: Decimal, user_id: int, *, keeps_paid: bool
) -> None:
    """Counts what a person paid back in another way than through us. The payment must be locked and
    have that much left.

    They may have paid it back at the processor: of what came through it, a row is kept, so that the
    same money isn't counted again once the processor answers us.
    """
    given = recording.give_back(database, payment, amount, keeps_paid=keeps_paid)
    charge = database.get(Charge, payment.id)
    if charge is None:
        return
    refund = Refund(
        organization_id=payment.organization_id,
        payment_id=payment.id,
        amount=amount,
        booked=amount,
        state=RefundState.DONE,
        keeps_paid=keeps_paid,
        goodwill_id=given.id if given else None,
        asked_by_id=user_id,
        by_hand=True,
        settled_at=datetime.now(UTC),
    )
    database.add(refund)
    database.execute(
        update(Charge)
        .where(Charge.payment_id == payment.id)
        .values(refunds_due_at=func.clock_timestamp())
    )


def correct_by_hand(database: Database, payment: Payment, refund: Refund) -> None:
    """What a person had recorded did not go back. The payment must be locked."""
    recording.settle(database, payment, refund, failure=CORRECTED)


def correct_by(database: Database, charge: Charge, seen: Sequence[RefundSeen]) -> None:
    """Takes back what a person said went back, if it is not among all refunds of the payment."""
    said = database.scalars(
        select(Refund.id).where(
            Refund.payment_id == charge.payment_id,
            Refund.kind == RefundKind.REFUND,
            Refund.state == RefundState.DONE,
            Refund.remote_id.is_(None),
            Refund.by_hand.is_(False),  # it went another way
            Refund.mark.not_in([one.mark for one in seen]),
        )
    ).all()
    for refund_id in said:
        payment = database.get_one(Payment, charge.payment_id)
        payment = recording.lock_payment(database, payment.id, payment.invoice_id)
        refund = database.get_one(Refund, refund_id, with_for_update=True, populate_existing=True)
        if refund.state == RefundState.DONE and refund.remote_id is None:
            recording.settle(database, payment, refund, failure=NOT_THERE)
