"""Changes made while a lane was closed.

Nothing is captured for a closed lane. When it opens again, every record that is in QuickBooks, or
was waiting to be sent, is compared with what was sent of it. Differences get a withheld entry,
which stays until the owner decides; so do later changes of the same record.
"""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models.base import Json
from models.outbox import Operation
from models.sales import TABLES
from models.snapshots import FOLLOWS, SENDING, SNAPSHOTS
from outbox.capture import note_first_entries

LONGEST_SAVE = timedelta(minutes=10)  # longer than any request may take
RECORDS_PER_STATEMENT = 500  # records per statement

# Copied into a snapshot from other records: a change of these alone is no change of the record.
# A payment's `through` never changes; older snapshots have none.
_BORROWED = frozenset(
    (
        "title needs lead_name invoice_number invoice_total invoice_is_void paid_before paid_by"
        " through"
    ).split()
)

# Recorded meanwhile, of a record that is there or waits to be sent: payments of an invoice, refunds
# of a payment.
_MADE_MEANWHILE = {
    type_: f"""
    UNION
    SELECT made.id FROM {TABLES[type_]} AS made
    WHERE made.organization_id = :organization AND made.id > :after
      -- what was being saved when the lane was closed began before
      AND made.created_at >= CAST(:closed_at AS timestamptz) - CAST(:longest AS interval)
      AND (made.created_at >= :closed_at
           OR NOT EXISTS (SELECT FROM outbox AS own
                          WHERE own.lane_id + 0 = :lane AND own.aggregate_type = '{type_.value}'
                            AND own.aggregate_id = made.id))
      AND (EXISTS (SELECT FROM outbox_links AS link
                   WHERE link.lane_id = :lane AND link.aggregate_type = '{of.value}'
                     AND link.aggregate_id = made.{of.value}_id AND link.remote_id IS NOT NULL)
           OR EXISTS (SELECT FROM outbox AS entry
                      WHERE entry.lane_id + 0 = :lane AND entry.aggregate_type = '{of.value}'
                        AND entry.aggregate_id = made.{of.value}_id
                        AND entry.state || '' IN ('pending', 'failed')))
    """  # noqa: S608  (only constants of ours are put together)
    for type_, of in FOLLOWS.items()
}

_COMPARED = {
    type_: text(
        f"""
        SELECT snapshot.id, snapshot.operation, link.remote_id,
               last.operation AS last_operation, is_same,
               -- Few have changed: the others' values are not worth fetching.
               CASE WHEN NOT is_same THEN snapshot.payload END AS payload,
               CASE WHEN NOT is_same THEN last.payload END AS last_values
        FROM (
            SELECT link.aggregate_id AS id FROM outbox_links AS link
            WHERE link.lane_id = :lane AND link.aggregate_type = '{type_.value}'
              AND link.aggregate_id > :after AND link.remote_id IS NOT NULL
            UNION
            SELECT entry.aggregate_id FROM outbox AS entry
            WHERE entry.organization_id = :organization AND entry.state IN ('pending', 'failed')
              AND entry.lane_id = :lane AND entry.aggregate_type = '{type_.value}'
              AND entry.aggregate_id > :after
            {_MADE_MEANWHILE.get(type_, "")}
            ORDER BY id LIMIT :slice
        ) AS record
        CROSS JOIN LATERAL (
            {SNAPSHOTS[type_]} WHERE {type_.value}.id = record.id OFFSET 0
        ) AS snapshot
        LEFT JOIN outbox_links AS link
          ON link.lane_id = :lane AND link.aggregate_type = '{type_.value}'
         AND link.aggregate_id = record.id
        LEFT JOIN LATERAL (
            SELECT entry.operation, entry.payload FROM outbox AS entry
            WHERE entry.aggregate_type = '{type_.value}' AND entry.aggregate_id = record.id
              AND entry.lane_id + 0 = :lane AND entry.state || '' IN ('pending', 'failed')
            ORDER BY entry.id DESC LIMIT 1
        ) AS waiting ON true
        CROSS JOIN LATERAL (
            SELECT coalesce(waiting.operation, link.declined_operation, link.sent_operation)
                       AS operation,
                   coalesce(waiting.payload, link.declined_values, link.sent_values) AS payload
        ) AS last
        CROSS JOIN LATERAL (
            SELECT ((snapshot.operation, snapshot.payload) = (last.operation, last.payload))
                       IS TRUE AS is_same
        ) AS comparing
        ORDER BY snapshot.id
        """  # noqa: S608  (only constants of ours are put together)
    )
    for type_, its in SENDING.items()
    if its.is_compared
}

_WITHHOLD = {
    type_: text(
        f"""
        INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id,
                            operation, payload, withheld)
        SELECT snapshot.organization_id, :lane, '{type_.value}', snapshot.id,
               snapshot.operation, snapshot.payload, true
        FROM ({SNAPSHOTS[type_]} WHERE {type_.value}.id = ANY(:records)) AS snapshot
        WHERE snapshot.organization_id = :organization
        ORDER BY snapshot.id
        RETURNING aggregate_id
        """  # noqa: S608  (only constants of ours are put together)
    )
    for type_ in _COMPARED
}


def withhold_changes(
    session: Session, lane_id: int, organization_id: int, closed_at: object
) -> int:
    """Writes a withheld entry for each record that changed while the lane was closed.

    Called while the lane is still closed for everyone else, so that nothing else captures for it.
    Returns the number of entries written.
    """
    where = {"lane": lane_id, "organization": organization_id}
    count = 0
    for type_, statement in _COMPARED.items():
        after = 0
        while rows := session.execute(
            statement,
            {
                **where,
                "after": after,
                "slice": RECORDS_PER_STATEMENT,
                "closed_at": closed_at,
                "longest": LONGEST_SAVE,
            },
        ).all():
            if changed := [row.id for row in rows if has_changed(row)]:
                withheld = (
                    session.execute(_WITHHOLD[type_], {**where, "records": changed}).scalars().all()
                )
                note_first_entries(session, type_, withheld)
                count += len(withheld)
            after = rows[-1].id
    return count


def has_changed(row: Row[Any]) -> bool:
    """Whether a record differs from what was last sent of it, or would be sent next."""
    if row.is_same:
        return False
    if row.last_values is None:
        # Made meanwhile; or a record that was only linked, with nothing to compare it to.
        is_new: bool = row.remote_id is None and row.operation == Operation.SAVE
        return is_new and _is_money(row.payload)
    is_other: bool = row.operation != row.last_operation
    return is_other or differ(row.payload, row.last_values)


def _is_money(payload: Json) -> bool:
    """Whether this is a refund, or a payment that was not fully refunded."""
    amount, refunded = (Decimal(payload.get(key, "0")) for key in ("amount", "refunded_amount"))
    return bool(amount > refunded)


def differ(payload: Json, other: Json) -> bool:
    """Whether two snapshots of one record differ in its own values."""
    return bool(_own(payload) != _own(other))


def _own(value: Any) -> Any:
    """A snapshot without copied values and without empty ones."""
    match value:
        case dict():
            return {
                key: _own(each)
                for key, each in value.items()
                if key not in _BORROWED and key != "product_name" and each not in ("", None)
            }
        case list() | tuple():
            return [_own(each) for each in value]
        case _:
            return value


def changed_fields(payload: Json, other: Json) -> Sequence[str]:
    """Names of the fields that differ between two snapshots, in the order of the first."""
    ours, theirs = _own(payload), _own(other)
    return [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
