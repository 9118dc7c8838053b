"""What somebody changed in QuickBooks and our next change would overwrite: a person is asked. Pure.

Only what is about to be written is judged: a field that only they changed is never sent. It is
theirs if it is neither what we sent last, nor what an unanswered request may have written, nor what
we are about to write. The lines of an invoice are replaced as a set (Intuit's API reference,
Invoice), so what they changed of one of them, or of its tax, concerns all. A record that was only
linked never had values of ours: of an invoice its total is judged, of a customer nothing. Of an
invoice that a person chose all is judged, and of such a payment its amount.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from languages import N_
from models.base import Json
from models.sales import RecordType
from outbox.company import DECLINES_WHEN_SKIPPED, Due, Rejected, Remote
from quickbooks import documents, matching
from quickbooks.documents import Document
from quickbooks.faults import ours, phrase
from quickbooks.kinds.invoice import GENERATED
from quickbooks.kinds.payment import NOTE_LONGEST, invoices_paid_by

_SET = frozenset({"Line", "TxnTaxDetail", "ApplyTaxAfterDiscount"})  # see `documents.completed`
_NOT_EDITED = frozenset({"PrivateNote", "CurrencyRef", "Active"})
# What of an address is compared: QuickBooks adds an Id, and the place on a map.
_ADDRESS = "Line1 Line2 Line3 Line4 Line5 City CountrySubDivisionCode PostalCode Country".split()
_ADDED = ("ClassRef", "ServiceDate")  # bookkeepers add these to a line, and would lose them with it


def view_of(due: Due, link: Remote, there: Json | None) -> Document | None:
    """What QuickBooks has: as it was just read, or as in its last answer. If somebody changed it
    since, QuickBooks refuses our version, and it is read."""
    if there is not None:
        return there
    seen = documents.parsed(due.known.seen)
    return seen if seen is not None and str(seen.get("Id")) == link.id else None


def with_their_note(changes: Document, base: Document | None, theirs: Json) -> Document:
    """The changes, with what they wrote into the note: only our part of it is replaced. Where that
    is gone, their note stays."""
    before, now = (base or {}).get("PrivateNote"), theirs.get("PrivateNote")
    if "PrivateNote" not in changes or now in (None, before):
        return changes
    note = now.replace(before, changes["PrivateNote"]) if before and before in now else ""
    rest = {key: value for key, value in changes.items() if key != "PrivateNote"}
    return {**rest, "PrivateNote": note} if 0 < len(note) <= NOTE_LONGEST else rest


def edited_there(
    due: Due, document: Document, changes: Document, base: Document, theirs: Json
) -> Rejected | None:
    """Asks a person, if these changes would overwrite what somebody changed in QuickBooks."""
    doubted = (documents.parsed(doubt.document) for doubt in due.known.doubts)
    sent = documents.parsed(due.known.sent_document) or base
    by_us = [sent, *filter(None, doubted), document]
    if due.record.type == RecordType.PAYMENT:
        parts = list(_of_payment(by_us, theirs))
    else:
        parts = [
            *(_of_lines(due, by_us, theirs) if changes.keys() & _SET else ()),
            *_of_fields(due, changes, by_us, theirs),
        ]
    if not parts:
        return None
    return Rejected(ours("edited_there", due, _asks(parts)))


def chosen_is_other(due: Due, document: Document, theirs: Json) -> Rejected | None:
    """Asks a person who said that a document is this one, if it is another there: it was changed
    after our request may have made it, so that it is not known what we wrote."""
    is_asked = due.known.decision.get("use") and not due.knowledge.get("compares")
    if not is_asked or due.known.sent_values:
        return None
    parts = list(_of_chosen(due, document, theirs))
    return Rejected(ours("edited_there", due, _asks(parts))) if parts else None


def _of_chosen(due: Due, document: Document, theirs: Json) -> Iterator[Json]:
    """What of a payment or invoice our change would overwrite, without a value that we wrote."""
    if due.record.type == RecordType.PAYMENT:
        if not matching.agrees(document["TotalAmt"], theirs.get("TotalAmt")):
            yield both("TotalAmt", document["TotalAmt"], theirs.get("TotalAmt"))
    elif due.record.type == RecordType.INVOICE:
        if not (_has_lines(document, theirs) and _has_tax(document, theirs)):
            yield _lines_of_both(due, theirs)
        for key in ("TxnDate", "DueDate", "DocNumber", "CustomerMemo"):
            here = document.get(key)
            if here not in (None, GENERATED) and not _is_same(key, here, theirs.get(key)):
                yield both(key, here, theirs.get(key))


def _asks(parts: list[Json]) -> Json:
    return {"parts": parts, DECLINES_WHEN_SKIPPED: True}


def _of_fields(
    due: Due, changes: Document, by_us: Sequence[Document], theirs: Json
) -> Iterator[Json]:
    if due.known.sent_document is None:
        return  # it was only linked
    for key in changes:
        if key in _SET or key in _NOT_EDITED:
            continue
        if key == "DocNumber" and by_us[0].get(key) in (None, GENERATED):
            continue  # QuickBooks chose it
        if not any(_is_same(key, one.get(key), theirs.get(key)) for one in by_us):
            here = due.payload.get("lead_name") if key == "CustomerRef" else by_us[-1].get(key)
            yield both(key, here, theirs.get(key))


def _of_lines(due: Due, by_us: Sequence[Document], theirs: Json) -> Iterator[Json]:
    if due.known.sent_document is None:  # it was only linked: its lines were never ours
        total = (due.known.sent_values or {}).get("total", "0")
        is_ours = matching.number(theirs.get("TotalAmt")) == Decimal(total)
    else:
        is_ours = any(_has_lines(one, theirs) and _has_tax(one, theirs) for one in by_us)
    if not is_ours:
        yield _lines_of_both(due, theirs)


def _lines_of_both(due: Due, theirs: Json) -> Json:
    return phrase(
        N_("lines, in total {total_here} here, {total_there} there"),
        total_here=due.payload.get("total") or due.payload.get("amount", ""),
        total_there=str(theirs.get("TotalAmt") or 0),
    )


def _of_payment(by_us: Sequence[Document], theirs: Json) -> Iterator[Json]:
    """Its customer, its amount and what it pays are written together, whatever changed here."""
    if not any(_is_same("TotalAmt", one.get("TotalAmt"), theirs.get("TotalAmt")) for one in by_us):
        yield both("TotalAmt", by_us[-1]["TotalAmt"], theirs.get("TotalAmt"))
    elif not any(invoices_paid_by(one) == invoices_paid_by(theirs) for one in by_us):
        has_new_invoice = invoices_paid_by(by_us[0]) != invoices_paid_by(by_us[-1])
        # if its invoice is created again, it may have become credit
        if invoices_paid_by(theirs) or not has_new_invoice:
            yield phrase(N_("other invoices that it pays"))


# --- Comparing ------------------------------------------------------------------------------------


def _is_same(key: str, ours: Any, theirs: Any) -> bool:
    """Whether a field has our value, as a person would say."""
    if key == "DisplayName":
        return matching.same_name(str(ours or ""), str(theirs or ""))
    if compared_by := _COMPARED_BY.get(key):
        return compared_by(ours) == compared_by(theirs)
    if isinstance(ours, str):
        return _words(ours) == _words(theirs)
    return matching.agrees(ours, theirs)


# What counts of a field that has parts, or is written in several ways.
_COMPARED_BY: Mapping[str, Callable[[Any], object]] = {
    "PrimaryPhone": lambda value: _phone(value),
    "PrimaryEmailAddr": lambda value: matching.emails_of({"PrimaryEmailAddr": value}),
    "BillAddr": lambda value: [_words((value or {}).get(part)) for part in _ADDRESS],
    "CustomerMemo": lambda value: _words((value or {}).get("value")),
}


def _phone(value: Any) -> object:
    """The digits; the words of one without digits ("ask Kim")."""
    digits = matching.phone_of({"PrimaryPhone": value})
    return digits or _words((value or {}).get("FreeFormNumber"))


def _words(text: object) -> list[str]:
    return str("" if text is None else text).casefold().split()


def _has_lines(written: Document, theirs: Json) -> bool:
    """Whether these are the lines that we wrote, in whatever order."""
    left = [
        line
        for line in theirs.get("Line") or ()
        if line.get("DetailType") != "SubTotalLineDetail"  # QuickBooks adds it
    ]
    for line in written.get("Line", ()):
        same = next((other for other in left if _is_line(line, other)), None)
        if same is None:
            return False
        left.remove(same)
    return not left


def _is_line(ours: Document, theirs: Mapping[str, Any]) -> bool:
    kind = ours["DetailType"]
    detail, other = ours.get(kind) or {}, theirs.get(kind) or {}
    return (
        kind == theirs.get("DetailType")
        and matching.number(theirs.get("Amount")) == ours["Amount"]
        and _words(ours.get("Description")) == _words(theirs.get("Description"))
        # the price follows from the amount and the quantity
        and all(
            matching.agrees(detail[key], other.get(key)) for key in detail if key != "UnitPrice"
        )
        and not any(other.get(key) for key in _ADDED)
    )


def _has_tax(written: Document, theirs: Json) -> bool:
    """Whether its tax is what we wrote, or QuickBooks computed it."""
    if "TxnTaxDetail" not in theirs:
        return True  # a company without sales tax keeps none
    if detail := written.get("TxnTaxDetail"):
        # without a code QuickBooks keeps no tax of ours
        is_kept = "TxnTaxCodeRef" in detail
        return not is_kept or documents.total_tax(written) == documents.total_tax(theirs)
    return documents.is_taxed(written) or documents.total_tax(theirs) == 0


# --- Words ----------------------------------------------------------------------------------------

_SPOKEN = {
    "DisplayName": N_("name"),
    "GivenName": N_("first name"),
    "FamilyName": N_("last name"),
    "CompanyName": N_("company"),
    "PrimaryEmailAddr": N_("e-mail address"),
    "PrimaryPhone": N_("phone number"),
    "BillAddr": N_("address"),
    "CustomerRef": N_("customer"),
    "DocNumber": N_("number"),
    "TxnDate": N_("date"),
    "DueDate": N_("due date"),
    "CustomerMemo": N_("message"),
    "TotalAmt": N_("amount"),
}


def both(key: str, here: object, there: object) -> Json:
    """Our value of a field, and the one in QuickBooks."""
    return phrase(
        N_("{property} “{here}” here, “{there}” there"),
        property=phrase(_SPOKEN.get(key, N_("another value"))),
        here=_one_line(here),
        there=_one_line(there),
    )


def both_values(written: Json, found: Json) -> Json | None:
    """Our values, and those in QuickBooks when we looked, for a person to decide."""
    parts = [
        both(key, written[key], found.get(key))
        for key in _SPOKEN
        if key in written and _one_line(written[key]) != _one_line(found.get(key))
    ]
    return phrase(N_("These differ: {parts}."), parts=parts) if parts else None


def _one_line(value: object) -> str:
    match value:
        case {"name": str(name), "value": _}:
            return name
        case dict():
            return " ".join(
                str(each) for key, each in value.items() if key not in ("Id", "Lat", "Long")
            )
        case _:
            return "" if value is None else str(value)
