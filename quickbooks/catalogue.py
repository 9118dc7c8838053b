"""Every fault code: what we do about it, and what we say to the owner of a small business.

Codes and their meaning come from Intuit's error list; the class is our decision. Codes in words
are our own: found before anything was sent, or by the engine.
"""

from dataclasses import dataclass
from enum import StrEnum


class Class(StrEnum):
    RETRY = "retry"  # may pass by itself
    PERSON = "person"  # only a person can cure it
    CONFLICT = "conflict"  # we find out more and mostly resolve it ourselves
    PAUSE = "pause"  # the company's: busy or down
    HOLD = "hold"  # the company's: a person must act once for all its records
    OURS = "ours"  # we sent something wrong: our people must know


@dataclass(frozen=True)
class Action:
    """A button: `name` for the code that shows it, `label` for the person.

    It is shown only where all that it `needs` is known of the fault.
    """

    name: str
    label: str
    needs: tuple[str, ...] = ()


SEND_AGAIN = Action("send_again", "Send again")
FIX = Action("fix", "Fix")
SKIP = Action("skip", "Skip")
RECONNECT = Action("reconnect", "Reconnect")
CHOOSE_SETTING = Action("settings", "Choose in settings")
OPEN_QUICKBOOKS = Action("open_quickbooks", "Open QuickBooks")
LINK_EXISTING = Action("link_existing", "Use the existing {what} {holder_name}", ("holder_id",))
SEND_AS = Action("send_as", "Send as “{suggestion}”", ("suggestion",))
CHOOSE_CUSTOMER = Action("choose_customer", "Choose the customer")
LINK_ANOTHER = Action("choose_customer", "Link another customer")
CREATE_SEPARATE = Action("create_new", "Create a separate customer", ("separate",))
RENAME = Action("rename", "Change the name here")
RENUMBER = Action("renumber", "Send with another number")
LET_QUICKBOOKS_NUMBER = Action("let_quickbooks_number", "Let QuickBooks number it")
CREATE_AGAIN = Action("create_again", "Create it again")
SEND_AS_NEW = Action("create_again", "Send it again as new")
STOP_SENDING = Action("skip", "Stop sending it")
REACTIVATE = Action("reactivate", "Reactivate it in QuickBooks")
REACTIVATE_ITEM = Action("reactivate", "Reactivate it in QuickBooks", ("product_id",))
OTHER_ITEM = Action("other_item", "Use another item")
FALLBACK = Action("fallback", "Use the fallback from now on", ("product_id",))
ACCOUNTANT_NOTE = Action("accountant_note", "Copy a note for my accountant")
TRY_AGAIN = Action("send_again", "Try again")


@dataclass(frozen=True)
class Cause:
    class_: Class
    title: str
    cause: str
    effect: str = ""  # "": by the kind of record, see EFFECTS
    field: str | None = None
    actions: tuple[Action, ...] = (SEND_AGAIN, SKIP)


EFFECTS = {
    "lead": "Saved here, but not in QuickBooks. Its invoices wait until this is solved.",
    "product": "Saved here, but not in QuickBooks. Invoices that use it wait.",
    "invoice": "Saved here, but QuickBooks does not have this version. Payments may wait for it.",
    "payment": "Saved here, but not in QuickBooks: the invoice still looks unpaid there.",
    "": "Saved here; QuickBooks doesn't have it yet.",
}

# What a sentence says where it was not told the name.
DEFAULT_WORDS = {
    "name": "this name",
    "number": "this number",
    "what": "customer, product or account",
    "which": "",
    "label": "A text",
    "max": "allowed",
    "holder": "someone else",
    "holder_name": "",
    "both": "",
    "other": "another lead",
    "suggestion": "",
    "lines": "",
    "item": "a product or service",
    "amount": "the amount",
    "refunded": "a part",
    "date": "this date",
    "invoice": "the invoice",
    "said": "one of its own rules",
}

_TRY_LATER = "We try again by ourselves; you need not do anything."
_HELD = "Records you save are kept and sent afterwards. Nothing is lost."
_OUR_FAULT = "Saved here. DunaHub's staff have been told; you can also send it again."

