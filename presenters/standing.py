"""The organization's QuickBooks status."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Row, text

from models.outbox import Lane, LaneState
from models.quickbooks import Connection, ConnectionStatus
from presenters.status import Word
from quickbooks.standing import Standing, status_of
from web.access import (
    dunahub,
    firm,
    session,
)
from web.languages import _


def standing() -> Standing:
    return status_of(session(), dunahub().config, firm().id)


def status_word(now: Standing) -> Word:
    """One of three fixed words; details go on the second line."""
    since = now.connection.status_since if now.connection else None
    match now.status:
        case ConnectionStatus.CONNECTED:
            return Word("check", _("Connected"), "good", since)
        case ConnectionStatus.EXPIRED:
            return Word("key", _("Token expired"), "warn", since)
        case ConnectionStatus.DISCONNECTED:
            return Word("plug", _("Not connected"), "quiet", since)


# --- What keeps records from going ---------------------------------------------------------------

CHECK_INTERVAL = timedelta(minutes=10)  # a page checks the company at most this often


@dataclass(frozen=True)
class Delay:
    """Records wait for QuickBooks, and will be sent by themselves once it answers."""

    is_busy: bool  # QuickBooks throttled us; otherwise it does not answer
    answers_again: bool  # a check was answered since; what was unanswered is looked up later
    since: datetime | None
    waiting: int
    next_try: datetime | None  # None: any moment now


_WAITING = text(
    """
    SELECT count(*) AS waiting, min(created_at) AS oldest,
           min(available_at) FILTER (WHERE waits_for_type IS NULL) AS due,
           min(unanswered.first) AS sent_at, min(unanswered.last) AS last_sent_at,
           clock_timestamp() AS now
    FROM outbox
    CROSS JOIN (
        SELECT min(dispatch.sent_at) AS first, max(dispatch.sent_at) AS last
        FROM outbox_dispatch_items AS item
        JOIN outbox_dispatches AS dispatch ON dispatch.id = item.dispatch_id
        WHERE item.lane_id = :lane AND item.outcome IS NULL
    ) AS unanswered
    WHERE organization_id = :organization AND state = 'pending' AND lane_id = :lane AND NOT withheld
    """
)


def delay_of(now: Standing) -> Delay | None:
    """Shown from the first unanswered call on; the lane pauses only after the second."""
    connection = now.connection
    if connection is None or connection.lane.state != LaneState.OPEN:
        return None
    lane = connection.lane
    is_busy = now.paused_for == "throttled"
    if not is_busy and not _is_silent(lane, now):
        return None
    row = _waiting_in(connection, lane)
    asks_in_vain = _asks_in_vain_since(lane, row.oldest)
    if not row.waiting or not (is_busy or asks_in_vain or _writes_in_vain(lane, now)):
        return None
    is_paused = bool(lane.pause_until and lane.pause_until > row.now)
    questions_at = lane.questions_rest_until if asks_in_vain else None
    next_try = max(filter(None, (row.due, lane.pause_until, questions_at)), default=None)
    since = (lane.outage_since or row.sent_at, asks_in_vain)
    return Delay(
        is_busy,
        not is_paused and not asks_in_vain and _has_answered_since(row.last_sent_at, connection),
        None if is_busy else min(filter(None, since), default=None),
        row.waiting,
        next_try if next_try and next_try > row.now else None,
    )


def _is_silent(lane: Lane, now: Standing) -> bool:
    return bool(lane.questions_rest_since) or _writes_in_vain(lane, now)


def _writes_in_vain(lane: Lane, now: Standing) -> bool:
    return bool(lane.consecutive_outages or lane.outage_since or now.paused_for == "outage")


def _asks_in_vain_since(lane: Lane, oldest: datetime | None) -> datetime | None:
    """Since when questions get no answer, while what asked them waits and no write was answered."""
    since, synced_at = lane.questions_rest_since, lane.last_synced_at
    if since is None or lane.questions_rest_reason != "outage" or oldest is None:
        return None
    return since if oldest <= since and not (synced_at and synced_at >= since) else None


def _has_answered_since(sent_at: datetime | None, connection: Connection) -> bool:
    answered_at = last_check(connection)
    return bool(answered_at and sent_at and answered_at > sent_at)


def _waiting_in(connection: Connection, lane: Lane) -> Row[tuple[object, ...]]:
    asked = {
        "organization": connection.organization_id,
        "lane": lane.id,
    }
    return session().execute(_WAITING, asked).one()


def is_due_for_check(connection: Connection | None) -> bool:
    """Whether opening the page should check the company."""
    if connection is None or connection.status != ConnectionStatus.CONNECTED:
        return False
    checked = connection.checked_at
    return checked is None or checked < datetime.now(UTC) - CHECK_INTERVAL


def last_check(connection: Connection | None) -> datetime | None:
    """When QuickBooks last answered about the company. Every page shows this one."""
    if connection is None:
        return None
    return max(filter(None, (connection.facts_read_at, connection.checked_at)), default=None)
