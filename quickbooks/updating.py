"""The next step of a record that QuickBooks has: what to change there, if anything. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from models.base import Json
from models.outbox import APPLIES_CREDIT, WAS_TAKEN_OFF
from models.sales import Record, RecordType
from outbox.company import Due, Later, Rejected, Remote, Synced
from quickbooks import declined, documents, edited, kinds, matching, steps
from quickbooks.documents import Document, NotWritable, dumps
from quickbooks.faults import ours
from quickbooks.inactive import doubt_step, invoice_step, payment_step
from quickbooks.kinds import KINDS, invoice, payment
from quickbooks.kinds.invoice import GENERATED
from quickbooks.questions import Question
from quickbooks.steps import Ask, Step, Write

# When a list is read again that is of before our own write; at most `retry.MAX_CHECK_DELAY`.
LISTS_LAG = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 720))

# Written once and then left to QuickBooks: a bookkeeper may add to the note. Only the total tax is
# compared, and only when it is sent again (`_tax_changes`).
_NOT_OURS = frozenset({"PrivateNote", "TxnTaxDetail"})


def update_step(due: Due, link: Remote, links: Mapping[Record, Remote], settings: Json) -> Step:
    """Changes what is different there. Raises NotWritable or Missing."""
    if steps.must_read(due, link):
        return steps.read_own(due, link)
    is_seen = steps.has_seen(due, steps.own(link))
    there = steps.found(due) if is_seen else None
    if is_seen and there is None:
        return Rejected(ours(KINDS[due.record.type].GONE, due))
    if link.voided or (there is not None and matching.is_voided(due.payload, there)):
        return Rejected(ours("voided_there", due))
    if there is not None:
        return _step_of_found(due, link, there, links, settings)
    if due.known.decision.get("activate") or due.knowledge.get("gone"):
        return steps.read_own(due, link)
    return _step_of_known(due, link, None, {}, links, settings)


def _step_of_found(
    due: Due, link: Remote, there: Json, links: Mapping[Record, Remote], settings: Json
) -> Step:
    activates = bool(due.known.decision.get("activate"))
    if due.knowledge.get(WAS_TAKEN_OFF):
        return _taken_off_step(due, link, there, links, settings)
    if due.knowledge.get(APPLIES_CREDIT):
        return _credit_step(due, link, there, links)
    is_inactive = there.get("Active") is False
    if is_inactive and due.record.type == RecordType.LEAD and not activates:
        return steps.inactive(due, there)
    awakens = steps.activation(due, there) if is_inactive and activates else {}
    return _step_of_known(due, link, there, awakens, links, settings)


def _step_of_known(
    due: Due,
    link: Remote,
    there: Json | None,
    awakens: Document,
    links: Mapping[Record, Remote],
    settings: Json,
) -> Step:
    if KINDS[due.record.type].IS_CREATED_ONLY:
        body = documents.sparse(link, awakens)
        return Write(due, "update", body, None) if awakens else Synced(link)
    return _changing_step(due, link, there, awakens, links, settings)


def _taken_off_step(
    due: Due, link: Remote, there: Json, links: Mapping[Record, Remote], settings: Json
) -> Synced | Later:
    """What QuickBooks took off a lowered invoice's payment is its credit. Without it, a bookkeeper
    put the payment elsewhere, and comparing goes on saying so; and so it does of more than
    QuickBooks took off all of the invoice's payments."""
    billed = links[Record(RecordType.INVOICE, due.payload["invoice_id"])]
    sent = documents.parsed(due.known.sent_document) or {}
    is_off = payment.applied_to(billed, sent) - payment.applied_to(billed, there)
    # once a list lagged, it may after the invoice was raised again, where nothing shows it any more
    still_lags = "lagged" in due.knowledge and is_off <= 0
    total, of_all = Decimal(billed.total or 0), payment.applied_of_all(settings, billed)
    is_too_much = (
        is_off <= 0 and of_all["sure"] > total
    )  # of another payment, or not yet to be seen of this
    credit = matching.credit_of(there)
    at_most = Decimal(due.knowledge.get("at_most", credit))
    # QuickBooks took some off, and none of all that is off can be seen
    is_unseen = at_most > 0 and of_all["sure"] >= of_all["sent"] > 0
    if still_lags or is_too_much or is_unseen or payment.applied_to(billed, there) > total:
        return _once_lists_are_current(due, link)
    if is_off > min(credit, at_most) or _may_be_off_another(of_all, is_off, at_most):
        remote = replace(matching.remote_of(there), stale=link.stale)
        return Synced(remote, seen=dumps(there), applied="0.00")
    return replace(_as_it_is_there(due, link, there), applied="0.00")  # the invoice's answer had it


