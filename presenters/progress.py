"""The progress of long work, computed from the database, so that a person can leave and return.

Of all entries that were waiting at some moment (a reconnect, a decision), some are settled now and
the others still wait. No separate progress is stored.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flask import url_for
from markupsafe import Markup, escape
from sqlalchemy import Integer, case, cast, func, select, text

from models.accounts import AuditEvent
from models.outbox import IS_OWN_CHECK, LaneState
from models.quickbooks import Connection
from presenters.status import PACE
from web.access import session
from web.asking import MAX_SINCE_AGE, POLL_PAUSES, pause_after
from web.formats import moment
from web.languages import _, ngettext

MIN_RECORDS_SHOWN = 20  # records: fewer are sent before one has read the number
HELD_PAUSES = ((500, 15),)  # as web.asking.POLL_PAUSES: a plan is paid within minutes, or days
EVENTS_SEARCHED = 100  # of an organization's acts, searched for the last one that sent many records
BEGINNINGS = (
    "quickbooks.reconnected",
    "outbox.waiting_sent",
    "outbox.requeued",
    "outbox.sending_before_disconnect",
)


@dataclass(frozen=True)
class Progress:
    done: int
    total: int
    seconds_left: float | None = None  # None if the rate is unknown
    failed: int = 0
    stuck: int = 0  # waits for another record, or for a later retry; not: for its answer
    since: datetime | None = None
    pause_reason: str | None = None
    pause_until: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing is left that would move by itself now."""
        return self.done + self.failed + self.stuck >= self.total

    @property
    def percent(self) -> int:
        return 100 * (self.done + self.failed) // self.total if self.total else 100

    @property
    def words_below(self) -> str | Markup:
        """Why it does not move, or that it moves without the page."""
        if self.pause_until:
            sentence = _(
                "QuickBooks isn't accepting anything right now; we'll try again at %(time)s.",
                time="%s",
            )
            return escape(sentence) % moment(self.pause_until)
        return "" if self.is_over else _("You can leave this page; it will keep running.")

    @property
    def words_failed(self) -> str:
        return ngettext(
            "%(num)s record needs attention.", "%(num)s records need attention.", self.failed
        )

    @property
    def words_stuck(self) -> str:
        if not self.stuck:
            return ""
        return ngettext(
            "%(num)s record is waiting for another record, or for its next try.",
            "%(num)s records are waiting for other records, or for their next try.",
            self.stuck,
        )

    @property
    def words_left(self) -> str:
        if self.is_over or self.seconds_left is None:
            return ""
        minutes = round(self.seconds_left / 60)
        if minutes < 1:
            return _("Less than a minute left")
        if minutes < 90:
            return ngettext("About %(num)s minute left", "About %(num)s minutes left", minutes)
        hours = round(self.seconds_left / 3600)
        return ngettext("About %(num)s hour left", "About %(num)s hours left", hours)


_IS_OF_A_PERSON = f"NOT {IS_OWN_CHECK}"

_WAITED = text(
    f"""
    WITH left_over AS (
        SELECT count(*) FILTER (WHERE moves) AS moving, count(*) FILTER (WHERE NOT moves) AS stuck
        FROM (
            SELECT waits_for_type IS NULL AND (available_at <= :soon OR id IN (
                SELECT entry_id FROM outbox_dispatch_items  -- its answer may come any moment
                WHERE lane_id = :lane AND outcome IS NULL
            )) AS moves
            FROM outbox
            WHERE organization_id = :organization AND state = 'pending'
              AND lane_id = :lane AND NOT withheld AND created_at <= :since AND {_IS_OF_A_PERSON}
        ) AS pending
    ), sent AS (
        SELECT count(*) AS done, count(*) FILTER (WHERE settled_at > :lately) AS lately
        FROM outbox
        WHERE organization_id = :organization AND state = 'synced' AND settled_at >= :since
          AND lane_id = :lane AND created_at <= :since AND {_IS_OF_A_PERSON}
    ), failed AS (
        SELECT count(*) AS failed FROM outbox
        WHERE organization_id = :organization AND state = 'failed' AND settled_at >= :since
          AND lane_id = :lane AND created_at <= :since
    )
    SELECT moving, stuck, done, lately, failed, clock_timestamp() AS now
    FROM left_over, sent, failed
    """  # noqa: S608  (only constants of ours are put together)
)
RATE_WINDOW = timedelta(minutes=1)  # the rate is the number sent in the last minute


