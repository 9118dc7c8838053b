"""The next step of one entry, and what was learned for it so far. Pure.

`reading` only reports what an answer says; `composing` decides, where links and settings are
available. An entry's `knowledge` keeps the state between the two:

- `seen` names the question that `found` answers ("Id=55"); `unseen` means that one was not answered
- `name_holder`, `name_taken` and `number_holder` are what QuickBooks reported about a conflict
- `compares` means that a person wants it to be as it is here, whatever was changed in QuickBooks
- `stale` counts how often our version was refused; `alone` keeps an entry out of batches
- `reads` counts the questions that were answered
- `absent` lists the questions that found nothing, because doubts are looked up by each mark
- `by_hand` lists what a person may have entered in QuickBooks
- `balance_unsure` asks for what a payment's invoice can be paid, and `invoice_found` answers it;
  `amount_refused` means that it was asked again because QuickBooks refused the payment
- `not_linked` means that QuickBooks refused to put a payment on its invoice, and `invoice_there` is
  how that stands there
- `gone` means that QuickBooks does not accept our counterpart any more; `doubted` is the kind of
  thing in our document that may be inactive, and `inactive` is what was found

A person's choices (`use`, `anew`, `activate`, `unnumbered`, `entered`), what was sent and what is
in doubt are on the record's counterpart: `Due.known`.
"""

from dataclasses import dataclass

from languages import N_
from models.base import Json
from models.sales import RecordType
from outbox.company import Due, Learned, Outcome, Rejected, Remote
from quickbooks import matching
from quickbooks.documents import Document, dumps
from quickbooks.faults import ours
from quickbooks.kinds import KINDS
from quickbooks.kinds.customer import suggested_name
from quickbooks.questions import Question


@dataclass(frozen=True)
class Ask:
    """A question to QuickBooks, before anything is written."""

    due: Due
    intent: str  # read: our own counterpart; look_up: anything else
    question: Question

    @property
    def goes_alone(self) -> bool:
        """Whether it cannot share a query: the one without an answer
        may be why a query with several was refused."""
        return self.question.goes_alone or (is_unseen(self.due) and not self.due.looks_first)


@dataclass(frozen=True)
class Write:
    """A change to QuickBooks."""

    due: Due
    intent: str  # create | update | void
    body: Document
    document: Document | None  # all of it, as QuickBooks will have it

    @property
    def goes_alone(self) -> bool:
        """Whether it cannot be an item of a batch."""
        return self.intent == "void" or bool(self.due.knowledge.get("alone"))


Step = Ask | Write | Outcome


def create(due: Due, document: Document) -> Write:
    """Creates the record's counterpart."""
    return Write(due, "create", document, document)


def own(link: Remote) -> Question:
    """The question for our own counterpart."""
    return Question("Id", link.id)


def read_own(due: Due, link: Remote) -> Ask:
    """Reads our own counterpart."""
    return Ask(due, "read", own(link))


def has_seen(due: Due, question: Question) -> bool:
    """Whether this question was answered last."""
    return due.knowledge.get("seen") == question.key


def is_unseen(due: Due) -> bool:
    """Whether the last question was not answered."""
    return bool(due.knowledge.get("unseen"))


def found(due: Due) -> Json | None:
    """The object that the last question found."""
    there: Json | None = due.knowledge.get("found")
    return there


def is_ruled_out(due: Due, remote_id: str) -> bool:
    """Whether a person said that the record is not this one."""
    said = due.known.decision.get("not")
    return remote_id in said if isinstance(said, list) else remote_id == said


def must_read(due: Due, link: Remote) -> bool:
    """Whether to read our counterpart before writing. One that was not found has no version."""
    is_seen = has_seen(due, own(link))
    is_gone = is_seen and found(due) is None
    is_unsure = (link.stale and not is_gone) or (due.known.doubts and not is_seen)
    return due.looks_first or due.checks or is_unseen(due) or bool(is_unsure)


def recognized(due: Due, there: Json, document: str | None = None) -> Learned:
    """It is in QuickBooks: linked, and then compared with what it should be."""
    remote = matching.remote_of(there)
    knowledge: Json = {"seen": own(remote).key, "found": there}
    if due.record.type == RecordType.PAYMENT:
        knowledge["invoice_found"] = None  # its invoice was read before the payment was there
    return Learned(
        knowledge,
        remote,
        note=N_("found in QuickBooks"),
        document=document,
        seen=dumps(there),
        ends_doubts=True,
    )


def activation(due: Due, there: Json) -> Document:
    """Reactivates it under its old name."""
    key = KINDS[due.record.type].NAME or ""
    name = str(there.get(key, "")).removesuffix(matching.INACTIVE_SUFFIX)
    return {key: name, "Active": True}


def inactive(due: Due, there: Json) -> Rejected:
    """Its counterpart is inactive: a person decides."""
    about = {"holder_id": str(there["Id"])}
    if due.record.type == RecordType.LEAD:
        about["suggestion"] = suggested_name(due.payload)
    return Rejected(ours("customer_inactive", due, about))
