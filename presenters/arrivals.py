"""How records are created in QuickBooks, and which of the company's settings cause problems."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from languages import N_
from models.base import Json
from models.quickbooks import Connection, RefundsAre, TakenBack
from models.sales import PaymentMethod
from quickbooks import tax
from quickbooks.facts import clearing_account, for_documents
from web.formats import day
from web.languages import _


@dataclass(frozen=True)
class Check:
    """A setting in QuickBooks: whether it can cause problems, and where to change it."""

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


# Menus have the names that QuickBooks shows.
SETTINGS_PAGE = "Account and settings"


def _place(menus: str) -> str:
    """The menu path to a setting in QuickBooks."""
    return _("In QuickBooks: gear icon, %(menus)s", menus=f"{SETTINGS_PAGE}, {menus}")


def checks_of(connection: Connection | None) -> Sequence[Check]:
    """The company settings that affect how records are stored."""
    if connection is None or not connection.is_live:
        return []
    preferences: Json = connection.facts.get("preferences") or {}
    return [
        _credits(preferences),
        _numbers(connection, preferences),
        _closing(preferences),
        _discounts(preferences),
        _tax(preferences, tax.mode_of(for_documents(connection))),
        *_currencies(preferences),
    ]


def _credits(preferences: Json) -> Check:
    if preferences.get("applies_credits"):
        return Check(
            "warn",
            _("Credits"),
            _(
                "“Automatically apply credits” is on: QuickBooks may pay an invoice with a credit"
                " automatically, and your payment then stays as a credit."
            ),
            _place("Advanced, Automation"),
        )
    return Check("good", _("Credits"), _("QuickBooks doesn't apply credits automatically."))


def _numbers(connection: Connection, preferences: Json) -> Check:
    chosen = connection.settings.get("numbers", "as_company")
    where = _place("Sales, Sales form content, Custom transaction numbers")
    if preferences.get("custom_numbers"):
        return Check(
            "good",
            _("Numbers"),
            _("Custom transaction numbers are on: both sides use the same number."),
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
            _(
                "The books are closed through %(day)s: records dated up to then are refused.",
                day=day(closed),
            ),
            _place("Advanced, Accounting, Close the books"),
        )
    return Check("good", _("Closing date"), _("The books are open for every date."))


def _discounts(preferences: Json) -> Check:
    if preferences.get("allows_discounts"):
        return Check(
            "good",
            _("Discounts"),
            _("Discounts are on: an invoice's discount is sent as its own line."),
        )
    return Check(
        "warn",
        _("Discounts"),
        _("Discounts are off: an invoice with a discount waits until you turn them on."),
        _place("Sales, Sales form content"),
    )


def _tax(preferences: Json, mode: str) -> Check:
    if not preferences.get("uses_sales_tax"):
        return Check(
            "warn",
            _("Sales tax"),
            _("Sales tax is off: the tax on your invoices is added as a separate line."),
            _("In QuickBooks: %(menus)s", menus="Taxes, Sales tax, Use automatic sales tax"),
        )
    if preferences.get("automated_tax") and mode == "automated":
        return Check(
            "warn",
            _("Sales tax"),
            _(
                "QuickBooks calculates sales tax itself. Where it differs from yours, a payment"
                " leaves a credit or a balance; we show both totals."
            ),
        )
    if preferences.get("automated_tax"):
        return Check(
            "good",
            _("Sales tax"),
            _(
                "QuickBooks calculates sales tax, but is sent the tax of your invoice instead."
                " Where it keeps its own, we show both totals."
            ),
        )
    return Check("good", _("Sales tax"), _("Your invoices' tax is sent as shown on them."))


def _currencies(preferences: Json) -> list[Check]:
    if not preferences.get("multicurrency"):
        return []
    words = _("Several currencies are on: DunaHub sends US dollars only.")
    return [Check("warn", _("Currencies"), words, _place("Advanced, Currency"))]


UNDEPOSITED = "Undeposited Funds"  # Intuit's name, in every language


def arrivals_of(connection: Connection | None) -> list[tuple[str, str]]:
    """Where the firm's payments are deposited in QuickBooks, in the owner's words."""
    if connection is None or not connection.is_live:
        return []
    chosen, facts = connection.settings, connection.facts
    preferences: Json = facts.get("preferences") or {}
    effective = for_documents(connection)
    numbers, mode = effective["numbers"], tax.mode_of(effective)
    return [
        *_sales_rows(chosen, facts),
        *_payment_rows(chosen, facts),
        (_("A payment that was returned or reversed"), _taken_back_words(chosen)),
        (_("A refund after which the invoice stays paid"), _refund_words(chosen)),
        (_("Sales tax"), _tax_words(preferences, chosen, mode)),
        (
            _("Invoice numbers"),
            _("DunaHub's numbers") if numbers == "ours" else _("QuickBooks assigns its own"),
        ),
    ]


def _sales_rows(chosen: Json, facts: Json) -> Iterator[tuple[str, str]]:
    account = _name(facts, "income_accounts", chosen.get("income_account_id"))
    yield _("Sales go to"), account or _("not chosen yet")
    item = _name(facts, "items", chosen.get("fallback_item_id"))
    yield _("Lines without a product use"), item or _("none yet")
    if discounts := _name(facts, "income_accounts", chosen.get("discount_account_id")):
        yield _("Discounts go to"), discounts


PAYMENTS_GO_TO = {
    PaymentMethod.CARD: N_("Card payments go to"),
    PaymentMethod.ACH: N_("ACH payments go to"),
    PaymentMethod.CHECK: N_("Checks go to"),
    PaymentMethod.CASH: N_("Cash goes to"),
}


def _payment_rows(chosen: Json, facts: Json) -> Iterator[tuple[str, str]]:
    deposits, methods = chosen.get("deposit_accounts") or {}, chosen.get("payment_methods") or {}
    for method, label in PAYMENTS_GO_TO.items():
        account = _name(facts, "deposit_accounts", deposits.get(method))
        words = account or UNDEPOSITED
        if kind := _name(facts, "payment_methods", methods.get(method)):
            words = _("%(account)s, as “%(method)s”", account=words, method=kind)
        match_it = "" if account else " · " + _("match the bank deposit in QuickBooks")
        yield _(label), words + match_it
    if by_stripe := _name(facts, "deposit_accounts", chosen.get("stripe_account_id")):
        yield _("Payments through Stripe go to"), by_stripe


def _name(facts: Json, list_: str, key: str | None) -> str:
    """Empty if the company's list does not have it."""
    return next((str(row["name"]) for row in facts.get(list_, []) if row["id"] == key), "")


