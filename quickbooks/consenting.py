"""The consent page at Intuit: who may start it, what it returned, and for which company."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from languages import N_
from models.accounts import AuditEvent, Organization, User
from models.base import Json
from models.quickbooks import (
    Connection,
    ConnectionStatus,
    OAuthState,
    Purpose,
)
from outbox import lanes
from quickbooks import oauth, unconfirmed
from quickbooks.standing import current, row_of

STATE_LASTS = timedelta(minutes=10)  # the consent page must be finished by then
REPLAY_LASTS = timedelta(minutes=10)  # a browser that loads the callback again sees the success


class BadState(Exception):
    """The callback's `state` is missing, wrong, expired or used: nothing was done (400)."""


class NotAllowed(Exception):
    """This person may not connect this organization (any more). Audited; nothing was done."""


@dataclass(frozen=True)
class Connected:
    """The company is connected: its tokens are stored, its lane is open."""

    connection_id: int
    company_name: str
    was_known: bool  # the same company as before, with its lane and links
    waiting: int  # entries behind the line, which need the owner's decision
    replayed: bool = False  # a repeat of a recent success


@dataclass(frozen=True)
class Unconfirmed:
    """The company was read, and waits for an owner to confirm that it is theirs: `confirm`. Until
    then nothing is captured for it or written to it."""

    company_name: str


@dataclass(frozen=True)
class Denied:
    """The person pressed Cancel on Intuit's page. An existing connection stays as it is."""


@dataclass(frozen=True)
class CompanyTaken:
    """Another organization is connected to this company. That organization is not named."""


@dataclass(frozen=True)
class OtherCompany:
    """A different company was chosen; detected before the code is exchanged.

    The owner agrees with `begin(…, allowed_realm_id=realm_id)` and chooses it again.
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
    """Intuit did not answer, or the code had expired: nothing was stored; try again."""

    reason: str  # unavailable | refused


@dataclass(frozen=True)
class Misconfigured:
    """Our own client id or secret is wrong. Operators are told by the log."""


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


def begin(
    sessions: Sessions,
    config: Config,
    user: User,
    purpose: Purpose,
    *,
    allowed_realm_id: str | None = None,
) -> str:
    """Stores a one-time state and returns the address of Intuit's consent page.

    Raises NotAllowed, or oauth.Unavailable if Intuit's addresses cannot be read.
    """
    state = secrets.token_urlsafe(32)
    address = oauth.authorize_url(config, state)
    with sessions.begin() as session:
        organization_id = judge_person(session, user)
        session.add(
            OAuthState(
                digest=_digest(state),
                organization_id=organization_id,
                user_id=user.id,
                purpose=purpose,
                allowed_realm_id=allowed_realm_id,
            )
        )
        session.execute(  # deletes old states
            delete(OAuthState).where(
                OAuthState.created_at < func.clock_timestamp() - timedelta(days=7)
            )
        )
    return address


def judge_person(session: Session, user: User) -> int:
    """The organization that this person may connect, according to the database."""
    known = session.get(User, user.id, populate_existing=True)
    if known is None or known.removed_at or not known.is_owner or known.organization_id is None:
        raise NotAllowed(N_("Only an owner may connect QuickBooks."))
    organization = session.get_one(Organization, known.organization_id, populate_existing=True)
    if not organization.has_quickbooks:
        raise NotAllowed(N_("QuickBooks is not offered in this region."))
    return organization.id


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


@dataclass(frozen=True)
class Asked:
    """A valid callback: whose, and for which company."""

    state_digest: str
    code: str
    organization_id: int
    realm_id: str
    chosen: Json  # settings of the stored connection, if there is one
    allowed_realm_id: str | None
    is_live: bool  # connected, or with an expired sign-in: no confirmation needed


def judge_callback(
    sessions: Sessions, config: Config, user: User, told: Mapping[str, str]
) -> Asked | Finished:
    """Checks Intuit's redirect: returns the company to ask about, or how the consent ended."""
    state = told.get("state", "")
    try:
        with sessions.begin() as session:
            organization_id = judge_person(session, user)
            used = _consume(session, state, user.id, organization_id)
            if used is None:
                return _replay(session, config, state, user.id, organization_id)
            if "error" in told:
                return Denied()
            code, realm_id = told.get("code", ""), told.get("realmId", "")
            if not code or not re.fullmatch(r"\d{1,30}", realm_id):
                raise BadState(N_("Intuit's answer has no code or no company."))
            if refusal := _judge_company(session, config, organization_id, realm_id, used):
                return refusal
            known = row_of(session, config, organization_id, realm_id)
            return Asked(
                _digest(state),
                code,
                organization_id,
                realm_id,
                dict(known.settings) if known else {},
                used.allowed_realm_id,
                is_live=known is not None and known.is_live,
            )
    except NotAllowed as refusal:
        audit_refusal(sessions, user, str(refusal))
        raise


def _consume(session: Session, state: str, user_id: int, organization_id: int) -> OAuthState | None:
    """Checks and consumes the state in one statement: of two
    callbacks with one state, one gets it."""
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
    """A callback loaded again: its recent success, if that still holds."""
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


def audit_refusal(sessions: Sessions, user: User, reason: str) -> None:
    """Logs, in a separate transaction, that this person was refused and why."""
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
            Connection.is_live,
            Connection.organization_id != organization_id,
        )
    )
    if taken is not None:
        return CompanyTaken()
    stored = current(session, config, organization_id)
    if stored is None or realm_id in (stored.realm_id, used.allowed_realm_id):
        return None
    known = row_of(session, config, organization_id, realm_id)
    return OtherCompany(realm_id, stored.company_name, known.company_name if known else None)
