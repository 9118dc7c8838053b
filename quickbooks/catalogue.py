"""Every fault code: how it is handled, and what the owner of a small business is told.

Codes and their meaning come from Intuit's pages *Error codes* and *Handling common errors*; the
class is our decision. Codes that are words are ours: found before anything was sent, or by the
engine.
"""

from dataclasses import dataclass
from enum import StrEnum

from languages import N_


class Class(StrEnum):
    """How a fault is handled."""

    RETRY = "retry"  # may be temporary
    INSIDE = "inside"  # an internal error of QuickBooks: unknown whether the work was done
    PERSON = "person"  # only a person can fix it
    CONFLICT = "conflict"  # we find out more and usually resolve it ourselves
    PAUSE = "pause"  # the company's: busy or down
    HOLD = "hold"  # the company's: a person must act once, for all its records
    OURS = "ours"  # we sent something wrong: our staff must know


@dataclass(frozen=True)
class Action:
    """A button: `name` is for the code that shows it, `label` for the person.

    It is shown only if everything it `needs` is known about the fault.
    """

    name: str
    label: str
    needs: tuple[str, ...] = ()
    # Where it is the first one, no button is likelier than the others: only the person knows who a
    # customer is, and whose change counts.
    is_up_to_the_person: bool = False


SEND_AGAIN = Action("send_again", N_("Send again"))
FIX = Action("fix", N_("Fix"))
SKIP = Action("skip", N_("Skip"))
RECONNECT = Action("reconnect", N_("Reconnect"))
CHOOSE_SETTING = Action("settings", N_("Choose in settings"))
OPEN_QUICKBOOKS = Action("open_quickbooks", N_("Open QuickBooks"))
LINK_EXISTING = Action(
    "link_existing",
    N_("Use the existing {what} {holder_name}"),
    ("holder_id",),
    is_up_to_the_person=True,
)
IT_IS_THIS_ONE = Action(
    "link_existing", N_("It is this one"), ("holder_id",), is_up_to_the_person=True
)
SHARE = Action(
    "link_existing", N_("Use {holder_name} for both"), ("holder_id",), is_up_to_the_person=True
)
SEND_AS = Action("send_as", N_("Send as “{suggestion}”"), ("suggestion",))
CHOOSE_CUSTOMER = Action("choose_customer", N_("Choose the customer"))
LINK_ANOTHER = Action("choose_customer", N_("Link another customer"))
CREATE_SEPARATE = Action("create_new", N_("Create a separate customer"), ("separate",))
CREATE_ANOTHER = Action("create_again", N_("Create a separate customer"))
RENAME = Action("rename", N_("Change the name here"))
RENUMBER = Action("renumber", N_("Send with another number"))
LET_QUICKBOOKS_NUMBER = Action("let_quickbooks_number", N_("Let QuickBooks number it"))
CREATE_AGAIN = Action("create_again", N_("Create it again"))
SEND_AS_NEW = Action("create_again", N_("Send it again as new"))
SEND_SEPARATELY = Action("create_new", N_("Send it again as new"))
STOP_SENDING = Action("skip", N_("Stop sending it"))
REACTIVATE = Action("reactivate", N_("Reactivate it in QuickBooks"))
REACTIVATE_ITEM = Action("reactivate", N_("Reactivate it in QuickBooks"), ("product_id",))
OTHER_ITEM = Action("other_item", N_("Use another item"))
FALLBACK = Action("fallback", N_("Use the fallback from now on"), ("product_id",))
ACCOUNTANT_NOTE = Action("accountant_note", N_("Copy a note for my accountant"))
ENTERED = Action("entered", N_("I've entered it in QuickBooks: done"))
SEND_OURS = Action("send_again", N_("Send it as it is here"), is_up_to_the_person=True)
LEAVE_THEIRS = Action("skip", N_("Leave it as it is there"))
TRY_AGAIN = Action("send_again", N_("Try again"))


@dataclass(frozen=True)
class Cause:
    """The texts of a code, in English with `{names}`, and its buttons."""

    class_: Class
    title: str
    cause: str
    effect: str = ""  # "": depends on the record type, see `EFFECT` in kinds/
    field: str | None = None
    actions: tuple[Action, ...] = (SEND_AGAIN, SKIP)
    ours: str = ""  # what was wrong, if it was our mistake
    is_unknown: bool = False  # it may have arrived, unless it was looked for and is not there


DEFAULT_EFFECT = N_("Saved here; QuickBooks doesn't have it yet.")
# Of a record that QuickBooks has, and of one that it may have.
EFFECT_ON_LINKED = N_("Saved here, but QuickBooks does not have this version.")
EFFECT_IF_UNKNOWN = N_(
    "Saved here. QuickBooks may have it already: before it is sent again, we look for it there."
)
EFFECT_IF_UNKNOWN_ON_LINKED = N_(
    "Saved here. QuickBooks may have this version already: before it is sent again, we look there."
)

