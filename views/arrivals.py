"""The owner's choices of how records are created in QuickBooks, and
settings there that cause problems."""

from collections.abc import Mapping
from types import SimpleNamespace

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from wtforms.validators import StopValidation

from languages import N_
from models.base import Json
from models.outbox import Entry, State
from models.quickbooks import Connection, RefundsAre, TakenBack
from models.sales import PaymentMethod
from outbox import bulk
from presenters.arrivals import UNDEPOSITED, arrivals_of, stripe_hint
from quickbooks import facts
from web.access import books_required, dunahub, firm, note, person, quickbooks_only, session
from web.forms import ChoiceField, EditForm
from web.fresh import fresh_required
from web.languages import _, ngettext

arrivals = Blueprint("arrivals", __name__, url_prefix="/settings/quickbooks/arrivals")
arrivals.before_request(quickbooks_only)

NUMBERS = {
    "as_company": N_("As it is set in QuickBooks"),
    "ours": N_("DunaHub's numbers"),
    "quickbooks": N_("QuickBooks assigns its own"),
}
TAXES = {
    "as_company": N_("As on your invoice"),
    "quickbooks": N_("As QuickBooks calculates it"),
    "line": N_("As a separate line on the invoice"),
}
TAKEN_BACK = {
    TakenBack.VOID.value: N_("The payment is voided in QuickBooks too"),
    TakenBack.PERSON.value: N_("You enter it there yourself"),
}
REFUNDS = {
    RefundsAre.RECEIPT.value: N_("A refund receipt in QuickBooks"),
    RefundsAre.PERSON.value: N_("You enter it there yourself"),
}
# The setting that a field holds, where it is one value.
SETTING_OF = {
    "income_account": "income_account_id",
    "fallback_item": "fallback_item_id",
    "discount_account": "discount_account_id",
    "stripe_deposits": "stripe_account_id",
    "taken_back": "taken_back",
    "refunds": "refunds",
    "refund_account": "refund_account_id",
    "numbers": "numbers",
}
# What a field shows before anything was chosen, unless it is empty then.
UNCHOSEN = {
    "taken_back": TakenBack.PERSON.value,
    "refunds": RefundsAre.PERSON.value,
    "numbers": "as_company",
}
# The company's list that a field offers, and what it says for choosing nothing.
CHOSEN_FROM = {
    "income_account": ("income_accounts", N_("Choose an account")),
    "fallback_item": ("items", N_("Choose an item")),
    "discount_account": ("income_accounts", N_("QuickBooks' own account for discounts")),
    "stripe_deposits": ("deposit_accounts", N_("As cards and ACH")),
    "refund_account": ("deposit_accounts", N_("The account these payments go to")),
    "tax_code": ("tax_codes", N_("The company's usual one")),
}
# Faults that a choice here may fix: their entries are sent again when it is saved.
CURED = (
    "no_income_account",
    "no_fallback_item",
    "no_refund_account",
    "no_refund_choices",
    "fallback_item_inactive",
    "account_inactive",
    "tax_code_inactive",
    "method_inactive",
    "item_inactive",
    "6160",
    "6230",
    "6430",
)


