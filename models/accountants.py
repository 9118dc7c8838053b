"""Read-only links for a firm's accountant, which need no sign-in."""

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.accounts import Organization, User
from models.base import Base, CreatedAt, Key, Moment


class AccountantLink(Base):
    """Opens the comparison of one firm's books with QuickBooks, read-only, until a given day."""

    __tablename__ = "accountant_links"
    __table_args__ = (
        CheckConstraint("expires_at > created_at", name="lasts"),
        Index("ix_accountant_links_organization_id", "organization_id"),
    )

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    name: Mapped[str]  # who it was given to, for the firm's own record
    digest: Mapped[str] = mapped_column(unique=True)  # SHA-256: the link itself is a secret
    created_by_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[Moment]
    revoked_at: Mapped[Moment | None]
    visited_at: Mapped[Moment | None]  # the last time

    organization: Mapped[Organization] = relationship()
    created_by: Mapped[User] = relationship()
