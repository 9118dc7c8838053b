"""Capture: a write of a record inserts its entry in the same transaction.

It hangs on the session, so every ORM write of a tracked record is seen, from a view, a command or
a shell. A write that would go around it (bulk UPDATE, text(), a session without capture) raises.

1. Before a flush, a changed line or payment also writes its invoice's row: the row's lock then
   covers the whole record.
2. After the flush the rows are written and locked. Only now are the sums computed and the entries
   inserted, so numbers are drawn in the order in which records really changed.
3. The snapshot is read back by SQL in the inserting statement: objects in memory are stale for
   what another transaction changed meanwhile.
4. A later flush of the same transaction rewrites the entry: one transaction, one entry a record.
"""

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection as DatabaseConnection
from sqlalchemy import Engine, Executable, Row, TextClause, event, text
from sqlalchemy.engine.interfaces import DBAPICursor, ExceptionContext, ExecutionContext
from sqlalchemy.orm import Session, SessionTransaction, UOWTransaction
from sqlalchemy.orm.util import identity_key

from db import Sessions
from models.sales import (
    MODELS,
    RECORD_TABLES,
    TABLES,
    UNCAPTURED,
    Invoice,
    InvoiceLine,
    Payment,
    Record,
    RecordType,
    WriteWithoutCapture,
    lock_invoices_of_changed_parts,
    recalculate,
    synced_fields_changed,
    tracked,
)
from models.snapshots import SENDING, SNAPSHOTS, known_to_lane
from prepared import prepared

Wake = Callable[[int], None]

log = logging.getLogger("dunahub.capture")

_WAKES = "outbox.lanes_to_wake"  # lanes that received entries in this transaction
_OWN = "outbox.entries_of_this_transaction"  # record → entry number
_NEW = "outbox.new_entries"  # entry numbers to log after the commit
_SUMMED = "outbox.invoices_summed_by_this_flush"
_DIRTY = "outbox.items_this_flush_changes"
ALLOWED = "outbox.flush_is_captured"  # on the connection, while a captured flush runs


def attach(sessions: Sessions, wake: Wake | None = None) -> None:
    """Makes every session of this factory capture.

    `wake` is called with a lane's id after the outermost commit that added entries to the lane.
    """

    event.listen(sessions, "before_flush", _prepare)
    event.listen(sessions, "after_flush", _capture)
    event.listen(sessions, "after_flush_postexec", _forget_old_sums)
    event.listen(sessions, "after_transaction_end", _end_transaction)
    event.listen(sessions, "after_rollback", _forget_entries)

    @event.listens_for(sessions, "after_commit")
    def wake_lanes(session: Session) -> None:
        for lane_id in _lanes_to_wake(session):
            if wake is not None:
                wake(lane_id)


def wake_after_commit(session: Session, lanes: Iterable[int]) -> None:
    """Wakes these lanes' drainers after this session's outermost commit."""
    session.info.setdefault(_WAKES, set()).update(lanes)


def _prepare(session: Session, _flush: UOWTransaction, _instances: object) -> None:
    _refuse_deletes(session)
    lock_invoices_of_changed_parts(session)
    # The history of a value computed by the database (`func.now()`) is empty after the flush.
    session.info[_DIRTY] = {item for item in session.dirty if synced_fields_changed(item)}
    _open_the_door(session.connection())


def _capture(session: Session, _flush: UOWTransaction) -> None:
    _compute_sums(session)
    for type_, ids in _changed_records(session).items():
        _capture_kind(session, type_, ids)
    session.connection().info.pop(ALLOWED, None)


def _forget_old_sums(session: Session, _flush: UOWTransaction) -> None:
    for key in session.info.pop(_SUMMED, ()):
        if invoice := session.identity_map.get(identity_key(Invoice, key)):
            sums = "subtotal discount_amount tax_amount total paid_amount revision".split()
            session.expire(invoice, sums)


def _end_transaction(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_OWN, None)


def _lanes_to_wake(session: Session) -> Iterable[int]:
    """The lanes that received entries, once the outermost transaction is committed."""
    # After the release of a SAVEPOINT, too, while the outer transaction may still roll back.
    if session.in_nested_transaction():
        return ()
    if entries := session.info.pop(_NEW, None):
        log.info("captured", extra={"entries": entries})
    lanes: set[int] = session.info.pop(_WAKES, set())
    return lanes


def _forget_entries(session: Session) -> None:
    if not session.in_nested_transaction():
        session.info.pop(_WAKES, None)
        session.info.pop(_NEW, None)


