"""Deliver, first half: what goes out next is chosen, composed and stored before it is sent.

`next_dispatch` does it in one transaction, under the lane's row lock:

1. A dispatch whose answer never came goes first: byte for byte again, or, when it is old or was
   sent often, a look-up of what became of it.
2. Otherwise a wave is chosen: the newest free entry of each due record, with all it needs in
   place. Older free entries of those records are superseded. What must wait is told for what.
3. The company composes one request of the wave. Entries it settles without a request are settled
   here; the request is stored, and goes out after the commit.
"""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import structlog
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.base import Json
from models.outbox import Operation
from models.sales import RecordType
from models.snapshots import SNAPSHOTS
from outbox.company import (
    Company,
    Composition,
    Draft,
    Due,
    Fault,
    Item,
    Outcome,
    Record,
    Rejected,
    Remote,
    Sent,
    Waiting,
)
from outbox.lanes import FAIL_AFTER, Claim, Renewed, renew
from outbox.settle import settle_entries, settle_looked_up

LOOK = 120  # entries looked at for one wave: those that must wait make room for others
ROUNDS = 20  # such looks in one turn of a lane that find nothing to send
OLD = timedelta(minutes=10)  # past this QuickBooks may have forgotten a request id: look first
SENDS_BEFORE_LOOK_UP = 3

# Prerequisites of an invoice that may go along with it when nobody wrote an entry for them.
TAKEN_ALONG = frozenset({RecordType.LEAD, RecordType.PRODUCT})

log = structlog.get_logger()


@dataclass(frozen=True)
class _Candidate:
    due: Due
    needs: tuple[Record, ...]
    goes_alone: bool  # it was in a request that nobody answered and that did not arrive


@dataclass(frozen=True)
class Rest:
    """Nothing now, but the lane wants another turn after this long: its rate budget is spent (it
    is paused then), or it was looked through long enough without finding anything to send."""

    for_: timedelta


def next_dispatch(
    sessions: Sessions, claim: Claim, company: Company, config: Config
) -> Sent | Rest | None:
    """Stores the next request of this lane and renews the lease; None when there is none now.

    None also means: lease lost, or lane closed, held or paused.
    """
    for _ in range(ROUNDS):
        with sessions.begin() as session:
            lane = renew(session, claim, config.lease)
            if lane is None:
                return None
            if wait := company.limits.calls.wait(lane.next_call_at, lane.now):
                return _rest(session, claim, wait)
            if sent := _unanswered(session, claim, lane, company, config):
                return sent
            wave = _choose_wave(session, claim, lane, company.limits.wave)
            if wave is None:
                return None
            next_ = _compose_and_store(session, claim, lane, wave, company, config)
        if next_:
            return next_
        # All of the wave was settled or told to wait; there may be more behind it.
    return Rest(timedelta(0))


def _rest(session: Session, claim: Claim, wait: timedelta) -> Rest:
    session.execute(
        text(
            "UPDATE outbox_lanes SET pause_until = clock_timestamp() + :wait, pause_reason = 'pace'"
            " WHERE id = :lane"
        ),
        {"lane": claim.lane_id, "wait": wait},
    )
    return Rest(wait)


# --- 1. Dispatches without an answer ------------------------------------------------------------

_DUE_AGAIN = text(
    """
    SELECT dispatch.*, clock_timestamp() - dispatch.created_at AS age
    FROM outbox_dispatches AS dispatch
    WHERE dispatch.id = (
        SELECT item.dispatch_id
        FROM outbox_dispatch_items AS item
        JOIN outbox AS entry ON entry.id = item.entry_id
        WHERE item.lane_id = :lane AND item.outcome IS NULL
          AND entry.available_at <= now() AND entry.id > :line
        ORDER BY item.dispatch_id
        LIMIT 1
    )
    """
)

_OPEN_ITEMS = text(
    """
    SELECT item.position, item.intent, item.outcome, entry.*
    FROM outbox_dispatch_items AS item JOIN outbox AS entry ON entry.id = item.entry_id
    WHERE item.dispatch_id = :dispatch
    ORDER BY item.position
    """
)

