"""The life of a connection: asked for, made, lost, made again, ended.

Nothing here waits for Intuit inside a transaction: what must be known is read before, and what was
read is judged again under the locks. Order of locks: connection → tokens → lane.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from languages import N_
from models.accounts import AuditEvent, Organization, User
from models.base import Json
from models.outbox import Lane, LaneState
from models.quickbooks import (
    Connection,
    ConnectionStatus,
    OAuthState,
    Purpose,
    Revocation,
    Tokens,
    UnconfirmedCompany,
)
from outbox import lanes
from outbox.scheduler import for_a_while
from quickbooks import directory, facts, oauth, tokens, unconfirmed

STATE_LASTS = timedelta(minutes=10)  # the consent page must be through by then
REPLAY_LASTS = timedelta(minutes=10)  # a browser that shows the callback again sees the success
REVOKE_AGAIN = timedelta(minutes=1)  # doubles with each attempt
REVOKE_SELDOM = timedelta(hours=6)
ENDS_SOON = timedelta(days=30)  # Intuit's advice: from then on a page says so
COUNTRY, CURRENCY = "US", "USD"
RECONNECT_ENDS = frozenset({"signed_out", "access_lost", "company_reset"})  # holds of a lane

log = structlog.get_logger()


class BadState(Exception):
    """The callback's `state` is missing, wrong, expired or used: nothing was done (400)."""


class NotAllowed(Exception):
    """This person may not connect this organization (any more). Audited; nothing was done."""


# --- What a callback came to --------------------------------------------------------------------


@dataclass(frozen=True)
class Connected:
    """The company is connected: its tokens are stored, its lane is open."""

    connection_id: int
    company_name: str
    was_known: bool  # the same company as before: lane and links were found again
    waiting: int  # entries behind the line, which the owner must decide on
    replayed: bool = False  # the same success a moment ago


@dataclass(frozen=True)
class Unconfirmed:
    """The company was read, and waits for an owner to say that it is theirs: `confirm`. Until then
    nothing is captured for it and nothing is written there."""

    company_name: str


@dataclass(frozen=True)
class Denied:
    """The person pressed Cancel on Intuit's page. An existing connection stays as it is."""


@dataclass(frozen=True)
class CompanyTaken:
    """Another organization has this company. It is not named."""


@dataclass(frozen=True)
class OtherCompany:
    """Another company was chosen than before; asked before anything is exchanged.

    The owner agrees by `begin(…, allowed_realm_id=realm_id)` and chooses it once more.
    """

    realm_id: str
    stored_name: str
    chosen_name: str | None  # known only if it was connected here before


@dataclass(frozen=True)
class Unsuitable:
    """Not a US company with US dollars. The fresh grant was ended, nothing was stored."""

    company_name: str
    country: str
    currency: str


@dataclass(frozen=True)
class TryAgain:
    """Intuit did not answer, or the code was stale: nothing was stored; try again."""

    reason: str  # unavailable | refused


@dataclass(frozen=True)
class Misconfigured:
    """Our own client id or secret is wrong. Operators know from the log."""


Finished = (
    Connected
    | Unconfirmed
    | Denied
    | CompanyTaken
    | OtherCompany
    | Unsuitable
    | TryAgain
    | Misconfigured
)


# --- Asked for ----------------------------------------------------------------------------------


def begin(
    sessions: Sessions,
    config: Config,
    user: User,
    purpose: Purpose,
    *,
    allowed_realm_id: str | None = None,
) -> str:
    """Remembers a one-time state; the address of Intuit's consent page.

    Raises NotAllowed, or oauth.Unavailable when Intuit's addresses cannot be had.
    """
    state = secrets.token_urlsafe(32)
    address = oauth.authorize_url(config, state)
    with sessions.begin() as session:
        organization_id = _judge_person(session, user)
        session.add(
            OAuthState(
                digest=_digest(state),
                organization_id=organization_id,
                user_id=user.id,
                purpose=purpose,
                allowed_realm_id=allowed_realm_id,
            )
        )
        session.execute(  # states of last week are of no use to anyone
            delete(OAuthState).where(
                OAuthState.created_at < func.clock_timestamp() - timedelta(days=7)
            )
        )
    return address


def _judge_person(session: Session, user: User) -> int:
    """The organization that this person may connect, as the database has it now."""
    known = session.get(User, user.id, populate_existing=True)
    if known is None or known.removed_at or not known.is_owner or known.organization_id is None:
        raise NotAllowed(N_("Only an owner may connect QuickBooks."))
    organization = session.get_one(Organization, known.organization_id, populate_existing=True)
    if not organization.has_quickbooks:
        raise NotAllowed(N_("QuickBooks is not offered in this region."))
    return organization.id


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