def _taken_back_words(chosen: Json) -> str:
    if chosen.get("taken_back") == TakenBack.VOID:
        return _("Is voided in QuickBooks too")
    return _("You enter it there yourself")


def _refund_words(chosen: Json) -> str:
    if chosen.get("refunds") == RefundsAre.RECEIPT:
        return _("Becomes a refund receipt in QuickBooks")
    return _("You enter it there yourself")


def stripe_hint(connection: Connection) -> str:
    """Why what came through Stripe should have an account of its own, and which one fits."""
    why = _(
        "Stripe pays out later, less its fees. With an account of its own, each payout matches your"
        " bank to the cent."
    )
    if account := clearing_account(connection.facts):
        return why + " " + _("We suggest “%(account)s”.", account=account["name"])
    return (
        why
        + " "
        + _(
            "We suggest that you add a bank account called “Stripe clearing” in QuickBooks; it"
            " appears here within a day."
        )
    )


def _tax_words(preferences: Json, chosen: Json, mode: str) -> str:
    if (chosen.get("tax") or {}).get("mode") == "line":
        return _("A separate line")
    if not preferences.get("uses_sales_tax"):
        return _("A separate line, because sales tax is off in QuickBooks")
    if preferences.get("automated_tax") and mode == "automated":
        return _("Calculated by QuickBooks")
    return _("As on DunaHub's invoice")
