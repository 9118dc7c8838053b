"""The next step of a record that QuickBooks does not have yet. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from languages import N_
from models.base import Json
from models.quickbooks import RefundsAre
from models.sales import Record, RecordType
from outbox.company import Due, Rejected, Remote, Synced
from quickbooks import documents, kinds, matching, steps
from quickbooks.documents import Document
from quickbooks.faults import ours, phrase
from quickbooks.inactive import balance_step, doubt_step, invoice_step, payment_step
from quickbooks.kinds import KINDS, invoice, item, payment
from quickbooks.kinds.refund import about_refund
from quickbooks.questions import Question
from quickbooks.steps import Ask, Step, Write
from quickbooks.unanswered import look_for, made_by
from quickbooks.whose import foreign, match_lead, name_taken, taken_by_another


def create_step(due: Due, links: Mapping[Record, Remote], settings: Json) -> Step:
    """Creates it, once it is certain that QuickBooks does not have it. Raises NotWritable or
    Missing."""
    if found_or_asked := look_for(due, settings):
        return found_or_asked
    sought = KINDS[due.record.type].find_by(due.payload, links, settings)
    if due.looks_first or steps.is_unseen(due):
        return Ask(due, "look_up", sought)
    is_there = steps.has_seen(due, sought) and steps.found(due)
    if _is_by_hand(due, settings) and not is_there:
        return Rejected(ours("refund_by_hand", due, about_refund(due.payload)))
    return _composed_step(due, sought, links, settings)


def _composed_step(
    due: Due, sought: Question, links: Mapping[Record, Remote], settings: Json
) -> Step:
    """Creates its document, unless it, or something it uses, was refused or is unsure."""
    if due.record.type == RecordType.INVOICE and str(due.knowledge.get("seen")).startswith("Cust"):
        # as the question was asked, whatever the setting for numbers is now
        sought = invoice.by_day(due.payload, links)
    if due.known.decision.get("unnumbered"):
        settings = {**settings, "numbers": "generated"}
    if due.record.type == RecordType.PAYMENT:
        links = payment.with_found_balance(due.payload, due.knowledge, links)
    document = kinds.document(due.record, due.payload, links, settings)
    return (
        payment_step(due, document, links)
        or invoice_step(due, document)  # first: it may replace the customer
        or doubt_step(due, document, links, settings)
        or _holder_step(due, document, sought)
        or _first_step(due, document, sought, links, settings)
    )


def _is_by_hand(due: Due, settings: Json) -> bool:
    """Whether it is a refund, and the owner lets a person enter those."""
    is_refund = due.record.type == RecordType.REFUND
    return is_refund and settings.get("refunds") != RefundsAre.RECEIPT


def _first_step(
    due: Due, document: Document, sought: Question, links: Mapping[Record, Remote], settings: Json
) -> Step:
    """Nothing was refused yet."""
    if steps.has_seen(due, sought) and (there := steps.found(due)):
        return _judge_found(due, document, there)
    is_first = due.record.type == RecordType.LEAD and not due.known.decision.get("anew")
    matched = match_lead(due, document, settings) if is_first else None
    is_payment = due.record.type == RecordType.PAYMENT
    unsure = balance_step(due, links, settings) if is_payment else None
    return matched or unsure or steps.create(due, document)


def _judge_found(due: Due, document: Document, there: Json) -> Step:
    """A document with our mark is ours. A customer has none: it must
    equal what we would have created."""
    match due.record.type:
        case RecordType.LEAD:
            is_same = KINDS[due.record.type].is_same(document, there)
            if is_same and not steps.is_ruled_out(due, str(there["Id"])):
                return _adopted(due, there)
            return name_taken(due, document, there)
        case RecordType.PRODUCT:
            return _judge_name_holder(due, document, there)
        case _:
            if due.known.decision.get("anew") and matching.is_voided(due.payload, there):
                return steps.create(due, document)  # that is the old one
            return steps.recognized(due, there)


# --- What has the name or number ----------------------------------------------------------------


def _holder_step(due: Due, document: Document, sought: Question) -> Step | None:
    """After "this name or number is taken": looks at what has it, and judges that."""
    refused = _refused(due, sought)
    if refused is None:
        return None
    question, judge = refused
    if not steps.has_seen(due, question):
        return Ask(due, "look_up", question)
    return judge(due, document, steps.found(due))


_Judging = Callable[[Due, Document, Json | None], Step]


def _refused(due: Due, sought: Question) -> tuple[Question, _Judging] | None:
    """How to find what has it, if the name or number was refused."""
    if holder := due.knowledge.get("name_holder"):
        return Question("Id", str(holder)), _judge_name_holder
    if due.knowledge.get("name_taken"):
        return sought, _judge_name_holder
    if holder := due.knowledge.get("number_holder"):
        return Question("Id", str(holder)), _judge_number_holder
    return None


def _judge_name_holder(due: Due, document: Document, there: Json | None) -> Step:
    if there is None:
        return name_taken(due, document, None)
    if due.record.type == RecordType.PRODUCT:
        is_sold = item.is_same(document, there)
        return _adopted(due, there) if is_sold else _item_name_taken(due, document, there)
    if matching.same_customer(document, there) and not steps.is_ruled_out(due, str(there["Id"])):
        return _adopted(due, there)
    return name_taken(due, document, there)


def _adopted(due: Due, there: Json) -> Step:
    if refused := foreign(due, there):
        return refused
    if there.get("Active") is False:
        return steps.inactive(due, there)
    taken = None
    if due.record.type == RecordType.LEAD:
        taken = taken_by_another(due, str(there["Id"]), str(there["DisplayName"]))
    return Synced(matching.remote_of(there), note=N_("was in QuickBooks already"), if_taken=taken)


def _item_name_taken(due: Due, document: Document, there: Json) -> Rejected:
    """Taken by a category or a bundle, which lines cannot use."""
    about = {
        "name": document["Name"],
        "holder": phrase(_NOT_SOLD.get(str(there.get("Type")), N_("another kind of item"))),
        "suggestion": f"{document['Name'][: item.NAME_LONGEST - 10]} (service)",
    }
    return Rejected(ours("6240", due, about))


_NOT_SOLD = {"Category": N_("a category"), "Group": N_("a bundle")}


def _judge_number_holder(due: Due, document: Document, there: Json | None) -> Step:
    if there and due.known.decision.get("anew") and matching.is_voided(due.payload, there):
        # The old one keeps its number; a person wants a new document with another one.
        return steps.create(due, {**document, "DocNumber": invoice.GENERATED})
    if there and due.payload["mark"] in str(there.get("PrivateNote", "")):
        return steps.recognized(due, there)  # perhaps an earlier version of it
    if there and matching.is_our_invoice(
        document, due.payload["total"], there, due.payload["mark"]
    ):
        return Synced(matching.remote_of(there), note=N_("was in QuickBooks already"))
    return Rejected(ours("6140", due, {"number": due.payload["number"]}))


# --- Chosen by a person -------------------------------------------------------------------------


def chosen_step(due: Due, remote_id: str) -> Step:
    """A person chose what it is there. Read once: it must still exist."""
    question = Question("Id", remote_id)
    # After an unanswered create it is looked for first until a person's choice ends that doubt.
    if not steps.has_seen(due, question) or (due.looks_first and not due.known.may_be_made):
        return Ask(due, "look_up", question)
    there = steps.found(due)
    is_document = due.record.type not in (RecordType.LEAD, RecordType.PRODUCT)
    if there is None:
        gone = KINDS[due.record.type].GONE if is_document else "customer_gone"
        return Rejected(ours(gone, due), ends_decision=True)
    remote = matching.remote_of(there)
    if refused := foreign(due, there):
        return replace(refused, ends_decision=True)
    made = made_by(due, there)
    if made or is_document:
        return steps.recognized(due, there, made)  # what was changed here since is still to be sent
    if there.get("Active") is not False:
        return Synced(remote, note=N_("chosen by a person"))
    if due.known.decision.get("activate"):
        body = documents.sparse(remote, steps.activation(due, there))
        return Write(due, "update", body, None)
    return replace(steps.inactive(due, there), ends_decision=True)
