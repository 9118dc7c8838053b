"""A person's decision about many entries at once, carried out in batches.

The decision is a row, so the person may leave the page. A crash costs only the current batch, which
is repeated. Each batch is its own transaction, so no lane is locked for long.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import Sessions
from models.accounts import AuditEvent
from models.outbox import BulkAct, Entry
from outbox import actions
from outbox.actions import Acted

ENTRIES_PER_BATCH = 200  # entries per transaction: some tens of milliseconds
MAX_ENTRIES = 50_000  # entries per decision

ACTS: dict[str, tuple[Callable[..., Acted], str]] = {
    "requeue": (partial(actions.requeue, overwrites=False), "outbox.requeued"),
    "skip": (actions.skip, "outbox.skipped"),
    "undo_skip": (actions.undo_skip, "outbox.skip_undone"),
}


def decide(session: Session, act: str, entries: Sequence[int], user_id: int, reason: str) -> int:
    """Stores the decision, which the engine carries out. Returns its id. The caller commits."""
    stored = BulkAct(act=act, entries=sorted(set(entries)), user_id=user_id, reason=reason)
    session.add(stored)
    session.flush()
    return stored.id


def requeue(
    session: Session, entries: Sequence[int], *, organization_id: int, user_id: int
) -> Acted:
    """Sends an organization's entries again: the first ones now, the others a part at a time.

    All of them count as done; what is refused of the others is in the record of the decision.
    """
    ids = sorted(set(entries))
    now, later = ids[:ENTRIES_PER_BATCH], ids[ENTRIES_PER_BATCH:]
    acted = actions.requeue(session, now, organization_id=organization_id, overwrites=False)
    if later:
        decide(session, "requeue", later, user_id, "")
    return Acted((*acted.done, *later), acted.refused)


def carry_out(sessions: Sessions) -> int:
    """Carries out all open decisions, oldest first; returns the number of entries processed."""
    judged = 0
    while count := _carry_out_piece(sessions):
        judged += count
    return judged


def _carry_out_piece(sessions: Sessions) -> int:
    with sessions.begin() as session:
        # Another process takes another decision, or none.
        bulk = session.scalar(
            select(BulkAct)
            .where(BulkAct.finished_at.is_(None))
            .order_by(BulkAct.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if bulk is None:
            return 0
        piece = bulk.entries[bulk.position : bulk.position + ENTRIES_PER_BATCH]
        position, total = bulk.position + len(piece), len(bulk.entries)
        act, word = ACTS[bulk.act]
        acted = act(session, piece, organization_id=None)
        _note(session, bulk, word, acted)
        bulk.position = position
        bulk.done += len(acted.done)
        bulk.refused = dict(Counter(bulk.refused) + Counter(acted.refused.values()))
        bulk.finished_at = datetime.now(UTC) if position == total else None
    return len(piece)


def _note(session: Session, bulk: BulkAct, word: str, acted: Acted) -> None:
    """Writes to each organization's audit log what was done to its records, and why."""
    for organization_id, entries in by_organization(session, acted.done).items():
        session.add(
            AuditEvent(
                organization_id=organization_id,
                user_id=bulk.user_id,
                action=word,
                reason=bulk.reason,
                details={"entries": entries},
            )
        )


def by_organization(session: Session, entries: Sequence[int]) -> dict[int, list[int]]:
    """These entries by organization."""
    grouped: dict[int, list[int]] = {}
    found = session.execute(
        select(Entry.organization_id, Entry.id).where(Entry.id.in_(entries)).order_by(Entry.id)
    )
    for organization_id, entry_id in found:
        grouped.setdefault(organization_id, []).append(entry_id)
    return grouped
