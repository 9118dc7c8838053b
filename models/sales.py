"""A firm's sales records: leads, products, jobs, proposals, invoices, payments and refunds.

The database computes an invoice's sums under the invoice's row lock. Otherwise two people editing
two lines at once would each store a wrong total.
"""

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from sqlalchemy import (
    CheckConstraint,
    Computed,
    Connection,
    ForeignKey,
    Index,
    UniqueConstraint,
    event,
    func,
    inspect,
    text,
)
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from models.accounts import Organization
from models.base import MONEY, PERCENT, PRICE, QUANTITY, Base, CreatedAt, Key, Moment
from prepared import prepared


class RecordType(StrEnum):
    """The types of record sent to QuickBooks, in the order they must arrive there."""

    LEAD = "lead"
    PRODUCT = "product"
    INVOICE = "invoice"
    PAYMENT = "payment"
    REFUND = "refund"

    @property
    def rank(self) -> int:
        return list(RecordType).index(self)


@dataclass(frozen=True, order=True)
class Record:
    """Identifies a lead, product, invoice, payment or refund by its type and id."""

    type: RecordType
    id: int

    @classmethod
    def stored(cls, type_: str, id_: int) -> "Record":
        """A record as statements written as text and snapshots have it."""
        return cls(RecordType(type_), id_)


class PaymentMethod(StrEnum):
    CARD = "card"
    ACH = "ach"
    CHECK = "check"
    CASH = "cash"


class DiscountKind(StrEnum):
    PERCENT = "percent"  # of the subtotal
    AMOUNT = "amount"


class JobStatus(StrEnum):
    SCHEDULED = "scheduled"
    IN_PROGRESS = "in_progress"
    DONE = "done"


class ProposalStatus(StrEnum):
    DRAFT = "draft"
    SENT = "sent"
    ACCEPTED = "accepted"
    DECLINED = "declined"


class InvoiceStatus(StrEnum):
    """Never stored: derived from what was billed and paid."""

    OPEN = "open"
    PARTLY_PAID = "partly_paid"
    PAID = "paid"
    NOTHING_DUE = "nothing_due"  # total is zero, or was reduced below zero in QuickBooks
    VOID = "void"


def new_mark() -> str:
    """A random mark that identifies our document in QuickBooks (at most 21 characters).

    Not derived from an id: a restored backup hands out the same ids again.
    """
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    return "DH-" + "".join(secrets.choice(alphabet) for _ in range(12))


class RecordModel:
    """The columns of every model whose rows are records."""

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    first_entry_at: Mapped[Moment | None]


class Lead(RecordModel, Base):
    __tablename__ = "leads"
    __table_args__ = (
        CheckConstraint("btrim(name) <> ''", name="has_name"),
        Index("ix_leads_of_organization", "organization_id", "id"),
        Index(
            "ix_leads_never_sent",
            "organization_id",
            "id",
            postgresql_where="first_entry_at IS NULL AND deleted_at IS NULL",
        ),
    )

    name: Mapped[str]  # a person or a firm
    given_name: Mapped[str] = mapped_column(server_default="", default="")  # of the contact person
    family_name: Mapped[str] = mapped_column(server_default="", default="")
    company_name: Mapped[str] = mapped_column(server_default="", default="")
    email: Mapped[str] = mapped_column(server_default="", default="")
    phone: Mapped[str] = mapped_column(server_default="", default="")
    street: Mapped[str] = mapped_column(server_default="", default="")
    city: Mapped[str] = mapped_column(server_default="", default="")
    state: Mapped[str] = mapped_column(server_default="", default="")
    postal_code: Mapped[str] = mapped_column(server_default="", default="")
    notes: Mapped[str] = mapped_column(server_default="", default="")  # never sent to QuickBooks
    # chosen by a person when the plain name is taken in QuickBooks
    quickbooks_name: Mapped[str | None]
    deleted_at: Mapped[Moment | None]
    created_at: Mapped[CreatedAt]

    organization: Mapped[Organization] = relationship()

    @property
    def contact(self) -> str:
        """The contact person; empty if there is none."""
        return f"{self.given_name} {self.family_name}".strip()


