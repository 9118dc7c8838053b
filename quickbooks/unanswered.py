"""What unanswered creates of a record may have made: looked for by every mark. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from models.base import Json
from models.sales import Record, RecordType
from outbox.company import Doubt, Due, Learned, Rejected, Remote
from quickbooks import matching, steps
from quickbooks.documents import Document, Missing, NotWritable, parsed
from quickbooks.kinds import KINDS
from quickbooks.questions import NEWEST
from quickbooks.steps import Ask
from quickbooks.whose import document_perhaps_ours, perhaps_ours, taken_by_another

Create = tuple[Doubt, Document]


def look_for(due: Due, settings: Json) -> Ask | Learned | Rejected | None:
    """Looks for what unanswered creates of the record may have made: by each of their marks, then
    among what was created last, because people change names, numbers and dates there.

    Found: it is ours, and continues as a change of what that request created. Not found: the same
    request is sent again, if QuickBooks may still know its id; else the doubt ends. If one may be
    ours, but has no mark any more, a person is asked. None: nothing is in doubt.
    """
    creates = list(_creates(due))
    if not creates:
        return None
    is_lead = due.record.type == RecordType.LEAD
    return (
        _by_marks(due, creates, asks=is_lead)
        or (_by_newest(due, creates, settings) if due.record.type in _SOUGHT_LAST else None)
        or _not_found(due, creates)
    )


# An item may be shared: one that was renamed there is not missed.
_SOUGHT_LAST = frozenset(RecordType) - {RecordType.PRODUCT}


def _by_marks(
    due: Due, creates: Sequence[Create], *, asks: bool
) -> Ask | Learned | Rejected | None:
    absent = due.knowledge.get("absent", [])
    kind = KINDS[due.record.type]
    for doubt, document in creates:
        for question in kind.marks(document):
            there = steps.found(due) if steps.has_seen(due, question) else None
            if there and _made_by(due, document, there):
                return _recognized(due, there, doubt)
            if there and asks:
                return perhaps_ours(due, [there])
            if question.key not in absent and not there:
                return Ask(due, "look_up", question)
    return None


def _by_newest(
    due: Due, creates: Sequence[Create], settings: Json
) -> Ask | Learned | Rejected | None:
    """What it is found by may have been changed there: it is among the objects that were created
    last, and no other record has it."""
    if NEWEST.key not in due.knowledge.get("absent", []) and not steps.has_seen(due, NEWEST):
        return Ask(due, "look_up", NEWEST)
    taken = [id_ for type_, id_ in settings.get("taken", ()) if type_ == due.record.type]
    newest: Sequence[Json] = due.knowledge.get("newest", ())
    there = [one for one in newest if one["Id"] not in taken]
    for doubt, document in creates:
        made = [one for one in there if _made_by(due, document, one)]
        if len(made) == 1:
            return _recognized(due, made[0], doubt)
    if not there or due.known.decision.get("entered"):
        return None  # a person says that it is there: it is looked for as entered
    asks = perhaps_ours if due.record.type == RecordType.LEAD else document_perhaps_ours
    return asks(due, there)


def _recognized(due: Due, there: Json, doubt: Doubt) -> Learned:
    """What our request made. A customer may have been linked with another lead meanwhile."""
    found = steps.recognized(due, there, doubt.document)
    if due.record.type != RecordType.LEAD:
        return found
    taken = taken_by_another(due, str(there["Id"]), str(there.get("DisplayName", "")))
    return replace(found, if_taken=taken)


def _not_found(due: Due, creates: Sequence[Create]) -> Learned:
    again = next((doubt.request for doubt, _document in creates if doubt.is_repeatable), None)
    if any(due.known.decision.get(key) for key in ("not", "entered", "skip")):
        # Its answer may be about the one that a person rejected; or it is there; or was declined.
        again = None
    learned: Json = {"absent": []}
    if steps.has_seen(due, NEWEST):
        learned |= {"seen": None, "newest": []}
    return Learned(learned, ends_doubts=True, repeats=again)


def _creates(due: Due) -> Iterator[Create]:
    for doubt in due.known.doubts:
        if doubt.intent == "create" and (document := parsed(doubt.document)):
            yield doubt, document


def made_by(due: Due, there: Json) -> str | None:
    """The document of an unanswered create that may have made this object."""
    kind = KINDS[due.record.type]
    made = (
        doubt.document for doubt, document in _creates(due) if kind.perhaps_made(document, there)
    )
    return next(made, None)


def perhaps_made(due: Due, there: Json) -> bool:
    """Whether an unanswered create may have made this object, and no person said that it is another
    one."""
    return not steps.is_ruled_out(due, str(there["Id"])) and made_by(due, there) is not None


def has_made(due: Due, there: Json) -> bool:
    """Whether an unanswered create made this document: it has our mark."""
    is_marked = due.record.type not in (RecordType.LEAD, RecordType.PRODUCT)
    return is_marked and any(_made_by(due, document, there) for _doubt, document in _creates(due))


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
