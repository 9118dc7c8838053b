"""Organizations, their users, and the audit log."""

import hashlib
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    UniqueConstraint,
    and_,
    event,
    func,
    text,
)
from sqlalchemy import Connection as Database
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import PERCENT, Base, CreatedAt, Json, Key, Moment

if TYPE_CHECKING:
    from models.quickbooks import Connection


INVITATION_LASTS = timedelta(days=7)


class Region(StrEnum):
    US = "US"
    BR = "BR"


class Role(StrEnum):
    OWNER = "owner"
    # decides about records and QuickBooks, but doesn't manage access or people
    BOOKKEEPER = "bookkeeper"
    MEMBER = "member"
    ADMIN = "admin"  # DunaHub's own staff; belongs to no organization


class Organization(Base):
    __tablename__ = "organizations"
    __table_args__ = (
        CheckConstraint("region IN ('US', 'BR')", name="region"),
        CheckConstraint("tax_rate BETWEEN 0 AND 100", name="tax_rate"),
    )

    id: Mapped[Key]
    name: Mapped[str]
    region: Mapped[Region]
    time_zone: Mapped[str]
    # In percent: the default for a new document. Each document keeps its own rate.
    tax_rate: Mapped[Decimal] = mapped_column(PERCENT, server_default="0", default=Decimal(0))
    last_invoice_number: Mapped[int] = mapped_column(server_default="1000")
    last_proposal_number: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[CreatedAt]
    steps_hidden_at: Mapped[Moment | None]  # when the first steps on the home page were hidden

    # The live connection: connected, or with an expired sign-in.
    connection: Mapped["Connection | None"] = relationship(
        primaryjoin="and_(Connection.organization_id == Organization.id, Connection.is_live)",
        viewonly=True,
    )

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def day_at(self, moment: datetime) -> date:
        """The calendar day at this moment in the organization's time zone."""
        return moment.astimezone(self.zone).date()

    @property
    def currency(self) -> str:
        return "BRL" if self.region == Region.BR else "USD"

    @property
    def has_quickbooks(self) -> bool:
        """Whether this organization sees QuickBooks at all. Enforces rule 19."""
        return self.region == Region.US


class User(Base):
    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("role IN ('owner', 'bookkeeper', 'member', 'admin')", name="role"),
        CheckConstraint("(role = 'admin') = (organization_id IS NULL)", name="admin_has_no_firm"),
        CheckConstraint("language IN ('en', 'pt_BR')", name="language"),
        Index(
            "uq_users_email",
            text("lower(email)"),
            unique=True,
            postgresql_where="removed_at IS NULL",  # a removed person may be invited again
        ),
    )

    id: Mapped[Key]
    organization_id: Mapped[int | None] = mapped_column(ForeignKey("organizations.id"))
    email: Mapped[str]
    name: Mapped[str]
    password_hash: Mapped[str]
    role: Mapped[Role]
    language: Mapped[str] = mapped_column(server_default="en", default="en")  # see languages.py
    session_version: Mapped[int] = mapped_column(
        server_default="0"
    )  # incremented to sign the user out everywhere
    created_at: Mapped[CreatedAt]
    removed_at: Mapped[Moment | None]  # the row stays, because the audit log refers to it
    totp_secret: Mapped[str | None]  # of the authenticator app, encrypted; None: no second factor
    totp_step: Mapped[int | None]  # the 30-second step of the last code used: each code works once

    organization: Mapped[Organization | None] = relationship(lazy="joined")

    # Flask-Login requires these.
    is_active = True
    is_authenticated = True
    is_anonymous = False

    def get_id(self) -> str:
        return f"{self.id}:{self.session_version}"

    @property
    def is_admin(self) -> bool:
        return self.role == Role.ADMIN

    @property
    def is_owner(self) -> bool:
        return self.role == Role.OWNER

    @property
    def keeps_books(self) -> bool:
        """Whether they may send again, skip, choose, compare and download."""
        return self.role in (Role.OWNER, Role.BOOKKEEPER)


class EndedSession(Base):
    """A session that was signed out. An older copy of its cookie no longer works."""

    __tablename__ = "ended_sessions"

    digest: Mapped[str] = mapped_column(primary_key=True)  # SHA-256 of the session id in the cookie
    ended_at: Mapped[CreatedAt]


