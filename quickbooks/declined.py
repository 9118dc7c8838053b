"""What an owner decided not to send, and a later change would take along: a person is asked. Pure.

Most fields are written one by one, so that what was declined stays here. But the lines of an
invoice are replaced as a set, with its discount and tax, and a payment's amount goes with whatever
changes. Only money is compared: items and codes also differ when settings were changed.
"""

from collections import Counter
from collections.abc import Sequence
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
            goes = (
                _lines_go(sent, declined, document)
                or _discount_goes(sent, declined, document)
                or _tax_goes(sent, declined, document)
                or _untaxing_goes(due)
            )
        case RecordType.PAYMENT:
            goes = sent.get("TotalAmt") != declined.get("TotalAmt") == document.get("TotalAmt")
        case _:
            goes = False
    return _asked(due, sent) if goes else None


def _asked(due: Due, sent: Document) -> Rejected:
    """The question for a person, with both totals."""
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
    is_left_out = then.total() < before.total() and bool(before - then - now)
    return bool((then - before) & now) or is_left_out


def _lines(document: Document) -> Counter[Decimal]:
    """The amounts on the lines of what was sold, without the line that is the tax."""
    return Counter(
        line["Amount"]
        for line in document.get("Line", ())
        if line["DetailType"] != _DISCOUNT and not _is_tax(line)
    )


_DISCOUNT = "DiscountLineDetail"


def _discount_goes(sent: Document, declined: Document, document: Document) -> bool:
    """Whether a discount that was declined is written: a percentage is another amount of every
    sum."""
    before, then, now = (_discount(each) for each in (sent, declined, document))
    if before == then or _same_part(sent, declined):
        return False
    return now == then or (_same_part(declined, document) and not _same_part(sent, document))


def _same_part(one: Document, other: Document) -> bool:
    """Whether both have the same share of discount, but for cents."""
    both = (one, other)
    return _same_share([_discount(each) for each in both], [_sum(each) for each in both])


def _discount(document: Document) -> Decimal:
    amounts = (line["Amount"] for line in document["Line"] if line["DetailType"] == _DISCOUNT)
    return sum(amounts, Decimal(0))


def _untaxing_goes(due: Due) -> bool:
    """Whether tax that was declined to be taken off is taken off: of the invoice, or of a line. By
    what was saved here, because the documents also depend on settings."""
    if not due.known.sent_values or not due.known.declined_values:
        return False
    each = (due.known.sent_values, due.known.declined_values, due.payload)
    taxes = [Decimal(values.get("tax_amount") or 0) for values in each]
    if taxes[0] == 0:
        return False
    sent, declined, now = (
        Counter((line["amount"], line.get("taxable")) for line in values["lines"])
        for values in each
    )
    is_as_declined = bool((declined - sent) & now)
    return is_as_declined or (taxes[1] == 0 and taxes[2] == 0)


def _tax_goes(sent: Document, declined: Document, document: Document) -> bool:
    """Whether a rate of tax that was declined is written. If QuickBooks gets the tax in another
    form than before, that is because settings were changed."""
    before, then = _tax(sent), _tax(declined)
    if then is None or (before is not None and before[0] != then[0]):
        return False
    return not _same_rate(sent, declined) and _same_rate(declined, document)


def _same_rate(one: Document, other: Document) -> bool:
    """Whether both have the same share of tax, but for cents."""
    sums = [_sum(each) - _discount(each) for each in (one, other)]
    taxes = [found[1] if (found := _tax(each)) else Decimal(0) for each in (one, other)]
    return _same_share(taxes, sums)


def _same_share(parts: Sequence[Decimal], sums: Sequence[Decimal]) -> bool:
    return abs(parts[0] * sums[1] - parts[1] * sums[0]) <= _CENT * (sums[0] + sums[1])


def _sum(document: Document) -> Decimal:
    return sum(_lines(document).elements(), Decimal(0))


def _tax(document: Document) -> Money | None:
    if detail := document.get("TxnTaxDetail"):
        return "TxnTaxDetail", Decimal(detail.get("TotalTax") or 0)
    return next((("Line", line["Amount"]) for line in document["Line"] if _is_tax(line)), None)


def _is_tax(line: Document) -> bool:
    """Whether it is the line that holds the tax (`tax.line`)."""
    return str(line.get("Description", "")).startswith("Sales tax ") and "Qty" not in line.get(
        "SalesItemLineDetail", {}
    )
