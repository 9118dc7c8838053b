"""Tokens: stored encrypted, and refreshed once even with concurrent callers.

A refresh is the only call made inside a transaction (rule 8): it holds the lock of its token row,
so that the new pair is neither requested twice nor lost.
"""

import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from prometheus_client import Counter
from sqlalchemy import Row, delete, func, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

import db
from config import Config
from db import Sessions
from models.accounts import AuditEvent, User
from models.notices import Condition, see
from models.quickbooks import (
    Connection,
    ConnectionStatus,
    Revocation,
    Tokens,
    UnconfirmedCompany,
)
from outbox import lanes
from outbox.scheduler import for_a_while
from quickbooks import oauth

# a token is renewed when less than this is left of its hour
RENEW_BEFORE_END = timedelta(minutes=5)
# A sign-in that was read with the company's settings, to send the request made with them.
READ_AGAIN_AFTER = timedelta(seconds=1)
LOCK_WAIT = timedelta(seconds=12)  # longer than a refresh may take: a waiter gets its result
# an unused connection is refreshed once a day, so that it does not expire
KEEP_ALIVE_AFTER = timedelta(days=1)

REFRESHES = Counter(
    "dunahub_quickbooks_refreshes_total", "Sign-ins renewed, and what Intuit said", ["outcome"]
)

log = structlog.get_logger()


class SignedOut(Exception):
    """There is no usable sign-in, and only a person can make one."""


class TokensUnavailable(Exception):
    """There may be a sign-in, but Intuit (or our configuration) prevents its use now."""


# --- At rest ------------------------------------------------------------------------------------


def encrypt(config: Config, token: str) -> str:
    """The token as stored, encrypted with the first of TOKEN_KEYS."""
    return _vault(config).encrypt(token.encode()).decode()


def decrypt(config: Config, stored: str) -> str:
    """The token. Raises TokensUnavailable if none of our keys decrypts it."""
    try:
        return _vault(config).decrypt(stored.encode()).decode()
    except InvalidToken:
        log.error("a stored token opens with none of TOKEN_KEYS")
        raise TokensUnavailable("No key opens this token.") from None


def _vault(config: Config) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in config.token_keys])


def new_key() -> str:
    """A key for TOKEN_KEYS. Put it first, run `rotate`, then remove the old one."""
    return Fernet.generate_key().decode()


def rotate(sessions: Sessions, config: Config) -> int:
    """Encrypts everything again with the first key; returns the number of tokens."""
    vault, count = _vault(config), 0
    with sessions.begin() as session:
        for tokens in session.scalars(select(Tokens).with_for_update()):
            tokens.access_token = vault.rotate(tokens.access_token.encode()).decode()
            tokens.refresh_token = vault.rotate(tokens.refresh_token.encode()).decode()
            count += 2
        pending = select(Revocation).where(Revocation.token.is_not(None)).with_for_update()
        for revocation in session.scalars(pending):
            revocation.token = vault.rotate((revocation.token or "").encode()).decode()
            count += 1
        for company in session.scalars(select(UnconfirmedCompany).with_for_update()):
            company.access_token = vault.rotate(company.access_token.encode()).decode()
            company.refresh_token = vault.rotate(company.refresh_token.encode()).decode()
            count += 2
        with_factor = select(User).where(User.totp_secret.is_not(None)).with_for_update(of=User)
        for user in session.scalars(with_factor):
            user.totp_secret = vault.rotate((user.totp_secret or "").encode()).decode()
            count += 1
    return count


def forget_unreadable(sessions: Sessions, config: Config) -> int:
    """After losing a key: ends sign-ins that cannot be decrypted, so that their owners are asked to
    sign in again. Returns how many. Waiting entries are kept, and sent after that."""
    with sessions() as session:
        stored = session.scalars(select(Tokens)).all()
        pending = session.scalars(select(Revocation).where(Revocation.token.is_not(None))).all()
    lost = [
        tokens
        for tokens in stored
        if not (opens(config, tokens.access_token) and opens(config, tokens.refresh_token))
    ]
    hopeless = [one.id for one in pending if one.token and not opens(config, one.token)]
    with sessions.begin() as session:  # unreadable grants cannot be revoked any more
        session.execute(delete(Revocation).where(Revocation.id.in_(hopeless)))
        session.execute(delete(UnconfirmedCompany))  # the owner can choose again in a minute
    return sum(
        expire(sessions, tokens.connection_id, tokens.refresh_token, reason="keys_lost")
        for tokens in lost
    )


