"""How records arrive in QuickBooks, as an owner chooses it, and what over there causes trouble."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from languages import N_
from models.base import Json
from models.outbox import Entry, State
from models.quickbooks import Connection, ConnectionStatus
from outbox import actions
from quickbooks import facts
from web.access import firm, note, owner_required, quickbooks_only, session
from web.formats import day
from web.forms import ChoiceField, Form
from web.languages import _, ngettext

arrivals = Blueprint("arrivals", __name__, url_prefix="/settings/quickbooks/arrivals")
arrivals.before_request(quickbooks_only)

NUMBERS = {
    "as_company": N_("As it is set in QuickBooks"),
    "ours": N_("DunaHub's numbers"),
    "quickbooks": N_("QuickBooks gives its own"),
}
TAXES = {
    "as_company": N_("As it is set in QuickBooks"),
    "line": N_("As a line of its own on the invoice"),
}
# What a choice here may cure: sent again by itself when it is saved.
CURED = ("no_income_account", "no_fallback_item", "6160", "6230", "6430", "item_inactive")


class ArrivalsForm(Form):
    income_account = ChoiceField(N_("Sales go to the account"), {})
    fallback_item = ChoiceField(N_("Lines without a product use the item"), {})
    card_deposits = ChoiceField(N_("Card payments go to"), {})
    ach_deposits = ChoiceField(N_("ACH payments go to"), {})
    numbers = ChoiceField(N_("Invoice numbers"), NUMBERS)
    tax = ChoiceField(N_("Sales tax"), TAXES)
    tax_code = ChoiceField(N_("Tax code for a rate that QuickBooks does not have"), {})

    @classmethod
    def of(cls, connection: Connection, told: Mapping[str, str] | None = None) -> "ArrivalsForm":
        """With the company's own lists to choose from; as it is now, unless a browser says."""
        chosen, known = connection.settings, connection.facts
        deposits, tax = chosen.get("deposit_accounts") or {}, chosen.get("tax") or {}
        form = cls(
            told,  # type: ignore[arg-type]
            data={
                "income_account": chosen.get("income_account_id") or "",
                "fallback_item": chosen.get("fallback_item_id") or "",
                "card_deposits": deposits.get("card") or "",
                "ach_deposits": deposits.get("ach") or "",
                "numbers": chosen.get("numbers") or "as_company",
                "tax": tax.get("mode") or "as_company",
                "tax_code": tax.get("code_id") or "",
            },
        )
        form.income_account.options = _named(known, "income_accounts", _("Choose an account"))
        form.fallback_item.options = _named(known, "items", _("Choose an item"))
        for field in (form.card_deposits, form.ach_deposits):
            field.options = _named(known, "deposit_accounts", "Undeposited Funds")
        form.tax_code.options = _named(known, "tax_codes", _("The company's usual one"))
        return form

    def choices(self, before: Json) -> Json:
        """The settings as they are stored, with what this form does not show left as it was."""
        return {
            "income_account_id": self.income_account.data or None,
            "fallback_item_id": self.fallback_item.data or None,
            "deposit_accounts": {
                "card": self.card_deposits.data or None,
                "ach": self.ach_deposits.data or None,
            },
            "numbers": self.numbers.data,
            "tax": {
                "mode": self.tax.data,
                **({"code_id": self.tax_code.data} if self.tax_code.data else {}),
            },
        }


def _named(known: Json, list_: str, otherwise: str) -> dict[str, str]:
    return {"": otherwise} | {str(row["id"]): str(row["name"]) for row in known.get(list_) or []}


@arrivals.get("")
@owner_required
def show() -> ResponseReturnValue:
    connection = _connection()
    if connection is None:
        return _nothing_to_choose()
    form = ArrivalsForm.of(connection)
    return render_template("settings/arrivals.html", form=form, connection=connection)


@arrivals.post("")
@owner_required
def update() -> ResponseReturnValue:
    connection = _connection(locked=True)
    if connection is None:
        return _nothing_to_choose()
    form = ArrivalsForm.of(connection, request.form)
    if not form.validate():
        page = render_template("settings/arrivals.html", form=form, connection=connection)
        return page, 422
    facts.choose(connection, **form.choices(connection.settings))
    note("quickbooks.arrivals_changed", organization_id=firm().id)
    failed = select(Entry.id).where(
        Entry.lane_id == connection.lane_id,
        Entry.state == State.FAILED,
        Entry.fault_code.in_(CURED),
    )
    ids = session().scalars(failed).all()
    session().flush()
    acted = actions.requeue(session(), ids, organization_id=firm().id)
    session().commit()
    again = len(acted.done)
    sentence = _("Saved: from now on records arrive like this.")
    if again:
        sentence = ngettext(
            "Saved: from now on records arrive like this. %(num)s record is sent again.",
            "Saved: from now on records arrive like this. %(num)s records are sent again.",
            again,
        )
    flash(sentence, "good")
    return redirect(url_for("quickbooks.show"), 303)


