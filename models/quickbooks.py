"""An organization's connection to a QuickBooks company, and what we store about the company."""

from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, Select, UniqueConstraint, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.accounts import Organization, User
from models.base import Base, CreatedAt, Json, Key, Moment
from models.outbox import Lane


class Purpose(StrEnum):
    """Why a person is sent to Intuit. Decides which company may be chosen."""

    CONNECT = "connect"
    RECONNECT = "reconnect"


class ConnectionStatus(StrEnum):
    CONNECTED = "connected"
    EXPIRED = "expired"  # QuickBooks refused to renew the sign-in
    DISCONNECTED = "disconnected"


class TakenBack(StrEnum):
    """What becomes in QuickBooks of a payment that was returned or taken back as a whole."""

    VOID = "void"  # it is voided there, and the invoice is open again on both sides
    PERSON = "person"  # a person books it there


class RefundsAre(StrEnum):
    """What becomes in QuickBooks of a refund after which the invoice stays paid."""

    RECEIPT = "receipt"  # a refund receipt
    PERSON = "person"  # a person books it there


class Connection(Base):
    """One row per organization and company. Never deleted:
    reconnecting finds the lane and counterparts."""

    __tablename__ = "quickbooks_connections"
    __table_args__ = (
        CheckConstraint("status IN ('connected', 'expired', 'disconnected')", name="status"),
        UniqueConstraint("organization_id", "environment", "realm_id"),
        # A company is connected to one firm at a time, and a firm to one company.
        Index(
            "uq_quickbooks_connections_live_company",
            "environment",
            "realm_id",
            unique=True,
            postgresql_where="status <> 'disconnected'",
        ),
        Index(
            "uq_quickbooks_connections_live_organization",
            "organization_id",
            unique=True,
            postgresql_where="status <> 'disconnected'",
        ),
    )

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    lane_id: Mapped[int] = mapped_column(ForeignKey("outbox_lanes.id"), unique=True)
    environment: Mapped[str]
    realm_id: Mapped[str]
    company_name: Mapped[str]
    country: Mapped[str]
    status: Mapped[ConnectionStatus]
    status_reason: Mapped[str | None]  # shown under the status
    status_since: Mapped[Moment]
    connected_at: Mapped[Moment]
    connected_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    hard_expires_at: Mapped[Moment | None]  # the sign-in ends then in any case
    # How records are created: QuickBooks ids, chosen by us at connect and changed by the owner
    # later.
    settings: Mapped[Json] = mapped_column(server_default="{}")
    # Facts read about the company: preferences, accounts, payment methods, items.
    facts: Mapped[Json] = mapped_column(server_default="{}")
    facts_read_at: Mapped[Moment | None]
    # The owner wants to disconnect once entries up to this number are sent.
    disconnects_after: Mapped[int | None]
    disconnects_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    checked_at: Mapped[Moment | None]  # when a person last asked us to check access
    customers_read_at: Mapped[Moment | None]  # when the customer list was last read or refreshed

    organization: Mapped[Organization] = relationship()
    lane: Mapped[Lane] = relationship(lazy="joined", innerjoin=True)
    connected_by: Mapped[User | None] = relationship(foreign_keys=[connected_by_id])

    @property
    def is_ending(self) -> bool:
        return self.disconnects_after is not None

    @hybrid_property
    def is_live(self) -> bool:
        """Connected, or with an expired sign-in. An organization has at most one."""
        return self.status != ConnectionStatus.DISCONNECTED

    @classmethod
    def live_of(cls, organization_id: int) -> Select["Connection"]:
        return select(cls).where(cls.organization_id == organization_id, cls.is_live)