def opens(config: Config, stored: str) -> bool:
    """Whether one of our keys decrypts it."""
    try:
        _vault(config).decrypt(stored.encode())
    except InvalidToken:
        return False
    return True


# --- In use -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Access:
    """Company and token for a lane's calls."""

    connection_id: int
    realm_id: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class Stored:
    """What a call of a lane needs, as it was read: the token is encrypted."""

    connection_id: int
    realm_id: str
    access_token: str | None = field(repr=False)
    left: timedelta | None  # until it expires
    read_at: float = field(default_factory=time.monotonic)

    @property
    def is_current(self) -> bool:
        """Whether there was a sign-in, just before the call."""
        age = time.monotonic() - self.read_at
        return bool(self.access_token) and age < READ_AGAIN_AFTER.total_seconds()


# Columns for `stored_in`, of a connection and its tokens.
STORED = (
    "connection.id AS connection_id, connection.realm_id, tokens.access_token,"
    " tokens.access_expires_at - clock_timestamp() AS left"
)
_STORED = text(
    f"SELECT {STORED} FROM quickbooks_connections AS connection"  # noqa: S608  (only constants)
    " JOIN quickbooks_tokens AS tokens ON tokens.connection_id = connection.id"
    " WHERE connection.lane_id = :lane"
)


def stored_in(row: Row[Any]) -> Stored:
    """The columns of `STORED` as a value."""
    return Stored(row.connection_id, row.realm_id, row.access_token, row.left)


def access(
    sessions: Sessions, config: Config, lane_id: int, stored: Stored | None = None
) -> Access:
    """Everything that a lane's call needs; renews the token if less than five minutes are left.

    `stored` saves reading it, if it is current. Raises SignedOut or TokensUnavailable.
    """
    if stored is None or not stored.is_current:
        with db.single_statements(sessions) as session:
            row = session.execute(_STORED, {"lane": lane_id}).one_or_none()
        stored = stored_in(row) if row else None
    if stored is None or stored.access_token is None or stored.left is None:
        raise SignedOut("There is no sign-in for this company.")
    token = _usable(config, stored.access_token, stored.left)
    connection_id = stored.connection_id
    return Access(
        connection_id, stored.realm_id, token or _refresh(sessions, config, connection_id)
    )


def access_token(
    sessions: Sessions, config: Config, connection_id: int, *, refused: str | None = None
) -> str:
    """A token for the next call; renewed if less than five minutes are left.

    `refused` is a token that QuickBooks has just rejected: it is renewed whatever its age, unless
    another caller did so meanwhile. Raises SignedOut or TokensUnavailable.
    """
    with sessions() as session:
        tokens = session.get(Tokens, connection_id)
        if tokens is None:
            raise SignedOut("There is no sign-in for this company.")
        left = tokens.access_expires_at - _now(session)
        if token := _usable(config, tokens.access_token, left, refused):
            return token
    return _refresh(sessions, config, connection_id, refused)


def _usable(config: Config, stored: str, left: timedelta, refused: str | None = None) -> str | None:
    if left < RENEW_BEFORE_END:
        return None
    token = decrypt(config, stored)
    return None if token == refused else token


# The calls of one process wait for each other here, and not each with a database connection.
_refreshing: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)  # by connection


def _refresh(
    sessions: Sessions, config: Config, connection_id: int, refused: str | None = None
) -> str:
    turn = _refreshing[connection_id]
    if not turn.acquire(timeout=LOCK_WAIT.total_seconds()):
        raise TokensUnavailable("The sign-in is being renewed by another call.")
    try:
        return _refresh_in_turn(sessions, config, connection_id, refused)
    finally:
        turn.release()


