"""Finds the lanes that have something due.

While somebody holds an old snapshot (a backup, a long report), PostgreSQL keeps what settled
entries left in the index, and each look would pass over all of it. If that makes looks slow, a
process remembers from which time on each lane can have something due, and reads the rest in a full
look twice a minute.
"""

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from prepared import prepared

# What a look cannot see behind the remembered time waits at most so long: entries of a process that
# died before it could send what it had released, or of a transaction longer than `LATE_COMMIT`.
FULL_LOOK_AFTER = timedelta(seconds=30)
LATE_COMMIT = timedelta(seconds=10)
# Two full looks in a row that took longer, by more than the lanes they found, are slow.
SLOW = timedelta(milliseconds=20)
SLOW_EACH_LANE = timedelta(microseconds=100)

_PENDING = "entry.state = 'pending' AND entry.waits_for_type IS NULL AND NOT entry.withheld"

# A loose index scan over `ix_outbox_due`, from lane to lane, skipping each lane's other entries:
# finds each lane's oldest entry, then keeps open, unleased lanes where it is due. The cost depends
# on the number of lanes with pending entries. The scan runs in the gaps between the lanes that are
# remembered; these are read from their remembered time on.
_LOOK = prepared(
    "look",
    f"""
    WITH RECURSIVE known (lane_id, since) AS MATERIALIZED (
        SELECT * FROM unnest(CAST(:lanes AS bigint[]), CAST(:since AS timestamptz[]))
    ), gap (lane_id, next_id) AS MATERIALIZED (
        SELECT 0, coalesce(min(lane_id), 9223372036854775807) FROM known
        UNION ALL
        SELECT lane_id, lead(lane_id, 1, 9223372036854775807) OVER (ORDER BY lane_id) FROM known
    ), oldest (lane_id, available_at, next_id) AS (
        SELECT first.lane_id, first.available_at, gap.next_id
        FROM gap
        CROSS JOIN LATERAL (
            SELECT entry.lane_id, entry.available_at FROM outbox AS entry
            WHERE {_PENDING} AND entry.lane_id > gap.lane_id AND entry.lane_id < gap.next_id
            ORDER BY entry.lane_id, entry.available_at LIMIT 1
        ) AS first
        UNION ALL
        SELECT next.lane_id, next.available_at, oldest.next_id
        FROM oldest
        CROSS JOIN LATERAL (
            SELECT entry.lane_id, entry.available_at FROM outbox AS entry
            WHERE {_PENDING} AND entry.lane_id > oldest.lane_id AND entry.lane_id < oldest.next_id
            ORDER BY entry.lane_id, entry.available_at LIMIT 1
        ) AS next
    ), pending AS (
        SELECT lane_id, available_at FROM oldest
        UNION ALL
        SELECT known.lane_id, first.available_at
        FROM known
        LEFT JOIN LATERAL (
            SELECT entry.available_at FROM outbox AS entry
            WHERE {_PENDING} AND entry.lane_id = known.lane_id
              AND entry.available_at >= known.since AND entry.available_at <= now()
            ORDER BY entry.available_at LIMIT 1
        ) AS first ON true
    )
    SELECT pending.lane_id, least(pending.available_at, now()) - CAST(:late AS interval) AS since,
           due.id IS NOT NULL AS is_due
    FROM pending
    LEFT JOIN LATERAL (
        SELECT lane.id
        FROM outbox_lanes AS lane
        WHERE lane.id = pending.lane_id AND lane.state = 'open'
          AND (lane.pause_until IS NULL OR lane.pause_until <= clock_timestamp())
          AND (lane.lease_until IS NULL OR lane.lease_until <= clock_timestamp())
          AND pending.available_at <= now()
        LIMIT 1  -- keeps the planner from judging every idle lane first
    ) AS due ON true
    """,  # noqa: S608  (only constants of ours are put together)
)


@dataclass
class Looks:
    """The looks of one process, and what it remembers between them."""

    slow: timedelta = SLOW
    _since: dict[int, datetime] = field(default_factory=dict)  # by lane: nothing older is due
    _slow_in_a_row: int = 0  # full looks
    _looked_at_all: float = 0.0  # monotonic

    def due_lanes(self, session: Session) -> list[int]:
        """Lanes that a drainer could serve now."""
        began = time.monotonic()
        is_full = (
            self._slow_in_a_row < 2
            or began - self._looked_at_all >= FULL_LOOK_AFTER.total_seconds()
        )
        known = {} if is_full else self._since
        rows = session.execute(
            _LOOK,
            {"lanes": list(known), "since": list(known.values()), "late": LATE_COMMIT},
        ).all()
        self._since |= {row.lane_id: row.since for row in rows}
        if is_full:
            self._looked_at_all = began
            patience = self.slow + SLOW_EACH_LANE * len(rows)
            is_slow = time.monotonic() - began >= patience.total_seconds()
            self._slow_in_a_row = self._slow_in_a_row + 1 if is_slow else 0
        if not self._slow_in_a_row:
            self._since.clear()
        return [row.lane_id for row in rows if row.is_due]


def due_lanes(session: Session) -> list[int]:
    """Lanes that a drainer could serve now, by a full look."""
    return Looks().due_lanes(session)