class ArrivalsForm(EditForm):
    income_account = ChoiceField(N_("Sales go to the account"), {})
    fallback_item = ChoiceField(N_("Lines without a product use the item"), {})
    discount_account = ChoiceField(N_("Discounts go to"), {})
    card_deposits = ChoiceField(N_("Card payments go to"), {})
    ach_deposits = ChoiceField(N_("ACH payments go to"), {})
    check_deposits = ChoiceField(N_("Checks go to"), {})
    cash_deposits = ChoiceField(N_("Cash goes to"), {})
    stripe_deposits = ChoiceField(N_("Payments through Stripe go to"), {})
    card_method = ChoiceField(N_("Payment method for cards"), {})
    ach_method = ChoiceField(N_("Payment method for ACH"), {})
    check_method = ChoiceField(N_("Payment method for checks"), {})
    cash_method = ChoiceField(N_("Payment method for cash"), {})
    taken_back = ChoiceField(N_("A payment that was returned or reversed"), TAKEN_BACK)
    refunds = ChoiceField(N_("A refund after which the invoice stays paid"), REFUNDS)
    refund_account = ChoiceField(N_("Refunds are paid from"), {})
    numbers = ChoiceField(N_("Invoice numbers"), NUMBERS)
    tax = ChoiceField(N_("Sales tax"), TAXES)
    tax_code = ChoiceField(N_("Tax code for a rate that QuickBooks does not have"), {})
    stripe_hint = ""  # "": clients can't pay through Stripe, so there is nothing to choose
    creates_item = False  # for lines without a product, when the connection starts

    @classmethod
    def of(cls, connection: Connection, told: Mapping[str, str] | None = None) -> "ArrivalsForm":
        """The form with the company's own lists to choose from, filled
        with the current settings."""
        form = cls(told, data=_shown_of(connection.settings))  # type: ignore[arg-type]
        form.stripe_hint = stripe_hint(connection) if dunahub().processor else ""
        form._offer_lists_of(connection.facts)
        return form

    def _offer_lists_of(self, known: Json) -> None:
        for name, (list_, otherwise) in CHOSEN_FROM.items():
            getattr(self, name).options = _named(known, list_, _(otherwise))
        for field in self.deposits.values():
            field.options = _named(known, "deposit_accounts", UNDEPOSITED)
        for field in self.methods.values():
            field.options = _named(known, "payment_methods", _("With no payment method"))
        if not (known.get("preferences") or {}).get("automated_tax"):
            self.tax.options = {key: _(TAXES[key]) for key in TAXES if key != "quickbooks"}

    def validate_fallback_item(self, field: ChoiceField) -> None:
        if self.makes_receipts and not (field.data or self.creates_item):
            raise StopValidation(_("Choose an item: refund receipts use it."))

    def validate_refund_account(self, field: ChoiceField) -> None:
        has_others = all(deposits.data for deposits in self.deposits.values())
        if self.makes_receipts and not (field.data or has_others):
            raise StopValidation(
                _("Choose another account: QuickBooks can't pay refunds from Undeposited Funds.")
            )

    def columns(self) -> frozenset[str]:
        return frozenset(_shown_of({}))

    @property
    def makes_receipts(self) -> bool:
        return self.refunds.data == RefundsAre.RECEIPT

    @property
    def deposits(self) -> dict[PaymentMethod, ChoiceField]:
        return {
            PaymentMethod.CARD: self.card_deposits,
            PaymentMethod.ACH: self.ach_deposits,
            PaymentMethod.CHECK: self.check_deposits,
            PaymentMethod.CASH: self.cash_deposits,
        }

    @property
    def methods(self) -> dict[PaymentMethod, ChoiceField]:
        return {
            PaymentMethod.CARD: self.card_method,
            PaymentMethod.ACH: self.ach_method,
            PaymentMethod.CHECK: self.check_method,
            PaymentMethod.CASH: self.cash_method,
        }

    def choices(self) -> Json:
        """The settings to store. Settings that this form doesn't show are kept."""
        return {
            **{setting: self[name].data or None for name, setting in SETTING_OF.items()},
            "deposit_accounts": _by_method(self.deposits),
            "payment_methods": _by_method(self.methods),
            "methods_are_chosen": True,
            "tax": {
                "mode": self.tax.data,
                **({"code_id": self.tax_code.data} if self.tax_code.data else {}),
            },
        }

    def is_changed(self, before: Json) -> bool:
        """Whether it says anything else than the settings: what we chose may change with the
        company's lists, what the owner chose stays."""
        chosen = self.choices()
        del chosen["methods_are_chosen"]
        return any(before.get(name) != value for name, value in chosen.items())


def _shown_of(chosen: Json) -> dict[str, str]:
    """What the form's fields show of these settings."""
    deposits, methods = chosen.get("deposit_accounts") or {}, chosen.get("payment_methods") or {}
    tax = chosen.get("tax") or {}
    return {
        **{
            name: chosen.get(setting) or UNCHOSEN.get(name, "")
            for name, setting in SETTING_OF.items()
        },
        **{f"{method}_deposits": deposits.get(method) or "" for method in PaymentMethod},
        **{f"{method}_method": methods.get(method) or "" for method in PaymentMethod},
        "tax": tax.get("mode") or "as_company",
        "tax_code": tax.get("code_id") or "",
    }


def _by_method(fields: Mapping[PaymentMethod, ChoiceField]) -> Json:
    return {method.value: field.data or None for method, field in fields.items()}


def _named(known: Json, list_: str, otherwise: str) -> dict[str, str]:
    return {"": otherwise} | {str(row["id"]): str(row["name"]) for row in known.get(list_) or []}


@arrivals.get("")
def show() -> ResponseReturnValue:
    """A form for owners and bookkeepers; others see the current choice."""
    connection = firm().connection
    if connection is None:
        return _nothing_to_choose()
    if not person().keeps_books:
        return render_template(
            "settings/arrivals_told.html",
            connection=connection,
            arrivals=arrivals_of(connection),
        )
    form = ArrivalsForm.of(connection)
    form.remember()
    return render_template("settings/arrivals.html", form=form, connection=connection)


@arrivals.post("")
@books_required
@fresh_required
def update() -> ResponseReturnValue:
    locked = Connection.live_of(firm().id).with_for_update(key_share=True, of=Connection)
    connection = session().scalar(locked)
    if connection is None:
        return _nothing_to_choose()
    form = ArrivalsForm.of(connection, request.form)
    # what others chose since the form was opened
    form.catch_up(SimpleNamespace(**_shown_of(connection.settings)))
    if not form.validate():
        page = render_template("settings/arrivals.html", form=form, connection=connection)
        return page, 422
    facts.choose(connection, **form.choices())
    note("quickbooks.arrivals_changed", organization_id=firm().id)
    failed = select(Entry.id).where(
        Entry.lane_id == connection.lane_id,
        Entry.state == State.FAILED,
        Entry.fault_code.in_(CURED),
    )
    ids = session().scalars(failed).all()
    session().flush()
    acted = bulk.requeue(session(), ids, organization_id=firm().id, user_id=person().id)
    session().commit()
    again = len(acted.done)
    sentence = _("Saved. From now on, records arrive this way.")
    if again:
        sentence = ngettext(
            "Saved. From now on, records arrive this way. %(num)s record is being sent again.",
            "Saved. From now on, records arrive this way. %(num)s records are being sent again.",
            again,
        )
    flash(sentence, "good")
    return redirect(url_for("arrivals.show"), 303)


def _nothing_to_choose() -> ResponseReturnValue:
    flash(_("Connect QuickBooks first: then there is something to choose from."))
    return redirect(url_for("quickbooks.show"))
