"""Lanes: opened, held and closed by people's acts; leased by drainers.

The lane row is the fence. Everything here locks it and puts its condition into the statement. Lock
order everywhere: connection → tokens → lane → entries by number → links.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import text, update
from sqlalchemy.orm import Session

import db
from db import Sessions
from models.outbox import APPLIES_CREDIT, IS_OWN_CHECK, Lane, LaneState
from models.sales import RecordType
from outbox import changes
from outbox.capture import wake_after_commit
from outbox.pace import Limits, Pace, learned_slowdown, slowdown_left
from prepared import prepared

SOLO_AFTER = 3  # claims in a row that ended without a settle: from then on one entry at a time
CLAIM_AGAIN_AFTER = timedelta(seconds=5)  # after an exception: its cause may be gone then
FAIL_AFTER = SOLO_AFTER + 5  # … and the entry that was named each time fails

log = structlog.get_logger()


@dataclass(frozen=True)
class Claim:
    """The right to drain one lane until a time. The token only rises, and fences late answers, also
    those to requests from before a failover."""

    lane_id: int
    organization_id: int
    token: int
    claims_unsettled: int  # claims since the last settle, including this one
    suspect_entry_id: int | None

    @property
    def takes_one(self) -> bool:
        """Whether so many claims ended without a settle that entries are sent one by one."""
        return self.claims_unsettled >= SOLO_AFTER


@dataclass(frozen=True)
class Renewed:
    """A renewed lease, and what the holder needs to know about the lane."""

    now: datetime
    next_call_at: datetime | None
    next_batch_at: datetime | None
    consecutive_outages: int
    suspect_entry_id: int | None
    slowdown: float  # factor by which calls are slowed down after throttling
    questions_rest: timedelta | None = None  # how much longer reads pause
    sign_in: int = 0


# --- People's acts ------------------------------------------------------------------------------


def create(session: Session, organization_id: int) -> Lane:
    """A new lane that takes entries and drains."""
    lane = Lane(organization_id=organization_id, state=LaneState.OPEN)
    session.add(lane)
    session.flush()
    return lane


def close(session: Session, lane_id: int) -> int:
    """Takes no more entries and sets the line; returns how many entries wait behind it.

    FOR UPDATE waits for writers that are capturing (FOR KEY SHARE) and makes later ones see the
    closed lane, so no entry gets behind the line.
    """
    session.execute(text("SELECT FROM outbox_lanes WHERE id = :lane FOR UPDATE"), {"lane": lane_id})
    session.execute(
        text(
            """
            UPDATE outbox_lanes
            SET state = 'closed', hold_reason = NULL, pause_until = NULL, pause_reason = NULL,
                closed_at = clock_timestamp(),
                line = (SELECT max(id) FROM outbox WHERE lane_id = :lane AND state = 'pending')
            WHERE id = :lane AND state <> 'closed'
            """
        ),
        {"lane": lane_id},
    )
    session.execute(_END_OWN_CHECKS, {"lane": lane_id})
    session.expire_all()
    return waiting_behind_line(session, lane_id)


# The payment stays as it is there; comparing shows what credit is left. What QuickBooks took off is
# only read, and nothing else would show of which payment: that is still asked after reconnecting.
_END_OWN_CHECKS = text(
    f"""
    UPDATE outbox AS entry
    SET state = 'synced', settled_at = clock_timestamp(), checks = false,
        waits_for_type = NULL, waits_for_id = NULL
    WHERE entry.lane_id = :lane AND entry.state = 'pending' AND knowledge ? '{APPLIES_CREDIT}'
      AND NOT EXISTS (SELECT FROM outbox_dispatch_items AS item
                      WHERE item.entry_id = entry.id AND item.outcome IS NULL)
    """  # noqa: S608
)


# Reads do not pause any longer, and no silence of theirs counts.
_NO_REST = (
    "questions_rest_until = NULL, questions_rest_reason = NULL, questions_rest_since = NULL,"
    " questions_unanswered = 0, silent_question_entry_id = NULL"
)


def reopen(session: Session, lane_id: int, *, only_held: bool = False) -> None:
    """Takes entries and drains again.

    After a close, what waited behind the line and what has changed since is withheld until the
    owner decides. `only_held` leaves a lane alone that was closed meanwhile.

    FOR UPDATE waits for writers that have found the lane closed, so that what they saved is
    compared; later ones wait until it is open, and are captured.
    """
    lock = "FOR NO KEY UPDATE" if only_held else "FOR UPDATE"
    lane = session.execute(
        text(
            f"""
            SELECT state, line, organization_id, closed_at
            FROM outbox_lanes WHERE id = :lane {lock}
            """  # noqa: S608  (only constants of ours are put together)
        ),
        {"lane": lane_id},
    ).one()
    if only_held and lane.state != LaneState.HELD:
        return
    if lane.state == LaneState.CLOSED:
        session.execute(_WITHHOLD_BEHIND_LINE, {"lane": lane_id, "line": lane.line or 0})
        changes.withhold_changes(session, lane_id, lane.organization_id, lane.closed_at)
        session.execute(_WITHHOLD_OPEN_CHECKS, {"lane": lane_id})
    session.execute(
        text(
            f"""
            UPDATE outbox_lanes
            SET state = 'open', hold_reason = NULL, pause_until = NULL, pause_reason = NULL,
                consecutive_outages = 0, outage_since = NULL, silent_entry_id = NULL,
                hold_suspected = NULL, sign_in = sign_in + 1, line = NULL, {_NO_REST}
            WHERE id = :lane
            """  # noqa: S608  (only constants of ours are put together)
        ),
        {"lane": lane_id},
    )
    session.expire_all()
    wake_after_commit(session, [lane_id])


def questions_answered(session: Session, lane_id: int) -> None:
    """A question outside the lane was answered: its own need not rest after an outage any longer.

    A rest that QuickBooks asked for (busy) stays. The caller commits.
    """
    session.execute(
        text(
            f"""
            UPDATE outbox_lanes SET {_NO_REST}
            WHERE id = :lane AND questions_rest_reason = 'outage'
            """  # noqa: S608  (only constants of ours are put together)
        ),
        {"lane": lane_id},
    )
    session.expire_all()
    wake_after_commit(session, [lane_id])


# Except our own checks: an unanswered one goes on, unless the owner is asked about its record.
_WITHHOLD_BEHIND_LINE = text(
    f"""
    UPDATE outbox SET withheld = true
    WHERE lane_id = :lane AND state = 'pending' AND id <= :line AND NOT withheld
      AND NOT {IS_OWN_CHECK}
    """  # noqa: S608  (only constants of ours are put together)
)

# Nothing of a payment is written before the owner has said what becomes of its change.
_WITHHOLD_OPEN_CHECKS = text(
    f"""
    UPDATE outbox AS entry SET withheld = true
    WHERE lane_id = :lane AND state = 'pending' AND NOT withheld
      AND knowledge ? '{APPLIES_CREDIT}'
      AND EXISTS (SELECT FROM outbox AS change
                  WHERE change.lane_id = entry.lane_id AND change.state = 'pending'
                    AND change.aggregate_type = entry.aggregate_type
                    AND change.aggregate_id = entry.aggregate_id AND change.withheld)
    """  # noqa: S608  (only constants of ours are put together)
)


def hold(session: Session, lane_id: int, reason: str) -> bool:
    """Still takes entries, but drains nothing until reopened. False if it was not open."""
    held = session.execute(
        update(Lane)
        .where(Lane.id == lane_id, Lane.state == LaneState.OPEN)
        .values(state=LaneState.HELD, hold_reason=reason, pause_until=None, pause_reason=None)
        .returning(Lane.id)
    )
    return held.first() is not None


def try_now(session: Session, lane_id: int) -> None:
    """Ends the pause after an outage, and tries a lane whose plan lapsed: the next call decides.

    A pause that QuickBooks asked for (busy) stays. The caller commits.
    """
    session.execute(
        text(
            """
            UPDATE outbox_lanes
            SET pause_until = NULL, pause_reason = NULL,
                consecutive_outages = least(consecutive_outages, 1)
            WHERE id = :lane AND pause_reason = 'outage'
            """
        ),
        {"lane": lane_id},
    )
    session.execute(
        text(
            "UPDATE outbox_lanes SET state = 'open', hold_reason = NULL"
            " WHERE id = :lane AND state = 'held' AND hold_reason = 'plan_lapsed'"
        ),
        {"lane": lane_id},
    )
    session.expire_all()
    wake_after_commit(session, [lane_id])


def waiting_behind_line(session: Session, lane_id: int) -> int:
    """How many records wait for the owner's decision, now or after reconnecting."""
    return int(
        session.execute(
            text(
                f"""
                SELECT count(DISTINCT (outbox.aggregate_type, outbox.aggregate_id))
                FROM outbox JOIN outbox_lanes AS lane ON lane.id = outbox.lane_id
                WHERE outbox.lane_id = :lane AND outbox.state = 'pending'
                  AND (outbox.withheld OR outbox.id <= lane.line) AND NOT {IS_OWN_CHECK}
                """  # noqa: S608  (only constants of ours are put together)
            ),
            {"lane": lane_id},
        ).scalar_one()
    )


