"""Composes the next request for some entries, or a verdict that needs none. Pure.

`reading` only reports what an answer says; decisions are made here, where links and settings are
available. An entry's `knowledge` keeps the state between the two:

- `seen` names the question that `found` answers ("Id=55"); `unseen` means that one was not answered
- `name_holder`, `name_taken` and `number_holder` are what QuickBooks reported about a conflict
- `compares` asks to compare with QuickBooks, whatever we sent before
- `stale` counts how often our version was refused; `alone` keeps an entry out of batches
- `reads` counts the questions that were answered
- `absent` lists the questions that found nothing, because doubts are looked up by each mark
- `by_hand` lists what a person may have entered in QuickBooks
- `gone` means that QuickBooks does not accept our counterpart any more; `doubted` is the kind of
  thing in our document that may be inactive, and `inactive` is what was found

A person's choices (`use`, `anew`, `activate`, `unnumbered`, `entered`), what was sent and what is
in doubt are on the record's counterpart: `Due.known`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from urllib.parse import quote_plus

from languages import N_
from models.base import Json
from models.outbox import Operation
from models.quickbooks import RefundsAre, TakenBack
from models.sales import PaymentMethod, Record, RecordType
from outbox.company import (
    Composition,
    Declined,
    Draft,
    Due,
    Fault,
    Item,
    Later,
    Learned,
    Outcome,
    Rejected,
    Remote,
    Synced,
    Unneeded,
    Waiting,
)
from quickbooks import client, discount, documents, kinds, matching
from quickbooks.cleaning import clean_name
from quickbooks.documents import Document, Missing, NotWritable, dumps
from quickbooks.faults import about_record, ours, phrase
from quickbooks.kinds import ENTITY, customer, invoice, item, payment
from quickbooks.kinds.invoice import GENERATED
from quickbooks.questions import Question, next_doubted, of_amount, on_day, statement

BATCH = 30  # items, Intuit's limit
MAX_QUESTION_LENGTH = 6000  # characters of an encoded query; gateways cut URLs at about 8,000
_NAME_OF = {RecordType.LEAD: "DisplayName", RecordType.PRODUCT: "Name"}
# item types that a line can use, which excludes categories
_SALES_ITEMS = ("Service", "NonInventory", "Inventory")
MAX_READS = 20  # per entry: the longest dialogue takes five; with more it would never end
MAX_CHOICES = 20  # customers offered for a choice
# Until a lead is checked again if its company's customers were never read. Reading them makes it
# due (`directory.store`), so this is only a fallback: checking thousands of leads every minute is
# work.
DIRECTORY_COMES = timedelta(hours=1)
_MINOR = {"minorversion": client.MINOR_VERSION}


@dataclass(frozen=True)
class _Read:
    due: Due
    intent: str  # read: our own counterpart; look_up: anything else
    question: Question

    @property
    def goes_alone(self) -> bool:
        # A question without an answer may be why one with several was refused.
        return self.question.goes_alone or (_unseen(self.due) and not self.due.looks_first)


@dataclass(frozen=True)
class _Write:
    due: Due
    intent: str  # create | update | void
    body: Document
    document: Document | None  # all of it, as QuickBooks will have it

    @property
    def goes_alone(self) -> bool:
        return self.intent == "void" or bool(self.due.knowledge.get("alone"))


_Step = _Read | _Write | Outcome


def compose(
    entries: Sequence[Due],
    links: Mapping[Record, Remote],
    settings: Json,
    taken: frozenset[str] = frozenset(),
) -> Composition:
    """One request of one type: reads before writes, because their results decide the writes.

    `taken` holds the claims of requests under way. What meets one of them is left for later.
    """
    steps = [(due, _next_step(due, links, settings)) for due in entries]
    verdicts = {due.entry_id: step for due, step in steps if not isinstance(step, _Read | _Write)}
    # What a verdict changes is composed again, from the links as they are then.
    learned = [_records_changed(due) for due in entries if due.entry_id in verdicts]
    taken = taken.union(*learned)
    free = [step for _due, step in steps if not _meets(step, taken)]
    reads = [step for step in free if isinstance(step, _Read)]
    writes = [step for step in free if isinstance(step, _Write)]
    draft = _question_draft(reads) or _writing_draft(writes)
    return Composition(draft, verdicts)


def _next_step(due: Due, links: Mapping[Record, Remote], settings: Json) -> _Step:
    link = links.get(due.record)
    if due.knowledge.get("reads", 0) >= MAX_READS:
        return Rejected(ours("internal", due))
    skips = due.known.decision.get("skip")
    saves = due.operation == Operation.SAVE or _is_wanted_after_all(due, link)
    if due.known.decision.get("anew") and saves:
        link = None  # gone in QuickBooks, and a person wants it created again
    try:
        if skips:
            return _skip_step(due, link, links, settings)
        if not saves:
            return _void_step(due, link, links, settings)
        if due.known.decision.get("entered") and not (link and _changed_since_entered(due)):
            return _entered_step(due, link, links, settings)
        if _is_reversed(due):
            return _reversed_step(due, link, links, settings)
        chosen = due.known.decision.get("use")
        if chosen and (link is None or link.id != chosen):
            return _chosen_step(due, str(chosen))
        if link is None:
            return _create_step(due, links, settings)
        return _update_step(due, link, links, settings)
    except Missing as missing:
        return Declined() if skips else Waiting(missing.record)
    except NotWritable as refusal:
        return Declined() if skips else Rejected(about_record(refusal.fault, due))


def _is_wanted_after_all(due: Due, link: Remote | None) -> bool:
    """Whether a lead deleted here is still needed, because its
    invoice needs a customer and a person chose one.

    Without a link the choice was made before it was deleted: nobody needs it.
    """
    chosen = any(due.known.decision.get(key) for key in ("use", "anew", "activate"))
    return due.record.type == RecordType.LEAD and link is not None and chosen


def _skip_step(
    due: Due, link: Remote | None, links: Mapping[Record, Remote], settings: Json
) -> _Step:
    """A person skipped it while it was unknown whether it had arrived: looks it up, then skips it.
    If it did arrive as it is here, it counts as synced."""
    if link is None:
        unheard = _look_for(due) or _unheard(due, links, settings)
        return unheard if isinstance(unheard, _Read | Learned) else Declined()
    if _must_read(due, link):
        return _read_own(due, link)
    if due.operation == Operation.SAVE:
        of_kind = _reversed_step if _is_reversed(due) else _update_step
    else:
        of_kind = _void_step
    step = of_kind(due, link, links, settings)
    return step if isinstance(step, _Read | Synced) else Declined()


def _void_step(
    due: Due, link: Remote | None, links: Mapping[Record, Remote], settings: Json
) -> _Step:
    if due.record.type == RecordType.LEAD:
        # A customer stays in the books; what was never sent need not be.
        return Unneeded() if link is None else Synced(None, note=N_("kept in QuickBooks"))
    if link is None:
        if sought := _look_for(due):
            return sought
        return _unlinked_void_step(due, _unheard(due, links, settings))
    if link.voided and not due.checks:  # a bookkeeper may have undone it
        return Synced(link)
    if due.record.type == RecordType.REFUND and not (due.checks or _has_seen(due, _own(link))):
        return _receipt_stands(due)
    unsure = due.knowledge.get("gone") and not _has_seen(due, _own(link))
    if unsure or _must_read(due, link):
        return _read_own(due, link)
    if _has_seen(due, _own(link)):
        found = _found(due)
        if found is None:
            return Synced(replace(link, voided=True), note="was deleted in QuickBooks")
        if matching.is_voided(due.payload, found):
            return Synced(replace(matching.remote_of(found), voided=True))
    return _void(due, link)


def _void(due: Due, remote: Remote) -> _Write | Rejected:
    if due.record.type == RecordType.REFUND:
        return _receipt_stands(due)
    body: Document = {"Id": remote.id, "SyncToken": remote.version}
    if due.record.type == RecordType.PAYMENT:
        body["sparse"] = True  # it is an update with `include=void`: see `_voiding`
    return _Write(due, "void", body, None)


def _receipt_stands(due: Due) -> Rejected:
    """How a refund receipt is voided is not documented: a person does it."""
    return Rejected(ours("receipt_stands", due, _refund_of(due)))


def _refund_of(due: Due) -> Json:
    amount = f"${Decimal(due.payload['amount']):,.2f}"
    return {"amount": amount, "invoice": due.payload["invoice_number"]}


def _unlinked_void_step(due: Due, unheard: _Read | Json | None) -> _Step:
    match unheard:
        case _Read():
            return unheard
        case None:
            return Unneeded()
        case found:
            remote = matching.remote_of(found)
            if matching.is_voided(due.payload, found):
                return Synced(replace(remote, voided=True))
            return _void(due, remote)


def _is_reversed(due: Due) -> bool:
    """Whether this is a payment of which something was taken back."""
    return (
        due.record.type == RecordType.PAYMENT and Decimal(due.payload.get("refunded_amount", 0)) > 0
    )


def _reversed_step(
    due: Due, link: Remote | None, links: Mapping[Record, Remote], settings: Json
) -> _Step:
    """A payment that was taken back as a whole is voided there, where the owner chose so. A part of
    a payment cannot be voided: that stays with a person."""
    if settings.get("taken_back") == TakenBack.VOID and _is_whole(due):
        return _void_step(due, link, links, settings)
    if link is None and (sought := _look_for(due)):
        return sought
    refunded, amount = Decimal(due.payload["refunded_amount"]), Decimal(due.payload["amount"])
    unheard = None if link else _unheard(due, links, settings)
    if isinstance(unheard, _Read):
        return unheard
    is_there = link is not None or unheard is not None
    if not is_there and _is_whole(due):
        return Unneeded()  # created and deleted before it was sent
    about = {"refunded": f"${refunded:,.2f}", "amount": f"${amount:,.2f}"}
    return Rejected(ours("reversed" if is_there else "reversed_unsent", due, about))


def _is_whole(due: Due) -> bool:
    return Decimal(due.payload["refunded_amount"]) >= Decimal(due.payload["amount"])


def _unheard(due: Due, links: Mapping[Record, Remote], settings: Json) -> _Read | Json | None:
    """For a record without a link after an unanswered create: the question, then what it found."""
    if not (due.looks_first or _unseen(due)):
        return _found(due)
    try:
        return _Read(due, "look_up", _by_mark(due, links, settings))
    except (Missing, NotWritable):
        return None  # it could not have been created either


def _create_step(due: Due, links: Mapping[Record, Remote], settings: Json) -> _Step:
    if found_or_asked := _look_for(due):
        return found_or_asked
    sought = _by_mark(due, links, settings)
    if due.looks_first or _unseen(due):
        return _Read(due, "look_up", sought)
    if _is_by_hand(due, settings) and not (_has_seen(due, sought) and _found(due)):
        return Rejected(ours("refund_by_hand", due, _refund_of(due)))
    if due.record.type == RecordType.INVOICE and str(due.knowledge.get("seen")).startswith("Cust"):
        # as the question was asked, whatever the setting for numbers is now
        sought = _by_day(due, links)
    if due.known.decision.get("unnumbered"):
        settings = {**settings, "numbers": "generated"}
    document = kinds.document(due.record, due.payload, links, settings)
    if doubt := _doubt_step(due, document, links, settings) or _invoice_step(due, document):
        return doubt
    if holder := due.knowledge.get("name_holder"):
        question = Question("Id", str(holder))
        if not _has_seen(due, question):
            return _Read(due, "look_up", question)
        return _judge_name_holder(due, document, _found(due), settings)
    if due.knowledge.get("name_taken"):
        if not _has_seen(due, sought):
            return _Read(due, "look_up", sought)
        return _judge_name_holder(due, document, _found(due), settings)
    if holder := due.knowledge.get("number_holder"):
        question = Question("Id", str(holder))
        if not _has_seen(due, question):
            return _Read(due, "look_up", question)
        return _judge_number_holder(due, document, _found(due))
    if _has_seen(due, sought) and (found := _found(due)):
        return _judge_found(due, document, found, settings)
    is_first = due.record.type == RecordType.LEAD and not due.known.decision.get("anew")
    matched = _match(due, document, settings) if is_first else None
    is_payment = due.record.type == RecordType.PAYMENT
    unsure = _balance_step(due, links) if is_payment else None
    return matched or unsure or _create(due, document)


def _is_by_hand(due: Due, settings: Json) -> bool:
    """Whether it is a refund, and the owner lets a person enter those."""
    is_refund = due.record.type == RecordType.REFUND
    return is_refund and settings.get("refunds") != RefundsAre.RECEIPT


def _create(due: Due, document: Document) -> _Write:
    return _Write(due, "create", document, document)


# --- What may be there --------------------------------------------------------------------------


def _look_for(due: Due) -> _Step | None:
    """Looks for what unanswered creates of the record may have made, by each of their marks.

    Found: it is ours, and continues as a change of what that request created. Not found by any
    mark: the same request is sent again, if QuickBooks may still know its id; else the doubt ends.
    None: nothing is in doubt.
    """
    creates = [
        (doubt, document)
        for doubt in due.known.doubts
        if doubt.intent == "create" and (document := documents.parsed(doubt.document))
    ]
    absent = due.knowledge.get("absent", [])
    for doubt, document in creates:
        for question in _marks_of(due.record.type, document):
            found = _found(due) if _has_seen(due, question) else None
            if found and _is_what_we_made(due, document, found):
                return _ours(found, doubt.document)
            if question.key not in absent and not found:
                return _Read(due, "look_up", question)
    if not creates:
        return None
    again = next((doubt.request for doubt, _document in creates if doubt.is_repeatable), None)
    return Learned({"absent": []}, ends_doubts=True, repeats=again)


def _ours(found: Json, document: str | None = None) -> Learned:
    """It is in QuickBooks: linked, and then compared with what it should be."""
    remote = matching.remote_of(found)
    return Learned(
        {"seen": _own(remote).key},
        remote,
        note=N_("found in QuickBooks"),
        document=document,
        seen=dumps(found),
        ends_doubts=True,
    )


def _marks_of(type_: RecordType, document: Document) -> list[Question]:
    """Everything that a document of ours can be found by."""
    match type_:
        case RecordType.LEAD:
            return [Question("DisplayName", str(document["DisplayName"]))]
        case RecordType.PRODUCT:
            return [Question("Name", str(document["Name"]))]
        case RecordType.INVOICE:
            day = on_day(str(document["TxnDate"]))
            by_day = Question("CustomerRef", str(document["CustomerRef"]["value"]), day)
            number = document.get("DocNumber", GENERATED)
            if number == GENERATED:
                return [by_day]
            return [Question("DocNumber", str(number)), by_day]
        case RecordType.PAYMENT:
            return [Question("PaymentRefNum", str(document["PaymentRefNum"]))]
        case RecordType.REFUND:
            day = on_day(str(document["TxnDate"]))
            return [Question("CustomerRef", str(document["CustomerRef"]["value"]), day)]


def _is_what_we_made(due: Due, document: Document, found: Json) -> bool:
    """A document with our mark is ours; customers and items have
    none, and must equal what we created."""
    match due.record.type:
        case RecordType.LEAD:
            return matching.same_customer(document, found) or matching.is_our_customer(
                document, found
            )
        case RecordType.PRODUCT:
            return found.get("Type") in _SALES_ITEMS
        case _:
            return not (due.known.decision.get("anew") and matching.is_voided(due.payload, found))


def _chosen_step(due: Due, remote_id: str) -> _Step:
    """A person chose the customer or item. Read once: it must still exist."""
    question = Question("Id", remote_id)
    if due.looks_first or not _has_seen(due, question):
        return _Read(due, "look_up", question)
    found = _found(due)
    if found is None:
        return Rejected(ours("customer_gone", due), ends_decision=True)
    remote = matching.remote_of(found)
    if found.get("Active") is not False:
        return Synced(remote, note=N_("chosen by a person"))
    if due.known.decision.get("activate"):
        return _Write(due, "update", documents.sparse(remote, _activation(due, found)), None)
    return replace(_inactive(due, found), ends_decision=True)


# --- Entered there by hand ------------------------------------------------------------------------


def _entered_step(
    due: Due, link: Remote | None, links: Mapping[Record, Remote], settings: Json
) -> _Step:
    """A person entered it in QuickBooks: it is found and linked, and nothing is written.

    A counterpart that is still there is the one they changed. Else an invoice is looked for by its
    number, a payment (and an invoice that QuickBooks numbered) by customer and amount.
    """
    if link is None and (sought := _look_for(due)):
        return sought
    by_hand = _by_hand(due, links, settings)
    if not _has_seen(due, by_hand) or due.looks_first:
        if link is not None:
            if not _has_seen(due, _own(link)) or due.looks_first:
                return _read_own(due, link)
            found = _found(due)
            if found is not None and not matching.is_voided(due.payload, found):
                return _entered(found, _rendered(due, links, settings))
        return _Read(due, "look_up", by_hand)
    return _judge_by_hand(due, links, due.knowledge.get("by_hand") or [])


def _by_hand(due: Due, links: Mapping[Record, Remote], settings: Json) -> Question:
    if due.record.type == RecordType.INVOICE and invoice.carries_our_number(settings):
        return Question("DocNumber", invoice.number_of(due.payload))
    customer = documents.linked(links, RecordType.LEAD, due.payload["lead_id"])
    if due.record.type == RecordType.PAYMENT:
        documents.linked(links, RecordType.INVOICE, due.payload["invoice_id"])
    return Question("CustomerRef", customer, of_amount(_amount_of(due)))


def _amount_of(due: Due) -> str:
    return str(due.payload["total" if due.record.type == RecordType.INVOICE else "amount"])


def _rendered(due: Due, links: Mapping[Record, Remote], settings: Json) -> str | None:
    try:
        return dumps(kinds.document(due.record, due.payload, links, settings))
    except (Missing, NotWritable):
        return None


def _entered(found: Json, document: str | None = None) -> Synced:
    note = N_("entered in QuickBooks by a person")
    return Synced(matching.remote_of(found), note, document=document, seen=dumps(found))


def _judge_by_hand(due: Due, links: Mapping[Record, Remote], rows: Sequence[Json]) -> _Step:
    """Exactly one match is linked; otherwise a person sees what was found."""
    number = due.payload["number" if due.record.type == RecordType.INVOICE else "invoice_number"]
    about: Json = {"number": number, "amount": f"${Decimal(_amount_of(due)):,.2f}"}
    lead = links.get(Record(RecordType.LEAD, due.payload["lead_id"]))
    fitting = [row for row in rows if lead is None or _customer_of(row) == lead.id]
    if due.record.type == RecordType.PAYMENT:
        invoice = links[Record(RecordType.INVOICE, due.payload["invoice_id"])]
        fitting = [row for row in rows if invoice.id in _paid_invoices(row)]
        day = str(due.payload["received_on"])
        exact = [row for row in fitting if str(row.get("TxnDate")) == day]
    else:
        total = Decimal(_amount_of(due))
        exact = [row for row in fitting if matching.number(row.get("TotalAmt")) == total]
        fitting = exact if lead is None else fitting
    match fitting if len(fitting) == 1 else exact or fitting:
        case [one] if _changed_since_entered(due):
            remote = matching.remote_of(one)
            knowledge = {"seen": _own(remote).key, "found": one}
            return Learned(knowledge, remote, note=N_("found in QuickBooks"), seen=dumps(one))
        case [one]:
            return _entered(one)
        case []:
            if rows and due.record.type == RecordType.INVOICE:
                other = rows[0]
                about["holder"] = str((other.get("CustomerRef") or {}).get("name") or "")
                about["amount"] = f"${matching.number(other.get('TotalAmt')) or 0:,.2f}"
                return Rejected(ours("entered_for_another", due, about), ends_decision=True)
            code = f"not_entered_{due.record.type.value}"
            return Rejected(ours(code, due, about), ends_decision=True)
        case several:
            about["count"] = str(len(several))
            return Rejected(ours("entered_several", due, about), ends_decision=True)


def _changed_since_entered(due: Due) -> bool:
    """Whether it was changed here after a person entered it there: the change is still to be sent.
    What they entered is the entry that they decided about."""
    entered = due.known.decision["entered"]
    return entered is not True and due.entry_id > int(entered)


def _customer_of(row: Json) -> str:
    return str((row.get("CustomerRef") or {}).get("value") or "")


def _activation(due: Due, found: Json) -> Document:
    """Reactivates it under its old name."""
    key = _NAME_OF[due.record.type]
    name = str(found.get(key, "")).removesuffix(matching.INACTIVE_SUFFIX)
    return {key: name, "Active": True}


# --- Whom a lead may be -------------------------------------------------------------------------


def _match(due: Due, document: Document, settings: Json) -> _Step | None:
    """Matches a first send against the company's customers: by e-mail address, then by name.

    Exactly one match links. Several need a decision, and so does one that another lead has, or that
    agrees in one field and contradicts in another. None creates. Until the customers have been read
    the lead waits: late is better than twice.
    """
    known: list[Json] | None = settings.get("customers", [])
    if known is None:
        return Later(DIRECTORY_COMES)
    known = [one for one in known if one["id"] != due.known.decision.get("not")]
    emails = matching.emails_of(document)
    by_email = [one for one in known if emails & _emails(one)]
    by_name = [one for one in known if matching.same_name(one["name"], document["DisplayName"])]
    both = [one for one in by_email if one in by_name]
    found = both or [*by_email, *by_name]
    found = [one for one in found if one["active"]] or found
    if not found:
        return None
    if len(found) > 1:
        return _several(due, found)
    (one,) = found
    if one["lead_id"] is not None and one["lead_id"] != due.record.id:
        return _taken(due, document, one)
    if one not in by_email and _contradict(document, one):
        return _name_taken(due, document, _as_customer(one), settings)
    if one in by_email and _is_perhaps_another(document, one):
        return _perhaps(due, one)
    if not one["active"]:
        return _inactive(due, _as_customer(one))
    remote = Remote(one["id"], one["version"], stale=True)
    if one in by_email:
        return Synced(remote, note=N_("was in QuickBooks already, with the same e-mail address"))
    return Synced(remote, note=N_("was in QuickBooks already, with the same name"))


def _emails(one: Json) -> frozenset[str]:
    return frozenset(filter(None, one["email"].split(",")))


def _contradict(document: Document, one: Json) -> bool:
    """Same name, but nothing else agrees, and something contradicts."""
    emails, phone = matching.emails_of(document), matching.phone_of(document)
    if emails & _emails(one) or (phone and phone == one["phone"]):
        return False
    return bool((emails and one["email"]) or (phone and one["phone"]))


def _is_perhaps_another(document: Document, one: Json) -> bool:
    """Same e-mail address, as many clients of a property manager
    have, but another name or phone."""
    phone = matching.phone_of(document)
    if phone and phone == one["phone"]:
        return False  # two things agree
    ours = (document["DisplayName"], document.get("CompanyName", ""))
    has_other_name = not any(matching.names_agree(name, one["name"]) for name in ours)
    return has_other_name or bool(phone and one["phone"])


def _perhaps(due: Due, one: Json) -> Rejected:
    about = {
        "holder_id": one["id"],
        "holder_name": one["name"],
        "email": one["email"],
        "separate": "yes",
    }
    return Rejected(ours("perhaps_another", due, about))


def _as_customer(one: Json) -> Json:
    """A stored customer in QuickBooks' format."""
    return {
        "Id": one["id"],
        "DisplayName": one["name"],
        "PrimaryEmailAddr": {"Address": one["email"]},
        "PrimaryPhone": {"FreeFormNumber": one["phone"]},
    }


