"""A person's actions on entries: send again, skip, undo a skip. Safe at any time.

Each locks the entries' lanes first (like drainers), checks every entry as it is stored then, and
refuses with a message. Callers write the audit event and commit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from languages import N_
from models.outbox import Entry, State
from outbox import counterparts, lanes
from outbox.capture import refresh, wake_after_commit
from outbox.company import DECLINES_WHEN_SKIPPED

UNANSWERED = N_("QuickBooks has not answered yet for this record.")
CLOSED = N_("QuickBooks is not connected for this organization.")
NEWER = N_("There is a newer version of this record, which is sent instead.")
WITHHELD = N_(
    "It waits for your decision about what was saved while QuickBooks was disconnected."
    " Decide in Settings → QuickBooks."
)
ALREADY = N_("This record is already waiting to be sent.")
NOT_FOUND = N_("There is no such record in this organization.")
CHANGED = N_("This has changed since you opened the page. Look at it again, then decide.")


@dataclass(frozen=True)
class Acted:
    """The entries that were changed, and those that were refused."""

    done: tuple[int, ...]
    refused: dict[int, str] = field(default_factory=dict)  # entry → reason, as a sentence


_LOCK_LANES = text(
    """
    SELECT lane.id FROM outbox_lanes AS lane
    WHERE lane.id IN (SELECT lane_id FROM outbox WHERE id = ANY(:entries))
      AND (CAST(:organization AS bigint) IS NULL OR lane.organization_id = :organization)
    ORDER BY lane.id
    FOR NO KEY UPDATE
    """
)

_JUDGE = text(
    """
    SELECT entry.id, entry.lane_id, entry.state, entry.withheld, lane.state AS lane_state,
           organization.region,
           entry.state = 'pending' AND entry.available_at <= clock_timestamp() AS is_due,
           entry.state = 'synced'
             OR (entry.state = 'failed' AND entry.fault_about -> :flag = 'true')
             AS may_overwrite,
           EXISTS (SELECT FROM outbox_dispatch_items AS item
                   WHERE item.entry_id = entry.id AND item.outcome IS NULL) AS is_out,
           EXISTS (SELECT FROM outbox AS newer
                   WHERE newer.aggregate_type = entry.aggregate_type
                     AND newer.aggregate_id = entry.aggregate_id
                     AND newer.lane_id = entry.lane_id
                     AND newer.id > entry.id
                     AND newer.state IN ('pending', 'synced', 'failed')) AS has_newer,
           EXISTS (SELECT FROM outbox_links AS link
                   WHERE link.lane_id = entry.lane_id
                     AND link.aggregate_type = entry.aggregate_type
                     AND link.aggregate_id = entry.aggregate_id
                     AND link.remote_id IS NOT NULL) AS is_linked
    FROM outbox AS entry
    JOIN outbox_lanes AS lane ON lane.id = entry.lane_id
    JOIN organizations AS organization ON organization.id = entry.organization_id
    WHERE entry.id = ANY(:entries)
      AND (CAST(:organization AS bigint) IS NULL OR entry.organization_id = :organization)
    ORDER BY entry.id
    FOR UPDATE OF entry
    """
)

# An entry of a record that is in QuickBooks is checked: one read, and only differences are written.
# `compares`: it is made equal to ours, whatever somebody changed there.
_PEND = text(
    """
    UPDATE outbox
    SET state = 'pending', settled_at = NULL, available_at = clock_timestamp(), attempts = 0,
        first_attempt_at = NULL, waits_for_type = NULL, waits_for_id = NULL, withheld = false,
        knowledge = CASE WHEN id = ANY(:compared) THEN '{"compares": true}'::jsonb ELSE '{}' END,
        fault_code = NULL, fault_about = '{}', fault_field = NULL, fault_detail = NULL,
        checks = id = ANY(:linked)
    WHERE id = ANY(:entries)
    """
)

# A requeue means that a person believes the problem is solved, so the lane's back-offs end. The
# next call is still a probe, whose answer ends the outage in statistics, too.
_END_PAUSE = text(
    """
    UPDATE outbox_lanes
    SET pause_until = NULL, pause_reason = NULL,
        consecutive_outages = least(consecutive_outages, 1)
    WHERE id = ANY(:lanes) AND pause_reason = 'outage'
    """
)

# If nothing is left to send, no call would find out that the outage is over, and it would be
# reported forever.
_FORGET_OUTAGE = text(
    """
    UPDATE outbox_lanes AS lane SET outage_since = NULL
    WHERE id = ANY(:lanes) AND outage_since IS NOT NULL
      AND NOT EXISTS (SELECT FROM outbox AS entry
                      WHERE entry.lane_id = lane.id AND entry.state = 'pending')
    """
)

_SKIP = text(
    """
    UPDATE outbox
    SET state = 'skipped', settled_at = clock_timestamp(), waits_for_type = NULL,
        waits_for_id = NULL, withheld = false  -- decided: undoing this sends it
    WHERE id = ANY(:entries)
    """
)

# Who skips a payment of which a part was taken back has entered that part by hand: if the rest is
# taken back later, the payment cannot simply be voided.
_NOTE_PART_BY_HAND = text(
    """
    INSERT INTO outbox_links AS link
        (organization_id, lane_id, aggregate_type, aggregate_id, decision)
    SELECT DISTINCT ON (entry.lane_id, entry.aggregate_id)
           entry.organization_id, entry.lane_id, entry.aggregate_type, entry.aggregate_id,
           jsonb_build_object('refunded_by_hand', entry.payload ->> 'refunded_amount')
    FROM outbox AS entry
    WHERE entry.id = ANY(:entries) AND entry.aggregate_type = 'payment'
      AND (entry.payload ->> 'refunded_amount')::numeric > 0
    ORDER BY entry.lane_id, entry.aggregate_id, entry.id DESC
    ON CONFLICT (lane_id, aggregate_type, aggregate_id) DO UPDATE
    SET decision = link.decision || EXCLUDED.decision
    """
)

# Who leaves what somebody changed in the company declines what was changed here: later changes of
# other fields start from it.
_LEAVE_THEIRS = text(
    """
    UPDATE outbox_links AS link
    SET declined_operation = entry.operation, declined_values = entry.payload
    FROM outbox AS entry
    WHERE entry.id = ANY(:entries) AND entry.fault_about -> :flag = 'true'
      AND link.lane_id = entry.lane_id AND link.aggregate_type = entry.aggregate_type
      AND link.aggregate_id = entry.aggregate_id
      AND NOT EXISTS (SELECT FROM outbox AS newer
                      WHERE newer.aggregate_type = entry.aggregate_type
                        AND newer.aggregate_id = entry.aggregate_id
                        AND newer.lane_id = entry.lane_id AND newer.id > entry.id)
    """
)

# Everything that waited for a skipped entry's record is checked again: a newer entry of the record
# may be sent, and so may entries that only need the record to exist.
_RELEASE = text(
    """
    UPDATE outbox AS waiter SET waits_for_type = NULL, waits_for_id = NULL
    FROM outbox AS entry
    WHERE entry.id = ANY(:entries) AND waiter.lane_id = entry.lane_id
      AND waiter.waits_for_type = entry.aggregate_type AND waiter.waits_for_id = entry.aggregate_id
    """
)


def requeue(
    session: Session,
    entries: Sequence[int],
    *,
    organization_id: int | None,
    overwrites: bool = True,
    shown: str | None = None,
) -> Acted:
    """Sends again, without duplicates: a record in QuickBooks is checked, never created.

    `organization_id` None is for DunaHub's admins. Entries waiting for a retry are sent at once.
    `shown`: the question on the page (`Entry.question`). Its answer answers no other one.

    Only two kinds are made equal to ours, whatever was changed in QuickBooks: one that counted as
    sent, and one whose person was asked about that. Neither is when the person decided something
    else, or about many records at once (not `overwrites`): such a question is asked again.
    """

    def why_not(entry: Row[Any]) -> str | None:
        if entry.lane_state == "closed" or entry.region != "US":
            return CLOSED
        if entry.has_newer or entry.state == State.SUPERSEDED:
            return NEWER
        if entry.withheld and entry.state == State.PENDING:
            return WITHHELD
        if entry.is_due:
            return ALREADY
        if entry.state != State.PENDING and _is_another(session, entry, shown):
            return CHANGED
        return None

    settle = partial(_pend, overwrites=overwrites)
    return _act(session, entries, organization_id, why_not, settle)


def skip(
    session: Session,
    entries: Sequence[int],
    *,
    organization_id: int | None,
    shown: str | None = None,
) -> Acted:
    """Decides that these are not sent. Entries that need them keep waiting. Can be undone."""

    def why_not(entry: Row[Any]) -> str | None:
        if entry.state not in (State.PENDING, State.FAILED):
            return N_("Only what waits or needs attention can be skipped.")
        if _is_another(session, entry, shown):
            return CHANGED
        return None

    return _act(session, entries, organization_id, why_not, _skip)


def undo_skip(
    session: Session,
    entries: Sequence[int],
    *,
    organization_id: int | None,
    shown: str | None = None,
) -> Acted:
    """Undoes a skip: the entries wait to be sent again."""

    def why_not(entry: Row[Any]) -> str | None:
        if entry.state != State.SKIPPED:
            return N_("Only what was skipped can be taken back.")
        if entry.has_newer:
            return NEWER
        if _is_another(session, entry, shown):
            return CHANGED
        return None

    return _act(session, entries, organization_id, why_not, _pend)


def _is_another(session: Session, entry: Row[Any], shown: str | None) -> bool:
    """Whether the person was asked something else about this entry, which is locked."""
    if shown is None:
        return False
    return session.get_one(Entry, entry.id, populate_existing=True).question != shown


def dependents(session: Session, entries: Sequence[int]) -> int:
    """Number of entries that wait for the records of these and would keep waiting after a skip."""
    return int(
        session.execute(
            text(
                """
                SELECT count(DISTINCT waiter.id) FROM outbox AS entry
                JOIN outbox AS waiter
                  ON waiter.lane_id = entry.lane_id
                 AND waiter.waits_for_type = entry.aggregate_type
                 AND waiter.waits_for_id = entry.aggregate_id
                WHERE entry.id = ANY(:entries)
                """
            ),
            {"entries": list(entries)},
        ).scalar_one()
    )


def _act(
    session: Session,
    entries: Sequence[int],
    organization_id: int | None,
    why_not: Callable[[Row[Any]], str | None],
    settle: Callable[[Session, list[Row[Any]]], None],
) -> Acted:
    wanted = sorted(set(entries))
    lanes_ = (
        session.execute(_LOCK_LANES, {"entries": wanted, "organization": organization_id})
        .scalars()
        .all()
    )
    lanes.withdraw_untaken(session, lanes_)
    named = {"entries": wanted, "organization": organization_id, "flag": DECLINES_WHEN_SKIPPED}
    found = session.execute(_JUDGE, named).all()
    refused = dict.fromkeys(set(wanted) - {entry.id for entry in found}, NOT_FOUND)
    done: list[Row[Any]] = []
    for entry in found:
        reason = UNANSWERED if entry.is_out else why_not(entry)
        if reason:
            refused[entry.id] = reason
        else:
            done.append(entry)
    if done:
        settle(session, done)
        session.expire_all()
    return Acted(tuple(entry.id for entry in done), refused)


def _skip(session: Session, done: list[Row[Any]]) -> None:
    entries = [entry.id for entry in done]
    session.execute(_SKIP, {"entries": entries})
    session.execute(_NOTE_PART_BY_HAND, {"entries": entries})
    session.execute(_LEAVE_THEIRS, {"entries": entries, "flag": DECLINES_WHEN_SKIPPED})
    session.execute(_RELEASE, {"entries": entries})
    session.execute(_FORGET_OUTAGE, {"lanes": sorted({entry.lane_id for entry in done})})


def _pend(session: Session, done: list[Row[Any]], *, overwrites: bool = True) -> None:
    session.execute(
        _PEND,
        {
            "entries": [entry.id for entry in done],
            "linked": [entry.id for entry in done if entry.is_linked],
            "compared": [entry.id for entry in done if overwrites and entry.may_overwrite],
        },
    )
    skipped = [entry.id for entry in done if entry.state == State.SKIPPED]
    counterparts.send_after_all(session, [entry.id for entry in done], skipped=skipped)
    refresh(session, [entry.id for entry in done])
    woken = sorted({entry.lane_id for entry in done})
    session.execute(_END_PAUSE, {"lanes": woken})
    wake_after_commit(session, woken)
