"""Compares our documents with QuickBooks' objects."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from models.base import Json
from outbox.company import Known, Remote
from quickbooks.cleaning import addresses
from quickbooks.documents import Document, parsed

MARK = re.compile(r"\bDH-[A-Z2-7]{12}\b")  # as made by `models.sales.new_mark`
OUR_CURRENCY = "USD"
INACTIVE_SUFFIX = " (deleted)"  # QuickBooks appends this to the name of an inactive record

# values that clear a property, or mean that it is missing
_BLANK: tuple[object, ...] = (None, "", {}, {"value": ""})


def differences(
    document: Document, found: Mapping[str, Any], *, ignoring: frozenset[str] = frozenset()
) -> Document:
    """The part of our document that differs in QuickBooks; {} if nothing needs writing."""
    return {
        key: value
        for key, value in document.items()
        if key not in ignoring and not agrees(value, found.get(key))
    }


def agrees(ours: object, theirs: object) -> bool:
    """Whether everything in our value is also in theirs; their additions don't count."""
    if ours in _BLANK:
        return theirs in _BLANK
    match ours:
        case dict():
            if "value" in ours:  # a reference: only its id matters, the name is QuickBooks' own
                return isinstance(theirs, dict) and _same(ours["value"], theirs.get("value"))
            there = theirs if isinstance(theirs, dict) else {}
            return all(agrees(value, there.get(key)) for key, value in ours.items())
        case list():
            there_lines = _own_lines(theirs)
            return len(ours) == len(there_lines) and all(
                agrees(one, other) for one, other in zip(ours, there_lines, strict=True)
            )
        case _:
            return _same(ours, theirs)


def is_left(before: object, ours: object, theirs: object) -> bool:
    """Whether a part that we had, and have no longer, is still in theirs."""
    match before, ours, theirs:
        case dict(), dict(), dict():
            gone = (key for key in before if key not in ours and theirs.get(key) not in _BLANK)
            kept = (key for key in before if key in ours)
            return any(True for _ in gone) or any(
                is_left(before[key], ours[key], theirs.get(key)) for key in kept
            )
        case list(), list(), _:
            lines = zip(before, ours, _own_lines(theirs), strict=False)
            return any(is_left(*line) for line in lines)
        case _:
            return False


def _own_lines(theirs: object) -> list[object]:
    """Their lines without the subtotal that QuickBooks adds."""
    if not isinstance(theirs, list):
        return []
    return [
        line
        for line in theirs
        if not (isinstance(line, dict) and line.get("DetailType") == "SubTotalLineDetail")
    ]


def _same(ours: object, theirs: object) -> bool:
    if isinstance(ours, bool) or ours is None:
        return ours == (theirs or False if isinstance(ours, bool) else theirs)
    if isinstance(ours, Decimal | int):
        return number(theirs) == ours
    return str(ours) == ("" if theirs is None else str(theirs))


def number(value: object) -> Decimal | None:
    """A number that QuickBooks wrote as number or string; None if it is neither."""
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


# --- Customers ----------------------------------------------------------------------------------


def same_customer(document: Document, found: Mapping[str, Any]) -> bool:
    """Clearly the same: same name, and the same e-mail address or phone number."""
    if not same_name(document["DisplayName"], str(found.get("DisplayName", ""))):
        return False
    phone = phone_of(document)
    return bool(emails_of(document) & emails_of(found)) or (
        phone != "" and phone == phone_of(found)
    )


def is_our_customer(document: Document, found: Mapping[str, Any]) -> bool:
    """Whether it equals what an unanswered create of ours would have made."""
    return not differences(document, found) and (emails_of(document), phone_of(document)) == (
        emails_of(found),
        phone_of(found),
    )