# --- Made ---------------------------------------------------------------------------------------


def finish(sessions: Sessions, config: Config, user: User, told: Mapping[str, str]) -> Finished:
    """Judges what Intuit's redirect brought (`state`, `code`, `realmId` or `error`).

    1. The state is judged and consumed in one statement.
    2. The company is compared with what is stored, before the code is worth anything.
    3. Code → grant; then the company itself: country, currency, lists.
    4. A company whose connection is live is connected again at once. Any other is kept until an
       owner says that it is theirs: `confirm` or `decline`.

    Raises BadState or NotAllowed.
    """
    judged = _judge_callback(sessions, config, user, told)
    if not isinstance(judged, _Asked):
        return judged
    try:
        grant = oauth.exchange(config, judged.code)
    except oauth.GrantRefused:
        return TryAgain("refused")
    except oauth.Misconfigured:
        log.error("Intuit does not accept QUICKBOOKS_CLIENT_ID and QUICKBOOKS_CLIENT_SECRET")
        return Misconfigured()
    except oauth.Unavailable as problem:
        log.warning("code not exchanged", problem=str(problem))
        return TryAgain("unavailable")
    read = _read(sessions, config, judged, grant)
    if not isinstance(read, _Read):
        return read
    if judged.is_live:
        return _connect(sessions, config, user, judged, grant, read)
    return _keep(sessions, config, user, judged, grant, read)


@dataclass(frozen=True)
class _Asked:
    """A callback found good: whose, and for which company."""

    state_digest: str
    code: str
    organization_id: int
    realm_id: str
    chosen: Json  # settings of the stored connection, if there is one
    allowed_realm_id: str | None
    is_live: bool  # connected, or its sign-in has run out: nobody asks whose it is


def _judge_callback(
    sessions: Sessions, config: Config, user: User, told: Mapping[str, str]
) -> _Asked | Finished:
    state = told.get("state", "")
    try:
        with sessions.begin() as session:
            organization_id = _judge_person(session, user)
            used = _consume(session, state, user.id, organization_id)
            if used is None:
                return _replay(session, config, state, user.id, organization_id)
            if "error" in told:
                return Denied()
            code, realm_id = told.get("code", ""), told.get("realmId", "")
            if not code or not re.fullmatch(r"\d{1,30}", realm_id):
                raise BadState(N_("Intuit's answer lacks a code or a company."))
            if refusal := _judge_company(session, config, organization_id, realm_id, used):
                return refusal
            known = _row_of(session, config, organization_id, realm_id)
            return _Asked(
                _digest(state),
                code,
                organization_id,
                realm_id,
                dict(known.settings) if known else {},
                used.allowed_realm_id,
                is_live=known is not None and known.is_live,
            )
    except NotAllowed as refusal:
        _audit_refusal(sessions, user, str(refusal))
        raise


def _consume(session: Session, state: str, user_id: int, organization_id: int) -> OAuthState | None:
    """Judged and used up in one statement: of two callbacks with one state, one gets it."""
    return session.scalar(
        update(OAuthState)
        .where(
            OAuthState.digest == _digest(state),
            OAuthState.used_at.is_(None),
            OAuthState.user_id == user_id,
            OAuthState.organization_id == organization_id,
            OAuthState.created_at > func.clock_timestamp() - STATE_LASTS,
        )
        .values(used_at=func.clock_timestamp())
        .returning(OAuthState)
    )


def _replay(
    session: Session, config: Config, state: str, user_id: int, organization_id: int
) -> Connected | Unconfirmed:
    """A callback shown again: the success it had a moment ago, as long as it still holds."""
    waiting = unconfirmed.of(session, config, organization_id)
    if waiting is not None and (waiting.state_digest, waiting.user_id) == (_digest(state), user_id):
        return Unconfirmed(waiting.company_name)
    connection = session.scalar(
        select(Connection)
        .join(OAuthState, OAuthState.connection_id == Connection.id)
        .where(
            OAuthState.digest == _digest(state),
            OAuthState.user_id == user_id,
            OAuthState.organization_id == organization_id,
            OAuthState.used_at > func.clock_timestamp() - REPLAY_LASTS,
            Connection.status == ConnectionStatus.CONNECTED,
        )
    )
    if connection is None:
        raise BadState(N_("This sign-in was started elsewhere, too long ago, or is used up."))
    behind = lanes.waiting_behind_line(session, connection.lane_id)
    return Connected(connection.id, connection.company_name, True, behind, replayed=True)


