"""Makes or restores a connection after the consent page (`consenting`).

No transaction is open during calls to Intuit: everything is read before, and checked again under
the locks. Lock order: connection → tokens → lane.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from config import Config
from db import Sessions, breaks
from languages import N_
from models.accounts import AuditEvent, User
from models.base import Json
from models.quickbooks import (
    Connection,
    ConnectionStatus,
    OAuthState,
    Tokens,
    UnconfirmedCompany,
)
from models.sales import Lead, Record, RecordType
from outbox import counterparts, lanes
from quickbooks import directory, facts, oauth, tokens, unconfirmed
from quickbooks.consenting import (
    Asked,
    CompanyTaken,
    Connected,
    Finished,
    Misconfigured,
    NotAllowed,
    OtherCompany,
    TryAgain,
    Unconfirmed,
    Unsuitable,
    audit_refusal,
    judge_callback,
    judge_person,
)
from quickbooks.disconnecting import audit, close, lock_rows, revoke
from quickbooks.standing import database_now, row_of
from quickbooks.trial import Act, Choice

COUNTRY, CURRENCY = "US", "USD"

log = structlog.get_logger()


def finish(sessions: Sessions, config: Config, user: User, told: Mapping[str, str]) -> Finished:
    """Processes Intuit's redirect (`state`, `code`, `realmId` or `error`).

    1. The state is checked and consumed in one statement.
    2. The company is compared with what is stored, before the code is used.
    3. Code → grant; then the company itself: country, currency, lists.
    4. A company whose connection is live is connected again at once. Any other is kept until an
       owner confirms that it is theirs: `confirm` or `decline`.

    Raises BadState or NotAllowed.
    """
    judged = judge_callback(sessions, config, user, told)
    if not isinstance(judged, Asked):
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
class _Read:
    """What was read of a company before its connection is stored. Nothing was written to it."""

    facts: Json
    settings: Json
    customers: list[Json] | None
    read_at: datetime
    choices: Mapping[int, Choice] = field(default_factory=dict)  # the owner's, for leads


def _read(
    sessions: Sessions, config: Config, asked: Asked, grant: oauth.Grant
) -> _Read | Unsuitable | TryAgain:
    reader = facts.Reader(config, asked.realm_id, grant.access_token)
    with sessions() as session:
        read_at = database_now(session)
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


def _read_customers(config: Config, asked: Asked, grant: oauth.Grant) -> list[Json] | None:
    """The company's customers, read under their own deadline. None: a job reads them later; until
    then QuickBooks itself refuses a duplicate name."""
    try:
        return directory.read_all(facts.Reader(config, asked.realm_id, grant.access_token))
    except facts.FactsUnavailable as problem:
        log.warning("customers not read at connect", realm=asked.realm_id, problem=str(problem))
        return None


def _keep(
    sessions: Sessions,
    config: Config,
    user: User,
    asked: Asked,
    grant: oauth.Grant,
    read: _Read,
) -> Unconfirmed:
    with sessions.begin() as session:
        # if two browsers do this, the later one wins
        lock_rows(session, config, asked.organization_id)
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
    """The owner confirms that the chosen company is theirs: it is connected.

    TryAgain("expired") if it does not wait for confirmation (any more): another browser may have
    chosen another one meanwhile. Raises NotAllowed.
    """
    try:
        with sessions() as session:
            organization_id = judge_person(session, user)
            company = unconfirmed.of(session, config, organization_id)
            if company is None or company.realm_id != realm_id:
                return _answered_before(session, config, organization_id, realm_id)
            asked = Asked(
                company.state_digest,
                "",
                organization_id,
                company.realm_id,
                company.settings,
                company.allowed_realm_id,
                is_live=False,
            )
            grant = unconfirmed.grant_of(config, company, database_now(session))
            read = _Read(
                dict(company.facts),
                dict(company.settings),
                company.customers,
                company.created_at,
                {int(key): Choice.of(choice) for key, choice in company.choices.items()},
            )
    except NotAllowed as refusal:
        audit_refusal(sessions, user, str(refusal))
        raise
    except tokens.TokensUnavailable:
        return TryAgain("expired")
    return _connect(sessions, config, user, asked, grant, read)


def _answered_before(
    session: Session, config: Config, organization_id: int, realm_id: str
) -> Connected | TryAgain:
    """The button was pressed twice, or nothing waits for an answer."""
    known = row_of(session, config, organization_id, realm_id)
    if known is None or known.status != ConnectionStatus.CONNECTED:
        return TryAgain("expired")
    waiting = lanes.waiting_behind_line(session, known.lane_id)
    return Connected(known.id, known.company_name, True, waiting, replayed=True)


def decline(sessions: Sessions, config: Config, user: User, realm_id: str) -> str | None:
    """It is not their company: forgets it, and ends the grant at Intuit. Returns its name, or None
    if it did not wait for an answer. Raises NotAllowed."""
    with sessions.begin() as session:
        organization_id = judge_person(session, user)
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
        revoke(sessions, config, revocation_id)
    return name


def drop_unconfirmed(sessions: Sessions) -> int:
    """Forgets companies that were not confirmed in time; returns how many."""
    with sessions.begin() as session:
        return unconfirmed.drop_old(session)


def _connect(
    sessions: Sessions,
    config: Config,
    user: User,
    asked: Asked,
    grant: oauth.Grant,
    read: _Read,
) -> Finished:
    """Stores row, tokens and lane together, under the locks. If two firms do this at
    the same time, a unique index decides; the loser's tokens are dropped but not
    revoked, because that could end the winner's grant."""
    reader = facts.Reader(config, asked.realm_id, grant.access_token)
    facts.ensure_fallback_item(reader, read.facts, read.settings)
    try:
        with sessions.begin() as session:
            return _store(session, config, user, asked, grant, read)
    except IntegrityError as problem:
        if not breaks(problem, "uq_quickbooks_connections_live_company"):
            raise
        return CompanyTaken()
    except _ConnectedMeanwhile as other:
        _drop(sessions, config, asked, grant)
        return OtherCompany(asked.realm_id, other.company_name, read.facts["name"])
    except NotAllowed as refusal:
        audit_refusal(sessions, user, str(refusal))
        _drop(sessions, config, asked, grant)
        raise