def sending_of(connection: Connection, since: datetime | None = None) -> Progress:
    """Progress of the entries that were waiting at that moment, or else at the last bulk act."""
    if since is not None:
        return _waited_at(connection, since)
    began = began_at(connection)
    found = _waited_at(connection, began) if began else None
    return found if found and not found.is_over else _waited_at(connection, datetime.now(UTC))


def _waited_at(connection: Connection, since: datetime) -> Progress:
    now = datetime.now(UTC)
    lane = connection.lane
    row = (
        session()
        .execute(
            _WAITED,
            {
                "organization": connection.organization_id,
                "lane": lane.id,
                "since": since,
                "soon": now + RATE_WINDOW,
                "lately": now - RATE_WINDOW,
            },
        )
        .one()
    )
    rate = row.lately / max(min((row.now - since), RATE_WINDOW).total_seconds(), 1)
    paused = lane.pause_until and lane.pause_until > row.now and lane.pause_reason != PACE
    flows = lane.state == LaneState.OPEN and not paused
    return Progress(
        done=row.done,
        total=row.moving + row.stuck + row.done + row.failed,
        seconds_left=row.moving / rate if rate and flows else None,
        failed=row.failed,
        stuck=row.stuck,
        since=since,
        pause_reason=lane.pause_reason if paused else None,
        pause_until=lane.pause_until if paused else None,
    )


def began_at(connection: Connection) -> datetime | None:
    """When someone last sent many records at once, if that was today.
    A single record doesn't count."""
    latest = (
        select(AuditEvent)
        .where(AuditEvent.organization_id == connection.organization_id)
        .order_by(AuditEvent.id.desc())
        .limit(EVENTS_SEARCHED)
        .subquery()
    )
    details = latest.c.details
    many = func.coalesce(
        cast(details["count"].astext, Integer),
        func.jsonb_array_length(details["entries"]),
        MIN_RECORDS_SHOWN,
    )
    # Evaluated for these acts only: the details of others have another shape.
    sets_many = case((latest.c.action.in_(BEGINNINGS), many >= MIN_RECORDS_SHOWN), else_=False)
    return session().scalar(
        select(latest.c.created_at)
        .where(sets_many, latest.c.created_at > datetime.now(UTC) - MAX_SINCE_AGE)
        .order_by(latest.c.id.desc())
        .limit(1)
    )


READING_TAKES = timedelta(hours=1)  # an upper bound even for many customers; longer means a problem


@dataclass(frozen=True)
class Moving:
    """What may change while a person looks at the page, and when to poll again."""

    progress: Progress | None
    reads_customers: str | None  # company whose customers are being read for the first time
    is_unread_long: bool  # reading has failed for longer than it takes
    address: str | None
    seconds: int | None

    @property
    def reading_sentence(self) -> str:
        if self.is_unread_long:
            return _(
                "We couldn't load the customers of %(company)s from QuickBooks yet; we'll keep"
                " trying. New customers wait here until then, to avoid duplicates. Everything else"
                " is sent.",
                company=self.reads_customers or "",
            )
        return _(
            "We are loading the customers of %(company)s from QuickBooks. New customers are sent"
            " after that, to avoid duplicates; everything else is sent now.",
            company=self.reads_customers or "",
        )


def moving_of(
    connection: Connection | None,
    since: datetime | None = None,
    round_: int = 0,
    *,
    is_delayed: bool = False,
    standing: str | None = None,
    failed: str | None = None,
) -> Moving:
    """`standing` and `failed` are what the page shows beside it; with the next poll they come back,
    to be compared."""
    if connection is None or not (
        connection.lane.state == LaneState.OPEN or connection.lane.opens_by_itself
    ):
        return Moving(None, None, False, None, None)
    is_held = connection.lane.opens_by_itself
    progress = sending_of(connection, since)
    is_long = progress.total >= MIN_RECORDS_SHOWN and (since is not None or not progress.is_over)
    reads = None if connection.customers_read_at or is_held else connection.company_name
    is_unread_long = connection.connected_at < datetime.now(UTC) - READING_TAKES
    is_still = progress.is_over and not (reads or is_delayed or is_held)
    seconds = None if is_still else pause_after(round_, HELD_PAUSES if is_held else POLL_PAUSES)
    address = url_for(
        "quickbooks.show_progress",
        since=progress.since.isoformat() if progress.since else None,
        round=round_ + 1,
        standing=standing,
        failed=failed,
    )
    return Moving(
        progress if is_long and not is_held else None,
        reads,
        is_unread_long,
        address if seconds else None,
        seconds,
    )