def perhaps_made(document: Document, found: Mapping[str, Any]) -> bool:
    """Whether an unanswered create of ours may have made it, and somebody changed it there since:
    all words of one name are in the other, or they share an address, phone number or company."""
    company, phone = str(document.get("CompanyName", "")), phone_of(document)
    words, others = _words(document["DisplayName"]), _words(str(found.get("DisplayName", "")))
    return (
        (bool(words and others) and (words <= others or others <= words))
        or bool(emails_of(document) & emails_of(found))
        or (phone != "" and phone == phone_of(found))
        or (company != "" and company.casefold() == str(found.get("CompanyName", "")).casefold())
    )


def same_name(one: str, other: str) -> bool:
    """Whether QuickBooks treats them as one name, which only one customer may have."""
    return name_key(one) == name_key(other)


def name_key(name: str) -> str:
    """A name for comparison: QuickBooks ignores case, and so do people."""
    return " ".join(name.removesuffix(INACTIVE_SUFFIX).split()).casefold()


def email_of(customer: Mapping[str, Any]) -> str:
    """The e-mail addresses normalized for comparison, separated by commas; "" if there are none."""
    return ",".join(addresses(str((customer.get("PrimaryEmailAddr") or {}).get("Address", ""))))


def emails_of(customer: Mapping[str, Any]) -> frozenset[str]:
    """Each of the e-mail addresses; QuickBooks keeps several in one field."""
    return frozenset(filter(None, email_of(customer).split(",")))


# Words that may be missing from a firm's name.
_FORMS = frozenset("inc incorporated llc ltd co corp company corporation the and & of".split())


# Words that only one of two customers has in its name: a son, a building, a part of town.
_DISTINCTIONS = frozenset(
    """jr junior sr senior ii iii iv son sons phase unit suite apt apartment lot bldg building tower
    north south east west northeast northwest southeast southwest upper lower
    two three four five second third estate trust""".split()
)


def names_agree(one: str, other: str) -> bool:
    """Whether two names may mean one customer: the significant words of the shorter are all in the
    longer, and none of the others tells two customers apart ("Jr", "Phase 2", "North")."""
    words, others = _words(one), _words(other)
    if not (words and others) or not (words <= others or others <= words):
        return False
    return not any(word in _DISTINCTIONS or re.search(r"\d", word) for word in words ^ others)


def _words(name: str) -> set[str]:
    """Those of an e-mail address in a name are no words of the name, unless it is nothing else."""
    key = name_key(name)
    without = re.sub(r"\S+@\S+", " ", key)
    found = set(re.findall(r"[^\W_]+", without) or re.findall(r"[^\W_]+", key))
    return (found - _FORMS) or found


def phone_of(customer: Mapping[str, Any]) -> str:
    """The digits of the phone number, without the country prefix."""
    digits = re.sub(r"\D", "", str((customer.get("PrimaryPhone") or {}).get("FreeFormNumber", "")))
    return digits[1:] if len(digits) == 11 and digits.startswith("1") else digits


def currency_of(customer: Mapping[str, Any]) -> str:
    """The currency of a customer, which never changes; "" if the answer has none: the company's."""
    return str((customer.get("CurrencyRef") or {}).get("value") or "")


def has_other_currency(currency: str) -> bool:
    """Whether documents of ours, which are in dollars, are refused for a customer with it."""
    return currency not in ("", OUR_CURRENCY)


# --- Documents ----------------------------------------------------------------------------------


def marks_in(document: Mapping[str, Any]) -> frozenset[str]:
    """Our marks in a document, ours or QuickBooks': in its note or its reference."""
    told = f"{document.get('PrivateNote')} {document.get('PaymentRefNum')}"
    return frozenset(MARK.findall(told))


def is_marked(document: Document, found: Mapping[str, Any]) -> bool:
    """Whether it has the mark of our document."""
    return bool(marks_in(document) & marks_in(found))


def is_unmarked(document: Document, found: Mapping[str, Any]) -> bool:
    """Whether it is of our document's customer, and of no other record of ours."""
    return not marks_in(found) and agrees(document["CustomerRef"], found.get("CustomerRef"))


def has_same_amounts(document: Document, found: Mapping[str, Any]) -> bool:
    """Whether both have the same amounts on the lines of what was sold."""
    return _amounts(document) == _amounts(found)


