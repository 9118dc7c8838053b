"""What Stripe's objects mean: JSON of answers and events, read into our own values.

Raises LookupError, TypeError or ValueError where an object is not as Stripe documents it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from models.processors import CheckoutState
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
    Told,
    TransferFailed,
)

MARK_KEY = "dunahub"  # in our metadata
LAST_SECOND = 253_402_300_800  # of the year 9999
SINCE_ACH = "us_bank_account_ach_payments"
_ID = re.compile(r"[A-Za-z0-9_.-]{1,255}", re.ASCII)

Fields = Mapping[str, Any]  # a JSON object of Stripe's


def cents(amount: Decimal) -> int:
    """1234.50 is 123450. Raises ValueError for fractions of a cent."""
    scaled = amount * 100
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{amount} is no whole number of cents")
    return int(scaled)


def dollars(amount: int) -> Decimal:
    return Decimal(amount) / 100


def standing_of(account: Fields) -> AccountStanding:
    capabilities: Fields = account.get("capabilities") or {}
    wanted: Fields = account.get("requirements") or {}
    charges = bool(account.get("charges_enabled"))
    return AccountStanding(
        account_id=checked_id(account["id"]),
        takes_cards=charges and capabilities.get("card_payments") == "active",
        takes_ach=charges and capabilities.get(SINCE_ACH) == "active",
        pays_out=bool(account.get("payouts_enabled")),
        is_submitted=bool(account.get("details_submitted")),
        due=tuple(wanted.get("currently_due") or ()),
        overdue=tuple(wanted.get("past_due") or ()),
        reason=wanted.get("disabled_reason") or "",
    )


def session_of(session: Fields, account_id: str) -> Session:
    match session.get("status"), session.get("payment_status"):
        case "complete", "paid":
            state = CheckoutState.PAID
        case "complete", _:
            state = CheckoutState.ON_ITS_WAY
        case "expired", _:
            state = CheckoutState.EXPIRED
        case _:
            state = CheckoutState.OPEN
    return Session(
        id=checked_id(session["id"]),
        account_id=account_id,
        state=state,
        amount=dollars(session.get("amount_total") or 0),
        url=checked_address(session["url"]) if session.get("url") else None,
        payment_intent_id=_id_of(session.get("payment_intent")),
        mark=_mark_of(session),
    )


def receipt_of(intent: Fields) -> Receipt:
    charge = _expanded(intent.get("latest_charge"))
    transaction = _expanded(charge.get("balance_transaction"))
    failure = (intent.get("last_payment_error") or {}).get("code") or charge.get("failure_code")
    is_card = (charge.get("payment_method_details") or {}).get("type") == "card"
    is_final = bool(transaction) and charge.get("status") == "succeeded"
    return Receipt(
        payment_intent_id=checked_id(intent["id"]),
        state=_state_of(intent.get("status")),
        charge_id=charge.get("id"),
        label=_label(charge.get("payment_method_details") or {}),
        failure=failure,
        fee=dollars(transaction["fee"]) if is_final else None,
        balance_transaction_id=transaction.get("id"),
        went_back=bool(charge.get("amount_refunded") or charge.get("disputed")),
        charged_at=_moment(charge.get("created")) if charge.get("paid") and is_card else None,
    )


def _expanded(reference: object) -> Fields:
    """The object of a reference; empty if the reference is an id, or there is none."""
    return reference if isinstance(reference, dict) else {}


def _state_of(status: object) -> str:
    match status:
        case "succeeded":
            return "paid"
        case "processing" | "requires_action" | "requires_capture":
            return "on_its_way"
        case str():
            return "failed"
        case _:
            raise ValueError("a payment without a status")


def _label(details: Fields) -> str:
    """Visa •••• 4242, or the bank's name."""
    if card := details.get("card"):
        return f"{str(card.get('brand') or 'card').title()} •••• {card.get('last4') or '????'}"
    if bank := details.get("us_bank_account"):
        return f"{bank.get('bank_name') or 'Bank'} •••• {bank.get('last4') or '????'}"
    return ""


