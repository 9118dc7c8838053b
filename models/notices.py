"""Conditions that owners or operators are notified of, and whether they were."""

import json
from enum import StrEnum

from sqlalchemy import Boolean, ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, CreatedAt, Json, Key, Moment


class Condition(StrEnum):
    STOPPED = "stopped"  # nothing is sent until the owner acts
    DOWN = "down"  # QuickBooks has not answered for a day
    ENDING = "ending"  # the sign-in will end
    ATTENTION = "attention"  # records wait for a person
    # For operators:
    DOWN_LONG = "down_long"
    APP_REFUSED = "app_refused"  # Intuit does not know our client id and secret
    REFUSED_ALIKE = "refused_alike"
    KEYS_LOST = "keys_lost"
    CUSTOMERS_UNREAD = "customers_unread"  # new leads of a company wait for its customer list
    READS_USED_UP = "reads_used_up"  # writes go on; records that need a read first wait


class Notice(Base):
    """One condition, from when it was first seen until it is resolved. At most one notification is
    sent.

    `see` may be called repeatedly: while the condition lasts it has one row.
    """

    __tablename__ = "notices"
    __table_args__ = (
        Index("uq_notices_lasting", "kind", "subject", unique=True, postgresql_where="lasts"),
        Index("ix_notices_of_subject", "kind", "subject", "id"),
        Index("ix_notices_due", "available_at", postgresql_where="lasts AND told_at IS NULL"),
    )

    id: Mapped[Key]
    organization_id: Mapped[int | None] = mapped_column(ForeignKey("organizations.id"))
    kind: Mapped[Condition]
    subject: Mapped[str]  # what it is about, e.g. "lane 7"
    about: Mapped[Json] = mapped_column(server_default="{}")  # values for its text
    lasts: Mapped[bool] = mapped_column(Boolean, server_default="true")
    created_at: Mapped[CreatedAt]
    seen_at: Mapped[CreatedAt]
    told_at: Mapped[Moment | None]
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    available_at: Mapped[CreatedAt]  # next attempt to send it


_SEE = text(
    """
    INSERT INTO notices (kind, subject, organization_id, about)
    VALUES (:kind, :subject, :organization_id, CAST(:about AS jsonb))
    ON CONFLICT (kind, subject) WHERE lasts
    DO UPDATE SET seen_at = clock_timestamp()
    RETURNING xmax = 0 AS is_new
    """
)


def see(
    session: Session,
    kind: Condition,
    subject: str,
    *,
    organization_id: int | None = None,
    about: Json | None = None,
) -> bool:
    """Records that the condition is present; True if it is new. Never commits.

    `about` keeps its value from when the condition began.
    """
    told = {"kind": kind, "subject": subject, "organization_id": organization_id}
    row = session.execute(_SEE, {**told, "about": json.dumps(about or {})})
    return bool(row.scalar_one())