def _amounts(document: Mapping[str, Any]) -> list[Decimal]:
    return sorted(
        number(line.get("Amount")) or Decimal(0)
        for line in document.get("Line") or ()
        if line.get("DetailType") == "SalesItemLineDetail"
    )


def is_our_invoice(document: Document, total: str, found: Mapping[str, Any], mark: str) -> bool:
    """It has our mark, or the same customer, day and total."""
    note = str(found.get("PrivateNote", ""))
    if mark in note:
        return True
    if MARK.search(note):
        return False  # another record of ours
    return (
        agrees(document["CustomerRef"], found.get("CustomerRef"))
        and agrees(document["TxnDate"], found.get("TxnDate"))
        and number(found.get("TotalAmt")) == Decimal(total)
    )


# --- Objects ------------------------------------------------------------------------------------


def is_object(found: Mapping[str, Any]) -> bool:
    """Whether it has what every object has (Intuit's guide, *Basic field definitions*): an Id, and
    the SyncToken that an update must name."""
    return all(
        isinstance(found.get(key), str | int) and str(found[key]) for key in ("Id", "SyncToken")
    )


def is_voided(payload: Json, found: Mapping[str, Any]) -> bool:
    """Whether the object of a record was voided. One that is for nothing here may be so there."""
    ours = payload.get("total") or payload.get("amount") or "0"
    return looks_void(found) and (_says_void(found) or Decimal(ours) > 0)


def looks_void(found: Mapping[str, Any]) -> bool:
    """Whether every amount is gone, and every quantity; the note says so in the user's language.
    One that was written off keeps amounts on its lines, and one for nothing keeps quantities.
    """
    if number(found.get("TotalAmt")) != 0:
        return False  # or a kind without a total
    return _says_void(found) or not any(map(_counts, found.get("Line") or ()))


def _says_void(found: Mapping[str, Any]) -> bool:
    return str(found.get("PrivateNote", "")).startswith("Voided")


def _counts(line: Mapping[str, Any]) -> bool:
    detail = line.get("SalesItemLineDetail") or {}
    return bool(number(line.get("Amount")) or number(detail.get("Qty")))


def applied_by(payment: Mapping[str, Any]) -> str | None:
    """The part of a payment applied to invoices, in dollars: all that is not credit now."""
    total, credit = number(payment.get("TotalAmt")), number(payment.get("UnappliedAmt", 0))
    return None if total is None or credit is None else format(total - credit, ".2f")


def credit_of(payment: Mapping[str, Any]) -> Decimal:
    """What of a payment pays no invoice, in dollars."""
    return number(payment.get("UnappliedAmt", 0)) or Decimal(0)


def given_back(known: Known) -> str | None:
    """What the void of a payment adds to its invoices' balances, in dollars and below zero: as much
    as it took, by QuickBooks' last answer. None when that is not known."""
    taken = applied_by(parsed(known.seen) or {})
    return None if taken is None else format(-Decimal(taken), ".2f")


def applied_now(known: Known, found: Mapping[str, Any]) -> str | None:
    """What a payment takes of its invoices more than it did, in dollars. None if not known."""
    before, after = applied_by(parsed(known.seen) or {}), applied_by(found)
    if before is None or after is None:
        return None
    return format(Decimal(after) - Decimal(before), ".2f")


def remote_of(found: Mapping[str, Any]) -> Remote:
    """What we store of an object (`is_object`): id, version, number, and the total in dollars."""
    total, balance = number(found.get("TotalAmt")), number(found.get("Balance"))
    # for a customer the balance is everything they owe
    is_invoice = "DueDate" in found or "Line" in found
    if "UnappliedAmt" in found:  # a payment: what of it pays no invoice
        balance = credit_of(found)
    return Remote(
        id=str(found["Id"]),
        version=str(found["SyncToken"]),
        number=str(found["DocNumber"]) if found.get("DocNumber") else None,
        total=None if total is None else format(total, ".2f"),
        balance=format(balance, ".2f") if is_invoice and balance is not None else None,
    )
