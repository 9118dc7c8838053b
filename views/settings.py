"""Settings → Organization, and Settings → QuickBooks except the sign-in at Intuit."""

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import not_, or_, select
from sqlalchemy.orm import joinedload

from languages import N_
from models.accounts import AuditEvent
from models.quickbooks import ConnectionStatus
from models.sales import Invoice, Payment
from outbox import actions, bulk, lanes
from presenters.acts import acts_of
from presenters.arrivals import checks_of
from presenters.causes import sendable, troubles_of, with_cause
from presenters.charts import usual_delay
from presenters.connection_words import (
    NOT_CHECKED,
    delay_sentences,
    facts_of,
    notices_of,
    what_connecting_does,
)
from presenters.counts import Counts, behind_line, counts_of, waiting_in
from presenters.month import latest_answers
from presenters.not_sent import (
    NEVER_SENT,
    never_sent,
    not_sent_parts,
    nothing_not_sent,
    why_not_sent,
)
from presenters.progress import Moving, moving_of
from presenters.standing import (
    CHECK_INTERVAL,
    delay_of,
    is_due_for_check,
    last_check,
    standing,
    status_word,
)
from presenters.withheld import withheld_of
from quickbooks import checking, unconfirmed
from quickbooks.checking import Checked
from quickbooks.links import company_url
from quickbooks.standing import Standing
from web import tallies
from web.access import (
    books_required,
    dunahub,
    firm,
    firms_only,
    note,
    owner_required,
    person,
    quickbooks_only,
    safe_target,
    session,
    step_out,
)
from web.asking import asked_round, asked_since
from web.flashes import tell
from web.forms import ChoiceField, EditForm, line, tax_rate_field
from web.fresh import fresh_required
from web.languages import _, ngettext
from web.paging import asked, page_of
from web.zones import ZONES, zone_groups

settings = Blueprint("settings", __name__, url_prefix="/settings")
settings.before_request(firms_only)

quickbooks = Blueprint("quickbooks", __name__, url_prefix="/settings/quickbooks")
quickbooks.before_request(quickbooks_only)

MAX_FAILED_CHECKED = 1_000  # failed records that a page checks for what can be sent again
US_ONLY = ("quickbooks", "outbox", "accountant", "payments")  # groups of acts
MAX_CHECKS_PER_HOUR = 20  # by hand, per company: each is two metered reads


# --- The organization -----------------------------------------------------------------------------


class OrganizationForm(EditForm):
    name = line(N_("Company name"), required=N_("What is your company called?"), most=200)
    time_zone = ChoiceField(N_("Time zone"), ZONES)
    tax_rate = tax_rate_field()

    def columns(self) -> frozenset[str]:
        return frozenset({"name", "time_zone", "tax_rate"})


@settings.get("")
def index() -> ResponseReturnValue:
    first = "quickbooks.show" if firm().has_quickbooks else "settings.show_organization"
    return redirect(url_for(first))


@settings.get("/organization")
def show_organization() -> ResponseReturnValue:
    form = OrganizationForm.showing(firm())
    return render_template("settings/organization.html", form=form, zones=zone_groups())


@settings.post("/organization")
@owner_required
@fresh_required
def update_organization() -> ResponseReturnValue:
    form = OrganizationForm(request.form)
    if not form.validate():
        return render_template("settings/organization.html", form=form, zones=zone_groups()), 422
    form.apply_to(firm())
    note("organization.changed", organization_id=firm().id)
    session().commit()
    flash(_("Your settings are saved."), "good")
    return redirect(url_for("settings.show_organization"), 303)


@settings.get("/record")
@owner_required
def record() -> ResponseReturnValue:
    """The organization's audit log, including acts of DunaHub's staff. For owners."""
    query = (
        select(AuditEvent)
        .where(AuditEvent.organization_id == firm().id)
        .options(joinedload(AuditEvent.user))
    )
    if not firm().has_quickbooks:  # hides acts of the pages that it had before its region changed
        hidden = [AuditEvent.action.startswith(f"{group}.") for group in US_ONLY]
        query = query.where(not_(or_(*hidden)))
    page = page_of(query, AuditEvent.id)
    return render_template("settings/record.html", page=page, acts=acts_of(page.rows))


# --- QuickBooks: is it working, does it need me ---------------------------------------------------


