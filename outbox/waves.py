"""Waves: which entries of a lane may be sent together now.

A wave has one record type, one entry per record, and all they need is in place. Every entry
examined is chosen, superseded by a newer one, or marked with what it waits for, so that the next
query finds others. The caller holds the lane's row lock.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import structlog
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models.outbox import IS_OWN_CHECK, Entry, Operation
from models.sales import Record, RecordType
from models.snapshots import FOLLOWS, SNAPSHOTS
from outbox import servers
from outbox.capture import note_first_entries
from outbox.company import Due, Fault, Rejected, Remote, Unneeded
from outbox.counterparts import (
    COUNTERPARTS_OF,
    REQUEST_ID_TRUSTED_FOR,
    Counterparts,
    counterparts_in,
    needs_of,
)
from outbox.lanes import FAIL_AFTER, SOLO_AFTER, Claim, Renewed
from outbox.settle import settle_entries
from prepared import prepared

# Entries examined for one wave: a few more than it holds, and many more if many of those must wait
# or are of another type.
ENTRIES_EXAMINED = (40, 120)

# Prerequisites that may be sent along although no entry was written for them: with an invoice, but
# not with what only follows one.
TAKEN_ALONG = frozenset({RecordType.LEAD, RecordType.PRODUCT})

log = structlog.get_logger()


@dataclass(frozen=True)
class _Candidate:
    due: Due
    needs: tuple[Record, ...]
    never_sent: bool
    goes_alone: bool  # it was in a request that got no answer and did not arrive
    waits_since: datetime


# The limit is part of the statement: a plan for any limit would be one for many entries.
_DUE = """
    SELECT entry.*,
           entry.created_at < clock_timestamp() - CAST(:old AS interval) AS may_be_there,
           'looked_up' = ANY(past.outcomes) AS goes_alone,
           -- Nothing that this database server saw says what became of it (outbox/servers.py).
           entry.id <= server.last_entry_id
           AND coalesce(past.last_dispatch, 0) <= server.last_dispatch_id AS is_doubted,
           server.is_another, server.has_changed, server.is_settling
    FROM (SELECT last_entry_id, last_dispatch_id, server <> current_server() AS is_another,
                 changed_at IS NOT NULL AS has_changed,
                 coalesce(changed_at > clock_timestamp() - CAST(:resend_after AS interval),
                          false) AS is_settling
          FROM database_server) AS server,
         outbox AS entry
    CROSS JOIN LATERAL (
        SELECT array_agg(item.outcome) AS outcomes, max(item.dispatch_id) AS last_dispatch
        FROM outbox_dispatch_items AS item
        WHERE item.entry_id = entry.id
    ) AS past
    WHERE entry.lane_id = :lane AND entry.state = 'pending' AND entry.waits_for_type IS NULL
      AND NOT entry.withheld
      AND entry.available_at <= now()  -- now(), because an index cannot use clock_timestamp()
      AND NOT EXISTS (SELECT FROM outbox_dispatch_items AS item
                      WHERE item.entry_id = entry.id AND item.outcome IS NULL)
    ORDER BY entry.available_at
    LIMIT {look}
"""

_AWAIT_FORMER = text(
    """
    UPDATE outbox_lanes
    SET pause_until = server.changed_at + :resend_after, pause_reason = 'takeover'
    FROM database_server AS server
    WHERE outbox_lanes.id = :lane
    """
)

# All unsettled entries of some records: what precedes a due entry, and what it supersedes. ¶ Here
# and below, LATERAL … OFFSET 0 goes from record to record, and + 0 and || '' avoid the indexes by
# lane and by state. Otherwise the planner, whose statistics are always outdated for a queue, may
# read everything that ever waited or arrived in the lane.
_UNSETTLED = f"""
    SELECT entry.*, coalesce(past.outcomes[1] = 'open', false) AS is_out,
           entry.state = 'pending'
           AND past.outcomes[1] IN ('learned', 'looked_up', 'unanswered') AS is_in_dialogue
    FROM record
    CROSS JOIN LATERAL (
        SELECT entry.id, entry.aggregate_type, entry.aggregate_id, entry.state,
               entry.taken_along_for IS NOT NULL AS was_taken_along,
               entry.withheld,
               entry.payload ->> 'refunded_amount' = entry.payload ->> 'amount' AS takes_back,
               entry.{IS_OWN_CHECK} AS is_own_check
        FROM outbox AS entry
        WHERE entry.aggregate_type = record.type AND entry.aggregate_id = record.id
          AND entry.lane_id + 0 = :lane AND entry.state || '' IN ('pending', 'failed')
        OFFSET 0
    ) AS entry
    CROSS JOIN LATERAL (
        SELECT array_agg(coalesce(item.outcome, 'open') ORDER BY item.dispatch_id DESC) AS outcomes
        FROM outbox_dispatch_items AS item WHERE item.entry_id = entry.id
        OFFSET 0
    ) AS past