def waiting_listed(session: Session, lane_id: int) -> str:
    """Identifies the entries that wait for the owner's decision; empty while the lane is closed."""
    return str(session.execute(_LISTED, {"lane": lane_id}).scalar_one())


def still_waits(session: Session, lane_id: int, listed: str) -> bool:
    """Whether exactly these entries wait for the decision. Locks the lane until it is made."""
    _lock(session, lane_id)
    return bool(listed) and waiting_listed(session, lane_id) == listed


_LISTED = text(
    f"""
    SELECT coalesce(md5(string_agg(outbox.id::text, ',' ORDER BY outbox.id)), '')
    FROM outbox JOIN outbox_lanes AS lane ON lane.id = outbox.lane_id
    WHERE outbox.lane_id = :lane AND outbox.state = 'pending' AND lane.state <> 'closed'
      AND (outbox.withheld OR outbox.id <= lane.line) AND NOT {IS_OWN_CHECK}
    """  # noqa: S608  (only constants of ours are put together)
)


def send_waiting(session: Session, lane_id: int) -> int:
    """The owner sends what was withheld. Returns the number of records.

    All of it is sent as it is shown: also what was declined before.
    """
    _lock(session, lane_id)
    waiting = waiting_behind_line(session, lane_id)
    session.execute(_END_DECLINES, {"lane": lane_id})
    _forget_line(session, lane_id)
    wake_after_commit(session, [lane_id])
    return waiting