@quickbooks.get("")
def show() -> ResponseReturnValue:
    now = standing()
    connection = now.connection
    return render_template(
        "settings/quickbooks.html",
        **_status(now),
        **_needs(now),
        withheld=withheld_of(connection) if connection and connection.is_live else [],
        what_connecting_does=what_connecting_does(),
        company_address=company_url(dunahub().config, connection) if connection else None,
        usually=usual_delay(firm()) if connection else None,
        checks_itself=is_due_for_check(connection),
        answers=latest_answers(most=1),
        unconfirmed=unconfirmed.of(session(), dunahub().config, firm().id),
    )


def _status(now: Standing) -> dict[str, object]:
    """The status card, which changes by itself."""
    connection, delay, counts = now.connection, delay_of(now), counts_of(firm())
    waiting_there = waiting_in(connection) if connection and not connection.is_live else 0
    return {
        "standing": now,
        "connection": connection,
        "status": status_word(now),
        "delay": delay,
        "counts": counts,
        "missing": not_sent_parts(),
        "facts": facts_of(now, waiting_there),
        "delay_sentences": delay_sentences(delay),
        "moving": moving_of(
            connection,
            asked_since(),
            asked_round(),
            is_delayed=delay is not None,
            standing=now.as_shown,
            failed=counts.failed_as,
        ),
    }


def _needs(now: Standing) -> dict[str, object]:
    """What needs a person."""
    connection = now.connection
    on_hold = waiting_in(connection) if connection and now.held_for else 0
    return {
        "troubles": troubles_of(firm()),
        "can_be_sent": len(sendable(firm(), most=MAX_FAILED_CHECKED)),
        "behind": behind_line(now),
        "notices": list(notices_of(now, on_hold)),
        "last_check": last_check(connection),
    }


@quickbooks.get("/progress")
def show_progress() -> ResponseReturnValue:
    """The part of the settings page that polls. With it comes what needs attention, if that has
    changed; for another standing the whole page is another one."""
    now = standing()
    if asked("standing") not in ("", now.as_shown):
        return Response(status=204, headers={"HX-Refresh": "true"})
    shown = _status(now)
    moving, counts = shown["moving"], shown["counts"]
    has_changed = isinstance(counts, Counts) and asked("failed") not in ("", counts.failed_as)
    progress = moving.progress if isinstance(moving, Moving) else None
    said = _("What was waiting is sent") if progress and progress.is_over else ""
    more = _needs(now) if has_changed else {}
    return render_template(
        "settings/_moving.html", **shown, **more, said=said, has_changed=has_changed
    )


# --- Check ---------------------------------------------------------------------------------------


@quickbooks.get("/check")
def show_check() -> ResponseReturnValue:
    """The company settings that affect how records are stored."""
    connection = standing().connection
    if connection is None or not connection.is_live:
        flash(_("Connect QuickBooks first: then there is something to check."))
        return redirect(url_for("quickbooks.show"))
    return render_template(
        "settings/check.html",
        connection=connection,
        last_check=last_check(connection),
        checks=checks_of(connection),
    )


@quickbooks.post("/check")
def check() -> ResponseReturnValue:
    """Asks QuickBooks whether it answers and accepts our access.
    Started by hand, or by opening a page."""
    connection, by_itself = standing().connection, "HX-Request" in request.headers
    if connection is None or connection.status != ConnectionStatus.CONNECTED:
        return "" if by_itself else redirect(url_for("quickbooks.show"), 303)
    key = connection.id
    if by_itself:
        is_first = tallies.count(f"check-by-itself:{key}", CHECK_INTERVAL.seconds) == 1
        found = _ask(key) if is_first else Checked.ANSWERS
        if found is Checked.SIGNED_OUT:
            return Response(headers={"HX-Refresh": "true"})
        shown = last_check(standing().connection)
        return render_template("settings/_checked.html", last_check=shown, oob=True)
    if tallies.count(f"check:{key}", 60 * 60) > MAX_CHECKS_PER_HOUR:
        flash(_("You've checked too often just now. Try again in an hour."), "warn")
        return redirect(_checked_from(), 303)
    lane_id = connection.lane_id
    note("quickbooks.checked", organization_id=firm().id)
    session().commit()
    step_out()
    with dunahub().sessions.begin() as apart:
        lanes.try_now(apart, lane_id)
    _tell_check(_ask(key))
    return redirect(_checked_from(), 303)