def _several(due: Due, found: Sequence[Json]) -> Rejected:
    named: list[object] = [
        f"{one['name']} ({one['email']})"
        if one["email"]
        else phrase(N_("{name} (no e-mail address)"), name=one["name"])
        for one in found[:3]
    ]
    more = len(found) - len(named)
    shown = [
        {key: one[key] for key in ("id", "name", "email", "phone")} for one in found[:MAX_CHOICES]
    ]
    holder = phrase(N_("{names} and {more} more"), names=named, more=more) if more else named
    about = {"holder": holder, "candidates": shown}
    return Rejected(ours("several_customers", due, about))


def _taken(due: Due, document: Document, one: Json) -> Rejected:
    about = {
        "holder_id": one["id"],
        "holder_name": f"“{one['name']}”",
        "other": phrase(N_("the lead “{name}”"), name=one["lead_name"]),
    }
    if matching.same_name(one["name"], document["DisplayName"]):
        about["suggestion"] = suggested_name(due.payload)
    else:
        about["separate"] = "yes"
    return Rejected(ours("taken_by_another_record", due, about))


def suggested_name(payload: Json) -> str:
    """Another name for the same lead, made distinct by a detail that a person would recognize."""
    name = customer.name_of(payload)
    phone = matching.phone_of({"PrimaryPhone": {"FreeFormNumber": payload["phone"]}})
    local = f"{phone[-7:-4]}-{phone[-4:]}" if len(phone) >= 7 else ""
    mark = local or clean_name(payload["city"], 40) or payload["email"].strip()[:60] or "2"
    return f"{name[: customer.NAME_LONGEST - len(mark) - 3]} - {mark}"


