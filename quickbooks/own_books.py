"""Our side of a month's comparison: its records as they should be in QuickBooks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Row, TextClause, text
from sqlalchemy.orm import Session

from models.base import Json
from models.outbox import WAS_TAKEN_OFF
from models.sales import TABLES, RecordType
from outbox.company import Due, Remote
from quickbooks.comparison import Month, Ours, Theirs
from quickbooks.documents import Document, parsed


@dataclass(frozen=True)
class Side:
    """Which organization's books, in which company and month; `since` is when reading began."""

    organization_id: int
    lane_id: int
    month: Month
    zone: ZoneInfo
    since: datetime

    @property
    def borders(self) -> dict[str, object]:
        """Query parameters: days for documents, moments for customers."""
        return {
            "organization": self.organization_id,
            "first": self.month.first,
            "next": self.month.next.first,
            "since": self.month.begins_at(self.zone),
            "until": self.month.next.begins_at(self.zone),
        }


# A document belongs to a month by its date, a customer by when it was saved.
_OF_MONTH = {
    RecordType.LEAD: """
        SELECT id FROM leads WHERE organization_id = :organization
           AND created_at >= :since AND created_at < :until AND deleted_at IS NULL
    """,
    RecordType.INVOICE: """
        SELECT id FROM invoices WHERE organization_id = :organization
           AND issued_on >= :first AND issued_on < :next
    """,
    RecordType.PAYMENT: """
        SELECT id FROM payments WHERE organization_id = :organization
           AND received_on >= :first AND received_on < :next
    """,
    RecordType.REFUND: """
        SELECT id FROM goodwill_refunds WHERE organization_id = :organization
           AND refunded_on >= :first AND refunded_on < :next
    """,
}

_OF_MARKS = {
    RecordType.LEAD: "",
    RecordType.INVOICE: """
        UNION SELECT id FROM invoices WHERE organization_id = :organization AND mark = ANY(:marks)
    """,
    RecordType.PAYMENT: """
        UNION SELECT id FROM payments WHERE organization_id = :organization AND mark = ANY(:marks)
    """,
    RecordType.REFUND: """
        UNION SELECT id FROM goodwill_refunds
        WHERE organization_id = :organization AND mark = ANY(:marks)
    """,
}

_KNOWN_INVOICE = """(
    EXISTS (SELECT FROM outbox AS entry
            WHERE entry.lane_id = :lane AND entry.aggregate_type = 'invoice'
              AND entry.aggregate_id = invoice.id)
    OR EXISTS (SELECT FROM outbox_links AS link
               WHERE link.lane_id = :lane AND link.aggregate_type = 'invoice'
                 AND link.aggregate_id = invoice.id AND link.remote_id IS NOT NULL))"""

# What should still be open there: the total less what was paid. Payments that are not there take
# nothing of it, nor do those that we voided there, and while one is in progress it is unknown.
_BALANCE = """(
    SELECT CASE WHEN bool_or(newest.state = 'pending') THEN NULL
                ELSE greatest(record.total - coalesce(sum(
                    CASE WHEN paid.remote_id IS NULL OR paid.sent_operation <> 'save' THEN 0
                         WHEN paid.voided_at IS NOT NULL
                              AND payment.refunded_amount >= payment.amount THEN 0
                         -- what a person entered of a part that went back is off it there, too
                         WHEN payment.refunded_amount > 0
                         THEN least(payment.amount, paid.remote_total::numeric)
                         ELSE payment.amount END), 0), 0) END
    FROM payments AS payment
    LEFT JOIN outbox_links AS paid
      ON paid.lane_id = :lane AND paid.aggregate_type = 'payment'
     AND paid.aggregate_id = payment.id
    LEFT JOIN LATERAL (
        SELECT entry.state FROM outbox AS entry
        WHERE entry.aggregate_type = 'payment' AND entry.aggregate_id = payment.id
          AND entry.lane_id = :lane
        ORDER BY entry.id DESC LIMIT 1
    ) AS newest ON true
    WHERE payment.invoice_id = record.id)"""

