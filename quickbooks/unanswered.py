"""What unanswered creates of a record may have made: looked for by every mark. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from models.base import Json
from models.sales import Record, RecordType
from outbox.company import Doubt, Due, Learned, Rejected, Remote
from quickbooks import matching, steps
from quickbooks.documents import Document, Missing, NotWritable, parsed
from quickbooks.kinds import KINDS
from quickbooks.questions import NEWEST
from quickbooks.steps import Ask
from quickbooks.whose import perhaps_ours

Create = tuple[Doubt, Document]


def look_for(due: Due, settings: Json) -> Ask | Learned | Rejected | None:
    """Looks for what unanswered creates of the record may have made, by each of their marks.

    Found: it is ours, and continues as a change of what that request created. Not found by any
    mark: the same request is sent again, if QuickBooks may still know its id; else the doubt ends.
    A customer has no mark but its name, which people change: if one may be ours, a person is asked.
    None: nothing is in doubt.
    """
    creates = list(_creates(due))
    if not creates:
        return None
    is_lead = due.record.type == RecordType.LEAD
    return (
        _by_marks(due, creates, asks=is_lead)
        or (_by_newest(due, creates, settings) if is_lead else None)
        or _not_found(due, creates)
    )


def _by_marks(
    due: Due, creates: Sequence[Create], *, asks: bool
) -> Ask | Learned | Rejected | None:
    absent = due.knowledge.get("absent", [])
    kind = KINDS[due.record.type]
    for doubt, document in creates:
        for question in kind.marks(document):
            there = steps.found(due) if steps.has_seen(due, question) else None
            if there and _made_by(due, document, there):
                return steps.recognized(there, doubt.document)
            if there and asks:
                return perhaps_ours(due, [there])
            if question.key not in absent and not there:
                return Ask(due, "look_up", question)
    return None


def _by_newest(
    due: Due, creates: Sequence[Create], settings: Json
) -> Ask | Learned | Rejected | None:
    """Its name may have been changed there: it is among the customers that were created last, and
    no other lead has it."""
    if NEWEST.key not in due.knowledge.get("absent", []) and not steps.has_seen(due, NEWEST):
        return Ask(due, "look_up", NEWEST)
    taken = settings.get("customers_of_leads", ())
    newest: Sequence[Json] = due.knowledge.get("newest", ())
    there = [one for one in newest if one["Id"] not in taken]
    for doubt, document in creates:
        made = [one for one in there if _made_by(due, document, one)]
        if len(made) == 1:
            return steps.recognized(made[0], doubt.document)
    return perhaps_ours(due, there) if there else None


def _not_found(due: Due, creates: Sequence[Create]) -> Learned:
    again = next((doubt.request for doubt, _document in creates if doubt.is_repeatable), None)
    if due.known.decision.get("not"):
        again = None  # its answer may be about the customer that a person rejected
    learned: Json = {"absent": []}
    if steps.has_seen(due, NEWEST):
        learned |= {"seen": None, "newest": []}
    return Learned(learned, ends_doubts=True, repeats=again)


def _creates(due: Due) -> Iterator[Create]:
    for doubt in due.known.doubts:
        if doubt.intent == "create" and (document := parsed(doubt.document)):
            yield doubt, document


def made_by(due: Due, there: Json) -> str | None:
    """The document of an unanswered create that may have made this customer."""
    if due.record.type != RecordType.LEAD:
        return None
    made = (
        doubt.document
        for doubt, document in _creates(due)
        if matching.perhaps_made(document, there)
    )
    return next(made, None)


def perhaps_made(due: Due, there: Json) -> bool:
    """Whether an unanswered create may have made this customer, and no person said that it is
    another one."""
    return not steps.is_ruled_out(due, str(there["Id"])) and made_by(due, there) is not None


def _made_by(due: Due, document: Document, there: Json) -> bool:
    """Whether this create made it, and not an older one that a person wants to replace."""
    is_old = due.known.decision.get("anew") and matching.is_voided(due.payload, there)
    return KINDS[due.record.type].is_same(document, there) and not is_old


def unheard(due: Due, links: Mapping[Record, Remote], settings: Json) -> Ask | Json | None:
    """For a record without a link after an unanswered create: the question, then what it found."""
    if not (due.looks_first or steps.is_unseen(due)):
        return steps.found(due)
    try:
        question = KINDS[due.record.type].find_by(due.payload, links, settings)
    except (Missing, NotWritable):
        return None  # it could not have been created either
    return Ask(due, "look_up", question)