def _refuse_deletes(session: Session) -> None:
    for item in session.deleted:
        its = tracked(item)
        if its is not None and its.key == "id":
            raise WriteWithoutCapture(
                f"A {type(item).__name__.lower()} is voided, refunded or marked as deleted, never"
                " removed: QuickBooks may have it."
            )


def _compute_sums(session: Session) -> None:
    touched = {
        item.invoice_id
        for item in [*session.new, *session.dirty, *session.deleted]
        if isinstance(item, InvoiceLine | Payment)
    } | {
        item.id
        for item in [*session.new, *session.dirty]
        if isinstance(item, Invoice) and (item in session.new or session.is_modified(item))
    }
    if touched:
        recalculate(session, touched)
        session.info[_SUMMED] = touched


def _changed_records(session: Session) -> dict[RecordType, list[int]]:
    """Records whose synced fields this flush wrote, by type, in the order they must arrive."""
    changed: dict[RecordType, set[int]] = {}
    dirty: set[object] = session.info.pop(_DIRTY)
    for item in [*session.new, *session.dirty, *session.deleted]:
        if not (item in dirty or item in session.deleted or synced_fields_changed(item)):
            continue
        if its := tracked(item):
            changed.setdefault(its.record_type, set()).add(getattr(item, its.key))
    return {type_: sorted(changed[type_]) for type_ in RecordType if type_ in changed}


def _capture_kind(session: Session, type_: RecordType, ids: Sequence[int]) -> None:
    connection = session.connection()
    own: dict[Record, int] = session.info.setdefault(_OWN, {})
    rewritten: set[int] = set()
    if known := [own[Record(type_, id_)] for id_ in ids if Record(type_, id_) in own]:
        rows = connection.execute(_REWRITE[type_], {"entry_ids": known, "record_ids": list(ids)})
        rewritten = {row.aggregate_id for row in rows}
    left = [id_ for id_ in ids if id_ not in rewritten]
    created: set[int] = set()
    if type_ in _CAPTURE_CREATED:
        created = {item.id for item in session.new if isinstance(item, MODELS[type_])}
    when_created = _CAPTURE_CREATED.get(type_, _CAPTURE[type_])
    entries = [
        *_insert_entries(connection, when_created, [id_ for id_ in left if id_ in created]),
        *_insert_entries(connection, _CAPTURE[type_], [id_ for id_ in left if id_ not in created]),
    ]
    for entry in entries:
        own[Record(type_, entry.aggregate_id)] = entry.id
        session.info.setdefault(_NEW, []).append(entry.id)
    wake_after_commit(session, {entry.lane_id for entry in entries})


def _insert_entries(
    connection: DatabaseConnection, statement: Executable, ids: Sequence[int]
) -> Sequence[Row[Any]]:
    """The new entries. If it had to wait while a lane was closed or opened, what the statement had
    read is of before: it inserts nothing for that lane and is repeated, with the lane locked."""
    if not ids:
        return ()
    rows = connection.execute(statement, {"record_ids": list(ids)}).all()
    new = [row for row in rows if row.id is not None]
    if len(new) == len(rows):
        return new
    done = {row.aggregate_id for row in new}
    return [*new, *_insert_entries(connection, statement, [id_ for id_ in ids if id_ not in done])]


def send_by_hand(session: Session, type_: RecordType, ids: Sequence[int]) -> tuple[int, ...]:
    """Captures records as if they were created now, because a person decided to send them.

    Invoices must come before their payments. Records that the lane already has, and deleted or void
    ones, are left out. Returns the numbers of the new entries; the caller commits.
    """
    return _capture_locked(session, type_, _LOCK_UNSENT[type_], ids)


def send_with_it(session: Session, invoice_id: int) -> tuple[int, ...]:
    """Captures an invoice's payments again, after the invoice, which gets a new counterpart.

    Skipped and refunded ones are left out. The new entries check what is in QuickBooks and write
    only differences. Returns their numbers; the caller commits.
    """
    captured = _capture_locked(session, RecordType.PAYMENT, _LOCK_PAYMENTS, [invoice_id])
    checks = text("UPDATE outbox SET checks = true WHERE id = ANY(:entries)")
    session.execute(checks, {"entries": list(captured)})
    return captured


def _capture_locked(
    session: Session, type_: RecordType, lock: TextClause, ids: Sequence[int]
) -> tuple[int, ...]:
    connection = session.connection()
    locked = connection.execute(lock, {"ids": list(ids)}).scalars().all()
    _open_the_door(connection)
    statement = _CAPTURE_CREATED.get(type_, _CAPTURE[type_])
    rows = _insert_entries(connection, statement, locked)
    connection.info.pop(ALLOWED, None)
    wake_after_commit(session, {row.lane_id for row in rows})
    return tuple(row.id for row in rows)