_COLUMNS = {
    RecordType.LEAD: """
        record.name AS title, record.name, record.created_at, NULL::date AS day, 0.00 AS amount,
        record.deleted_at IS NULL AS stands, NULL AS mark, NULL AS customer_id,
        NULL AS invoice_id, NULL::numeric AS balance, false AS lacks_invoice,
        false AS of_void_invoice, 0.00 AS paid_back
        FROM wanted JOIN leads AS record USING (id)
    """,
    RecordType.INVOICE: f"""
        record.number AS title, lead.name, record.created_at, record.issued_on AS day,
        CASE WHEN record.voided_at IS NULL THEN record.total ELSE 0.00 END AS amount,
        record.voided_at IS NULL AS stands, record.mark, customer.remote_id AS customer_id,
        NULL AS invoice_id, {_BALANCE} AS balance, false AS lacks_invoice,
        false AS of_void_invoice, 0.00 AS paid_back
        FROM wanted JOIN invoices AS record USING (id)
        JOIN leads AS lead ON lead.id = record.lead_id
    """,
    RecordType.PAYMENT: f"""
        invoice.number AS title, lead.name, record.created_at, record.received_on AS day,
        record.amount - record.refunded_amount AS amount,
        true AS stands, record.mark, customer.remote_id AS customer_id,
        billed.remote_id AS invoice_id, NULL::numeric AS balance,
        NOT {_KNOWN_INVOICE} AS lacks_invoice, invoice.voided_at IS NOT NULL AS of_void_invoice,
        record.refunded_amount AS paid_back
        FROM wanted JOIN payments AS record USING (id)
        JOIN invoices AS invoice ON invoice.id = record.invoice_id
        JOIN leads AS lead ON lead.id = invoice.lead_id
        LEFT JOIN outbox_links AS billed
          ON billed.lane_id = :lane AND billed.aggregate_type = 'invoice'
         AND billed.aggregate_id = invoice.id
    """,
    RecordType.REFUND: f"""
        invoice.number AS title, lead.name, record.created_at, record.refunded_on AS day,
        CASE WHEN record.voided_at IS NULL THEN record.amount ELSE 0.00 END AS amount,
        record.voided_at IS NULL AS stands, record.mark, customer.remote_id AS customer_id,
        NULL AS invoice_id, NULL::numeric AS balance,
        NOT {_KNOWN_INVOICE} AS lacks_invoice, false AS of_void_invoice, 0.00 AS paid_back
        FROM wanted JOIN goodwill_refunds AS record USING (id)
        JOIN payments AS payment ON payment.id = record.payment_id
        JOIN invoices AS invoice ON invoice.id = payment.invoice_id
        JOIN leads AS lead ON lead.id = invoice.lead_id
    """,
}

_CUSTOMER = """
    LEFT JOIN outbox_links AS customer
      ON customer.lane_id = :lane AND customer.aggregate_type = 'lead'
     AND customer.aggregate_id = lead.id
"""


def _selecting(type_: RecordType, wanted: str) -> TextClause:
    return text(
        f"""
        WITH wanted AS ({wanted})
        SELECT record.id, link.remote_id, newest.state, link.remote_version, link.remote_number,
               link.remote_total, link.remote_balance, link.sent_document,
               link.voided_at IS NOT NULL AS is_void_there, link.gone_at IS NOT NULL AS is_gone,
               link.differs_since IS NOT NULL AS differed, link.updated_at,
               newest.state IS NULL AND EXISTS (
                   SELECT FROM outbox AS other
                   WHERE other.aggregate_type = '{type_.value}' AND other.aggregate_id = record.id
                     AND other.lane_id <> :lane) AS was_elsewhere,
               {_COLUMNS[type_]}
        {"" if type_ == RecordType.LEAD else _CUSTOMER}
        LEFT JOIN outbox_links AS link
          ON link.lane_id = :lane AND link.aggregate_type = '{type_.value}'
         AND link.aggregate_id = record.id
        LEFT JOIN LATERAL (
            SELECT entry.state FROM outbox AS entry
            WHERE entry.aggregate_type = '{type_.value}' AND entry.aggregate_id = record.id
              AND entry.lane_id = :lane
            ORDER BY entry.id DESC LIMIT 1
        ) AS newest ON true
        ORDER BY record.id
        """  # noqa: S608  (only constants of ours are put together)
    )


_SELECT = {
    type_: _selecting(
        type_,
        f"""
        {of_month}
        UNION SELECT aggregate_id FROM outbox_links
        WHERE lane_id = :lane AND aggregate_type = '{type_.value}'
          AND remote_id = ANY(:remote_ids)
        {_OF_MARKS[type_]}
        """,  # noqa: S608
    )
    for type_, of_month in _OF_MONTH.items()
}
_SELECT_SOME = {
    type_: _selecting(
        type_,
        f"""
        SELECT id FROM {TABLES[type_]}
        WHERE organization_id = :organization AND id = ANY(:ids)
        """,  # noqa: S608
    )
    for type_ in _OF_MONTH
}

_COUNT = text(
    " UNION ALL ".join(
        f"SELECT count(*) AS records FROM ({of_month}) AS of_month"  # noqa: S608
        for of_month in _OF_MONTH.values()
    )
)


def count(session: Session, side: Side) -> int:
    """Number of our records to compare: about as many as there will be to read."""
    return sum(row.records for row in session.execute(_COUNT, side.borders))


def read(session: Session, side: Side, type_: RecordType, theirs: Sequence[Theirs]) -> list[Ours]:
    """The month's records of this type, and those of any month that `theirs` belong to."""
    asked = {
        "lane": side.lane_id,
        "remote_ids": [one.id for one in theirs],
        "marks": [one.mark for one in theirs if one.mark],
    }
    found = session.execute(_SELECT[type_], {**side.borders, **asked})
    return [_ours(row, side.zone, side.since) for row in found]