def _inactive(due: Due, found: Json) -> Rejected:
    about = {"holder_id": str(found["Id"])}
    if due.record.type == RecordType.LEAD:
        about["suggestion"] = suggested_name(due.payload)
    return Rejected(ours("customer_inactive", due, about))


# --- What of a document is inactive over there --------------------------------------------------


def _doubt_step(
    due: Due, document: Document, links: Mapping[Record, Remote], settings: Json
) -> _Step | None:
    """After "something you use is inactive": finds out what, and names it."""
    if inactive := due.knowledge.get("inactive"):
        return Rejected(_inactive_fault(due, inactive, links, settings))
    doubted = due.knowledge.get("doubted")
    if not doubted:
        return None
    while doubted != "nothing" and not _used(document, doubted):
        doubted = next_doubted(due.record.type, doubted)
    if doubted == "nothing":
        return Rejected(ours("2500", due, {"what": N_("customer, product or account")}))
    ids = _used(document, doubted)
    return _Read(due, "look_up", Question("Id", ids[0], about=doubted, others=tuple(ids[1:])))


_REFERENCES = {
    "Customer": ("CustomerRef",),
    "Account": ("DepositToAccountRef", "IncomeAccountRef"),
    "PaymentMethod": ("PaymentMethodRef",),
}