def _refresh_in_turn(
    sessions: Sessions, config: Config, connection_id: int, refused: str | None
) -> str:
    """Asks Intuit once, with the row locked; the new pair is committed before it is used."""
    sent = ""
    try:
        oauth.endpoints(config)  # fetched now if needed, before the row is locked
        with sessions.begin() as session:
            session.execute(
                text(f"SET LOCAL lock_timeout = {LOCK_WAIT // timedelta(milliseconds=1)}")
            )
            tokens = session.get(Tokens, connection_id, with_for_update={"key_share": True})
            if tokens is None:
                raise SignedOut("The sign-in was ended meanwhile.")
            left = tokens.access_expires_at - _now(session)
            if token := _usable(config, tokens.access_token, left, refused):
                return token  # another caller has refreshed it while we waited for the lock
            sent = tokens.refresh_token
            grant = _renewed(config, decrypt(config, sent))
            store(session, config, tokens, grant)
    except oauth.GrantRefused:
        REFRESHES.labels("refused").inc()
        expire(sessions, connection_id, sent, reason="refused")
        raise SignedOut("Intuit no longer renews this sign-in.") from None
    except oauth.Misconfigured:
        REFRESHES.labels("misconfigured").inc()
        note_misconfigured(sessions)
        raise TokensUnavailable("Our own configuration is wrong.") from None
    except oauth.Unavailable as problem:
        REFRESHES.labels("unavailable").inc()
        log.warning("refresh failed", connection=connection_id, problem=str(problem))
        raise TokensUnavailable(str(problem)) from None
    except OperationalError as problem:
        raise TokensUnavailable("The sign-in is being renewed by someone else.") from problem
    REFRESHES.labels("renewed").inc()
    _note_hard_expiry(sessions, connection_id, grant)
    return grant.access_token


def _renewed(config: Config, refresh_token: str) -> oauth.Grant:
    """A fresh grant. Asks twice before it accepts a refusal, because
    the next step is a person at Intuit's page."""
    try:
        return oauth.refresh(config, refresh_token)
    except oauth.GrantRefused:
        log.warning("a sign-in was refused; asking once more")
        return oauth.refresh(config, refresh_token)


def note_misconfigured(sessions: Sessions) -> None:
    """Intuit does not know our app: tells operators, because customers cannot fix it."""
    log.error("Intuit does not accept QUICKBOOKS_CLIENT_ID and QUICKBOOKS_CLIENT_SECRET")
    with sessions.begin() as session:
        see(session, Condition.APP_REFUSED, "Intuit app")


def _note_hard_expiry(sessions: Sessions, connection_id: int, grant: oauth.Grant) -> None:
    """Stores the day on which the sign-in ends permanently;
    separately, because of the lock order."""
    if grant.hard_lasts is None:
        return
    with sessions.begin() as session:
        ends_at = _now(session) + grant.hard_lasts
        known = session.scalar(
            select(Connection.hard_expires_at).where(Connection.id == connection_id)
        )
        if known is None or abs(ends_at - known) > timedelta(hours=1):
            session.execute(
                update(Connection)
                .where(Connection.id == connection_id)
                .values(hard_expires_at=ends_at)
            )


def store(session: Session, config: Config, tokens: Tokens, grant: oauth.Grant) -> None:
    """Stores a grant in its row."""
    now = _now(session)
    tokens.access_token = encrypt(config, grant.access_token)
    tokens.refresh_token = encrypt(config, grant.refresh_token)
    tokens.access_expires_at = now + grant.access_lasts
    tokens.refresh_expires_at = now + grant.refresh_lasts
    tokens.refreshed_at = now


def _now(session: Session) -> datetime:
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


# --- The end of a sign-in -----------------------------------------------------------------------

# companies that refuse us within ten minutes for one reason: more likely our mistake
MIN_REFUSED_ALIKE = 3
_EXPIRED_ALIKE = text(
    """
    SELECT count(*) FROM quickbooks_connections
    WHERE status = 'expired' AND status_reason = :reason
      AND status_since > clock_timestamp() - interval '10 minutes'
    """
)


