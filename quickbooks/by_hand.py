"""Records that a person entered in QuickBooks: found there and linked, nothing is written. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from languages import N_
from models.base import Json
from models.outbox import Operation
from models.sales import Record, RecordType
from outbox.company import Due, Learned, Rejected, Remote, Synced
from quickbooks import kinds, matching, steps
from quickbooks.documents import Missing, NotWritable, dumps, linked
from quickbooks.faults import ours
from quickbooks.kinds import invoice, payment
from quickbooks.questions import Question, of_amount
from quickbooks.steps import Ask, Step
from quickbooks.unanswered import look_for
from quickbooks.updating import lines_there


def entered_step(
    due: Due, link: Remote | None, links: Mapping[Record, Remote], settings: Json
) -> Step:
    """Looks for what a person entered.

    A counterpart that is still there is the one they changed. Else an invoice is looked for by its
    number, a payment (and an invoice that QuickBooks numbered) by customer and amount.
    """
    if link is None and (sought := look_for(due, settings)):
        return sought
    question = _question(due, links, settings)
    if steps.has_seen(due, question) and not due.looks_first:
        return _judge(due, links, due.knowledge.get("by_hand") or [])
    if link is None:
        return Ask(due, "look_up", question)
    if not steps.has_seen(due, steps.own(link)) or due.looks_first:
        return steps.read_own(due, link)
    there = steps.found(due)
    if there is None or matching.is_voided(due.payload, there):
        return _gone_step(due, link, there, question)
    return _entered(there, _rendered(due, there, links, settings))


def _gone_step(due: Due, link: Remote, there: Json | None, question: Question) -> Ask | Synced:
    """When our counterpart is void or deleted, what they entered is another document. A payment of
    which nothing is left needs none: taking it out was what they had to do."""
    if due.record.type != RecordType.PAYMENT or _amount_of(due) > 0:
        return Ask(due, "look_up", question)
    remote = matching.remote_of(there) if there else link
    return Synced(replace(remote, voided=True), N_("entered in QuickBooks by a person"))


def _question(due: Due, links: Mapping[Record, Remote], settings: Json) -> Question:
    entered = _as_entered(due)
    if due.record.type == RecordType.INVOICE and invoice.carries_our_number(settings):
        return Question("DocNumber", invoice.number_of(entered))
    customer = linked(links, RecordType.LEAD, entered["lead_id"])
    if due.record.type == RecordType.PAYMENT:
        linked(links, RecordType.INVOICE, entered["invoice_id"])
    return Question("CustomerRef", customer, of_amount(str(_amount_of(due))))


def _as_entered(due: Due) -> Json:
    """The record as it was when the person said so, whatever was changed here since."""
    values: Json = due.known.decision.get("entered_values") or due.payload
    return values


def _amount_of(due: Due) -> Decimal:
    """Of a payment what was not taken back."""
    entered = _as_entered(due)
    if due.record.type == RecordType.INVOICE:
        return Decimal(entered["total"])
    return Decimal(entered["amount"]) - Decimal(entered.get("refunded_amount") or 0)


def _rendered(due: Due, there: Json, links: Mapping[Record, Remote], settings: Json) -> str | None:
    """Our document; None if it cannot be written."""
    try:
        rendered = kinds.document(due.record, due.payload, links, settings)
    except (Missing, NotWritable):
        return None
    if due.record.type == RecordType.PAYMENT:
        rendered["Line"] = lines_there(there)  # what pays which invoice, as the person left it
    return dumps(rendered)


def _entered(there: Json, document: str | None = None) -> Synced:
    note = N_("entered in QuickBooks by a person")
    return Synced(matching.remote_of(there), note, document=document, seen=dumps(there))


def _judge(due: Due, links: Mapping[Record, Remote], rows: Sequence[Json]) -> Step:
    """Exactly one match is linked; otherwise a person sees what was found."""
    match due.record.type:
        case RecordType.PAYMENT:
            fitting, exact = _payments_fitting(due, links, rows)
        case RecordType.REFUND:
            fitting, exact = list(rows), _of_day(rows, _as_entered(due)["refunded_on"])
        case _:
            fitting, exact = _invoices_fitting(due, links, rows)
    match fitting if len(fitting) == 1 else exact or fitting:
        case [one] if changed_since_entered(due):
            remote = matching.remote_of(one)
            knowledge = {"seen": steps.own(remote).key, "found": one}
            return Learned(knowledge, remote, note=N_("found in QuickBooks"), seen=dumps(one))
        case [one]:
            return _entered(one)
        case []:
            return _not_entered(due, rows)
        case several:
            about = {**_about(due), "count": str(len(several))}
            return Rejected(ours("entered_several", due, about), ends_decision=True)


def _payments_fitting(
    due: Due, links: Mapping[Record, Remote], rows: Sequence[Json]
) -> tuple[list[Json], list[Json]]:
    """Those that pay its invoice, and those of its day among them."""
    entered = _as_entered(due)
    billed = links[Record(RecordType.INVOICE, entered["invoice_id"])]
    fitting = [row for row in rows if billed.id in payment.invoices_paid_by(row)]
    return fitting, _of_day(fitting, entered["received_on"])


def _of_day(rows: Sequence[Json], day: str) -> list[Json]:
    return [row for row in rows if str(row.get("TxnDate")) == day]


def _invoices_fitting(
    due: Due, links: Mapping[Record, Remote], rows: Sequence[Json]
) -> tuple[list[Json], list[Json]]:
    """Those of its customer, and those of its total among them. If the customer is not known, the
    total must be the same."""
    lead = links.get(Record(RecordType.LEAD, _as_entered(due)["lead_id"]))
    fitting = [row for row in rows if lead is None or _customer_of(row) == lead.id]
    total = _amount_of(due)
    exact = [row for row in fitting if matching.number(row.get("TotalAmt")) == total]
    return (exact if lead is None else fitting), exact


def _not_entered(due: Due, rows: Sequence[Json]) -> Rejected:
    about = _about(due)
    code = f"not_entered_{due.record.type.value}"
    if rows and due.record.type == RecordType.INVOICE:
        code, other = "entered_for_another", rows[0]
        about["holder"] = str((other.get("CustomerRef") or {}).get("name") or "")
        about["amount"] = f"${matching.number(other.get('TotalAmt')) or 0:,.2f}"
    return Rejected(ours(code, due, about), ends_decision=True)


def _about(due: Due) -> Json:
    key = "number" if due.record.type == RecordType.INVOICE else "invoice_number"
    return {"number": _as_entered(due)[key], "amount": f"${_amount_of(due):,.2f}"}


def changed_since_entered(due: Due) -> bool:
    """Whether it was changed here after a person entered it there: the change is still to be sent.
    What they entered is the entry that they decided about."""
    entered = due.known.decision["entered"]
    is_void = due.operation == Operation.VOID  # what is entered is entered to be there
    return is_void or (entered is not True and due.entry_id > int(entered))


def _customer_of(row: Json) -> str:
    return str((row.get("CustomerRef") or {}).get("value") or "")