def _used(document: Document, kind: str) -> list[str]:
    """Ids of things of this kind that a document uses."""
    if keys := _REFERENCES.get(kind):
        used = [document[key]["value"] for key in keys if key in document]
        return [*used, *discount.accounts_of(document)] if kind == "Account" else used
    if kind == "Invoice":
        return _paid_invoices(document)
    details = [line.get("SalesItemLineDetail", {}) for line in document.get("Line", ())]
    return list(dict.fromkeys(d["ItemRef"]["value"] for d in details if "ItemRef" in d))


def _paid_invoices(document: Document) -> list[str]:
    lines = document.get("Line", ())
    return [linked["TxnId"] for line in lines for linked in line.get("LinkedTxn", ())]


def _invoice_step(due: Due, document: Document) -> _Step | None:
    """After "the invoice cannot take it": finds out why. For an invoice that was moved, the
    payment's customer is replaced by the invoice's."""
    there = due.knowledge.get("invoice_there")
    if there is None:
        return None
    about = {"invoice": due.payload["invoice_number"]}
    if not there:
        return Rejected(ours("its_invoice_gone", due, about))
    if Decimal(there["total"]) == 0:
        return Rejected(ours("invoice_voided", due, about))
    if Decimal(there["balance"]) == 0:
        return Rejected(ours("its_invoice_paid", due, about))
    if there["customer"] in ("", document["CustomerRef"]["value"]):
        return Rejected(ours("620", due))
    document["CustomerRef"] = {"value": there["customer"]}
    return None


