"""An organization's QuickBooks status: connected or not, and what is wrong."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.outbox import Lane, LaneState
from models.quickbooks import (
    Connection,
    ConnectionStatus,
    Revocation,
    Tokens,
)
from outbox import lanes

ENDS_SOON = timedelta(days=30)  # Intuit's advice: warn from then on
# holds of a lane that reconnecting ends
RECONNECT_ENDS = frozenset({"signed_out", "access_lost", "company_reset"})


@dataclass(frozen=True)
class Standing:
    """An organization's QuickBooks status; `presenters` has the words."""

    status: ConnectionStatus
    connection: Connection | None  # the live connection, or else the last one
    held_for: str | None = None  # signed_out | access_lost | plan_lapsed | …
    paused_until: datetime | None = None
    paused_for: str | None = None
    waiting_behind_line: int = 0
    revoke_pending: bool = False  # ended here, not yet revoked at Intuit
    signed_in_until: datetime | None = None  # the sign-in ends then unless it is used
    days_left: int | None = None  # until it ends permanently, if that is soon

    @property
    def as_shown(self) -> str:
        """Another text once a page about it has to be another one."""
        told = (self.status, self.held_for, self.waiting_behind_line, self.revoke_pending)
        return "-".join(str(one or 0) for one in (*told, self.days_left))


def status_of(session: Session, config: Config, organization_id: int) -> Standing:
    """Status, company, and problems. A lane held for its sign-in is *expired*."""
    connection = current(session, config, organization_id)
    if connection is None:
        return Standing(ConnectionStatus.DISCONNECTED, None)
    lane = connection.lane
    status = connection.status
    if status is ConnectionStatus.CONNECTED and lane.hold_reason in RECONNECT_ENDS:
        status = ConnectionStatus.EXPIRED
    paused = lane.pause_until is not None and lane.pause_until > database_now(session)
    pending = session.scalar(
        select(func.count()).where(
            Revocation.connection_id == connection.id, Revocation.revoked_at.is_(None)
        )
    )
    return Standing(
        status=status,
        connection=connection,
        held_for=lane.hold_reason if lane.state == LaneState.HELD else None,
        paused_until=lane.pause_until if paused else None,
        paused_for=lane.pause_reason if paused else None,
        waiting_behind_line=lanes.waiting_behind_line(session, lane.id),
        revoke_pending=bool(pending),
        signed_in_until=_signed_in_until(session, connection),
        days_left=_days_left(session, connection),
    )


def _days_left(session: Session, connection: Connection) -> int | None:
    if connection.hard_expires_at is None:
        return None
    left = connection.hard_expires_at - database_now(session)
    return max(left.days, 0) if left < ENDS_SOON else None


def _signed_in_until(session: Session, connection: Connection) -> datetime | None:
    """The permanent end of the sign-in if Intuit stated it, else the end of its rolling window."""
    return connection.hard_expires_at or session.scalar(
        select(Tokens.refresh_expires_at).where(Tokens.connection_id == connection.id)
    )


def current(session: Session, config: Config, organization_id: int) -> Connection | None:
    """The live connection of an organization, or else its last one."""
    return session.scalar(
        select(Connection)
        .where(
            Connection.organization_id == organization_id,
            Connection.environment == config.environment,
        )
        .order_by(
            (Connection.status == ConnectionStatus.DISCONNECTED),
            Connection.status_since.desc(),
            Connection.id.desc(),
        )
        .limit(1)
    )


def row_of(
    session: Session, config: Config, organization_id: int, realm_id: str
) -> Connection | None:
    """The firm's connection to that company, live or not; None if there never was one."""
    return session.scalar(
        select(Connection).where(
            Connection.organization_id == organization_id,
            Connection.environment == config.environment,
            Connection.realm_id == realm_id,
        )
    )


def database_now(session: Session) -> datetime:
    """The database's clock now, in UTC."""
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


def probe_due(sessions: Sessions, config: Config) -> int:
    """Opens lanes that are held for a lapsed plan, every few hours: the next call finds out."""
    with sessions.begin() as session:
        held = session.scalars(
            select(Lane.id)
            .join(Connection, Connection.lane_id == Lane.id)
            .where(
                Lane.state == LaneState.HELD,
                Lane.hold_reason == "plan_lapsed",
                Connection.status == ConnectionStatus.CONNECTED,
                Connection.environment == config.environment,
            )
        ).all()
        for lane_id in held:
            lanes.reopen(session, lane_id, only_held=True)  # a disconnect may be in progress
    return len(held)