def note_first_entries(session: Session, type_: RecordType, ids: Sequence[int]) -> None:
    """Notes that these records have entries, made by others than capture: no longer never sent.

    A record that is being saved just now is left to its own capture: nobody waits here.
    """
    connection = session.connection()
    _open_the_door(connection)
    connection.execute(_NOTE_FIRST_ENTRY[type_], {"ids": list(ids)})
    connection.info.pop(ALLOWED, None)


_NOTE_FIRST_ENTRY = {
    type_: text(
        f"""
        UPDATE {TABLES[type_]} AS record SET first_entry_at = clock_timestamp()
        FROM (SELECT id FROM {TABLES[type_]} WHERE id = ANY(:ids) AND first_entry_at IS NULL
              ORDER BY id FOR NO KEY UPDATE SKIP LOCKED) AS free
        WHERE record.id = free.id
        """  # noqa: S608  (only constants of ours are put together)
    )
    for type_ in SENDING
}


# Under the record's lock, like every capture: numbers are drawn in the order of the changes.
_LOCK_UNSENT = {
    type_: text(
        f"""
        SELECT record.id FROM {TABLES[type_]} AS record
        WHERE record.id = ANY(:ids) AND {its.by_hand}
          AND NOT EXISTS (
            SELECT FROM outbox AS entry JOIN outbox_lanes AS lane ON lane.id = entry.lane_id
            WHERE entry.aggregate_type = '{type_.value}' AND entry.aggregate_id = record.id
              AND lane.state IN ('open', 'held'))
        ORDER BY record.id
        FOR NO KEY UPDATE OF record
        """  # noqa: S608  (only constants of ours are put together)
    )
    for type_, its in SENDING.items()
    if its.by_hand is not None
}

_LOCK_PAYMENTS = text(
    """
    SELECT record.id FROM payments AS record
    WHERE record.invoice_id = ANY(:ids) AND record.refunded_amount = 0
      AND (SELECT entry.state FROM outbox AS entry
           JOIN outbox_lanes AS lane ON lane.id = entry.lane_id
           WHERE entry.aggregate_type = 'payment' AND entry.aggregate_id = record.id
             AND lane.state IN ('open', 'held')
           ORDER BY entry.id DESC LIMIT 1) IN ('pending', 'synced', 'failed')
    ORDER BY record.id
    FOR NO KEY UPDATE OF record
    """
)


def _makes_entry(type_: RecordType) -> str:
    """Which writes make an entry: of what follows another record, once the lane has that one."""
    its = SENDING[type_]
    if its.follows is None:
        return its.makes_entry
    return known_to_lane(its.follows, f"(snapshot.payload ->> '{its.follows.value}_id')::bigint")


def _capturing(type_: RecordType, condition: str) -> Executable:
    """The statement that inserts entries for records of one type.

    Every save locks the lanes of its organization, also those that take no entries: with FOR KEY
    SHARE, which waits for a close or a reopening (both FOR UPDATE) and is waited for by them. So no
    entry gets behind the line, and no change falls between the comparison and the open lane. It
    neither blocks a lease (FOR NO KEY UPDATE) nor waits for one. A row without an id says that a
    lane was closed or opened meanwhile. The statement is planned for every save behind a pooler,
    and sub-selects are faster to plan than joins.
    """
    return prepared(
        f"capture_{type_.value}",
        f"""
        WITH lane AS MATERIALIZED (
            SELECT id, organization_id, state,
                   state = (SELECT seen.state FROM outbox_lanes AS seen
                            WHERE seen.id = outbox_lanes.id) AS is_as_seen
            FROM outbox_lanes
            WHERE organization_id = ANY (ARRAY(
                SELECT record.organization_id FROM {TABLES[type_]} AS record
                WHERE record.id = ANY(:record_ids)))
            ORDER BY state DESC  -- open or held, then closed: as those that change two of them
            FOR KEY SHARE
        ), captured AS (
            INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id,
                                operation, payload)
            SELECT snapshot.organization_id, lane.id, '{type_.value}', snapshot.id,
                   snapshot.operation, snapshot.payload
            FROM ({SNAPSHOTS[type_]} WHERE {type_.value}.id = ANY(:record_ids)) AS snapshot
            JOIN lane
              ON lane.organization_id = snapshot.organization_id
             AND lane.state IN ('open', 'held') AND lane.is_as_seen
            WHERE (SELECT organization.region FROM organizations AS organization
                   WHERE organization.id = snapshot.organization_id) = 'US'
              AND {condition}
            ORDER BY snapshot.id
            RETURNING id, aggregate_id, lane_id
        ), marked AS (
            UPDATE {TABLES[type_]} AS record SET first_entry_at = clock_timestamp()
            FROM captured
            WHERE record.id = captured.aggregate_id AND record.first_entry_at IS NULL
        )
        SELECT id, aggregate_id, lane_id FROM captured
        UNION ALL
        SELECT NULL, NULL, id FROM lane WHERE NOT is_as_seen
        """,  # noqa: S608  (only constants of ours are put together)
    )