def skip_waiting(session: Session, lane_id: int) -> int:
    """The owner declines what was withheld. Returns the number of entries skipped.

    Entries in unanswered requests are looked up first, and skipped then. For records in QuickBooks
    the declined values are kept: later changes start from them.
    """
    _lock(session, lane_id)
    withdraw_untaken(session, [lane_id])
    session.execute(_SKIP_ONCE_LOOKED_FOR, {"lane": lane_id})
    session.execute(_DECLINE, {"lane": lane_id})
    skipped = session.execute(
        text(
            """
            UPDATE outbox
            SET state = 'skipped', settled_at = clock_timestamp(), withheld = false,
                waits_for_type = NULL, waits_for_id = NULL
            FROM outbox_lanes AS lane
            WHERE lane.id = :lane AND outbox.lane_id = :lane AND outbox.state = 'pending'
              AND (outbox.withheld OR outbox.id <= lane.line)
              AND NOT EXISTS (SELECT FROM outbox_dispatch_items AS item
                              WHERE item.entry_id = outbox.id AND item.outcome IS NULL)
            RETURNING outbox.id
            """
        ),
        {"lane": lane_id},
    )
    count = len(skipped.all())
    _forget_line(session, lane_id)
    return count


# But what was entered there by hand stays so.
_END_DECLINES = text(
    """
    UPDATE outbox_links AS link SET declined_operation = NULL, declined_values = NULL
    FROM outbox AS entry JOIN outbox_lanes AS lane ON lane.id = entry.lane_id
    WHERE entry.lane_id = :lane AND entry.state = 'pending'
      AND (entry.withheld OR entry.id <= lane.line)
      AND link.lane_id = entry.lane_id AND link.aggregate_type = entry.aggregate_type
      AND link.aggregate_id = entry.aggregate_id
      AND link.declined_values IS NOT NULL AND link.decision -> 'refunded_by_hand' IS NULL
    """
)

