"""Activity: everything sent or to be sent, with search, filters and download."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from flask import render_template, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import BigInteger, ColumnElement, Select, cast, select
from sqlalchemy.orm import joinedload

from languages import N_
from models.outbox import Entry, State
from models.sales import Lead, RecordType
from presenters.counts import is_of_a_person, needs_attention
from presenters.record_types import SHOWN
from presenters.rows import Row, all_rows, rows_of
from quickbooks.faults import explain
from views.settings import quickbooks
from web.access import firm, note, written_apart
from web.downloads import csv_of
from web.forms import EARLIEST_DAY, LATEST_DAY
from web.fresh import fresh_required
from web.languages import _, reader
from web.paging import asked, containing, page_of, query

STATES = {
    "sent": (N_("In QuickBooks"), State.SYNCED),
    "waiting": (N_("Waiting"), State.PENDING),
    "failed": (N_("Needs attention"), State.FAILED),
    "skipped": (N_("Skipped"), State.SKIPPED),
    "replaced": (N_("Replaced"), State.SUPERSEDED),
}
COLUMNS = (
    N_("Saved"),
    N_("Settled"),
    N_("Type"),
    N_("Record"),
    N_("Amount"),
    N_("State"),
    N_("Why"),
    N_("In QuickBooks at"),
)


@dataclass(frozen=True)
class Wanted:
    """The requested filters. Invalid values are ignored."""

    text: str
    state: str
    kind: str
    code: str
    first: date | None
    last: date | None

    @property
    def is_everything(self) -> bool:
        return not (self.text or self.state or self.kind or self.code or self.first or self.last)

    @property
    def cause(self) -> str:
        return explain(self.code, {}, reader=reader()).title if self.code else ""

    @property
    def query(self) -> Select[Entry]:
        found = select(Entry).where(Entry.organization_id == firm().id, is_of_a_person())
        if self.text:
            found = found.where(_about(self.text))
        if self.state:
            state = STATES[self.state][1]
            is_wanted = needs_attention() if state == State.FAILED else Entry.state == state
            found = found.join(Entry.lane).where(is_wanted)
        if self.kind:
            found = found.where(Entry.record_type == self.kind)
        if self.code:
            found = found.where(Entry.fault_code == self.code)
        if self.first:
            found = found.where(Entry.created_at >= _midnight(self.first))
        if self.last:
            found = found.where(Entry.created_at < _midnight(self.last + timedelta(days=1)))
        return found.options(joinedload(Entry.lane))


def _asked() -> Wanted:
    state, kind = asked("state"), asked("type")
    return Wanted(
        asked("q"),
        state if state in STATES else "",
        kind if kind in set(RecordType) else "",
        asked("code"),
        _asked_day("from"),
        _asked_day("to"),
    )


def _asked_day(name: str) -> date | None:
    try:
        day = date.fromisoformat(asked(name))
    except ValueError:
        return None
    return day if EARLIEST_DAY <= day <= LATEST_DAY else None


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=firm().zone)


def _about(words: str) -> ColumnElement[bool]:
    """Entries with this name or number, or of a customer with this name."""
    payload = Entry.payload
    named = [payload[key].astext for key in ("title", "lead_name", "invoice_number")]
    customers = select(Lead.id).where(
        Lead.organization_id == firm().id, containing(words, Lead.name, Lead.company_name)
    )
    return containing(words, *named) | cast(payload["lead_id"].astext, BigInteger).in_(customers)


@quickbooks.get("/activity")
def activity() -> ResponseReturnValue:
    wanted = _asked()
    page = page_of(wanted.query, Entry.id)
    return render_template(
        "settings/activity.html",
        page=page,
        rows=rows_of(page.rows),
        wanted=wanted,
        states={key: label for key, (label, _state) in STATES.items()},
        kinds={type_: shown.name for type_, shown in SHOWN.items()},
        download=url_for("quickbooks.download_activity", **{**query(), "before": None}),
        without_cause=url_for("quickbooks.activity", **{**query(), "before": None, "code": None}),
    )


@quickbooks.get("/activity.csv")
@fresh_required
def download_activity() -> ResponseReturnValue:
    """The list as a file of any length, streamed in parts."""
    wanted, name = _asked(), f"quickbooks-activity-{datetime.now(firm().zone):%Y-%m-%d}.csv"
    with written_apart():
        note("quickbooks.activity_downloaded", organization_id=firm().id, filters=query())
    return csv_of(name, lines_of(wanted.query))


def lines_of(entries: Select[Entry]) -> Iterator[Sequence[object]]:
    """These entries as rows of a file, with a header."""
    yield [_(column) for column in COLUMNS]
    yield from map(_line, all_rows(entries))


def _line(row: Row) -> Sequence[object]:
    entry = row.entry
    return [
        _local(entry.created_at, row),
        _local(entry.settled_at, row),
        _(SHOWN[entry.record_type].name),
        row.title,
        Decimal(row.amount) if row.amount else None,
        row.word.text,
        row.explanation.cause if row.explanation and entry.state == State.FAILED else "",
        row.quickbooks_address,
    ]


def _local(moment: datetime | None, row: Row) -> str:
    """A time for spreadsheets: in the organization's zone, to the second."""
    return f"{moment.astimezone(row.organization.zone):%Y-%m-%d %H:%M:%S}" if moment else ""
