"""Composes the next request for some entries, or a verdict that needs none. Pure.

Each entry has a next step (`steps`): a question, a write, or a verdict. What it is depends on
whether QuickBooks has the record (`updating`) or not (`creating`), and whether it was voided here
(`voiding`) or entered there by a person (`by_hand`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from models.base import Json
from models.outbox import Operation
from models.sales import Record, RecordType
from outbox.company import (
    Composition,
    Declined,
    Due,
    Learned,
    Rejected,
    Remote,
    Synced,
    Waiting,
)
from quickbooks import matching, steps
from quickbooks.by_hand import changed_since_entered, entered_step
from quickbooks.creating import chosen_step, create_step
from quickbooks.documents import Missing, NotWritable
from quickbooks.drafts import meets, question_draft, records_changed, writing_draft
from quickbooks.faults import about_record, ours
from quickbooks.steps import Ask, Step, Write
from quickbooks.unanswered import look_for, unheard
from quickbooks.updating import update_step
from quickbooks.voiding import is_reversed, reversed_step, void_step

MAX_READS = 20  # per entry: the longest dialogue takes five; with more it would never end


def compose(
    entries: Sequence[Due],
    links: Mapping[Record, Remote],
    settings: Json,
    taken: frozenset[str] = frozenset(),
) -> Composition:
    """One request of one type: questions before writes, because their results decide the writes.

    `taken` holds the claims of requests under way. What meets one of them is left for later.
    """
    chosen = [(due, _next_step(due, links, settings)) for due in entries]
    verdicts = {due.entry_id: step for due, step in chosen if not isinstance(step, Ask | Write)}
    # What a verdict changes is composed again, from the links as they are then.
    learned = [records_changed(due) for due in entries if due.entry_id in verdicts]
    taken = taken.union(*learned)
    free = [step for _due, step in chosen if not meets(step, taken)]
    questions = [step for step in free if isinstance(step, Ask)]
    writes = [step for step in free if isinstance(step, Write)]
    draft = question_draft(questions) or writing_draft(writes)
    return Composition(draft, verdicts)


def _next_step(due: Due, links: Mapping[Record, Remote], settings: Json) -> Step:
    if due.knowledge.get("reads", 0) >= MAX_READS:
        # Sent again and again without an answer, and never found: that is not a mistake of ours.
        return Rejected(ours("unanswered" if due.known.doubts else "internal", due))
    skips = due.known.decision.get("skip")
    try:
        return _wanted_step(due, links, settings)
    except Missing as missing:
        return Declined() if skips else Waiting(missing.record)
    except NotWritable as refusal:
        return Declined() if skips else Rejected(about_record(refusal.fault, due))


def _wanted_step(due: Due, links: Mapping[Record, Remote], settings: Json) -> Step:
    """By what a person chose for the record, and by what was saved. Raises NotWritable or
    Missing."""
    decision, link = due.known.decision, links.get(due.record)
    saves = due.operation == Operation.SAVE or _is_wanted_after_all(due, link)
    if decision.get("anew") and saves and not _stands_there(due, link):
        link = None  # gone in QuickBooks, and a person wants it created again
    if _is_as_entered(due, link) and not decision.get("skip"):
        return entered_step(due, link, links, settings)
    if link is None and (chosen := _chosen_document(due)):
        return chosen_step(due, chosen)
    if decision.get("skip"):
        return _skip_step(due, link, links, settings)
    if saves:
        return _save_step(due, link, links, settings)
    return void_step(due, link, links, settings)


def _is_as_entered(due: Due, link: Remote | None) -> bool:
    """Whether a person entered it in QuickBooks, and nothing was changed here since."""
    is_entered = bool(due.known.decision.get("entered"))
    return is_entered and not (link and changed_since_entered(due))


def _stands_there(due: Due, link: Remote | None) -> bool:
    """Whether the document that seemed to be gone was found after all, as our counterpart."""
    if due.record.type in (RecordType.LEAD, RecordType.PRODUCT) or link is None:
        return False
    there = steps.found(due) if steps.has_seen(due, steps.own(link)) else None
    return there is not None and not matching.is_voided(due.payload, there)


def _chosen_document(due: Due) -> str | None:
    """The document that a person said is this one: linked first, then changed or voided."""
    is_document = due.record.type not in (RecordType.LEAD, RecordType.PRODUCT)
    return due.known.decision.get("use") if is_document else None


def _is_wanted_after_all(due: Due, link: Remote | None) -> bool:
    """Whether a lead deleted here is still needed, because its
    invoice needs a customer and a person chose one.

    Without a link the choice was made before it was deleted: nobody needs it.
    """
    chosen = any(due.known.decision.get(key) for key in ("use", "anew", "activate"))
    return due.record.type == RecordType.LEAD and link is not None and chosen


def _skip_step(
    due: Due, link: Remote | None, links: Mapping[Record, Remote], settings: Json
) -> Step:
    """A person skipped it while it was unknown whether it had arrived: looks it up, then skips it.
    If it did arrive as it is here, it counts as synced."""
    if link is None:
        answer = look_for(due, settings) or unheard(due, links, settings)
        return answer if isinstance(answer, Ask | Learned) else Declined()
    if steps.must_read(due, link):
        return steps.read_own(due, link)
    # as here, not only as here but for what is declined with it
    due = replace(due, known=replace(due.known, declined_values=None))
    if due.operation != Operation.SAVE:
        step = void_step(due, link, links, settings)
    elif is_reversed(due):
        step = reversed_step(due, link, links, settings)
    else:
        step = update_step(due, link, links, settings)
    return step if isinstance(step, Ask | Synced) else Declined()


def _save_step(
    due: Due, link: Remote | None, links: Mapping[Record, Remote], settings: Json
) -> Step:
    if is_reversed(due):
        return reversed_step(due, link, links, settings)
    chosen = due.known.decision.get("use")
    if chosen and (link is None or link.id != chosen):
        return chosen_step(due, str(chosen))
    if link is None:
        return create_step(due, links, settings)
    return update_step(due, link, links, settings)
