"""Settings → QuickBooks: connect, return from Intuit, disconnect. For owners only.

`step_out` ends the request's transaction before each call to Intuit.
"""

from collections.abc import Mapping

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from models.quickbooks import ConnectionStatus, Purpose, UnconfirmedCompany
from presenters.company import last_sale
from presenters.consent import (
    Refusal,
    bad_state,
    company_taken,
    misconfigured,
    not_allowed,
    other_company,
    unsuitable,
)
from presenters.counts import waiting_in
from presenters.progress import sending_of
from presenters.standing import standing
from presenters.trial import as_connection, choices_in, trial_of, trial_of_choice
from quickbooks import connecting, consenting, disconnecting, oauth, unconfirmed
from quickbooks.consenting import (
    BadState,
    CompanyTaken,
    Connected,
    Denied,
    Finished,
    Misconfigured,
    NotAllowed,
    OtherCompany,
    TryAgain,
    Unconfirmed,
    Unsuitable,
)
from quickbooks.facts import FALLBACK_ITEM
from quickbooks.unconfirmed import names_agree
from views.arrivals import ArrivalsForm
from web.access import (
    books_required,
    dunahub,
    firm,
    owner_required,
    person,
    quickbooks_only,
    session,
    step_out,
)
from web.asking import asked_round, pause_after
from web.fresh import fresh_required
from web.languages import _

connection = Blueprint("connection", __name__, url_prefix="/settings/quickbooks")
connection.before_request(quickbooks_only)


@connection.post("/connection")
@owner_required
@fresh_required
def connect() -> ResponseReturnValue:
    """Redirects to Intuit's consent page, unless already connected."""
    now = standing()
    if now.status is ConnectionStatus.CONNECTED and now.days_left is None:
        flash(_("QuickBooks is already connected."))
        return redirect(url_for("quickbooks.show"), 303)
    known = now.status is not ConnectionStatus.DISCONNECTED
    return _to_intuit(Purpose.RECONNECT if known else Purpose.CONNECT, allowed_realm_id=None)


@connection.post("/connection/other-company")
@owner_required
@fresh_required
def connect_other_company() -> ResponseReturnValue:
    """The owner agreed to a different company, which is chosen at Intuit again."""
    realm_id = request.form.get("realm_id", "")
    allowed = realm_id if realm_id.isascii() and realm_id.isdigit() else None
    return _to_intuit(Purpose.CONNECT, allowed_realm_id=allowed)


def _to_intuit(purpose: Purpose, *, allowed_realm_id: str | None) -> ResponseReturnValue:
    user = person()
    step_out()
    try:
        address = consenting.begin(
            dunahub().sessions, dunahub().config, user, purpose, allowed_realm_id=allowed_realm_id
        )
    except oauth.Unavailable:
        flash(_("Intuit can't be reached right now. Try again in a few minutes."), "warn")
        return redirect(url_for("quickbooks.show"), 303)
    return redirect(address, 303)


@connection.get("/callback")
def callback() -> ResponseReturnValue:
    """Where Intuit redirects after consent."""
    user = person()
    step_out()
    try:
        finished = connecting.finish(dunahub().sessions, dunahub().config, user, _told())
    except BadState:
        return _refused(bad_state()), 400
    except NotAllowed:
        return _refused(not_allowed()), 403
    return _answer(finished)


def _told() -> dict[str, str]:
    return {name: value.replace("\x00", "") for name, value in request.args.items()}


def _answer(finished: Finished) -> ResponseReturnValue:
    match finished:
        case Connected():
            flash(_success(finished), "good")
        case Unconfirmed():
            return redirect(url_for("connection.show_company"), 303)
        case Denied():
            flash(_("Nothing was changed: you cancelled at Intuit."))
        case TryAgain(reason="expired"):
            flash(_("That took too long, or was already answered. Choose the company again."))
        case TryAgain():
            flash(
                _("Intuit's answer wasn't what we expected. Nothing was changed. Try again."),
                "warn",
            )
        case OtherCompany():
            return _refused(other_company(finished), other=finished)
        case CompanyTaken():
            return _refused(company_taken()), 409
        case Unsuitable():
            page = _refused(unsuitable(finished))
            return page, 422
        case Misconfigured():
            return _refused(misconfigured()), 502
    return redirect(url_for("quickbooks.show"), 303)


def _refused(refusal: Refusal, other: OtherCompany | None = None) -> str:
    return render_template(
        "settings/callback.html", title=refusal.title, why=refusal.why, told=other
    )


def _success(connected: Connected) -> str:
    if connected.was_known:
        return _("QuickBooks is connected again to %(company)s.", company=connected.company_name)
    return _(
        "QuickBooks is connected to %(company)s. New leads, invoices and payments go there"
        " automatically.",
        company=connected.company_name,
    )


# --- Is this your company? ------------------------------------------------------------------------


@connection.get("/company")
@owner_required
def show_company() -> ResponseReturnValue:
    """Facts of the chosen company, so that the owner can tell whether it is theirs."""
    company = unconfirmed.of(session(), dunahub().config, firm().id)
    if company is None:
        return redirect(url_for("quickbooks.show"))
    return _company_page(company, _arrivals_form(company))


def _arrivals_form(
    company: UnconfirmedCompany, told: Mapping[str, str] | None = None
) -> ArrivalsForm:
    form = ArrivalsForm.of(as_connection(company), told)
    created = _("“%(item)s”, created when you start", item=FALLBACK_ITEM)
    form.fallback_item.options = {**form.fallback_item.options, "": created}
    form.creates_item = True
    return form


