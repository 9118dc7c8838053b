"""Does it match? Compares a month of the books, on request and once when the month is over.

A request only sets a row. A job claims it, reads QuickBooks page by page, and writes figures and
differences in one transaction, so half a result is never visible. After a crash it starts again
when its lease has expired.

Intuit counts reads: a month costs one per thousand customers, invoices or payments, and one per
four hundred records missing from those lists. Objects are read whole, because Intuit does not
guarantee a choice of columns. Each read takes its turn in the lane's budget after what people save,
and none is sent while the lane is held or closed.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import Organization
from models.base import Json
from models.comparisons import Comparison, Difference, Kind
from models.outbox import Lane, LaneState
from models.quickbooks import Connection, ConnectionStatus
from models.sales import Record, RecordType
from outbox import counterparts, lanes
from outbox.company import Hold, Observed, Pause, Problem
from quickbooks import client, own_books
from quickbooks.comparison import (
    COMPARED,
    Compared,
    Found,
    Month,
    News,
    Ours,
    Theirs,
    compare,
    lines_apart,
    theirs_of,
    unseen,
)
from quickbooks.delivery import QuickBooks, call_company
from quickbooks.documents import Document, dumps
from quickbooks.faults import parse_json
from quickbooks.judge import row_count, rows_in
from quickbooks.kinds import ENTITY
from quickbooks.own_books import Side
from quickbooks.questions import MAX_ROWS
from quickbooks.reading import kept, trouble_of_question

LOOKED_UP_AT_ONCE = 400  # ids per query, which is POSTed and so has room for them
MAX_ROUNDS = 3  # of look-ups, because people keep saving while we read
MAX_READS = 100  # per run: more is a mistake of ours, or a company too large for this
MAX_ATTEMPTS = 5  # per run, including crashes
TRY_LATER = timedelta(minutes=1)  # doubles with each attempt
MAX_WAIT = timedelta(seconds=10)  # for turns in the lane's budget, in total per run
DIFFERENCES_PER_INSERT = 1000  # rows per INSERT
MOST_LINES = 3  # of an invoice, named in one row
LONGEST_WORDS = 60  # characters of each of them
AT_A_STRETCH = 10.0  # seconds within which a job starts comparisons; the next run follows soon
ASKED_BY_ITSELF_AGAIN = timedelta(days=1)  # after an automatic run that failed

COMPARISONS = Counter(
    "dunahub_quickbooks_comparisons_total",
    "Comparisons of a month, and how each ended",
    ["outcome"],
)
QUESTIONS = Counter(
    "dunahub_quickbooks_comparison_questions_total", "Metered questions that comparisons asked"
)

log = structlog.get_logger()


# --- Asked for ----------------------------------------------------------------------------------

_ASK = text(
    """
    INSERT INTO quickbooks_comparisons AS comparison
        (organization_id, month, asked_at, asked_by_id)
    VALUES (:organization, :month, clock_timestamp(), :user)
    ON CONFLICT (organization_id, month) DO UPDATE
    SET asked_at = excluded.asked_at, asked_by_id = excluded.asked_by_id,
        available_at = clock_timestamp(), attempts = 0, progress = '{}', problem = NULL
    WHERE comparison.asked_at IS NULL
    RETURNING comparison.id
    """
)


def ask(session: Session, organization_id: int, month: Month, user_id: int) -> bool:
    """Requests the comparison. False if it is already in progress. The caller commits."""
    asked = session.execute(
        _ASK, {"organization": organization_id, "month": month.first, "user": user_id}
    )
    return asked.first() is not None


# The last month: from its second day on, at an hour that differs by organization, so that they
# don't all run at once. Only if something was saved, because reads are metered. A run that would
# fail the same way again must be requested by a person.
_ASK_DUE = text(
    """
    INSERT INTO quickbooks_comparisons AS comparison (organization_id, month, asked_at)
    SELECT organization.id, past.month, clock_timestamp()
    FROM quickbooks_connections AS connection
    JOIN outbox_lanes AS lane ON lane.id = connection.lane_id AND lane.state = 'open'
    JOIN organizations AS organization
      ON organization.id = connection.organization_id AND organization.region = 'US'
    CROSS JOIN LATERAL (
        SELECT date_trunc('month', clock_timestamp() AT TIME ZONE organization.time_zone
                          - interval '1 day' - make_interval(hours => (organization.id % 24)::int))
               AS until
    ) AS this
    CROSS JOIN LATERAL (
        SELECT (this.until - interval '1 month')::date AS month,
               this.until AT TIME ZONE organization.time_zone AS ended_at
    ) AS past
    WHERE connection.status = 'connected' AND connection.environment = :environment
      AND lane.created_at < past.ended_at
      AND (EXISTS (SELECT FROM invoices
                   WHERE organization_id = organization.id
                     AND issued_on >= past.month AND issued_on < this.until)
           OR EXISTS (SELECT FROM payments
                      WHERE organization_id = organization.id
                        AND received_on >= past.month AND received_on < this.until))
    ON CONFLICT (organization_id, month) DO UPDATE
    SET asked_at = excluded.asked_at, asked_by_id = NULL, available_at = clock_timestamp(),
        attempts = 0, progress = '{}', problem = NULL
    WHERE comparison.asked_at IS NULL
      AND comparison.available_at < clock_timestamp() - :again
      AND coalesce(comparison.problem, '') NOT IN ('too_large', 'refused', 'broken')
      AND (comparison.compared_at IS NULL
           OR comparison.compared_at < (
               SELECT (comparison.month + interval '1 month') AT TIME ZONE organization.time_zone
               FROM organizations AS organization
               WHERE organization.id = comparison.organization_id))
    RETURNING comparison.id
    """
)


def ask_due(sessions: Sessions, config: Config) -> int:
    """Requests last month's comparison once for each organization; returns for how many."""
    with sessions.begin() as session:
        asked = session.execute(
            _ASK_DUE, {"environment": config.environment, "again": ASKED_BY_ITSELF_AGAIN}
        )
        return len(asked.all())