def _balance_step(due: Due, links: Mapping[Record, Remote]) -> _Step | None:
    """Reads the invoice of a new payment when it is not known how much it can still be paid."""
    billed = links[Record(RecordType.INVOICE, due.payload["invoice_id"])]
    there = due.knowledge.get("invoice_found")
    about = {"invoice": due.payload["invoice_number"]}
    if there == {}:
        return Rejected(ours("its_invoice_gone", due, about))
    if billed.balance is None or due.knowledge.get("balance_unsure"):
        return _Read(due, "look_up", Question("Id", billed.id, about="Invoice"))
    is_paid_by_us = Decimal(due.payload["paid_before"]) >= Decimal(due.payload["invoice_total"])
    if there and Decimal(billed.balance) == 0 and not is_paid_by_us:
        return Rejected(ours("its_invoice_paid", due, about))
    return None


_CHOSEN_FOR = {
    "": N_("sales"),
    PaymentMethod.CARD: N_("card payments"),
    PaymentMethod.ACH: N_("ACH payments"),
    PaymentMethod.CHECK: N_("checks"),
    PaymentMethod.CASH: N_("cash"),
    "stripe": N_("payments through Stripe"),
}


def _inactive_fault(
    due: Due, inactive: Json, links: Mapping[Record, Remote], settings: Json
) -> Fault:
    remote_id, name = str(inactive["id"]), str(inactive["name"])
    if inactive["kind"] == "Customer":
        holder = name or due.payload.get("lead_name")
        about: Json = {"holder_id": remote_id, "holder_name": holder}
        return ours("its_customer_inactive", due, about)
    if inactive["kind"] in ("Account", "PaymentMethod"):
        chosen_for = _CHOSEN_FOR[due.payload.get("method") or due.payload.get("paid_by", "")]
        if due.record.type == RecordType.REFUND and inactive["kind"] == "Account":
            chosen_for = N_("refunds")
        if due.record.type == RecordType.INVOICE:
            chosen_for = N_("discounts")
        if remote_id == settings.get("stripe_account_id") and payment.came_by_stripe(due.payload):
            chosen_for = _CHOSEN_FOR["stripe"]
        code = "account_inactive" if inactive["kind"] == "Account" else "method_inactive"
        return ours(code, due, {"chosen": name or remote_id, "chosen_for": phrase(chosen_for)})
    fallback = settings.get("fallback_item_id") == remote_id
    lines, names = [], []
    product_id: int | None = None
    for number, line in enumerate(due.payload.get("lines", ()), start=1):
        record = Record(RecordType.PRODUCT, line["product_id"] or 0)
        link = links.get(record)
        if (link and link.id == remote_id) or (fallback and line["product_id"] is None):
            lines.append(str(number))
            product_id = product_id or line["product_id"]
            names.append(line.get("product_name"))
    called = name or next(filter(None, names), None) or phrase(N_("a deleted item"))
    about = {"item": called, "item_id": remote_id, "product_id": product_id}
    if due.record.type == RecordType.REFUND:
        return ours("fallback_item_inactive", due, about)
    about["lines"] = ", ".join(lines) or phrase(N_("with the tax"))
    return ours("item_inactive", due, about)


