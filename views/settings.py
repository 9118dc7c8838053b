"""Settings → Organization, and Settings → QuickBooks without the sign-in at Intuit."""

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import Select, not_, or_, select
from sqlalchemy.orm import joinedload

from languages import N_
from models.accounts import AuditEvent
from models.outbox import Entry, State
from models.quickbooks import ConnectionStatus
from models.sales import Invoice, Payment
from outbox import actions, bulk, lanes
from presenters.arrivals import arrivals_of, checks_of
from presenters.causes import troubles_of, with_cause
from presenters.charts import days_of
from presenters.counts import (
    NEVER_SENT,
    behind_line,
    counts_of,
    never_sent,
    not_sent_sums,
    waiting_in,
)
from presenters.month import latest_answers
from presenters.progress import moving_of
from presenters.rows import rows_of
from presenters.standing import standing, status_word
from quickbooks import unconfirmed
from quickbooks.links import company_url
from web.access import (
    books_required,
    dunahub,
    firm,
    firms_only,
    note,
    owner_required,
    person,
    quickbooks_only,
    session,
)
from web.asking import asked_round, asked_since
from web.flashes import tell
from web.forms import ChoiceField, EditForm, line, tax_rate_field
from web.languages import _, ngettext
from web.paging import asked, page_of
from web.zones import ZONES, zone_groups

settings = Blueprint("settings", __name__, url_prefix="/settings")
settings.before_request(firms_only)

quickbooks = Blueprint("quickbooks", __name__, url_prefix="/settings/quickbooks")
quickbooks.before_request(quickbooks_only)

RECENT = 8  # rows of activity on the settings page


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
    """Who did what in this organization, DunaHub's staff included. For its owners."""
    query = (
        select(AuditEvent)
        .where(AuditEvent.organization_id == firm().id)
        .options(joinedload(AuditEvent.user))
    )
    if not firm().has_quickbooks:  # what happened before the region changed is gone from sight too
        hidden = [AuditEvent.action.startswith(group) for group in ("quickbooks.", "outbox.")]
        query = query.where(not_(or_(*hidden)))
    return render_template("settings/record.html", page=page_of(query, AuditEvent.id))


# --- QuickBooks: is it working, does it need me ---------------------------------------------------


@quickbooks.get("")
def show() -> ResponseReturnValue:
    now = standing()
    connection = now.connection
    recent = session().scalars(_entries().order_by(Entry.id.desc()).limit(RECENT)).all()
    return render_template(
        "settings/quickbooks.html",
        standing=now,
        connection=connection,
        status=status_word(now),
        counts=counts_of(firm()),
        moving=moving_of(connection, asked_since(), asked_round()),
        troubles=troubles_of(firm()),
        behind=behind_line(now),
        on_hold=waiting_in(connection) if connection and now.held_for else 0,
        waiting_there=waiting_in(connection) if connection and not connection.is_live else 0,
        arrivals=arrivals_of(connection),
        checks=checks_of(connection),
        recent=rows_of(recent),
        sums=not_sent_sums(),
        company_address=company_url(dunahub().config, connection) if connection else None,
        days=days_of(firm()),
        answers=latest_answers(),
        unconfirmed=unconfirmed.of(session(), dunahub().config, firm().id),
    )


@quickbooks.get("/progress")
def show_progress() -> ResponseReturnValue:
    """The part of the settings page that moves by itself, for the page that asks again."""
    moving = moving_of(standing().connection, asked_since(), asked_round())
    progress = moving.progress
    return render_template(
        "settings/_moving.html",
        moving=moving,
        counts=counts_of(firm()),
        sums=not_sent_sums(),
        said=_("What was waiting is sent") if progress and progress.is_over else "",
    )


def _entries() -> Select[Entry]:
    return select(Entry).where(Entry.organization_id == firm().id).options(joinedload(Entry.lane))


# --- Lists ----------------------------------------------------------------------------------------


@quickbooks.get("/not-sent")
def not_sent() -> ResponseReturnValue:
    """Records of a time without QuickBooks, one kind at a time."""
    kind = asked("type")
    model = NEVER_SENT.get(kind, Invoice)
    query = select(model).where(*never_sent(model))
    if model is Invoice:
        query = query.options(joinedload(Invoice.lead))
    elif model is Payment:
        query = query.options(joinedload(Payment.invoice).joinedload(Invoice.lead))
    page = page_of(query, model.id)
    return render_template(
        "settings/not_sent.html",
        page=page,
        kind=kind if kind in NEVER_SENT else "invoice",
        sums=not_sent_sums(),
        can_send=standing().status is not ConnectionStatus.DISCONNECTED and person().keeps_books,
    )


# --- What an owner decides ------------------------------------------------------------------------


@quickbooks.post("/failed/requeue")
@books_required
def requeue_failed() -> ResponseReturnValue:
    """Sends again what needs attention: all of it, or all with one cause."""
    failed = select(Entry.id).where(Entry.organization_id == firm().id, Entry.state == State.FAILED)
    if code := _told("code"):
        failed = failed.where(*with_cause(code, _told("thing")))
    ids = session().scalars(failed).all()
    if len(ids) > bulk.PIECE:
        bulk.decide(session(), "requeue", ids, person().id, "")
        session().commit()
        flash(
            _("%(count)s records will be sent again, a part at a time.", count=f"{len(ids):,}"),
            "good",
        )
        return redirect(url_for("quickbooks.show"), 303)
    acted = actions.requeue(session(), ids, organization_id=firm().id)
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
    """A word of the form, without what the database could not take."""
    return request.form.get(name, "").replace("\x00", "")


@quickbooks.post("/waiting")
@books_required
def decide_waiting() -> ResponseReturnValue:
    """What waited when QuickBooks was disconnected: sent now, or never."""
    connection = standing().connection
    if connection is None or not connection.is_live:
        abort(404)
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