# --- Claimed ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """One attempt at a comparison. Its number rises each time, and fences late writes."""

    comparison_id: int
    organization_id: int
    month: Month
    number: int
    attempts: int
    started_at: datetime


class _TryLater(Exception):
    """QuickBooks can't be read right now: the run is postponed."""

    def __init__(self, problem: str, after: timedelta | None = None) -> None:
        super().__init__(problem)
        self.problem = problem  # busy | unreachable
        self.after = after


class _CannotCompare(Exception):
    """The run ends without a result, for this reason."""


class _Lost(Exception):
    """Another process has the comparison now: nothing more is written."""


_CLAIM = text(
    """
    UPDATE quickbooks_comparisons
    SET run = run + 1, attempts = attempts + 1, lease_until = clock_timestamp() + :lease
    WHERE id = (
        SELECT id FROM quickbooks_comparisons
        WHERE asked_at IS NOT NULL AND available_at <= now()
          AND (lease_until IS NULL OR lease_until <= clock_timestamp())
        ORDER BY available_at LIMIT 1
        FOR UPDATE SKIP LOCKED
    )
    RETURNING id, organization_id, month, run, attempts, clock_timestamp() AS now
    """
)


def compare_due(sessions: Sessions, config: Config) -> int:
    """Runs the requested comparisons one after another; returns how many had a result.

    Starts none after a while, because a stopping process waits for its jobs.
    """
    done, ends_at = 0, time.monotonic() + AT_A_STRETCH
    while time.monotonic() < ends_at and (run := _claim(sessions, config)):
        try:
            done += _try(sessions, config, run)
        except _Lost:
            log.info("comparison lost to another run", comparison=run.comparison_id)
    return done


def _claim(sessions: Sessions, config: Config) -> Run | None:
    with sessions.begin() as session:
        row = session.execute(_CLAIM, {"lease": config.lease}).one_or_none()
    if row is None:
        return None
    month = Month(row.month)
    return Run(row.id, row.organization_id, month, row.run, row.attempts, row.now)


def _try(sessions: Sessions, config: Config, run: Run) -> bool:
    try:
        if run.attempts > MAX_ATTEMPTS:  # earlier attempts crashed
            raise _CannotCompare("broken")
        company = _company(sessions, config, run)
        reader = _Reader(sessions, config, run, company)
        _store(sessions, run, company, _compare(sessions, reader), reader.reads)
    except _CannotCompare as problem:
        _end(sessions, run, str(problem))
        return False
    except _TryLater as problem:
        if run.attempts >= MAX_ATTEMPTS:
            _end(sessions, run, problem.problem)
        else:
            _put_back(sessions, run, problem)
        return False
    return True


