"""The history of a record: each entry, and the requests that were sent for it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from models.outbox import Dispatch, DispatchItem, Entry
from models.sales import Record
from presenters.status import Word, words_of_entries
from web.access import firm, session

HISTORY = 20


@dataclass(frozen=True)
class Attempt:
    dispatch: Dispatch
    item: DispatchItem
    body: str | None  # the part of the request that was about this record


@dataclass(frozen=True)
class Chapter:
    """One entry of the record's history, and the requests it went out in."""

    entry: Entry
    word: Word
    attempts: Sequence[Attempt]


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
            .limit(HISTORY)
        )
    )
    return chapters_of(entries)


def chapters_of(entries: Sequence[Entry]) -> list[Chapter]:
    """Each entry with its word and its attempts, in two queries whatever their number."""
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
    """What a request said about one entry, laid out to be read; a batch says more than that."""
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