def _may_be_off_another(of_all: Mapping[str, Decimal], is_off: Decimal, at_most: Decimal) -> bool:
    """Whether QuickBooks may as well have taken it off another payment of the invoice: more is off
    all of them than it took, and it may be of either."""
    others = of_all["sent"] - of_all["sure"] - is_off
    return is_off + others > at_most and 0 < others <= at_most


def _once_lists_are_current(due: Due, link: Remote) -> Synced | Later:
    """No invoice is paid more than its total, by all of its payments together: the list is of
    before it was lowered. It is read again some times; a list that stays so is not believed."""
    lagged = due.knowledge.get("lagged", 0)
    if lagged == len(LISTS_LAG):
        return Synced(link)
    return Later(LISTS_LAG[lagged], {"lagged": lagged + 1, "unseen": True})


def _credit_step(
    due: Due, link: Remote, there: Json, links: Mapping[Record, Remote]
) -> Ask | Write | Synced:
    """Applies what is still credit to the payment's invoice, as far as it can be paid now. What the
    bookkeeper did with the rest stays."""
    links = payment.with_found_balance(due.payload, due.knowledge, links)
    billed = links[Record(RecordType.INVOICE, due.payload["invoice_id"])]
    is_gone = due.knowledge.get("invoice_found") == {}
    is_unsure = billed.balance is None or due.knowledge.get("balance_unsure")
    if is_unsure and not is_gone:
        return Ask(due, "look_up", Question("Id", billed.id, about="Invoice"))
    own = {"TxnId": billed.id, "TxnType": "Invoice"}
    others = [line for line in lines_there(there) if own not in line["LinkedTxn"]]
    mine = payment.applied_to(billed, there)
    sent = documents.parsed(due.known.sent_document)
    counted = mine  # of the payment as it was sent, and what was put on it since
    if sent:
        counted = payment.applied_to(billed, sent) + _put_on_unanswered(due, billed, mine)
    kept = Decimal(due.payload["amount"]) - Decimal(due.payload.get("refunded_amount", 0))
    applied = min(
        matching.credit_of(there),
        payment.open_balance(due.payload, billed),
        # what was on the invoice and is not now, the bookkeeper took off
        kept - counted,
    )
    if applied <= 0 or billed.voided or is_gone:
        if sent and mine > payment.applied_to(billed, sent):
            return _as_it_is_there(due, link, there)  # by an earlier try, whose answer was lost
        remote = replace(matching.remote_of(there), stale=link.stale)
        return Synced(remote, seen=dumps(there), applied="0.00")  # it takes no more than it did
    changes: Document = {
        "CustomerRef": there["CustomerRef"],
        "TotalAmt": Decimal(str(there["TotalAmt"])),
        "Line": [*others, {"Amount": mine + applied, "LinkedTxn": [own]}],
    }
    # with what the bookkeeper took off, which stays known so: the next raise puts back none of it
    stands = sent and {**sent, "Line": [*others, {"Amount": counted + applied, "LinkedTxn": [own]}]}
    return Write(due, "update", documents.sparse(matching.remote_of(there), changes), stands)