@dataclass(frozen=True)
class _Company:
    connection_id: int
    side: Side


def _company(sessions: Sessions, config: Config, run: Run) -> _Company:
    """The company that the organization is connected to, if it may be read."""
    with sessions() as session:
        organization = session.get_one(Organization, run.organization_id)
        connection = session.scalar(
            select(Connection).where(
                Connection.organization_id == run.organization_id,
                Connection.environment == config.environment,
                Connection.is_live,
            )
        )
        if connection is None or not organization.has_quickbooks:
            raise _CannotCompare("not_connected")
        if connection.status == ConnectionStatus.EXPIRED:
            raise _CannotCompare("signed_out")
        if connection.lane.state != LaneState.OPEN:
            raise _CannotCompare(connection.lane.hold_reason or "not_connected")
        side = Side(
            organization.id, connection.lane_id, run.month, organization.zone, run.started_at
        )
        return _Company(connection.id, side)


# --- Read and compared --------------------------------------------------------------------------


def _compare(sessions: Sessions, reader: "_Reader") -> dict[RecordType, Compared]:
    """QuickBooks is read first: what is saved here meanwhile is then looked up by id, and what
    arrives there meanwhile is recognized by its link."""
    side = reader.side
    with sessions() as session:
        reader.expected = own_books.count(session, side)
        # Few firms give refunds: without any here, nobody pays for a question about them.
        has_refunds = bool(own_books.read(session, side, RecordType.REFUND, []))
    return {
        type_: _compare_kind(sessions, reader, type_)
        for type_ in COMPARED
        if type_ != RecordType.REFUND or has_refunds
    }


def _compare_kind(sessions: Sessions, reader: "_Reader", type_: RecordType) -> Compared:
    theirs = reader.list_of(type_)
    looked_up: set[str] = set()
    for _ in range(MAX_ROUNDS):
        with sessions() as session:
            ours = own_books.read(session, reader.side, type_, theirs)
        missing = [id_ for id_ in unseen(reader.side.month, ours, theirs) if id_ not in looked_up]
        if not missing:
            break
        looked_up.update(missing)
        theirs += reader.look_up(type_, missing)
    return compare(type_, reader.side.month, ours, theirs)