"""  # noqa: S608  (only constants of ours are put together)

# Of the open requests of a lane: whether one is due again, and what they may have changed. One that
# is withheld is not even asked about, so nothing can wait for it.
_IS_DUE_AGAIN = """
    SELECT FROM outbox_dispatch_items AS item JOIN outbox AS entry ON entry.id = item.entry_id
    WHERE item.lane_id = :lane AND item.outcome IS NULL
      AND entry.available_at <= now() AND NOT entry.withheld
"""
_DOUBTED = """
    SELECT unnest(item.claims)
    FROM outbox_dispatch_items AS item JOIN outbox AS entry ON entry.id = item.entry_id
    WHERE item.lane_id = :lane AND item.outcome IS NULL AND entry.state = 'pending'
      AND NOT entry.withheld
"""

# Everything from which a wave is chosen, in one statement, because each round trip delays what
# somebody has just saved. The columns about the whole are in the first row, which is there also
# when no entry is due.
_LOAD = {
    look: prepared(
        f"load_{look}",
        f"""
    WITH due AS MATERIALIZED ({_DUE.format(look=look)}),
    record AS MATERIALIZED (
        SELECT DISTINCT aggregate_type AS type, aggregate_id AS id FROM due
    ), needed AS MATERIALIZED (
        SELECT type, id, bool_or(own) AS own
        FROM (SELECT type, id, true AS own FROM record
              UNION ALL
              -- A damaged entry must fail where it is found out, and not here with all others.
              SELECT need ->> 'type',
                     CASE WHEN need ->> 'id' ~ '^[0-9]{{1,18}}$' THEN (need ->> 'id')::bigint END,
                     false
              FROM due
              CROSS JOIN jsonb_array_elements(
                  CASE WHEN jsonb_typeof(due.payload -> 'needs') = 'array'
                       THEN due.payload -> 'needs' END) AS need) AS each
        GROUP BY type, id
    ), placed AS (
        SELECT due.*, row_number() OVER (ORDER BY available_at) AS place FROM due
    )
    SELECT placed.*, whole.*
    FROM (
        SELECT 1 AS first,
               EXISTS ({_IS_DUE_AGAIN}) AS is_due_again,
               ARRAY({_DOUBTED}) AS doubted,
               (SELECT json_agg(entry ORDER BY entry.id) FROM ({_UNSETTLED}) AS entry)
                   AS unsettled,
               (SELECT json_agg(link)
                FROM ({COUNTERPARTS_OF.format(records="needed AS record")}) AS link)
                   AS counterparts
    ) AS whole
    FULL JOIN placed ON placed.place = whole.first
    ORDER BY placed.place
    """,  # noqa: S608  (only constants of ours are put together)
        operation=Entry.operation.type,
    )
    for look in (1, *ENTRIES_EXAMINED)
}

# Entries that waited for a superseded one are checked again: the newer one may wait for them.
_SUPERSEDE = text(
    """
    WITH superseded AS (
        UPDATE outbox
        SET state = 'superseded', settled_at = clock_timestamp(),
            waits_for_type = NULL, waits_for_id = NULL
        WHERE id = ANY(:entries) AND state IN ('pending', 'failed')
        RETURNING id, aggregate_type, aggregate_id
    )
    UPDATE outbox AS entry SET waits_for_type = NULL, waits_for_id = NULL
    FROM superseded
    WHERE entry.lane_id = :lane AND entry.waits_for_type = superseded.aggregate_type
      AND entry.waits_for_id = superseded.aggregate_id
      AND entry.id <> ALL(:entries)  -- no row is changed twice in a statement
    """
)

_SET_WAIT = text(
    """
    UPDATE outbox SET waits_for_type = wait.type, waits_for_id = wait.id
    FROM jsonb_to_recordset(CAST(:waits AS jsonb)) AS wait (entry_id bigint, type text, id bigint)
    WHERE outbox.id = wait.entry_id AND outbox.state = 'pending'
    """
)


@dataclass(frozen=True)
class Wave:
    """What may be sent together now, and the links of its records and of all they need."""

    due: Sequence[Due] = ()
    links: Mapping[Record, Remote] = field(default_factory=dict)
    is_all: bool = False  # nothing else is due in the lane


@dataclass(frozen=True)
class _Unsettled:
    """An entry of a due record that is not settled."""

    id: int
    aggregate_type: str
    aggregate_id: int
    state: str
    was_taken_along: bool
    withheld: bool
    takes_back: bool | None
    is_own_check: bool
    is_out: bool
    is_in_dialogue: bool

    @property
    def holds_up(self) -> bool:
        """Whether it is being sent, or waits for the owner: newer ones of its record wait."""
        return self.is_out or (self.withheld and self.state == "pending")

    def talks_on(self, taken_back: int) -> bool:
        """Whether its questions go on. A check of ours ends with the entry that takes the whole
        payment back."""
        return self.is_in_dialogue and not (self.is_own_check and self.id < taken_back)


@dataclass(frozen=True)
class Loaded:
    """What is due in a lane, and all from which a wave of it is chosen."""

    rows: Sequence[Row[Any]]  # due entries, at most `look`
    look: int
    unsettled: Sequence[_Unsettled]
    counterparts: Sequence[Any]  # rows of `COUNTERPARTS_OF`
    is_due_again: bool  # a request without an answer comes first
    doubted: frozenset[str]  # what requests without an outcome may have changed


def load(
    session: Session, claim: Claim, resend_after: timedelta, look: int = ENTRIES_EXAMINED[0]
) -> Loaded:
    """Reads the entries of the lane that are due, and all about their records."""
    look = 1 if claim.takes_one else look
    rows = session.execute(
        _LOAD[look],
        {
            "lane": claim.lane_id,
            "old": REQUEST_ID_TRUSTED_FOR,
            "resend_after": resend_after,
        },
    ).all()
    whole = rows[0]
    return Loaded(
        [row for row in rows if row.id is not None],
        look,
        [_Unsettled(**one) for one in whole.unsettled or ()],
        [SimpleNamespace(**one) for one in whole.counterparts or ()],
        whole.is_due_again,
        frozenset(whole.doubted),
    )


def choose_wave(
    session: Session,
    claim: Claim,
    lane: Renewed,
    loaded: Loaded,
    size: int,
    resend_after: timedelta,
    blocked: Collection[RecordType] = (),
) -> Wave | None:
    """At most `size` entries that may be sent now; perhaps none of those due. None: nothing is due.

    Records of a `blocked` type are left for later. What another database server knew waits
    `resend_after` first: a request that only that one stored may still be on its way.
    """
    rows = loaded.rows
    if not rows:
        return None
    if rows[0].is_another:
        servers.notice_change(session)  # or another process has, since this was read
        again = load(session, claim, resend_after, loaded.look)
        return choose_wave(session, claim, lane, again, size, resend_after, blocked)
    if rows[0].is_settling and any(row.is_doubted for row in rows):
        session.execute(_AWAIT_FORMER, {"lane": claim.lane_id, "resend_after": resend_after})
        return None
    if claim.takes_one and not _is_named(session, claim, lane, due_from(rows[0])):
        return Wave()
    wave = _chosen(session, claim, lane, loaded, size, blocked)
    there_are_more = len(rows) == loaded.look and not claim.takes_one
    if there_are_more and len(wave.due) < size and loaded.look < ENTRIES_EXAMINED[-1]:
        more = load(session, claim, resend_after, ENTRIES_EXAMINED[-1])
        return choose_wave(session, claim, lane, more, size, resend_after, blocked)
    return replace(wave, is_all=len(wave.due) == len(rows) < loaded.look)


def _chosen(
    session: Session,
    claim: Claim,
    lane: Renewed,
    loaded: Loaded,
    size: int,
    blocked: Collection[RecordType],
) -> Wave:
    newest = _newest_of_each_record(session, claim, loaded)
    counterparts = counterparts_in(session, loaded.counterparts, [one.due for one in newest])
    ready = _with_all_they_need(session, claim, newest, counterparts.links)
    ready = [one for one in ready if one.due.record.type not in blocked]
    if not ready:
        return Wave()
    first_kind = min((one.due.record.type for one in ready), key=lambda type_: type_.rank)
    wave = [one for one in ready if one.due.record.type == first_kind]
    together = [one for one in wave if not one.goes_alone]
    if lane.consecutive_outages:
        # A company that was down is probed with one entry, a different one each time, in case the
        # entry itself is the cause.
        chosen = [min(ready, key=lambda one: one.waits_since)]
    else:
        chosen = together[:size] or wave[:1]
    may_be_lost = loaded.rows[0].has_changed
    informed = _informed(session, claim.lane_id, chosen, counterparts, may_be_lost=may_be_lost)
    return Wave(informed, counterparts.links)


def _is_named(session: Session, claim: Claim, lane: Renewed, due: Due) -> bool:
    """Whether a crash from here on is attributed to this entry; otherwise names it, or gives it up.

    The name is committed before anything is done with the entry, because a crash rolls back the
    rest.
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
        # The next one gets its own claims: these were not its fault.
        session.execute(
            text("UPDATE outbox_lanes SET claims_unsettled = :solo WHERE id = :lane"),
            {"solo": SOLO_AFTER, "lane": claim.lane_id},
        )
        return False
    return True