_GONE = Cause(
    Class.PERSON,
    "No longer in QuickBooks",
    "This {what} was deleted or made inactive in QuickBooks.",
    actions=(CREATE_AGAIN, SEND_AGAIN, SKIP),
)
_REFERENCE = Cause(
    Class.PERSON,
    "Something it uses is inactive in QuickBooks",
    "A {what} that this record uses was deleted or made inactive in QuickBooks{which}."
    " Make it active again there, or choose another one.",
    actions=(SEND_AGAIN, OPEN_QUICKBOOKS, SKIP),
)
_CLOSED_BOOKS = Cause(
    Class.PERSON,
    "The books are closed for its date",
    "The books in QuickBooks are closed for {date}. Change the closing date in QuickBooks"
    " (Settings, Account and settings, Advanced, Accounting) or the date here.",
    field="issued_on",
    actions=(TRY_AGAIN, ACCOUNTANT_NOTE, SKIP),
)
_SIGNED_OUT = Cause(
    Class.HOLD,
    "QuickBooks no longer accepts our sign-in",
    "QuickBooks stopped accepting our access to this company.",
    effect=_HELD,
    actions=(RECONNECT,),
)
_QUICKBOOKS_TROUBLE = Cause(
    Class.RETRY,
    "QuickBooks could not save it",
    "QuickBooks had a problem of its own and could not save this.",
    effect=_TRY_LATER,
    actions=(SEND_AGAIN,),
)
_QUICKBOOKS_BUSY = Cause(
    Class.PAUSE,
    "QuickBooks is busy",
    "QuickBooks is busy or being looked after.",
    effect=_TRY_LATER,
    actions=(),
)
_PAID_THROUGH_QUICKBOOKS = Cause(
    Class.PERSON,
    "Paid through QuickBooks",
    "This was paid through QuickBooks Payments and can only be changed in QuickBooks.",
    actions=(OPEN_QUICKBOOKS, SKIP),
)


def _ours(what: str) -> Cause:
    return Cause(
        Class.OURS,
        "QuickBooks did not understand us",
        f"QuickBooks did not understand what DunaHub sent: {what}. This is our mistake, not yours.",
        effect=_OUR_FAULT,
    )


_OUR_SLIP = Cause(
    Class.OURS,
    "DunaHub could not send it",
    "DunaHub made a mistake of its own while it prepared this for QuickBooks, which has not heard"
    " of it. This is our mistake, not yours.",
    effect=_OUR_FAULT,
)


def _person(title: str, cause: str, field: str | None = None, *more: Action) -> Cause:
    first = (FIX,) if field else ()
    return Cause(Class.PERSON, title, cause, field=field, actions=(*first, *more, SEND_AGAIN, SKIP))


UNKNOWN = _person(
    "QuickBooks refused it",
    "QuickBooks refused this and gave a reason we don't know yet. Its own words are under details.",
    None,
    OPEN_QUICKBOOKS,
)