def _audit_refusal(sessions: Sessions, user: User, reason: str) -> None:
    with sessions.begin() as session:
        session.add(
            AuditEvent(
                organization_id=user.organization_id,
                user_id=user.id,
                action="quickbooks.callback_refused",
                reason=reason,
            )
        )


def _judge_company(
    session: Session, config: Config, organization_id: int, realm_id: str, used: OAuthState
) -> CompanyTaken | OtherCompany | None:
    taken = session.scalar(
        select(Connection.id).where(
            Connection.environment == config.environment,
            Connection.realm_id == realm_id,
            Connection.status != ConnectionStatus.DISCONNECTED,
            Connection.organization_id != organization_id,
        )
    )
    if taken is not None:
        return CompanyTaken()
    stored = current(session, config, organization_id)
    if stored is None or realm_id in (stored.realm_id, used.allowed_realm_id):
        return None
    known = _row_of(session, config, organization_id, realm_id)
    return OtherCompany(realm_id, stored.company_name, known.company_name if known else None)


def _row_of(
    session: Session, config: Config, organization_id: int, realm_id: str
) -> Connection | None:
    return session.scalar(
        select(Connection).where(
            Connection.organization_id == organization_id,
            Connection.environment == config.environment,
            Connection.realm_id == realm_id,
        )
    )


def current(session: Session, config: Config, organization_id: int) -> Connection | None:
    """The live connection of an organization, else the one it had last."""
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


@dataclass(frozen=True)
class _Read:
    """What was read of a company before its connection is stored. Nothing was written there."""

    facts: Json
    settings: Json
    customers: list[Json] | None
    read_at: datetime


def _read(
    sessions: Sessions, config: Config, asked: _Asked, grant: oauth.Grant
) -> _Read | Unsuitable | TryAgain:
    reader = facts.Reader(config, asked.realm_id, grant.access_token)
    with sessions() as session:
        read_at = _now(session)
    try:
        company = facts.read_company(reader)
        if (company["country"], company["home_currency"]) != (COUNTRY, CURRENCY):
            _drop(sessions, config, asked, grant)
            return Unsuitable(company["name"], company["country"], company["home_currency"])
        found = facts.read_facts(reader, company)
        if not asked.is_live:
            found["last_sale"] = facts.read_last_sale(reader)
    except facts.FactsUnavailable as problem:
        log.warning("company not read at connect", realm=asked.realm_id, problem=str(problem))
        _drop(sessions, config, asked, grant)
        return TryAgain("unavailable")
    settings = facts.choose_settings(found, asked.chosen)
    return _Read(found, settings, _read_customers(config, asked, grant), read_at)


def _read_customers(config: Config, asked: _Asked, grant: oauth.Grant) -> list[Json] | None:
    """The directory, under a deadline of its own. None: a job reads it later, and until then
    QuickBooks itself refuses a name that it has."""
    try:
        return directory.read_all(facts.Reader(config, asked.realm_id, grant.access_token))
    except facts.FactsUnavailable as problem:
        log.warning("customers not read at connect", realm=asked.realm_id, problem=str(problem))
        return None


def _keep(
    sessions: Sessions,
    config: Config,
    user: User,
    asked: _Asked,
    grant: oauth.Grant,
    read: _Read,
) -> Unconfirmed:
    with sessions.begin() as session:
        _lock_rows(session, config, asked.organization_id)  # of two browsers, the later one counts
        company = UnconfirmedCompany(
            organization_id=asked.organization_id,
            user_id=user.id,
            state_digest=asked.state_digest,
            environment=config.environment,
            realm_id=asked.realm_id,
            allowed_realm_id=asked.allowed_realm_id,
            facts=read.facts,
            settings=read.settings,
            customers=unconfirmed.customers_kept(read.customers),
            created_at=read.read_at,
        )
        unconfirmed.keep(session, config, grant, company)
        session.add(
            AuditEvent(
                organization_id=asked.organization_id,
                user_id=user.id,
                action="quickbooks.company_chosen",
                details={"company": read.facts["name"], "realm_id": asked.realm_id},
            )
        )
    return Unconfirmed(read.facts["name"])


# --- Confirmed ----------------------------------------------------------------------------------


