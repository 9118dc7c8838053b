"""Numbers of records that were sent, are waiting or failed."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import array

from models.accounts import Organization
from models.outbox import APPLIES_CREDIT, WAS_TAKEN_OFF, Entry, Lane, LaneState, State
from models.quickbooks import Connection
from outbox import lanes
from quickbooks.standing import Standing
from web.access import session


@dataclass(frozen=True)
class Counts:
    sent_this_month: int
    waiting: int
    failed: int
    last_failed_at: datetime | None = None

    @property
    def failed_as(self) -> str:
        """Another text once other records need attention."""
        since = self.last_failed_at
        return f"{self.failed}-{since.timestamp()}" if since else str(self.failed)


def counts_of(organization: Organization) -> Counts:
    counted = session().execute(
        select(Entry.state, func.count(), func.max(Entry.settled_at))
        .join(Entry.lane)
        .where(
            Entry.organization_id == organization.id,
            is_waiting() | needs_attention(),
        )
        .group_by(Entry.state)
    )
    states = {state: (count, settled_at) for state, count, settled_at in counted}
    nothing: tuple[int, datetime | None] = (0, None)
    sent = session().scalar(
        select(func.count()).where(
            Entry.organization_id == organization.id,
            Entry.state == State.SYNCED,
            is_of_a_person(),
            Entry.settled_at >= month_start(organization.zone),
        )
    )
    waiting, _never = states.get(State.PENDING, nothing)
    failed, last_failed_at = states.get(State.FAILED, nothing)
    return Counts(sent or 0, waiting, failed, last_failed_at)


def is_waiting() -> ColumnElement[bool]:
    """SQL condition for entries that wait to be sent. Checks of ours are not counted."""
    return (Entry.state == State.PENDING) & is_of_a_person()


def is_of_a_person() -> ColumnElement[bool]:
    """SQL condition for entries of what a person saved or sent: no checks of ours."""
    is_own_check: ColumnElement[bool] = Entry.knowledge.has_any(
        array([APPLIES_CREDIT, WAS_TAKEN_OFF])
    )
    return ~is_own_check


def needs_attention() -> ColumnElement[bool]:
    """SQL condition for entries that a person must decide about, joined with their lanes: while its
    company is not connected, nothing can be done about an entry."""
    return (Entry.state == State.FAILED) & (Lane.state != LaneState.CLOSED)


def month_start(zone: ZoneInfo) -> datetime:
    return datetime.now(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


@dataclass(frozen=True)
class WaitingCounts:
    count: int
    since: datetime | None
    listed: str  # which they are: the decision is about these only


def behind_line(now: Standing) -> WaitingCounts | None:
    """Records that were waiting when QuickBooks was disconnected, and need the owner's decision."""
    if now.connection is None or not now.connection.is_live or not now.waiting_behind_line:
        return None
    lane_id = now.connection.lane_id
    listed = lanes.waiting_listed(session(), lane_id)  # before the page lists them
    since = session().scalar(
        select(func.min(Entry.created_at)).where(
            Entry.lane_id == lane_id,
            Entry.state == State.PENDING,
            Entry.withheld,
        )
    )
    return WaitingCounts(now.waiting_behind_line, since, listed)


def waiting_in(connection: Connection) -> int:
    pending = select(func.count()).where(Entry.lane_id == connection.lane_id, is_waiting())
    return session().scalar(pending) or 0