def _nothing_to_choose() -> ResponseReturnValue:
    flash(_("Connect QuickBooks first: then there is something to choose from."))
    return redirect(url_for("quickbooks.show"))


def _connection(*, locked: bool = False) -> Connection | None:
    live = select(Connection).where(
        Connection.organization_id == firm().id,
        Connection.status != ConnectionStatus.DISCONNECTED,
    )
    if locked:
        live = live.with_for_update(key_share=True, of=Connection)
    return session().scalar(live)


# --- QuickBooks settings check --------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """One setting over there: whether it can cause trouble, and where one changes it."""

    tone: str  # good | warn
    word: str
    sentence: str
    where: str | None = None

    @property
    def icon(self) -> str:
        return "check" if self.tone == "good" else "alert"

    @property
    def text(self) -> str:
        return self.word


# Menus are named as QuickBooks shows them.
SETTINGS_PAGE = "Account and settings"


def _place(menus: str) -> str:
    """Where one changes a setting over there."""
    return _("In QuickBooks: gear icon, %(menus)s", menus=f"{SETTINGS_PAGE}, {menus}")


def checks_of(connection: Connection | None) -> Sequence[Check]:
    """The company's settings that decide whether records arrive as they are here."""
    if connection is None or not connection.is_live:
        return []
    preferences: Json = connection.facts.get("preferences") or {}
    return [
        _credits(preferences),
        _numbers(connection, preferences),
        _closing(preferences),
        _discounts(preferences),
        _tax(preferences),
        *_currencies(preferences),
    ]


def _credits(preferences: Json) -> Check:
    if preferences.get("applies_credits"):
        return Check(
            "warn",
            _("Credits"),
            _(
                "“Automatically apply credits” is on: QuickBooks may pay an invoice by itself, and"
                " your payment then stays as credit."
            ),
            _place("Advanced, Automation"),
        )
    return Check("good", _("Credits"), _("QuickBooks applies no credits by itself."))


def _numbers(connection: Connection, preferences: Json) -> Check:
    chosen = connection.settings.get("numbers", "as_company")
    where = _place("Sales, Sales form content, Custom transaction numbers")
    if preferences.get("custom_numbers"):
        return Check(
            "good", _("Numbers"), _("Custom transaction numbers are on: both have one number.")
        )
    if chosen == "ours":
        return Check(
            "warn",
            _("Numbers"),
            _(
                "Custom transaction numbers are off, but DunaHub's numbers are sent: QuickBooks may"
                " give the same number to another invoice."
            ),
            where,
        )
    return Check(
        "warn",
        _("Numbers"),
        _("Custom transaction numbers are off: invoices get another number in QuickBooks."),
        where,
    )


def _closing(preferences: Json) -> Check:
    if closed := preferences.get("closed_until"):
        return Check(
            "warn",
            _("Closing date"),
            _("The books are closed up to %(day)s: earlier records are refused.", day=day(closed)),
            _place("Advanced, Accounting, Close the books"),
        )
    return Check("good", _("Closing date"), _("The books are open for every date."))


def _discounts(preferences: Json) -> Check:
    if preferences.get("allows_discounts"):
        return Check(
            "good",
            _("Discounts"),
            _("Discounts are on; one that is entered there changes the total."),
        )
    return Check("good", _("Discounts"), _("Discounts are off; DunaHub sends none."))


def _tax(preferences: Json) -> Check:
    if not preferences.get("uses_sales_tax"):
        return Check(
            "warn",
            _("Sales tax"),
            _("Sales tax is off: tax of your invoices arrives as a line of its own."),
            _("In QuickBooks: %(menus)s", menus="Taxes, Sales tax, Use automatic sales tax"),
        )
    if preferences.get("automated_tax"):
        return Check(
            "good",
            _("Sales tax"),
            _("QuickBooks computes sales tax itself; where it differs from yours, we show both."),
        )
    return Check("good", _("Sales tax"), _("Your invoices' tax is sent as it stands on them."))


def _currencies(preferences: Json) -> list[Check]:
    if not preferences.get("multicurrency"):
        return []
    words = _("Several currencies are on: DunaHub sends US dollars only.")
    return [Check("warn", _("Currencies"), words, _place("Advanced, Currency"))]