def _by_mark(due: Due, links: Mapping[Record, Remote], settings: Json) -> Question:
    """How to find what an unanswered create of ours made.

    Needs as little as possible: a record that cannot be composed any more may still have arrived.
    """
    match due.record.type:
        case RecordType.LEAD:
            return Question("DisplayName", customer.name_of(due.payload))
        case RecordType.PRODUCT:
            return Question("Name", item.name_of(due.payload))
        case RecordType.INVOICE if invoice.carries_our_number(settings):
            return Question("DocNumber", invoice.number_of(due.payload))
        case RecordType.INVOICE:
            return _by_day(due, links)
        case RecordType.PAYMENT:
            return Question("PaymentRefNum", payment.reference_of(due.payload))
        case RecordType.REFUND:
            return _by_day(due, links)


def _by_day(due: Due, links: Mapping[Record, Remote]) -> Question:
    """By what every form can be asked for; the mark is in its note."""
    customer = documents.linked(links, RecordType.LEAD, due.payload["lead_id"])
    day = due.payload["refunded_on" if due.record.type == RecordType.REFUND else "issued_on"]
    return Question("CustomerRef", customer, on_day(day))


def _judge_found(due: Due, document: Document, found: Json, settings: Json) -> _Step:
    """A document with our mark is ours. A customer has none: it must
    equal what we would have created."""
    if due.record.type == RecordType.PRODUCT:
        return _judge_name_holder(due, document, found, settings)
    if due.record.type != RecordType.LEAD:
        if due.known.decision.get("anew") and matching.is_voided(due.payload, found):
            return _create(due, document)  # that is the old one
        return _ours(found)
    is_same = matching.same_customer(document, found) or matching.is_our_customer(document, found)
    if is_same and not _is_ruled_out(due, found):
        return _adopted(due, found)
    return _name_taken(due, document, found, settings)


def _judge_name_holder(due: Due, document: Document, found: Json | None, settings: Json) -> _Step:
    if found is None:
        return _name_taken(due, document, None, settings)
    if due.record.type == RecordType.PRODUCT:
        if found.get("Type") not in _SALES_ITEMS:
            return _item_name_taken(due, document, found)
        return _adopted(due, found)
    if matching.same_customer(document, found) and not _is_ruled_out(due, found):
        return _adopted(due, found)
    return _name_taken(due, document, found, settings)


def _is_ruled_out(due: Due, found: Json) -> bool:
    """A person rejected this one."""
    return str(found["Id"]) == due.known.decision.get("not")


def _adopted(due: Due, found: Json) -> _Step:
    if found.get("Active") is False:
        return _inactive(due, found)
    return Synced(matching.remote_of(found), note=N_("was in QuickBooks already"))


def _name_taken(due: Due, document: Document, found: Json | None, settings: Json) -> Rejected:
    name = document[_NAME_OF[due.record.type]]
    if found is None:
        holder: Json = {"holder": phrase(N_("a vendor, an employee or another record"))}
    else:
        holder = {
            "holder": phrase(N_("another customer")),
            "holder_id": str(found["Id"]),
            "holder_name": str(found.get("DisplayName", name)),
        }
        if email := matching.email_of(found):
            holder["holder"] = phrase(N_("another customer ({email})"), email=email)
    if due.record.type == RecordType.LEAD:
        holder["suggestion"] = suggested_name(due.payload)
    return Rejected(ours("6240", due, {"name": name, **holder}))


def _item_name_taken(due: Due, document: Document, found: Json) -> Rejected:
    """Taken by a category or a bundle, which lines cannot use."""
    about = {
        "name": document["Name"],
        "holder": phrase(_NOT_SOLD.get(str(found.get("Type")), N_("another kind of item"))),
        "suggestion": f"{document['Name'][: item.NAME_LONGEST - 10]} (service)",
    }
    return Rejected(ours("6240", due, about))


_NOT_SOLD = {"Category": N_("a category"), "Group": N_("a bundle")}