CATALOGUE: dict[str, Cause] = {
    # --- Sign-in and the company itself ---------------------------------------------------------
    "100": _SIGNED_OUT,
    "110": _SIGNED_OUT,
    "120": Cause(
        Class.HOLD,
        "The QuickBooks user lost access",
        "The QuickBooks user who made the connection is no longer an admin of this company."
        " Ask an admin of the company to reconnect.",
        effect=_HELD,
        actions=(RECONNECT,),
    ),
    "130": _QUICKBOOKS_BUSY,
    "140": _QUICKBOOKS_BUSY,
    "150": _QUICKBOOKS_BUSY,
    "3001": _QUICKBOOKS_BUSY,
    "3100": _SIGNED_OUT,
    "3200": _SIGNED_OUT,
    "3202": _ours("the sign-in was empty"),
    "5020": _person(
        "Not part of the QuickBooks plan",
        "Your QuickBooks plan, or the role of the user who connected it, does not include this.",
        None,
        OPEN_QUICKBOOKS,
    ),
    "5030": _person(
        "Not part of the QuickBooks plan",
        "Your QuickBooks plan does not support this.",
        None,
        OPEN_QUICKBOOKS,
    ),
    "6190": Cause(
        Class.HOLD,
        "The QuickBooks subscription has ended",
        "Your QuickBooks subscription has ended or has a billing problem. Renew it in QuickBooks;"
        " we then go on by ourselves.",
        effect=_HELD,
        actions=(OPEN_QUICKBOOKS,),
    ),
    "10200": Cause(
        Class.HOLD,
        "The QuickBooks company was reset",
        "This QuickBooks company was emptied and set up anew. Ask DunaHub's support how to go on.",
        effect=_HELD,
        actions=(),
    ),
    # --- QuickBooks' own trouble ----------------------------------------------------------------
    "600": _QUICKBOOKS_TROUBLE,
    "1000": _QUICKBOOKS_TROUBLE,
    "1010": _QUICKBOOKS_TROUBLE,
    "1020": _QUICKBOOKS_TROUBLE,
    "4002": _QUICKBOOKS_TROUBLE,
    "10000": _QUICKBOOKS_TROUBLE,
    # --- Conflicts with what is there -----------------------------------------------------------
    "610": _GONE,
    "630": Cause(
        Class.CONFLICT,
        "Already in QuickBooks",
        "QuickBooks already has this record.",
        actions=(SEND_AGAIN, SKIP),
    ),
    "5010": Cause(
        Class.CONFLICT,
        "Being edited in QuickBooks",
        "Someone is editing this {what} in QuickBooks at the same time, so ours was not"
        " taken.{both}",
    ),
    "6140": Cause(
        Class.CONFLICT,
        "Number already used in QuickBooks",
        "QuickBooks already has another document with the number {number}.",
        field="number",
        actions=(RENUMBER, LET_QUICKBOOKS_NUMBER, SEND_AGAIN, SKIP),
    ),
    "6240": Cause(
        Class.CONFLICT,
        "Name already used in QuickBooks",
        "“{name}” is already the name of {holder} in QuickBooks.",
        field="name",
        actions=(LINK_EXISTING, SEND_AS, RENAME, SEND_AGAIN, SKIP),
    ),
    # --- References -----------------------------------------------------------------------------
    "620": _person(
        "The invoice cannot take the payment",
        "The invoice in QuickBooks cannot take this payment: it is already paid, voided, or belongs"
        " to another customer there.",
        None,
        OPEN_QUICKBOOKS,
    ),
    "2500": _REFERENCE,
    "6250": _REFERENCE,
    "6270": _person(
        "Dated before its product existed",
        "The date is before the inventory start date of a product in QuickBooks.",
        "issued_on",
    ),
    # --- Values ---------------------------------------------------------------------------------
    "2020": _person(
        "Something required is missing",
        "QuickBooks asks for something that is missing here{which}.",
    ),
    "2040": _person(
        "A character QuickBooks does not accept",
        "A name or text contains a character QuickBooks does not accept.",
        "name",
    ),
    "2050": _person(
        "Too long for QuickBooks",
        "{label} is too long for QuickBooks (at most {max} characters).",
        "name",
    ),
    "2140": _person(
        "An amount QuickBooks does not accept", "QuickBooks does not accept an amount."
    ),
    "2150": _person("An amount QuickBooks does not accept", "QuickBooks does not accept a rate."),
    "2160": _person(
        "A quantity QuickBooks does not accept", "QuickBooks does not accept a quantity.", "lines"
    ),
    "2200": _person(
        "Web address not accepted", "The web address of this customer is not valid for QuickBooks."
    ),
    "2210": _person(
        "E-mail address not accepted",
        "QuickBooks does not accept the e-mail address of this customer. Correct or remove it.",
        "email",
    ),
    "2220": _person("Currency not set up", "This currency is not set up in QuickBooks."),
    "2290": _person(
        "Negative amount",
        "QuickBooks does not accept a negative amount here. Use a discount or a credit instead.",
        "lines",
    ),
    "6000": _person(
        "Against a rule of QuickBooks",
        "QuickBooks refused this because of {said}.",
        None,
        OPEN_QUICKBOOKS,
    ),
    "6080": _person("No name", "This customer has no name QuickBooks can use.", "name"),
    "6420": _person(
        "E-mail address missing",
        "In QuickBooks this customer gets documents by e-mail, but there is no e-mail address.",
        "email",
    ),
    # --- Accounting rules -----------------------------------------------------------------------
    "800": _person(
        "Others depend on it",
        "Other records in QuickBooks depend on this one. Remove those there first.",
        None,
        OPEN_QUICKBOOKS,
    ),
    "6110": _PAID_THROUGH_QUICKBOOKS,
    "6120": _PAID_THROUGH_QUICKBOOKS,
    "6460": _PAID_THROUGH_QUICKBOOKS,
    "6130": _person(
        "Billed with its parent customer",
        "In QuickBooks this customer is billed with another one, and that cannot be changed here.",
        None,
        OPEN_QUICKBOOKS,
    ),
    "6160": _person(
        "Tax code not accepted",
        "QuickBooks does not accept the tax code. Choose another one.",
        None,
        CHOOSE_SETTING,
    ),
    "6180": _person(
        "Too many levels", "QuickBooks allows only five levels of customers under customers."
    ),
    "6200": _CLOSED_BOOKS,
    "6210": _CLOSED_BOOKS,
    "6220": _person(
        "Open balance", "It still has an open balance in QuickBooks.", None, OPEN_QUICKBOOKS
    ),
    "6230": _person(
        "Tax code not accepted",
        "QuickBooks does not accept the tax code. Choose another one.",
        None,
        CHOOSE_SETTING,
    ),
    "6280": _person(
        "Unbilled charges",
        "This customer has charges in QuickBooks that are not billed yet.",
        None,
        OPEN_QUICKBOOKS,
    ),
    "6400": _person(
        "Linked to a purchase",
        "This invoice is linked to a purchase in QuickBooks and cannot be changed from here.",
        None,
        OPEN_QUICKBOOKS,
    ),
    "6430": _person(
        "Account not suitable",
        "The account chosen for {item} is not an income account in QuickBooks. Choose another one.",
        None,
        CHOOSE_SETTING,
    ),
    "6450": _person(
        "Already settled", "This payment is already settled in QuickBooks and cannot be voided."
    ),
    "6470": _person(
        "Sales tax not set up",
        "Sales tax is not set up in QuickBooks for this. Set it up there, or mark the lines as not"
        " taxable.",
        "lines",
        OPEN_QUICKBOOKS,
    ),
    "6480": _person(
        "Matched to the bank",
        "This is matched to a bank transaction in QuickBooks. Undo the match there first.",
        None,
        OPEN_QUICKBOOKS,
    ),
    "6520": _person(
        "Quantity missing",
        "{item} is counted as inventory in QuickBooks and needs a quantity.",
        "lines",
    ),
    "6540": _person(
        "Part of a bank deposit",
        "This payment is part of a bank deposit in QuickBooks. Remove it from the deposit there,"
        " then send it again.",
        None,
        OPEN_QUICKBOOKS,
    ),
    # --- Our own mistakes -----------------------------------------------------------------------
    "500": _ours("an operation it does not have"),
    "700": _ours("a parent that does not fit"),
    "900": _ours("a parent that is its own child"),
    "1040": _ours("too much at once"),
    "1050": _ours("the wrong kind of content"),
    "2000": _ours("a kind of record it does not know"),
    "2010": _ours("a property it does not know"),
    "2030": _ours("an id it cannot read"),
    "2060": _ours("a date in the wrong form"),
    "2070": _ours("a date that does not exist"),
    "2080": _ours("a number in the wrong form"),
    "2090": _ours("a number it cannot use"),
    "2100": _ours("an amount in the wrong form"),
    "2110": _ours("an amount it cannot use"),
    "2120": _ours("a value of the wrong kind"),
    "2130": _ours("a request id it cannot use"),
    "2170": _ours("a choice it does not have"),
    "2180": _ours("a text out of range"),
    "2190": _ours("a date out of range"),
    "2230": _ours("a yes or no it cannot read"),
    "2240": _ours("a number out of range"),
    "2250": _ours("a document without lines"),
    "2260": _ours("a posting without its side"),
    "2270": _ours("a tax without its kind"),
    "2280": _ours("a tax without its amount"),
    "2300": _ours("debits that differ from credits"),
    "2600": _ours("two values that contradict each other"),
    "3000": _ours("a custom field it does not have"),
    "4000": _ours("a question it cannot read"),
    "4001": _ours("a question it cannot answer"),
    "5000": _ours("a field that no longer exists"),
    "6010": _ours("an account without its kind"),
    "6060": _ours("a balance without its date"),
    "6070": _ours("a line whose amount is not quantity times price"),
    "6090": _ours("a discount without an amount"),
    "6100": _ours("a tax mark it does not know"),
    "6150": _ours("a sub-record without its parent"),
    "6170": _ours("a tax where none applies"),
    "6290": _ours("a missing employee or vendor"),
    "6300": _ours("a missing employee or vendor"),
    "6440": _ours("a line without a product"),
    "6530": _ours("card data it must not see"),
    "10100": _ours("a question with too long an answer"),
    **{str(code): _ours("a file it cannot use") for code in (6020, 6030, 6040, 6050)},
    **{str(code): _ours("working hours it cannot use") for code in range(6310, 6400, 10)},
    **{str(code): _ours("a budget it cannot use") for code in (6490, 6500, 6510)},
    # --- Codes of ours: found before anything was sent ------------------------------------------
    "no_name": _person("No name", "This {what} has no name that QuickBooks can store.", "name"),
    "name_characters": _person(
        "Letters QuickBooks cannot store",
        "QuickBooks in the US cannot store some letters of “{name}”. Give it a name in Latin"
        " letters for QuickBooks.",
        "name",
    ),
    "no_lines": _person(
        "No lines", "This invoice has no lines, and QuickBooks takes none without.", "lines"
    ),
    "negative_total": _person(
        "Total below zero",
        "This invoice comes to less than zero. QuickBooks takes that only as a credit.",
        "lines",
    ),
    "amount_too_large": _person(
        "Amount too large", "{amount} is more than QuickBooks can store in one amount.", "lines"
    ),
    "no_income_account": _person(
        "No income account chosen",
        "QuickBooks needs to know which income account “{item}” belongs to.",
        None,
        CHOOSE_SETTING,
    ),
    "no_fallback_item": _person(
        "No item for free-text lines",
        "A line without a product needs an item in QuickBooks to be booked on, and none is chosen.",
        None,
        CHOOSE_SETTING,
    ),
    "reversed": Cause(
        Class.PERSON,
        "Reversed here, still recorded in QuickBooks",
        "{refunded} of this payment of {amount} was refunded or returned here. QuickBooks still"
        " shows the full payment; enter the refund there.",
        effect="We never book a refund by ourselves. Skip this once it is entered in QuickBooks.",
        actions=(OPEN_QUICKBOOKS, SKIP),
    ),
    "reversed_unsent": Cause(
        Class.PERSON,
        "Reversed before it was sent",
        "{refunded} of this payment of {amount} was refunded or returned before QuickBooks heard of"
        " it. Enter what is left of it there.",
        effect="We never book a refund by ourselves. Skip this once it is entered in QuickBooks.",
        actions=(OPEN_QUICKBOOKS, SKIP),
    ),
    "invoice_voided": _person(
        "Its invoice is voided in QuickBooks",
        "Invoice {invoice} is voided in QuickBooks and cannot take this payment.",
        None,
        OPEN_QUICKBOOKS,
    ),
    "customer_inactive": Cause(
        Class.PERSON,
        "Inactive in QuickBooks",
        "“{name}” is in QuickBooks, but was made inactive there.",
        field="name",
        actions=(REACTIVATE, SEND_AS, LINK_ANOTHER, RENAME, SKIP),
    ),
    "customer_gone": Cause(
        Class.PERSON,
        "Customer no longer in QuickBooks",
        "The customer “{name}” was deleted in QuickBooks, or merged with another one.",
        actions=(LINK_ANOTHER, CREATE_AGAIN, SEND_AGAIN, SKIP),
    ),
    "several_customers": Cause(
        Class.PERSON,
        "Several customers it could be",
        "QuickBooks has several customers that could be “{name}”: {holder}.",
        actions=(CHOOSE_CUSTOMER, SEND_AGAIN, SKIP),
    ),
    "invoice_gone": Cause(
        Class.PERSON,
        "No longer in QuickBooks",
        "Invoice {number} was deleted in QuickBooks.",
        effect="Saved here, but not in QuickBooks. Sent again as new, its payments go onto it.",
        actions=(SEND_AS_NEW, STOP_SENDING),
    ),
    "its_customer_inactive": Cause(
        Class.PERSON,
        "Its customer is inactive in QuickBooks",
        "The customer “{holder_name}” was deleted or made inactive in QuickBooks.",
        actions=(REACTIVATE, LINK_ANOTHER, CREATE_AGAIN, SEND_AGAIN, SKIP),
    ),
    "item_inactive": Cause(
        Class.PERSON,
        "“{item}” is inactive in QuickBooks",
        "The item “{item}” on line {lines} was deleted or made inactive in QuickBooks.",
        actions=(OTHER_ITEM, REACTIVATE_ITEM, FALLBACK, SEND_AGAIN, SKIP),
    ),
    "voided_there": Cause(
        Class.PERSON,
        "Voided in QuickBooks",
        "This {what} is voided in QuickBooks, so this change cannot be made there.",
        actions=(SEND_AS_NEW, OPEN_QUICKBOOKS, STOP_SENDING),
    ),
    # --- Codes of the engine --------------------------------------------------------------------
    "taken_by_another_record": Cause(
        Class.PERSON,
        "Two records here, one in QuickBooks",
        "The {what} {holder_name} in QuickBooks that this could be belongs to {other} here.",
        field="name",
        actions=(CREATE_SEPARATE, SEND_AS, RENAME, SEND_AGAIN, SKIP),
    ),
    "unanswered": _person(
        "QuickBooks never answered",
        "QuickBooks did not answer for this {what} several times, and it did not arrive there.",
    ),
    "poison": _OUR_SLIP,
    "internal": _OUR_SLIP,
}
