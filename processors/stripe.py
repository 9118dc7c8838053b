"""Stripe, through its official library: Checkout on Stripe's page, one account per firm (Connect).

Every call for a firm names its account, so that the money belongs to the firm from the start
(direct charges). Amounts are whole cents. What Stripe's objects mean is in `stripe_objects.py`.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Literal

import stripe
from stripe import StripeClient, StripeObject

from config import Config
from processors.processor import (
    AccessEnded,
    AccountStanding,
    BadSignature,
    DisputeSeen,
    Event,
    Order,
    Receipt,
    RefundSeen,
    Refused,
    Session,
    Unreachable,
)
from processors.stripe_objects import (
    MARK_KEY,
    Fields,
    cents,
    checked_address,
    checked_id,
    dispute_of,
    event_of,
    receipt_of,
    refund_of,
    session_of,
    standing_of,
)

TIMEOUT = (3.0, 15.0)  # seconds to connect, and to wait for an answer; the library's default is 80
RETRIES = 2  # a StripeClient doesn't retry by default
TOLERANCE = 300  # seconds that an event's signature is valid
PAGE_SIZE = 100  # Stripe's maximum page size
LOCALES: Mapping[str, Literal["en", "pt-BR"]] = {"en": "en", "pt_BR": "pt-BR"}
KINDS: Mapping[str, Literal["card", "us_bank_account"]] = {
    "card": "card",
    "ach": "us_bank_account",
}


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
            return checked_id(account.id)

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
        return checked_id(account.id)

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
                return checked_address(link.url)
            return checked_address(
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


def _plain(thing: StripeObject) -> Fields:
    found: Fields = thing.to_dict()
    return found