_SEND_AGAIN = text(
    """
    UPDATE outbox_dispatches SET sends = sends + 1, sent_at = clock_timestamp()
    WHERE id = :dispatch
    """
)

_EXPECT_ANSWER = text(
    """
    UPDATE outbox
    SET available_at = clock_timestamp() + :after,
        first_attempt_at = coalesce(first_attempt_at, clock_timestamp())
    WHERE id = ANY(:entries)
    """
)


def _unanswered(
    session: Session, claim: Claim, lane: Renewed, company: Company, config: Config
) -> Sent | None:
    row = session.execute(_DUE_AGAIN, {"lane": claim.lane_id, "line": lane.line}).one_or_none()
    if row is None:
        return None
    items = session.execute(_OPEN_ITEMS, {"dispatch": row.id}).all()
    waiting = [item for item in items if item.outcome is None]
    entries = [item.id for item in waiting]
    _spend(session, claim, lane, company, is_batch=row.path == "batch")
    if row.sends >= SENDS_BEFORE_LOOK_UP or row.age >= OLD:
        return _look_up(session, claim, row, waiting, company, config)
    session.execute(_EXPECT_ANSWER, {"entries": entries, "after": config.resend_after})
    session.execute(_SEND_AGAIN, {"dispatch": row.id})
    log.info("dispatch sent again", dispatch=row.id, lane=claim.lane_id, sends=row.sends + 1)
    return Sent(
        id=row.id,
        lane_id=claim.lane_id,
        request_id=row.request_id,
        method=row.method,
        path=row.path,
        query=row.query,
        body=row.body,
        items=[Item(item.id, item.intent) for item in items],
        due={item.id: _due(item) for item in waiting},
        sends=row.sends + 1,
    )


def _look_up(
    session: Session,
    claim: Claim,
    dispatch: Row[Any],
    items: Sequence[Row[Any]],
    company: Company,
    config: Config,
) -> Sent | None:
    """Asks what became of a dispatch. A read: not stored, but its answer settles the items.

    Items that ask differently (by customer and day) stay due and are asked for one after another.
    """
    due = {item.id: _due(item, looks_first=True) for item in items}
    links = _links(
        session, claim.lane_id, {one.record for one in due.values()} | _needs(due.values())
    )
    settings = company.settings(session, claim.lane_id, list(due.values()))
    composition = _compose(company, list(due.values()), links, settings)
    # What needs no question, or cannot even be asked for: its own mapping is broken meanwhile.
    known = {
        entry_id: verdict
        for entry_id, verdict in composition.verdicts.items()
        if not isinstance(verdict, Waiting)
    }
    settle_looked_up(session, claim.lane_id, dispatch.id, known, due)
    draft = composition.draft
    if draft is None or draft.method != "GET":
        left = sorted(due.keys() - known.keys())
        session.execute(_EXPECT_ANSWER, {"entries": left, "after": config.resend_after})
        if left:
            log.error("no look-up for an unanswered dispatch", dispatch=dispatch.id)
        return None
    asked = [item.entry_id for item in draft.items]
    session.execute(_EXPECT_ANSWER, {"entries": asked, "after": config.resend_after})
    log.info("dispatch looked up", dispatch=dispatch.id, lane=claim.lane_id)
    return Sent(
        id=dispatch.id,
        lane_id=claim.lane_id,
        request_id="",
        method=draft.method,
        path=draft.path,
        query=urlencode(draft.query),
        body=draft.body,
        items=draft.items,
        due={entry_id: due[entry_id] for entry_id in asked},
        looks_up=True,
    )


# --- 2. The wave --------------------------------------------------------------------------------

