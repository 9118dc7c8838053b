"""Records what the processor reports. Nothing here uses the network or commits.

Events arrive late, twice and out of order, and the same news also arrives in other ways. So
everything is decided from stored state, under the invoice's lock. Lock order: invoice → checkout,
payment → refund.
"""

from datetime import UTC, datetime
from decimal import Decimal

import structlog
from sqlalchemy import case, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session as Database

from models.accounts import AuditEvent, Organization
from models.processors import (
    DECIDED_STATES,
    Charge,
    Checkout,
    CheckoutState,
    ProcessorAccount,
    ProcessorEvent,
    Refund,
    RefundKind,
    RefundState,
)
from models.quickbooks import Connection, RefundsAre
from models.sales import GoodwillRefund, Invoice, Payment
from processors.processor import (
    AccountEnded,
    AccountStanding,
    DisputeSeen,
    Event,
    FeeKnown,
    Receipt,
    RefundsChanged,
    RefundSeen,
    Session,
    TransferFailed,
)

WAITING_STATES = (CheckoutState.OPENING, CheckoutState.OPEN)

log = structlog.get_logger()


def carry_out(database: Database, event: Event) -> bool:
    """Processes an event; False if it was processed before."""
    noted = database.execute(
        insert(ProcessorEvent)
        .values(id=event.id, type=event.type, account_id=event.account_id)
        .on_conflict_do_nothing()
        .returning(ProcessorEvent.id)
    )
    if noted.first() is None:
        return False
    match event.told:
        case Session() as session:
            note_session(database, session)
        case TransferFailed(session):
            note_session(database, session, has_failed=True)
        case RefundSeen() as refund:
            note_refund(database, refund, event.account_id)
        case RefundsChanged(intent):
            _mark(database, intent, event.account_id, refunds_due_at=func.clock_timestamp())
        case DisputeSeen() as dispute:
            note_dispute(database, dispute, event.account_id)
            # A payment may have several: all are read from the processor, the newest last.
            intent = dispute.payment_intent_id
            _mark(database, intent, event.account_id, refunds_due_at=func.clock_timestamp())
        case AccountStanding() as standing:
            note_standing(database, standing, is_answer=False)
        case FeeKnown(intent):
            _mark(database, intent, event.account_id, fee_asked_at=None)
        case AccountEnded(account_id):
            end_account(database, account_id)
        case None:
            pass
    return True


# --- Paying ---------------------------------------------------------------------------------------


def note_session(
    database: Database, session: Session, *, has_failed: bool = False, failure: str | None = None
) -> Checkout | None:
    """Updates the checkout of this session; None if it isn't ours."""
    checkout = _locked_checkout(database, session)
    if checkout is None:
        return None
    checkout.session_id = checkout.session_id or session.id
    checkout.payment_intent_id = session.payment_intent_id or checkout.payment_intent_id
    if session.state == CheckoutState.PAID:
        _record_payment(database, checkout, session)
        checkout.state = CheckoutState.PAID
        checkout.settled_at = checkout.settled_at or datetime.now(UTC)
    elif checkout.state != CheckoutState.PAID:  # otherwise the event is outdated
        _note_unpaid(checkout, session, has_failed, failure)
    return checkout


def _note_unpaid(
    checkout: Checkout, session: Session, has_failed: bool, failure: str | None
) -> None:
    if has_failed:
        checkout.state, checkout.failure = CheckoutState.FAILED, failure
        checkout.settled_at = datetime.now(UTC)
    elif session.state == CheckoutState.ON_ITS_WAY and checkout.state != CheckoutState.FAILED:
        checkout.state = CheckoutState.ON_ITS_WAY
    elif checkout.state in WAITING_STATES:
        checkout.state, checkout.url = session.state, session.url or checkout.url
        if session.state == CheckoutState.EXPIRED:
            checkout.settled_at = datetime.now(UTC)


