"""What went back of a payment: each amount once, however it went."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from languages import N_
from models.processors import Refund, RefundKind, RefundState
from models.sales import GoodwillRefund, Payment
from web.formats import money
from web.languages import _

HOWS = {
    "asked": N_("waiting for Stripe's answer"),
    "unsure": N_(
        "Stripe hasn't said whether it was refunded, and your account is no longer connected:"
        " check your Stripe dashboard"
    ),
    "refunded": N_("refunded through Stripe"),
    "failed": N_("could not be refunded through Stripe"),
    "taken": N_("taken back by the client's bank"),
    "given_back": N_("returned to you by the client's bank"),
    "recorded": N_("recorded by hand"),
    "corrected": N_("recorded by hand, but not refunded"),
}
REASONS = {  # why Stripe, or the client's bank, did not take a refund
    "access_ended": N_("your Stripe account is no longer connected"),
    "not_made": N_("a person looked in your Stripe dashboard and did not find it"),
    "not_there": N_("a person said that it went back, and Stripe has no such refund"),
    "lost_or_stolen_card": N_("the card was lost or stolen"),
    "expired_or_canceled_card": N_("the card has expired or was canceled"),
    "charge_for_pending_refund_disputed": N_(
        "the client's bank asked for the money back in the meantime"
    ),
    "insufficient_funds": N_("your Stripe account does not have enough money"),
    "declined": N_("the client's bank declined it"),
    "merchant_request": N_("it was canceled at Stripe"),
}


@dataclass(frozen=True)
class WentBack:
    """One amount. `how` is what happened to it: asked, unsure, refunded, failed, taken,
    given_back, recorded, corrected."""

    amount: Decimal
    how: str
    at: datetime | date | None = None  # None: several may be in it
    why: str = ""  # it failed
    goodwill: GoodwillRefund | None = None  # the refund after which the invoice stays paid
    too_much: Decimal = Decimal(0)  # of it: came off the payment, because it was paid too much
    unsure_id: int | None = None  # of the refund that a person must look for
    by_hand_id: int | None = None  # of the refund that a person may correct
    may_be_twice: bool = False  # Stripe told of another one since

    @property
    def has_time(self) -> bool:
        return isinstance(self.at, datetime)

    @property
    def remarks(self) -> list[str]:
        how = _(HOWS[self.how])
        remarks = [f"{how}: {_(self.why)}" if self.why else how]
        if self.too_much:
            remarks.append(_("%(amount)s of it was paid too much", amount=money(self.too_much)))
        if self.goodwill and self.goodwill.came_off:
            remarks.append(_("the invoice is voided"))
        elif self.goodwill and not self.goodwill.voided_at:
            remarks.append(_("the invoice stays paid"))
        elif self.goodwill and self.how not in ("failed", "corrected"):
            remarks.append(_("could not be paid out"))
        if self.may_be_twice:
            remarks.append(_("check that Stripe's refunds don't include it"))
        return remarks


def went_back(session: Session, payment: Payment) -> tuple[WentBack, ...]:
    """Oldest first, except what was recorded by hand and opened the invoice again: the payment
    only has its sum."""
    refunds = session.scalars(
        select(Refund).where(Refund.payment_id == payment.id).order_by(Refund.id)
    ).all()
    goodwill = session.scalars(
        select(GoodwillRefund)
        .where(GoodwillRefund.payment_id == payment.id)
        .order_by(GoodwillRefund.id)
    ).all()
    by_id = {one.id: one for one in goodwill}
    through = [(one, by_id.get(one.goodwill_id or 0)) for one in refunds]
    through_ids = {one.goodwill_id for one in refunds}
    by_hand = [one for one in goodwill if one.id not in through_ids]
    amounts = [
        _recorded_by_hand(refund, its_goodwill, refunds)
        if refund.is_word_of_a_person
        else _through_processor(refund, its_goodwill)
        for refund, its_goodwill in through
    ]
    amounts += [
        WentBack(one.amount, "recorded", one.refunded_on, goodwill=one)
        for one in by_hand
        # Only one through Stripe fails. A failed one without a refund was tried again.
        if one.came_off or not one.voided_at
    ]
    if opened_again := payment.refunded_amount - _came_off_in_all(through, by_hand):
        amounts.append(WentBack(opened_again, "recorded"))
    return tuple(amounts)


def _came_off_in_all(
    through: Sequence[tuple[Refund, GoodwillRefund | None]], by_hand: Sequence[GoodwillRefund]
) -> Decimal:
    """How much of these refunds came off the payment itself."""
    came_off = sum((_came_off(refund, goodwill) for refund, goodwill in through), Decimal(0))
    return came_off + sum((one.amount for one in by_hand if one.came_off), Decimal(0))


def _came_off(refund: Refund, goodwill: GoodwillRefund | None) -> Decimal:
    """How much of it came off the payment itself."""
    stands = goodwill is not None and goodwill.voided_at is None
    return refund.booked - (goodwill.amount if goodwill and stands else Decimal(0))


def _recorded_by_hand(
    refund: Refund, goodwill: GoodwillRefund | None, others: Sequence[Refund]
) -> WentBack:
    if refund.state == RefundState.FAILED:
        return WentBack(refund.amount, "corrected", refund.settled_at, goodwill=goodwill)
    is_split = goodwill is not None and goodwill.voided_at is None
    return WentBack(
        refund.amount,
        "recorded",
        refund.settled_at,
        goodwill=goodwill,
        too_much=_came_off(refund, goodwill) if is_split else Decimal(0),
        by_hand_id=refund.id,
        may_be_twice=any(
            one.remote_id and not one.asked_by_id and one.created_at > refund.created_at
            for one in others
        ),
    )


def _through_processor(refund: Refund, goodwill: GoodwillRefund | None) -> WentBack:
    how = _how(refund)
    why = _why_it_failed(refund) if how == "failed" else ""
    at = refund.settled_at or refund.created_at
    unsure_id = refund.id if refund.is_unsure else None
    is_split = goodwill is not None and goodwill.voided_at is None
    too_much = _came_off(refund, goodwill) if is_split else Decimal(0)
    return WentBack(refund.amount, how, at, why, goodwill, too_much, unsure_id)


def _how(refund: Refund) -> str:
    is_failed = refund.state == RefundState.FAILED
    if refund.kind == RefundKind.DISPUTE:
        return "given_back" if is_failed else "taken"
    if is_failed:
        return "failed"
    if refund.state == RefundState.ASKED:
        return "unsure" if refund.is_unsure else "asked"
    return "refunded"


def _why_it_failed(refund: Refund) -> str:
    """In words of ours where we have them; otherwise what Stripe or the bank said."""
    failure = refund.failure or ""
    spoken = failure if " " in failure else failure.replace("_", " ")
    return REASONS.get(failure, spoken)