_DUE = text(
    """
    SELECT entry.*,
           entry.created_at < clock_timestamp() - CAST(:old AS interval)
           OR 'unknown' = ANY(past.outcomes) AS may_be_there,
           'looked_up' = ANY(past.outcomes) AS goes_alone
    FROM outbox AS entry
    CROSS JOIN LATERAL (
        SELECT array_agg(item.outcome) AS outcomes FROM outbox_dispatch_items AS item
        WHERE item.entry_id = entry.id
    ) AS past
    WHERE entry.lane_id = :lane AND entry.state = 'pending' AND entry.waits_for_type IS NULL
      AND entry.available_at <= now()  -- now(), because an index cannot use clock_timestamp()
      AND entry.id + 0 > :line  -- + 0: the primary key would lead through every lane's rows
      AND NOT EXISTS (SELECT FROM outbox_dispatch_items AS item
                      WHERE item.entry_id = entry.id AND item.outcome IS NULL)
    ORDER BY entry.available_at
    LIMIT :look
    """
)

# All unsettled entries of some records: what precedes a due entry, and what it supersedes.
_OF_RECORDS = text(
    """
    SELECT entry.id, entry.aggregate_type, entry.aggregate_id, entry.state,
           entry.taken_along_for IS NOT NULL AS was_taken_along,
           entry.id <= :line AS is_behind_line,
           EXISTS (SELECT FROM outbox_dispatch_items AS item
                   WHERE item.entry_id = entry.id AND item.outcome IS NULL) AS is_out,
           entry.state = 'pending' AND (
               SELECT item.outcome FROM outbox_dispatch_items AS item
               WHERE item.entry_id = entry.id ORDER BY item.dispatch_id DESC LIMIT 1
           ) IN ('learned', 'looked_up', 'unanswered') AS is_in_dialogue
    FROM jsonb_to_recordset(CAST(:records AS jsonb)) AS record (type text, id bigint)
    JOIN outbox AS entry
      ON entry.aggregate_type = record.type AND entry.aggregate_id = record.id
    WHERE entry.lane_id = :lane AND entry.state IN ('pending', 'failed')
    ORDER BY entry.id
    """
)

_SUPERSEDE = text(
    """
    UPDATE outbox
    SET state = 'superseded', settled_at = clock_timestamp(),
        waits_for_type = NULL, waits_for_id = NULL
    WHERE id = ANY(:entries) AND state IN ('pending', 'failed')
    """
)

_SET_WAIT = text(
    """
    UPDATE outbox SET waits_for_type = wait.type, waits_for_id = wait.id
    FROM jsonb_to_recordset(CAST(:waits AS jsonb)) AS wait (entry_id bigint, type text, id bigint)
    WHERE outbox.id = wait.entry_id AND outbox.state = 'pending'
    """
)


def _choose_wave(
    session: Session, claim: Claim, lane: Renewed, size: int
) -> list[_Candidate] | None:
    """Entries of one kind that may go now, perhaps none of those looked at. None: nothing is due.

    Every entry looked at is chosen, superseded or told what it waits for, so that the next look
    finds others.
    """
    rows = session.execute(
        _DUE, {"lane": claim.lane_id, "line": lane.line, "look": LOOK, "old": OLD}
    ).all()
    if not rows:
        return None
    newest = _newest_of_each_record(session, claim, lane, rows)
    ready = _with_all_they_need(session, claim, newest)
    if not ready:
        return []
    first_kind = min((one.due.record.type for one in ready), key=lambda type_: type_.rank)
    wave = [one for one in ready if one.due.record.type == first_kind]
    together = [one for one in wave if not one.goes_alone]
    # A company that was down is probed with one entry, and a suspect is taken by itself.
    if not together or claim.takes_one or lane.consecutive_outages:
        return wave[:1]
    return together[:size]