class _ConnectedMeanwhile(Exception):
    """A second browser of the same organization has connected another company."""

    def __init__(self, company_name: str) -> None:
        super().__init__(company_name)
        self.company_name = company_name


def _drop(sessions: Sessions, config: Config, asked: Asked, grant: oauth.Grant) -> None:
    """Ends a fresh grant that is not kept, unless that would end one in use."""
    with sessions() as session:
        in_use = session.scalar(
            select(Connection.id).where(
                Connection.environment == config.environment,
                Connection.realm_id == asked.realm_id,
                Connection.is_live,
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
    asked: Asked,
    grant: oauth.Grant,
    read: _Read,
) -> Connected | TryAgain:
    """Stores the row, its tokens and its lane together: new ones, or the existing ones."""
    rows = lock_rows(session, config, asked.organization_id)
    # uses the locked row, because its region may have just changed
    organization_id = judge_person(session, user)
    if organization_id != asked.organization_id:
        raise NotAllowed(N_("The organization changed while connecting."))
    mine = next((row for row in rows if row.realm_id == asked.realm_id), None)
    chosen = mine.settings if mine and asked.is_live else _take_unconfirmed(session, asked)
    if chosen is None:
        return _answered_before(session, config, organization_id, asked.realm_id)
    _close_others(session, [row for row in rows if row is not mine], user, asked)
    _name_leads(session, organization_id, read.choices)
    was_known = mine is not None
    now = database_now(session)
    mine = mine or _new_row(session, config, organization_id, asked.realm_id)
    mine.status = ConnectionStatus.CONNECTED
    mine.status_reason = None
    mine.status_since = mine.connected_at = now
    mine.connected_by_id = user.id
    mine.hard_expires_at = now + grant.hard_lasts if grant.hard_lasts else None
    facts.store(session, mine, read.facts, _settings(asked, read, chosen))
    session.flush()  # the unique index decides here
    if read.customers is None:
        mine.customers_read_at = None
    else:
        directory.store(session, mine, read.customers, read.read_at, whole=True)
    _store_tokens(session, config, mine, grant)
    if was_known:
        lanes.reopen(session, mine.lane_id)
    for lead_id in _still_there(session, organization_id, read.choices):
        lead, choice = Record(RecordType.LEAD, lead_id), read.choices[lead_id]
        counterparts.decide(session, mine.lane_id, lead, choice.decision)
    session.execute(
        update(OAuthState)
        .where(OAuthState.digest == asked.state_digest)
        .values(connection_id=mine.id)
    )
    audit(session, mine, user.id, "quickbooks.reconnected" if was_known else "quickbooks.connected")
    waiting = lanes.waiting_behind_line(session, mine.lane_id)
    return Connected(mine.id, mine.company_name, was_known, waiting)


def _close_others(session: Session, rows: Sequence[Connection], user: User, asked: Asked) -> None:
    for row in rows:
        if row.is_live and asked.realm_id != asked.allowed_realm_id:
            raise _ConnectedMeanwhile(row.company_name)
        if row.is_live:
            close(session, row, user, "another company was connected")


def _new_row(session: Session, config: Config, organization_id: int, realm_id: str) -> Connection:
    lane = lanes.create(session, organization_id)
    made = Connection(
        organization_id=organization_id,
        lane_id=lane.id,
        environment=config.environment,
        realm_id=realm_id,
    )
    session.add(made)
    return made


def _name_leads(session: Session, organization_id: int, choices: Mapping[int, Choice]) -> None:
    """Gives leads the names that QuickBooks is to have them by. Nothing is captured by it, since
    the lane is not open yet: what they choose is for when they are sent."""
    for lead_id in _still_there(session, organization_id, choices):
        choice = choices[lead_id]
        if choice.act == Act.CREATE_AS:
            session.get_one(Lead, lead_id).quickbooks_name = choice.value
    session.flush()


def _still_there(
    session: Session, organization_id: int, choices: Mapping[int, Choice]
) -> Sequence[int]:
    """The firm's leads among those for which something was chosen."""
    mine = select(Lead.id).where(
        Lead.organization_id == organization_id,
        Lead.id.in_(choices),
        Lead.deleted_at.is_(None),
    )
    return session.scalars(mine.order_by(Lead.id)).all()


def _settings(asked: Asked, read: _Read, chosen: Json) -> Json:
    """What was chosen while the company was read counts, as in `facts.refresh`."""
    return read.settings if chosen == asked.chosen else facts.choose_settings(read.facts, chosen)


def _take_unconfirmed(session: Session, asked: Asked) -> Json | None:
    """What was chosen for the company that waited. If two answers arrive about one, the first one
    wins: then None."""
    taken = session.execute(
        delete(UnconfirmedCompany)
        .where(
            UnconfirmedCompany.organization_id == asked.organization_id,
            UnconfirmedCompany.state_digest == asked.state_digest,
        )
        .returning(UnconfirmedCompany.settings)
    )
    return taken.scalar()


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
