"""Values of the charts: how many records arrived, how fast, and what stops the others.

Each chart is drawn from a table on the page (static/charts.js), so that screen readers and browsers
without JavaScript get the same information.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from flask import url_for
from sqlalchemy import Row, TextClause, func, select, text

from languages import N_
from models.accounts import Organization
from models.outbox import Entry, State
from quickbooks.faults import explain
from web.access import session
from web.formats import axis_day, clock, month_and_day, plain
from web.languages import _, reader

DAYS_SHOWN = 30  # of the chart on the settings page
HOURS_SHOWN = 24  # of the admin chart


@dataclass(frozen=True)
class Period:
    """A day or an hour: what happened to records in it, and how fast they arrived."""

    label: str  # short label for the axis
    name: str  # full label for the table
    at_once: int = 0
    retried: int = 0
    failed: int = 0
    half_within: float | None = None  # median seconds from saving to QuickBooks
    most_within: float | None = None  # 95th percentile

    @property
    def sent(self) -> int:
        return self.at_once + self.retried


@dataclass(frozen=True)
class Chart:
    periods: Sequence[Period]
    total: Period

    @property
    def is_empty(self) -> bool:
        return not (self.total.sent or self.total.failed)


# Events since `:since`: one row per event of a record. A record that needed attention and was sent
# by hand afterwards counts as both, on the day of each. A record sent again after it arrived counts
# once. Durations only include records that arrived without a person.
_SENT = """
    SELECT 'sent' AS what,
           CASE WHEN first_outcome = 'synced' THEN first_settled_at ELSE settled_at END AS at,
           CASE WHEN first_outcome = 'failed' THEN true
                WHEN first_outcome = 'synced' THEN was_retried
                ELSE attempts > 0 END AS retried,
           CASE WHEN first_outcome = 'synced' THEN first_settled_at - created_at
                WHEN first_outcome IS NULL AND NOT checks THEN settled_at - created_at END AS took
    FROM outbox WHERE organization_id = {organization} AND state = 'synced' AND settled_at >= :since
"""
_SENT_AND_BACK = """
    SELECT 'sent', first_settled_at, was_retried, first_settled_at - created_at FROM outbox
    WHERE organization_id = {organization} AND state IN ('pending', 'failed')
      AND first_outcome = 'synced' AND first_settled_at >= :since
"""
_FAILED_FIRST = """
    SELECT 'failed', first_settled_at, false, NULL::interval FROM outbox
    WHERE organization_id = {organization} AND first_outcome = 'failed'
      AND first_settled_at >= :since
"""
_FAILED_LATER = """
    SELECT 'failed', settled_at, false, NULL::interval FROM outbox
    WHERE organization_id = {organization} AND state = 'failed' AND settled_at >= :since
      AND first_outcome IS DISTINCT FROM 'failed'
"""


def _tally(period: str, organization: str, firms: str = "") -> TextClause:
    """Events per period, and in total (the row without a period).

    Each branch has a partial index on an organization's entries of its kind.
    """
    branches = (_SENT, _SENT_AND_BACK, _FAILED_FIRST, _FAILED_LATER)
    happened = " UNION ALL ".join(branch.format(organization=organization) for branch in branches)
    return text(
        f"""
        SELECT {period} AS period,
               count(*) FILTER (WHERE what = 'sent' AND NOT retried) AS at_once,
               count(*) FILTER (WHERE what = 'sent' AND retried) AS retried,
               count(*) FILTER (WHERE what = 'failed') AS failed,
               percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
                   ORDER BY extract(epoch FROM took)
               ) FILTER (WHERE took IS NOT NULL) AS within
        FROM {firms} ({happened}) AS happened
        WHERE at >= :since
        GROUP BY GROUPING SETS ((1), ())
        """  # noqa: S608  (all of it is ours)
    )


DAYS_OF_FIRM = _tally("CAST(at AT TIME ZONE :zone AS date)", ":organization")
# One organization after another, using the same indexes; older entries cost nothing.
HOURS_OF_ALL = _tally(
    "date_trunc('hour', at, 'UTC')",
    "firm.id",
    "(SELECT DISTINCT organization_id AS id FROM outbox_lanes) AS firm CROSS JOIN LATERAL",
)


def days_of(organization: Organization) -> Chart:
    """The last days of an organization in its own time zone, ending today."""
    today = datetime.now(organization.zone).date()
    days = [today - timedelta(days=back) for back in reversed(range(DAYS_SHOWN))]
    first = datetime(days[0].year, days[0].month, days[0].day, tzinfo=organization.zone)
    tallies = _tallies(
        DAYS_OF_FIRM, organization=organization.id, zone=organization.time_zone, since=first
    )
    periods = [_period(tallies.get(day), axis_day(day), month_and_day(day)) for day in days]
    return Chart(periods, _period(tallies.get(None)))


def usual_delay(organization: Organization) -> timedelta | None:
    """The median duration of the last days, as a person would say it."""
    half = days_of(organization).total.half_within
    return None if half is None else timedelta(seconds=max(1, round(half)))


def hours() -> Chart:
    """The last hours of all organizations, ending with the current one. For DunaHub's staff."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    began = [now - timedelta(hours=back) for back in reversed(range(HOURS_SHOWN))]
    tallies = _tallies(HOURS_OF_ALL, since=began[0])
    periods = [
        _period(tallies.get(at), clock(at), f"{month_and_day(at.date())}, {clock(at)}")
        for at in began
    ]
    return Chart(periods, _period(tallies.get(None)))