# The newest withheld snapshot of each record that is in QuickBooks, or may be.
_DECLINE = text(
    """
    UPDATE outbox_links AS link
    SET declined_operation = declined.operation, declined_values = declined.payload
    FROM (
        SELECT DISTINCT ON (entry.aggregate_type, entry.aggregate_id)
               entry.aggregate_type, entry.aggregate_id, entry.operation, entry.payload
        FROM outbox AS entry JOIN outbox_lanes AS lane ON lane.id = entry.lane_id
        WHERE entry.lane_id = :lane AND entry.state = 'pending'
          AND (entry.withheld OR entry.id <= lane.line)
        ORDER BY entry.aggregate_type, entry.aggregate_id, entry.id DESC
    ) AS declined
    WHERE link.lane_id = :lane
      AND (link.remote_id IS NOT NULL OR link.decision ->> 'skip' = 'declines')
      AND link.aggregate_type = declined.aggregate_type
      AND link.aggregate_id = declined.aggregate_id
    """
)

# A request is looked up, and not sent again, for a record with this decision.
_SKIP_ONCE_LOOKED_FOR = text(
    """
    WITH doubted AS (
        SELECT DISTINCT entry.organization_id, entry.aggregate_type, entry.aggregate_id
        FROM outbox_dispatch_items AS item
        JOIN outbox AS entry ON entry.id = item.entry_id
        JOIN outbox_lanes AS lane ON lane.id = entry.lane_id
        WHERE item.lane_id = :lane AND item.outcome IS NULL AND entry.state = 'pending'
          AND (entry.withheld OR entry.id <= lane.line)
    )
    INSERT INTO outbox_links AS link
        (organization_id, lane_id, aggregate_type, aggregate_id, decision)
    SELECT doubted.organization_id, :lane, doubted.aggregate_type, doubted.aggregate_id,
           CAST('{"skip": "declines"}' AS jsonb)
    FROM doubted
    ON CONFLICT (lane_id, aggregate_type, aggregate_id) DO UPDATE
    SET decision = link.decision || EXCLUDED.decision
    """
)


def send_unsent_now(session: Session, lane_id: int, type_: RecordType) -> int:
    """Entries of this type that were put off before they were ever sent are due now.

    For when what they needed to know has arrived. Returns how many. The caller commits.
    """
    _lock(session, lane_id)
    found = session.execute(_END_WAIT, {"lane": lane_id, "type": type_}).all()
    if found:
        wake_after_commit(session, [lane_id])
    return len(found)


_END_WAIT = text(
    """
    UPDATE outbox SET available_at = clock_timestamp()
    WHERE lane_id = :lane AND state = 'pending' AND waits_for_type IS NULL AND NOT withheld
      AND aggregate_type = :type AND first_attempt_at IS NULL
      AND available_at > clock_timestamp()
    RETURNING id
    """
)


def withdraw_untaken(session: Session, lane_ids: Sequence[int]) -> None:
    """Frees the entries of dispatches that QuickBooks certainly never executed.

    They were kept for sending again byte for byte; after a person's decision about one of them,
    that would contradict it. The caller holds the lanes, so no call of theirs is in progress.
    """
    session.execute(_WITHDRAW, {"lanes": list(lane_ids)})


_WITHDRAW = text(
    """
    WITH withdrawn AS (
        UPDATE outbox_dispatch_items AS item
        SET outcome = 'withdrawn', settled_at = clock_timestamp()
        FROM outbox_dispatches AS dispatch
        WHERE dispatch.id = item.dispatch_id AND dispatch.sends = 0
          AND item.lane_id = ANY(:lanes) AND item.outcome IS NULL
        RETURNING item.entry_id
    )
    UPDATE outbox
    SET available_at = least(outbox.available_at, clock_timestamp()), first_attempt_at = NULL
    FROM withdrawn WHERE outbox.id = withdrawn.entry_id
    """
)


def _lock(session: Session, lane_id: int) -> None:
    session.execute(
        text("SELECT FROM outbox_lanes WHERE id = :lane FOR NO KEY UPDATE"), {"lane": lane_id}
    )


def _forget_line(session: Session, lane_id: int) -> None:
    # Entries that waited for a withheld record are checked again by the next claim.
    session.execute(
        text(
            "UPDATE outbox SET waits_for_type = NULL, waits_for_id = NULL, withheld = false"
            " WHERE lane_id = :lane AND state = 'pending'"
            " AND (waits_for_type IS NOT NULL OR withheld)"
        ),
        {"lane": lane_id},
    )
    session.execute(update(Lane).where(Lane.id == lane_id).values(line=None))