class Product(RecordModel, Base):
    __tablename__ = "products"
    __table_args__ = (
        CheckConstraint("btrim(name) <> ''", name="has_name"),
        UniqueConstraint("organization_id", "name"),
    )

    name: Mapped[str]
    # chosen by a person when the plain name is taken in QuickBooks
    quickbooks_name: Mapped[str | None]
    description: Mapped[str] = mapped_column(server_default="", default="")
    unit_price: Mapped[Decimal] = mapped_column(PRICE)
    taxable: Mapped[bool] = mapped_column(server_default="false", default=False)
    active: Mapped[bool] = mapped_column(server_default="true", default=True)
    created_at: Mapped[CreatedAt]


class Line:
    """Columns shared by lines of jobs, proposals and invoices."""

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    position: Mapped[int]
    product_id: Mapped[int | None] = mapped_column(ForeignKey("products.id"))
    description: Mapped[str]
    quantity: Mapped[Decimal] = mapped_column(QUANTITY)
    unit_price: Mapped[Decimal] = mapped_column(PRICE)
    taxable: Mapped[bool] = mapped_column(server_default="false", default=False)
    amount: Mapped[Decimal] = mapped_column(MONEY, Computed("round(quantity * unit_price, 2)"))
    # the row of the form that added it, so that the same form sent again changes this line
    form_row: Mapped[str | None]


class Discounted:
    """One discount for the whole document, taken off before tax. A value of 0 is none."""

    discount_kind: Mapped[DiscountKind] = mapped_column(
        server_default=DiscountKind.PERCENT, default=DiscountKind.PERCENT
    )
    discount_value: Mapped[Decimal] = mapped_column(PRICE, server_default="0", default=Decimal(0))

    @staticmethod
    def checks() -> list[CheckConstraint]:
        return [
            CheckConstraint("discount_kind IN ('percent', 'amount')", name="discount_kind"),
            CheckConstraint(
                "discount_value >= 0 AND (discount_kind = 'amount' OR discount_value <= 100)",
                name="discount_value",
            ),
        ]


class Job(Base):
    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("status IN ('scheduled', 'in_progress', 'done')", name="status"),
        Index("ix_jobs_of_organization", "organization_id", "id"),
    )

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    lead_id: Mapped[int] = mapped_column(ForeignKey("leads.id"), index=True)
    title: Mapped[str]
    status: Mapped[JobStatus] = mapped_column(
        server_default=JobStatus.SCHEDULED, default=JobStatus.SCHEDULED
    )
    scheduled_on: Mapped[date | None]
    notes: Mapped[str] = mapped_column(server_default="", default="")
    created_at: Mapped[CreatedAt]

    lead: Mapped[Lead] = relationship()
    lines: Mapped[list["JobLine"]] = relationship(
        order_by="JobLine.position", cascade="all, delete-orphan"
    )


class JobLine(Line, Base):
    __tablename__ = "job_lines"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), index=True)


class Proposal(Discounted, Base):
    __tablename__ = "proposals"
    __table_args__ = (
        UniqueConstraint("organization_id", "number"),
        CheckConstraint("status IN ('draft', 'sent', 'accepted', 'declined')", name="status"),
        *Discounted.checks(),
        Index("ix_proposals_of_organization", "organization_id", "id"),
    )

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    lead_id: Mapped[int] = mapped_column(ForeignKey("leads.id"), index=True)
    number: Mapped[str]
    title: Mapped[str]
    status: Mapped[ProposalStatus] = mapped_column(
        server_default=ProposalStatus.DRAFT, default=ProposalStatus.DRAFT
    )
    tax_rate: Mapped[Decimal] = mapped_column(PERCENT, server_default="0", default=Decimal(0))
    created_at: Mapped[CreatedAt]

    lead: Mapped[Lead] = relationship()
    lines: Mapped[list["ProposalLine"]] = relationship(
        order_by="ProposalLine.position", cascade="all, delete-orphan"
    )


