"""Settings → Organization, and Settings → QuickBooks without the sign-in at Intuit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from zoneinfo import ZoneInfo

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import ColumnElement, Select, func, not_, or_, select
from sqlalchemy.orm import joinedload

from languages import N_
from models.accounts import AuditEvent, Organization
from models.base import Json
from models.outbox import Entry, State
from models.quickbooks import Connection, ConnectionStatus
from models.sales import Invoice, Lead, Payment
from outbox import actions, lanes
from quickbooks import connections
from quickbooks.connections import Standing
from quickbooks.facts import for_documents
from quickbooks.faults import Explanation
from quickbooks.links import company_url
from views.access import (
    dunahub,
    firm,
    firms_only,
    note,
    owner_required,
    person,
    quickbooks_only,
    session,
)
from views.accounts import ZONES, zone_groups
from views.arrivals import checks_of
from views.charts import days_of
from views.forms import EARLIEST, LATEST, ChoiceField, EditForm, line, tax_rate_field
from views.languages import _, ngettext
from views.matches import latest_answers
from views.outbox import tell
from views.paging import asked, page_of
from views.rows import Row, rows_of
from views.status import KINDS, Word

settings = Blueprint("settings", __name__, url_prefix="/settings")
settings.before_request(firms_only)

quickbooks = Blueprint("quickbooks", __name__, url_prefix="/settings/quickbooks")
quickbooks.before_request(quickbooks_only)

UNDEPOSITED = "Undeposited Funds"  # as Intuit calls it, in whatever language we are read
RECENT = 8  # rows of activity on the settings page
MOST_FAILED = 200  # shown by cause on the settings page; the list has them all
RECORDS_NAMED = 5  # of each cause


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


@dataclass(frozen=True)
class Trouble:
    """All records that failed for one cause."""

    code: str
    explanation: Explanation
    rows: Sequence[Row]

    @property
    def named(self) -> Sequence[Row]:
        return self.rows[:RECORDS_NAMED]

    @property
    def is_shared(self) -> bool:
        """Whether one decision on one of them clears all: they stopped at the same thing."""
        return self.code in ("item_inactive", "its_customer_inactive")


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


def troubles_of(organization: Organization) -> list[Trouble]:
    failed = session().scalars(
        _entries().where(Entry.state == State.FAILED).order_by(Entry.id.desc()).limit(MOST_FAILED)
    )
    rows = sorted(rows_of(failed.all()), key=_cause)
    troubles = []
    for (code, _thing), group in groupby(rows, key=_cause):
        members = list(group)
        explanation = members[0].explanation
        if explanation:
            troubles.append(Trouble(code, explanation, members))
    return sorted(troubles, key=lambda trouble: -len(trouble.rows))


def _cause(row: Row) -> tuple[str, str]:
    """What stopped a record: the code, and the thing over there where it is always the same one."""
    about = row.entry.fault_about
    return row.entry.fault_code or "", str(about.get("item_id") or about.get("holder_id") or "")


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

STATES = {
    "sent": (N_("In QuickBooks"), [State.SYNCED]),
    "waiting": (N_("Waiting"), [State.PENDING]),
    "failed": (N_("Needs attention"), [State.FAILED]),
    "skipped": (N_("Skipped"), [State.SKIPPED]),
    "replaced": (N_("Replaced"), [State.SUPERSEDED]),
}


@quickbooks.get("/activity")
def activity() -> ResponseReturnValue:
    wanted, state, kind = asked("q"), asked("state"), asked("type")
    first, last = _asked_day("from"), _asked_day("to")
    query = _entries()
    if wanted:
        query = query.where(Entry.payload["title"].astext.icontains(wanted, autoescape=True))
    if state in STATES:
        query = query.where(Entry.state.in_(STATES[state][1]))
    if kind in KINDS:
        query = query.where(Entry.aggregate_type == kind)
    if first:
        query = query.where(Entry.created_at >= _midnight(first))
    if last:
        query = query.where(Entry.created_at < _midnight(last) + timedelta(days=1))
    page = page_of(query, Entry.id)
    return render_template(
        "settings/activity.html",
        page=page,
        rows=rows_of(page.rows),
        wanted=wanted,
        state=state,
        kind=kind,
        first=first,
        last=last,
        states={key: label for key, (label, _) in STATES.items()},
        kinds=KINDS,
    )


def _asked_day(name: str) -> date | None:
    try:
        day = date.fromisoformat(asked(name))
    except ValueError:
        return None
    return day if EARLIEST <= day <= LATEST else None


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=firm().zone)


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
    code = request.form.get("code", "").replace("\x00", "")
    if code:
        failed = failed.where(Entry.fault_code == code)
    ids = session().scalars(failed).all()
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
