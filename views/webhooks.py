"""The payment processor's webhook: signed, recent, each event processed once.

The secret authorizes the sender, so there is no sign-in or CSRF token. docs/webhooks.md describes
the protocol for senders.
"""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

import structlog
from flask import Blueprint, Response, abort, jsonify, request
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from werkzeug.exceptions import RequestEntityTooLarge

from db import breaks
from models.accounts import Organization
from models.sales import Invoice, Payment, PaymentMethod
from web.access import dunahub, note, public, session
from web.audit_words import PROCESSORS_EVENT
from web.forms import EARLIEST_DAY, LATEST_DAY, MAX_MONEY, MAX_TEXT_LENGTH, tidy
from web.security import csrf

webhooks = Blueprint("webhooks", __name__, url_prefix="/webhooks")
csrf.exempt(webhooks)

MAX_EVENT_AGE = 5 * 60  # seconds, either way: more than clocks differ, too little for a replay
MAX_BODY = 64 * 1024
MAX_EVENT_ID_LENGTH = 200
MAX_NUMBER_LENGTH = 21

_SIGNATURE = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")
_AMOUNT = re.compile(r"[0-9]{1,8}(\.[0-9]{1,2})?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

log = structlog.get_logger()


class EventRefused(Exception):
    """Answered with a status and a message that tells the sender what to fix."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


@dataclass(frozen=True)
class PaymentEvent:
    """A payment as reported by the processor."""

    id: str
    organization_id: int
    invoice_id: int | None
    invoice_number: str | None
    amount: Decimal
    method: PaymentMethod
    received_on: date | None
    note: str
    currency: str | None

    def tells_of(self, payment: Payment) -> bool:
        told = (self.organization_id, self.amount, self.method)
        return told == (payment.organization_id, payment.amount, payment.method)


@webhooks.post("/payments")
@public
def receive_payment() -> Response:
    secrets = dunahub().config.payments_webhook_secrets
    if not secrets:
        abort(404)
    request.max_content_length = MAX_BODY
    body = request.get_data(cache=False)
    _judge_signature(request.headers.get("DunaHub-Signature", ""), body, secrets)
    event = _event(body)
    invoice = _locked_invoice(event)
    _judge_currency(event)
    payment = _recorded(event, invoice) or _record(event, invoice)
    session().commit()
    return jsonify(payment_id=payment.id)


@webhooks.errorhandler(EventRefused)
def refuse(refused: EventRefused) -> tuple[Response, int]:
    log.warning("webhook refused", status=refused.status, why=refused.sentence)
    return jsonify(error=refused.sentence), refused.status


@webhooks.errorhandler(RequestEntityTooLarge)
def refuse_size(_error: RequestEntityTooLarge) -> tuple[Response, int]:
    return jsonify(error=f"The body is longer than {MAX_BODY} bytes."), 413


# --- Is it theirs, and is it now ------------------------------------------------------------------


def _judge_signature(header: str, body: bytes, secrets: tuple[str, ...]) -> None:
    parts = _SIGNATURE.fullmatch(header)
    if parts is None:
        raise EventRefused(401, "DunaHub-Signature must be t=<unix seconds>,v1=<64 hex digits>.")
    fitting = [hmac.compare_digest(parts[2], signature(each, parts[1], body)) for each in secrets]
    if not any(fitting):
        raise EventRefused(401, "The signature does not fit this body and time.")
    if abs(time.time() - int(parts[1])) > MAX_EVENT_AGE:
        raise EventRefused(401, "The signature is older or newer than five minutes. Sign it again.")


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 of "<timestamp>.<body>", in hex."""
    signed = timestamp.encode() + b"." + body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


# --- What it says ---------------------------------------------------------------------------------


def _event(body: bytes) -> PaymentEvent:
    try:
        fields: object = json.loads(body)
    except (ValueError, RecursionError) as problem:
        raise EventRefused(400, "The body is not JSON.") from problem
    if not isinstance(fields, dict):
        raise EventRefused(400, "The body must be a JSON object.")
    if (fields.get("invoice_id") is None) == (fields.get("invoice_number") is None):
        raise EventRefused(422, "Name the invoice by either invoice_id or invoice_number.")
    by_number = fields.get("invoice_id") is None
    return PaymentEvent(
        id=_required_text(fields, "id", MAX_EVENT_ID_LENGTH),
        organization_id=_key(fields, "organization_id"),
        invoice_id=None if by_number else _key(fields, "invoice_id"),
        invoice_number=(
            _required_text(fields, "invoice_number", MAX_NUMBER_LENGTH) if by_number else None
        ),
        amount=_amount(fields),
        method=_method(fields),
        received_on=_day(fields, "received_on"),
        note=_text(fields, "note", MAX_TEXT_LENGTH),
        currency=_text(fields, "currency", MAX_TEXT_LENGTH) or None,
    )


def _required_text(fields: Mapping[str, object], name: str, most: int) -> str:
    text = _text(fields, name, most)
    if not text:
        raise EventRefused(422, f"{name} is missing.")
    return text


def _text(fields: Mapping[str, object], name: str, most: int) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise EventRefused(422, f"{name} must be a string.")
    text = tidy(value)
    if len(text) > most:
        raise EventRefused(422, f"{name} is longer than {most} characters.")
    if any(sign == "\x00" or "\ud800" <= sign <= "\udfff" for sign in text):
        raise EventRefused(422, f"{name} contains a character that cannot be stored.")
    return text


def _key(fields: Mapping[str, object], name: str) -> int:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**18:
        raise EventRefused(422, f"{name} must be a whole number above 0.")
    return value


def _amount(fields: Mapping[str, object]) -> Decimal:
    value = fields.get("amount")
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
        raise EventRefused(422, 'amount must be a string of dollars and cents, like "120.00".')
    amount = Decimal(value)
    if not 0 < amount <= MAX_MONEY:
        raise EventRefused(422, f"amount must be above 0 and at most {MAX_MONEY}.")
    return amount


def _method(fields: Mapping[str, object]) -> PaymentMethod:
    for method in (PaymentMethod.CARD, PaymentMethod.ACH):  # processors accept no cash
        if fields.get("method") == method.value:
            return method
    raise EventRefused(422, 'method must be "card" or "ach".')


def _day(fields: Mapping[str, object], name: str) -> date | None:
    text = _text(fields, name, len("2026-03-09"))
    if not text:
        return None
    try:
        day = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None or not EARLIEST_DAY <= day <= LATEST_DAY:
        raise EventRefused(422, f'{name} must be a date like "2026-03-09".')
    return day


# --- What becomes of it ---------------------------------------------------------------------------


def _locked_invoice(event: PaymentEvent) -> Invoice:
    """Locks the invoice, so that concurrent copies of an event are
    processed one after the other."""
    named = (
        Invoice.number == event.invoice_number
        if event.invoice_id is None
        else Invoice.id == event.invoice_id
    )
    found = session().scalars(
        select(Invoice)
        .where(Invoice.organization_id == event.organization_id, named)
        .with_for_update(key_share=True)
    )
    invoice = found.one_or_none()
    if invoice is None:
        raise EventRefused(404, "The organization has no such invoice.")
    return invoice


def _judge_currency(event: PaymentEvent) -> None:
    """Refuses other currencies, whose amounts would be recorded as dollars."""
    ours = session().get_one(Organization, event.organization_id).currency
    if event.currency is not None and event.currency.upper() != ours:
        raise EventRefused(422, f"currency must be {ours}: the organization's books have no other.")


def _recorded(event: PaymentEvent, invoice: Invoice) -> Payment | None:
    """The payment that this event created before, if any."""
    payment = session().scalar(select(Payment).where(Payment.event_id == event.id))
    if payment and not (payment.invoice_id == invoice.id and event.tells_of(payment)):
        raise EventRefused(409, "An event with this id told of another payment.")
    return payment


def _record(event: PaymentEvent, invoice: Invoice) -> Payment:
    if invoice.voided_at:
        raise EventRefused(409, f"Invoice {invoice.number} is void: it takes no payments.")
    organization = session().get_one(Organization, event.organization_id)
    payment = Payment(
        organization_id=organization.id,
        invoice=invoice,
        amount=event.amount,
        method=event.method,
        received_on=event.received_on or organization.day_at(datetime.now(UTC)),
        note=event.note,
        event_id=event.id,
    )
    session().add(payment)
    try:
        session().flush()
    except IntegrityError as problem:  # a concurrent event for another invoice
        if not breaks(problem, "uq_payments_event_id"):
            raise
        raise EventRefused(409, "An event with this id told of another payment.") from problem
    note(
        "payment.recorded",
        reason=f"{PROCESSORS_EVENT}{event.id}",
        organization_id=organization.id,
        payment=payment.id,
        invoice=invoice.number,
        amount=str(payment.amount),
    )
    return payment
