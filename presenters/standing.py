"""The organization's QuickBooks status."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, text

from models.outbox import IS_OWN_CHECK, Lane, LaneState
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


# Checks of ours are not counted: no person saved them.
_WAITING = text(
    f"""
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
      AND NOT {IS_OWN_CHECK}
    """  # noqa: S608  (only constants of ours are put together)
)


def delay_of(now: Standing) -> Delay | None:
    """Shown from the first unanswered call on; the lane pauses only after the second."""
    connection = now.connection
    if connection is None or not _may_be_delayed(connection.lane, now):
        return None
    lane, row = connection.lane, _waiting_in(connection)
    in_vain_since = _asks_in_vain_since(lane, row.oldest)
    if not row.waiting or not (_is_busy(now) or in_vain_since or _writes_in_vain(lane, now)):
        return None
    return Delay(
        is_busy=_is_busy(now),
        answers_again=not in_vain_since and _answers_again(connection, row),
        since=None if _is_busy(now) else _earliest(lane.outage_since or row.sent_at, in_vain_since),
        waiting=row.waiting,
        next_try=_next_try(lane, row, lane.questions_rest_until if in_vain_since else None),
    )


def _may_be_delayed(lane: Lane, now: Standing) -> bool:
    is_silent = lane.questions_rest_since is not None or _writes_in_vain(lane, now)
    return lane.state == LaneState.OPEN and (_is_busy(now) or is_silent)


def _is_busy(now: Standing) -> bool:
    return now.paused_for == "throttled"


def _writes_in_vain(lane: Lane, now: Standing) -> bool:
    return bool(lane.consecutive_outages or lane.outage_since or now.paused_for == "outage")


def _asks_in_vain_since(lane: Lane, oldest: datetime | None) -> datetime | None:
    """Since when questions get no answer, while what asked them waits and no write was answered."""
    since, synced_at = lane.questions_rest_since, lane.last_synced_at
    if since is None or lane.questions_rest_reason != "outage" or oldest is None:
        return None
    return since if oldest <= since and not (synced_at and synced_at >= since) else None


def _answers_again(connection: Connection, row: Row[Any]) -> bool:
    paused_until, answered_at = connection.lane.pause_until, last_check(connection)
    if paused_until and paused_until > row.now:
        return False
    return bool(answered_at and row.last_sent_at and answered_at > row.last_sent_at)


def _next_try(lane: Lane, row: Row[Any], questions_at: datetime | None) -> datetime | None:
    at = _latest(row.due, lane.pause_until, questions_at)
    return at if at and at > row.now else None


def _earliest(*times: datetime | None) -> datetime | None:
    return min(filter(None, times), default=None)


def _latest(*times: datetime | None) -> datetime | None:
    return max(filter(None, times), default=None)


def _waiting_in(connection: Connection) -> Row[Any]:
    asked = {"organization": connection.organization_id, "lane": connection.lane_id}
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
    return _latest(connection.facts_read_at, connection.checked_at)
