"""Finds lasting conditions that someone must know about. Every process looks once a minute.

A condition found again keeps its row; one that is gone ends, whether or not it was reported. So
nobody gets an e-mail about a resolved problem, or two about one that lasts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Row, func, select, text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.base import Json
from models.notices import Condition, Notice, see
from models.quickbooks import Tokens
from quickbooks.tokens import opens

DOWN_FOR_OWNER = timedelta(days=1)
DOWN_FOR_OPERATORS = timedelta(days=3)
UNREAD_FOR_OPERATORS = timedelta(days=1)
READS_REFUSED_FOR_OPERATORS = timedelta(hours=1)
DAYS_BEFORE_END = (1, 7, 30)  # of a sign-in
DIGEST_AFTER = timedelta(minutes=15)  # so that failures at about the same time share one letter
DIGEST_EVERY = timedelta(days=1)
MIN_REFUSED_ALIKE = 3  # companies refused within ten minutes: more likely our mistake than theirs

Causes = dict[str, int]  # failed records per code of the fault

log = structlog.get_logger()


FOR_OPERATORS = frozenset(
    {
        Condition.DOWN_LONG,
        Condition.APP_REFUSED,
        Condition.REFUSED_ALIKE,
        Condition.KEYS_LOST,
        Condition.CUSTOMERS_UNREAD,
        Condition.READS_USED_UP,
    }
)


@dataclass(frozen=True)
class Seen:
    kind: Condition
    subject: str
    organization_id: int | None
    about: Json


def look(sessions: Sessions, config: Config) -> None:
    """Records the conditions that are present and ends those that are gone."""
    with sessions.begin() as session:
        began_at = session.execute(select(func.clock_timestamp())).scalar_one()
        for seen in _seen(session, config):
            if see(
                session,
                seen.kind,
                seen.subject,
                organization_id=seen.organization_id,
                about=seen.about,
            ):
                log.warning("notice", kind=seen.kind, subject=seen.subject)
        _digest(session)
        session.execute(_END_WHAT_IS_GONE, {"began_at": began_at})


# A condition ends when it was not seen for a while, or if it was gone before it was reported.
# APP_REFUSED is only noticed when a sign-in is renewed, which is rare, so it lasts longer. The
# digest ends elsewhere.
_END_WHAT_IS_GONE = text(
    f"""
    UPDATE notices SET lasts = false
    WHERE lasts AND CASE kind
        WHEN '{Condition.ATTENTION}' THEN false
        WHEN '{Condition.APP_REFUSED}' THEN seen_at < clock_timestamp() - interval '6 hours'
        ELSE seen_at < clock_timestamp() - interval '30 minutes'  -- a lapsed plan is tried
             OR told_at IS NULL AND seen_at < :began_at
    END
    """  # noqa: S608  (only constants of ours are put together)
)


def _seen(session: Session, config: Config) -> Iterator[Seen]:
    for row in session.execute(_CONNECTIONS, {"environment": config.environment}):
        yield from _of_connection(row)
    yield from _for_operators(session.execute(_OPERATORS).one())
    if lost := _unreadable(session, config):
        yield Seen(Condition.KEYS_LOST, "TOKEN_KEYS", None, {"companies": lost})
    after = {"environment": config.environment, "after": UNREAD_FOR_OPERATORS}
    for row in session.execute(_UNREAD, after):
        about = {"connection": row.id, "company": row.company_name}
        yield Seen(Condition.CUSTOMERS_UNREAD, f"connection {row.id}", row.organization_id, about)


def _of_connection(row: Row[tuple[Any, ...]]) -> Iterator[Seen]:
    subject, name = f"connection {row.id}", {"company": row.company_name}
    if row.stopped:
        reason = row.hold_reason or row.status_reason or ""
        yield Seen(Condition.STOPPED, subject, row.organization_id, name | {"reason": reason})
    elif _exceeds(row.down, DOWN_FOR_OWNER):
        yield Seen(Condition.DOWN, subject, row.organization_id, name)
    if row.left is not None and not row.stopped and row.left < timedelta(max(DAYS_BEFORE_END)):
        days = next(days for days in DAYS_BEFORE_END if row.left < timedelta(days))
        ends = {"days": days, "ends_on": f"{row.hard_expires_at:%Y-%m-%d}"}
        subject = f"{subject}, {row.hard_expires_at:%Y-%m-%d}, {days} days"
        yield Seen(Condition.ENDING, subject, row.organization_id, name | ends)


def _for_operators(trouble: Row[tuple[Any, ...]]) -> Iterator[Seen]:
    if _exceeds(trouble.down, DOWN_FOR_OPERATORS):
        yield Seen(Condition.DOWN_LONG, "QuickBooks", None, {"companies": trouble.companies_down})
    if trouble.refused_alike >= MIN_REFUSED_ALIKE:
        yield Seen(Condition.REFUSED_ALIKE, "sign-ins", None, {"companies": trouble.refused_alike})
    if _exceeds(trouble.reads_refused, READS_REFUSED_FOR_OPERATORS):
        about = {"companies": trouble.companies_unread}
        yield Seen(Condition.READS_USED_UP, "QuickBooks", None, about)


def _exceeds(lasted: timedelta | None, limit: timedelta) -> bool:
    return lasted is not None and lasted > limit


# Since when an open lane gets no answer: of writes, or of questions if no write was answered since.
# Unanswered questions matter as long as what asked them waits.
_SILENT_SINCE = """
    SELECT CASE WHEN lane.state = 'open' THEN least(lane.outage_since, (
        SELECT lane.questions_rest_since
        WHERE lane.questions_rest_reason = 'outage'
          AND (lane.last_synced_at IS NULL OR lane.last_synced_at < lane.questions_rest_since)
          AND EXISTS (SELECT FROM outbox AS entry
                      WHERE entry.lane_id = lane.id AND entry.state = 'pending'
                        AND NOT entry.withheld AND entry.created_at <= lane.questions_rest_since)
    )) END AS since