# --- Leases -------------------------------------------------------------------------------------

# Not flushed to the disk on its own: the request is, before it is sent, and everything older with
# it. After a crash of the server that lost a lease, nothing was sent under it, and the token is
# never given out again because it is random; the same goes for a standby that lacked the last ones.
_LEASE = prepared(
    "lease",
    """
    UPDATE outbox_lanes
    SET lease_token = lease_token + 1 + floor(random() * 1000000000)::bigint,
        lease_until = clock_timestamp() + CAST(:lease AS interval),
        claims_unsettled = claims_unsettled + 1
    WHERE id = (
        SELECT id FROM outbox_lanes
        WHERE id = :lane AND state = 'open'
          AND (pause_until IS NULL OR pause_until <= clock_timestamp())
          AND (lease_until IS NULL OR lease_until <= clock_timestamp())
        FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING organization_id, lease_token, claims_unsettled, suspect_entry_id,
              set_config('synchronous_commit', 'off', true)
    """,
)

_RENEW = prepared(
    "renew",
    """
    UPDATE outbox_lanes SET lease_until = clock_timestamp() + CAST(:lease AS interval)
    WHERE id = :lane AND lease_token = :token AND state = 'open'
      AND (pause_until IS NULL OR pause_until <= clock_timestamp())
    RETURNING clock_timestamp() AS now, next_call_at, next_batch_at, consecutive_outages,
              suspect_entry_id,
              slowdown, clock_timestamp() - slowed_at AS slowed_for, sign_in,
              CASE WHEN questions_rest_until > clock_timestamp()
                   THEN questions_rest_until - clock_timestamp() END AS questions_rest
    """,
)


def lease_lane(sessions: Sessions, lane_id: int, lease: timedelta) -> Claim | None:
    """Claims the lane for one drainer; None if someone else has it, or it must not drain now."""
    with db.single_statements(sessions) as session:
        row = session.execute(_LEASE, {"lane": lane_id, "lease": lease}).one_or_none()
    if row is None:
        return None
    return Claim(
        lane_id, row.organization_id, row.lease_token, row.claims_unsettled, row.suspect_entry_id
    )


def renew(session: Session, claim: Claim, lease: timedelta) -> Renewed | None:
    """Locks the lane row and renews the lease; None if lost, closed, held or paused meanwhile."""
    row = session.execute(
        _RENEW, {"lane": claim.lane_id, "token": claim.token, "lease": lease}
    ).one_or_none()
    if row is None:
        return None
    return Renewed(
        row.now,
        row.next_call_at,
        row.next_batch_at,
        row.consecutive_outages,
        row.suspect_entry_id,
        slowdown_left(row.slowdown, row.slowed_for),
        row.questions_rest,
        row.sign_in,
    )


SPEND = "UPDATE outbox_lanes SET next_call_at = :call, next_batch_at = :batch WHERE id = :lane"


def budget_after(
    lane: Renewed, limits: Limits, *, items: int, is_batch: bool
) -> dict[str, datetime | None]:
    """What `SPEND` writes when a request of `items` is sent at `lane.now`."""
    slowed = limits.slowed(lane.slowdown)
    weight = limits.weight(items, is_batch=is_batch)
    batches = slowed.batches.after_call(lane.next_batch_at, lane.now, weight)
    return {
        "call": slowed.calls.after_call(lane.next_call_at, lane.now),
        "batch": batches if weight else lane.next_batch_at,
    }


def postpone(
    session: Session, claim: Claim, lane: Renewed, limits: Limits, *, is_batch: bool
) -> None:
    """A request that is already in the budget is sent only now, so the next ones are sent later."""
    slowed = limits.slowed(lane.slowdown)
    session.execute(
        text(
            "UPDATE outbox_lanes SET next_call_at = greatest(next_call_at, :now + :call),"
            " next_batch_at = greatest(next_batch_at, :now + :batch) WHERE id = :lane"
        ),
        {
            "lane": claim.lane_id,
            "now": lane.now,
            "call": slowed.calls.interval,
            "batch": slowed.batches.interval if is_batch else timedelta(0),
        },
    )