class ProposalLine(Line, Base):
    __tablename__ = "proposal_lines"

    proposal_id: Mapped[int] = mapped_column(ForeignKey("proposals.id"), index=True)

    product: Mapped[Product | None] = relationship()


class Invoice(RecordModel, Discounted, Base):
    __tablename__ = "invoices"
    __table_args__ = (
        UniqueConstraint("organization_id", "number"),
        CheckConstraint("char_length(number) BETWEEN 1 AND 21", name="number_length"),
        *Discounted.checks(),
        Index("ix_invoices_of_organization", "organization_id", "id"),
        Index(
            "ix_invoices_never_sent",
            "organization_id",
            "id",
            postgresql_where="first_entry_at IS NULL AND voided_at IS NULL",
        ),
        Index(
            "ix_invoices_owed",
            "organization_id",
            "due_on",
            postgresql_where="voided_at IS NULL AND total > paid_amount",
        ),
    )

    lead_id: Mapped[int] = mapped_column(ForeignKey("leads.id"), index=True)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    proposal_id: Mapped[int | None] = mapped_column(ForeignKey("proposals.id"))
    number: Mapped[str]
    issued_on: Mapped[date]
    due_on: Mapped[date]
    memo: Mapped[str] = mapped_column(server_default="", default="")
    tax_rate: Mapped[Decimal] = mapped_column(PERCENT, server_default="0", default=Decimal(0))
    # Sums, written only by `recalculate`.
    subtotal: Mapped[Decimal] = mapped_column(MONEY, server_default="0", default=Decimal(0))
    discount_amount: Mapped[Decimal] = mapped_column(MONEY, server_default="0", default=Decimal(0))
    tax_amount: Mapped[Decimal] = mapped_column(MONEY, server_default="0", default=Decimal(0))
    total: Mapped[Decimal] = mapped_column(MONEY, server_default="0", default=Decimal(0))
    paid_amount: Mapped[Decimal] = mapped_column(MONEY, server_default="0", default=Decimal(0))
    # Incremented whenever a line or payment changes, so that the row's lock covers the whole
    # record.
    revision: Mapped[int] = mapped_column(server_default="0", default=0)
    mark: Mapped[str] = mapped_column(default=new_mark)
    voided_at: Mapped[Moment | None]
    created_at: Mapped[CreatedAt]

    lead: Mapped[Lead] = relationship()
    job: Mapped[Job | None] = relationship()
    proposal: Mapped[Proposal | None] = relationship()
    lines: Mapped[list["InvoiceLine"]] = relationship(
        order_by="InvoiceLine.position", cascade="all, delete-orphan", back_populates="invoice"
    )
    payments: Mapped[list["Payment"]] = relationship(
        order_by="Payment.id", back_populates="invoice"
    )

    @property
    def balance(self) -> Decimal:
        return Decimal(0) if self.voided_at else self.total - self.paid_amount

    def days_overdue(self, today: date) -> int:
        """0 if it is not due yet, or not owed."""
        return max((today - self.due_on).days, 0) if self.total > 0 and self.balance > 0 else 0

    @property
    def credit(self) -> Decimal:
        """The amount paid beyond the total."""
        return max(-self.balance, Decimal(0))

    @property
    def kept(self) -> Decimal:
        """What was paid on it and has not gone back, whatever became of the invoice."""
        return sum((payment.left for payment in self.payments), Decimal(0))

    @property
    def goodwill(self) -> Decimal:
        """What went back of it while it stayed paid."""
        return sum((payment.goodwill_amount for payment in self.payments), Decimal(0))

    @property
    def status(self) -> InvoiceStatus:
        if self.voided_at:
            return InvoiceStatus.VOID
        if self.total <= 0:
            return InvoiceStatus.NOTHING_DUE
        if self.balance <= 0:
            return InvoiceStatus.PAID
        return InvoiceStatus.PARTLY_PAID if self.paid_amount else InvoiceStatus.OPEN