def _put_on_unanswered(due: Due, billed: Remote, mine: Decimal) -> Decimal:
    """What an earlier try put on the invoice, whose answer was lost."""
    before = documents.parsed(due.known.seen)
    if not due.known.doubts or before is None:
        return Decimal(0)
    return max(mine - payment.applied_to(billed, before), Decimal(0))


def _as_it_is_there(due: Due, link: Remote, there: Json) -> Synced:
    """The payment with the lines that it has in QuickBooks: what pays which invoice."""
    sent = documents.parsed(due.known.sent_document)
    stands = sent and {**sent, "Line": lines_there(there)}
    remote = replace(matching.remote_of(there), stale=link.stale)
    note = payment.CREDIT_THERE if matching.credit_of(there) > 0 else None
    if due.knowledge.get(APPLIES_CREDIT):
        note = note or payment.CREDIT_PAYS
    return Synced(remote, note, document=dumps(stands) if stands else None, seen=dumps(there))


def lines_there(there: Json) -> list[Document]:
    """The lines that a payment has in QuickBooks."""
    return [_payment_line(line) for line in there.get("Line", ())]


def _payment_line(line: Json) -> Document:
    """A line of a payment as it is written: what it pays, and how much of that."""
    linked = [{"TxnId": one["TxnId"], "TxnType": one["TxnType"]} for one in line["LinkedTxn"]]
    return {"Amount": Decimal(str(line["Amount"])), "LinkedTxn": linked}


def _changing_step(
    due: Due,
    link: Remote,
    there: Json | None,
    awakens: Document,
    links: Mapping[Record, Remote],
    settings: Json,
) -> Step:
    if due.record.type == RecordType.PAYMENT:
        if there is not None and _is_credit_of_a_void_invoice(due, there, links):
            return Synced(matching.remote_of(there), seen=dumps(there))
        if unsure := _balance_first(due, there, links):
            return unsure
        links = before_its_payment(due, there, links)
    document = kinds.document(due.record, due.payload, links, settings)
    # the invoice first: it may replace the customer
    if doubt := invoice_step(due, document) or doubt_step(due, document, links, settings):
        return doubt
    base = _acknowledged(due, links, settings)
    has_another = base is not None and base.get("CustomerRef") != document.get("CustomerRef")
    if has_another and (asked_first := payment_step(due, document, links)):
        return asked_first
    document, base = _as_sent_then(due, document, base)
    return _different_step(due, link, there, awakens, document, base)


def _different_step(
    due: Due,
    link: Remote,
    there: Json | None,
    awakens: Document,
    document: Document,
    base: Document | None,
) -> Step:
    """What differs between the document and what our changes start from is written, or a person is
    asked about it."""
    changes = _changes(due, document, there, base)
    theirs = edited.view_of(due, link, there)
    judged = None if due.knowledge.get("compares") else base
    if judged is not None and theirs is not None:
        changes = edited.with_their_note(changes, judged, theirs)
    if awakens and changes:
        # Only that first: its invoices can go on, even if the rest is refused or asked about.
        return Write(due, "update", documents.sparse(link, awakens), None)
    if judged is None and there and (other := edited.chosen_is_other(due, document, there)):
        return other
    asked = changes and judged and _asked_first(due, document, changes, judged, theirs)
    if asked:
        return asked
    return _changed(due, link, there, document, awakens | changes, base)


def _is_credit_of_a_void_invoice(due: Due, there: Json, links: Mapping[Record, Remote]) -> bool:
    """Whether it is there as it should be: whole, of an invoice that is void here and there."""
    billed = links.get(Record(RecordType.INVOICE, due.payload["invoice_id"]))
    is_whole = matching.number(there.get("TotalAmt")) == Decimal(due.payload["amount"])
    return bool(due.payload.get("invoice_is_void") and billed and billed.voided and is_whole)


