"""Settings → QuickBooks → Does it match? A month's books here beside those in QuickBooks."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import Select, func, select
from sqlalchemy.orm import joinedload

from languages import N_
from models.accounts import AuditEvent
from models.comparisons import Comparison, Difference
from models.quickbooks import ConnectionStatus
from models.sales import RecordType
from presenters.month import (
    ABOUT,
    HEADINGS,
    Answer,
    Group,
    answer_of,
    differences_of,
    groups_of,
    items_of,
    month_title,
    remark_of,
)
from quickbooks import connections, months
from quickbooks.comparison import Kind, Month
from quickbooks.connections import Standing
from web.access import (
    dunahub,
    firm,
    note,
    owner_required,
    person,
    quickbooks_only,
    session,
    step_out,
)
from web.downloads import csv_of
from web.forms import EARLIEST
from web.languages import _
from web.paging import Page, asked, page_of

matches = Blueprint("matches", __name__, url_prefix="/settings/quickbooks/matches")
matches.before_request(quickbooks_only)

LATEST_MONTHS = 12  # of the list, compared or not; older ones when they were compared
MOST_MONTHS = 120
SHOWN_OF_A_KIND = 20  # on the month's page; the list of a kind has them all
PRINTED = 1000
EXPORTED_AT_ONCE = 500
ASKS_A_DAY = 30  # by hand, of one organization: each costs a few metered questions
ASKED = "quickbooks.comparison_asked"


PROBLEMS = {
    "not_connected": N_("QuickBooks was disconnected meanwhile. Nothing was compared."),
    "signed_out": N_("QuickBooks no longer accepts our access. Reconnect, then compare again."),
    "access_lost": N_("QuickBooks no longer accepts our access. Reconnect, then compare again."),
    "plan_lapsed": N_("The QuickBooks plan has lapsed. Once it is paid, compare again."),
    "held": N_("QuickBooks takes nothing from us right now. Nothing was compared."),
    "busy": N_("QuickBooks was busy with other things for too long. Try again later."),
    "unreachable": N_("QuickBooks could not be reached. Try again later."),
    "too_large": N_("This month has more records than can be compared here."),
    "refused": N_("QuickBooks answered in a way we don't understand. Our staff can see it."),
    "broken": N_("Something went wrong on our side. Our staff can see it."),
}

# --- The run --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """How far a run is, for who looks on."""

    sentence: str
    read: int
    expected: int  # 0: not known yet
    left: timedelta | None = None


_READING = {
    "lead": N_("Reading customers"),
    "invoice": N_("Reading invoices"),
    "payment": N_("Reading payments"),
}


_WAITING = {
    "busy": N_("QuickBooks is busy. The comparison goes on by itself."),
    "unreachable": N_("QuickBooks can't be reached. The comparison goes on by itself."),
}


def progress_of(comparison: Comparison | None) -> Progress | None:
    """None when nobody wants the month compared right now."""
    if comparison is None or comparison.asked_at is None:
        return None
    told = comparison.progress
    if comparison.lease_until is None and (why := told.get("waits")):
        return Progress(_(_WAITING[why]), 0, 0)
    if "kind" not in told:
        return Progress(_("It begins in a moment."), 0, 0)
    read, expected = told["read"], told["expected"]
    passed = datetime.now(UTC) - datetime.fromisoformat(told["started_at"])
    left = passed * (expected - read) / read if 0 < read < expected else None
    what = _READING[told["kind"]]
    return Progress(_(what), read, max(expected, read), left)


def _refusal(now: Standing) -> str | None:
    """Why a comparison cannot be asked for now."""
    match now.status:
        case ConnectionStatus.DISCONNECTED:
            return _("Connect QuickBooks, and a month can be compared.")
        case ConnectionStatus.EXPIRED:
            return _("QuickBooks stopped accepting our access. Reconnect, then compare.")
        case _ if now.held_for:
            return _("QuickBooks takes nothing from us right now. Compare when that is solved.")
        case _:
            return None


def _standing() -> Standing:
    return connections.status_of(session(), dunahub().config, firm().id)


def _asks_left() -> int:
    """How often the organization may still ask today. What it asked is in the audit record."""
    asked_today = session().scalar(
        select(func.count()).where(
            AuditEvent.organization_id == firm().id,
            AuditEvent.action == ASKED,
            AuditEvent.created_at > func.clock_timestamp() - timedelta(days=1),
        )
    )
    return max(0, ASKS_A_DAY - (asked_today or 0))


# --- Pages ----------------------------------------------------------------------------------------


def this_month() -> Month:
    return Month.of(datetime.now(UTC).astimezone(firm().zone).date())


def _month(text: str) -> Month:
    """The month of an address; what has not begun, or never was, does not exist."""
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text):
        abort(404)
    month = Month(date(int(text[:4]), int(text[5:]), 1))
    if not EARLIEST <= month.first <= this_month().first:
        abort(404)
    return month


def _comparison(month: Month) -> Comparison | None:
    return session().scalar(_comparisons().where(Comparison.month == month.first))


def _comparisons() -> Select[Comparison]:
    return (
        select(Comparison)
        .where(Comparison.organization_id == firm().id)
        .options(joinedload(Comparison.connection), joinedload(Comparison.compared_by))
    )


def latest_answers(most: int = 2) -> list[Answer]:
    """The newest months that were compared, for the settings page."""
    compared = _comparisons().where(Comparison.compared_at.is_not(None))
    found = session().scalars(compared.order_by(Comparison.month.desc()).limit(most))
    return [answer for one in found if (answer := answer_of(one))]


@dataclass(frozen=True)
class Line:
    """A month of the list."""

    month: Month
    title: str
    answer: Answer | None
    is_running: bool


@matches.get("")
def index() -> ResponseReturnValue:
    stored = {
        Month(one.month): one
        for one in session().scalars(
            _comparisons().order_by(Comparison.month.desc()).limit(MOST_MONTHS)
        )
    }
    listed = [this_month()]
    while len(listed) < LATEST_MONTHS:
        listed.append(listed[-1].previous)
    listed += [month for month in stored if month.first < listed[-1].first]
    lines = [
        Line(
            month,
            month_title(month),
            answer_of(stored[month]) if month in stored else None,
            month in stored and stored[month].asked_at is not None,
        )
        for month in listed
    ]
    return render_template("quickbooks/matches.html", lines=lines, refusal=_refusal(_standing()))


@matches.get("/<month>")
def show(month: str) -> ResponseReturnValue:
    wanted = _month(month)
    comparison = _comparison(wanted)
    answer = answer_of(comparison) if comparison else None
    kind = asked("kind")
    listed = _listed(answer, Kind(kind)) if answer and kind in set(Kind) else None
    return render_template(
        "quickbooks/match.html",
        month=wanted,
        title=month_title(wanted),
        newer=wanted.next if wanted.first < this_month().first else None,
        older=wanted.previous if wanted.first > EARLIEST else None,
        comparison=comparison,
        answer=answer,
        groups=groups_of(answer, SHOWN_OF_A_KIND) if answer and not listed else [],
        listed=listed,
        progress=progress_of(comparison),
        problem=_problem(comparison),
        refusal=_refusal(_standing()),
        asks_a_day=ASKS_A_DAY,
        month_title=month_title,
    )


@dataclass(frozen=True)
class Listed:
    """All differences of one kind, a page at a time."""

    group: Group
    page: Page[Difference]


def _listed(answer: Answer, kind: Kind) -> Listed:
    query = differences_of(answer.comparison).where(Difference.kind == kind)
    page = page_of(query, Difference.id)
    items = items_of(answer.comparison, page.rows)
    return Listed(Group(kind, ABOUT[kind], answer.counts.get(kind, 0), items), page)


def _problem(comparison: Comparison | None) -> str | None:
    if comparison is None or comparison.problem is None or comparison.asked_at is not None:
        return None
    sentence = PROBLEMS.get(comparison.problem, PROBLEMS["held"])
    return _(sentence)


@matches.post("/<month>")
@owner_required
def compare(month: str) -> ResponseReturnValue:
    """Asks for the comparison; a job makes it. Asked twice, it is made once."""
    wanted = _month(month)
    address = url_for("matches.show", month=month)
    if refusal := _refusal(_standing()):
        flash(refusal, "warn")
    elif not _asks_left():
        flash(
            _(
                "You asked %(most)s times today, which is as often as we can. Try again tomorrow.",
                most=ASKS_A_DAY,
            ),
            "warn",
        )
    elif months.ask(session(), firm().id, wanted, person().id):
        note(ASKED, organization_id=firm().id, month=month)
    session().commit()
    return redirect(address, 303)


@matches.get("/<month>/progress")
def progress(month: str) -> ResponseReturnValue:
    """How far it is, in one small answer; when it is over, the page is shown anew."""
    wanted = _month(month)
    how_far = progress_of(_comparison(wanted))
    if how_far is None and request.headers.get("HX-Request"):
        return Response(status=204, headers={"HX-Refresh": "true"})
    if how_far is None:
        return redirect(url_for("matches.show", month=month))
    return render_template("quickbooks/_match_progress.html", month=wanted, progress=how_far)


@matches.get("/<month>/print")
def show_print(month: str) -> ResponseReturnValue:
    """On paper, for the accountant."""
    wanted = _month(month)
    comparison = _comparison(wanted)
    answer = answer_of(comparison) if comparison else None
    if answer is None:
        return redirect(url_for("matches.show", month=month))
    groups = groups_of(answer, PRINTED)
    return render_template(
        "quickbooks/match_print.html", month=wanted, answer=answer, groups=groups
    )


@matches.get("/<month>/csv")
def export(month: str) -> ResponseReturnValue:
    wanted = _month(month)
    comparison = _comparison(wanted)
    if comparison is None or comparison.compared_at is None:
        return redirect(url_for("matches.show", month=month))
    note("quickbooks.comparison_exported", organization_id=firm().id, month=month)
    session().commit()
    return csv_of(f"dunahub-quickbooks-{wanted}.csv", _table(comparison))


def _table(comparison: Comparison) -> Iterator[Sequence[object]]:
    """Batch by batch, each in a transaction of its own: a slow reader holds nothing up."""
    yield [
        _("Difference"),
        _("Kind"),
        _("Record"),
        _("Customer"),
        _("Date"),
        _("Here"),
        _("In QuickBooks"),
        _("QuickBooks id"),
        _("Remark"),
    ]
    batch = differences_of(comparison).order_by(Difference.id).limit(EXPORTED_AT_ONCE)
    after = 0
    while rows := session().scalars(batch.where(Difference.id > after)).all():
        for row in rows:
            text_differs = row.kind in (Kind.OTHER_CUSTOMER, Kind.OTHER_MONTH)
            yield [
                _(ABOUT[Kind(row.kind)].title),
                _(HEADINGS[RecordType(row.aggregate_type)]),
                row.title,
                row.name,
                row.day.isoformat(),
                row.ours if text_differs else row.our_amount,
                row.theirs if text_differs else row.their_amount,
                row.remote_id,
                remark_of(row),
            ]
        after = rows[-1].id
        step_out()