class InvoiceLine(Line, Base):
    __tablename__ = "invoice_lines"

    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"), index=True)

    invoice: Mapped[Invoice] = relationship(back_populates="lines")
    product: Mapped[Product | None] = relationship()


class InvoiceDraft(Discounted, Base):
    """What becomes an invoice once it is finished, and is no record before: it has no number, is
    never sent, and counts in no sum. It may be incomplete."""

    __tablename__ = "invoice_drafts"
    __table_args__ = (
        *Discounted.checks(),
        Index("ix_invoice_drafts_of_organization", "organization_id", "id"),
    )

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    lead_id: Mapped[int] = mapped_column(ForeignKey("leads.id"), index=True)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    proposal_id: Mapped[int | None] = mapped_column(ForeignKey("proposals.id"))
    issued_on: Mapped[date]
    due_on: Mapped[date]
    memo: Mapped[str] = mapped_column(server_default="", default="")
    tax_rate: Mapped[Decimal] = mapped_column(PERCENT, server_default="0", default=Decimal(0))
    saved_at: Mapped[Moment] = mapped_column(server_default=func.clock_timestamp())
    created_at: Mapped[CreatedAt]

    lead: Mapped[Lead] = relationship()
    job: Mapped[Job | None] = relationship()
    proposal: Mapped[Proposal | None] = relationship()
    lines: Mapped[list["InvoiceDraftLine"]] = relationship(
        order_by="InvoiceDraftLine.position", cascade="all, delete-orphan"
    )


class InvoiceDraftLine(Base):
    """Like an invoice's line, but quantity and price may be missing."""

    __tablename__ = "invoice_draft_lines"

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    draft_id: Mapped[int] = mapped_column(ForeignKey("invoice_drafts.id"), index=True)
    position: Mapped[int]
    product_id: Mapped[int | None] = mapped_column(ForeignKey("products.id"))
    description: Mapped[str]
    quantity: Mapped[Decimal | None] = mapped_column(QUANTITY)
    unit_price: Mapped[Decimal | None] = mapped_column(PRICE)
    taxable: Mapped[bool] = mapped_column(server_default="false", default=False)
    form_row: Mapped[str | None]

    @property
    def amount(self) -> Decimal:
        """Rounded like an invoice's; 0 without a price."""
        quantity = Decimal(1) if self.quantity is None else self.quantity
        return (quantity * (self.unit_price or 0)).quantize(Decimal("0.01"), ROUND_HALF_UP)


class Payment(RecordModel, Base):
    __tablename__ = "payments"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_is_positive"),
        CheckConstraint("method IN ('card', 'ach', 'check', 'cash')", name="method"),
        Index("ix_payments_of_organization", "organization_id", "id"),
        Index(
            "ix_payments_never_sent",
            "organization_id",
            "id",
            postgresql_where="first_entry_at IS NULL",
        ),
    )

    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"), index=True)
    amount: Mapped[Decimal] = mapped_column(MONEY)
    method: Mapped[PaymentMethod]
    reference: Mapped[str] = mapped_column(server_default="", default="")  # check number
    received_on: Mapped[date]
    note: Mapped[str] = mapped_column(server_default="", default="")
    mark: Mapped[str] = mapped_column(default=new_mark)
    # the processor's event that reported it
    event_id: Mapped[str | None] = mapped_column(unique=True)
    refunded_at: Mapped[Moment | None]
    # Taken back: the invoice is open again by that amount.
    refunded_amount: Mapped[Decimal] = mapped_column(MONEY, server_default="0", default=Decimal(0))
    # Refunded while the invoice stays paid: the sum of its refunds that stand.
    goodwill_amount: Mapped[Decimal] = mapped_column(MONEY, server_default="0", default=Decimal(0))
    created_at: Mapped[CreatedAt]

    invoice: Mapped[Invoice] = relationship(back_populates="payments")

    @property
    def went_back(self) -> Decimal:
        """All that went back to the client, whatever became of the invoice."""
        return self.refunded_amount + self.goodwill_amount

    @property
    def left(self) -> Decimal:
        """What could still go back."""
        return self.amount - self.went_back


