"""Ends a connection: here at once, then at Intuit."""

from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import ColumnElement, delete, exists, func, select, text, update
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import AuditEvent, Organization, User
from models.outbox import IS_OWN_CHECK, Entry, Lane, State
from models.quickbooks import (
    Connection,
    ConnectionStatus,
    Revocation,
    Tokens,
    UnconfirmedCompany,
)
from outbox import lanes
from outbox.scheduler import for_a_while
from quickbooks import oauth, tokens, unconfirmed
from quickbooks.standing import database_now

REVOKE_AGAIN = timedelta(minutes=1)  # doubles with each attempt
REVOKE_SELDOM = timedelta(hours=6)

log = structlog.get_logger()


@dataclass(frozen=True)
class Disconnected:
    """The connection has ended here, whatever Intuit answers."""

    company_name: str
    waiting: int  # entries that are now behind the line
    revoked: bool  # False: Intuit has not answered yet; a job retries


@dataclass(frozen=True)
class Shown:
    """What the page said that a person decides on."""

    connection_id: int
    waiting: int


class NotAsShown(Exception):
    """It is another connection by now, or more waits. Nothing was done; the page is shown again."""


def disconnect(
    sessions: Sessions,
    config: Config,
    organization_id: int,
    user: User,
    shown: Shown | None = None,
) -> Disconnected | None:
    """Ends the connection here at once, then at Intuit. None if there was none.

    Raises NotAsShown."""
    with sessions.begin() as session:
        live = _locked(session, config, organization_id, shown)
        if live is None:
            return None
        revocation = close(session, live, user, None)
        session.flush()
        if shown and _held(session, live) > shown.waiting:  # no more can come, as it is closed
            raise NotAsShown
        revocation_id = revocation.id if revocation else None
        waiting = lanes.waiting_behind_line(session, live.lane_id)
        name = live.company_name
    revoked = revocation_id is None or revoke(sessions, config, revocation_id)
    return Disconnected(name, waiting, revoked)


def _locked(
    session: Session, config: Config, organization_id: int, shown: Shown | None
) -> Connection | None:
    """The live connection, if there is one. Raises NotAsShown if the page was about another."""
    rows = lock_rows(session, config, organization_id)
    live = next((row for row in rows if row.is_live), None)
    if live and shown and live.id != shown.connection_id:
        raise NotAsShown
    return live


def _held(session: Session, connection: Connection) -> int:
    waiting = select(func.count()).where(
        Entry.lane_id == connection.lane_id,
        Entry.state == State.PENDING,
        text(f"NOT {IS_OWN_CHECK}"),
    )
    return session.scalar(waiting) or 0


def disconnect_once_sent(
    sessions: Sessions, config: Config, organization_id: int, user: User, shown: Shown
) -> bool:
    """Requests a disconnect once everything waiting now is sent. False if not connected. Raises
    NotAsShown if the page was about another connection."""
    with sessions.begin() as session:
        live = _locked(session, config, organization_id, shown)
        if live is None:
            return False
        newest = select(func.coalesce(func.max(Entry.id), 0)).where(Entry.lane_id == live.lane_id)
        live.disconnects_after = session.scalar(newest)
        live.disconnects_by_id = user.id
        audit(session, live, user.id, "outbox.sending_before_disconnect")
    return True


def stay_connected(sessions: Sessions, config: Config, organization_id: int, user: User) -> bool:
    """Cancels that request. False if there was none, or it is already disconnected."""
    with sessions.begin() as session:
        live = _locked(session, config, organization_id, None)
        if live is None or not live.is_ending:
            return False
        live.disconnects_after = live.disconnects_by_id = None
        audit(session, live, user.id, "quickbooks.stayed_connected")
    return True


def disconnect_due(sessions: Sessions, config: Config) -> int:
    """Ends connections whose owners wanted everything sent first, once it is. Returns how many."""
    with sessions() as session:
        due = session.scalars(
            select(Connection.id).where(
                Connection.environment == config.environment,
                Connection.status != ConnectionStatus.DISCONNECTED,
                Connection.disconnects_after.is_not(None),
                ~_awaits_sending(),
            )
        ).all()
    return for_a_while(due, lambda connection_id: _disconnect_sent(sessions, config, connection_id))


def _awaits_sending() -> ColumnElement[bool]:
    """Whether something is left that will be sent by itself. Excludes entries that wait for a
    failed record, are behind the line, or are withheld: they would keep the connection forever."""
    return exists().where(
        Entry.lane_id == Connection.lane_id,
        Entry.state == State.PENDING,
        Entry.id <= Connection.disconnects_after,
        Entry.id
        > func.coalesce(
            select(Lane.line).where(Lane.id == Connection.lane_id).scalar_subquery(), 0
        ),
        Entry.waits_for_type.is_(None),
        ~Entry.withheld,
        text(f"NOT outbox.{IS_OWN_CHECK}"),  # no person saved these
    )


def _disconnect_sent(sessions: Sessions, config: Config, connection_id: int) -> bool:
    """Ends one of them. Checked again under its lock, because the owner may have cancelled."""
    with sessions.begin() as session:
        connection = session.scalar(
            select(Connection)
            .where(Connection.id == connection_id)
            .where(Connection.status != ConnectionStatus.DISCONNECTED)
            .where(Connection.disconnects_after.is_not(None), ~_awaits_sending())
            .with_for_update(key_share=True, of=Connection)
        )
        if connection is None:
            return False
        by = session.get(User, connection.disconnects_by_id)
        revocation = close(session, connection, by, "all_sent")
        session.flush()
        revocation_id = revocation.id if revocation else None
    if revocation_id is not None:
        revoke(sessions, config, revocation_id)
    return True


