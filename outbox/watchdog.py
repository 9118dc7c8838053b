"""Repairs what should never happen: entries that wait forever, and times in the future."""

from datetime import timedelta

import structlog
from prometheus_client import Counter
from sqlalchemy import text

from db import Sessions
from models.outbox import IS_OWN_CHECK
from outbox.retry import MAX_CHECK_DELAY, MAX_DELAY

FORGOTTEN = Counter(
    "dunahub_outbox_forgotten_waiters_total",
    "Entries found waiting for what would never release them: must stay 0",
)

SET_BACK = Counter(
    "dunahub_outbox_clock_set_back_total",
    "Times the database's clock was found to have gone back",
)

log = structlog.get_logger()

# An entry that waits for a record which is linked and has nothing pending; or for a record whose
# pending entries all wait for this entry's own record.
_RELEASE_FORGOTTEN = text(
    """
    UPDATE outbox AS entry SET waits_for_type = NULL, waits_for_id = NULL
    FROM outbox_lanes AS lane
    WHERE entry.waits_for_type IS NOT NULL
      AND lane.id = entry.lane_id AND lane.state = 'open'
      AND (lane.lease_until IS NULL OR lane.lease_until <= clock_timestamp())
      AND (EXISTS (SELECT FROM outbox_links AS link
                   WHERE link.lane_id = entry.lane_id
                     AND link.aggregate_type = entry.waits_for_type
                     AND link.aggregate_id = entry.waits_for_id
                     AND link.remote_id IS NOT NULL)
           OR EXISTS (SELECT FROM outbox AS other
                      WHERE other.lane_id = entry.lane_id AND other.id <> entry.id
                        AND other.aggregate_type = entry.waits_for_type
                        AND other.aggregate_id = entry.waits_for_id
                        AND other.waits_for_type = entry.aggregate_type
                        AND other.waits_for_id = entry.aggregate_id))
      AND NOT EXISTS (SELECT FROM outbox AS other
                      WHERE other.lane_id = entry.lane_id
                        AND other.aggregate_type = entry.waits_for_type
                        AND other.aggregate_id = entry.waits_for_id
                        AND other.state = 'pending' AND other.id <> entry.id
                        AND (other.waits_for_type, other.waits_for_id)
                            IS DISTINCT FROM (entry.aggregate_type, entry.aggregate_id))
    RETURNING entry.id
    """
)


def release_forgotten_waiters(sessions: Sessions) -> int:
    """Re-opens entries whose prerequisite is there, or waits for
    them. Returns how many it found."""
    with sessions.begin() as session:
        found = list(session.execute(_RELEASE_FORGOTTEN).scalars())
    if found:
        FORGOTTEN.inc(len(found))
        log.error("entries were waiting for what would never release them", entries=found)
    return len(found)


# --- A clock that went back -----------------------------------------------------------------------

_LANES_OF_THE_FUTURE = text(
    """
    UPDATE outbox_lanes
    SET lease_until = CASE WHEN lease_until > now() + :ahead THEN now() ELSE lease_until END,
        pause_until = CASE WHEN pause_until > now() + :ahead THEN NULL ELSE pause_until END,
        pause_reason = CASE WHEN pause_until > now() + :ahead THEN NULL ELSE pause_reason END,
        next_call_at = CASE WHEN next_call_at > now() + :ahead THEN NULL ELSE next_call_at END,
        next_batch_at = CASE WHEN next_batch_at > now() + :ahead THEN NULL ELSE next_batch_at END
    WHERE greatest(lease_until, pause_until, next_call_at, next_batch_at) > now() + :ahead
    RETURNING id
    """
)

# It is unknown when it was sent, so it counts as old: it is looked up before it is sent again.
_DISPATCHES_OF_THE_FUTURE = text(
    """
    UPDATE outbox_dispatches AS dispatch SET created_at = now() - interval '1 day'
    FROM outbox_dispatch_items AS item
    WHERE item.outcome IS NULL AND item.dispatch_id = dispatch.id
      AND dispatch.created_at > now() + :ahead
    RETURNING dispatch.id
    """
)

# QuickBooks may be working on open requests, so nothing is sent again before `RESEND_AFTER`.
_ENTRIES_OF_THE_FUTURE = text(
    f"""
    UPDATE outbox AS entry SET available_at = now() + :resend_after
    FROM outbox_lanes AS lane
    WHERE entry.lane_id = lane.id AND entry.state = 'pending' AND entry.waits_for_type IS NULL
      AND entry.available_at > now() + CASE WHEN {IS_OWN_CHECK} THEN :ahead_of_checks
                                            ELSE :ahead END
    RETURNING entry.id
    """  # noqa: S608  (only constants of ours are put together)
)


def mend_times(sessions: Sessions, *, lease: timedelta, resend_after: timedelta) -> int:
    """After the database's clock was set back: moves times in the future to now.

    Otherwise a lease or a retry from before would last as long as the clock was set back. Returns
    how many rows it changed; while the clock is right, no row has a time so far ahead.
    """
    margin = 2 * lease + resend_after
    ahead = MAX_DELAY + margin
    times = {
        "ahead": ahead,
        "ahead_of_checks": MAX_CHECK_DELAY + margin,
        "resend_after": resend_after,
    }
    with sessions.begin() as session:
        lanes = session.execute(_LANES_OF_THE_FUTURE, {"ahead": ahead}).all()
        dispatches = session.execute(_DISPATCHES_OF_THE_FUTURE, {"ahead": ahead}).all()
        entries = session.execute(_ENTRIES_OF_THE_FUTURE, times).all()
    found = len(lanes) + len(dispatches) + len(entries)
    if found:
        SET_BACK.inc()
        log.error(
            "the database's clock went back; times of before are brought to now",
            lanes=len(lanes),
            dispatches=len(dispatches),
            entries=len(entries),
        )
    return found