class GoodwillRefund(RecordModel, Base):
    """Money of a payment that went back to the client, though the invoice stays paid."""

    __tablename__ = "goodwill_refunds"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_is_positive"),
        Index("ix_goodwill_refunds_of_organization", "organization_id", "id"),
    )

    payment_id: Mapped[int] = mapped_column(ForeignKey("payments.id"), index=True)
    amount: Mapped[Decimal] = mapped_column(MONEY)
    refunded_on: Mapped[date]
    note: Mapped[str] = mapped_column(server_default="", default="")
    mark: Mapped[str] = mapped_column(default=new_mark)
    # The processor could not pay it back after all, or its invoice was voided.
    voided_at: Mapped[Moment | None]
    created_at: Mapped[CreatedAt]

    payment: Mapped[Payment] = relationship()

    @property
    def came_off(self) -> bool:
        """Whether its invoice was voided, so that it came off the payment instead."""
        return self.voided_at is not None and self.voided_at == self.payment.invoice.voided_at


@dataclass(frozen=True)
class Tracked:
    """How the rows of a table belong to records that are sent to QuickBooks."""

    record_type: RecordType
    key: str  # the attribute with the record's id; of a line that of its invoice
    fields: frozenset[str]  # sent to QuickBooks; a change of any other field makes no entry


# Capture (`outbox/capture.py`) and its guards work from this table.
TRACKED: dict[type[Base], Tracked] = {
    Lead: Tracked(
        RecordType.LEAD,
        "id",
        frozenset(
            "name given_name family_name company_name email phone street city state postal_code"
            " quickbooks_name deleted_at".split()
        ),
    ),
    Product: Tracked(
        RecordType.PRODUCT,
        "id",
        frozenset("name quickbooks_name description unit_price taxable".split()),
    ),
    Invoice: Tracked(
        RecordType.INVOICE,
        "id",
        frozenset(
            "lead_id lead number issued_on due_on memo tax_rate discount_kind discount_value"
            " voided_at".split()
        ),
    ),
    InvoiceLine: Tracked(
        RecordType.INVOICE,
        "invoice_id",
        frozenset(  # with `invoice`: a line removed from `lines` is deleted as an orphan
            "invoice position product_id product description quantity unit_price taxable".split()
        ),
    ),
    Payment: Tracked(
        RecordType.PAYMENT,
        "id",
        frozenset("amount method reference received_on note refunded_amount".split()),
    ),
    GoodwillRefund: Tracked(
        RecordType.REFUND, "id", frozenset("amount refunded_on note voided_at".split())
    ),
}

# The model whose rows are the records of a type.
MODELS: dict[RecordType, type[RecordModel]] = {
    its.record_type: model for model, its in TRACKED.items() if issubclass(model, RecordModel)
}
TABLES = {its.record_type: model.__tablename__ for model, its in TRACKED.items() if its.key == "id"}

RECORD_TABLES = tuple(model.__tablename__ for model in TRACKED)


def tracked(item: object) -> Tracked | None:
    """How this row belongs to a record; None if its table is not tracked."""
    return TRACKED.get(type(item))  # type: ignore[arg-type]


def synced_fields_changed(item: object) -> bool:
    """Whether this flush changes a field of `item` that is sent to QuickBooks."""
    its = tracked(item)
    attributes = inspect(item).attrs
    return its is not None and any(attributes[name].history.has_changes() for name in its.fields)