def _newest_of_each_record(
    session: Session, claim: Claim, lane: Renewed, rows: Sequence[Row[Any]]
) -> list[_Candidate]:
    """The due entries that may go, one a record; older free ones of the record are superseded."""
    records = {Record(RecordType(row.aggregate_type), row.aggregate_id) for row in rows}
    unsettled: dict[Record, list[Row[Any]]] = {record: [] for record in records}
    for row in session.execute(
        _OF_RECORDS,
        {"lane": claim.lane_id, "line": lane.line, "records": _as_json(records)},
    ):
        unsettled[Record(RecordType(row.aggregate_type), row.aggregate_id)].append(row)

    first_payments = _first_payments(session, claim, unsettled)
    due = {row.id: row for row in rows}
    chosen: list[_Candidate] = []
    superseded: list[int] = []
    waits: dict[int, Record] = {}
    for record, entries in unsettled.items():
        mine = [entry.id for entry in entries if entry.id in due]
        if any(
            entry.is_out or (entry.is_behind_line and entry.state == "pending") for entry in entries
        ):
            # An earlier entry of the record is with QuickBooks, or behind the line.
            waits.update(dict.fromkeys(mine, record))
            continue
        if talking := next((entry for entry in entries if entry.is_in_dialogue), None):
            # What was learned for it (it did arrive, say, under the name it had) would be lost to
            # a newer one: it goes on until it is settled.
            waits.update({id_: record for id_ in mine if id_ != talking.id})
            if talking.id in due:
                chosen.append(_candidate(due[talking.id]))
            continue
        first_payment = first_payments.get(record, 0)
        earlier = [entry for entry in entries if entry.id < first_payment]
        if any(entry.state == "pending" for entry in earlier):
            # What was changed before the payment goes before it, and is not merged with what came
            # after: the payment was made for the total of then.
            later = [id_ for id_ in mine if id_ > first_payment]
            waits.update(dict.fromkeys(later, record))
            entries = earlier
        # A captured entry is truer than one taken along, whose snapshot was read without a lock.
        pending = [entry for entry in entries if entry.state == "pending"]
        last = max(pending, key=lambda entry: (not entry.was_taken_along, entry.id))
        superseded += [entry.id for entry in entries if entry.id != last.id]
        if last.id in due:
            chosen.append(_candidate(due[last.id]))
    if superseded:
        session.execute(_SUPERSEDE, {"entries": superseded})
    _set_waits(session, waits)
    return sorted(chosen, key=lambda one: one.due.entry_id)


_FIRST_PAYMENTS = text(
    """
    SELECT invoice.id AS invoice_id, min(entry.id) AS first
    FROM unnest(CAST(:invoices AS bigint[])) AS invoice (id)
    JOIN outbox_links AS link
      ON link.lane_id = :lane AND link.aggregate_type = 'invoice'
     AND link.aggregate_id = invoice.id
    JOIN payments AS payment ON payment.invoice_id = invoice.id
    JOIN outbox AS entry
      ON entry.aggregate_type = 'payment' AND entry.aggregate_id = payment.id
    WHERE entry.lane_id = :lane AND entry.state = 'pending'
    GROUP BY invoice.id
    """
)


def _first_payments(
    session: Session, claim: Claim, unsettled: Mapping[Record, Sequence[Row[Any]]]
) -> dict[Record, int]:
    """The first payment entry that waits, of each invoice with several changes on their way."""
    invoices = [
        record.id
        for record, entries in unsettled.items()
        if record.type == RecordType.INVOICE and len(entries) > 1
    ]
    if not invoices:
        return {}
    rows = session.execute(_FIRST_PAYMENTS, {"lane": claim.lane_id, "invoices": invoices})
    return {Record(RecordType.INVOICE, row.invoice_id): row.first for row in rows}


def _with_all_they_need(
    session: Session, claim: Claim, candidates: Sequence[_Candidate]
) -> list[_Candidate]:
    """Those whose prerequisites are there. The others wait by name; some take them along."""
    due = [one.due for one in candidates]
    links = _links(session, claim.lane_id, {one.record for one in due} | _needs(due))
    earlier = _earlier_of_other_records(session, claim, due)
    ready: list[_Candidate] = []
    waits: dict[int, Record] = {}
    for one in candidates:
        missing = [record for record in one.needs if record not in links]
        if one.due.operation == Operation.VOID:
            missing = []  # a void needs only its own record's counterpart
        for record in missing:
            if record.type in TAKEN_ALONG and one.due.record.type == RecordType.INVOICE:
                _take_along(session, claim, record, one)
        before = [*missing, *earlier.get(one.due.entry_id, ())]
        if before:  # the nearest one: a payment waits for its invoice, not for the customer
            waits[one.due.entry_id] = max(before, key=lambda record: record.type.rank)
        else:
            ready.append(one)
    _set_waits(session, waits)
    return ready