def _newest_of_each_record(session: Session, claim: Claim, loaded: Loaded) -> list[_Candidate]:
    """The due entries that may be sent, one per record; older free ones are superseded."""
    unsettled: dict[Record, list[_Unsettled]] = {}
    for one in loaded.unsettled:
        record = Record.stored(one.aggregate_type, one.aggregate_id)
        unsettled.setdefault(record, []).append(one)

    first_payments = _first_payments(session, claim, unsettled)
    due = {row.id: row for row in loaded.rows}
    turns = {
        record: _turn_of(record, entries, due, first_payments.get(record, 0))
        for record, entries in unsettled.items()
    }
    if superseded := [id_ for turn in turns.values() for id_ in turn.superseded]:
        session.execute(_SUPERSEDE, {"lane": claim.lane_id, "entries": superseded})
    _set_waits(session, {id_: record for record, turn in turns.items() for id_ in turn.waits})
    chosen = sorted(turn.chosen for turn in turns.values() if turn.chosen in due)
    return [_candidate(due[id_]) for id_ in chosen]


@dataclass(frozen=True)
class _Turn:
    """What becomes of a record's unsettled entries, by entry id."""

    chosen: int = 0  # 0: none
    superseded: Sequence[int] = ()
    waits: Sequence[int] = ()  # for another entry of the same record


