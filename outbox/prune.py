"""Old synced and superseded entries leave the table, in small batches. Never a record's newest."""

from datetime import timedelta

import structlog
from sqlalchemy import text

from db import Sessions

KEPT = timedelta(days=180)  # history of what went well; failures stay until they are resolved
BATCH = 1000

log = structlog.get_logger()

_PRUNE_ENTRIES = text(
    """
    WITH old AS (
        SELECT entry.id FROM outbox AS entry
        WHERE entry.state IN ('synced', 'superseded')
          AND entry.settled_at < clock_timestamp() - CAST(:kept AS interval)
          AND EXISTS (SELECT FROM outbox AS newer
                      WHERE newer.aggregate_type = entry.aggregate_type
                        AND newer.aggregate_id = entry.aggregate_id
                        AND newer.lane_id = entry.lane_id AND newer.id > entry.id
                        -- what arrived last tells the next update what changed since
                        AND newer.state = 'synced')
          AND NOT EXISTS (SELECT FROM outbox_dispatch_items AS item
                          WHERE item.entry_id = entry.id AND item.outcome IS NULL)
        ORDER BY entry.id
        LIMIT :batch
        FOR UPDATE OF entry SKIP LOCKED
    ), items AS (
        DELETE FROM outbox_dispatch_items USING old WHERE entry_id = old.id
    )
    DELETE FROM outbox USING old WHERE outbox.id = old.id
    """
)

_PRUNE_DISPATCHES = text(
    """
    DELETE FROM outbox_dispatches AS dispatch
    WHERE dispatch.id IN (
        SELECT old.id FROM outbox_dispatches AS old
        WHERE old.created_at < clock_timestamp() - CAST(:kept AS interval)
          AND NOT EXISTS (SELECT FROM outbox_dispatch_items AS item
                          WHERE item.dispatch_id = old.id)
        ORDER BY old.id
        LIMIT :batch
    )
    """
)


def prune(sessions: Sessions, kept: timedelta = KEPT) -> int:
    """Deletes settled history older than `kept`. Says how many entries went."""
    pruned = 0
    for statement in (_PRUNE_ENTRIES, _PRUNE_DISPATCHES):
        while True:
            with sessions.begin() as session:
                result = session.execute(statement, {"kept": kept, "batch": BATCH})
                count = getattr(result, "rowcount", 0)
            if statement is _PRUNE_ENTRIES:
                pruned += count
            if count < BATCH:
                break
    if pruned:
        log.info("pruned", entries=pruned)
    return pruned