def some(
    session: Session,
    organization_id: int,
    lane_id: int,
    type_: RecordType,
    ids: Iterable[int],
    zone: ZoneInfo,
) -> list[Ours]:
    """These records of an organization, of any month."""
    asked = {"organization": organization_id, "lane": lane_id, "ids": sorted(ids)}
    return [_ours(row, zone) for row in session.execute(_SELECT_SOME[type_], asked)]


def _applied_nowhere(row: Row[Any]) -> Document:
    """A payment as it was sent, but as the customer's credit: its invoice is void."""
    return {**(parsed(row.sent_document) or {}), "Line": []}


def _ours(row: Row[Any], zone: ZoneInfo, since: datetime | None = None) -> Ours:
    remote = None
    if row.remote_id is not None:
        remote = Remote(
            row.remote_id,
            row.remote_version,
            row.remote_number,
            row.remote_total,
            voided=row.is_void_there,
            balance=row.remote_balance,
        )
    return Ours(
        key=row.id,
        title=row.title,
        name=row.name,
        day=row.day or row.created_at.astimezone(zone).date(),
        amount=row.amount,
        # A fully refunded payment counts as if it had never been made.
        stands=row.stands and not (row.paid_back and row.amount <= 0),
        mark=row.mark,
        remote=remote,
        customer_id=row.customer_id,
        state=row.state,
        was_elsewhere=row.was_elsewhere,
        lacks_invoice=row.lacks_invoice,
        paid_back=row.paid_back,
        invoice_id=row.invoice_id,
        balance=row.balance,
        sent=_applied_nowhere(row) if row.of_void_invoice else parsed(row.sent_document),
        has_moved=bool(since and row.updated_at and row.updated_at >= since),
        was_gone=row.is_gone,
        differed=row.differed,
    )


# What our payments take of their invoice there, and took when they were sent. One that was only
# found has no lines of ours, and one not read since it was written all of it but its credit.
_APPLIED = text(
    """
    SELECT billed.remote_id,
           sum(takes.amount) AS applied,
           sum(takes.amount) FILTER (WHERE link.doubts = '[]') AS sure,
           sum(sent.applied) AS sent
    FROM outbox_links AS billed
    JOIN payments AS payment ON payment.invoice_id = billed.aggregate_id
    JOIN outbox_links AS link
      ON link.lane_id = :lane AND link.aggregate_type = 'payment'
     AND link.aggregate_id = payment.id AND link.voided_at IS NULL AND link.gone_at IS NULL
     AND (link.remote_id IS NOT NULL OR link.doubts <> '[]')  -- found a moment ago
    CROSS JOIN LATERAL (
        SELECT sum((line ->> 'Amount')::numeric) AS applied
        FROM jsonb_array_elements(link.seen::jsonb -> 'Line') AS line
        WHERE line -> 'LinkedTxn' -> 0 ->> 'TxnId' = billed.remote_id
    ) AS seen
    CROSS JOIN LATERAL (
        SELECT CASE WHEN link.seen IS NULL
               THEN coalesce(link.remote_total::numeric, payment.amount)
                    - coalesce(link.remote_balance::numeric, 0)
               ELSE coalesce(seen.applied, 0) END AS amount
    ) AS takes
    CROSS JOIN LATERAL (
        SELECT sum((line ->> 'Amount')::numeric) AS applied
        FROM jsonb_array_elements(link.sent_document::jsonb -> 'Line') AS line
        WHERE line -> 'LinkedTxn' -> 0 ->> 'TxnId' = billed.remote_id
    ) AS sent
    WHERE billed.lane_id = :lane AND billed.aggregate_type = 'invoice'
      AND billed.aggregate_id = ANY(:invoices) AND billed.remote_id IS NOT NULL
    GROUP BY billed.remote_id
    """
)


def applied(session: Session, lane_id: int, entries: Sequence[Due]) -> Json:
    """What our payments take now (`there`; without those in doubt, `sure`), and took as they were
    sent (`sent`), by the id in QuickBooks of the invoices these entries pay. Only asked once an
    invoice was found to be paid, or was lowered."""
    asking = {"invoice_found", WAS_TAKEN_OFF}
    payments = [one for one in entries if one.record.type == RecordType.PAYMENT]
    invoices = [one.payload["invoice_id"] for one in payments if asking & one.knowledge.keys()]
    if not invoices:
        return {}
    rows = session.execute(_APPLIED, {"lane": lane_id, "invoices": invoices})
    return {
        row.remote_id: {
            "there": str(row.applied),
            "sure": str(row.sure or 0),
            "sent": str(row.sent or 0),
        }
        for row in rows
    }
