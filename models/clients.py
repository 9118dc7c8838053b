"""What a firm's clients see: its letterhead, and the links that open a document."""

import secrets
from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.accounts import Organization, User
from models.base import Base, CreatedAt, Key, Moment
from models.sales import Invoice, Proposal

DEFAULT_DUE_DAYS = 30  # days until an invoice is due, by default
MAX_DUE_DAYS = 365
TOKEN_BYTES = 20  # 160 bits: cannot be guessed


class Letterhead(Base):
    """The head of a firm's invoices and proposals. A firm without a row has none."""

    __tablename__ = "letterheads"
    __table_args__ = (
        CheckConstraint(f"due_days BETWEEN 0 AND {MAX_DUE_DAYS}", name="due_days"),
        CheckConstraint("(logo IS NULL) = (logo_digest IS NULL)", name="logo_has_digest"),
    )

    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    address: Mapped[str] = mapped_column(server_default="", default="")
    phone: Mapped[str] = mapped_column(server_default="", default="")
    email: Mapped[str] = mapped_column(server_default="", default="")
    license_number: Mapped[str] = mapped_column(server_default="", default="")
    due_days: Mapped[int] = mapped_column(
        server_default=str(DEFAULT_DUE_DAYS), default=DEFAULT_DUE_DAYS
    )
    # default memo of a new invoice
    message: Mapped[str] = mapped_column(server_default="", default="")
    logo: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)  # PNG
    logo_digest: Mapped[str | None]  # part of its URL, so that browsers can cache it

    organization: Mapped[Organization] = relationship()


class ClientLink(Base):
    """The secret address of one invoice or proposal. A revoked link opens nothing."""

    __tablename__ = "client_links"
    __table_args__ = (
        CheckConstraint("(invoice_id IS NULL) <> (proposal_id IS NULL)", name="one_document"),
        CheckConstraint("char_length(token) >= 27", name="token_length"),
        Index(
            "uq_client_links_of_invoice",
            "invoice_id",
            unique=True,
            postgresql_where="revoked_at IS NULL",
        ),
        Index(
            "uq_client_links_of_proposal",
            "proposal_id",
            unique=True,
            postgresql_where="revoked_at IS NULL",
        ),
    )

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    invoice_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"))
    proposal_id: Mapped[int | None] = mapped_column(ForeignKey("proposals.id"))
    token: Mapped[str] = mapped_column(
        unique=True, default=lambda: secrets.token_urlsafe(TOKEN_BYTES)
    )
    language: Mapped[str | None]  # the client's language; None: as the browser asks
    created_at: Mapped[CreatedAt]
    revoked_at: Mapped[Moment | None]

    organization: Mapped[Organization] = relationship()
    invoice: Mapped[Invoice | None] = relationship()
    proposal: Mapped[Proposal | None] = relationship()


class LetterKind(StrEnum):
    FIRST = "first"
    REMINDER = "reminder"


class Outdated(StrEnum):
    """What became of an invoice before a letter about it could be sent."""

    VOIDED = "voided"
    PAID = "paid"


class ClientLetter(Base):
    """An e-mail with a document for a client. The row is the request; a job sends it."""

    __tablename__ = "client_letters"
    __table_args__ = (
        CheckConstraint("kind IN ('first', 'reminder')", name="kind"),
        CheckConstraint("sent_at IS NULL OR failed_at IS NULL", name="one_end"),
        CheckConstraint(
            "outdated IS NULL OR (outdated IN ('voided', 'paid') AND failed_at IS NOT NULL)",
            name="outdated",
        ),
        Index("ix_client_letters_of_link", "link_id", "id"),
        Index(
            "ix_client_letters_due",
            "available_at",
            postgresql_where="sent_at IS NULL AND failed_at IS NULL",
        ),
    )

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    link_id: Mapped[int] = mapped_column(ForeignKey("client_links.id"))
    kind: Mapped[str]
    to_address: Mapped[str]
    copy_to: Mapped[str | None]
    subject: Mapped[str]
    body: Mapped[str]
    language: Mapped[str]
    sent_by_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[CreatedAt]
    available_at: Mapped[CreatedAt]  # next attempt
    attempts: Mapped[int] = mapped_column(server_default="0", default=0)
    sent_at: Mapped[Moment | None]
    failed_at: Mapped[Moment | None]  # it is not tried any more
    outdated: Mapped[Outdated | None]  # why it was not sent, if the mail server is not the reason
    opened_at: Mapped[Moment | None]  # when the client first followed the link

    link: Mapped[ClientLink] = relationship()
    sent_by: Mapped[User] = relationship()

    @property
    def settled_at(self) -> datetime | None:
        return self.sent_at or self.failed_at
