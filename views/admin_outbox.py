"""Pages for DunaHub's staff: the outbox of all organizations, and acts on its rows.

Only here and in `admin.py` do queries span organizations (rule 18). Acts ask for a reason and are
audited.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import cycle

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import ColumnElement, Select, Subquery, case, func, select, union_all
from sqlalchemy.orm import aliased, joinedload

from languages import N_
from models.accounts import Organization, User
from models.outbox import BulkAct, Dispatch, DispatchItem, Entry, State
from models.sales import RecordType
from outbox import actions, bulk
from presenters import charts
from presenters.health import health
from presenters.history import chapters_of, laid_out
from presenters.names import first_up
from presenters.progress import Progress
from presenters.record_types import SHOWN, parts_of
from presenters.rows import Row, all_rows, rows_of
from views.admin import OPEN_STATES, admin, all_organizations, asked_key, reason_given
from web.access import note, person, session, written_apart
from web.asking import asked_round, pause_after
from web.audit_words import staff_word
from web.downloads import csv_of
from web.flashes import tell
from web.fresh import fresh_required
from web.languages import _
from web.paging import asked, page_of, query

MAX_ROWS_AT_ONCE = 100  # rows processed within the request; more are left to the engine, in batches
# (reads, seconds between them) of the health line; then it stops.
HEALTH_PAUSES = ((24, 5), (100, 15), (300, 60))
ROWS_NAMED = 200  # rows listed on the confirmation page
# newest rows searched by name; besides open ones, or those of one organization
ROWS_SEARCHED_BY_NAME = 5_000
AGES = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "3d": timedelta(days=3)}
ACTS = {
    "requeue": N_("%(done)s of %(all)s rows: requeued."),
    "skip": N_("%(done)s of %(all)s rows: skipped."),
    "undo_skip": N_("%(done)s of %(all)s rows: skip undone."),
}
COLUMNS = (
    N_("Row"),
    N_("Organization"),
    N_("Type"),
    N_("Record"),
    N_("Amount"),
    N_("State"),
    N_("Code"),
    N_("Attempts"),
    N_("Created (UTC)"),
    N_("Settled (UTC)"),
    N_("Trace id"),
)


@admin.get("/outbox")
def outbox() -> ResponseReturnValue:
    page = page_of(_fitting(), Entry.id)
    return render_template(
        "admin/outbox.html",
        page=page,
        rows=rows_of(page.rows),
        **_health_line(),
        organizations=all_organizations(),
        states=["open", *State],
        kinds={type_: shown.noun for type_, shown in SHOWN.items()},
        ages=AGES,
        names_among=ROWS_SEARCHED_BY_NAME,
        asked=asked,
        newest=page.rows[0].id if page.rows else 0,
        bulks=_open_bulks(),
        query=query(),
        download=url_for("admin.download_outbox", **{**query(), "before": None}),
    )


def _fitting() -> Select[Entry]:
    return select(Entry).where(*_asked_filters()).options(joinedload(Entry.lane))


@admin.get("/outbox.csv")
@fresh_required
def download_outbox() -> ResponseReturnValue:
    """The matching rows as a streamed file."""
    asked_for, fitting = query(), _fitting()
    key = asked_key("organization")
    known = select(Organization.id).where(Organization.id == key)
    with written_apart():
        note("outbox.downloaded", organization_id=session().scalar(known), filters=asked_for)
    return csv_of(f"outbox-{datetime.now(UTC):%Y-%m-%d-%H%M}.csv", _lines(fitting))


def _lines(fitting: Select[Entry]) -> Iterator[Sequence[object]]:
    yield [_(column) for column in COLUMNS]
    yield from map(_line, all_rows(fitting))


def _line(row: Row) -> Sequence[object]:
    """Times of all organizations are in one zone, so that they can be sorted."""
    entry = row.entry
    return [
        entry.id,
        row.organization.name,
        staff_word(entry.record_type),
        row.title,
        Decimal(row.amount) if row.amount else None,
        row.word.text,
        entry.fault_code,
        entry.attempts,
        _utc(entry.created_at),
        _utc(entry.settled_at),
        entry.trace_id,
    ]


def _utc(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if moment else ""


@admin.get("/outbox/health")
def outbox_health() -> ResponseReturnValue:
    """Only the health line, for polling."""
    return render_template("admin/_health.html", **_health_line())


def _health_line() -> dict[str, object]:
    round_ = asked_round()
    return {
        "health": health(),
        "address": url_for("admin.outbox_health", round=round_ + 1),
        "seconds": pause_after(round_, HEALTH_PAUSES),
    }


def _open_bulks() -> Sequence[BulkAct]:
    query = select(BulkAct).where(BulkAct.finished_at.is_(None)).order_by(BulkAct.id)
    return session().scalars(query.limit(10)).all()


def _asked_filters() -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = []
    if organization := asked_key("organization"):
        filters.append(Entry.organization_id == organization)
    state = asked("state") if "state" in request.args else "open"
    if state == "open":
        filters.append(Entry.state.in_(OPEN_STATES))
    elif state in set(State):
        filters.append(Entry.state == state)
    if asked("type") in set(RecordType):
        filters.append(Entry.record_type == asked("type"))
    if code := asked("code"):
        filters.append(Entry.fault_code == code)
    if older := AGES.get(asked("age")):
        filters.append(Entry.created_at < datetime.now(UTC) - older)
    if wanted := asked("q"):
        filters.append(_fits(wanted))
    return filters


def _fits(wanted: str) -> ColumnElement[bool]:
    """Searches by what a row shows (number, organization, record, cause), or by trace id.

    No index supports searching for part of a name, so names are only searched in a limited set of
    rows.
    """
    row = aliased(Entry)
    by_trace = (
        select(DispatchItem.entry_id).join(DispatchItem.dispatch).where(Dispatch.trace_id == wanted)
    )
    by_open_trace = select(row.id).where(row.state.in_(OPEN_STATES), row.trace_id == wanted)
    named = select(row.id, row.record_type.label("kind"), row.payload)
    near = [
        named.where(row.state.in_(OPEN_STATES)),
        named.order_by(row.id.desc()).limit(ROWS_SEARCHED_BY_NAME),
    ]
    if organization := asked_key("organization"):
        near.append(named.where(row.organization_id == organization))
    by_name = [
        select(rows.c.id).where(_shown(rows).icontains(wanted, autoescape=True))
        for rows in (each.subquery() for each in near)
    ]
    of_firm = (
        select(row.id)
        .join(Organization, Organization.id == row.organization_id)
        .where(Organization.name.icontains(wanted, autoescape=True))
    )
    by_code = select(row.id).where(row.fault_code == wanted)
    fits = [by_trace, by_open_trace, by_code, of_firm, *by_name]
    number = wanted.removeprefix("#")
    if number.isascii() and number.isdigit() and len(number) < 19:
        fits.append(select(row.id).where(row.id == int(number)))
    return Entry.id.in_(union_all(*fits))


def _shown(rows: Subquery) -> ColumnElement[str]:
    """The record's title in the list (`presenters.rows.title_of`), in SQL."""
    titles = [(rows.c.kind == type_, _in_sql(type_, rows)) for type_ in SHOWN]
    return case(*titles, else_="")