NOT_THERE = N_("It did not arrive there.")

# Replacements for names that are unknown.
DEFAULT_WORDS = {
    "name": N_("this name"),
    "number": N_("this number"),
    "email": N_("this e-mail address"),
    "what": N_("customer, product or account"),
    "which": "",
    "label": N_("A text"),
    "max": N_("allowed"),
    "holder": N_("someone else"),
    "holder_name": "",
    "both": "",
    "other": N_("another lead"),
    "count": N_("several"),
    "suggestion": "",
    "lines": "",
    "item": N_("a product or service"),
    "amount": N_("the amount"),
    "total_here": N_("the amount"),
    "total_there": N_("the amount"),
    "refunded": N_("a part"),
    "rest": N_("the rest"),
    "date": N_("this date"),
    "invoice": N_("the invoice"),
    "chosen": N_("of your choice"),
    "chosen_for": N_("these records"),
    "currency": N_("another currency"),
    "parts": N_("the same fields"),
    "said": N_("one of its own rules"),
    "ours": N_("something it cannot read"),
    "arrived": N_("It is unknown whether it arrived there."),
}

_TRY_LATER = N_("We'll try again automatically; you don't have to do anything.")
_HELD = N_("Records you save are kept and sent afterwards. Nothing is lost.")
_OUR_FAULT = N_("Saved here. DunaHub's staff has been notified; you can also send it again.")

_GONE = Cause(
    Class.PERSON,
    N_("No longer in QuickBooks"),
    N_("This {what} was deleted or made inactive in QuickBooks."),
    actions=(CREATE_AGAIN, SEND_AGAIN, SKIP),
)
_REFERENCE = Cause(
    Class.PERSON,
    N_("Something it uses is inactive in QuickBooks"),
    N_(
        "A {what} that this record uses was deleted or made inactive in QuickBooks{which}."
        " Make it active again there, or choose another one."
    ),
    actions=(SEND_AGAIN, OPEN_QUICKBOOKS, SKIP),
)
_CLOSED_BOOKS = Cause(
    Class.PERSON,
    N_("The books are closed for its date"),
    N_(
        "The books in QuickBooks are closed for {date}. Change the closing date in QuickBooks"
        " (Settings, Account and settings, Advanced, Accounting) or the date here."
    ),
    field="issued_on",
    actions=(TRY_AGAIN, ACCOUNTANT_NOTE, SKIP),
)
_SIGNED_OUT = Cause(
    Class.HOLD,
    N_("QuickBooks no longer accepts our sign-in"),
    N_("QuickBooks stopped accepting our access to this company."),
    effect=_HELD,
    actions=(RECONNECT,),
)
_QUICKBOOKS_TROUBLE = Cause(
    Class.INSIDE,
    N_("QuickBooks could not save it"),
    N_("QuickBooks had an internal problem and could not save this."),
    effect=_TRY_LATER,
    actions=(SEND_AGAIN,),
)
_QUICKBOOKS_BUSY = Cause(
    Class.PAUSE,
    N_("QuickBooks is busy"),
    N_("QuickBooks is busy or down for maintenance."),
    effect=_TRY_LATER,
    actions=(),
)
_PAID_THROUGH_QUICKBOOKS = Cause(
    Class.PERSON,
    N_("Paid through QuickBooks"),
    N_("This was paid through QuickBooks Payments and can only be changed in QuickBooks."),
    actions=(OPEN_QUICKBOOKS, SKIP),
)


def _ours(what: str) -> Cause:
    return Cause(
        Class.OURS,
        N_("QuickBooks did not understand us"),
        N_(
            "QuickBooks did not understand what DunaHub sent: {ours}. This is our mistake, not"
            " yours."
        ),
        effect=_OUR_FAULT,
        ours=what,
    )


_OUR_SLIP = Cause(
    Class.OURS,
    N_("DunaHub could not send it"),
    N_(
        "DunaHub made a mistake while preparing this for QuickBooks. Nothing was sent. "
        "This is our mistake, not yours."
    ),
    effect=_OUR_FAULT,
)


def _person(
    title: str,
    cause: str,
    field: str | None = None,
    *more: Action,
    is_unknown: bool = False,
) -> Cause:
    first = (FIX,) if field else ()
    actions = (*first, *more, SEND_AGAIN, SKIP)
    return Cause(Class.PERSON, title, cause, field=field, actions=actions, is_unknown=is_unknown)


