"""Stripe, through its official library: Checkout on Stripe's page, one account per firm (Connect).

Every call for a firm names its account, so that the money belongs to the firm from the start
(direct charges). Amounts are whole cents. Only this module knows Stripe's objects.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import stripe
from stripe import StripeClient, StripeObject

from config import Config
from models.processors import CheckoutState
from processors.processor import (
    AccessEnded,
    AccountEnded,
    AccountStanding,
    BadSignature,
    DisputeSeen,
    Event,
    FeeKnown,
    Order,
    Receipt,
    RefundsChanged,
    RefundSeen,
    Refused,
    Session,
    Told,
    TransferFailed,
    Unreachable,
)

TIMEOUT = (3.0, 15.0)  # seconds to connect, and to wait for an answer; the library's default is 80
RETRIES = 2  # a StripeClient doesn't retry by default
TOLERANCE = 300  # seconds that an event's signature is valid
PAGE_SIZE = 100  # Stripe's maximum page size
MARK_KEY = "dunahub"  # in our metadata
LOCALES: Mapping[str, Literal["en", "pt-BR"]] = {"en": "en", "pt_BR": "pt-BR"}
KINDS: Mapping[str, Literal["card", "us_bank_account"]] = {
    "card": "card",
    "ach": "us_bank_account",
}
SINCE_ACH = "us_bank_account_ach_payments"

_KEY = re.compile(r"[A-Za-z0-9_.-]{1,255}", re.ASCII)

Fields = Mapping[str, Any]  # a JSON object of Stripe's


class Stripe:
    """Implements `processors.processor.Processor`."""

    def __init__(self, config: Config) -> None:
        stripe.enable_telemetry = False  # it would write to the home directory
        self._accounts_version = config.stripe_accounts
        self._secrets = config.stripe_webhook_secrets
        self.is_live = config.stripe_is_live
        addresses = {"api": config.stripe_api_base} if config.stripe_api_base else None
        self._client = StripeClient(
            config.stripe_secret_key,
            base_addresses=addresses,  # type: ignore[arg-type]  # a plain dict is one
            http_client=stripe.RequestsClient(timeout=TIMEOUT),
            max_network_retries=RETRIES,
        )

    # --- A firm's account -------------------------------------------------------------------------

    def open_account(self, *, email: str, name: str, key: str) -> str:
        with _translated():
            if self._accounts_version == "v1":
                return self._open_account_v1(email, name, key)
            account = self._client.v2.core.accounts.create(
                {
                    "contact_email": email,
                    "display_name": name,
                    "dashboard": "full",
                    "identity": {"country": "us"},
                    "configuration": {
                        "merchant": {
                            "capabilities": {
                                "card_payments": {"requested": True},
                                "ach_debit_payments": {"requested": True},
                            }
                        }
                    },
                    "defaults": {
                        "currency": "usd",
                        "responsibilities": {
                            "fees_collector": "stripe",
                            "losses_collector": "stripe",
                        },
                    },
                },
                {"idempotency_key": key},
            )
            return _key(account.id)

    def _open_account_v1(self, email: str, name: str, key: str) -> str:
        account = self._client.v1.accounts.create(
            {
                "email": email,
                "country": "US",
                "business_profile": {"name": name},
                "controller": {
                    "losses": {"payments": "stripe"},
                    "fees": {"payer": "account"},
                    "requirement_collection": "stripe",
                    "stripe_dashboard": {"type": "full"},
                },
                "capabilities": {
                    "card_payments": {"requested": True},
                    "transfers": {"requested": True},
                    "us_bank_account_ach_payments": {"requested": True},
                },
            },
            {"idempotency_key": key},
        )
        return _key(account.id)

    def onboarding_url(self, account_id: str, *, return_url: str, refresh_url: str) -> str:
        with _translated():
            if self._accounts_version == "v1":
                link = self._client.v1.account_links.create(
                    {
                        "account": account_id,
                        "type": "account_onboarding",
                        "return_url": return_url,
                        "refresh_url": refresh_url,
                    }
                )
                return _page(link.url)
            return _page(
                self._client.v2.core.account_links.create(
                    {
                        "account": account_id,
                        "use_case": {
                            "type": "account_onboarding",
                            "account_onboarding": {
                                "return_url": return_url,
                                "refresh_url": refresh_url,
                            },
                        },
                    }
                ).url
            )

    def standing(self, account_id: str) -> AccountStanding:
        with _translated():  # the v1 endpoint knows accounts of both versions
            return standing_of(_plain(self._client.v1.accounts.retrieve(account_id)))

    # --- Paying -----------------------------------------------------------------------------------

    def open_checkout(self, order: Order) -> Session:
        metadata = {
            MARK_KEY: order.mark,
            "invoice_id": str(order.invoice_id),
            "organization_id": str(order.organization_id),
        }
        back = order.return_url
        with _translated():
            session = self._client.v1.checkout.sessions.create(
                {
                    "mode": "payment",
                    "line_items": [
                        {
                            "quantity": 1,
                            "price_data": {
                                "currency": "usd",
                                "unit_amount": cents(order.amount),
                                "product_data": {"name": order.title},
                            },
                        }
                    ],
                    "allowed_payment_method_types": [KINDS[order.method]],
                    "metadata": metadata,
                    # A session's metadata is not copied to its payment.
                    "payment_intent_data": {"metadata": metadata, "description": order.title},
                    "client_reference_id": str(order.invoice_id),
                    "locale": LOCALES.get(order.language, "auto"),
                    "success_url": back + "?paid=1",
                    "cancel_url": back,
                    "expires_at": int(order.expires_at.timestamp()),
                    **({"customer_email": order.email} if order.email else {}),
                },
                {"stripe_account": order.account_id, "idempotency_key": order.mark},
            )
            return session_of(_plain(session), order.account_id)

    def session(self, account_id: str, session_id: str) -> Session:
        with _translated():
            found = self._client.v1.checkout.sessions.retrieve(
                session_id, options={"stripe_account": account_id}
            )
            return session_of(_plain(found), account_id)

    def close_checkout(self, account_id: str, session_id: str) -> Session:
        try:
            with _translated():
                closed = self._client.v1.checkout.sessions.expire(
                    session_id, options={"stripe_account": account_id}
                )
                return session_of(_plain(closed), account_id)
        except Refused:  # not open any more: it may just have been paid
            return self.session(account_id, session_id)

    def receipt(self, account_id: str, payment_intent_id: str) -> Receipt:
        with _translated():
            found = self._client.v1.payment_intents.retrieve(
                payment_intent_id,
                {"expand": ["latest_charge.balance_transaction"]},
                {"stripe_account": account_id},
            )
            return receipt_of(_plain(found))

    # --- Paying back ------------------------------------------------------------------------------

    def refund(
        self, account_id: str, payment_intent_id: str, *, amount: Decimal, mark: str
    ) -> RefundSeen:
        with _translated():
            made = self._client.v1.refunds.create(
                {
                    "payment_intent": payment_intent_id,
                    "amount": cents(amount),
                    "reason": "requested_by_customer",
                    "metadata": {MARK_KEY: mark},
                },
                {"stripe_account": account_id, "idempotency_key": mark},
            )
            return refund_of(_plain(made))

    def refunds(self, account_id: str, payment_intent_id: str) -> Iterator[RefundSeen]:
        with _translated():
            listed = self._client.v1.refunds.list(
                {"payment_intent": payment_intent_id, "limit": PAGE_SIZE},
                {"stripe_account": account_id},
            )
            for found in listed.auto_paging_iter():
                yield refund_of(_plain(found))

    def disputes(self, account_id: str, payment_intent_id: str) -> Iterator[DisputeSeen]:
        with _translated():
            listed = self._client.v1.disputes.list(
                {"payment_intent": payment_intent_id, "limit": PAGE_SIZE},
                {"stripe_account": account_id},
            )
            for found in listed.auto_paging_iter():
                yield dispute_of(_plain(found))

    # --- What happened lately ---------------------------------------------------------------------

    def sessions_since(self, account_id: str, since: datetime) -> Iterator[Session]:
        with _translated():
            listed = self._client.v1.checkout.sessions.list(
                {
                    "created": {"gte": int(since.timestamp())},
                    "status": "complete",
                    "limit": PAGE_SIZE,
                },
                {"stripe_account": account_id},
            )
            for found in listed.auto_paging_iter():
                yield session_of(_plain(found), account_id)

    def refunds_since(self, account_id: str, since: datetime) -> Iterator[RefundSeen]:
        with _translated():
            listed = self._client.v1.refunds.list(
                {"created": {"gte": int(since.timestamp())}, "limit": PAGE_SIZE},
                {"stripe_account": account_id},
            )
            for found in listed.auto_paging_iter():
                yield refund_of(_plain(found))

    def disputes_since(self, account_id: str, since: datetime) -> Iterator[DisputeSeen]:
        with _translated():
            listed = self._client.v1.disputes.list(
                {"created": {"gte": int(since.timestamp())}, "limit": PAGE_SIZE},
                {"stripe_account": account_id},
            )
            for found in listed.auto_paging_iter():
                yield dispute_of(_plain(found))

    # --- Events -----------------------------------------------------------------------------------

    def event(self, body: bytes, signature: str) -> Event:
        """Accepts the secrets of all our endpoints: the platform's and the connected accounts'."""
        for secret in self._secrets:
            try:
                stripe.WebhookSignature.verify_header(
                    body.decode("utf-8"), signature, secret, TOLERANCE
                )
            except stripe.SignatureVerificationError:
                continue
            except ValueError as problem:  # not valid UTF-8
                raise BadSignature("The body is not text.") from problem
            return event_of(json.loads(body), is_live=self.is_live)
        raise BadSignature("The signature fits none of the secrets, or it is too old.")


@contextmanager
def _translated() -> Iterator[None]:
    """Translates Stripe's errors into ours, by what we do about them."""
    try:
        yield
    except stripe.PermissionError as problem:
        raise AccessEnded(str(problem.code or "permission")) from problem
    except (stripe.CardError, stripe.InvalidRequestError, stripe.AuthenticationError) as problem:
        if problem.http_status == 409:  # the first request with this key is still in progress
            raise Unreachable(str(problem.code)) from problem
        raise Refused(str(problem.code or ""), problem.user_message or str(problem)) from problem
    except stripe.IdempotencyError as problem:
        if problem.http_status == 409:
            raise Unreachable("idempotency_key_in_use") from problem
        raise Refused("idempotency_error", str(problem)) from problem
    except stripe.StripeError as problem:
        raise Unreachable(type(problem).__name__) from problem
    except UNREADABLE as problem:  # an answer without what was asked for is none
        raise Unreachable(f"unreadable answer: {type(problem).__name__}") from problem