def _in_sql(type_: RecordType, rows: Subquery) -> ColumnElement[str]:
    words = SHOWN[type_].row or first_up(SHOWN[type_].called)
    if "%(title)s" not in words:
        words += " %(title)s"  # the amount, which the list has in its own column
    payload = rows.c.payload
    return func.concat(
        *(
            func.coalesce(payload[text].astext, "") if is_name else text
            for text, is_name in zip(parts_of(words), cycle((False, True)), strict=False)
        )
    )


@admin.get("/outbox/figures")
def outbox_figures() -> ResponseReturnValue:
    """Charts: how much arrives, how fast, and what stops the rest."""
    return render_template(
        "admin/figures.html",
        health=health(),
        hours=charts.hours(),
        waiting=charts.waiting_by_age(),
        failures=charts.failures_by_cause(),
        lanes=charts.lanes_by_state(),
    )


@admin.get("/outbox/<key:entry_id>")
def outbox_entry(entry_id: int) -> ResponseReturnValue:
    entry = session().get(Entry, entry_id, options=[joinedload(Entry.lane)]) or abort(404)
    (chapter,), (row,) = chapters_of([entry]), rows_of([entry])
    same_record = session().scalars(
        select(Entry)
        .where(Entry.record_type == entry.record_type, Entry.record_id == entry.record_id)
        .options(joinedload(Entry.lane))
        .order_by(Entry.id.desc())
        .limit(20)
    )
    return render_template(
        "admin/entry.html",
        row=row,
        chapter=chapter,
        awaited=_awaited(entry),
        siblings=rows_of([other for other in same_record if other.id != entry.id]),
        laid_out=laid_out,
    )