_CAPTURE = {type_: _capturing(type_, _makes_entry(type_)) for type_ in SENDING}
# created, or sent by hand as if created now
_CAPTURE_CREATED = {
    type_: _capturing(type_, "true") for type_, its in SENDING.items() if its.is_sent_when_created
}

_REWRITE = {
    type_: text(
        f"""
        UPDATE outbox
        SET operation = snapshot.operation, payload = snapshot.payload
        FROM ({SNAPSHOTS[type_]} WHERE {type_.value}.id = ANY(:record_ids)) AS snapshot
        WHERE outbox.id = ANY(:entry_ids) AND outbox.aggregate_id = snapshot.id
        RETURNING outbox.aggregate_id
        """  # noqa: S608  (only constants of ours are put together)
    )
    for type_ in SENDING
}


def refresh(session: Session, entries: Sequence[int]) -> None:
    """Updates pending entries to their records' current values,
    because a person sends them again."""
    for statement in _REFRESH.values():
        session.execute(statement, {"entries": list(entries)})


# Records sent along are sent whatever state they are in, because another one needs them.
_REFRESH = {
    type_: text(
        f"""
        UPDATE outbox
        SET payload = snapshot.payload,
            operation = CASE WHEN outbox.taken_along_for IS NULL THEN snapshot.operation
                             ELSE outbox.operation END
        FROM outbox AS entry
        CROSS JOIN LATERAL (
            {SNAPSHOTS[type_]} WHERE {type_.value}.id = entry.aggregate_id OFFSET 0
        ) AS snapshot
        WHERE entry.id = ANY(:entries) AND entry.aggregate_type = '{type_.value}'
          AND outbox.id = entry.id
          AND (outbox.payload, outbox.operation)
              IS DISTINCT FROM (snapshot.payload, snapshot.operation)
        """  # noqa: S608  (only constants of ours are put together)
    )
    for type_ in SENDING
}


# --- The guard: no write goes around capture ----------------------------------------------------

_WRITES_A_RECORD = re.compile(
    rf"\b(?:insert\s+into|update|delete\s+from)\s+(?:only\s+)?\"?(?:{'|'.join(RECORD_TABLES)})\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=2_000)  # statements are long, and the same ones come again and again
def _writes_a_record(statement: str) -> bool:
    return _WRITES_A_RECORD.search(statement) is not None


@event.listens_for(Engine, "before_cursor_execute")
def _refuse_writes_around_capture(
    connection: DatabaseConnection,
    _cursor: DBAPICursor,
    statement: str,
    _parameters: object,
    _context: ExecutionContext | None,
    _executemany: bool,
) -> None:
    if ALLOWED in connection.info or not _writes_a_record(statement):
        return
    raise WriteWithoutCapture(
        "This statement writes a table that flows to QuickBooks, but not through a session that"
        " captures. Load the objects and change them through the application's sessions."
    )


def _open_the_door(connection: DatabaseConnection) -> None:
    """Sets the flag without which the database refuses writes to records, whatever the statement.
    Set for every flush, because rolling back a savepoint clears it."""
    connection.info[ALLOWED] = True
    connection.execute(_CAPTURED)


_CAPTURED = text("SET LOCAL dunahub.captured = 'on'")  # faster than set_config()


@event.listens_for(Engine, "handle_error")
def _name_refusal_by_database(context: ExceptionContext) -> None:
    if getattr(context.original_exception, "pgcode", None) == UNCAPTURED:
        raise WriteWithoutCapture(str(context.original_exception)) from context.original_exception


@event.listens_for(Engine, "commit")
@event.listens_for(Engine, "rollback")
def _close_the_door(connection: DatabaseConnection) -> None:
    if not connection.invalidated:  # a dropped connection has no flag, and would raise here
        connection.info.pop(ALLOWED, None)  # a flush that failed halfway left it set


@event.listens_for(Engine, "rollback_savepoint")
def _close_the_door_at_savepoint(
    connection: DatabaseConnection, _name: str, _context: object
) -> None:
    connection.info.pop(ALLOWED, None)
