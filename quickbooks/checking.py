"""Checks whether a connected company still accepts our access, and how it is set up now.

Renewing the sign-in is free and detects access that was ended inside QuickBooks; two reads get the
preferences. For a person who waits, or when a fault contradicts what we know.
"""

from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus

import structlog
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.base import Json
from models.outbox import Entry, State
from models.quickbooks import Connection, ConnectionStatus, Tokens
from outbox import lanes
from outbox.company import Answer, Hold, Pause
from outbox.scheduler import for_a_while
from quickbooks import facts, tokens
from quickbooks.reading import trouble_of_question

MAY_TAKE = 8.0  # seconds for both reads, while a person waits
# Refusals caused by the company's settings: our copy of them is outdated.
CONTRADICTIONS = ("6200", "6210", "6140", "6160", "6230", "discounts_off")
AGAIN_AFTER = timedelta(minutes=10)  # if it could not be read

log = structlog.get_logger()


class Checked(StrEnum):
    """The result of a check."""

    ANSWERS = "answers"
    SIGNED_OUT = "signed_out"  # the connection has been marked as expired
    # QuickBooks answers, but not what was asked. Nothing is held: a write must confirm that.
    REFUSED = "refused"  # a sign-in that was renewed just now
    ACCESS_LOST = "access_lost"
    PLAN_LAPSED = "plan_lapsed"
    COMPANY_RESET = "company_reset"
    BUSY = "busy"
    UNCLEAR = "unclear"
    UNREACHABLE = "unreachable"


def check(sessions: Sessions, config: Config, connection_id: int) -> Checked:
    """Checks the company, and stores its preferences.

    Takes up to about twenty seconds. The caller must have no transaction open.
    """
    try:
        company = _read(sessions, config, connection_id)
    except tokens.SignedOut:
        return Checked.SIGNED_OUT
    except tokens.TokensUnavailable as problem:
        log.info("company not checked", connection=connection_id, problem=str(problem))
        return Checked.UNREACHABLE
    except facts.FactsUnavailable as problem:
        log.info("company not checked", connection=connection_id, problem=str(problem))
        return _refused(problem.answer)
    with sessions.begin() as session:
        connection = session.get(Connection, connection_id, with_for_update={"key_share": True})
        if connection is not None:
            connection.facts = {**connection.facts, **company}
            connection.company_name = company["name"]
            connection.checked_at = func.clock_timestamp()
            facts.send_with_discounts(session, connection)
            session.flush()
            lanes.questions_answered(session, connection.lane_id)
    return Checked.ANSWERS


def _refused(answer: Answer | None) -> Checked:
    """Why a check has no result, by what QuickBooks answered."""
    if answer is None:
        return Checked.UNCLEAR
    match trouble_of_question(answer, found=False):
        case Hold(reason=("access_lost" | "plan_lapsed" | "company_reset") as reason):
            return Checked(reason)
        case Pause(reason="throttled"):
            return Checked.BUSY
        case _ if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return Checked.REFUSED
        case Hold():
            return Checked.REFUSED
        case Pause():
            return Checked.UNREACHABLE
        case None:
            return Checked.UNCLEAR


def _read(sessions: Sessions, config: Config, connection_id: int) -> Json:
    with sessions() as session:
        realm_id = session.get_one(Connection, connection_id).realm_id
        stored = session.get(Tokens, connection_id)
        if stored is None:
            raise tokens.SignedOut("There is no sign-in for this company.")
        known = tokens.decrypt(config, stored.access_token)
    token = tokens.access_token(sessions, config, connection_id, refused=known)
    return facts.read_company(facts.Reader(config, realm_id, token, may_take=MAY_TAKE))


def check_contradicted(sessions: Sessions, config: Config) -> int:
    """Reads the preferences of companies whose refusals contradict our copy; returns how many."""
    with sessions() as session:
        contradicted = _contradicted(session, config)
    return for_a_while(contradicted, lambda key: check(sessions, config, key) is Checked.ANSWERS)


def _contradicted(session: Session, config: Config) -> list[int]:
    known_at = func.greatest(Connection.checked_at, Connection.facts_read_at)
    refused = (
        select(Entry.id)
        .where(
            Entry.organization_id == Connection.organization_id,
            Entry.lane_id == Connection.lane_id,
            Entry.state == State.FAILED,
            Entry.fault_code.in_(CONTRADICTIONS),
            or_(known_at.is_(None), Entry.settled_at > known_at),
            # Don't ask every minute about one that cannot be read.
            Entry.settled_at > func.clock_timestamp() - AGAIN_AFTER,
        )
        .exists()
    )
    connected = Connection.status == ConnectionStatus.CONNECTED
    ours = Connection.environment == config.environment
    return list(session.scalars(select(Connection.id).where(connected, ours, refused)))