def confirm(sessions: Sessions, config: Config, user: User, realm_id: str) -> Finished:
    """The owner says that the company they chose at Intuit is theirs: it is connected.

    TryAgain("expired") when it does not wait for that (any more): another browser may have chosen
    another one meanwhile. Raises NotAllowed.
    """
    try:
        with sessions() as session:
            organization_id = _judge_person(session, user)
            company = unconfirmed.of(session, config, organization_id)
            if company is None or company.realm_id != realm_id:
                return _answered_before(session, config, organization_id, realm_id)
            asked = _Asked(
                company.state_digest,
                "",
                organization_id,
                company.realm_id,
                company.settings,
                company.allowed_realm_id,
                is_live=False,
            )
            grant = unconfirmed.grant_of(config, company, _now(session))
            read = _Read(
                dict(company.facts), dict(company.settings), company.customers, company.created_at
            )
    except NotAllowed as refusal:
        _audit_refusal(sessions, user, str(refusal))
        raise
    except tokens.TokensUnavailable:
        return TryAgain("expired")
    return _connect(sessions, config, user, asked, grant, read)


def _answered_before(
    session: Session, config: Config, organization_id: int, realm_id: str
) -> Connected | TryAgain:
    """The button was pressed twice, or nothing waits for an answer."""
    known = _row_of(session, config, organization_id, realm_id)
    if known is None or known.status != ConnectionStatus.CONNECTED:
        return TryAgain("expired")
    waiting = lanes.waiting_behind_line(session, known.lane_id)
    return Connected(known.id, known.company_name, True, waiting, replayed=True)


def decline(sessions: Sessions, config: Config, user: User, realm_id: str) -> str | None:
    """It is not their company: forgotten, and the grant is ended at Intuit. Returns its name, or
    None when it did not wait for an answer. Raises NotAllowed."""
    with sessions.begin() as session:
        organization_id = _judge_person(session, user)
        company = unconfirmed.of(session, config, organization_id, lock=True)
        if company is None or company.realm_id != realm_id:
            return None
        name = company.company_name
        revocation = unconfirmed.drop(session, company)
        revocation_id = revocation.id if revocation else None
        session.add(
            AuditEvent(
                organization_id=organization_id,
                user_id=user.id,
                action="quickbooks.company_declined",
                details={"company": name, "realm_id": company.realm_id},
            )
        )
    if revocation_id is not None:
        _revoke(sessions, config, revocation_id)
    return name


def drop_unconfirmed(sessions: Sessions) -> int:
    """Forgets the companies that nobody confirmed in time; returns how many."""
    with sessions.begin() as session:
        return unconfirmed.drop_old(session)


def _connect(
    sessions: Sessions,
    config: Config,
    user: User,
    asked: _Asked,
    grant: oauth.Grant,
    read: _Read,
) -> Finished:
    """Under the locks: row, tokens and lane together. Two firms at the same moment are told apart
    by a unique index; the loser's tokens are dropped, and not revoked, which could end the winner's
    grant."""
    reader = facts.Reader(config, asked.realm_id, grant.access_token)
    facts.ensure_fallback_item(reader, read.facts, read.settings)
    try:
        with sessions.begin() as session:
            return _store(session, config, user, asked, grant, read)
    except IntegrityError as problem:
        if "uq_quickbooks_connections_live_company" not in str(problem.orig):
            raise
        return CompanyTaken()
    except _ConnectedMeanwhile as other:
        _drop(sessions, config, asked, grant)
        return OtherCompany(asked.realm_id, other.company_name, read.facts["name"])
    except NotAllowed as refusal:
        _audit_refusal(sessions, user, str(refusal))
        _drop(sessions, config, asked, grant)
        raise


class _ConnectedMeanwhile(Exception):
    """A second browser of the same organization has connected another company."""

    def __init__(self, company_name: str) -> None:
        super().__init__(company_name)
        self.company_name = company_name


def _drop(sessions: Sessions, config: Config, asked: _Asked, grant: oauth.Grant) -> None:
    """Ends a fresh grant that is not kept, unless that would end one that is in use."""
    with sessions() as session:
        in_use = session.scalar(
            select(Connection.id).where(
                Connection.environment == config.environment,
                Connection.realm_id == asked.realm_id,
                Connection.status != ConnectionStatus.DISCONNECTED,
            )
        )
    if in_use is None:
        try:
            oauth.revoke(config, grant.refresh_token)
        except oauth.Unavailable as problem:
            log.warning("fresh grant not ended", realm=asked.realm_id, problem=str(problem))