class AuditEvent(Base):
    """Who did what, when and why. Append-only: the database refuses updates and deletes."""

    __tablename__ = "audit_events"
    __table_args__ = (Index("ix_audit_events_of_organization", "organization_id", "id"),)

    id: Mapped[Key]
    organization_id: Mapped[int | None] = mapped_column(ForeignKey("organizations.id"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    action: Mapped[str]
    reason: Mapped[str | None]
    details: Mapped[Json] = mapped_column(server_default="{}")
    created_at: Mapped[CreatedAt]

    user: Mapped[User | None] = relationship()


_REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is only ever added to', TG_TABLE_NAME USING ERRCODE = '42501';
END
$$;
CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


@event.listens_for(AuditEvent.__table__, "after_create")
def _only_add(_table: object, database: Database, **_: object) -> None:
    database.execute(text(_REFUSE_CHANGE))


class Invitation(Base):
    """An invitation to join, by a link sent only to the invited person."""

    __tablename__ = "invitations"
    __table_args__ = (
        CheckConstraint("role IN ('owner', 'bookkeeper', 'member')", name="role"),
        CheckConstraint("accepted_at IS NULL OR withdrawn_at IS NULL", name="one_end"),
        # At most one open invitation per address and organization.
        Index(
            "uq_invitations_open",
            "organization_id",
            text("lower(email)"),
            unique=True,
            postgresql_where="accepted_at IS NULL AND withdrawn_at IS NULL",
        ),
    )

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    email: Mapped[str]
    role: Mapped[Role]
    digest: Mapped[str] = mapped_column(unique=True)  # SHA-256: the link itself is a secret
    invited_by_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[CreatedAt]
    accepted_at: Mapped[Moment | None]
    withdrawn_at: Mapped[Moment | None]

    organization: Mapped[Organization] = relationship()
    invited_by: Mapped[User] = relationship()

    @classmethod
    def is_open(cls) -> ColumnElement[bool]:
        """Whether it can still be accepted."""
        in_time = cls.created_at > func.clock_timestamp() - INVITATION_LASTS
        return and_(cls.accepted_at.is_(None), cls.withdrawn_at.is_(None), in_time)

    @staticmethod
    def digest_of(secret: str) -> str:
        return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


class SubmittedForm(Base):
    """A submitted form that created something. The key is unique, so
    resubmitting creates nothing."""

    __tablename__ = "submitted_forms"
    __table_args__ = (Index("ix_submitted_forms_created_at", "created_at"),)

    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    address: Mapped[str | None]  # of the page that shows what was created
    created_at: Mapped[CreatedAt]


class LinkPurpose(StrEnum):
    """What a mailed link may be used for."""

    PASSWORD = "password"  # noqa: S105
    EMAIL = "email"


class AccountLink(Base):
    """A link mailed to one person. It works once, for anyone who has it."""

    __tablename__ = "account_links"
    __table_args__ = (
        CheckConstraint("purpose IN ('password', 'email')", name="purpose"),
        Index("ix_account_links_user_id", "user_id"),
    )

    id: Mapped[Key]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    purpose: Mapped[LinkPurpose]
    email: Mapped[str]  # the address it was sent to
    digest: Mapped[str] = mapped_column(unique=True)  # SHA-256: the link itself is a secret
    created_at: Mapped[CreatedAt]
    used_at: Mapped[Moment | None]

    user: Mapped[User] = relationship()


class SignUp(Base):
    """Someone who wants an account: made once the reader of this address opens the mailed link."""

    __tablename__ = "sign_ups"

    id: Mapped[Key]
    email: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)  # SHA-256: the link itself is a secret
    created_at: Mapped[CreatedAt]
    used_at: Mapped[Moment | None]  # when somebody signed up with this address


class RecoveryCode(Base):
    """A one-time code that replaces a code of the authenticator app."""

    __tablename__ = "recovery_codes"
    __table_args__ = (UniqueConstraint("user_id", "digest"),)

    id: Mapped[Key]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    digest: Mapped[str]  # SHA-256: each has 59 random bits
    used_at: Mapped[Moment | None]


class Draft(Base):
    """A form submitted without a session, kept until the person has signed in again."""

    __tablename__ = "drafts"
    __table_args__ = (Index("ix_drafts_created_at", "created_at"),)

    digest: Mapped[str] = mapped_column(primary_key=True)  # SHA-256 of the secret that finds it
    address: Mapped[str]
    fields: Mapped[str]  # JSON: (name, value) pairs in order
    # whose session had ended; None if that is not known
    organization_id: Mapped[int | None] = mapped_column(ForeignKey("organizations.id"))
    created_at: Mapped[CreatedAt]


class Tally(Base):
    """How often something was tried, and until when that counts.
    Unlogged: losing it is harmless."""

    __tablename__ = "tallies"
    __table_args__ = {"prefixes": ["UNLOGGED"]}  # noqa: RUF012  (SQLAlchemy's own idiom)

    key: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]
    expires_at: Mapped[Moment]
