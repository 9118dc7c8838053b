"""The history of a record: its entries, and the requests sent for them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from models.outbox import Dispatch, DispatchItem, Entry, Operation
from models.sales import Record, RecordType
from presenters.names import needed_by
from presenters.status import Word, words_of_entries
from web.access import firm, session
from web.formats import moment
from web.languages import _, ngettext

MAX_ENTRIES_SHOWN = 20


@dataclass(frozen=True)
class Attempt:
    dispatch: Dispatch
    item: DispatchItem
    body: str | None  # the part of the request about this record

    @property
    def words(self) -> Sequence[str | Markup]:
        """When it was sent, and whether it was answered."""
        dispatch = self.dispatch
        if dispatch.sent_at is None:
            return [_("Not sent yet")]
        sent = ngettext("Sent %(time)s", "Sent %(time)s, %(num)s times", dispatch.sends, time="%s")
        answered = _("answered %(time)s", time="%s") if dispatch.answered_at else None
        return [
            escape(sent) % moment(dispatch.sent_at),
            escape(answered) % moment(dispatch.answered_at) if answered else _("no answer yet"),
        ]


@dataclass(frozen=True)
class Chapter:
    """One entry of the record's history, with its requests."""

    entry: Entry
    word: Word
    attempts: Sequence[Attempt]

    @property
    def words(self) -> Sequence[str | Markup]:
        """When it was saved, and why, if nobody saved it."""
        entry, needed_by_ = self.entry, self.entry.taken_along_for
        if entry.operation == Operation.SAVE:
            saved = _("Saved here %(time)s", time="%s")
        elif entry.record_type == RecordType.INVOICE:
            saved = _("Voided here %(time)s", time="%s")
        else:
            saved = _("Deleted here %(time)s", time="%s")
        needed = [_("needed by %(record)s", record=needed_by(needed_by_))] if needed_by_ else []
        return [escape(saved) % moment(entry.created_at), *needed]


def history_of(record: Record) -> list[Chapter]:
    entries = list(
        session().scalars(
            select(Entry)
            .where(
                Entry.organization_id == firm().id,
                Entry.record == record,
            )
            .options(joinedload(Entry.lane))
            .order_by(Entry.id.desc())
            .limit(MAX_ENTRIES_SHOWN)
        )
    )
    return chapters_of(entries)


def chapters_of(entries: Sequence[Entry]) -> list[Chapter]:
    """Entries with their status word and requests, in two queries."""
    words = words_of_entries(session(), entries)
    attempts: dict[int, list[Attempt]] = {entry.id: [] for entry in entries}
    items = session().scalars(
        select(DispatchItem)
        .where(DispatchItem.entry_id.in_(attempts))
        .options(joinedload(DispatchItem.dispatch))
        .order_by(DispatchItem.dispatch_id.desc())
    )
    for item in items:
        attempts[item.entry_id].append(Attempt(item.dispatch, item, sent_part(item)))
    return [Chapter(entry, words[entry.id], attempts[entry.id]) for entry in entries]


def sent_part(item: DispatchItem) -> str | None:
    """The part of a request body about one entry, pretty-printed. A batch holds several."""
    if not item.dispatch.body:
        return None
    try:
        document = json.loads(item.dispatch.body)
    except ValueError:
        return item.dispatch.body
    parts = document.get("BatchItemRequest") if isinstance(document, dict) else None
    if isinstance(parts, list):
        document = next((p for p in parts if p.get("bId") == str(item.position)), document)
    return laid_out(document)


def laid_out(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)
