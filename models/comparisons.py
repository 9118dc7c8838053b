"""Comparison of one month of our books with QuickBooks: the request, the run, the result."""

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
    """What is wrong, in the order in which the page shows it."""

    TWICE_THERE = "twice_there"
    DELETED_THERE = "deleted_there"
    VOIDED_THERE = "voided_there"
    INACTIVE_THERE = "inactive_there"  # a customer
    VOID_HERE = "void_here"  # voided here, still open in QuickBooks
    PAID_BACK = "paid_back"  # paid back here, still recorded in QuickBooks
    OTHER_TOTAL = "other_total"
    OFF_INVOICE = "off_invoice"  # a payment that no longer pays its invoice there
    OTHER_BALANCE = "other_balance"  # of an invoice: what is still to be paid
    OTHER_CUSTOMER = "other_customer"
    OTHER_LINES = "other_lines"  # with the same total
    OTHER_MONTH = "other_month"
    NEEDS_ATTENTION = "needs_attention"  # never arrived: a person must decide
    MADE_THERE = "made_there"  # created by hand in QuickBooks
    ON_ITS_WAY = "on_its_way"  # still being sent; usually gone soon
    LEFT_OUT = "left_out"  # deliberately not sent


class Reason(StrEnum):
    """Why a record was left out deliberately, or what a document created in QuickBooks may be."""

    NOT_CONNECTED = "not_connected"  # saved while QuickBooks was not connected
    ITS_INVOICE = "its_invoice"  # a payment whose invoice isn't in QuickBooks
    SKIPPED = "skipped"
    OTHER_COMPANY = "other_company"  # it went to a previously connected company
    LOOKS_LIKE = "looks_like"  # it may be the same as one of our records


class Comparison(Base):
    """One row per organization and month. The last result stays until the next run has finished.

    The first group of columns is about the requested run, the second about the last result.
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
    # The run: requested while `asked_at` is set, in progress while a process holds the lease.
    asked_at: Mapped[Moment | None]
    # None: started automatically
    asked_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    available_at: Mapped[CreatedAt]
    # incremented with each start; fences the result
    run: Mapped[int] = mapped_column(server_default="0")
    lease_until: Mapped[Moment | None]
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    progress: Mapped[Json] = mapped_column(server_default="{}")
    problem: Mapped[str | None]  # why the last run failed
    # The result.
    compared_at: Mapped[Moment | None]
    compared_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    connection_id: Mapped[int | None] = mapped_column(ForeignKey("quickbooks_connections.id"))
    figures: Mapped[Json] = mapped_column(server_default="{}")  # by kind; money as strings
    reads: Mapped[int] = mapped_column(server_default="0")  # metered reads used

    connection: Mapped[Connection | None] = relationship()
    compared_by: Mapped[User | None] = relationship(foreign_keys=[compared_by_id])


class Difference(Base):
    """One difference between both sides, as the comparison found it."""

    __tablename__ = "quickbooks_differences"
    __table_args__ = (
        CheckConstraint(
            "aggregate_type IN ('lead', 'invoice', 'payment', 'refund')", name="aggregate_type"
        ),
        CheckConstraint(
            "aggregate_id IS NOT NULL OR remote_id IS NOT NULL", name="is_of_something"
        ),
        Index("ix_quickbooks_differences_of_comparison", "comparison_id", "id"),
    )

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    comparison_id: Mapped[int] = mapped_column(ForeignKey("quickbooks_comparisons.id"))
    kind: Mapped[Kind]
    reason: Mapped[Reason | None]  # why it was left out
    record_type: Mapped[RecordType] = mapped_column("aggregate_type")
    record_id: Mapped[int | None] = mapped_column("aggregate_id")  # None: we have no such record
    remote_id: Mapped[str | None]  # None: QuickBooks has no such record
    title: Mapped[str]  # number or name at the time of the comparison
    name: Mapped[str]  # customer's name
    day: Mapped[date]
    our_amount: Mapped[Decimal | None] = mapped_column(MONEY)  # what QuickBooks should show
    their_amount: Mapped[Decimal | None] = mapped_column(MONEY)
    ours: Mapped[str | None]  # the differing name or day, if that is the difference
    theirs: Mapped[str | None]

    @property
    def record(self) -> Record | None:
        return None if self.record_id is None else Record(self.record_type, self.record_id)