# The newest dispatches of all lanes: this runs after a refusal, and the table may be long.
_ADMITTED = text(
    """
    SELECT count(*)
    FROM (SELECT * FROM outbox_dispatches ORDER BY id DESC LIMIT 2000) AS dispatch
    WHERE lane_id = :lane AND (path = 'batch') = :is_batch AND status = 200
      AND sent_at > clock_timestamp() - interval '1 minute'
    """
)


def slow_down(sessions: Sessions, claim: Claim, limits: Limits, *, is_batch: bool) -> None:
    """Learns from a throttled call how many calls the company admits, for a while."""
    with sessions.begin() as session:
        lane = {"lane": claim.lane_id}
        admitted = session.execute(_ADMITTED, {**lane, "is_batch": is_batch}).scalar_one()
        if is_batch and limits.counts_items:
            admitted *= limits.wave
        pace = limits.batches if is_batch else limits.calls
        slowdown = learned_slowdown(pace, admitted)
        session.execute(
            text(
                "UPDATE outbox_lanes SET slowdown = :slowdown, slowed_at = clock_timestamp()"
                " WHERE id = :lane AND lease_token = :token"
            ),
            {**lane, "token": claim.token, "slowdown": slowdown},
        )
    log.warning("lane slowed down", **lane, admitted=admitted, slowdown=round(slowdown, 2))


def hand_back(sessions: Sessions, claim: Claim, *, counts: bool = True) -> None:
    """After an exception: the lane may be claimed again soon, and the claim counts as unsettled,
    also if other requests of it were settled.

    `counts` is false if the database was the cause, for which no entry is to blame.
    """
    values = {"lane": claim.lane_id, "token": claim.token, "soon": CLAIM_AGAIN_AFTER}
    least, uncounted = (claim.claims_unsettled, 0) if counts else (0, 1)
    with sessions.begin() as session:
        session.execute(_HAND_BACK, {**values, "least": least, "uncounted": uncounted})
    if not counts:  # separately: these rows may be what is locked
        with sessions.begin() as session:
            session.execute(_UNCOUNT_REPEATS, {"lane": claim.lane_id, "token": claim.token})


_HAND_BACK = text(
    """
    UPDATE outbox_lanes
    SET lease_until = least(lease_until, clock_timestamp() + :soon),
        claims_unsettled = greatest(claims_unsettled - :uncounted, :least)
    WHERE id = :lane AND lease_token = :token
    """
)

# Counted before the database failed: no process crashed because of it.
_UNCOUNT_REPEATS = text(
    """
    UPDATE outbox_dispatch_items AS item SET repeats_unsettled = repeats_unsettled - 1
    FROM outbox_lanes AS lane
    WHERE lane.id = :lane AND lane.lease_token = :token AND item.lane_id = lane.id
      AND item.outcome IS NULL AND item.repeats_unsettled > 0
    """
)


_RELEASE = text(
    """
    UPDATE outbox_lanes SET lease_until = NULL, claims_unsettled = 0, suspect_entry_id = NULL
    WHERE id = :lane AND lease_token = :token
    """
)


def release(session: Session, claim: Claim) -> None:
    """Releases the lane. Changes nothing if the lease was lost."""
    session.execute(_RELEASE, {"lane": claim.lane_id, "token": claim.token})


# --- Reads in addition to sending -----------------------------------------------------------------


def take_question(session: Session, lane_id: int, pace: Pace) -> timedelta | None:
    """Takes one call of the lane's budget for a read that can wait: sending goes first.

    Zero: it may be sent now. Otherwise how long to wait before asking again; None while the lane is
    held or closed, when reads are not allowed. The caller commits at once.
    """
    lane = session.execute(
        text(
            "SELECT state, next_call_at, clock_timestamp() AS now,"
            " greatest(pause_until - clock_timestamp(),"
            "          questions_rest_until - clock_timestamp(), interval '0') AS pause"
            " FROM outbox_lanes WHERE id = :lane FOR NO KEY UPDATE"
        ),
        {"lane": lane_id},
    ).one()
    if lane.state != LaneState.OPEN:
        return None
    # Only if no call is owed: the burst is for what people save.
    wait = max(lane.pause or timedelta(0), Pace(pace.interval, 1).wait(lane.next_call_at, lane.now))
    if not wait:
        next_at = pace.after_call(lane.next_call_at, lane.now)
        session.execute(update(Lane).where(Lane.id == lane_id).values(next_call_at=next_at))
    return wait
