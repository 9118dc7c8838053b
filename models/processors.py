"""Payments through a payment processor: accounts, checkouts, charges, refunds, events."""

import secrets
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.accounts import Organization, User
from models.base import MONEY, Base, CreatedAt, Json, Key, Moment
from models.sales import Invoice, Payment, PaymentMethod


def new_mark() -> str:
    return secrets.token_urlsafe(18)


class CheckoutState(StrEnum):
    OPENING = "opening"  # stored, not yet acknowledged by the processor
    OPEN = "open"  # the client can pay
    ON_ITS_WAY = "on_its_way"  # a bank transfer that takes days
    PAID = "paid"
    FAILED = "failed"  # the bank transfer failed
    EXPIRED = "expired"


class RefundKind(StrEnum):
    REFUND = "refund"  # paid back by the firm, or from the processor's dashboard
    DISPUTE = "dispute"  # the client's bank took the money back


class RefundState(StrEnum):
    ASKED = "asked"  # stored, not yet acknowledged by the processor
    DONE = "done"
    FAILED = "failed"  # refused, or returned


DECIDED_STATES = frozenset({"won", "lost", "warning_closed", "prevented"})  # of a dispute


class ProcessorAccount(Base):
    """A firm's own account at the processor, for test or for real money."""

    __tablename__ = "processor_accounts"
    __table_args__ = (UniqueConstraint("organization_id", "is_live"),)

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    is_live: Mapped[bool]
    account_id: Mapped[str] = mapped_column(unique=True)  # acct_…
    takes_cards: Mapped[bool] = mapped_column(server_default="false", default=False)
    takes_ach: Mapped[bool] = mapped_column(server_default="false", default=False)
    pays_out: Mapped[bool] = mapped_column(server_default="false", default=False)
    is_submitted: Mapped[bool] = mapped_column(server_default="false", default=False)
    # What the processor still needs to know: {"due": [...], "overdue": [...], "reason": "..."}
    wanted: Mapped[Json] = mapped_column(server_default="{}")
    connected_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[CreatedAt]
    asked_at: Mapped[Moment | None]  # when its status was last read
    compared_at: Mapped[Moment | None]  # when its payments were last compared with ours
    ended_at: Mapped[Moment | None]  # when the firm revoked our access

    organization: Mapped[Organization] = relationship()

    @property
    def can_charge(self) -> bool:
        return self.ended_at is None and (self.takes_cards or self.takes_ach)


class Checkout(Base):
    """One attempt by a client to pay an invoice on the processor's page."""

    __tablename__ = "checkouts"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_is_positive"),
        CheckConstraint("method IN ('card', 'ach')", name="method"),
        CheckConstraint(
            "state IN ('opening', 'open', 'on_its_way', 'paid', 'failed', 'expired')",
            name="state",
        ),
        # If an invoice had two open checkouts, both could be paid.
        Index(
            "uq_checkouts_open",
            "invoice_id",
            unique=True,
            postgresql_where="state IN ('opening', 'open')",
        ),
        Index("ix_checkouts_of_invoice", "invoice_id", "id"),
        Index(
            "ix_checkouts_unsettled",
            "id",
            postgresql_where="state IN ('opening', 'open', 'on_its_way')",
        ),
    )

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"))
    account_id: Mapped[str]
    # The processor recognizes a repeated request by it. Not an id: a restored backup hands out the
    # same ids again.
    mark: Mapped[str] = mapped_column(unique=True, default=new_mark)
    method: Mapped[PaymentMethod]
    amount: Mapped[Decimal] = mapped_column(MONEY)
    state: Mapped[CheckoutState] = mapped_column(
        server_default="opening", default=CheckoutState.OPENING
    )
    session_id: Mapped[str | None] = mapped_column(unique=True)
    payment_intent_id: Mapped[str | None]
    url: Mapped[str | None]
    failure: Mapped[str | None]  # the processor's code
    # Title, e-mail, language and return address: a repeated request must be identical.
    told: Mapped[Json]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[Moment]
    settled_at: Mapped[Moment | None]
    asked_at: Mapped[Moment | None]

    invoice: Mapped[Invoice] = relationship()