def _locked_checkout(database: Database, session: Session) -> Checkout | None:
    """The checkout with our mark, on the account it was opened for."""
    same = Checkout.mark == session.mark if session.mark else Checkout.session_id == session.id
    found = database.execute(
        select(Checkout.id, Checkout.invoice_id).where(
            same, Checkout.account_id == session.account_id
        )
    ).one_or_none()
    if found is None:
        log.info("checkout is not ours", session=session.id)
        return None
    lock_invoice(database, found.invoice_id)
    return database.get_one(Checkout, found.id, with_for_update=True, populate_existing=True)


def lock_invoice(database: Database, invoice_id: int) -> Invoice:
    query = select(Invoice).where(Invoice.id == invoice_id).with_for_update(key_share=True)
    return database.scalars(query.execution_options(populate_existing=True)).one()


def _record_payment(database: Database, checkout: Checkout, session: Session) -> None:
    """Records the payment once per payment intent; a concurrent caller finds it.

    Money for a void invoice, or paid twice, has arrived all the same: it is recorded, and the
    invoice's page says so.
    """
    intent = checkout.payment_intent_id
    if intent is None:  # Stripe always sets it on what is paid
        raise ValueError(f"checkout {checkout.id} is paid without a payment")
    if database.scalar(select(Charge.payment_id).where(Charge.payment_intent_id == intent)):
        return
    organization = database.get_one(Organization, checkout.organization_id)
    payment = Payment(
        organization_id=organization.id,
        invoice_id=checkout.invoice_id,
        amount=session.amount,
        method=checkout.method,
        received_on=organization.day_at(_not_in_future(session.paid_at)),
        note="",
        event_id=f"stripe:{intent}",
    )
    database.add(payment)
    database.flush()
    database.add(
        Charge(
            payment_id=payment.id,
            organization_id=organization.id,
            account_id=checkout.account_id,
            payment_intent_id=intent,
        )
    )
    _audit(database, "payment.paid_online", payment, session.amount)


def is_recorded(database: Database, payment_intent_id: str | None) -> bool:
    return (
        database.scalar(
            select(Charge.payment_id).where(Charge.payment_intent_id == payment_intent_id)
        )
        is not None
    )


def _not_in_future(moment: datetime | None) -> datetime:
    """When it happened, however late we hear of it; now, if that is not known."""
    now = datetime.now(UTC)
    return min(moment or now, now)


def note_receipt(database: Database, charge: Charge, receipt: Receipt) -> None:
    """Stores the payment method, the processor's fee once it is known, and whether to look for
    money that went back."""
    charge.charge_id = receipt.charge_id or charge.charge_id
    charge.label = receipt.label or charge.label
    charge.balance_transaction_id = receipt.balance_transaction_id
    if receipt.fee is not None:
        charge.fee = receipt.fee
    if receipt.went_back:  # an event may have said so before we had the payment
        charge.refunds_due_at = datetime.now(UTC)


# --- Paying back ----------------------------------------------------------------------------------


def note_refund(database: Database, seen: RefundSeen, account_id: str | None) -> None:
    """A refund that we requested, or that was made at the processor."""
    payment = _locked_payment(database, seen.payment_intent_id, account_id)
    if payment is None:
        return
    refund = _refund(database, payment, seen)
    if refund.remote_id is None and refund.state == RefundState.FAILED:
        # Only we, or a person who looked there, took it for failed. The processor knows better.
        refund.state, refund.failure = RefundState.ASKED, None
    refund.remote_id = seen.id
    failure = (seen.failure or "failed") if seen.is_failed else None
    settle(database, payment, refund, failure=failure, made_at=seen.made_at)


def _refund(database: Database, payment: Payment, seen: RefundSeen) -> Refund:
    same = Refund.remote_id == seen.id
    if seen.mark:
        same |= Refund.mark == seen.mark
    found = database.scalar(select(Refund).where(same, Refund.payment_id == payment.id))
    if found is None and not seen.is_failed:
        found = _recorded_by_hand(database, payment, seen.amount)
    if found is not None:
        return found
    refund = Refund(
        organization_id=payment.organization_id,
        payment_id=payment.id,
        kind=RefundKind.REFUND,
        amount=seen.amount,
        state=RefundState.ASKED,
        booked=Decimal(0),
        keeps_paid=keeps_paid(database, payment),
    )
    database.add(refund)
    return refund