# Between an invoice and its payments the order of capture holds: an invoice's change goes after
# the payments captured before it, and a payment after the invoice's changes captured before it.
_EARLIER = text(
    """
    SELECT mine.id AS entry_id, 'payment' AS type, payment.id AS record_id
    FROM outbox AS mine
    JOIN payments AS payment ON payment.invoice_id = mine.aggregate_id
    JOIN outbox AS other ON other.aggregate_type = 'payment' AND other.aggregate_id = payment.id
    WHERE mine.id = ANY(:entries) AND mine.aggregate_type = 'invoice'
      AND other.lane_id = :lane AND other.state = 'pending' AND other.id < mine.id
      AND EXISTS (SELECT FROM outbox_links AS link
                  WHERE link.lane_id = :lane AND link.aggregate_type = 'invoice'
                    AND link.aggregate_id = mine.aggregate_id)
    UNION ALL
    SELECT mine.id, 'invoice', other.aggregate_id
    FROM outbox AS mine
    JOIN outbox AS other ON other.aggregate_type = 'invoice'
     AND other.aggregate_id = (mine.payload ->> 'invoice_id')::bigint
    WHERE mine.id = ANY(:entries) AND mine.aggregate_type = 'payment'
      AND other.lane_id = :lane AND other.state = 'pending' AND other.id < mine.id
    """
)


def _earlier_of_other_records(
    session: Session, claim: Claim, due: Sequence[Due]
) -> dict[int, list[Record]]:
    entries = [
        one.entry_id for one in due if one.record.type in (RecordType.INVOICE, RecordType.PAYMENT)
    ]
    earlier: dict[int, list[Record]] = {}
    if entries:
        for row in session.execute(_EARLIER, {"lane": claim.lane_id, "entries": entries}):
            earlier.setdefault(row.entry_id, []).append(Record(RecordType(row.type), row.record_id))
    return earlier


_TAKE_ALONG = {
    type_: text(
        f"""
        INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id,
                            operation, payload, taken_along_for)
        SELECT snapshot.organization_id, :lane, '{type_.value}', snapshot.id,
               'save', snapshot.payload, :reason
        FROM ({SNAPSHOTS[type_]} WHERE {type_.value}.id = :record) AS snapshot
        WHERE snapshot.organization_id = :organization
          AND NOT EXISTS (
            SELECT FROM outbox AS entry
            WHERE entry.lane_id = :lane AND entry.aggregate_type = '{type_.value}'
              AND entry.aggregate_id = :record
              AND entry.state IN ('pending', 'failed', 'skipped'))
        """  # noqa: S608  (only constants of ours are put together)
    )
    for type_ in TAKEN_ALONG
}


def _take_along(session: Session, claim: Claim, record: Record, needed_by: _Candidate) -> None:
    """Gives a prerequisite an entry of its own, unless it has one or a person skipped it."""
    session.execute(
        _TAKE_ALONG[record.type],
        {
            "lane": claim.lane_id,
            "organization": claim.organization_id,
            "record": record.id,
            "reason": f"{needed_by.due.record.type} {needed_by.due.payload['title']}",
        },
    )


def _set_waits(session: Session, waits: Mapping[int, Record]) -> None:
    if waits:
        rows = [
            {"entry_id": entry_id, "type": record.type, "id": record.id}
            for entry_id, record in waits.items()
        ]
        session.execute(_SET_WAIT, {"waits": json.dumps(rows)})


# --- 3. Compose and store -----------------------------------------------------------------------

_STORE = text(
    """
    INSERT INTO outbox_dispatches (organization_id, lane_id, request_id, method, path, query, body,
                                   sends, sent_at)
    VALUES (:organization, :lane, :request_id, :method, :path, :query, :body,
            1, clock_timestamp())
    RETURNING id
    """
)