Tallies = Mapping[date | datetime | None, Row[tuple[object, ...]]]


def _tallies(statement: TextClause, **about: object) -> Tallies:
    return {row.period: row for row in session().execute(statement, about)}


def _period(tally: Row[tuple[object, ...]] | None, label: str = "", name: str = "") -> Period:
    if tally is None:
        return Period(label, name)
    half, most = tally.within or (None, None)
    return Period(label, name, tally.at_once, tally.retried, tally.failed, half, most)


# --- Shares of a whole, as rows with a bar --------------------------------------------------------


@dataclass(frozen=True)
class Share:
    name: str
    count: int
    percent: float  # of the longest bar
    detail: str = ""
    tone: str = ""  # bad | warn | quiet; "": accent colour
    address: str | None = None


def _shares(rows: Sequence[Share]) -> list[Share]:
    most = max((row.count for row in rows), default=0) or 1
    return [replace(row, percent=round(100 * row.count / most, 1)) for row in rows]


_WAITING_BY_AGE = text(
    """
    SELECT least(3, width_bucket(extract(epoch FROM clock_timestamp() - entry.created_at),
                                 ARRAY[0, 60, 3600, 86400]) - 1) AS age,
           count(*) FILTER (WHERE lane.state = 'open') AS open,
           count(*) FILTER (WHERE lane.state <> 'open') AS resting
    FROM outbox AS entry JOIN outbox_lanes AS lane ON lane.id = entry.lane_id
    WHERE entry.state = 'pending'
    GROUP BY 1
    """
)
AGES = (N_("Up to a minute"), N_("Up to an hour"), N_("Up to a day"), N_("Longer than a day"))


def waiting_by_age() -> list[Share]:
    """Waiting entries by age. Entries held by their lane are counted separately."""
    counted = {row.age: row for row in session().execute(_WAITING_BY_AGE)}
    found = []
    for age, name in enumerate(AGES):
        row = counted.get(age)
        waiting, resting = (row.open, row.resting) if row else (0, 0)
        held = _("and %(count)s on hold", count=plain(resting)) if resting else ""
        found.append(Share(_(name), waiting, 0, held, "warn" if age == len(AGES) - 1 else ""))
    return _shares(found)


MAX_CAUSES = 12  # rarer ones are in the list


def _of_no_record(title: str) -> str:
    """A fault's title without the quotes around a name, since it is about no single record."""
    plain = title.replace("“", "").replace("”", "")
    return plain[:1].upper() + plain[1:]


def failures_by_cause() -> list[Share]:
    counted = session().execute(
        select(Entry.fault_code, func.count())
        .where(Entry.state == State.FAILED)
        .group_by(Entry.fault_code)
        .order_by(func.count().desc(), Entry.fault_code)
        .limit(MAX_CAUSES)
    )
    return _shares(
        [
            Share(
                _of_no_record(explain(code or "", {}, reader=reader()).title),
                count,
                0,
                code or "",
                "bad",
                url_for("admin.outbox", state=State.FAILED, code=code),
            )
            for code, count in counted
        ]
    )


_LANES = text(
    """
    SELECT count(*) FILTER (WHERE state = 'open' AND lease_until > clock_timestamp()) AS draining,
           count(*) FILTER (
               WHERE state = 'open' AND pause_reason <> 'pace' AND pause_until > clock_timestamp()
           ) AS paused,
           count(*) FILTER (WHERE state = 'open') AS open,
           count(*) FILTER (WHERE state = 'held') AS held,
           count(*) FILTER (WHERE state = 'closed') AS closed
    FROM outbox_lanes
    """
)


def lanes_by_state() -> list[Share]:
    """Number of lanes per state. Each lane is counted once."""
    row = session().execute(_LANES).one()
    return _shares(
        [
            Share(_("Draining"), row.draining, 0, _("a drainer has it now")),
            Share(_("Idle"), row.open - row.draining - row.paused, 0, _("open, nothing to do")),
            Share(_("Paused"), row.paused, 0, _("resumes automatically"), "warn"),
            Share(_("Held"), row.held, 0, _("sign-in or plan"), "bad"),
            Share(_("Closed"), row.closed, 0, _("disconnected, or region BR"), "quiet"),
        ]
    )