def _recorded_by_hand(database: Database, payment: Payment, amount: Decimal) -> Refund | None:
    """What a person recorded of the same money while we had no access to the account.

    Only until all that went back by then has been read once: what is told later was made later.
    """
    is_unread = or_(Charge.refunds_read_at.is_(None), Refund.created_at > Charge.refunds_read_at)
    return database.scalar(
        select(Refund)
        .join(Charge, Charge.payment_id == Refund.payment_id)
        .where(
            Refund.payment_id == payment.id,
            Refund.by_hand,
            Refund.remote_id.is_(None),
            Refund.state == RefundState.DONE,
            Refund.amount == amount,
            is_unread,
        )
        .order_by(Refund.id)
        .limit(1)
    )


def settle(
    database: Database,
    payment: Payment,
    refund: Refund,
    *,
    failure: str | None = None,
    made_at: datetime | None = None,
) -> None:
    """Adds the refund to its payment, or removes it again. The payment is locked."""
    if failure is not None:
        _count_again(database, payment, refund)
        _count_rest(database, payment, refund)
        refund.state, refund.failure = RefundState.FAILED, failure
    elif refund.state == RefundState.ASKED:
        # A refund and a dispute together may exceed the payment; never subtract more than was paid.
        refund.booked = min(refund.amount, payment.left)
        refund.state, refund.failure = RefundState.DONE, None
        if refund.booked > 0:
            given = give_back(
                database, payment, refund.booked, keeps_paid=refund.keeps_paid, made_at=made_at
            )
            refund.goodwill_id = given.id if given else None
        _audit(database, "payment.refunded", payment, refund.amount, refund.asked_by_id)
    else:
        return  # a finished refund only changes if it fails, and a failed one is final
    refund.settled_at = datetime.now(UTC)


def _count_again(database: Database, payment: Payment, refund: Refund) -> None:
    """The money did not go back after all."""
    as_goodwill = Decimal(0)
    if refund.booked and refund.goodwill_id is not None:
        goodwill = database.get_one(GoodwillRefund, refund.goodwill_id)
        if goodwill.voided_at is None:
            goodwill.voided_at = datetime.now(UTC)
            as_goodwill = goodwill.amount
    payment.goodwill_amount -= as_goodwill
    payment.refunded_amount -= refund.booked - as_goodwill
    refund.booked = Decimal(0)


def _count_rest(database: Database, payment: Payment, failed: Refund) -> None:
    """Counts refunds in full that could not be while the failed one was counted: a dispute, won
    since, had left no room for them."""
    others = database.scalars(
        select(Refund)
        .where(
            Refund.payment_id == payment.id,
            Refund.id != failed.id,
            Refund.state == RefundState.DONE,
            Refund.booked < Refund.amount,
        )
        .order_by(Refund.id)
    ).all()
    for other in others:
        database.flush()
        database.refresh(payment.invoice)  # its sums without the one that failed
        more = min(other.amount - other.booked, payment.left)
        if not more:
            continue
        goodwill = database.get(GoodwillRefund, other.goodwill_id) if other.goodwill_id else None
        if goodwill is None or goodwill.voided_at is not None:
            keeps, at = other.keeps_paid, other.settled_at
            given = give_back(database, payment, more, keeps_paid=keeps, made_at=at)
            other.goodwill_id = given.id if given else other.goodwill_id
        else:  # it grows
            as_goodwill = _as_goodwill(payment, more, keeps_paid=other.keeps_paid)
            goodwill.amount += as_goodwill
            payment.goodwill_amount += as_goodwill
            payment.refunded_amount += more - as_goodwill
        other.booked += more