class _Reader:
    """Reads one company for one run, a page at a time, within the lane's budget."""

    def __init__(self, sessions: Sessions, config: Config, run: Run, company: _Company) -> None:
        self.side = company.side
        self.reads = 0
        self.expected = 0
        self._sessions = sessions
        self._config = config
        self._run = run
        self._rows = 0
        self._waited = timedelta(0)

    def list_of(self, type_: RecordType) -> list[Theirs]:
        """The month's objects of this kind, each once: the list may shift while it is read."""
        found: dict[str, Theirs] = {}
        start = 1
        while True:
            page, count = self._ask(
                type_,
                f"select * from {ENTITY[type_]} where {self._in_month(type_)}"  # noqa: S608
                f" orderby Id startposition {start} maxresults {MAX_ROWS}",
            )
            found |= {one.id: one for one in page}
            start += count
            if count < MAX_ROWS:
                return list(found.values())

    def look_up(self, type_: RecordType, ids: Sequence[str]) -> list[Theirs]:
        """Those of these objects that still exist."""
        active = " and Active IN (true, false)" if type_ == RecordType.LEAD else ""
        found: list[Theirs] = []
        for first in range(0, len(ids), LOOKED_UP_AT_ONCE):
            asked = ", ".join(f"'{id_}'" for id_ in ids[first : first + LOOKED_UP_AT_ONCE])
            page, _count = self._ask(
                type_,
                f"select * from {ENTITY[type_]} where Id IN ({asked}){active}"  # noqa: S608
                f" maxresults {MAX_ROWS}",
            )
            found += page
        return found

    def _in_month(self, type_: RecordType) -> str:
        month = self.side.month
        if type_ != RecordType.LEAD:
            return f"TxnDate >= '{month.first}' and TxnDate < '{month.next.first}'"
        since, until = (one.begins_at(self.side.zone) for one in (month, month.next))
        return (
            f"MetaData.CreateTime >= '{since.isoformat()}'"
            f" and MetaData.CreateTime < '{until.isoformat()}' and Active IN (true, false)"
        )

    def _ask(self, type_: RecordType, statement: str) -> tuple[list[Theirs], int]:
        """One metered read: the objects, and the number of rows.

        Raises _TryLater or _CannotCompare if there is no answer.
        """
        if self.reads >= MAX_READS:
            raise _CannotCompare("too_large")
        self._note_progress(type_)
        self._wait_for_turn()
        self.reads += 1
        QUESTIONS.inc()
        asked = client.Call("POST", "query", f"minorversion={client.MINOR_VERSION}", statement)
        answer = call_company(self._sessions, self._config, self.side.lane_id, asked)
        if answer.problem is Problem.SIGNED_OUT:
            raise _CannotCompare("signed_out")
        document = parse_json(answer.body) or {}
        rows = rows_in(document, ENTITY[type_])
        match trouble_of_question(answer, rows is not None):
            case Hold(reason=reason):
                raise _CannotCompare(reason)
            case Pause(reason=reason, for_=after):
                raise _TryLater("busy" if reason == "throttled" else "unreachable", after)
        if rows is None:
            log.error("a question was refused", statement=statement, answer=answer.body[:1000])
            raise _CannotCompare("refused")
        try:
            page = [theirs_of(type_, row, self.side.zone) for row in rows]
        except (KeyError, TypeError, ValueError, ArithmeticError) as problem:
            log.error("an answer could not be read", kind=type_.value, problem=repr(problem))
            raise _CannotCompare("refused") from problem
        self._rows += len(page)
        return page, row_count(document, ENTITY[type_])

    def _wait_for_turn(self) -> None:
        while True:
            with self._sessions.begin() as session:
                wait = lanes.take_question(session, self.side.lane_id, QuickBooks.limits.calls)
            if wait is None:
                raise _CannotCompare("held")
            if not wait:
                return
            self._waited += wait
            if self._waited > MAX_WAIT:
                raise _TryLater("busy", max(wait, TRY_LATER))
            time.sleep(wait.total_seconds())

    def _note_progress(self, type_: RecordType) -> None:
        """Stores progress for the page, and extends the lease."""
        progress = {
            "kind": type_.value,
            "read": self._rows,
            "expected": self.expected,
            "started_at": self._run.started_at.isoformat(),
        }
        with self._sessions.begin() as session:
            _write(
                session,
                self._run,
                progress=progress,
                lease_until=func.clock_timestamp() + self._config.lease,
            )


# --- Written ------------------------------------------------------------------------------------


def _write(session: Session, run: Run, **values: object) -> None:
    """Changes the comparison while it belongs to this run; raises _Lost otherwise."""
    written = session.execute(
        update(Comparison)
        .where(Comparison.id == run.comparison_id, Comparison.run == run.number)
        .where(Comparison.asked_at.is_not(None))
        .values(**values)
        .returning(Comparison.id)
    )
    if written.first() is None:
        raise _Lost


_OVER: Mapping[str, object] = {
    "asked_at": None,
    "asked_by_id": None,
    "lease_until": None,
    "attempts": 0,
    "progress": {},
}


def _store(
    sessions: Sessions,
    run: Run,
    company: _Company,
    compared: Mapping[RecordType, Compared],
    reads: int,
) -> None:
    """Replaces the last result with the new figures and differences."""
    with sessions.begin() as session:
        connection = session.get(
            Connection, company.connection_id, with_for_update={"key_share": True, "read": True}
        )
        if connection is None or connection.status != ConnectionStatus.CONNECTED:
            # disconnected while we read: the company may have changed
            raise _CannotCompare("not_connected")
        _write(
            session,
            run,
            **{
                **_OVER,
                "problem": None,
                "compared_at": func.clock_timestamp(),
                "compared_by_id": Comparison.asked_by_id,
                "connection_id": connection.id,
                "figures": {type_.value: _told(one) for type_, one in compared.items()},
                "reads": reads,
            },
        )
        session.execute(delete(Difference).where(Difference.comparison_id == run.comparison_id))
        rows = [_row(run, found) for one in compared.values() for found in one.found]
        rows.sort(key=lambda row: list(Kind).index(row["kind"]))  # by kind, then as compared
        for first in range(0, len(rows), DIFFERENCES_PER_INSERT):
            session.execute(insert(Difference), rows[first : first + DIFFERENCES_PER_INSERT])
        _learn(session, run, company, compared)
    COMPARISONS.labels("compared").inc()
    log.info("compared", comparison=run.comparison_id, differences=len(rows), reads=reads)