def lock_invoices_of_changed_parts(session: Session) -> None:
    """Before a flush: a changed line or payment also updates its invoice's row, which locks it."""
    for part in _changed_parts(session):
        invoice = part.invoice or session.get(Invoice, part.invoice_id)
        if invoice is None or invoice in session.new or invoice in session.deleted:
            continue
        invoice.revision = Invoice.revision + 1  # in SQL: concurrent writers both count


def _changed_parts(session: Session) -> Iterator[InvoiceLine | Payment]:
    for part in [*session.new, *session.dirty, *session.deleted]:
        if not isinstance(part, InvoiceLine | Payment):
            continue
        if part in session.dirty and not synced_fields_changed(part):
            continue
        yield part


def recalculate(session: Session, invoice_ids: Iterable[int]) -> None:
    """Recomputes the sums of these invoices from the database, under their row locks."""
    session.connection().execute(_RECALCULATE, {"invoice_ids": sorted(invoice_ids)})


# The same sums as `models.sums`. The 30 decimals keep the division exact to the cent.
_RECALCULATE = prepared(
    "recalculate",
    """
    UPDATE invoices
    SET subtotal = sums.subtotal,
        discount_amount = sums.discount_amount,
        tax_amount = tax.amount,
        total = sums.subtotal - sums.discount_amount + tax.amount,
        paid_amount = sums.paid_amount
    FROM (
        SELECT billed.*,
               greatest(0, least(subtotal, round(
                   CASE discount_kind WHEN 'percent' THEN subtotal * discount_value / 100
                                      ELSE discount_value END, 2))) AS discount_amount
        FROM (
            SELECT invoice.id, invoice.tax_rate, invoice.discount_kind, invoice.discount_value,
                   coalesce(sum(line.amount), 0) AS subtotal,
                   coalesce(sum(line.amount) FILTER (WHERE line.taxable), 0) AS taxable,
                   (SELECT coalesce(sum(payment.amount - payment.refunded_amount), 0)
                    FROM payments AS payment WHERE payment.invoice_id = invoice.id) AS paid_amount
            FROM invoices AS invoice
            LEFT JOIN invoice_lines AS line ON line.invoice_id = invoice.id
            WHERE invoice.id = ANY(:invoice_ids)
            GROUP BY invoice.id
        ) AS billed
    ) AS sums
    CROSS JOIN LATERAL (
        SELECT round((sums.taxable - CASE WHEN sums.discount_amount = 0 THEN 0
                          ELSE round(sums.discount_amount::numeric(50, 30) * sums.taxable
                                     / sums.subtotal, 2) END) * sums.tax_rate / 100, 2) AS amount
    ) AS tax
    WHERE invoices.id = sums.id
    """,
)


UNCAPTURED = "DH001"  # SQLSTATE raised by the guard trigger

# Same as in its migration, so that a database created from the models has the guard, too.
_GUARD = """\
CREATE FUNCTION refuse_uncaptured() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('dunahub.captured', true) IS DISTINCT FROM 'on' THEN
        RAISE EXCEPTION 'This write of % would never reach QuickBooks.', TG_TABLE_NAME
            USING ERRCODE = 'DH001', HINT = 'Change records through the application. For a restore'
                ' or a migration: SET LOCAL dunahub.captured = ''on''.';
    END IF;
    RETURN NULL;
END
$$;
"""


@event.listens_for(Base.metadata, "after_create")
def _make_guard(_target: object, connection: Connection, **_: object) -> None:
    connection.execute(text(_GUARD))
    for table in RECORD_TABLES:
        connection.execute(
            text(
                "CREATE TRIGGER refuse_uncaptured BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE"
                f" ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_uncaptured()"
            )
        )


class WriteWithoutCapture(Exception):
    """A write to a synced table that capture would have missed."""