def _store(
    session: Session,
    config: Config,
    user: User,
    asked: _Asked,
    grant: oauth.Grant,
    read: _Read,
) -> Connected | TryAgain:
    """The row, its tokens and its lane, together: new, or found again as they were."""
    rows = _lock_rows(session, config, asked.organization_id)
    organization_id = _judge_person(session, user)  # by the locked row: its region may just change
    if organization_id != asked.organization_id:
        raise NotAllowed(N_("The organization changed while connecting."))
    mine = next((row for row in rows if row.realm_id == asked.realm_id), None)
    if not asked.is_live and not _take_unconfirmed(session, asked):
        return _answered_before(session, config, organization_id, asked.realm_id)
    for row in rows:
        if row is not mine and row.is_live:
            if asked.realm_id != asked.allowed_realm_id:
                raise _ConnectedMeanwhile(row.company_name)
            _close(session, row, user, "another company was connected")
    was_known = mine is not None
    now = _now(session)
    if mine is None:
        lane = lanes.create(session, organization_id)
        mine = Connection(
            organization_id=organization_id,
            lane_id=lane.id,
            environment=config.environment,
            realm_id=asked.realm_id,
        )
        session.add(mine)
    mine.status = ConnectionStatus.CONNECTED
    mine.status_reason = None
    mine.status_since = mine.connected_at = now
    mine.connected_by_id = user.id
    mine.hard_expires_at = now + grant.hard_lasts if grant.hard_lasts else None
    facts.store(session, mine, read.facts, read.settings)
    session.flush()  # the unique index decides here
    if read.customers is None:
        mine.customers_read_at = None
    else:
        directory.store(session, mine, read.customers, read.read_at, whole=True)
    _store_tokens(session, config, mine, grant)
    if was_known:
        lanes.reopen(session, mine.lane_id)
    session.execute(
        update(OAuthState)
        .where(OAuthState.digest == asked.state_digest)
        .values(connection_id=mine.id)
    )
    _audit(
        session, mine, user.id, "quickbooks.reconnected" if was_known else "quickbooks.connected"
    )
    waiting = lanes.waiting_behind_line(session, mine.lane_id)
    return Connected(mine.id, mine.company_name, was_known, waiting)


def _take_unconfirmed(session: Session, asked: _Asked) -> bool:
    """Of two answers about one chosen company, the first one gets it."""
    taken = session.execute(
        delete(UnconfirmedCompany)
        .where(
            UnconfirmedCompany.organization_id == asked.organization_id,
            UnconfirmedCompany.state_digest == asked.state_digest,
        )
        .returning(UnconfirmedCompany.organization_id)
    )
    return taken.first() is not None


def _lock_rows(session: Session, config: Config, organization_id: int) -> list[Connection]:
    """All connections of the organization, locked in one order; none can be added meanwhile."""
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


def _store_tokens(
    session: Session, config: Config, connection: Connection, grant: oauth.Grant
) -> None:
    stored = session.get(Tokens, connection.id, with_for_update={"key_share": True})
    stored = stored or Tokens(
        connection_id=connection.id, organization_id=connection.organization_id
    )
    tokens.store(session, config, stored, grant)
    session.add(stored)
    unconfirmed.spare(session, connection.environment, connection.realm_id)
    session.flush()


def _audit(
    session: Session,
    connection: Connection,
    user_id: int | None,
    action: str,
    reason: str | None = None,
) -> None:
    session.add(
        AuditEvent(
            organization_id=connection.organization_id,
            user_id=user_id,
            action=action,
            reason=reason,
            details={"company": connection.company_name, "realm_id": connection.realm_id},
        )
    )


def _now(session: Session) -> datetime:
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


# --- Ended --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Disconnected:
    """The connection is ended here, whatever Intuit says to it."""

    company_name: str
    waiting: int  # entries that now stand behind the line
    revoked: bool  # False: Intuit did not answer yet; a job goes on


def disconnect(
    sessions: Sessions, config: Config, organization_id: int, user: User
) -> Disconnected | None:
    """Ends the connection here at once, then at Intuit. None when there was none to end."""
    with sessions.begin() as session:
        live = next(
            (row for row in _lock_rows(session, config, organization_id) if row.is_live), None
        )
        if live is None:
            return None
        revocation = _close(session, live, user, None)
        session.flush()
        revocation_id = revocation.id if revocation else None
        waiting = lanes.waiting_behind_line(session, live.lane_id)
        name = live.company_name
    revoked = revocation_id is None or _revoke(sessions, config, revocation_id)
    return Disconnected(name, waiting, revoked)


