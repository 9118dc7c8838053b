"""A company chosen at Intuit but not confirmed yet: kept for a while, then dropped.

Intuit's consent page lists every company of a sign-in, and it is easy to choose the wrong one. So
the grant is stored separately, with facts of the company, until an owner confirms that it is
theirs.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Interval, cast, delete, func, literal, or_, select
from sqlalchemy.orm import Session

from config import Config
from models.base import Json
from models.quickbooks import Connection, Revocation, UnconfirmedCompany
from quickbooks import oauth, tokens

KEPT_FOR = timedelta(minutes=50)  # its access token lasts an hour, and is not renewed
# The fields needed for matching and for `directory.store`.
_KEPT_OF_CUSTOMERS = (
    "Id",
    "SyncToken",
    "DisplayName",
    "PrimaryEmailAddr",
    "PrimaryPhone",
    "Active",
    "CurrencyRef",
)


def keep(session: Session, config: Config, grant: oauth.Grant, company: UnconfirmedCompany) -> None:
    """Stores it, replacing an earlier choice of the organization, whose grant is ended."""
    earlier = session.get(UnconfirmedCompany, company.organization_id, with_for_update=True)
    if earlier is not None:
        drop(session, earlier)
    spare(session, company.environment, company.realm_id)
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    company.access_token = tokens.encrypt(config, grant.access_token)
    company.refresh_token = tokens.encrypt(config, grant.refresh_token)
    company.access_expires_at = now + grant.access_lasts
    company.refresh_expires_at = now + grant.refresh_lasts
    company.hard_expires_at = now + grant.hard_lasts if grant.hard_lasts else None
    session.add(company)
    session.flush()


def customers_kept(rows: list[Json] | None) -> list[Json] | None:
    """The fields of each customer that are needed once the company is confirmed."""
    if rows is None:
        return None
    return [{key: row[key] for key in _KEPT_OF_CUSTOMERS if key in row} for row in rows]


def of(
    session: Session, config: Config, organization_id: int, *, lock: bool = False
) -> UnconfirmedCompany | None:
    """The company that waits for the organization's confirmation, if any."""
    waiting = select(UnconfirmedCompany).where(
        UnconfirmedCompany.organization_id == organization_id,
        UnconfirmedCompany.environment == config.environment,
        ~_is_over(),
    )
    return session.scalar(waiting.with_for_update() if lock else waiting)


def grant_of(config: Config, company: UnconfirmedCompany, now: datetime) -> oauth.Grant:
    """Its grant, with the remaining lifetimes. Raises tokens.TokensUnavailable."""
    return oauth.Grant(
        access_token=tokens.decrypt(config, company.access_token),
        refresh_token=tokens.decrypt(config, company.refresh_token),
        access_lasts=company.access_expires_at - now,
        refresh_lasts=company.refresh_expires_at - now,
        hard_lasts=company.hard_expires_at - now if company.hard_expires_at else None,
    )


def drop(session: Session, company: UnconfirmedCompany) -> Revocation | None:
    """Forgets it. Its grant is to be revoked at Intuit, unless that would end one in use."""
    session.execute(
        delete(UnconfirmedCompany).where(
            UnconfirmedCompany.organization_id == company.organization_id
        )
    )
    session.expunge(company)
    if _is_used(session, company.environment, company.realm_id):
        return None
    revocation = Revocation(
        organization_id=company.organization_id,
        realm_id=company.realm_id,
        token=company.refresh_token,
    )
    session.add(revocation)
    session.flush()
    return revocation


def _is_used(session: Session, environment: str, realm_id: str) -> bool:
    live = select(Connection.id).where(
        Connection.environment == environment,
        Connection.realm_id == realm_id,
        Connection.is_live,
    )
    chosen = select(UnconfirmedCompany.organization_id).where(
        UnconfirmedCompany.environment == environment, UnconfirmedCompany.realm_id == realm_id
    )
    return bool(session.scalar(select(or_(live.exists(), chosen.exists()))))


def spare(session: Session, environment: str, realm_id: str) -> None:
    """Drops pending revokes for this company, ours or a previous organization's: access was just
    granted, and they could end the new grant, too."""
    of_company = select(Connection.id).where(
        Connection.environment == environment, Connection.realm_id == realm_id
    )
    session.execute(
        delete(Revocation).where(
            or_(Revocation.connection_id.in_(of_company), Revocation.realm_id == realm_id),
            Revocation.revoked_at.is_(None),
        )
    )


def drop_old(session: Session) -> int:
    """Forgets companies that were not confirmed in time; returns how many."""
    old = session.scalars(
        select(UnconfirmedCompany).where(_is_over()).with_for_update(skip_locked=True)
    ).all()
    for company in old:
        drop(session, company)
    return len(old)


def _is_over() -> ColumnElement[bool]:
    lasts = cast(literal(KEPT_FOR), Interval)
    return UnconfirmedCompany.created_at + lasts <= func.clock_timestamp()


# --- Whose company is it? -------------------------------------------------------------------------

_SAYS_NOTHING = frozenset(
    "a and the of co company corp corporation inc incorporated llc llp lp ltd pc pllc".split()
)


def names_agree(ours: str, company: Mapping[str, Any]) -> bool:
    """Whether the company, by its name or legal name, may be the one we know as `ours`.

    "Rivera Plumbing" agrees with "Rivera Plumbing, LLC" and "Rivera Plumbing & Heating"; it does
    not agree with "Oak Plumbing".
    """
    mine = _words(ours)
    theirs = [_words(str(company.get(key) or "")) for key in ("name", "legal_name")]
    return any(bool(mine & words) and (mine <= words or words <= mine) for words in theirs)


def _words(name: str) -> set[str]:
    """The words of a name without its legal form; all words if nothing else is left."""
    plain = "".join(character if character.isalnum() else " " for character in name.casefold())
    words = set(plain.replace(" s ", " ").split())
    return words - _SAYS_NOTHING or words