def give_back(
    database: Database,
    payment: Payment,
    amount: Decimal,
    *,
    keeps_paid: bool,
    made_at: datetime | None = None,
) -> GoodwillRefund | None:
    """Counts money that went back on its payment, which is locked and has that much left.

    The invoice is open again by that amount. Where it stays paid, only what was paid too much comes
    off the payment; the rest is recorded as a refund of its own, which is returned. A void invoice
    is neither open nor paid, so all of it comes off.
    """
    payment.refunded_at = datetime.now(UTC)
    as_goodwill = _as_goodwill(payment, amount, keeps_paid=keeps_paid)
    payment.refunded_amount += amount - as_goodwill
    if not as_goodwill:
        return None
    payment.goodwill_amount += as_goodwill
    organization = database.get_one(Organization, payment.organization_id)
    refund = GoodwillRefund(
        organization_id=payment.organization_id,
        payment_id=payment.id,
        amount=as_goodwill,
        refunded_on=organization.day_at(_not_in_future(made_at)),
        note="",
    )
    database.add(refund)
    database.flush()
    return refund


def _as_goodwill(payment: Payment, amount: Decimal, *, keeps_paid: bool) -> Decimal:
    """How much of it does not come off the payment. Its invoice is locked, and its sums are up to
    date."""
    invoice = payment.invoice
    if not keeps_paid or invoice.voided_at is not None:
        return Decimal(0)
    return max(amount - invoice.credit, Decimal(0))


def take_off_goodwill(database: Database, invoice: Invoice) -> None:
    """Of an invoice that is void, nothing stays paid: what went back out of goodwill comes off its
    payments instead. The invoice is locked."""
    given = database.scalars(
        select(GoodwillRefund)
        .join(Payment)
        .where(Payment.invoice_id == invoice.id, GoodwillRefund.voided_at.is_(None))
    ).all()
    for refund in given:
        payment = database.get_one(
            Payment, refund.payment_id, with_for_update=True, populate_existing=True
        )
        refund.voided_at = invoice.voided_at
        payment.goodwill_amount -= refund.amount
        payment.refunded_amount += refund.amount
        database.flush()


def keeps_paid(database: Database, payment: Payment) -> bool:
    """Whether the invoice stays paid after a refund of which nobody said: where the owner has
    refunds booked as receipts."""
    connection = database.scalar(Connection.live_of(payment.organization_id))
    return connection is not None and connection.settings.get("refunds") == RefundsAre.RECEIPT


def note_dispute(database: Database, seen: DisputeSeen, account_id: str | None) -> None:
    """The client's bank reclaims the money: subtracted when the dispute is lost, added back when
    won. Of several, one without a decision is shown rather than one with."""
    payment = _locked_payment(database, seen.payment_intent_id, account_id)
    if payment is None:
        return
    charge = database.get_one(Charge, payment.id)
    if _is_outdated(charge, seen):
        return
    is_another = charge.dispute_id not in (None, seen.id)
    if not (is_another and charge.is_disputed and seen.state in DECIDED_STATES):
        charge.dispute_id, charge.dispute_state = seen.id, seen.state
        charge.dispute_reason = seen.reason
    _settle_dispute(database, payment, seen)


def _is_outdated(charge: Charge, seen: DisputeSeen) -> bool:
    """Whether it is older than what is known of this dispute. Nothing follows a won one, and only
    another decision or an appeal follows another decision."""
    if charge.dispute_id != seen.id:
        return False
    if charge.dispute_state == "won":
        return True
    may_follow = seen.state in DECIDED_STATES or seen.state.startswith("appeal")
    return charge.dispute_state in DECIDED_STATES and not may_follow


def _settle_dispute(database: Database, payment: Payment, seen: DisputeSeen) -> None:
    """Subtracts the money of a lost dispute, and adds that of a won one back."""
    taken = database.scalar(
        select(Refund).where(Refund.remote_id == seen.id, Refund.payment_id == payment.id)
    )
    if seen.state == "lost":
        settle(database, payment, taken or _taken_back(database, payment, seen))
    elif seen.state == "won" and taken is not None and taken.state == RefundState.DONE:
        settle(database, payment, taken, failure="won")


