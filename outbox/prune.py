"""Deletes old synced and superseded entries in small batches. Never a record's newest entry.

Walks the table by number, a slice at a time, so that each statement is short at any table size,
needs no extra index, and holds no snapshot that would keep dead rows.
"""

from datetime import timedelta

import structlog
from sqlalchemy import TextClause, text

from db import Sessions

HISTORY_KEPT_FOR = timedelta(days=180)  # history of what succeeded …
FAILURES_KEPT = timedelta(days=730)  # … and of what failed, though it is resolved
NUMBERS_PER_STATEMENT = 5000  # numbers per statement

log = structlog.get_logger()

# Failed, skipped and waiting entries stay until a person or the engine has resolved them.
_PRUNE_ENTRIES = text(
    """
    WITH old AS (
        SELECT entry.id FROM outbox AS entry
        WHERE entry.id > :after AND entry.id <= :after + :slice
          AND entry.state IN ('synced', 'superseded')
          AND entry.settled_at < clock_timestamp() - CAST(:kept AS interval)
          AND EXISTS (SELECT FROM outbox AS newer
                      WHERE newer.aggregate_type = entry.aggregate_type
                        AND newer.aggregate_id = entry.aggregate_id
                        AND newer.lane_id = entry.lane_id AND newer.id > entry.id)
          AND NOT EXISTS (SELECT FROM outbox_dispatch_items AS item
                          WHERE item.entry_id = entry.id AND item.outcome IS NULL)
          AND (entry.settled_at < clock_timestamp() - CAST(:failures_kept AS interval)
               OR entry.fault_code IS NULL
                  AND NOT EXISTS (SELECT FROM outbox_dispatch_items AS item
                                  WHERE item.entry_id = entry.id
                                    AND item.outcome IN ('rejected', 'retry', 'unknown')))
        FOR UPDATE OF entry SKIP LOCKED
    ), items AS (
        DELETE FROM outbox_dispatch_items USING old WHERE entry_id = old.id
    )
    DELETE FROM outbox USING old WHERE outbox.id = old.id
    """
)

# Dispatches whose entries are all deleted.
_PRUNE_DISPATCHES = text(
    """
    DELETE FROM outbox_dispatches AS dispatch
    WHERE dispatch.id > :after AND dispatch.id <= :after + :slice
      AND dispatch.created_at < clock_timestamp() - CAST(:kept AS interval)
      AND NOT EXISTS (SELECT FROM outbox_dispatch_items AS item
                      WHERE item.dispatch_id = dispatch.id)
    """
)

# Numbers rise with time: after the first recent row, all are recent.
_NEXT_OLD = {
    table: text(
        f"""
        SELECT oldest.id - 1 AS before FROM (
            SELECT id, created_at FROM {table} WHERE id > :after ORDER BY id LIMIT 1
        ) AS oldest
        WHERE oldest.created_at < clock_timestamp() - CAST(:kept AS interval)
        """  # noqa: S608  (the table's name is a constant of ours)
    )
    for table in ("outbox", "outbox_dispatches")
}


def prune(
    sessions: Sessions, kept: timedelta = HISTORY_KEPT_FOR, failures_kept: timedelta = FAILURES_KEPT
) -> int:
    """Deletes settled history older than `kept`. Returns the number of entries deleted."""
    limits = {
        "kept": kept,
        "failures_kept": max(kept, failures_kept),
        "slice": NUMBERS_PER_STATEMENT,
    }
    pruned = _prune(sessions, "outbox", _PRUNE_ENTRIES, limits)
    _prune(sessions, "outbox_dispatches", _PRUNE_DISPATCHES, limits)
    if pruned:
        log.info("pruned", entries=pruned)
    return pruned


def _prune(sessions: Sessions, table: str, statement: TextClause, limits: dict[str, object]) -> int:
    pruned, after = 0, _next_old(sessions, table, 0, limits)
    while after is not None:
        with sessions.begin() as session:
            result = session.execute(statement, {**limits, "after": after})
            pruned += getattr(result, "rowcount", 0)
        after = _next_old(sessions, table, after + NUMBERS_PER_STATEMENT, limits)
    return pruned


def _next_old(sessions: Sessions, table: str, after: int, limits: dict[str, object]) -> int | None:
    """The number before the next old row; None if all that follow are recent."""
    with sessions() as session:
        row = session.execute(_NEXT_OLD[table], {**limits, "after": after}).one_or_none()
    return None if row is None else row.before
