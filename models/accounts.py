"""Organizations, their people, and what anyone did."""

from enum import StrEnum
from zoneinfo import ZoneInfo

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base, CreatedAt, Json, Key


class Region(StrEnum):
    US = "US"
    BR = "BR"


class Role(StrEnum):
    OWNER = "owner"
    MEMBER = "member"
    ADMIN = "admin"  # DunaHub's own staff; belongs to no organization


class Organization(Base):
    __tablename__ = "organizations"
    __table_args__ = (CheckConstraint("region IN ('US', 'BR')", name="region"),)

    id: Mapped[Key]
    name: Mapped[str]
    region: Mapped[str]
    time_zone: Mapped[str]
    last_invoice_number: Mapped[int] = mapped_column(server_default="1000")
    last_proposal_number: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[CreatedAt]

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def has_quickbooks(self) -> bool:
        """Whether this organization sees anything of QuickBooks at all. The door of rule 19."""
        return self.region == Region.US


class User(Base):
    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("role IN ('owner', 'member', 'admin')", name="role"),
        CheckConstraint("(role = 'admin') = (organization_id IS NULL)", name="admin_has_no_firm"),
        Index("uq_users_email", text("lower(email)"), unique=True),
    )

    id: Mapped[Key]
    organization_id: Mapped[int | None] = mapped_column(ForeignKey("organizations.id"))
    email: Mapped[str]
    name: Mapped[str]
    password_hash: Mapped[str]
    role: Mapped[str]
    session_version: Mapped[int] = mapped_column(
        server_default="0"
    )  # raised: signed out everywhere
    created_at: Mapped[CreatedAt]

    organization: Mapped[Organization | None] = relationship(lazy="joined")

    # What Flask-Login asks of a user.
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


class AuditEvent(Base):
    """Who did what, when and why. Only ever inserted."""

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