"""

# Connections of firms that have QuickBooks.
_CONNECTIONS = text(
    f"""
    SELECT connection.id, connection.organization_id, connection.company_name,
           connection.status_reason, connection.hard_expires_at, lane.hold_reason,
           connection.status = 'expired' OR lane.state = 'held' AS stopped,
           clock_timestamp() - silent.since AS down,
           connection.hard_expires_at - clock_timestamp() AS left
    FROM quickbooks_connections AS connection
    JOIN organizations AS organization
      ON organization.id = connection.organization_id AND organization.region = 'US'
    JOIN outbox_lanes AS lane ON lane.id = connection.lane_id
    CROSS JOIN LATERAL ({_SILENT_SINCE}) AS silent
    WHERE connection.environment = :environment AND connection.status <> 'disconnected'
      AND (connection.status = 'expired' OR lane.state = 'held' OR silent.since IS NOT NULL
           OR connection.hard_expires_at < clock_timestamp() + interval '30 days')
    """  # noqa: S608  (only a constant of ours is put in)
)

_OPERATORS = text(
    f"""
    WITH lanes AS (
        SELECT silent.since
        FROM outbox_lanes AS lane CROSS JOIN LATERAL ({_SILENT_SINCE}) AS silent
        WHERE lane.outage_since IS NOT NULL OR lane.questions_rest_since IS NOT NULL
    )
    SELECT (SELECT clock_timestamp() - min(since) FROM lanes) AS down,
           (SELECT count(since) FROM lanes) AS companies_down,
           (SELECT max(clock_timestamp() - questions_rest_since) FROM outbox_lanes
            WHERE state = 'open' AND questions_rest_reason = 'throttled') AS reads_refused,
           (SELECT count(*) FROM outbox_lanes
            WHERE state = 'open' AND questions_rest_reason = 'throttled') AS companies_unread,
           (SELECT coalesce(max(alike), 0) FROM (
                SELECT count(*) AS alike FROM quickbooks_connections
                WHERE status = 'expired'
                  AND status_since > clock_timestamp() - interval '10 minutes'
                GROUP BY status_reason) AS reasons) AS refused_alike
    """  # noqa: S608  (only a constant of ours is put in)
)

# New leads that wait because the company's customers have not been read.
_UNREAD = text(
    """
    SELECT connection.id, connection.organization_id, connection.company_name
    FROM quickbooks_connections AS connection
    JOIN organizations AS organization
      ON organization.id = connection.organization_id AND organization.region = 'US'
    JOIN outbox_lanes AS lane ON lane.id = connection.lane_id AND lane.state = 'open'
    WHERE connection.environment = :environment AND connection.status = 'connected'
      AND connection.customers_read_at IS NULL
      AND connection.connected_at < clock_timestamp() - CAST(:after AS interval)
      AND EXISTS (
          SELECT FROM outbox AS entry
          WHERE entry.lane_id = lane.id AND entry.state = 'pending'
            AND entry.aggregate_type = 'lead' AND NOT entry.withheld
            AND NOT EXISTS (
                SELECT FROM outbox_links AS link
                WHERE link.lane_id = lane.id AND link.aggregate_type = 'lead'
                  AND link.aggregate_id = entry.aggregate_id AND link.remote_id IS NOT NULL))
    """
)


def _unreadable(session: Session, config: Config) -> int:
    stored = session.scalars(select(Tokens.refresh_token))
    return sum(not opens(config, token) for token in stored)


# --- What waits for a person: a digest, when causes grow ------------------------------------------

_FAILED = text(
    """
    SELECT entry.organization_id, coalesce(entry.fault_code, '') AS code, count(*) AS records,
           min(entry.settled_at) < clock_timestamp() - CAST(:after AS interval) AS is_ripe
    FROM outbox AS entry
    JOIN organizations AS organization
      ON organization.id = entry.organization_id AND organization.region = 'US'
    JOIN outbox_lanes AS lane ON lane.id = entry.lane_id AND lane.state <> 'closed'
    WHERE entry.state = 'failed'
    GROUP BY entry.organization_id, entry.fault_code
    """
)


def _digest(session: Session) -> None:
    """One row per organization, with the `causes` already reported.
    It ends when nothing is left."""
    causes, ripe = _failing(session)
    lasting = {
        notice.organization_id or 0: notice
        for notice in session.scalars(
            select(Notice)
            .where(Notice.lasts, Notice.kind == Condition.ATTENTION)
            .with_for_update(skip_locked=True)
        )
    }
    now = session.execute(select(func.clock_timestamp())).scalar_one()
    for organization_id, notice in lasting.items():
        _bring_up_to_date(session, organization_id, notice, causes.get(organization_id, {}), now)
    for organization_id in ripe - lasting.keys():
        _see_attention(session, organization_id, causes[organization_id])


def _failing(session: Session) -> tuple[dict[int, Causes], set[int]]:
    """Causes of failures per organization, and the organizations to report them to."""
    causes: dict[int, Causes] = {}
    ripe: set[int] = set()
    for row in session.execute(_FAILED, {"after": DIGEST_AFTER}):
        causes.setdefault(row.organization_id, {})[row.code] = row.records
        if row.is_ripe:
            ripe.add(row.organization_id)
    return causes, ripe


def _bring_up_to_date(
    session: Session, organization_id: int, notice: Notice, found: Causes, now: datetime
) -> None:
    """Ends the notice if nothing is left, or if another is due because causes have grown."""
    if notice.told_at is None:
        notice.about = {"causes": found}
        notice.lasts = bool(found)
        return
    # What was fixed and fails again is reported again.
    known: Causes = notice.about["causes"]
    reported = {code: min(count, found.get(code, 0)) for code, count in known.items()}
    notice.about = {"causes": reported}
    has_grown = any(count > reported.get(code, 0) for code, count in found.items())
    is_next_due = has_grown and notice.told_at < now - DIGEST_EVERY
    notice.lasts = bool(found) and not is_next_due
    if is_next_due:
        session.flush()
        _see_attention(session, organization_id, found)


def _see_attention(session: Session, organization_id: int, causes: Causes) -> None:
    see(
        session,
        Condition.ATTENTION,
        f"organization {organization_id}",
        organization_id=organization_id,
        about={"causes": causes},
    )