class Charge(Base):
    """A payment that came through the processor: its fee, and what happened to it there."""

    __tablename__ = "charges"
    __table_args__ = (
        Index("ix_charges_without_fee", "payment_id", postgresql_where="fee IS NULL"),
        Index(
            "ix_charges_with_refunds_due",
            "payment_id",
            postgresql_where="refunds_due_at IS NOT NULL",
        ),
        Index("ix_charges_of_organization", "organization_id", "payment_id"),
    )

    payment_id: Mapped[int] = mapped_column(ForeignKey("payments.id"), primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    account_id: Mapped[str]
    payment_intent_id: Mapped[str] = mapped_column(unique=True)
    charge_id: Mapped[str | None] = mapped_column(unique=True)
    label: Mapped[str] = mapped_column(server_default="", default="")  # Visa •••• 4242
    fee: Mapped[Decimal | None] = mapped_column(MONEY)
    balance_transaction_id: Mapped[str | None]
    fee_asked_at: Mapped[Moment | None]
    refunds_due_at: Mapped[Moment | None]  # something was paid back there and has not been read yet
    refunds_read_at: Mapped[Moment | None]  # all of them were read that were made until then
    dispute_id: Mapped[str | None] = mapped_column(unique=True)
    dispute_state: Mapped[str | None]  # the processor's word: needs_response, won, lost …
    dispute_reason: Mapped[str | None]
    created_at: Mapped[CreatedAt]

    payment: Mapped[Payment] = relationship()

    @property
    def is_disputed(self) -> bool:
        """Whether the client's bank has not decided yet."""
        return self.dispute_state is not None and self.dispute_state not in DECIDED_STATES

    @property
    def is_refundable(self) -> bool:
        """While the bank only inquires, a refund ends the matter; later Stripe refuses it."""
        return not self.is_disputed or (self.dispute_state or "").startswith("warning")


class Refund(Base):
    """Money paid back of a payment that came through the processor. Stored before the processor is
    asked, until it is certain."""

    __tablename__ = "refunds"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_is_positive"),
        CheckConstraint("booked BETWEEN 0 AND amount", name="booked"),
        CheckConstraint("booked = 0 OR state = 'done'", name="booked_when_done"),
        CheckConstraint("kind IN ('refund', 'dispute')", name="kind"),
        CheckConstraint("state IN ('asked', 'done', 'failed')", name="state"),
        Index("ix_refunds_of_payment", "payment_id", "id"),
        Index("ix_refunds_asked", "available_at", postgresql_where="state = 'asked'"),
    )

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    payment_id: Mapped[int] = mapped_column(ForeignKey("payments.id"))
    kind: Mapped[RefundKind] = mapped_column(server_default="refund", default=RefundKind.REFUND)
    amount: Mapped[Decimal] = mapped_column(MONEY)
    booked: Mapped[Decimal] = mapped_column(MONEY, server_default="0", default=Decimal(0))
    state: Mapped[RefundState] = mapped_column(server_default="asked", default=RefundState.ASKED)
    mark: Mapped[str] = mapped_column(unique=True, default=new_mark)
    remote_id: Mapped[str | None] = mapped_column(unique=True)  # re_…, pyr_… or dp_…
    failure: Mapped[str | None]  # the processor's code or message
    keeps_paid: Mapped[bool] = mapped_column(server_default="false", default=False)
    # The refund that was recorded, where the invoice stays paid.
    goodwill_id: Mapped[int | None] = mapped_column(ForeignKey("goodwill_refunds.id"))
    # A person recorded it, while we had no access to the account. With `remote_id` it is also known
    # which one it is there.
    by_hand: Mapped[bool] = mapped_column(server_default="false", default=False)
    asked_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[CreatedAt]
    available_at: Mapped[CreatedAt]  # next attempt
    attempts: Mapped[int] = mapped_column(server_default="0", default=0)
    settled_at: Mapped[Moment | None]

    payment: Mapped[Payment] = relationship()
    asked_by: Mapped[User | None] = relationship()

    @property
    def is_unsure(self) -> bool:
        """Whether it may have been made, and only a person can find out."""
        return self.state == RefundState.ASKED and self.failure is not None

    @property
    def is_word_of_a_person(self) -> bool:
        """Whether only a person says so, who may correct it."""
        return self.by_hand and self.remote_id is None


class ProcessorEvent(Base):
    """An event that has been processed, so that it is processed once."""

    __tablename__ = "processor_events"
    __table_args__ = (Index("ix_processor_events_received", "received_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)  # evt_…
    type: Mapped[str]
    account_id: Mapped[str | None]
    received_at: Mapped[CreatedAt]