def _judge_number_holder(due: Due, document: Document, found: Json | None) -> _Step:
    if found and due.known.decision.get("anew") and matching.is_voided(due.payload, found):
        # The old one keeps its number; a person wants a new document with another one.
        return _create(due, {**document, "DocNumber": GENERATED})
    if found and matching.is_our_invoice(
        document, due.payload["total"], found, due.payload["mark"]
    ):
        return Synced(matching.remote_of(found), note=N_("was in QuickBooks already"))
    return Rejected(ours("6140", due, {"number": due.payload["number"]}))


def _update_step(due: Due, link: Remote, links: Mapping[Record, Remote], settings: Json) -> _Step:
    if _must_read(due, link):
        return _read_own(due, link)
    found = _found(due) if _has_seen(due, _own(link)) else None
    if _has_seen(due, _own(link)) and found is None:
        return Rejected(ours(_GONE_CODE.get(due.record.type, "610"), due))
    if link.voided or (found is not None and matching.is_voided(due.payload, found)):
        return Rejected(ours("voided_there", due))
    activates = bool(due.known.decision.get("activate"))
    if found is None and (activates or due.knowledge.get("gone")):
        return _read_own(due, link)
    sleeps = found is not None and found.get("Active") is False
    if sleeps and not activates and due.record.type == RecordType.LEAD:
        return _inactive(due, found or {})
    awakens = _activation(due, found) if found and sleeps and activates else {}
    if due.record.type == RecordType.PRODUCT and not awakens:
        # An item only has to be linked: it may be shared, and prices are on the lines.
        return Synced(link)
    if due.record.type == RecordType.PRODUCT:
        return _Write(due, "update", documents.sparse(link, awakens), None)
    if due.record.type == RecordType.PAYMENT:
        links = _before_its_payment(due, found, links)
    document = kinds.document(due.record, due.payload, links, settings)
    if doubt := _doubt_step(due, document, links, settings) or _invoice_step(due, document):
        return doubt
    if document.get("DocNumber") == GENERATED:
        del document["DocNumber"]  # it has its number
    base = _acknowledged(due, links, settings)
    changes = awakens | _changes(due, document, found, base)
    stands = _standing(due, document, changes, base)
    if not changes:
        remote = matching.remote_of(found) if found else link
        return Synced(remote, document=dumps(stands), seen=dumps(found) if found else None)
    if due.record.type == RecordType.PAYMENT:
        changes = {
            "CustomerRef": document["CustomerRef"],
            "TotalAmt": document["TotalAmt"],
        } | changes
        changes["Line"] = document["Line"]  # all or none: otherwise its links would be lost
    return _Write(due, "update", documents.sparse(link, changes), stands)


def _before_its_payment(
    due: Due, found: Json | None, links: Mapping[Record, Remote]
) -> Mapping[Record, Remote]:
    """The links with what the payment's invoice could be paid if this
    payment were not applied yet."""
    invoice = Record(RecordType.INVOICE, due.payload["invoice_id"])
    billed = links.get(invoice)
    there = found if found is not None else documents.parsed(due.known.sent_document)
    if billed is None or billed.balance is None or there is None:
        return links
    own = sum(
        Decimal(str(line["Amount"]))
        for line in there.get("Line", ())
        for linked in line.get("LinkedTxn", ())
        if linked.get("TxnType") == "Invoice" and linked.get("TxnId") == billed.id
    )
    return {**links, invoice: replace(billed, balance=str(Decimal(billed.balance) + own))}


def _changes(due: Due, document: Document, found: Json | None, base: Document | None) -> Document:
    """What to write: changes here since the last acknowledged document, and possible differences.

    `found` is what QuickBooks has, if it was read. A record that was sent again (`compares`) is
    made equal to ours; otherwise a bookkeeper's changes are kept.
    """
    if base is None and found is None:
        return document
    changes: Document = {}
    if base is not None:
        changes = documents.changed(base, document)
        for doubt in due.known.doubts:  # an unanswered update may have arrived
            changes |= documents.changed(documents.parsed(doubt.document) or base, document)
    if found is not None and (base is None or due.knowledge.get("compares")):
        ignored = _NOT_OURS
        if base is None or base.get("DocNumber") == document.get("DocNumber"):
            ignored |= {"DocNumber"}  # unchanged here: QuickBooks may have assigned another one
        changes |= matching.differences(document, found, ignoring=ignored)
        if due.knowledge.get("compares"):
            changes |= _tax_changes(document, found)
    if found is not None and not matching.differences(changes, found):
        return {}
    return documents.completed(changes, document, base or {}, found or {})


def _tax_changes(document: Document, found: Json) -> Document:
    """Our tax, if QuickBooks has another. If QuickBooks computes it, it is not ours."""
    ours = document.get("TxnTaxDetail")
    if "TxnTaxDetail" not in found:
        return {}  # a company without sales tax keeps none
    if ours is not None:
        is_other = documents.total_tax(document) != documents.total_tax(found)
        return {"TxnTaxDetail": ours} if is_other else {}
    details = [line.get("SalesItemLineDetail", {}) for line in document.get("Line", ())]
    is_taxed = any(detail.get("TaxCodeRef", {}).get("value") == "TAX" for detail in details)
    if is_taxed or documents.total_tax(found) == 0:
        return {}
    return {"TxnTaxDetail": documents.CLEARED["TxnTaxDetail"]}


def _acknowledged(due: Due, links: Mapping[Record, Remote], settings: Json) -> Document | None:
    """The document that our changes start from: as sent, or as declined."""
    sent = documents.parsed(due.known.sent_document)
    if due.known.declined_values is None and sent is not None:
        if sent.get("DocNumber") == GENERATED and due.known.sent_values:
            # QuickBooks chose the number: what matters is whether ours has changed since.
            sent["DocNumber"] = invoice.number_of(due.known.sent_values)
        return sent
    values = due.known.declined_values or due.known.sent_values
    if values is None:
        return None
    # What it needed at that time, but not now, doesn't matter.
    needed = (Record(RecordType(need["type"]), need["id"]) for need in values["needs"])
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


