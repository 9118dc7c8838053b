"""Settings → Organization, and Settings → QuickBooks without the sign-in at Intuit."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import ColumnElement, Select, func, not_, or_, select
from sqlalchemy.orm import joinedload

from languages import N_
from models.accounts import AuditEvent, Organization
from models.base import Json
from models.outbox import Entry, LaneState, State
from models.quickbooks import Connection, ConnectionStatus
from models.sales import Invoice, Lead, Payment
from outbox import actions, bulk, lanes
from presenters.causes import troubles_of, with_cause
from presenters.charts import days_of
from presenters.progress import (
    SHOWN_FROM,
    Progress,
    asked_round,
    asked_since,
    pause_after,
    sending_of,
)
from presenters.rows import rows_of
from presenters.status import Word
from quickbooks import connections
from quickbooks.connections import Standing
from quickbooks.facts import for_documents
from quickbooks.links import company_url
from views.accounts import ZONES, zone_groups
from views.arrivals import checks_of
from views.matches import latest_answers
from views.outbox import tell
from web.access import (
    dunahub,
    firm,
    firms_only,
    note,
    owner_required,
    person,
    quickbooks_only,
    session,
)
from web.forms import ChoiceField, EditForm, line, tax_rate_field
from web.languages import _, ngettext
from web.paging import asked, page_of

settings = Blueprint("settings", __name__, url_prefix="/settings")
settings.before_request(firms_only)

quickbooks = Blueprint("quickbooks", __name__, url_prefix="/settings/quickbooks")
quickbooks.before_request(quickbooks_only)

READING_TAKES = timedelta(hours=1)  # at most, even of many customers; then something is wrong
UNDEPOSITED = "Undeposited Funds"  # as Intuit calls it, in whatever language we are read
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


@dataclass(frozen=True)
class Counts:
    sent_this_month: int
    waiting: int
    failed: int
    not_sent: int


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
        moving=_moving(connection),
        troubles=troubles_of(firm()),
        behind=_behind_line(now),
        on_hold=waiting_in(connection) if connection and now.held_for else 0,
        waiting_there=waiting_in(connection) if connection and not connection.is_live else 0,
        arrivals=arrivals_of(connection),
        checks=checks_of(connection),
        recent=rows_of(recent),
        sums=not_sent_sums(),
        company_address=company_url(dunahub().config, connection) if connection else None,
        days=days_of(firm()),
        answers=latest_answers(),
    )


@dataclass(frozen=True)
class Moving:
    """What may change while somebody looks, and when the page asks again, if at all."""

    progress: Progress | None
    reads_customers: str | None  # of this company, for the first time
    is_unread_long: bool  # QuickBooks has not let us, for longer than reading takes
    address: str | None
    seconds: int | None


@quickbooks.get("/progress")
def show_progress() -> ResponseReturnValue:
    """The part of the settings page that moves by itself, for the page that asks again."""
    moving = _moving(standing().connection)
    progress = moving.progress
    return render_template(
        "settings/_moving.html",
        moving=moving,
        counts=counts_of(firm()),
        sums=not_sent_sums(),
        said=_("What was waiting is sent") if progress and progress.is_over else "",
    )


def _moving(connection: Connection | None) -> Moving:
    if connection is None or connection.lane.state != LaneState.OPEN:
        return Moving(None, None, False, None, None)
    since, round_ = asked_since(), asked_round()
    progress = sending_of(connection, since)
    is_long = progress.total >= SHOWN_FROM and (since is not None or not progress.is_over)
    reads = None if connection.customers_read_at else connection.company_name
    is_unread_long = connection.connected_at < datetime.now(UTC) - READING_TAKES
    seconds = None if progress.is_over and not reads else pause_after(round_)
    address = url_for(
        "quickbooks.show_progress",
        since=progress.since.isoformat() if progress.since else None,
        round=round_ + 1,
    )
    return Moving(
        progress if is_long else None,
        reads,
        is_unread_long,
        address if seconds else None,
        seconds,
    )


def standing() -> Standing:
    return connections.status_of(session(), dunahub().config, firm().id)


def status_word(now: Standing) -> Word:
    """Exactly three words; everything else is said on the second line."""
    since = now.connection.status_since if now.connection else None
    match now.status:
        case ConnectionStatus.CONNECTED:
            return Word("check", _("Connected"), "good", since)
        case ConnectionStatus.EXPIRED:
            return Word("key", _("Token expired"), "warn", since)
        case ConnectionStatus.DISCONNECTED:
            return Word("plug", _("Not connected"), "quiet", since)


def counts_of(organization: Organization) -> Counts:
    counted = session().execute(
        select(Entry.state, func.count())
        .where(
            Entry.organization_id == organization.id,
            Entry.state.in_([State.PENDING, State.FAILED]),
        )
        .group_by(Entry.state)
    )
    states: dict[str, int] = dict(counted.all())
    sent = session().scalar(
        select(func.count()).where(
            Entry.organization_id == organization.id,
            Entry.state == State.SYNCED,
            Entry.settled_at >= month_start(organization.zone),
        )
    )
    not_sent = sum(
        session().scalar(select(func.count()).select_from(model).where(*_never_sent(model))) or 0
        for model in NEVER_SENT.values()
    )
    return Counts(sent or 0, states.get(State.PENDING, 0), states.get(State.FAILED, 0), not_sent)


def month_start(zone: ZoneInfo) -> datetime:
    return datetime.now(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


@dataclass(frozen=True)
class Waiting:
    count: int
    since: datetime | None


def _behind_line(now: Standing) -> Waiting | None:
    """What waited when QuickBooks was disconnected, until the owner decides."""
    if now.connection is None or not now.connection.is_live or not now.waiting_behind_line:
        return None
    since = session().scalar(
        select(func.min(Entry.created_at)).where(
            Entry.lane_id == now.connection.lane_id,
            Entry.state == State.PENDING,
            Entry.id <= now.connection.lane.line,
        )
    )
    return Waiting(now.waiting_behind_line, since)


def waiting_in(connection: Connection) -> int:
    pending = select(func.count()).where(
        Entry.lane_id == connection.lane_id, Entry.state == State.PENDING
    )
    return session().scalar(pending) or 0


def _entries() -> Select[Entry]:
    return select(Entry).where(Entry.organization_id == firm().id).options(joinedload(Entry.lane))


# --- How records arrive ---------------------------------------------------------------------------


def arrivals_of(connection: Connection | None) -> list[tuple[str, str]]:
    """Where the firm's money lands in QuickBooks, in the owner's words."""
    if connection is None or not connection.is_live:
        return []
    chosen, facts = connection.settings, connection.facts
    preferences: Json = facts.get("preferences") or {}
    deposits, methods = chosen.get("deposit_accounts") or {}, chosen.get("payment_methods") or {}
    numbers = for_documents(connection)["numbers"]

    def name(list_: str, key: str | None, otherwise: str) -> str:
        found = (row["name"] for row in facts.get(list_, []) if row["id"] == key)
        return next(found, otherwise)

    rows = [
        (
            _("Sales go to"),
            name("income_accounts", chosen.get("income_account_id"), _("not chosen yet")),
        ),
        (
            _("Lines without a product use"),
            name("items", chosen.get("fallback_item_id"), _("none yet")),
        ),
    ]
    for method, label in (("card", _("Card payments go to")), ("ach", _("ACH payments go to"))):
        where = name("deposit_accounts", deposits.get(method), "")
        kind = name("payment_methods", methods.get(method), "")
        account = where or UNDEPOSITED
        words = _("%(account)s as %(method)s", account=account, method=kind) if kind else account
        match_it = "" if where else " · " + _("you match the bank deposit there")
        rows.append((label, words + match_it))
    return [
        *rows,
        (_("Sales tax"), _tax_words(preferences, chosen)),
        (
            _("Invoice numbers"),
            _("DunaHub's numbers") if numbers == "ours" else _("QuickBooks gives its own"),
        ),
    ]


def _tax_words(preferences: Json, chosen: Json) -> str:
    if (chosen.get("tax") or {}).get("mode") == "line":
        return _("A line of its own")
    if not preferences.get("uses_sales_tax"):
        return _("A line of its own, because sales tax is off in QuickBooks")
    if preferences.get("automated_tax"):
        return _("Computed by QuickBooks")
    return _("As on DunaHub's invoice")


# --- Lists ----------------------------------------------------------------------------------------


@quickbooks.get("/not-sent")
def not_sent() -> ResponseReturnValue:
    """Records of a time without QuickBooks, one kind at a time."""
    kind = asked("type")
    model = NEVER_SENT.get(kind, Invoice)
    query = select(model).where(*_never_sent(model))
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
        can_send=standing().status is not ConnectionStatus.DISCONNECTED and person().is_owner,
    )


def not_sent_sums() -> dict[str, Decimal]:
    """What the books over there lack, in dollars: invoices, and payments."""
    amounts = {Invoice: Invoice.total, Payment: Payment.amount - Payment.refunded_amount}
    return {
        kind: session().scalar(
            select(func.coalesce(func.sum(amounts[model]), 0)).where(*_never_sent(model))
        )
        or Decimal(0)
        for kind, model in NEVER_SENT.items()
        if model in amounts
    }


NEVER_SENT: dict[str, type[Lead] | type[Invoice] | type[Payment]] = {
    "invoice": Invoice,
    "payment": Payment,
    "lead": Lead,
}


def _never_sent(model: type[Lead] | type[Invoice] | type[Payment]) -> list[ColumnElement[bool]]:
    conditions = [model.organization_id == firm().id, model.first_entry_at.is_(None)]
    if model is Invoice:
        conditions.append(Invoice.voided_at.is_(None))
    elif model is Lead:
        conditions.append(Lead.deleted_at.is_(None))
    return conditions


# --- What an owner decides ------------------------------------------------------------------------


@quickbooks.post("/failed/requeue")
@owner_required
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
@owner_required
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