def _turn_of(
    record: Record, entries: Sequence[_Unsettled], due: Mapping[int, Row[Any]], first_payment: int
) -> _Turn:
    mine = [entry.id for entry in entries if entry.id in due]
    if any(entry.holds_up for entry in entries):
        return _Turn(waits=mine)
    taken_back = max((entry.id for entry in entries if entry.takes_back), default=0)
    if talking := next((entry.id for entry in entries if entry.talks_on(taken_back)), 0):
        # What was learned for it (that it arrived under its old name, say) would be lost to a
        # newer one, so it continues until it is settled.
        return _Turn(talking, waits=[id_ for id_ in mine if id_ != talking])
    last = _last_to_merge(record, entries, due, first_payment)
    merged = [entry for entry in entries if entry.id <= last]
    # A captured entry is more reliable than one sent along, whose snapshot was read without a
    # lock.
    pending = [entry for entry in merged if entry.state == "pending"]
    newest = max(pending, key=lambda entry: (not entry.was_taken_along, entry.id))
    return _Turn(
        newest.id,
        superseded=[entry.id for entry in merged if entry.id != newest.id],
        waits=[id_ for id_ in mine if id_ > last],
    )


def _last_to_merge(
    record: Record, entries: Sequence[_Unsettled], due: Mapping[int, Row[Any]], first_payment: int
) -> int:
    """The entry up to which newer ones supersede older ones."""
    if any(entry.state == "pending" and entry.id < first_payment for entry in entries):
        # A change made before the payment is sent before it, and is not merged with later ones:
        # the payment was made for the total at that time.
        return first_payment
    newest = max(entry.id for entry in entries)
    if record.type == RecordType.LEAD:
        # A customer is recognized by its values, so it is looked for with those that the former
        # server may have sent.
        doubted = [entry.id for entry in entries if entry.id in due and due[entry.id].is_doubted]
        return max(doubted, default=newest)
    return newest