def _learn(
    session: Session, run: Run, company: _Company, compared: Mapping[RecordType, Compared]
) -> None:
    """Stores what was found of our records with their counterparts: their pages say the same."""
    lane_id = company.side.lane_id
    session.execute(select(Lane.id).where(Lane.id == lane_id).with_for_update(key_share=True))
    for type_, one in compared.items():
        observed = [_observed(type_, news) for news in one.news]
        counterparts.observe(session, lane_id, observed, run.started_at)


def _observed(type_: RecordType, news: News) -> Observed:
    theirs = news.theirs
    return Observed(
        Record(type_, news.record_id),
        news.remote_id,
        theirs.remote if theirs else None,
        dumps(kept(dict(theirs.object))) if theirs else None,
        news.differs,
    )


def _told(compared: Compared) -> Json:
    kinds = [found.kind.value for found in compared.found]
    figures = asdict(compared.figures)
    sums = {name: str(figures[name]) for name in ("sum_here", "sum_there", "sum_left_out")}
    return {**figures, **sums, "kinds": {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}}


def _row(run: Run, found: Found) -> Json:
    own, one = found.ours, found.theirs
    shown = own or one
    assert shown
    return {
        "organization_id": run.organization_id,
        "comparison_id": run.comparison_id,
        "kind": found.kind,
        "reason": found.reason,
        "record_type": found.type,
        "record_id": own.key if own else None,
        "remote_id": one.id if one else own and own.remote_id,
        "title": shown.title,
        "name": shown.name,
        "day": shown.day,
        **_both_sides(found),
    }


def _both_sides(found: Found) -> Json:
    """Amounts on both sides, and the words that differ."""
    own, one, has_amounts = found.ours, found.theirs, found.type != RecordType.LEAD
    sides = {
        "our_amount": own.amount if own and has_amounts else None,
        "their_amount": one.amount if one and has_amounts else None,
        "ours": found.like if found.kind == Kind.MADE_THERE else None,
        "theirs": None,
    }
    return sides | _what_differs(found.kind, own, one) if own and one else sides


def _what_differs(kind: Kind, own: Ours, one: Theirs) -> Json:
    match kind:
        case Kind.OTHER_CUSTOMER:
            return {"ours": own.name, "theirs": one.name}
        case Kind.OTHER_MONTH:
            return {"ours": own.day.isoformat(), "theirs": one.day.isoformat()}
        case Kind.OTHER_BALANCE:
            return {"our_amount": own.balance, "their_amount": one.balance}
        case Kind.OFF_INVOICE:
            return {"our_amount": own.applied, "their_amount": one.applied_as(own)}
        case Kind.OTHER_LINES:
            ours, theirs = lines_apart(own, one)
            return {"ours": _in_a_line(ours), "theirs": _in_a_line(theirs)}
        case _:
            return {}


def _in_a_line(lines: Sequence[Document]) -> str:
    """Lines of an invoice as a short text: "Sprinkler repair $100.00; Pipes $20.00"."""
    parts = []
    for line in lines:
        item = (line.get("SalesItemLineDetail") or {}).get("ItemRef") or {}
        words = str(line.get("Description") or item.get("name") or "").replace("\0", "")
        minus = "−" if line.get("DetailType") == "DiscountLineDetail" else ""
        parts.append(f"{words[:LONGEST_WORDS]} {minus}${line.get('Amount') or 0:,.2f}".strip())
    more = [f"+{len(parts) - MOST_LINES}"] if len(parts) > MOST_LINES else []
    return "; ".join([*parts[:MOST_LINES], *more])


def _put_back(sessions: Sessions, run: Run, problem: _TryLater) -> None:
    after = problem.after or TRY_LATER * 2 ** (run.attempts - 1)
    with sessions.begin() as session:
        _write(
            session,
            run,
            lease_until=None,
            available_at=func.clock_timestamp() + after,
            progress={"waits": problem.problem},
        )
    COMPARISONS.labels("put_back").inc()
    log.info("comparison put back", comparison=run.comparison_id, problem=problem.problem)


def _end(sessions: Sessions, run: Run, problem: str) -> None:
    with sessions.begin() as session:
        _write(session, run, **{**_OVER, "problem": problem})
    COMPARISONS.labels(problem).inc()
    log.info("comparison ended", comparison=run.comparison_id, problem=problem)