class Customer(Base):
    """A customer of the company as read from QuickBooks. First sends are matched against these.

    The copy may be a day old: it decides which customer a lead is, never what is written there.
    """

    __tablename__ = "quickbooks_customers"
    __table_args__ = (
        Index("ix_quickbooks_customers_name", "connection_id", "name_key"),
        Index(
            "ix_quickbooks_customers_email",
            text("string_to_array(email, ',')"),
            postgresql_using="gin",
            postgresql_where="email <> ''",
        ),
    )

    connection_id: Mapped[int] = mapped_column(
        ForeignKey("quickbooks_connections.id"), primary_key=True, autoincrement=False
    )
    remote_id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    version: Mapped[str]  # SyncToken when it was read
    name: Mapped[str]
    name_key: Mapped[str]  # for comparing names: `matching.name_key`
    # Its addresses in lower case, separated by commas.
    email: Mapped[str] = mapped_column(server_default="", default="")
    phone: Mapped[str] = mapped_column(server_default="", default="")  # digits
    active: Mapped[bool] = mapped_column(server_default="true", default=True)
    currency: Mapped[str] = mapped_column(server_default="", default="")  # "CAD"; "" if not known


class Tokens(Base):
    """Encrypted. A refresh locks this row, so that it happens once."""

    __tablename__ = "quickbooks_tokens"

    connection_id: Mapped[int] = mapped_column(
        ForeignKey("quickbooks_connections.id"), primary_key=True, autoincrement=False
    )
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    access_token: Mapped[str]
    refresh_token: Mapped[str]
    access_expires_at: Mapped[Moment]
    refresh_expires_at: Mapped[Moment]
    refreshed_at: Mapped[Moment]


class UnconfirmedCompany(Base):
    """A company chosen at Intuit that an owner has not confirmed yet.

    It has no lane and no connection, so nothing is captured for it or sent to it.
    """

    __tablename__ = "quickbooks_unconfirmed"

    organization_id: Mapped[int] = mapped_column(
        ForeignKey("organizations.id"), primary_key=True, autoincrement=False
    )
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    state_digest: Mapped[str]  # of the sign-in that chose it
    environment: Mapped[str]
    realm_id: Mapped[str]
    allowed_realm_id: Mapped[str | None]
    access_token: Mapped[str]  # both tokens are encrypted
    refresh_token: Mapped[str]
    access_expires_at: Mapped[Moment]
    refresh_expires_at: Mapped[Moment]
    hard_expires_at: Mapped[Moment | None]
    facts: Mapped[Json]
    settings: Mapped[Json]
    customers: Mapped[list[Json] | None] = mapped_column(JSONB(none_as_null=True), deferred=True)
    # For leads that would ask, by their number: `quickbooks.trial.Choice.key`.
    choices: Mapped[Json] = mapped_column(server_default="{}")
    created_at: Mapped[CreatedAt]  # also the age of the facts

    @property
    def company_name(self) -> str:
        return str(self.facts["name"])


class OAuthState(Base):
    """A one-time OAuth `state`: who started the consent, why, and until when it is valid."""

    __tablename__ = "quickbooks_oauth_states"

    digest: Mapped[str] = mapped_column(primary_key=True)  # SHA-256: the value itself is secret
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    purpose: Mapped[Purpose]
    allowed_realm_id: Mapped[str | None]  # a company other than before, if the owner agreed
    created_at: Mapped[CreatedAt]
    used_at: Mapped[Moment | None]
    connection_id: Mapped[int | None] = mapped_column(ForeignKey("quickbooks_connections.id"))


class Revocation(Base):
    """A grant that ended here and must still be revoked at Intuit. The token is encrypted."""

    __tablename__ = "quickbooks_revocations"
    __table_args__ = (
        Index(
            "ix_quickbooks_revocations_due", "available_at", postgresql_where="revoked_at IS NULL"
        ),
    )

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    connection_id: Mapped[int | None] = mapped_column(ForeignKey("quickbooks_connections.id"))
    realm_id: Mapped[str | None]  # set if there was no connection: the company was never confirmed
    token: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    available_at: Mapped[CreatedAt]
    created_at: Mapped[CreatedAt]
    revoked_at: Mapped[Moment | None]