def refund_of(refund: Fields) -> RefundSeen:
    return RefundSeen(
        id=checked_id(refund["id"]),
        payment_intent_id=_id_of(refund.get("payment_intent")) or "",
        amount=dollars(refund["amount"]),
        is_failed=refund.get("status") in ("failed", "canceled"),
        failure=refund.get("failure_reason"),
        mark=_mark_of(refund),
        made_at=_moment(refund.get("created")),
    )


def dispute_of(dispute: Fields) -> DisputeSeen:
    return DisputeSeen(
        id=checked_id(dispute["id"]),
        payment_intent_id=_id_of(dispute.get("payment_intent")) or "",
        amount=dollars(dispute["amount"]),
        state=dispute.get("status") or "",
        reason=dispute.get("reason") or "",
    )


def event_of(event: object, *, is_live: bool) -> Event:
    """Parses an event. Raises ValueError if it is none of Stripe's.

    A live endpoint also receives the test events of connected accounts: they tell us nothing.
    """
    if not isinstance(event, dict):
        raise ValueError("not an event")
    key, kind = checked_id(event.get("id")), checked_id(event.get("type"))
    account_id = checked_id(event["account"]) if event.get("account") else None
    thing = (event.get("data") or {}).get("object")
    is_ours = event.get("livemode", is_live) == is_live
    told = _told(kind, thing, account_id) if is_ours and isinstance(thing, dict) else None
    if isinstance(told, Session) and told.state == CheckoutState.PAID:
        told = replace(told, paid_at=_moment(event.get("created")))
    return Event(key, kind, account_id, told)


def _told(kind: str, thing: Fields, account_id: str | None) -> Told | None:
    meaning = _MEANING.get(kind)
    return meaning(thing, account_id or "") if meaning else None


def _fee_known(charge: Fields, _account_id: str) -> FeeKnown | None:
    intent = _id_of(charge.get("payment_intent"))
    return FeeKnown(intent) if intent else None


def _refunds_changed(charge: Fields, _account_id: str) -> RefundsChanged | None:
    intent = _id_of(charge.get("payment_intent"))
    return RefundsChanged(intent) if intent else None


def _account_ended(_application: Fields, account_id: str) -> AccountEnded | None:
    return AccountEnded(account_id) if account_id else None


# What each type of event tells us; all others tell us nothing.
_MEANING: Mapping[str, Callable[[Fields, str], Told | None]] = {
    "checkout.session.completed": session_of,
    "checkout.session.async_payment_succeeded": session_of,
    "checkout.session.async_payment_failed": lambda session, account_id: TransferFailed(
        session_of(session, account_id)
    ),
    "checkout.session.expired": session_of,
    "refund.created": lambda refund, _: refund_of(refund),
    "refund.updated": lambda refund, _: refund_of(refund),
    "refund.failed": lambda refund, _: refund_of(refund),
    "charge.refund.updated": lambda refund, _: refund_of(refund),
    "charge.dispute.created": lambda dispute, _: dispute_of(dispute),
    "charge.dispute.updated": lambda dispute, _: dispute_of(dispute),
    "charge.dispute.closed": lambda dispute, _: dispute_of(dispute),
    "charge.succeeded": _fee_known,
    "charge.updated": _fee_known,
    "charge.refunded": _refunds_changed,  # refunds are not included in the event
    "account.updated": lambda account, _: standing_of(account),
    "account.application.deauthorized": _account_ended,
}


def _moment(seconds: object) -> datetime | None:
    """None if it is missing or no time of Stripe's, which are whole seconds."""
    if not isinstance(seconds, int) or not 0 < seconds < LAST_SECOND:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def _id_of(thing: object) -> str | None:
    """The id of a reference, which may be expanded to an object."""
    if isinstance(thing, dict):
        return checked_id(thing["id"])
    return checked_id(thing) if thing else None


def checked_id(value: object) -> str:
    """An id or type in Stripe's format. Raises ValueError."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError("not an id of Stripe's")
    return value


def checked_address(url: object) -> str:
    """The address of a page of Stripe's. Raises ValueError."""
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise ValueError("not an address")
    return url


def _mark_of(thing: Fields) -> str:
    mark = (thing.get("metadata") or {}).get(MARK_KEY, "")
    return checked_id(mark) if mark else ""
