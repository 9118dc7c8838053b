"""Settings → QuickBooks → Does it match? A month of our books compared with QuickBooks."""

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select

from models.accounts import AuditEvent
from models.comparisons import Comparison, Difference, Kind
from presenters.charts import days_of
from presenters.comparing import problem_of, progress_of, refusal_of
from presenters.difference_kinds import ABOUT
from presenters.differences import differences_of, groups_of, listed_of, remark_of
from presenters.month import (
    HEADINGS,
    ListedMonth,
    answer_of,
    comparison_of,
    comparisons,
    month_title,
    this_month,
)
from presenters.not_sent import not_sent_parts
from presenters.standing import standing
from quickbooks import months
from quickbooks.comparison import Month
from web.access import (
    books_required,
    firm,
    note,
    person,
    quickbooks_only,
    session,
    written_apart,
)
from web.downloads import csv_of
from web.forms import EARLIEST_DAY
from web.fresh import fresh_required
from web.languages import _
from web.paging import asked

matches = Blueprint("matches", __name__, url_prefix="/settings/quickbooks/matches")
matches.before_request(quickbooks_only)

MONTHS_LISTED = 12  # in the list, compared or not; older ones only if they were compared
MAX_MONTHS = 120
ROWS_PER_KIND = 20  # on the month's page; the list of a kind shows all
MAX_ROWS_PRINTED = 1000
EXPORTED_AT_ONCE = 500
MAX_ASKED_PER_DAY = 30  # by hand, per organization: each costs a few metered reads
ASKED_ACTION = "quickbooks.comparison_asked"


def _asks_left() -> int:
    """Comparisons that the organization may still request today, counted in the audit log."""
    asked_today = session().scalar(
        select(func.count()).where(
            AuditEvent.organization_id == firm().id,
            AuditEvent.action == ASKED_ACTION,
            AuditEvent.created_at > func.clock_timestamp() - timedelta(days=1),
        )
    )
    return max(0, MAX_ASKED_PER_DAY - (asked_today or 0))


# --- Pages ----------------------------------------------------------------------------------------


def month_of(text: str) -> Month:
    """The month in the URL; 404 if it is in the future or not a month."""
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text):
        abort(404)
    month = Month(date(int(text[:4]), int(text[5:]), 1))
    if not EARLIEST_DAY <= month.first <= this_month().first:
        abort(404)
    return month


@matches.get("")
def index() -> ResponseReturnValue:
    return render_template(
        "quickbooks/matches.html",
        lines=lines_of_months(),
        refusal=refusal_of(standing()),
        days=days_of(firm()),
    )


def lines_of_months() -> list[ListedMonth]:
    """The last year's months, and older ones that were compared, newest first."""
    stored = {
        Month(one.month): one
        for one in session().scalars(
            comparisons().order_by(Comparison.month.desc()).limit(MAX_MONTHS)
        )
    }
    listed = [this_month()]
    while len(listed) < MONTHS_LISTED:
        listed.append(listed[-1].previous)
    listed += [month for month in stored if month.first < listed[-1].first]
    return [
        ListedMonth(
            month,
            month_title(month),
            answer_of(stored[month]) if month in stored else None,
            month in stored and stored[month].asked_at is not None,
        )
        for month in listed
    ]


@matches.get("/<month>")
def show(month: str) -> ResponseReturnValue:
    wanted = month_of(month)
    comparison = comparison_of(wanted)
    answer = answer_of(comparison) if comparison else None
    kind = asked("kind")
    listed = listed_of(answer, Kind(kind)) if answer and kind in set(Kind) else None
    return render_template(
        "quickbooks/match.html",
        month=wanted,
        title=month_title(wanted),
        newer=wanted.next if wanted.first < this_month().first else None,
        older=wanted.previous if wanted.first > EARLIEST_DAY else None,
        comparison=comparison,
        answer=answer,
        groups=groups_of(answer, ROWS_PER_KIND) if answer and not listed else [],
        listed=listed,
        not_sent=not_sent_parts().count if answer and Kind.LEFT_OUT in answer.counts else 0,
        progress=progress_of(comparison),
        problem=problem_of(comparison),
        refusal=refusal_of(standing()),
        asks_a_day=MAX_ASKED_PER_DAY,
        month_title=month_title,
    )


@matches.post("/<month>")
@books_required
def compare(month: str) -> ResponseReturnValue:
    """Requests a comparison, which a job makes. Requested twice, it is made once."""
    wanted = month_of(month)
    address = url_for("matches.show", month=month)
    if refusal := refusal_of(standing()):
        flash(refusal, "warn")
    elif not _asks_left():
        flash(
            _(
                "You asked %(most)s times today, which is as often as we can. Try again tomorrow.",
                most=MAX_ASKED_PER_DAY,
            ),
            "warn",
        )
    elif months.ask(session(), firm().id, wanted, person().id):
        note(ASKED_ACTION, organization_id=firm().id, month=month)
    session().commit()
    return redirect(address, 303)


@matches.get("/<month>/progress")
def progress(month: str) -> ResponseReturnValue:
    """The progress, as a small response; when it has finished, the page reloads."""
    wanted = month_of(month)
    how_far = progress_of(comparison_of(wanted))
    if how_far is None and request.headers.get("HX-Request"):
        return Response(status=204, headers={"HX-Refresh": "true"})
    if how_far is None:
        return redirect(url_for("matches.show", month=month))
    return render_template("quickbooks/_match_progress.html", month=wanted, progress=how_far)


@matches.get("/<month>/print")
def show_print(month: str) -> ResponseReturnValue:
    """A version to print, for the accountant."""
    wanted = month_of(month)
    comparison = comparison_of(wanted)
    answer = answer_of(comparison) if comparison else None
    if answer is None:
        return redirect(url_for("matches.show", month=month))
    groups = groups_of(answer, MAX_ROWS_PRINTED)
    return render_template(
        "quickbooks/match_print.html", month=wanted, answer=answer, groups=groups
    )


@matches.get("/<month>/csv")
@fresh_required
def export(month: str) -> ResponseReturnValue:
    wanted = month_of(month)
    comparison = comparison_of(wanted)
    if comparison is None or comparison.compared_at is None:
        return redirect(url_for("matches.show", month=month))
    with written_apart():
        note("quickbooks.comparison_exported", organization_id=firm().id, month=month)
    return csv_of(f"dunahub-quickbooks-{wanted}.csv", table_of(comparison), of_one_moment=True)


def table_of(comparison: Comparison) -> Iterator[Sequence[object]]:
    """All differences as rows of a file, read a batch at a time: in one snapshot, because the next
    comparison replaces them all."""
    yield [
        _("Difference"),
        _("Kind"),
        _("Record"),
        _("Customer"),
        _("Date"),
        _("Here"),
        _("In QuickBooks"),
        _("QuickBooks id"),
        _("Note"),
    ]
    batch = differences_of(comparison).order_by(Difference.id).limit(EXPORTED_AT_ONCE)
    after = 0
    while rows := session().scalars(batch.where(Difference.id > after)).all():
        for row in rows:
            text_differs = row.kind in (Kind.OTHER_CUSTOMER, Kind.OTHER_LINES, Kind.OTHER_MONTH)
            yield [
                _(ABOUT[row.kind].title),
                _(HEADINGS[row.record_type]),
                row.title,
                row.name,
                row.day.isoformat(),
                row.ours if text_differs else row.our_amount,
                row.theirs if text_differs else row.their_amount,
                row.remote_id,
                remark_of(row),
            ]
        after = rows[-1].id