_STORE_ITEMS = text(
    """
    INSERT INTO outbox_dispatch_items (dispatch_id, position, organization_id, lane_id, entry_id,
                                       intent)
    SELECT :dispatch, item.position, :organization, :lane, item.entry_id, item.intent
    FROM jsonb_to_recordset(CAST(:items AS jsonb))
      AS item (position int, entry_id bigint, intent text)
    """
)


def _compose_and_store(
    session: Session,
    claim: Claim,
    lane: Renewed,
    wave: Sequence[_Candidate],
    company: Company,
    config: Config,
) -> Sent | Rest | None:
    if not wave:
        return None
    due = _with_what_arrived_before(session, claim.lane_id, [one.due for one in wave])
    if claim.takes_one and not _is_named(session, claim, lane, due[0]):
        return None
    links = _links(session, claim.lane_id, {one.record for one in due} | _needs(due))
    settings = company.settings(session, claim.lane_id, due)
    composition = _compose(company, due, links, settings)
    settle_entries(session, claim.lane_id, composition.verdicts, {one.entry_id: one for one in due})
    if composition.draft is None:
        if not composition.verdicts:
            raise RuntimeError("The company neither composed nor settled anything of a wave.")
        return None
    if composition.draft.is_batch and (
        wait := company.limits.batches.wait(lane.next_batch_at, lane.now)
    ):
        return _rest(session, claim, wait)
    _spend(session, claim, lane, company, is_batch=composition.draft.is_batch)
    return _store(session, claim, composition.draft, due, config)


def _compose(
    company: Company, due: Sequence[Due], links: Mapping[Record, Remote], settings: Json
) -> Composition:
    """Composes; an exception in composing one entry is that entry's outcome, never the wave's."""
    try:
        return company.compose(due, links, settings)
    except Exception:
        if len(due) > 1:
            verdicts: dict[int, Outcome] = {}
            for one in due:
                composition = _compose(company, [one], links, settings)
                if composition.draft is None:
                    verdicts |= composition.verdicts
            if verdicts:
                return Composition(None, verdicts)
            raise
        log.exception("composing failed", entry=due[0].entry_id)
        return Composition(None, {due[0].entry_id: Rejected(Fault("internal"))})


def _store(
    session: Session, claim: Claim, draft: Draft, due: Sequence[Due], config: Config
) -> Sent:
    request_id = uuid.uuid4().hex  # random: a restored backup must not hand it out twice
    writes = draft.method != "GET"
    query = urlencode({**draft.query, "requestid": request_id} if writes else draft.query)
    dispatch_id = session.execute(
        _STORE,
        {
            "organization": claim.organization_id,
            "lane": claim.lane_id,
            "request_id": request_id,
            "method": draft.method,
            "path": draft.path,
            "query": query,
            "body": draft.body,
        },
    ).scalar_one()
    rows = [
        {"position": position, "entry_id": item.entry_id, "intent": item.intent}
        for position, item in enumerate(draft.items)
    ]
    session.execute(
        _STORE_ITEMS,
        {
            "dispatch": dispatch_id,
            "organization": claim.organization_id,
            "lane": claim.lane_id,
            "items": json.dumps(rows),
        },
    )
    entries = [item.entry_id for item in draft.items]
    session.execute(_EXPECT_ANSWER, {"entries": entries, "after": config.resend_after})
    return Sent(
        id=dispatch_id,
        lane_id=claim.lane_id,
        request_id=request_id,
        method=draft.method,
        path=draft.path,
        query=query,
        body=draft.body,
        items=draft.items,
        due={one.entry_id: one for one in due if one.entry_id in entries},
    )