def confirm_ended_there(
    sessions: Sessions, config: Config, organization_id: int, realm_id: str, user: User
) -> Disconnected | None:
    """Someone says that our access was ended inside QuickBooks. Intuit is asked; if so, it is ended
    here too. None when the access is still good, or was of another company."""
    with sessions() as session:
        live = next(
            (
                row
                for row in session.scalars(
                    select(Connection).where(Connection.organization_id == organization_id)
                )
                if row.is_live
            ),
            None,
        )
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
    """The organization left the US: closed at once, in the caller's transaction; the grant is ended
    by the job. Never commits. False when there was nothing to close."""
    chosen = session.get(UnconfirmedCompany, organization.id, with_for_update=True)
    if chosen is not None:
        unconfirmed.drop(session, chosen)
    live = session.scalar(
        select(Connection)
        .where(
            Connection.organization_id == organization.id,
            Connection.status != ConnectionStatus.DISCONNECTED,
        )
        .with_for_update(key_share=True, of=Connection)
    )
    if live is None:
        return False
    _close(session, live, None, "region")
    session.flush()
    return True


def _close(
    session: Session, connection: Connection, user: User | None, reason: str | None
) -> Revocation | None:
    """Row, tokens and lane together. The refresh token moves to where the revoke job finds it."""
    connection.status = ConnectionStatus.DISCONNECTED
    connection.status_reason = reason
    connection.status_since = _now(session)
    session.flush()
    token = session.scalar(
        delete(Tokens).where(Tokens.connection_id == connection.id).returning(Tokens.refresh_token)
    )
    lanes.close(session, connection.lane_id)
    _audit(session, connection, user.id if user else None, "quickbooks.disconnected", reason)
    if token is None:
        return None
    revocation = Revocation(
        organization_id=connection.organization_id, connection_id=connection.id, token=token
    )
    session.add(revocation)
    return revocation


def revoke_due(sessions: Sessions, config: Config) -> int:
    """Tries the revokes that are due; says how many are done with."""
    with sessions() as session:
        due = session.scalars(
            select(Revocation.id).where(
                Revocation.revoked_at.is_(None),
                Revocation.token.is_not(None),
                Revocation.available_at <= func.clock_timestamp(),
            )
        ).all()
    return for_a_while(due, lambda revocation_id: _revoke(sessions, config, revocation_id))


def _revoke(sessions: Sessions, config: Config, revocation_id: int) -> bool:
    """Tries one revoke. Claimed by pushing its next time away, so that one process does it."""
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


# --- How it stands ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """Where an organization stands with QuickBooks; the words for it are the views'."""

    status: ConnectionStatus
    connection: Connection | None  # the live one, else the last
    held_for: str | None = None  # signed_out | access_lost | plan_lapsed | …
    paused_until: datetime | None = None
    paused_for: str | None = None
    waiting_behind_line: int = 0
    revoke_pending: bool = False  # ended here, not yet confirmed by Intuit
    signed_in_until: datetime | None = None  # the sign-in ends then unless it is used
    days_left: int | None = None  # until it ends for good, when that is soon


def status_of(session: Session, config: Config, organization_id: int) -> Standing:
    """Status, company, and what stands in the way. A lane held for its sign-in is *expired*."""
    connection = current(session, config, organization_id)
    if connection is None:
        return Standing(ConnectionStatus.DISCONNECTED, None)
    lane = connection.lane
    status = connection.status
    if status is ConnectionStatus.CONNECTED and lane.hold_reason in RECONNECT_ENDS:
        status = ConnectionStatus.EXPIRED
    paused = lane.pause_until is not None and lane.pause_until > _now(session)
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
    left = connection.hard_expires_at - _now(session)
    return max(left.days, 0) if left < ENDS_SOON else None


def _signed_in_until(session: Session, connection: Connection) -> datetime | None:
    """The hard end of the sign-in where Intuit told it, else the end of its rolling window."""
    return connection.hard_expires_at or session.scalar(
        select(Tokens.refresh_expires_at).where(Tokens.connection_id == connection.id)
    )


def probe_due(sessions: Sessions, config: Config) -> int:
    """Opens the lanes that are held for a lapsed plan: the next call finds out. Every few hours."""
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
            lanes.reopen(session, lane_id, only_held=True)  # a disconnect may be under way
    return len(held)