def _taken_back(database: Database, payment: Payment, seen: DisputeSeen) -> Refund:
    if recorded := _recorded_by_hand(database, payment, seen.amount):
        recorded.kind, recorded.remote_id = RefundKind.DISPUTE, seen.id
        return recorded
    taken = Refund(
        organization_id=payment.organization_id,
        payment_id=payment.id,
        kind=RefundKind.DISPUTE,
        amount=seen.amount,
        state=RefundState.ASKED,
        booked=Decimal(0),
        remote_id=seen.id,
    )
    database.add(taken)
    return taken


def _locked_payment(
    database: Database, payment_intent_id: str, account_id: str | None
) -> Payment | None:
    found = database.execute(
        select(Charge.payment_id, Payment.invoice_id)
        .join(Payment, Payment.id == Charge.payment_id)
        .where(Charge.payment_intent_id == payment_intent_id, Charge.account_id == account_id)
    ).one_or_none()
    if found is None:
        log.info("payment is not ours", payment_intent=payment_intent_id)
        return None
    return lock_payment(database, found.payment_id, found.invoice_id)


def lock_payment(database: Database, payment_id: int, invoice_id: int) -> Payment:
    """Locks the payment, so that concurrent refunds don't pay twice."""
    lock_invoice(database, invoice_id)
    return database.get_one(Payment, payment_id, with_for_update=True, populate_existing=True)


def _mark(
    database: Database, payment_intent_id: str, account_id: str | None, **values: object
) -> None:
    database.execute(
        update(Charge)
        .where(Charge.payment_intent_id == payment_intent_id, Charge.account_id == account_id)
        .values(**values)
    )


# --- Accounts -------------------------------------------------------------------------------------


def note_standing(database: Database, standing: AccountStanding, *, is_answer: bool = True) -> None:
    """Stores what the account may do. That Stripe answers us shows that we have access; an event
    may be older than the end of it.

    An event may also be older than the last one, so it counts only until the account is read, which
    it makes due. An answer that was asked for before the event leaves it due.
    """
    same = ProcessorAccount.account_id == standing.account_id
    if is_answer:
        _read_what_went_back_meanwhile(database, standing.account_id)
    read_at = case((ProcessorAccount.asked_at.is_not(None), func.clock_timestamp()))
    database.execute(
        update(ProcessorAccount)
        .where(same if is_answer else same & ProcessorAccount.ended_at.is_(None))
        .values(
            takes_cards=standing.takes_cards,
            takes_ach=standing.takes_ach,
            pays_out=standing.pays_out,
            is_submitted=standing.is_submitted,
            wanted={
                "due": list(standing.due),
                "overdue": list(standing.overdue),
                "reason": standing.reason,
            },
            asked_at=read_at if is_answer else None,
            ended_at=None,
        )
    )


def _read_what_went_back_meanwhile(database: Database, account_id: str) -> None:
    """While we had no access no event came, and the daily comparison looks back some days only."""
    database.execute(
        update(Charge)
        .where(
            ProcessorAccount.account_id == account_id,
            ProcessorAccount.ended_at.is_not(None),
            Charge.account_id == ProcessorAccount.account_id,
            Charge.organization_id == ProcessorAccount.organization_id,
        )
        .values(refunds_due_at=func.clock_timestamp())
        .execution_options(synchronize_session=False)
    )


def end_account(database: Database, account_id: str) -> None:
    """The firm revoked our access at the processor."""
    database.execute(
        update(ProcessorAccount)
        .where(ProcessorAccount.account_id == account_id)
        .values(ended_at=func.clock_timestamp(), takes_cards=False, takes_ach=False)
    )


def _audit(
    database: Database, action: str, payment: Payment, amount: Decimal, user_id: int | None = None
) -> None:
    details = {"payment": payment.id, "invoice": payment.invoice.number, "amount": str(amount)}
    database.add(
        AuditEvent(
            organization_id=payment.organization_id,
            user_id=user_id,
            action=action,
            details=details,
        )
    )