def _awaited(entry: Entry) -> Entry | None:
    """The newest entry of the record that this one waits for."""
    if entry.awaited is None:
        return None
    return session().scalar(
        select(Entry)
        .where(Entry.lane_id == entry.lane_id, Entry.record == entry.awaited)
        .order_by(Entry.id.desc())
        .limit(1)
    )


@admin.post("/outbox/acts")
def outbox_act() -> ResponseReturnValue:
    """Requeues, skips or undoes the chosen rows, or all that match the filters.

    Asks for the reason first, then acts and audits.
    """
    name, reason, ids = request.form.get("act", ""), reason_given(), _chosen_ids()
    if name not in ACTS:
        abort(400)
    back = redirect(url_for("admin.outbox", **query()), 303)
    if not ids or len(ids) > bulk.MAX_ENTRIES:
        flash(_("Select at least one row.") if not ids else _("Too many: choose fewer."), "warn")
        return back
    if has_grown := bool(reason) and _has_grown(ids):
        flash(_("More rows match than were counted. Look at them again."), "warn")
    if not reason or has_grown:
        return render_template(
            "admin/confirm.html", act=name, query=query(), reason=reason, **_summary(ids)
        )
    if len(ids) > MAX_ROWS_AT_ONCE:
        bulk_id = bulk.decide(session(), name, ids, person().id, reason)
        session().commit()
        return redirect(url_for("admin.outbox_bulk", bulk_id=bulk_id), 303)
    act, noted = bulk.ACTS[name]
    acted = act(session(), ids, organization_id=None)
    for organization_id, entries in bulk.by_organization(session(), acted.done).items():
        note(noted, reason=reason, organization_id=organization_id, entries=entries)
    session().commit()
    tell(acted, _(ACTS[name], done=len(acted.done), all=len(ids)))
    return back


def _chosen_ids() -> list[int]:
    """The checked rows, or all that match and existed when they were counted."""
    if request.form.get("scope") == "all":
        newest = request.form.get("newest", "")
        if not (newest.isascii() and newest.isdigit() and len(newest) < 19):
            abort(400)
        fitting = select(Entry.id).where(*_asked_filters(), Entry.id <= int(newest))
        return list(session().scalars(fitting.order_by(Entry.id).limit(bulk.MAX_ENTRIES + 1)))
    chosen = request.form.getlist("entry")
    if not all(text.isascii() and text.isdigit() and len(text) < 19 for text in chosen):
        abort(400)
    return sorted({int(text) for text in chosen})


def _has_grown(ids: Sequence[int]) -> bool:
    """Whether more match by now than the page counted: older rows that have changed since."""
    counted = request.form.get("counted", "")
    is_number = counted.isascii() and counted.isdigit() and len(counted) < 19
    is_all = request.form.get("scope") == "all"
    return is_all and not (is_number and len(ids) <= int(counted))


def _summary(ids: Sequence[int]) -> dict[str, object]:
    """The chosen rows per organization, and how many other entries a skip leaves waiting."""
    counts = session().execute(
        select(Organization.name, func.count())
        .join(Entry, Entry.organization_id == Organization.id)
        .where(Entry.id.in_(ids))
        .group_by(Organization.id)
        .order_by(func.count().desc(), Organization.name)
    )
    newest = (
        select(Entry)
        .where(Entry.id.in_(ids))
        .options(joinedload(Entry.lane))
        .order_by(Entry.id.desc())
        .limit(ROWS_NAMED)
    )
    return {
        "count": len(ids),
        "ids": [] if request.form.get("scope") == "all" else ids,
        "newest": request.form.get("newest"),
        "rows": rows_of(session().scalars(newest).all()),
        "counts": counts.all(),
        "dependents": actions.dependents(session(), ids),
    }


@admin.get("/outbox/acts/<key:bulk_id>")
def outbox_bulk(bulk_id: int) -> ResponseReturnValue:
    """The progress of a bulk act. Only this part of the page polls."""
    found = session().get(BulkAct, bulk_id) or abort(404)
    passed = (datetime.now(UTC) - found.created_at).total_seconds()
    total = len(found.entries)
    left = passed / found.position * (total - found.position) if found.position else None
    round_ = asked_round()
    part = "admin/_bulk.html" if "HX-Request" in request.headers else None
    return render_template(
        part or "admin/bulk.html",
        bulk=found,
        person=session().get(User, found.user_id),
        progress=Progress(found.position, total, left),
        address=url_for("admin.outbox_bulk", bulk_id=bulk_id, round=round_ + 1),
        seconds=None if found.finished_at else pause_after(round_),
    )