def _company_page(company: UnconfirmedCompany, form: ArrivalsForm) -> str:
    return render_template(
        "settings/company.html",
        company=company,
        agree=names_agree(firm().name, company.facts),
        customers=None if company.customers is None else len(company.customers),
        sale=last_sale(company.facts.get("last_sale")),
        trial=trial_of_choice(company),
        form=form,
    )


@connection.get("/test-drive")
@books_required
def show_trial() -> ResponseReturnValue:
    """What would happen to the newest records. Reads only what we already know of the company."""
    now = standing()
    if now.connection is None or not now.connection.is_live:
        return redirect(url_for("quickbooks.show"))
    return render_template(
        "settings/trial.html", connection=now.connection, trial=trial_of(now.connection)
    )


@connection.post("/company")
@owner_required
def start() -> ResponseReturnValue:
    """From now on records are sent to this company, as chosen on the page. `shows` only keeps
    the choices and shows the page again with their effect."""
    realm_id = request.form.get("realm_id", "")
    company = unconfirmed.of(session(), dunahub().config, firm().id, lock=True)
    if company is not None and company.realm_id == realm_id and "income_account" in request.form:
        form = _arrivals_form(company, request.form)
        company.choices = choices_in(trial_of_choice(company), request.form)
        if not form.validate():
            return _company_page(company, form), 422
        if form.is_changed(company.settings):
            company.settings = {**company.settings, **form.choices()}
        session().commit()
    if "shows" in request.form:
        return redirect(url_for("connection.show_company", _anchor="leads-tried"), 303)
    return _start(realm_id)


@fresh_required
def _start(realm_id: str) -> ResponseReturnValue:
    user = person()
    step_out()
    return _answer(connecting.confirm(dunahub().sessions, dunahub().config, user, realm_id))


@connection.post("/company/another")
@owner_required
@fresh_required
def choose_another() -> ResponseReturnValue:
    """It was the wrong company: revokes our access to it and returns to Intuit."""
    user = person()
    step_out()
    realm_id = request.form.get("realm_id", "")
    name = connecting.decline(dunahub().sessions, dunahub().config, user, realm_id)
    if name is None:
        return redirect(url_for("quickbooks.show"), 303)
    return _to_intuit(Purpose.CONNECT, allowed_realm_id=None)


@connection.get("/disconnected")
def show_disconnected() -> ResponseReturnValue:
    """Where Intuit redirects a person who ended our access inside QuickBooks. Checked with Intuit,
    because anyone can make a browser open this page."""
    user, organization_id = person(), firm().id
    if user.is_owner:
        realm_id = request.args.get("realmId", "")
        step_out()
        sessions, config = dunahub().sessions, dunahub().config
        ended = disconnecting.confirm_ended_there(sessions, config, organization_id, realm_id, user)
        if ended:
            flash(
                _("You ended our access to %(company)s in QuickBooks.", company=ended.company_name)
            )
    return redirect(url_for("quickbooks.show"))


# --- Disconnect -----------------------------------------------------------------------------------


@connection.get("/connection/disconnect")
@owner_required
def show_disconnect() -> ResponseReturnValue:
    """Asks how to disconnect; with `first=send`, shows the progress. Only the form polls."""
    now, is_part = standing(), "HX-Request" in request.headers
    if now.connection is None or not now.connection.is_live:
        return _to_settings(is_part)
    sending = now.connection.is_ending
    progress = sending_of(now.connection) if sending else None
    round_ = asked_round()
    part = "settings/_disconnect.html" if is_part else None
    return render_template(
        part or "settings/disconnect.html",
        connection=now.connection,
        waiting=waiting_in(now.connection),
        progress=progress,
        sending=sending,
        can_send=now.status is ConnectionStatus.CONNECTED,
        address=url_for("connection.show_disconnect", round=round_ + 1),
        seconds=pause_after(round_) if sending else None,
    )


def _to_settings(is_part: bool) -> ResponseReturnValue:
    """Sending has finished and it is disconnected, so the whole page has changed."""
    address = url_for("quickbooks.show")
    return Response(headers={"HX-Redirect": address}) if is_part else redirect(address)


@connection.post("/connection/disconnect")
@owner_required
@fresh_required
def disconnect() -> ResponseReturnValue:
    user, organization_id, choice = person(), firm().id, request.form.get("choice")
    step_out()
    sessions, config = dunahub().sessions, dunahub().config
    if choice == "stay":
        if disconnecting.stay_connected(sessions, config, organization_id, user):
            flash(_("QuickBooks stays connected."), "good")
        return redirect(url_for("quickbooks.show"), 303)
    try:
        if choice == "send_first":
            disconnecting.disconnect_once_sent(sessions, config, organization_id, user, _shown())
            return redirect(url_for("connection.show_disconnect"), 303)
        ended = disconnecting.disconnect(sessions, config, organization_id, user, _shown())
    except disconnecting.NotAsShown:
        flash(
            _("This has changed since you opened the page. Look at it again, then decide."), "warn"
        )
        return redirect(url_for("connection.show_disconnect"), 303)
    if ended is None:
        flash(_("QuickBooks was not connected."))
    elif ended.revoked:
        flash(
            _(
                "%(company)s is disconnected. QuickBooks no longer lets us in.",
                company=ended.company_name,
            ),
            "good",
        )
    else:
        flash(
            _(
                "%(company)s is disconnected, and we no longer have access. Intuit hasn't"
                " confirmed it yet; we'll keep trying.",
                company=ended.company_name,
            ),
            "warn",
        )
    return redirect(url_for("quickbooks.show"), 303)


def _shown() -> disconnecting.Shown:
    return disconnecting.Shown(
        connection_id=_number("connection"),
        waiting=_number("waiting"),
    )


def _number(name: str) -> int:
    told = request.form.get(name, "")
    return int(told) if told.isascii() and told.isdigit() and len(told) < 19 else 0
