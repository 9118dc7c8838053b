"""What unanswered creates of a record may have made: looked for by every mark. Pure."""

from collections.abc import Iterator, Mapping

from models.base import Json
from models.sales import Record
from outbox.company import Doubt, Due, Learned, Remote
from quickbooks import matching, steps
from quickbooks.documents import Document, Missing, NotWritable, parsed
from quickbooks.kinds import KINDS
from quickbooks.steps import Ask


def look_for(due: Due) -> Ask | Learned | None:
    """Looks for what unanswered creates of the record may have made, by each of their marks.

    Found: it is ours, and continues as a change of what that request created. Not found by any
    mark: the same request is sent again, if QuickBooks may still know its id; else the doubt ends.
    None: nothing is in doubt.
    """
    creates = list(_creates(due))
    absent = due.knowledge.get("absent", [])
    kind = KINDS[due.record.type]
    for doubt, document in creates:
        for question in kind.marks(document):
            there = steps.found(due) if steps.has_seen(due, question) else None
            if there and _made_by(due, document, there):
                return steps.recognized(there, doubt.document)
            if question.key not in absent and not there:
                return Ask(due, "look_up", question)
    if not creates:
        return None
    again = next((doubt.request for doubt, _document in creates if doubt.is_repeatable), None)
    return Learned({"absent": []}, ends_doubts=True, repeats=again)


def _creates(due: Due) -> Iterator[tuple[Doubt, Document]]:
    for doubt in due.known.doubts:
        if doubt.intent == "create" and (document := parsed(doubt.document)):
            yield doubt, document


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