def _is_named(session: Session, claim: Claim, lane: Renewed, due: Due) -> bool:
    """Whether a crash from here on would be put down to this entry; else names it, or gives it up.

    The name is committed before anything is done with the entry: what a crash rolls back is lost.
    """
    if lane.suspect_entry_id != due.entry_id:
        session.execute(
            text("UPDATE outbox_lanes SET suspect_entry_id = :entry WHERE id = :lane"),
            {"entry": due.entry_id, "lane": claim.lane_id},
        )
        return False
    if claim.suspect_entry_id == due.entry_id and claim.claims_unsettled >= FAIL_AFTER:
        log.error("entry given up: five claims of it ended in a crash", entry=due.entry_id)
        poison = Rejected(Fault("poison"))
        settle_entries(session, claim.lane_id, {due.entry_id: poison}, {due.entry_id: due})
        return False
    return True


def _spend(
    session: Session, claim: Claim, lane: Renewed, company: Company, *, is_batch: bool
) -> None:
    limits = company.limits
    session.execute(
        text(
            "UPDATE outbox_lanes SET next_call_at = :call, next_batch_at = :batch WHERE id = :lane"
        ),
        {
            "lane": claim.lane_id,
            "call": limits.calls.after_call(lane.next_call_at, lane.now),
            "batch": limits.batches.after_call(lane.next_batch_at, lane.now)
            if is_batch
            else lane.next_batch_at,
        },
    )


# --- Rows to values -----------------------------------------------------------------------------

_LINKS = text(
    """
    SELECT link.*
    FROM jsonb_to_recordset(CAST(:records AS jsonb)) AS record (type text, id bigint)
    JOIN outbox_links AS link
      ON link.lane_id = :lane
     AND link.aggregate_type = record.type AND link.aggregate_id = record.id
    """
)


def _links(session: Session, lane_id: int, records: Iterable[Record]) -> dict[Record, Remote]:
    rows = session.execute(_LINKS, {"lane": lane_id, "records": _as_json(records)})
    return {
        Record(RecordType(row.aggregate_type), row.aggregate_id): Remote(
            id=row.remote_id,
            version=row.remote_version,
            number=row.remote_number,
            total=row.remote_total,
            stale=row.stale,
            voided=row.voided_at is not None,
        )
        for row in rows
    }


def _due(row: Row[Any], *, looks_first: bool = False) -> Due:
    never_sent = row.first_attempt_at is None
    return Due(
        entry_id=row.id,
        record=Record(RecordType(row.aggregate_type), row.aggregate_id),
        operation=Operation(row.operation),
        payload=row.payload,
        checks=row.checks,
        looks_first=looks_first or (never_sent and getattr(row, "may_be_there", False)),
        knowledge=row.knowledge,
    )


_ARRIVED = text(
    """
    SELECT record.type, record.id, arrived.payload
    FROM jsonb_to_recordset(CAST(:records AS jsonb)) AS record (type text, id bigint)
    CROSS JOIN LATERAL (
        SELECT entry.payload FROM outbox AS entry
        WHERE entry.aggregate_type = record.type AND entry.aggregate_id = record.id
          AND entry.lane_id = :lane AND entry.state = 'synced' AND entry.operation = 'save'
        ORDER BY entry.id DESC
        LIMIT 1
    ) AS arrived
    """
)


def _with_what_arrived_before(session: Session, lane_id: int, due: Sequence[Due]) -> list[Due]:
    """Adds the snapshot that arrived last, so that an update writes only what changed here."""
    rows = session.execute(
        _ARRIVED, {"lane": lane_id, "records": _as_json(one.record for one in due)}
    )
    arrived = {Record(RecordType(row.type), row.id): row.payload for row in rows}
    return [replace(one, before=arrived.get(one.record)) for one in due]


def _candidate(row: Row[Any]) -> _Candidate:
    due = _due(row)
    return _Candidate(due, tuple(sorted(_needs([due]))), bool(row.goes_alone))


def _needs(due: Iterable[Due]) -> set[Record]:
    return {
        Record(RecordType(need["type"]), need["id"]) for one in due for need in one.payload["needs"]
    }


def _as_json(records: Iterable[Record]) -> str:
    return json.dumps([{"type": record.type, "id": record.id} for record in sorted(records)])