UNKNOWN = _person(
    N_("QuickBooks refused it"),
    N_(
        "QuickBooks refused this and gave a reason we don't know yet. Its own words are under"
        " details."
    ),
    None,
    OPEN_QUICKBOOKS,
)

CATALOGUE: dict[str, Cause] = {
    # --- Sign-in and the company itself ---------------------------------------------------------
    "100": _SIGNED_OUT,
    "110": _SIGNED_OUT,
    "120": Cause(
        Class.HOLD,
        N_("The QuickBooks user lost access"),
        N_(
            "The QuickBooks user who made the connection is no longer an admin of this company."
            " Ask an admin of the company to reconnect."
        ),
        effect=_HELD,
        actions=(RECONNECT,),
    ),
    "130": _QUICKBOOKS_BUSY,
    "140": _QUICKBOOKS_BUSY,
    "150": _QUICKBOOKS_BUSY,
    "3001": _QUICKBOOKS_BUSY,
    "3100": _SIGNED_OUT,
    "3200": _SIGNED_OUT,
    "3202": _ours(N_("the sign-in was empty")),
    "5020": _person(
        N_("Not part of the QuickBooks plan"),
        N_(
            "Your QuickBooks plan, or the role of the user who connected it, does not include this."
        ),
        None,
        OPEN_QUICKBOOKS,
    ),
    "5030": _person(
        N_("Not part of the QuickBooks plan"),
        N_("Your QuickBooks plan does not support this."),
        None,
        OPEN_QUICKBOOKS,
    ),
    "6190": Cause(
        Class.HOLD,
        N_("The QuickBooks subscription has ended"),
        N_(
            "Your QuickBooks subscription has ended or has a billing problem. Renew it in"
            " QuickBooks, and sending resumes automatically."
        ),
        effect=_HELD,
        actions=(OPEN_QUICKBOOKS,),
    ),
    "10200": Cause(
        Class.HOLD,
        N_("The QuickBooks company was reset"),
        N_(
            "This QuickBooks company was emptied and set up again. Ask DunaHub's "
            "support what to do."
        ),
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
        N_("Already in QuickBooks"),
        N_("QuickBooks already has this record."),
        actions=(SEND_AGAIN, SKIP),
    ),
    "5010": Cause(
        Class.CONFLICT,
        N_("Being edited in QuickBooks"),
        N_(
            "Someone is editing this {what} in QuickBooks right now, so our version wasn't"
            " accepted. {both}"
        ),
    ),
    "6140": Cause(
        Class.CONFLICT,
        N_("Number already used in QuickBooks"),
        N_("QuickBooks already has another document with the number {number}."),
        field="number",
        actions=(RENUMBER, LET_QUICKBOOKS_NUMBER, SEND_AGAIN, SKIP),
    ),
    "6240": Cause(
        Class.CONFLICT,
        N_("Name already used in QuickBooks"),
        N_("“{name}” is already the name of {holder} in QuickBooks."),
        field="name",
        actions=(LINK_EXISTING, SEND_AS, RENAME, SEND_AGAIN, SKIP),
    ),
    # --- References -----------------------------------------------------------------------------
    "620": _person(
        N_("The invoice can't take the payment"),
        N_(
            "The invoice in QuickBooks cannot take this payment: it is already paid, voided, or"
            " belongs"
            " to another customer there."
        ),
        None,
        OPEN_QUICKBOOKS,
    ),
    "2500": _REFERENCE,
    "6250": _REFERENCE,
    "6270": _person(
        N_("Dated before its product existed"),
        N_("The date is before the inventory start date of a product in QuickBooks."),
        "issued_on",
    ),
    # --- Values ---------------------------------------------------------------------------------
    "2020": _person(
        N_("Something required is missing"),
        N_("QuickBooks asks for something that is missing here{which}."),
    ),
    "2040": _person(
        N_("A character QuickBooks does not accept"),
        N_("A name or text contains a character QuickBooks does not accept."),
        "name",
    ),
    "2050": _person(
        N_("Too long for QuickBooks"),
        N_("{label} is too long for QuickBooks (at most {max} characters)."),
        "name",
    ),
    "2140": _person(
        N_("An amount QuickBooks does not accept"), N_("QuickBooks does not accept an amount.")
    ),
    "2150": _person(
        N_("An amount QuickBooks does not accept"), N_("QuickBooks does not accept a rate.")
    ),
    "2160": _person(
        N_("A quantity QuickBooks does not accept"),
        N_("QuickBooks does not accept a quantity."),
        "lines",
    ),
    "2200": _person(
        N_("Web address not accepted"),
        N_("The web address of this customer is not valid for QuickBooks."),
    ),
    "2210": _person(
        N_("E-mail address not accepted"),
        N_("QuickBooks does not accept the e-mail address of this customer. Correct or remove it."),
        "email",
    ),
    "2220": _person(N_("Currency not set up"), N_("This currency is not set up in QuickBooks.")),
    "2290": _person(
        N_("Negative amount"),
        N_(
            "QuickBooks does not accept a negative amount here. Use a discount or a credit instead."
        ),
        "lines",
    ),
    "6000": _person(
        N_("Against a QuickBooks rule"),
        N_("QuickBooks refused this because of {said}."),
        None,
        OPEN_QUICKBOOKS,
    ),
    "6080": _person(N_("No name"), N_("This customer has no name QuickBooks can use."), "name"),
    "6420": _person(
        N_("E-mail address missing"),
        N_("In QuickBooks this customer gets documents by e-mail, but there is no e-mail address."),
        "email",
    ),
    # --- Accounting rules -----------------------------------------------------------------------
    "800": _person(
        N_("Others depend on it"),
        N_("Other records in QuickBooks depend on this one. Remove those there first."),
        None,
        OPEN_QUICKBOOKS,
    ),
    "6110": _PAID_THROUGH_QUICKBOOKS,
    "6120": _PAID_THROUGH_QUICKBOOKS,
    "6460": _PAID_THROUGH_QUICKBOOKS,
    "6130": _person(
        N_("Billed with its parent customer"),
        N_(
            "In QuickBooks this customer is billed with another one, and that cannot be changed"
            " here."
        ),
        None,
        OPEN_QUICKBOOKS,
    ),
    "6160": _person(
        N_("Tax code not accepted"),
        N_("QuickBooks does not accept the tax code. Choose another one."),
        None,
        CHOOSE_SETTING,
    ),
    "6180": _person(
        N_("Too many levels"),
        N_("QuickBooks allows only five levels of customers under customers."),
    ),
    "6200": _CLOSED_BOOKS,
    "6210": _CLOSED_BOOKS,
    "6220": _person(
        N_("Open balance"), N_("It still has an open balance in QuickBooks."), None, OPEN_QUICKBOOKS
    ),
    "6230": _person(
        N_("Tax code not accepted"),
        N_("QuickBooks does not accept the tax code. Choose another one."),
        None,
        CHOOSE_SETTING,
    ),
    "6280": _person(
        N_("Unbilled charges"),
        N_("This customer has charges in QuickBooks that are not billed yet."),
        None,
        OPEN_QUICKBOOKS,
    ),
    "6400": _person(
        N_("Linked to a purchase"),
        N_("This invoice is linked to a purchase in QuickBooks and cannot be changed from here."),
        None,
        OPEN_QUICKBOOKS,
    ),
    "6430": _person(
        N_("Account not suitable"),
        N_(
            "The account chosen for {item} is not an income account in QuickBooks. Choose another"
            " one."
        ),
        None,
        CHOOSE_SETTING,
    ),
    "6450": _person(
        N_("Already settled"),
        N_("This payment is already settled in QuickBooks and cannot be voided."),
    ),
    "6470": _person(
        N_("Sales tax not set up"),
        N_(
            "Sales tax is not set up in QuickBooks for this. Set it up there, or mark the lines"
            " as not"
            " taxable."
        ),
        "lines",
        OPEN_QUICKBOOKS,
    ),
    "6480": _person(
        N_("Matched to the bank"),
        N_("This is matched to a bank transaction in QuickBooks. Undo the match there first."),
        None,
        OPEN_QUICKBOOKS,
    ),
    "6520": _person(
        N_("Quantity missing"),
        N_("{item} is counted as inventory in QuickBooks and needs a quantity."),
        "lines",
    ),
    "6540": _person(
        N_("Part of a bank deposit"),
        N_(
            "This payment is part of a bank deposit in QuickBooks. Remove it from the deposit"
            " there,"
            " then send it again."
        ),
        None,
        OPEN_QUICKBOOKS,
    ),
    # --- Our own mistakes -----------------------------------------------------------------------
    "500": _ours(N_("an operation it does not have")),
    "700": _ours(N_("a parent that does not fit")),
    "900": _ours(N_("a parent that is its own child")),
    "1040": _ours(N_("too much at once")),
    "1050": _ours(N_("the wrong kind of content")),
    "2000": _ours(N_("a kind of record it does not know")),
    "2010": _ours(N_("a property it does not know")),
    "2030": _ours(N_("an id it cannot read")),
    "2060": _ours(N_("a date in the wrong form")),
    "2070": _ours(N_("a date that does not exist")),
    "2080": _ours(N_("a number in the wrong form")),
    "2090": _ours(N_("a number it cannot use")),
    "2100": _ours(N_("an amount in the wrong form")),
    "2110": _ours(N_("an amount it cannot use")),
    "2120": _ours(N_("a value of the wrong kind")),
    "2130": _ours(N_("a request id it cannot use")),
    "2170": _ours(N_("a choice it does not have")),
    "2180": _ours(N_("a text out of range")),
    "2190": _ours(N_("a date out of range")),
    "2230": _ours(N_("a yes or no it cannot read")),
    "2240": _ours(N_("a number out of range")),
    "2250": _ours(N_("a document without lines")),
    "2260": _ours(N_("a posting without its side")),
    "2270": _ours(N_("a tax without its kind")),
    "2280": _ours(N_("a tax without its amount")),
    "2300": _ours(N_("debits that differ from credits")),
    "2600": _ours(N_("two values that contradict each other")),
    "3000": _ours(N_("a custom field it does not have")),
    "4000": _ours(N_("a question it cannot read")),
    "4001": _ours(N_("a question it cannot answer")),
    "5000": _ours(N_("a field that no longer exists")),
    "6010": _ours(N_("an account without its kind")),
    "6060": _ours(N_("a balance without its date")),
    "6070": _ours(N_("a line whose amount is not quantity times price")),
    "6090": _ours(N_("a discount without an amount")),
    "6100": _ours(N_("a tax mark it does not know")),
    "6150": _ours(N_("a sub-record without its parent")),
    "6170": _ours(N_("a tax where none applies")),
    "6290": _ours(N_("a missing employee or vendor")),
    "6300": _ours(N_("a missing employee or vendor")),
    "6440": _ours(N_("a line without a product")),
    "6530": _ours(N_("card data it must not see")),
    "10100": _ours(N_("a question with too long an answer")),
    **{str(code): _ours(N_("a file it cannot use")) for code in (6020, 6030, 6040, 6050)},
    **{str(code): _ours(N_("working hours it cannot use")) for code in range(6310, 6400, 10)},
    **{str(code): _ours(N_("a budget it cannot use")) for code in (6490, 6500, 6510)},
    # --- Codes of ours: found before anything was sent ------------------------------------------
    "no_name": _person(
        N_("No name"), N_("This {what} has no name that QuickBooks can store."), "name"
    ),
    "name_characters": _person(
        N_("Characters QuickBooks can't store"),
        N_(
            "QuickBooks in the US can't store some characters in “{name}”. Give it a name in Latin"
            " letters for QuickBooks."
        ),
        "name",
    ),
    "no_lines": _person(
        N_("No lines"),
        N_("This invoice has no lines, and QuickBooks requires at least one."),
        "lines",
    ),
    "negative_total": _person(
        N_("Total below zero"),
        N_("This invoice's total is below zero. QuickBooks only accepts that as a credit."),
        "lines",
    ),
    "amount_too_large": _person(
        N_("Amount too large"),
        N_("{amount} is more than QuickBooks can store in one amount."),
        "lines",
    ),
    "discounts_off": _person(
        N_("Discounts are turned off in QuickBooks"),
        N_(
            "This invoice has a discount. Turn discounts on in QuickBooks (gear icon, Account and"
            " settings, Sales, Sales form content) and send this again, or take the discount off"
            " here."
        ),
        "discount_value",
        OPEN_QUICKBOOKS,
    ),
    "no_income_account": _person(
        N_("No income account chosen"),
        N_("QuickBooks needs to know which income account “{item}” belongs to."),
        None,
        CHOOSE_SETTING,
    ),
    "no_fallback_item": _person(
        N_("No item for free-text lines"),
        N_("A line without a product needs an item in QuickBooks, and none is chosen."),
        None,
        CHOOSE_SETTING,
    ),
    "reversed": Cause(
        Class.PERSON,
        N_("Reversed here, still recorded in QuickBooks"),
        N_(
            "{refunded} of this payment of {amount} was refunded or returned here. QuickBooks still"
            " shows the full payment; enter the refund there."
        ),
        effect=N_(
            "Once you have entered it there, press “I've entered it”. DunaHub voids a payment"
            " there only if all of it went back and you choose that under “How records arrive”."
        ),
        actions=(OPEN_QUICKBOOKS, CHOOSE_SETTING, SEND_AGAIN, SKIP),
    ),
    "reversed_unsent": Cause(
        Class.PERSON,
        N_("Reversed before it was sent"),
        N_(
            "{refunded} of this payment of {amount} was refunded or returned before the payment"
            " reached QuickBooks. Enter the rest of the payment there."
        ),
        effect=N_("Once you have entered it there, press “I've entered it”."),
        actions=(OPEN_QUICKBOOKS, SKIP),
    ),
    "reversed_rest": Cause(
        Class.PERSON,
        N_("Rest of a payment to reverse in QuickBooks"),
        N_(
            "{refunded} of this payment was refunded earlier, and someone entered that in"
            " QuickBooks. Now the rest was refunded or returned too: enter {rest} there. We don't"
            " void the payment, because that would subtract the first part twice."
        ),
        effect=N_(
            "Once you have entered it there, press “I've entered it”. If you void the payment"
            " there instead, and delete what was entered for the first part, send it again: we'll"
            " check what's there."
        ),
        actions=(OPEN_QUICKBOOKS, SEND_AGAIN, SKIP),
    ),
    "its_payment_gone": Cause(
        Class.PERSON,
        N_("The refunded payment is gone from QuickBooks"),
        N_(
            "The payment for invoice {invoice} is voided or deleted in QuickBooks, so a refund"
            " receipt of {amount} would take off money that is not there."
        ),
        effect=N_(
            "If the payment was removed because of this refund, skip this. Otherwise send the"
            " payment again, then this."
        ),
        actions=(OPEN_QUICKBOOKS, SEND_AGAIN, SKIP),
    ),
    "not_entered_refund": _person(
        N_("Not found in QuickBooks"),
        N_(
            "We looked for a refund receipt of {amount} for this customer in QuickBooks and found"
            " none. Correct yours there and press “I've entered it” again, or send this one."
        ),
        None,
        OPEN_QUICKBOOKS,
    ),
    "not_entered_invoice": _person(
        N_("Not found in QuickBooks"),
        N_(
            "We looked for invoice {number} in QuickBooks and found none. Give yours that number"
            " there and press “I've entered it” again, or send this one."
        ),
        None,
        OPEN_QUICKBOOKS,
    ),
    "not_entered_payment": _person(
        N_("Not found in QuickBooks"),
        N_(
            "We looked for a payment of {amount} on invoice {number} in QuickBooks and found none."
            " Apply yours to that invoice there and press “I've entered it” again, or send this"
            " one."
        ),
        None,
        OPEN_QUICKBOOKS,
    ),
    "entered_for_another": _person(
        N_("Not found in QuickBooks"),
        N_(
            "Invoice {number} in QuickBooks is for {holder}, {amount}, so it isn't this one."
            " Correct it there and press “I've entered it” again, or send this one with another"
            " number."
        ),
        "number",
        OPEN_QUICKBOOKS,
    ),
    "entered_several": Cause(
        Class.PERSON,
        N_("Several in QuickBooks"),
        N_(
            "QuickBooks has {count} that match, for {amount}, and we can't tell which one is"
            " invoice {number}'s. If one was entered twice, delete the copy there and press “I've"
            " entered it” again. If all are right, skip this one."
        ),
        effect=N_("Saved here. Nothing is changed in QuickBooks until you choose."),
        actions=(OPEN_QUICKBOOKS, SEND_AGAIN, SKIP),
    ),
    "refund_by_hand": Cause(
        Class.PERSON,
        N_("A refund to enter in QuickBooks"),
        N_(
            "{amount} of the payment for invoice {invoice} was refunded to the client, and the"
            " invoice stays paid. Enter a refund receipt of {amount} in QuickBooks."
        ),
        effect=N_(
            "Once you have entered it there, press “I've entered it”. Under “How records arrive”"
            " you can choose to have DunaHub enter refund receipts."
        ),
        actions=(OPEN_QUICKBOOKS, CHOOSE_SETTING, SEND_AGAIN, SKIP),
    ),
    "receipt_stands": Cause(
        Class.PERSON,
        N_("A refund that no longer counts"),
        N_(
            "The refund of {amount} for invoice {invoice} could not be paid out after all, or its"
            " invoice was voided. QuickBooks has a refund receipt for it. Void or delete the"
            " receipt there."
        ),
        effect=N_("Once that's done, send it again: we'll check that it's gone."),
        actions=(OPEN_QUICKBOOKS, SEND_AGAIN, SKIP),
    ),
    "no_refund_account": _person(
        N_("No account for refunds chosen"),
        N_("QuickBooks needs to know which account refunds are paid from, and none is chosen."),
        None,
        CHOOSE_SETTING,
    ),
    "no_refund_choices": _person(
        N_("No account and no item for refunds chosen"),
        N_(
            "QuickBooks needs to know which account refunds are paid from and which item they use."
            " You choose both on one page."
        ),
        None,
        CHOOSE_SETTING,
    ),
    "fallback_item_inactive": _person(
        N_("“{item}” is inactive in QuickBooks"),
        N_("Refunds use the item “{item}”, which was deleted or made inactive in QuickBooks."),
        None,
        CHOOSE_SETTING,
    ),
    "invoice_voided": _person(
        N_("Its invoice is voided in QuickBooks"),
        N_("Invoice {invoice} is voided in QuickBooks and cannot take this payment."),
        None,
        OPEN_QUICKBOOKS,
    ),
    "customer_inactive": Cause(
        Class.PERSON,
        N_("Inactive in QuickBooks"),
        N_("“{name}” is in QuickBooks, but was made inactive there."),
        field="name",
        actions=(REACTIVATE, SEND_AS, LINK_ANOTHER, RENAME, SKIP),
    ),
    "customer_gone": Cause(
        Class.PERSON,
        N_("Customer no longer in QuickBooks"),
        N_("The customer “{name}” was deleted in QuickBooks, or merged with another one."),
        actions=(LINK_ANOTHER, CREATE_AGAIN, SEND_AGAIN, SKIP),
    ),
    "several_customers": Cause(
        Class.PERSON,
        N_("Could be one of several customers"),
        N_("QuickBooks has several customers that could be “{name}”: {holder}."),
        actions=(CHOOSE_CUSTOMER, SEND_AGAIN, SKIP),
    ),
    "perhaps_another": Cause(
        Class.PERSON,
        N_("Perhaps another customer"),
        N_(
            "“{holder_name}” in QuickBooks has the e-mail address {email} too, but another name or"
            " phone number."
        ),
        field="email",
        actions=(LINK_EXISTING, CREATE_SEPARATE, SEND_AGAIN, SKIP),
    ),
    "perhaps_ours": Cause(
        Class.PERSON,
        N_("Perhaps in QuickBooks already"),
        N_(
            "QuickBooks didn't answer when we tried to create “{name}” there. It now has"
            " “{holder_name}”: that may be this customer, changed there since."
        ),
        actions=(LINK_EXISTING, CREATE_SEPARATE, SEND_AGAIN, SKIP),
    ),
    "document_perhaps_ours": Cause(
        Class.PERSON,
        N_("Perhaps in QuickBooks already"),
        N_(
            "QuickBooks didn't answer when we tried to create this there. It now has one for the"
            " same customer and amount, dated {date}: that may be ours, changed there."
        ),
        effect=N_("Saved here. Nothing is created in QuickBooks until you choose."),
        actions=(IT_IS_THIS_ONE, OPEN_QUICKBOOKS, SEND_SEPARATELY, SKIP),
    ),
    "other_currency": Cause(
        Class.PERSON,
        N_("Different currency in QuickBooks"),
        N_(
            "“{holder_name}” in QuickBooks has the currency {currency}, but your invoices are in US"
            " dollars. QuickBooks doesn't let anyone change a customer's currency."
        ),
        actions=(CREATE_SEPARATE, SEND_AS, LINK_ANOTHER, SEND_AGAIN, SKIP),
    ),
    "invoice_gone": Cause(
        Class.PERSON,
        N_("No longer in QuickBooks"),
        N_("Invoice {number} was deleted in QuickBooks."),
        effect=N_(
            "Saved here, but not in QuickBooks. If you send it again as new, its payments are"
            " applied to it. A partly refunded payment stays as a credit there: apply it to the"
            " new invoice there."
        ),
        actions=(SEND_AS_NEW, STOP_SENDING),
    ),
    "its_customer_inactive": Cause(
        Class.PERSON,
        N_("Its customer is inactive in QuickBooks"),
        N_("The customer “{holder_name}” was deleted or made inactive in QuickBooks."),
        actions=(REACTIVATE, LINK_ANOTHER, CREATE_AGAIN, SEND_AGAIN, SKIP),
    ),
    "its_customer_there_inactive": Cause(
        Class.PERSON,
        N_("Its customer in QuickBooks is inactive there"),
        N_(
            "In QuickBooks this belongs to another customer than here: “{holder_name}”, who was"
            " deleted or made inactive there. Make that customer active in QuickBooks, then send"
            " this again."
        ),
        actions=(OPEN_QUICKBOOKS, SEND_AGAIN, SKIP),
    ),
    "its_customer_currency": Cause(
        Class.PERSON,
        N_("Its customer has a different currency in QuickBooks"),
        N_(
            "The customer “{holder_name}” has the currency {currency} in QuickBooks, so it can't"
            " have an invoice in US dollars. QuickBooks doesn't let anyone change a customer's"
            " currency."
        ),
        actions=(CREATE_ANOTHER, LINK_ANOTHER, OPEN_QUICKBOOKS, SEND_AGAIN, SKIP),
    ),
    "item_inactive": Cause(
        Class.PERSON,
        N_("“{item}” is inactive in QuickBooks"),
        N_("The item “{item}” on line {lines} was deleted or made inactive in QuickBooks."),
        actions=(OTHER_ITEM, REACTIVATE_ITEM, FALLBACK, SEND_AGAIN, SKIP),
    ),
    "its_invoice_gone": Cause(
        Class.PERSON,
        N_("Its invoice is no longer in QuickBooks"),
        N_(
            "Invoice {invoice} was deleted in QuickBooks, so this payment has nowhere to go. Send"
            " the invoice again as new, and its payments go with it."
        ),
        effect=N_("Saved here, but not in QuickBooks: neither the invoice nor this payment."),
        actions=(OPEN_QUICKBOOKS, SEND_AGAIN, SKIP),
    ),
    "its_invoice_paid": Cause(
        Class.PERSON,
        N_("Its invoice is already paid in QuickBooks"),
        N_(
            "Invoice {invoice} has nothing left to pay in QuickBooks: a payment or credit is"
            " already applied to it. Skip this one if it's the same money."
        ),
        effect=N_(
            "Saved here. QuickBooks shows the invoice as paid, without this payment. If this is"
            " different money, take the wrong payment or credit off the invoice there and send"
            " this one again."
        ),
        actions=(OPEN_QUICKBOOKS, SEND_AGAIN, SKIP),
    ),
    "account_inactive": _person(
        N_("An account chosen in settings is inactive in QuickBooks"),
        N_(
            "The account “{chosen}”, which is chosen in settings for {chosen_for}, was "
            "deleted or made inactive in QuickBooks. Choose another one, and everything"
            " that waits for it is sent."
        ),
        None,
        CHOOSE_SETTING,
    ),
    "method_inactive": _person(
        N_("A payment method chosen in settings is inactive in QuickBooks"),
        N_(
            "The payment method “{chosen}”, which is chosen in settings for "
            "{chosen_for}, was deleted or made inactive in QuickBooks. Choose another "
            "one, and everything that waits for it is sent."
        ),
        None,
        CHOOSE_SETTING,
    ),
    "tax_code_inactive": _person(
        N_("A tax code is inactive in QuickBooks"),
        N_(
            "The tax code “{chosen}” for the sales tax of this invoice was deleted or made inactive"
            " in QuickBooks. Make it active again there, or choose another one, and everything that"
            " waits for it is sent."
        ),
        None,
        CHOOSE_SETTING,
        OPEN_QUICKBOOKS,
    ),
    "voided_there": Cause(
        Class.PERSON,
        N_("Voided in QuickBooks"),
        N_("This {what} is voided in QuickBooks, so this change cannot be made there."),
        actions=(SEND_AS_NEW, OPEN_QUICKBOOKS, STOP_SENDING),
    ),
    "edited_there": Cause(
        Class.PERSON,
        N_("Changed here and in QuickBooks"),
        N_(
            "This {what} was also changed in QuickBooks, and our version would overwrite that."
            " These differ: {parts}."
        ),
        effect=N_("Saved here. Nothing is changed in QuickBooks until you choose."),
        actions=(SEND_OURS, OPEN_QUICKBOOKS, LEAVE_THEIRS),
    ),
    "declined_goes_along": Cause(
        Class.PERSON,
        N_("It would send a change you left out"),
        N_(
            "This change to the {what} can't be sent without another change that you chose to"
            " leave as it is in QuickBooks: the total is {total_here} here, {total_there} there."
        ),
        effect=N_("Saved here. Nothing is changed in QuickBooks until you choose."),
        actions=(SEND_OURS, OPEN_QUICKBOOKS, LEAVE_THEIRS),
    ),
    # --- Codes of the engine --------------------------------------------------------------------
    "taken_by_another_record": Cause(
        Class.PERSON,
        N_("Two records here, one in QuickBooks"),
        N_(
            "This could be the {what} {holder_name} in QuickBooks, but that one belongs to"
            " {other} here."
        ),
        field="name",
        actions=(SHARE, CREATE_SEPARATE, SEND_AS, RENAME, SEND_AGAIN, SKIP),
    ),
    "unanswered": _person(
        N_("QuickBooks never answered"),
        N_("QuickBooks did not answer for this {what} several times. {arrived}"),
        is_unknown=True,
    ),
    "turned_away": _person(
        N_("QuickBooks turned it away"),
        N_(
            "QuickBooks turned this {what} away several times and gave no reason. {arrived}"
            " Its answer is under details."
        ),
        None,
        OPEN_QUICKBOOKS,
        is_unknown=True,
    ),
    "trouble_there": _person(
        N_("QuickBooks could not save it"),
        N_(
            "QuickBooks had an internal problem each time we sent this {what}. {arrived}"
            " Its message is under details."
        ),
        None,
        OPEN_QUICKBOOKS,
        is_unknown=True,
    ),
    "poison": _OUR_SLIP,
    "internal": _OUR_SLIP,
}
