"""Imported customers: read, reviewed, then saved as leads; an import can be undone."""

from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Json, Key, Moment


class ImportSource(StrEnum):
    FILE = "file"
    QUICKBOOKS = "quickbooks"


class LeadImport(Base):
    """Rows read from a file, until they are saved; then the ids of the leads created."""

    __tablename__ = "lead_imports"
    __table_args__ = (
        CheckConstraint("source IN ('file', 'quickbooks')", name="source"),
        CheckConstraint("undone_at IS NULL OR saved_at IS NOT NULL", name="saved_before_undone"),
        Index("ix_lead_imports_organization_id", "organization_id"),
    )

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    source: Mapped[ImportSource]
    rows: Mapped[Json]  # {"read": […], "saved": [lead ids]}
    created_at: Mapped[CreatedAt]
    saved_at: Mapped[Moment | None]
    undone_at: Mapped[Moment | None]