def expire(sessions: Sessions, connection_id: int, stored: str, *, reason: str) -> bool:
    """Marks a connection whose sign-in Intuit refused, and holds its lane, together.

    `stored` is the refused token as stored: if the row has another one by now, it was renewed
    meanwhile, perhaps by a reconnect, and nothing is changed. Returns False then.
    """
    with sessions.begin() as session:
        connection = session.get(Connection, connection_id, with_for_update={"key_share": True})
        tokens = session.get(Tokens, connection_id, with_for_update={"key_share": True})
        if connection is None or tokens is None:
            return False
        if stored not in (tokens.refresh_token, tokens.access_token):
            return False
        if connection.status != ConnectionStatus.CONNECTED:
            return False
        connection.status = ConnectionStatus.EXPIRED
        connection.status_reason = reason
        connection.status_since = _now(session)
        lanes.hold(session, connection.lane_id, "signed_out")
        session.add(
            AuditEvent(
                organization_id=connection.organization_id,
                action="quickbooks.expired",
                details={"company": connection.company_name, "reason": reason},
            )
        )
        alike = session.scalar(_EXPIRED_ALIKE, {"reason": reason}) or 0
    log.warning("connection expired", connection=connection_id, reason=reason)
    if alike >= MIN_REFUSED_ALIKE:
        log.error("many companies refuse us at once: is our own configuration right?", count=alike)
    return True


def expire_refused(sessions: Sessions, config: Config, connection_id: int, refused: str) -> bool:
    """Marks a connection whose fresh access token QuickBooks refused repeatedly.

    If many companies refuse us within ten minutes, our own configuration is the cause: those that
    were marked are restored, and everything waits for operators. Raises TokensUnavailable then.
    """
    with sessions() as session:
        tokens = session.get(Tokens, connection_id)
        is_ours = session.scalar(_REFUSED_EVERYWHERE)
    if tokens is None or decrypt(config, tokens.access_token) != refused:
        return False
    if not is_ours and not expire(
        sessions, connection_id, tokens.access_token, reason="access_refused"
    ):
        return False
    if is_ours or _restore_when_many(sessions):
        note_misconfigured(sessions)
        raise TokensUnavailable("Every company refuses us: our own configuration is wrong.")
    return True


_REFUSED_EVERYWHERE = text(
    """
    SELECT EXISTS (SELECT FROM notices
                   WHERE kind = 'app_refused' AND lasts
                     AND seen_at > clock_timestamp() - interval '10 minutes')
    """
)


def _restore_when_many(sessions: Sessions) -> bool:
    """Undoes such marks if there are too many at the same time to be the companies' fault."""
    with sessions.begin() as session:
        alike = session.scalars(
            select(Connection)
            .where(
                Connection.status == ConnectionStatus.EXPIRED,
                Connection.status_reason == "access_refused",
                Connection.status_since > func.clock_timestamp() - timedelta(minutes=10),
            )
            .order_by(Connection.id)
            .with_for_update(key_share=True, of=Connection)
        ).all()
        if len(alike) < MIN_REFUSED_ALIKE:
            return False
        for connection in alike:
            connection.status = ConnectionStatus.CONNECTED
            connection.status_reason = None
            connection.status_since = _now(session)
            lanes.reopen(session, connection.lane_id)
    return True


def keep_alive_due(sessions: Sessions, config: Config) -> int:
    """Refreshes connections that were unused for a day, before they expire; returns how many."""
    with sessions() as session:
        idle = session.scalars(
            select(Tokens.connection_id)
            .join(Connection, Connection.id == Tokens.connection_id)
            .where(
                Connection.status == ConnectionStatus.CONNECTED,
                Connection.environment == config.environment,
                Tokens.refreshed_at < func.clock_timestamp() - KEEP_ALIVE_AFTER,
            )
            .order_by(func.random())
        ).all()

    def keep(connection_id: int) -> bool:
        try:
            access_token(sessions, config, connection_id)
        except (SignedOut, TokensUnavailable):
            return False
        return True

    return for_a_while(idle, keep)