UNREADABLE = (LookupError, AttributeError, TypeError, ValueError, ArithmeticError, RecursionError)


# --- What Stripe's objects mean -------------------------------------------------------------------


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
        account_id=_key(account["id"]),
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
        id=_key(session["id"]),
        account_id=account_id,
        state=state,
        amount=dollars(session.get("amount_total") or 0),
        url=_page(session["url"]) if session.get("url") else None,
        payment_intent_id=_id_of(session.get("payment_intent")),
        mark=_mark_of(session),
    )


def receipt_of(intent: Fields) -> Receipt:
    charge = _expanded(intent.get("latest_charge"))
    transaction = _expanded(charge.get("balance_transaction"))
    failure = (intent.get("last_payment_error") or {}).get("code") or charge.get("failure_code")
    is_final = bool(transaction) and charge.get("status") == "succeeded"
    return Receipt(
        payment_intent_id=_key(intent["id"]),
        state=_state_of(intent.get("status")),
        charge_id=charge.get("id"),
        label=_label(charge.get("payment_method_details") or {}),
        failure=failure,
        fee=dollars(transaction["fee"]) if is_final else None,
        balance_transaction_id=transaction.get("id"),
        went_back=bool(charge.get("amount_refunded") or charge.get("disputed")),
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
        id=_key(refund["id"]),
        payment_intent_id=_id_of(refund.get("payment_intent")) or "",
        amount=dollars(refund["amount"]),
        is_failed=refund.get("status") in ("failed", "canceled"),
        failure=refund.get("failure_reason"),
        mark=_mark_of(refund),
    )


def dispute_of(dispute: Fields) -> DisputeSeen:
    return DisputeSeen(
        id=_key(dispute["id"]),
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
    key, kind = _key(event.get("id")), _key(event.get("type"))
    account_id = _key(event["account"]) if event.get("account") else None
    thing = (event.get("data") or {}).get("object")
    is_ours = event.get("livemode", is_live) == is_live
    told = _told(kind, thing, account_id) if is_ours and isinstance(thing, dict) else None
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


def _id_of(thing: object) -> str | None:
    """The id of a reference, which may be expanded to an object."""
    if isinstance(thing, dict):
        return _key(thing["id"])
    return _key(thing) if thing else None


def _key(value: object) -> str:
    """An id or type in Stripe's format. Raises ValueError."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise ValueError("not an id of Stripe's")
    return value


def _page(url: object) -> str:
    """The address of a page of Stripe's. Raises ValueError."""
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise ValueError("not an address")
    return url


def _mark_of(thing: Fields) -> str:
    mark = (thing.get("metadata") or {}).get(MARK_KEY, "")
    return _key(mark) if mark else ""


def _plain(thing: StripeObject) -> Fields:
    found: Fields = thing.to_dict()
    return found
