"""Finds waiters that nobody will release. There should never be one; each is counted."""

import structlog
from prometheus_client import Counter
from sqlalchemy import text

from db import Sessions

FORGOTTEN = Counter(
    "dunahub_outbox_forgotten_waiters_total",
    "Entries found waiting for a record that had arrived: must stay 0",
)

log = structlog.get_logger()

# An entry that waits for a record which is linked and has nothing pending of its own.
_RELEASE_FORGOTTEN = text(
    """
    UPDATE outbox AS entry SET waits_for_type = NULL, waits_for_id = NULL
    FROM outbox_lanes AS lane
    WHERE entry.waits_for_type IS NOT NULL
      AND lane.id = entry.lane_id AND lane.state = 'open'
      AND (lane.lease_until IS NULL OR lane.lease_until <= clock_timestamp())
      AND EXISTS (SELECT FROM outbox_links AS link
                  WHERE link.lane_id = entry.lane_id AND link.aggregate_type = entry.waits_for_type
                    AND link.aggregate_id = entry.waits_for_id)
      AND NOT EXISTS (SELECT FROM outbox AS other
                      WHERE other.lane_id = entry.lane_id
                        AND other.aggregate_type = entry.waits_for_type
                        AND other.aggregate_id = entry.waits_for_id
                        AND other.state = 'pending' AND other.id <> entry.id)
    RETURNING entry.id
    """
)


def release_forgotten_waiters(sessions: Sessions) -> int:
    """Re-opens waiters whose prerequisite is there. Says how many it found."""
    with sessions.begin() as session:
        found = list(session.execute(_RELEASE_FORGOTTEN).scalars())
    if found:
        FORGOTTEN.inc(len(found))
        log.error("entries were waiting for records that had arrived", entries=found)
    return len(found)