# No change of an invoice waits for a check of ours: no person saved it.
_FIRST_PAYMENTS = text(
    f"""
    SELECT invoice.id AS invoice_id, min(entry.id) AS first
    FROM unnest(CAST(:invoices AS bigint[])) AS invoice (id)
    JOIN outbox_links AS link
      ON link.lane_id = :lane AND link.aggregate_type = 'invoice'
     AND link.aggregate_id = invoice.id AND link.remote_id IS NOT NULL
    JOIN payments AS payment ON payment.invoice_id = invoice.id
    JOIN outbox AS entry
      ON entry.aggregate_type = 'payment' AND entry.aggregate_id = payment.id
    WHERE entry.lane_id = :lane AND entry.state = 'pending' AND NOT entry.{IS_OWN_CHECK}
    GROUP BY invoice.id
    """  # noqa: S608  (only constants of ours are put together)
)


def _first_payments(
    session: Session, claim: Claim, unsettled: Mapping[Record, Sequence[_Unsettled]]
) -> dict[Record, int]:
    """The first waiting payment entry of each invoice that has several pending changes."""
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
    session: Session,
    claim: Claim,
    candidates: Sequence[_Candidate],
    links: Mapping[Record, Remote],
) -> list[_Candidate]:
    """Entries whose prerequisites are in QuickBooks. The others wait
    for a named record; some send it along."""
    candidates = _without_payments_of_void_invoices(session, claim, candidates, links)
    earlier = _earlier_of_other_records(session, claim, [one.due for one in candidates])
    ready: list[_Candidate] = []
    waits: dict[int, Record] = {}
    taken_along: dict[Record, _Candidate] = {}  # with the first that needs them
    for one in candidates:
        missing = [record for record in one.needs if record not in links]
        if one.due.operation == Operation.VOID:
            missing = []  # a void needs only its own record's counterpart
        for record in missing:
            if record.type in TAKEN_ALONG and one.due.record.type not in FOLLOWS:
                taken_along.setdefault(record, one)
        before = [*missing, *earlier.get(one.due.entry_id, ())]
        if before:  # the nearest one: a payment waits for its invoice, not for the customer
            waits[one.due.entry_id] = max(before, key=lambda record: record.type.rank)
        else:
            ready.append(one)
    _take_along(session, claim, taken_along)
    _set_waits(session, waits)
    return ready


# For records without a link: of a void invoice, with nothing pending, they will never have one.
_NEVER_TO_COME = {
    RecordType.INVOICE: text(
        """
        SELECT invoice.id FROM invoices AS invoice
        WHERE invoice.id = ANY(:ids) AND invoice.voided_at IS NOT NULL
          AND NOT EXISTS (SELECT FROM outbox AS entry
                          WHERE entry.lane_id + 0 = :lane AND entry.aggregate_type = 'invoice'
                            AND entry.aggregate_id = invoice.id
                            AND entry.state || '' IN ('pending', 'failed'))
        """
    ),
    RecordType.PAYMENT: text(
        """
        SELECT payment.id
        FROM payments AS payment JOIN invoices AS invoice ON invoice.id = payment.invoice_id
        WHERE payment.id = ANY(:ids) AND invoice.voided_at IS NOT NULL
          AND NOT EXISTS (SELECT FROM outbox AS entry
                          WHERE entry.lane_id + 0 = :lane AND entry.aggregate_type = 'payment'
                            AND entry.aggregate_id = payment.id
                            AND entry.state || '' IN ('pending', 'failed', 'skipped'))
        """
    ),
}