def confirm_ended_there(
    sessions: Sessions, config: Config, organization_id: int, realm_id: str, user: User
) -> Disconnected | None:
    """Someone reports that our access was ended inside QuickBooks. Asks Intuit; if so, it ends
    here, too. None if the access is still valid, or was for another company."""
    with sessions() as session:
        live = session.scalar(Connection.live_of(organization_id))
        stored = session.get(Tokens, live.id) if live else None
    if live is None or stored is None or realm_id not in ("", live.realm_id):
        return None
    try:
        known = tokens.decrypt(config, stored.access_token)
        tokens.access_token(sessions, config, live.id, refused=known)
    except tokens.SignedOut:
        return disconnect(sessions, config, organization_id, user)
    except tokens.TokensUnavailable:
        return None
    return None


def close_for_region(session: Session, organization: Organization) -> bool:
    """The organization left the US: closes at once, in the caller's transaction; `revoke_now` ends
    the grant afterwards. Never commits. False if there was nothing to close."""
    chosen = session.get(UnconfirmedCompany, organization.id, with_for_update=True)
    if chosen is not None:
        unconfirmed.drop(session, chosen)
    locked = Connection.live_of(organization.id).with_for_update(key_share=True, of=Connection)
    live = session.scalar(locked)
    if live is None:
        return False
    close(session, live, None, "region")
    session.flush()
    return True


def close(
    session: Session, connection: Connection, user: User | None, reason: str | None
) -> Revocation | None:
    """Row, tokens and lane together. The refresh token is kept for the revoke job."""
    connection.status = ConnectionStatus.DISCONNECTED
    connection.status_reason = reason
    connection.status_since = database_now(session)
    connection.disconnects_after = connection.disconnects_by_id = None
    session.flush()
    token = session.scalar(
        delete(Tokens).where(Tokens.connection_id == connection.id).returning(Tokens.refresh_token)
    )
    lanes.close(session, connection.lane_id)
    audit(session, connection, user.id if user else None, "quickbooks.disconnected", reason)
    if token is None:
        return None
    revocation = Revocation(
        organization_id=connection.organization_id, connection_id=connection.id, token=token
    )
    session.add(revocation)
    return revocation


def lock_rows(session: Session, config: Config, organization_id: int) -> list[Connection]:
    """Locks all connections of the organization in a fixed order; none can be added meanwhile."""
    session.execute(
        select(Organization.id)
        .where(Organization.id == organization_id)
        .with_for_update(key_share=True)
    )
    return list(
        session.scalars(
            select(Connection)
            .where(
                Connection.organization_id == organization_id,
                Connection.environment == config.environment,
            )
            .order_by(Connection.id)
            .with_for_update(key_share=True, of=Connection)
        )
    )


def audit(
    session: Session,
    connection: Connection,
    user_id: int | None,
    action: str,
    reason: str | None = None,
) -> None:
    """Logs what was done to the connection, by whom and why."""
    session.add(
        AuditEvent(
            organization_id=connection.organization_id,
            user_id=user_id,
            action=action,
            reason=reason,
            details={"company": connection.company_name, "realm_id": connection.realm_id},
        )
    )


def revoke_now(sessions: Sessions, config: Config, organization_id: int) -> None:
    """Revokes this organization's ended grants at Intuit now. Failures are left to the job."""
    with sessions() as session:
        new = session.scalars(
            select(Revocation.id).where(
                Revocation.organization_id == organization_id,
                Revocation.revoked_at.is_(None),
                Revocation.attempts == 0,
            )
        ).all()
    for revocation_id in new:
        revoke(sessions, config, revocation_id)


def revoke_due(sessions: Sessions, config: Config) -> int:
    """Retries the revokes that are due; returns how many are finished."""
    with sessions() as session:
        due = session.scalars(
            select(Revocation.id).where(
                Revocation.revoked_at.is_(None),
                Revocation.token.is_not(None),
                Revocation.available_at <= func.clock_timestamp(),
            )
        ).all()
    return for_a_while(due, lambda revocation_id: revoke(sessions, config, revocation_id))


def revoke(sessions: Sessions, config: Config, revocation_id: int) -> bool:
    """Tries one revoke. Claims it by moving its next attempt into the
    future, so that one process does it."""
    with sessions.begin() as session:
        claimed = session.execute(
            update(Revocation)
            .where(
                Revocation.id == revocation_id,
                Revocation.revoked_at.is_(None),
                Revocation.available_at <= func.clock_timestamp(),
            )
            .values(
                attempts=Revocation.attempts + 1,
                available_at=func.clock_timestamp()
                + func.least(
                    REVOKE_AGAIN * func.power(2, func.least(Revocation.attempts, 10)),
                    REVOKE_SELDOM,
                ),
            )
            .returning(Revocation.token)
        ).one_or_none()
    if claimed is None or claimed.token is None:
        return False
    try:
        oauth.revoke(config, tokens.decrypt(config, claimed.token))
    except (oauth.Unavailable, tokens.TokensUnavailable) as problem:
        log.warning("grant not ended yet", revocation=revocation_id, problem=str(problem))
        return False
    with sessions.begin() as session:
        session.execute(
            update(Revocation)
            .where(Revocation.id == revocation_id)
            .values(revoked_at=func.clock_timestamp(), token=None)
        )
    return True