def _changed(
    due: Due,
    link: Remote,
    there: Json | None,
    document: Document,
    changes: Document,
    base: Document | None,
) -> Step:
    """Writes the changes; nothing if there are none. What is there of an invoice that was only
    linked is read first."""
    stands = _standing(due, document, changes, base)
    if not changes:
        remote = matching.remote_of(there) if there else link
        return Synced(remote, document=dumps(stands), seen=dumps(there) if there else None)
    is_unknown = there is None and due.known.sent_document is None
    if is_unknown and due.record.type == RecordType.INVOICE:
        return steps.read_own(due, link)  # it was only linked: lines and tax there may be others
    if due.record.type == RecordType.PAYMENT:
        always = {key: document[key] for key in ("CustomerRef", "TotalAmt")}
        # The lines all or none: otherwise its links would be lost.
        changes = always | changes | {"Line": document["Line"]}
    return Write(due, "update", documents.sparse(link, changes), stands)


def _as_sent_then(
    due: Due, document: Document, base: Document | None
) -> tuple[Document, Document | None]:
    """Our document, and what our changes start from, with what was written once and is kept as it
    is in QuickBooks: an invoice's number and settings, a payment's mark."""
    match due.record.type:
        case RecordType.INVOICE:
            return _as_first_sent(due, document, base), base
        case RecordType.PAYMENT:
            return _as_marked_then(due, document), base and _as_marked_then(due, base)
        case _:
            return document, base


def _as_first_sent(due: Due, invoiced: Document, base: Document | None) -> Document:
    """An invoice with the number and the settings that it has in QuickBooks."""
    if invoiced.get("DocNumber") == GENERATED:
        invoiced = {key: value for key, value in invoiced.items() if key != "DocNumber"}
    if base is None:
        return invoiced
    return invoice.as_set_then(invoiced, due.payload, base, due.known.sent_values or {})


def _as_marked_then(due: Due, document: Document) -> Document:
    """A payment with its mark where it has it in QuickBooks."""
    sent = documents.parsed(due.known.sent_document)
    return payment.as_sent_then(document, sent)


def _asked_first(
    due: Due, document: Document, changes: Document, base: Document, theirs: Json | None
) -> Rejected | None:
    """What a person is asked before this is written."""
    asked = edited.edited_there(due, document, changes, base, theirs) if theirs else None
    asked = asked or declined.goes_along(due, document, changes, base)
    is_carried_out = bool(due.known.decision.get("activate"))
    return replace(asked, ends_decision=is_carried_out) if asked else None


def _balance_first(due: Due, there: Json | None, links: Mapping[Record, Remote]) -> Ask | None:
    """Reads the invoice of a payment that is there with less on its invoice than it could pay, when
    it is not known how much that can still be paid: what was recorded before this payment may have
    been taken back since, or never have arrived."""
    billed = links.get(Record(RecordType.INVOICE, due.payload["invoice_id"]))
    if there is None or billed is None or billed.voided:
        return None
    ask = Ask(due, "look_up", Question("Id", billed.id, about="Invoice"))
    if due.knowledge.get("balance_unsure"):
        return ask  # it was refused, perhaps because of that
    is_known = billed.balance is not None or due.knowledge.get("invoice_found") is not None
    if is_known or payment.applied_to(billed, there) >= Decimal(due.payload["amount"]):
        return None
    return ask


def before_its_payment(
    due: Due, there: Json | None, links: Mapping[Record, Remote]
) -> Mapping[Record, Remote]:
    """The links with what the payment's invoice could be paid if this payment were not applied yet.
    Where its balance is not known, that is what the payment takes now: it keeps that."""
    paid = Record(RecordType.INVOICE, due.payload["invoice_id"])
    billed = links.get(paid)
    there = there if there is not None else documents.parsed(due.known.sent_document)
    if billed is None or there is None:
        return links
    told = due.knowledge.get("invoice_found") or {}
    balance = Decimal(billed.balance or told.get("balance", 0))
    balance += payment.applied_to(billed, there)
    return {**links, paid: replace(billed, balance=str(balance))}


