"""What an owner decided not to send, and a later change would take along: a person is asked. Pure.

Most fields are written one by one, so that what was declined stays here. But the lines of an
invoice are replaced as a set, with its discount and tax, and a payment's amount goes with whatever
changes. Only money is compared: items and codes also differ when settings were changed.
"""

from collections import Counter
from decimal import Decimal

from models.sales import RecordType
from outbox.company import DECLINES_WHEN_SKIPPED, Due, Rejected
from quickbooks import documents
from quickbooks.documents import Document
from quickbooks.faults import ours

_TOGETHER = frozenset({"Line", "TxnTaxDetail", "ApplyTaxAfterDiscount"})

_CENT = Decimal("0.01")

Money = tuple[str, Decimal]  # what it is, and the amount in dollars


def goes_along(
    due: Due, document: Document, changes: Document, declined: Document
) -> Rejected | None:
    """Asks a person, if these changes take along what was declined: nothing that was saved here
    since says that it is to be sent."""
    sent = documents.parsed(due.known.sent_document)
    if due.known.declined_values is None or sent is None:
        return None
    match due.record.type:
        case RecordType.INVOICE if changes.keys() & _TOGETHER:
            goes = _lines_go(sent, declined, document) or _tax_goes(sent, declined, document)
        case RecordType.PAYMENT:
            goes = sent.get("TotalAmt") != declined.get("TotalAmt") == document.get("TotalAmt")
        case _:
            goes = False
    if not goes:
        return None
    there = documents.parsed(due.known.seen) or sent
    about = {
        DECLINES_WHEN_SKIPPED: True,
        "total_here": due.payload.get("total") or due.payload["amount"],
        "total_there": str(there.get("TotalAmt") or (due.known.remote and due.known.remote.total)),
    }
    return Rejected(ours("declined_goes_along", due, about))


def _lines_go(sent: Document, declined: Document, document: Document) -> bool:
    """Whether a line that was declined is written, or one is left out."""
    before, then, now = _lines(sent), _lines(declined), _lines(document)
    is_left_out = then.total() < before.total() > now.total()
    return bool((then - before) & now) or is_left_out


def _lines(document: Document) -> Counter[Money]:
    """The lines without the one that is the tax."""
    return Counter(
        (line["DetailType"], line["Amount"])
        for line in document.get("Line", ())
        if not _is_tax(line)
    )


def _tax_goes(sent: Document, declined: Document, document: Document) -> bool:
    """Whether a rate of tax that was declined is written. If QuickBooks gets the tax in another
    form than before, that is because settings were changed."""
    before, then = _tax(sent), _tax(declined)
    if then is None or (before is not None and before[0] != then[0]):
        return False
    return not _same_rate(sent, declined) and _same_rate(declined, document)


def _same_rate(one: Document, other: Document) -> bool:
    """Whether both have the same share of tax, but for cents."""
    sums = [_sum(each) for each in (one, other)]
    taxes = [found[1] if (found := _tax(each)) else Decimal(0) for each in (one, other)]
    return abs(taxes[0] * sums[1] - taxes[1] * sums[0]) <= _CENT * (sums[0] + sums[1])


def _sum(document: Document) -> Decimal:
    return sum((amount for _kind, amount in _lines(document).elements()), Decimal(0))


def _tax(document: Document) -> Money | None:
    if detail := document.get("TxnTaxDetail"):
        return "TxnTaxDetail", Decimal(detail.get("TotalTax") or 0)
    return next((("Line", line["Amount"]) for line in document["Line"] if _is_tax(line)), None)


def _is_tax(line: Document) -> bool:
    """Whether it is the line that holds the tax (`tax.line`)."""
    return str(line.get("Description", "")).startswith("Sales tax ") and "Qty" not in line.get(
        "SalesItemLineDetail", {}
    )