def _without_payments_of_void_invoices(
    session: Session,
    claim: Claim,
    candidates: Sequence[_Candidate],
    links: Mapping[Record, Remote],
) -> list[_Candidate]:
    """Settles payments of invoices that were voided before they were sent, and the refunds of those
    payments; returns the rest."""
    awaited = {
        one.due.entry_id: record
        for one in candidates
        for record in one.needs
        if FOLLOWS.get(one.due.record.type) == record.type and record not in links
    }
    if not awaited:
        return list(candidates)
    gone: set[Record] = set()
    for type_, statement in _NEVER_TO_COME.items():
        ids = sorted({record.id for record in awaited.values() if record.type == type_})
        if ids:
            rows = session.execute(statement, {"lane": claim.lane_id, "ids": ids})
            gone |= {Record(type_, id_) for id_ in rows.scalars()}
    due = {
        one.due.entry_id: one.due
        for one in candidates
        if one.due.entry_id in awaited and awaited[one.due.entry_id] in gone
    }
    settle_entries(session, claim.lane_id, dict.fromkeys(due, Unneeded()), due)
    return [one for one in candidates if one.due.entry_id not in due]


# Between an invoice and its payments the order of capture is kept: an invoice's change is sent
# after the payments captured before it, and a payment after the invoice's earlier changes; also
# after an earlier payment that was taken back, whose void gives the invoice its balance back.
_EARLIER = prepared(
    "earlier",
    f"""
    SELECT mine.id AS entry_id, 'payment' AS type, payment.id AS record_id
    FROM outbox AS mine
    JOIN payments AS payment ON payment.invoice_id = mine.aggregate_id
    JOIN outbox AS other ON other.aggregate_type = 'payment' AND other.aggregate_id = payment.id
    WHERE mine.id = ANY(:entries) AND mine.aggregate_type = 'invoice'
      AND other.lane_id = :lane AND other.state = 'pending' AND other.id < mine.id
      AND NOT other.{IS_OWN_CHECK}
      -- One that waits for this very invoice (an older version of it failed) waits for this entry.
      AND (other.waits_for_type, other.waits_for_id)
          IS DISTINCT FROM ('invoice', mine.aggregate_id)
      AND EXISTS (SELECT FROM outbox_links AS link
                  WHERE link.lane_id = :lane AND link.aggregate_type = 'invoice'
                    AND link.aggregate_id = mine.aggregate_id AND link.remote_id IS NOT NULL)
    UNION ALL
    SELECT mine.id, 'invoice', other.aggregate_id
    FROM outbox AS mine
    JOIN outbox AS other ON other.aggregate_type = 'invoice'
     AND other.aggregate_id = (mine.payload ->> 'invoice_id')::bigint
    WHERE mine.id = ANY(:entries) AND mine.aggregate_type = 'payment'
      AND other.lane_id = :lane AND other.state = 'pending' AND other.id < mine.id
    UNION ALL
    SELECT mine.id, 'payment', back.id
    FROM outbox AS mine
    JOIN payments AS back ON back.invoice_id = (mine.payload ->> 'invoice_id')::bigint
     AND back.id <> mine.aggregate_id AND back.refunded_amount > 0
    JOIN outbox AS other ON other.aggregate_type = 'payment' AND other.aggregate_id = back.id
    WHERE mine.id = ANY(:entries) AND mine.aggregate_type = 'payment'
      AND other.lane_id = :lane AND other.state = 'pending' AND other.id < mine.id
      AND (other.payload ->> 'refunded_amount')::numeric >= (other.payload ->> 'amount')::numeric
      AND EXISTS (SELECT FROM outbox_links AS link
                  WHERE link.lane_id = :lane AND link.aggregate_type = 'invoice'
                    AND link.aggregate_id = back.invoice_id AND link.remote_id IS NOT NULL)
    """,  # noqa: S608  (only constants of ours are put together)
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
            earlier.setdefault(row.entry_id, []).append(Record.stored(row.type, row.record_id))
    return earlier


_TAKE_ALONG = {
    type_: text(
        f"""
        INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id,
                            operation, payload, taken_along_for)
        SELECT snapshot.organization_id, :lane, '{type_.value}', snapshot.id,
               'save', snapshot.payload, needed.reason
        FROM unnest(CAST(:records AS bigint[]), CAST(:reasons AS text[])) AS needed (id, reason)
        CROSS JOIN LATERAL (
            {SNAPSHOTS[type_]} WHERE {type_.value}.id = needed.id OFFSET 0
        ) AS snapshot
        WHERE snapshot.organization_id = :organization
          AND NOT EXISTS (
            SELECT FROM outbox AS entry
            WHERE entry.lane_id + 0 = :lane AND entry.aggregate_type = '{type_.value}'
              AND entry.aggregate_id = needed.id
              AND entry.state || '' IN ('pending', 'failed', 'skipped'))
        RETURNING aggregate_id
        """  # noqa: S608  (only constants of ours are put together)
    )
    for type_ in TAKEN_ALONG
}


def _take_along(session: Session, claim: Claim, needed_by: Mapping[Record, _Candidate]) -> None:
    """Creates entries for prerequisites, unless they have one or a person skipped them."""
    for type_, statement in _TAKE_ALONG.items():
        records = sorted(record for record in needed_by if record.type == type_)
        if not records:
            continue
        needing = [needed_by[record].due for record in records]
        made = session.execute(
            statement,
            {
                "lane": claim.lane_id,
                "organization": claim.organization_id,
                "records": [record.id for record in records],
                "reasons": [f"{due.record.type} {due.payload['title']}" for due in needing],
            },
        )
        note_first_entries(session, type_, made.scalars().all())


def _set_waits(session: Session, waits: Mapping[int, Record]) -> None:
    if waits:
        rows = [
            {"entry_id": entry_id, "type": record.type, "id": record.id}
            for entry_id, record in waits.items()
        ]
        session.execute(_SET_WAIT, {"waits": json.dumps(rows)})


# --- Rows to values -----------------------------------------------------------------------------


def due_from(row: Row[Any], *, looks_first: bool = False) -> Due:
    """An entry as the company sees it. One that was not sent in time is looked up first."""
    never_sent = row.first_attempt_at is None
    return Due(
        entry_id=row.id,
        record=Record.stored(row.aggregate_type, row.aggregate_id),
        operation=row.operation,
        payload=row.payload,
        checks=row.checks,
        looks_first=looks_first
        or (never_sent and getattr(row, "may_be_there", False))
        or getattr(row, "is_doubted", False),
        knowledge=row.knowledge,
    )


# Records of which an earlier version may have arrived: the database server that knew is gone
# (outbox/servers.py).
_LOST = text(
    """
    SELECT record.type, record.id
    FROM database_server AS server,
         jsonb_to_recordset(CAST(:records AS jsonb)) AS record (type text, id bigint)
    CROSS JOIN LATERAL (
        SELECT min(entry.id) AS first_entry, max(item.dispatch_id) AS last_dispatch
        FROM outbox AS entry
        LEFT JOIN outbox_dispatch_items AS item ON item.entry_id = entry.id
        WHERE entry.aggregate_type = record.type AND entry.aggregate_id = record.id
          AND entry.lane_id + 0 = :lane
        OFFSET 0
    ) AS past
    WHERE server.changed_at IS NOT NULL AND past.first_entry <= server.last_entry_id
      AND coalesce(past.last_dispatch, 0) <= server.last_dispatch_id
    """
)


def _informed(
    session: Session,
    lane_id: int,
    chosen: Sequence[_Candidate],
    counterparts: Counterparts,
    *,
    may_be_lost: bool,
) -> list[Due]:
    """The chosen entries with what is known of their records; what
    may be in QuickBooks is looked up."""
    informed = [counterparts.informed(one.due) for one in chosen]
    absent = [due for due in informed if due.known.remote is None]
    sought = {due.record for due in absent if due.known.may_be_made}
    if may_be_lost:
        never_sent = {one.due.entry_id for one in chosen if one.never_sent}
        unsent = [due.record for due in absent if due.entry_id in never_sent]
        sought |= _lost(session, lane_id, unsent)
    return [replace(due, looks_first=True) if due.record in sought else due for due in informed]


def _lost(session: Session, lane_id: int, records: Sequence[Record]) -> set[Record]:
    if not records:
        return set()
    rows = session.execute(_LOST, {"lane": lane_id, "records": _as_json(records)})
    return {Record.stored(row.type, row.id) for row in rows}


def _candidate(row: Row[Any]) -> _Candidate:
    due = due_from(row)
    needs = tuple(sorted(needs_of([due])))
    never_sent = row.first_attempt_at is None
    return _Candidate(due, needs, never_sent, bool(row.goes_alone), row.available_at)


def _as_json(records: Iterable[Record]) -> str:
    return json.dumps([{"type": record.type, "id": record.id} for record in sorted(records)])
