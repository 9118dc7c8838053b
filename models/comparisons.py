"""A month of the books beside the same month in QuickBooks: asked for, under way, its result."""

from datetime import date
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.accounts import User
from models.base import MONEY, Base, CreatedAt, Json, Key, Moment
from models.quickbooks import Connection
from models.sales import Record, RecordType


class Kind(StrEnum):
    """What is wrong, in the order in which it is shown."""

    TWICE_THERE = "twice_there"
    DELETED_THERE = "deleted_there"
    VOIDED_THERE = "voided_there"
    INACTIVE_THERE = "inactive_there"  # a customer
    VOID_HERE = "void_here"  # and still standing there
    PAID_BACK = "paid_back"  # here, and still recorded there
    OTHER_TOTAL = "other_total"
    OTHER_CUSTOMER = "other_customer"
    OTHER_MONTH = "other_month"
    NEEDS_ATTENTION = "needs_attention"  # it never arrived: a person must decide
    MADE_THERE = "made_there"  # by hand: nothing of ours
    ON_ITS_WAY = "on_its_way"  # not a difference for long
    LEFT_OUT = "left_out"  # on purpose


class Reason(StrEnum):
    """Why a record was left out on purpose; or what a thing that was made there may be."""

    NOT_CONNECTED = "not_connected"  # saved while QuickBooks was not connected
    ITS_INVOICE = "its_invoice"  # a payment whose invoice isn't there
    SKIPPED = "skipped"
    OTHER_COMPANY = "other_company"  # it went to a company that was connected before
    LOOKS_LIKE = "looks_like"  # it may be the same as a record of ours


class Comparison(Base):
    """One row per organization and month. A run leaves the last result as it is until it is done.

    The first half tells of the run that somebody asked for, the second of the last result.
    """

    __tablename__ = "quickbooks_comparisons"
    __table_args__ = (
        UniqueConstraint("organization_id", "month"),
        CheckConstraint("extract(day FROM month) = 1", name="month_is_its_first_day"),
        CheckConstraint(
            "(compared_at IS NULL) = (connection_id IS NULL)", name="result_has_company"
        ),
        CheckConstraint("asked_at IS NOT NULL OR lease_until IS NULL", name="only_asked_runs"),
        Index(
            "ix_quickbooks_comparisons_due",
            "available_at",
            postgresql_where="asked_at IS NOT NULL",
        ),
    )

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    month: Mapped[date]
    # The run: wanted while `asked_at` is set, under way while somebody holds the lease.
    asked_at: Mapped[Moment | None]
    asked_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))  # None: by itself
    available_at: Mapped[CreatedAt]
    run: Mapped[int] = mapped_column(server_default="0")  # rises with each start; fences the result
    lease_until: Mapped[Moment | None]
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    progress: Mapped[Json] = mapped_column(server_default="{}")
    problem: Mapped[str | None]  # why the last run came to nothing
    # The result.
    compared_at: Mapped[Moment | None]
    compared_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    connection_id: Mapped[int | None] = mapped_column(ForeignKey("quickbooks_connections.id"))
    figures: Mapped[Json] = mapped_column(server_default="{}")  # by kind; money as strings
    reads: Mapped[int] = mapped_column(server_default="0")  # metered questions that it took

    connection: Mapped[Connection | None] = relationship()
    compared_by: Mapped[User | None] = relationship(foreign_keys=[compared_by_id])


class Difference(Base):
    """One thing that is not the same on both sides, as the comparison found it."""

    __tablename__ = "quickbooks_differences"
    __table_args__ = (
        CheckConstraint("aggregate_type IN ('lead', 'invoice', 'payment')", name="aggregate_type"),
        CheckConstraint(
            "aggregate_id IS NOT NULL OR remote_id IS NOT NULL", name="is_of_something"
        ),
        Index("ix_quickbooks_differences_of_comparison", "comparison_id", "id"),
    )

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    comparison_id: Mapped[int] = mapped_column(ForeignKey("quickbooks_comparisons.id"))
    kind: Mapped[Kind]
    reason: Mapped[Reason | None]  # of what was left out: why
    record_type: Mapped[RecordType] = mapped_column("aggregate_type")
    record_id: Mapped[int | None] = mapped_column(
        "aggregate_id"
    )  # None: there is no such record here
    remote_id: Mapped[str | None]  # None: there is no such thing there
    title: Mapped[str]  # a number or a name, as it was called then
    name: Mapped[str]  # of the customer
    day: Mapped[date]
    our_amount: Mapped[Decimal | None] = mapped_column(MONEY)  # what should stand there
    their_amount: Mapped[Decimal | None] = mapped_column(MONEY)
    ours: Mapped[str | None]  # the other name or day, where that is what differs
    theirs: Mapped[str | None]

    @property
    def record(self) -> Record | None:
        return None if self.record_id is None else Record(self.record_type, self.record_id)