def _ask(connection_id: int) -> Checked:
    step_out()
    return checking.check(dunahub().sessions, dunahub().config, connection_id)


def _checked_from() -> str:
    return safe_target(request.form.get("next"), url_for("quickbooks.show"))


def _tell_check(found: Checked) -> None:
    match found:
        case Checked.ANSWERS:
            flash(_("QuickBooks is answering, and our access works."), "good")
        case Checked.SIGNED_OUT:
            flash(_("QuickBooks no longer lets us in. Reconnect to continue."), "warn")
        case _:
            flash(_(NOT_CHECKED[found]), "warn")


# --- Lists ----------------------------------------------------------------------------------------


@quickbooks.get("/not-sent")
def not_sent() -> ResponseReturnValue:
    """Records saved without QuickBooks, one type at a time."""
    kind = asked("type") if asked("type") in NEVER_SENT else "invoice"
    can_send = standing().status is not ConnectionStatus.DISCONNECTED and person().keeps_books
    model = NEVER_SENT[kind]
    query = select(model).where(*never_sent(model))
    if model is Invoice:
        query = query.options(joinedload(Invoice.lead))
    elif model is Payment:
        query = query.options(joinedload(Payment.invoice).joinedload(Invoice.lead))
    page = page_of(query, model.id)
    return render_template(
        "settings/not_sent.html",
        page=page,
        kind=kind,
        missing=not_sent_parts(),
        can_send=can_send,
        why=why_not_sent(kind, can_send=can_send),
        nothing=nothing_not_sent(kind),
    )


# --- What an owner decides ------------------------------------------------------------------------


@quickbooks.post("/failed/requeue")
@books_required
def requeue_failed() -> ResponseReturnValue:
    """Sends again what needs attention and can be sent: everything, or one cause."""
    code = _told("code")
    ids = sendable(firm(), with_cause(code, _told("thing")) if code else ())
    if len(ids) > bulk.ENTRIES_PER_BATCH:
        bulk.decide(session(), "requeue", ids, person().id, "")
        session().commit()
        flash(
            _("%(count)s records will be sent again, in batches.", count=f"{len(ids):,}"),
            "good",
        )
        return redirect(url_for("quickbooks.show"), 303)
    acted = actions.requeue(session(), ids, organization_id=firm().id, overwrites=False)
    if acted.done:
        note("outbox.requeued", organization_id=firm().id, entries=list(acted.done))
    session().commit()
    count = len(acted.done)
    sentence = ngettext(
        "%(num)s record will be sent again.", "%(num)s records will be sent again.", count
    )
    tell(acted, sentence)
    return redirect(url_for("quickbooks.show"), 303)


def _told(name: str) -> str:
    """A form value without characters that the database rejects."""
    return request.form.get(name, "").replace("\x00", "")


@quickbooks.post("/waiting")
@books_required
def decide_waiting() -> ResponseReturnValue:
    """What waited when QuickBooks was disconnected: sent now, or never."""
    connection = standing().connection
    if connection is None or not connection.is_live:
        abort(404)
    if not lanes.still_waits(session(), connection.lane_id, _told("listed")):
        _tell_waits_changed(connection.lane_id)
        return redirect(url_for("quickbooks.show"), 303)
    if request.form.get("decision") == "send":
        count = lanes.send_waiting(session(), connection.lane_id)
        note("outbox.waiting_sent", organization_id=firm().id, count=count)
        sentence = ngettext(
            "%(num)s waiting record will be sent now.",
            "%(num)s waiting records will be sent now.",
            count,
        )
    else:
        count = lanes.skip_waiting(session(), connection.lane_id)
        note("outbox.waiting_skipped", organization_id=firm().id, count=count)
        sentence = ngettext(
            "%(num)s waiting record skipped. That can be undone.",
            "%(num)s waiting records skipped. Each can be undone.",
            count,
        )
    session().commit()
    flash(sentence, "good")
    return redirect(url_for("quickbooks.show"), 303)


def _tell_waits_changed(lane_id: int) -> None:
    if lanes.waiting_listed(session(), lane_id):
        flash(_("What waits has changed since you opened the page. Look at it again."), "warn")
    else:
        flash(_("Nothing waits for a decision anymore."))
