"""The interface of a payment processor. Amounts are dollars as Decimal.

Implemented by `processors.stripe`. Calls use the network: never with an open transaction.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from models.processors import CheckoutState

MIN_AMOUNT = Decimal("0.50")  # Stripe's minimum
MAX_AMOUNT = Decimal("999999.99")  # Stripe's maximum: eight digits of cents


class Unreachable(Exception):
    """No answer, or not now: the outcome is unknown. Ask again with the same key."""


class Refused(Exception):
    """A definite refusal, with the processor's code and message."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code, self.sentence = code, sentence


class AccessEnded(Exception):
    """The firm revoked our access to its account, or the account is not ours."""


class BadSignature(Exception):
    """The event was not sent by the processor, or is older than the tolerance."""


@dataclass(frozen=True)
class AccountStanding:
    """What a firm's account may do, and what the processor still needs to know."""

    account_id: str
    takes_cards: bool
    takes_ach: bool
    pays_out: bool
    is_submitted: bool
    due: tuple[str, ...] = ()
    overdue: tuple[str, ...] = ()
    reason: str = ""  # why it may not charge or pay out


@dataclass(frozen=True)
class Order:
    """What a client is to pay, and where the browser returns to."""

    account_id: str
    mark: str  # idempotency: the same for repeated requests
    invoice_id: int
    organization_id: int
    method: str  # card or ach
    amount: Decimal
    title: str
    email: str
    language: str
    return_url: str
    expires_at: datetime


@dataclass(frozen=True)
class Session:
    """A checkout as the processor has it."""

    id: str
    account_id: str
    state: CheckoutState  # open, on_its_way, paid or expired
    amount: Decimal
    url: str | None
    payment_intent_id: str | None
    mark: str  # as in the order; "" if we did not open it
    paid_at: datetime | None = None  # None: not paid, or not known


@dataclass(frozen=True)
class Receipt:
    """The state of one payment's money."""

    payment_intent_id: str
    state: str  # paid, on_its_way, failed
    charge_id: str | None
    label: str  # Visa •••• 4242
    failure: str | None
    fee: Decimal | None  # None: not known yet
    balance_transaction_id: str | None
    went_back: bool  # some of it was refunded or disputed
    charged_at: datetime | None = None  # a card; of a transfer only its event says when it arrived


@dataclass(frozen=True)
class RefundSeen:
    id: str
    payment_intent_id: str
    amount: Decimal
    is_failed: bool
    failure: str | None
    mark: str  # as in our request; "" if made at the processor
    made_at: datetime | None = None


@dataclass(frozen=True)
class DisputeSeen:
    id: str
    payment_intent_id: str
    amount: Decimal
    state: str  # the processor's own state
    reason: str


@dataclass(frozen=True)
class TransferFailed:
    """A bank transfer in progress has failed."""

    session: Session


@dataclass(frozen=True)
class FeeKnown:
    payment_intent_id: str


@dataclass(frozen=True)
class RefundsChanged:
    payment_intent_id: str


@dataclass(frozen=True)
class AccountEnded:
    account_id: str


Told = (
    Session
    | TransferFailed
    | RefundSeen
    | RefundsChanged
    | DisputeSeen
    | AccountStanding
    | FeeKnown
    | AccountEnded
)


@dataclass(frozen=True)
class Event:
    """A verified event. `told` is None for types that we ignore."""

    id: str
    type: str
    account_id: str | None
    told: Told | None


class Processor(Protocol):
    @property
    def is_live(self) -> bool: ...

    def open_account(self, *, email: str, name: str, key: str) -> str:
        """Creates an account for a firm and returns its id. Raises Unreachable, Refused."""
        ...

    def onboarding_url(self, account_id: str, *, return_url: str, refresh_url: str) -> str:
        """A page where the firm enters its details. It works once, for some minutes."""
        ...

    def standing(self, account_id: str) -> AccountStanding:
        """Raises Unreachable, Refused, AccessEnded."""
        ...

    def open_checkout(self, order: Order) -> Session:
        """Opens a checkout, or returns the one already opened for this
        order. Raises like `standing`."""
        ...

    def session(self, account_id: str, session_id: str) -> Session: ...

    def close_checkout(self, account_id: str, session_id: str) -> Session:
        """Closes the checkout if it is still open; returns its state."""
        ...

    def receipt(self, account_id: str, payment_intent_id: str) -> Receipt: ...

    def refund(
        self, account_id: str, payment_intent_id: str, *, amount: Decimal, mark: str
    ) -> RefundSeen:
        """Refunds once per `mark`, however often it is called."""
        ...

    def refunds(self, account_id: str, payment_intent_id: str) -> Iterator[RefundSeen]: ...

    def disputes(self, account_id: str, payment_intent_id: str) -> Iterator[DisputeSeen]: ...

    def sessions_since(self, account_id: str, since: datetime) -> Iterator[Session]: ...

    def refunds_since(self, account_id: str, since: datetime) -> Iterator[RefundSeen]: ...

    def disputes_since(self, account_id: str, since: datetime) -> Iterator[DisputeSeen]: ...

    def event(self, body: bytes, signature: str) -> Event:
        """Parses and verifies an event. Raises BadSignature, and ValueError for anything else."""
        ...