# Written once and then left to QuickBooks: a bookkeeper may add to the note. Only the total tax is
# compared, and only when it is sent again (`_tax_changes`).
_NOT_OURS = frozenset({"PrivateNote", "TxnTaxDetail"})


_GONE_CODE = {RecordType.LEAD: "customer_gone", RecordType.INVOICE: "invoice_gone"}


def _must_read(due: Due, link: Remote) -> bool:
    """Whether to read our counterpart before writing. One that was not found has no version."""
    is_seen = _has_seen(due, _own(link))
    is_gone = is_seen and _found(due) is None
    is_unsure = (link.stale and not is_gone) or (due.known.doubts and not is_seen)
    return due.looks_first or due.checks or _unseen(due) or bool(is_unsure)


def _own(link: Remote) -> Question:
    return Question("Id", link.id)


def _read_own(due: Due, link: Remote) -> _Read:
    return _Read(due, "read", _own(link))


def _has_seen(due: Due, question: Question) -> bool:
    return due.knowledge.get("seen") == question.key


def _unseen(due: Due) -> bool:
    return bool(due.knowledge.get("unseen"))


def _found(due: Due) -> Json | None:
    found: Json | None = due.knowledge.get("found")
    return found


# --- Drafts -------------------------------------------------------------------------------------


def _question_draft(reads: Sequence[_Read]) -> Draft | None:
    """One query for all entries with the same kind of question: rows
    are billed, calls are counted."""
    if not reads:
        return None
    first = reads[0]
    alike = [first]
    for one in reads[1:BATCH]:
        same = (one.due.record.type, one.intent, one.question.name) == (
            first.due.record.type,
            first.intent,
            first.question.name,
        )
        if same and not (first.goes_alone or one.goes_alone):
            alike.append(one)
    while len(alike) > 1 and len(quote_plus(_asking(alike))) > MAX_QUESTION_LENGTH:
        alike.pop()
    return Draft(
        method="GET",
        path="query",
        query={"query": _asking(alike), **_MINOR},
        body=None,
        # What is read must not be changed meanwhile: the answer may be of before or after.
        items=[
            Item(one.due.entry_id, one.intent, claims=_records_changed(one.due)) for one in alike
        ],
    )


def _asking(reads: Sequence[_Read]) -> str:
    return statement(reads[0].due.record.type, [one.question for one in reads])


def _writing_draft(writes: Sequence[_Write]) -> Draft | None:
    if not writes:
        return None
    together = [writes[0]] if writes[0].goes_alone else list(_together(writes))
    items = [Item(one.due.entry_id, one.intent, _whole(one), _claims(one)) for one in together]
    if len(together) > 1:
        body = _batch_body(together)
        return Draft("POST", "batch", _MINOR, body, items, is_batch=True)
    one = together[0]
    path = ENTITY[one.due.record.type].lower()
    operation = _voiding(one.due.record.type) if one.intent == "void" else {}
    return Draft("POST", path, {**operation, **_MINOR}, dumps(one.body), items)


def _voiding(type_: RecordType) -> dict[str, str]:
    """A payment is voided by an update (Intuit's API reference, Payment), an invoice by an
    operation of its own."""
    if type_ == RecordType.PAYMENT:
        return {"operation": "update", "include": "void"}
    return {"operation": "void"}


def _whole(one: _Write) -> str | None:
    return None if one.document is None else dumps(one.document)


def _together(writes: Sequence[_Write]) -> Iterator[_Write]:
    """Writes that cannot interfere: one type, one intent, no name, number or invoice twice, because
    QuickBooks may process the items of a batch concurrently."""
    first = writes[0]
    taken: frozenset[str] = frozenset()
    count = 0
    for one in writes:
        alike = (one.due.record.type, one.intent) == (first.due.record.type, first.intent)
        claims = _claims(one)
        if alike and not one.goes_alone and count < BATCH and not claims & taken:
            taken |= claims
            count += 1
            yield one


def _claims(one: _Write) -> frozenset[str]:
    """What this write may change in the company's books, or must be the only one to use."""
    document = one.body
    before = (
        documents.parsed(one.due.known.sent_document) or {}
    )  # a name is free once it is changed
    claims = {
        f"{key} {str(each[key]).casefold()}"
        for key in ("DisplayName", "Name", "DocNumber")
        if key in document
        for each in (document, before)
        if each.get(key, GENERATED) != GENERATED
    }
    if one.due.record.type == RecordType.LEAD:
        claims |= {f"e-mail {email}" for email in matching.emails_of(document)}
    for line in document.get("Line", ()):
        claims |= {f"invoice there {linked['TxnId']}" for linked in line.get("LinkedTxn", ())}
    return _records_changed(one.due) | claims


def _records_changed(due: Due) -> frozenset[str]:
    """The entry's record; a payment also changes its invoice's balance and version."""
    records = {due.record}
    if due.record.type == RecordType.PAYMENT:
        records.add(Record(RecordType.INVOICE, due.payload["invoice_id"]))
    return frozenset(f"{record.type} {record.id}" for record in records)


def _meets(step: _Step, taken: frozenset[str]) -> bool:
    """Whether a request in progress changes what this step would change, name or rely on."""
    if not taken or not isinstance(step, _Read | _Write):
        return False
    claims = _claims(step) if isinstance(step, _Write) else _records_changed(step.due)
    needs = {f"{need['type']} {need['id']}" for need in step.due.payload.get("needs", ())}
    return bool(taken & (claims | needs))


def _batch_body(writes: Sequence[_Write]) -> str:
    return dumps(
        {
            "BatchItemRequest": [
                {
                    "bId": str(position),
                    "operation": one.intent,
                    ENTITY[one.due.record.type]: one.body,
                }
                for position, one in enumerate(writes)
            ]
        }
    )
