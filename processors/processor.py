"""What we need of a payment processor, in our own words. Amounts are dollars as Decimal.

`processors.stripe` is the one there is. Calls wait for the network: never with an open transaction.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

LEAST = Decimal("0.50")  # Stripe takes no less
MOST = Decimal("999999.99")  # and no more: eight digits of cents


class Unreachable(Exception):
    """No answer, or not now: whether it was done is unknown. Ask again with the same key."""


class Refused(Exception):
    """A definite no. Carries the processor's code and words."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code, self.sentence = code, sentence


class AccessEnded(Exception):
    """The firm took our access to its account away, or the account is not ours."""


class BadSignature(Exception):
    """The event is not the processor's, or it is older than the tolerance."""


@dataclass(frozen=True)
class Standing:
    """What a firm's account may do, and what the processor still wants to know."""

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
    """What a client is to pay, and where the browser goes afterwards."""

    account_id: str
    mark: str  # the same for the same order, however often it is sent
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
    """A checkout as the processor has it. `state` as of `models.processors.CheckoutState`."""

    id: str
    account_id: str
    state: str  # open, on_its_way, paid, expired
    amount: Decimal
    url: str | None
    payment_intent_id: str | None
    mark: str  # as of the order; "" of what we did not open


@dataclass(frozen=True)
class Receipt:
    """What became of the money of one payment."""

    payment_intent_id: str
    state: str  # paid, on_its_way, failed
    charge_id: str | None
    label: str  # Visa •••• 4242
    failure: str | None
    fee: Decimal | None  # None: not known yet
    balance_transaction_id: str | None


@dataclass(frozen=True)
class RefundSeen:
    id: str
    payment_intent_id: str
    amount: Decimal
    is_failed: bool
    failure: str | None
    mark: str  # as we told it; "" of what was made at the processor


@dataclass(frozen=True)
class DisputeSeen:
    id: str
    payment_intent_id: str
    amount: Decimal
    state: str  # the processor's word
    reason: str


@dataclass(frozen=True)
class TransferFailed:
    """A bank transfer that was on its way came to nothing."""

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
    | Standing
    | FeeKnown
    | AccountEnded
)


@dataclass(frozen=True)
class Event:
    """One event, verified. `told` is None for a type that we don't act on."""

    id: str
    type: str
    account_id: str | None
    told: Told | None


class Processor(Protocol):
    @property
    def is_live(self) -> bool: ...

    def open_account(self, *, email: str, name: str, key: str) -> str:
        """The id of a new account for a firm. Raises Unreachable, Refused."""
        ...

    def onboarding_url(self, account_id: str, *, return_url: str, refresh_url: str) -> str:
        """A page where the firm tells the processor about itself. Good once, for minutes."""
        ...

    def standing(self, account_id: str) -> Standing:
        """Raises Unreachable, Refused, AccessEnded."""
        ...

    def open_checkout(self, order: Order) -> Session:
        """Opens it, or gives the one that the same order opened. Raises as `standing`."""
        ...

    def session(self, account_id: str, session_id: str) -> Session: ...

    def close_checkout(self, account_id: str, session_id: str) -> Session:
        """Closes it if it is still open; says how it is now."""
        ...

    def receipt(self, account_id: str, payment_intent_id: str) -> Receipt: ...

    def refund(
        self, account_id: str, payment_intent_id: str, *, amount: Decimal, mark: str
    ) -> RefundSeen:
        """Pays back, once for each `mark`, however often it is asked."""
        ...

    def refunds(self, account_id: str, payment_intent_id: str) -> Iterator[RefundSeen]: ...

    def sessions_since(self, account_id: str, since: datetime) -> Iterator[Session]: ...

    def refunds_since(self, account_id: str, since: datetime) -> Iterator[RefundSeen]: ...

    def disputes_since(self, account_id: str, since: datetime) -> Iterator[DisputeSeen]: ...

    def event(self, body: bytes, signature: str) -> Event:
        """Raises BadSignature, and ValueError for what is no event."""
        ...