def _changes(due: Due, document: Document, there: Json | None, base: Document | None) -> Document:
    """What to write: changes here since the last acknowledged document, and possible differences.

    `there` is what QuickBooks has, if it was read. A record that was sent again (`compares`) is
    made equal to ours; otherwise a bookkeeper's changes are kept.
    """
    if base is None and there is None:
        return document
    changes: Document = {}
    if base is not None:
        changes = documents.changed(base, document)
        for doubt in due.known.doubts:  # an unanswered update may have arrived
            changes |= _perhaps_to_undo(due, documents.parsed(doubt.document) or base, document)
    # What was sent, with the settings of then: tax that was sent is cleared, whatever they are now.
    sent = documents.parsed(due.known.sent_document) or base or {}
    if there is None:
        return documents.completed(changes, document, sent, {})
    changes |= _differences(due, document, there, base)
    if not matching.differences(changes, there):
        before = base or {}
        changes = {
            key: value
            for key, value in changes.items()
            if matching.is_left(before.get(key), value, there.get(key))
        }
    return documents.completed(changes, document, sent, there)


def _perhaps_to_undo(due: Due, doubted: Document, document: Document) -> Document:
    """What differs from a document that may have arrived. What was declined is not in it: that
    alone is no difference."""
    changes = documents.changed(doubted, document)
    sent = documents.parsed(due.known.sent_document)
    if due.known.declined_values is None or sent is None:
        return changes
    written = documents.changed(sent, doubted)
    return {key: value for key, value in changes.items() if key in written}


def _differences(due: Due, document: Document, there: Json, base: Document | None) -> Document:
    """What is to be made equal to ours."""
    compares = due.knowledge.get("compares")
    if base is not None and not compares:
        return {}
    ignored = _NOT_OURS
    if base is None or base.get("DocNumber") == document.get("DocNumber"):
        ignored |= {"DocNumber"}  # unchanged here: QuickBooks may have assigned another one
    found = matching.differences(document, there, ignoring=ignored)
    return found | _tax_changes(document, there) if compares else found


def _tax_changes(document: Document, there: Json) -> Document:
    """Our tax, if QuickBooks has another. If QuickBooks computes it, it is not ours."""
    our_tax = document.get("TxnTaxDetail")
    if "TxnTaxDetail" not in there:
        return {}  # a company without sales tax keeps none
    if our_tax is not None:
        is_other = documents.total_tax(document) != documents.total_tax(there)
        return {"TxnTaxDetail": our_tax} if is_other else {}
    if documents.is_taxed(document) or documents.total_tax(there) == 0:
        return {}
    return {"TxnTaxDetail": documents.CLEARED["TxnTaxDetail"]}


def _acknowledged(due: Due, links: Mapping[Record, Remote], settings: Json) -> Document | None:
    """The document that our changes start from: as sent, or as declined."""
    sent = documents.parsed(due.known.sent_document)
    if due.known.declined_values is None and sent is not None:
        if sent.get("DocNumber") == GENERATED:
            # QuickBooks chose the number: what matters is whether ours has changed since.
            sent["DocNumber"] = invoice.number_of(due.known.sent_values or due.payload)
        return sent
    values = due.known.declined_values or due.known.sent_values
    if values is None:
        return None
    # What it needed at that time, but not now, doesn't matter.
    needed = (Record.stored(need["type"], need["id"]) for need in values["needs"])
    then = {**dict.fromkeys(needed, Remote("", "")), **links}
    try:
        return kinds.document(due.record, values, then, settings)
    except NotWritable:
        return None  # with today's settings it could not be written any more


def _standing(due: Due, document: Document, changes: Document, base: Document | None) -> Document:
    """Our document in QuickBooks after the changes: everything except what was declined."""
    sent = documents.parsed(due.known.sent_document)
    if due.known.declined_values is None or sent is None or base is None:
        return document
    return documents.merged(sent, changes)
