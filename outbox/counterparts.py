"""Reads and writes counterparts: what QuickBooks has of a record.

One row per lane and record: where it is, what was sent and the document made from it, what
QuickBooks answered, which requests are in doubt, what a person decided. The caller holds the lane.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from sqlalchemy import Row, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from models.base import Json
from models.sales import Record
from outbox.company import (
    Declined,
    Doubt,
    Due,
    Fault,
    Known,
    Learned,
    Observed,
    Outcome,
    Rejected,
    Remote,
    Synced,
)
from outbox.texts import as_json
from prepared import prepared

# after this QuickBooks may have forgotten a request id: look it up first
REQUEST_ID_TRUSTED_FOR = timedelta(minutes=10)

# --- Reading ------------------------------------------------------------------------------------

# Only the link for records that an entry needs; everything for its own record.
COUNTERPARTS_OF = """
    SELECT link.aggregate_type, link.aggregate_id, link.remote_id, link.remote_version,
           link.remote_number, link.remote_total, link.remote_balance, link.stale, link.voided_at,
           CASE WHEN record.own THEN link.sent_values END AS sent_values,
           CASE WHEN record.own THEN link.sent_document END AS sent_document,
           CASE WHEN record.own THEN link.declined_values END AS declined_values,
           CASE WHEN record.own THEN link.seen END AS seen,
           link.doubts, link.decision
    FROM {records}
    CROSS JOIN LATERAL (
        SELECT * FROM outbox_links AS link
        WHERE link.lane_id = :lane
          AND link.aggregate_type = record.type AND link.aggregate_id = record.id
        OFFSET 0
    ) AS link
"""
_COUNTERPARTS = prepared(
    "counterparts",
    COUNTERPARTS_OF.format(
        records="jsonb_to_recordset(CAST(:records AS jsonb)) AS record"
        " (type text, id bigint, own boolean)"
    ),
)


@dataclass(frozen=True)
class Counterparts:
    """The counterparts of some records and of all they need."""

    known: Mapping[Record, Known] = field(default_factory=dict)

    @cached_property
    def links(self) -> Mapping[Record, Remote]:
        """The records that are known to be in QuickBooks."""
        return {record: known.remote for record, known in self.known.items() if known.remote}

    def informed(self, due: Due) -> Due:
        """The entry with what is known of its record's counterpart."""
        return replace(due, known=self.known.get(due.record, Known()))


def counterparts_of(session: Session, lane_id: int, due: Sequence[Due]) -> Counterparts:
    """The counterparts of these entries' records and of all they need."""
    own = {one.record for one in due}
    rows = session.execute(
        _COUNTERPARTS,
        {
            "lane": lane_id,
            "records": json.dumps(
                [
                    {"type": record.type, "id": record.id, "own": record in own}
                    for record in sorted(own | needs_of(due))
                ]
            ),
        },
    )
    return counterparts_in(session, rows.all(), due)


def counterparts_in(session: Session, found: Sequence[Any], due: Sequence[Due]) -> Counterparts:
    """The rows of `COUNTERPARTS_OF` as values, for these entries."""
    doubts = [one["request"] for row in found for one in row.doubts]
    in_doubt = _in_doubt(session, doubts, [one.entry_id for one in due]) if doubts else {}
    return Counterparts(
        {
            Record.stored(row.aggregate_type, row.aggregate_id): _known(row, in_doubt)
            for row in found
        }
    )


# Nobody promises that a list of QuickBooks' is up to date. QuickBooks knows a request again by its
# id for a while, so the same request is safer than a new one.
_IN_DOUBT = text(
    """
    SELECT dispatch.id, clock_timestamp() - dispatch.created_at AS age,
           dispatch.sends = 1
           AND dispatch.created_at > clock_timestamp() - CAST(:trusted AS interval)
           AND count(*) = 1 AND bool_and(item.entry_id = ANY(:entries))
           AND bool_and(item.outcome IS NULL OR item.outcome = 'looked_up') AS is_repeatable
    FROM outbox_dispatches AS dispatch
    JOIN outbox_dispatch_items AS item ON item.dispatch_id = dispatch.id
    WHERE dispatch.id = ANY(:requests)
    GROUP BY dispatch.id
    """
)


def _in_doubt(
    session: Session, requests: Sequence[int], entries: Sequence[int]
) -> dict[int, Row[Any]]:
    values = {"requests": requests, "entries": entries, "trusted": REQUEST_ID_TRUSTED_FOR}
    return {row.id: row for row in session.execute(_IN_DOUBT, values)}


def _known(row: Any, in_doubt: Mapping[int, Row[Any]]) -> Known:
    remote = None
    if row.remote_id is not None:
        remote = Remote(
            id=row.remote_id,
            version=row.remote_version,
            number=row.remote_number,
            total=row.remote_total,
            stale=row.stale,
            voided=row.voided_at is not None,
            balance=row.remote_balance,
        )
    return Known(
        remote,
        row.sent_values,
        row.sent_document,
        row.declined_values,
        row.seen,
        tuple(_doubt(one, in_doubt.get(one["request"])) for one in row.doubts),
        row.decision,
    )


def _doubt(stored: Json, request: Row[Any] | None) -> Doubt:
    doubt = Doubt(stored["request"], stored["intent"], stored["document"])
    if request is None:
        return doubt
    return replace(doubt, is_repeatable=request.is_repeatable, age=request.age)


def needs_of(due: Iterable[Due]) -> set[Record]:
    """The records that these entries need."""
    return {Record.stored(need["type"], need["id"]) for one in due for need in one.payload["needs"]}


# --- Writing ------------------------------------------------------------------------------------

# A counterpart of another record is not taken from it, unless a person chose to share it; shared
# ones stay shared.
_WRITE_COUNTERPARTS = prepared(
    "write_counterparts",
    """
    WITH row AS (
        SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row (
            entry_id bigint, type text, remote_id text, remote_version text, stale boolean,
            remote_number text, remote_total text, remote_balance text, voided boolean, note text,
            is_synced boolean, document text, seen text, shares boolean)
    )
    INSERT INTO outbox_links AS link (
        organization_id, lane_id, aggregate_type, aggregate_id, remote_id, remote_version, stale,
        remote_number, remote_total, remote_balance, voided_at, note, sent_operation, sent_values,
        sent_document, seen)
    SELECT entry.organization_id, entry.lane_id, entry.aggregate_type, entry.aggregate_id,
           row.remote_id, row.remote_version, row.stale, row.remote_number, row.remote_total,
           row.remote_balance, CASE WHEN row.voided THEN clock_timestamp() END, row.note,
           CASE WHEN row.is_synced THEN entry.operation END,
           CASE WHEN row.is_synced THEN entry.payload END,
           row.document, row.seen
    FROM row
    CROSS JOIN LATERAL (SELECT * FROM outbox WHERE outbox.id = row.entry_id OFFSET 0) AS entry
    -- one by one: a plan that hashes all links, or all entries, is slower the more there are
    CROSS JOIN LATERAL (
        SELECT (SELECT true FROM outbox_links AS own
                WHERE own.lane_id = entry.lane_id
                  AND own.aggregate_type = entry.aggregate_type
                  AND own.aggregate_id = entry.aggregate_id
                  AND own.remote_id = row.remote_id) AS is_own,  -- by either index
               (SELECT true FROM outbox_links AS other
                WHERE other.lane_id = entry.lane_id
                  AND other.aggregate_type = entry.aggregate_type
                  AND other.remote_id = row.remote_id
                  AND other.aggregate_id <> entry.aggregate_id
                LIMIT 1) AS is_of_another
    ) AS known
    WHERE row.shares OR entry.aggregate_type = 'product' OR known.is_own
       OR known.is_of_another IS NULL
      AND NOT EXISTS (SELECT FROM row AS other
                      WHERE other.type = row.type AND other.remote_id = row.remote_id
                        AND other.entry_id < row.entry_id)
    ORDER BY entry.aggregate_type, entry.aggregate_id
    ON CONFLICT (lane_id, aggregate_type, aggregate_id) DO UPDATE
    SET remote_id = EXCLUDED.remote_id, remote_version = EXCLUDED.remote_version,
        stale = EXCLUDED.stale,
        -- of another object than before, nothing that is known of that one
        remote_number = coalesce(EXCLUDED.remote_number, CASE
            WHEN link.remote_id = EXCLUDED.remote_id THEN link.remote_number END),
        remote_total = coalesce(EXCLUDED.remote_total, CASE
            WHEN link.remote_id = EXCLUDED.remote_id THEN link.remote_total END),
        remote_balance = coalesce(EXCLUDED.remote_balance, CASE
            WHEN link.remote_id = EXCLUDED.remote_id THEN link.remote_balance END),
        voided_at = CASE WHEN EXCLUDED.voided_at IS NOT NULL
                         THEN coalesce(link.voided_at, EXCLUDED.voided_at) END,
        gone_at = NULL,
        note = coalesce(EXCLUDED.note, CASE
            WHEN link.remote_id = EXCLUDED.remote_id THEN link.note END),
        sent_operation = coalesce(EXCLUDED.sent_operation, link.sent_operation),
        sent_values = coalesce(EXCLUDED.sent_values, link.sent_values),
        sent_document = coalesce(EXCLUDED.sent_document, CASE
            WHEN link.remote_id = EXCLUDED.remote_id THEN link.sent_document END),
        -- an older entry, looked up after newer ones were declined, does not end that
        declined_operation = CASE
            WHEN link.declined_values IS NULL THEN NULL
            WHEN link.decision ->> 'skip' = 'declines' THEN link.declined_operation
            ELSE coalesce(EXCLUDED.sent_operation, link.declined_operation) END,
        declined_values = CASE
            WHEN link.declined_values IS NULL THEN NULL
            WHEN link.decision ->> 'skip' = 'declines' THEN link.declined_values
            ELSE coalesce(EXCLUDED.sent_values, link.declined_values) END,
        seen = coalesce(EXCLUDED.seen, CASE
            WHEN link.remote_id = EXCLUDED.remote_id THEN link.seen END),
        doubts = CASE WHEN EXCLUDED.sent_operation IS NULL THEN link.doubts ELSE '[]' END,
        decision = CASE WHEN EXCLUDED.sent_operation IS NULL THEN link.decision ELSE '{}' END,
        updated_at = clock_timestamp()
    RETURNING aggregate_type, aggregate_id
    """,
)


def _of_entries(changes: str, only: str = "true") -> TextClause:
    """The statement that changes the counterparts of the records of some entries."""
    return text(
        f"""
        UPDATE outbox_links AS link
        SET {changes}
        FROM outbox AS entry
        WHERE entry.id = ANY(:entries) AND link.lane_id = entry.lane_id
          AND link.aggregate_type = entry.aggregate_type AND link.aggregate_id = entry.aggregate_id
          AND {only}
        """  # noqa: S608  (only constants of ours are put together)
    )


# Needed no request: the company keeps a customer whose lead is deleted here.
_ACKNOWLEDGE = _of_entries(
    "sent_operation = entry.operation, sent_values = entry.payload, decision = '{}',"
    " declined_operation = CASE WHEN link.declined_values IS NOT NULL THEN entry.operation END"
)
_END_DOUBTS = _of_entries("doubts = '[]'")
# What it is not, stays so: otherwise matching would link it again.
_END_DECISIONS = _of_entries(
    "decision = jsonb_strip_nulls(jsonb_build_object('not', link.decision -> 'not'))"
)
# QuickBooks does not have it after all: nothing stands there that differs from what is here.
_END_EMPTY_DECLINES = _of_entries(
    "declined_operation = NULL, declined_values = NULL",
    only="link.remote_id IS NULL AND link.declined_values IS NOT NULL",
)
# The entry needs a person again, or is to be sent after all.
_END_SKIPS = _of_entries(
    "decision = link.decision - 'skip'", only="link.decision -> 'skip' IS NOT NULL"
)
_END_DECLINES = _of_entries(
    "declined_operation = NULL, declined_values = NULL,"
    " decision = link.decision - 'refunded_by_hand'"
)

# A doubt belongs to the record: it outlives the entry whose request it was.
_KEEP_DOUBTS = text(
    """
    INSERT INTO outbox_links AS link
        (organization_id, lane_id, aggregate_type, aggregate_id, doubts)
    SELECT entry.organization_id, entry.lane_id, entry.aggregate_type, entry.aggregate_id,
           jsonb_build_array(jsonb_build_object(
               'request', item.dispatch_id, 'intent', item.intent, 'document', item.document))
    FROM outbox_dispatch_items AS item JOIN outbox AS entry ON entry.id = item.entry_id
    WHERE item.dispatch_id = :dispatch AND item.entry_id = ANY(:entries)
      AND item.intent IN ('create', 'update', 'void')
    ORDER BY entry.aggregate_type, entry.aggregate_id
    ON CONFLICT (lane_id, aggregate_type, aggregate_id) DO UPDATE
    SET doubts = link.doubts || EXCLUDED.doubts
    WHERE NOT link.doubts @> jsonb_build_array(
        jsonb_build_object('request', EXCLUDED.doubts -> 0 -> 'request'))
    """
)


def keep_doubts(session: Session, dispatch_id: int, entries: Sequence[int]) -> None:
    """Stores that these items of a request may have arrived. The caller holds the lane."""
    if entries:
        session.execute(_KEEP_DOUBTS, {"dispatch": dispatch_id, "entries": list(entries)})


def send_after_all(session: Session, entries: Sequence[int], *, skipped: Sequence[int]) -> None:
    """A person sends these again, which ends decisions to skip them."""
    session.execute(_END_SKIPS, {"entries": list(entries)})
    if skipped:
        session.execute(_END_DECLINES, {"entries": list(skipped)})


_REPEAT = text(
    """
    WITH item AS (
        UPDATE outbox_dispatch_items
        SET outcome = NULL, settled_at = NULL, repeats_unsettled = 0
        WHERE dispatch_id = :dispatch AND entry_id = :entry
        RETURNING dispatch_id
    )
    UPDATE outbox_dispatches SET goes_again = true FROM item WHERE id = item.dispatch_id
    """
)


def write(
    session: Session, lane_id: int, outcomes: Mapping[int, Outcome], due: Mapping[int, Due]
) -> dict[int, Outcome]:
    """Writes what was learned about counterparts; one that another record has needs a decision."""
    rows: dict[int, dict[str, Any]] = {}
    observed: list[Observed] = []
    changed: dict[TextClause, list[int]] = {}
    for entry_id, outcome in outcomes.items():
        if isinstance(outcome, Synced | Learned) and outcome.remote:
            rows[entry_id] = _counterpart_row(due[entry_id], outcome, outcome.remote)
        if isinstance(outcome, Learned):
            observed += outcome.observed
            if outcome.repeats:
                session.execute(_REPEAT, {"dispatch": outcome.repeats, "entry": entry_id})
        for statement in _changed_by(outcome):
            changed.setdefault(statement, []).append(entry_id)
    for statement, entries in changed.items():
        session.execute(statement, {"entries": entries})
    observe(session, lane_id, observed)
    if not rows:
        return dict(outcomes)
    taken = _write_rows(session, rows, outcomes, due)
    if taken:  # sent again, they are matched anew: who has the object now decides what is asked
        session.execute(_END_DECISIONS, {"entries": sorted(taken)})
    return {**outcomes, **taken}


def _changed_by(outcome: Outcome) -> tuple[TextClause, ...]:
    """What an outcome changes of a counterpart, besides the object that it is linked to."""
    match outcome:
        case Synced(remote=None):
            return (_ACKNOWLEDGE,)
        case Learned(ends_doubts=True, repeats=None):
            return (_END_DOUBTS,)
        case Rejected(ends_decision=True) | Declined():
            return _END_EMPTY_DECLINES, _END_DECISIONS
        case Rejected():
            return (_END_SKIPS,)
        case _:
            return ()


def _write_rows(
    session: Session,
    rows: Mapping[int, Mapping[str, Any]],
    outcomes: Mapping[int, Outcome],
    due: Mapping[int, Due],
) -> dict[int, Outcome]:
    """Writes them, by entry; returns what becomes of entries whose object another record has."""
    result = session.execute(_WRITE_COUNTERPARTS, {"rows": as_json(list(rows.values()))})
    written = {Record.stored(row.aggregate_type, row.aggregate_id) for row in result}
    return {
        entry_id: Rejected(_if_taken(outcomes[entry_id], row["remote_id"]))
        for entry_id, row in rows.items()
        if due[entry_id].record not in written
    }


def _if_taken(outcome: Outcome, remote_id: str) -> Fault:
    if isinstance(outcome, Synced | Learned) and outcome.if_taken:
        return outcome.if_taken
    return Fault("taken_by_another_record", about={"remote_id": remote_id})


def _counterpart_row(due: Due, outcome: Synced | Learned, remote: Remote) -> dict[str, Any]:
    is_synced = isinstance(outcome, Synced)
    return {
        "entry_id": due.entry_id,
        "type": due.record.type,
        "remote_id": remote.id,
        "remote_version": remote.version,
        "stale": remote.stale,
        "remote_number": remote.number,
        "remote_total": remote.total,
        "remote_balance": remote.balance,
        "voided": remote.voided,
        "note": outcome.note,
        "is_synced": is_synced,
        "document": outcome.document,
        "seen": outcome.seen,
        "shares": due.known.decision.get("use") == remote.id,
    }


# --- Compared -------------------------------------------------------------------------------------

# What was written since, by an answer of QuickBooks, is newer than what the comparison read.
_OBSERVE = text(
    """
    UPDATE outbox_links AS link
    SET remote_version = coalesce(row.remote_version, link.remote_version), stale = true,
        remote_number = coalesce(row.remote_number, link.remote_number),
        remote_total = coalesce(row.remote_total, link.remote_total),
        -- while a payment of it is under way the balance may be of before or after
        remote_balance = CASE WHEN NOT EXISTS (
            SELECT FROM outbox_dispatch_items AS item
            JOIN outbox AS entry ON entry.id = item.entry_id
            WHERE item.lane_id = link.lane_id AND item.outcome IS NULL
              AND link.aggregate_type = 'invoice' AND entry.aggregate_type = 'payment'
              AND entry.payload -> 'invoice_id' = to_jsonb(link.aggregate_id)
        ) THEN coalesce(row.remote_balance, link.remote_balance) END,
        voided_at = CASE WHEN row.voided THEN coalesce(link.voided_at, clock_timestamp())
                         WHEN link.sent_operation = 'void' THEN link.voided_at END,
        gone_at = CASE WHEN row.gone THEN coalesce(link.gone_at, clock_timestamp()) END,
        differs_since = CASE WHEN row.differs
                             THEN coalesce(link.differs_since, clock_timestamp())
                             WHEN row.differs IS NULL THEN link.differs_since END,
        seen = coalesce(row.seen, link.seen), updated_at = clock_timestamp()
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row (
        type text, id bigint, remote_id text, remote_version text, remote_number text,
        remote_total text, remote_balance text, voided boolean, gone boolean, differs boolean,
        seen text)
    WHERE link.lane_id = :lane AND link.aggregate_type = row.type AND link.aggregate_id = row.id
      AND link.remote_id = row.remote_id
      AND link.updated_at < coalesce(CAST(:since AS timestamptz), 'infinity')
    """
)


def observe(
    session: Session,
    lane_id: int,
    observed: Sequence[Observed],
    since: datetime | None = None,
) -> None:
    """Stores what was found of these records by what began to read `since`. The caller holds the
    lane.

    Each is read again before it is written the next time. Without `since` nothing was written
    while it was read.
    """
    if not observed:
        return
    rows = [
        {
            "type": one.record.type,
            "id": one.record.id,
            "remote_id": one.remote_id,
            "remote_version": one.remote and one.remote.version,
            "remote_number": one.remote and one.remote.number,
            "remote_total": one.remote and one.remote.total,
            "remote_balance": one.remote and one.remote.balance,
            "voided": one.remote is not None and one.remote.voided,
            "gone": one.remote is None,
            "differs": one.differs,
            "seen": one.seen,
        }
        for one in observed
    ]
    session.execute(_OBSERVE, {"lane": lane_id, "rows": as_json(rows), "since": since})


# --- People's decisions ---------------------------------------------------------------------------

_DECIDE = text(
    """
    INSERT INTO outbox_links AS link
        (organization_id, lane_id, aggregate_type, aggregate_id, decision)
    SELECT lane.organization_id, lane.id, :type, :id, :choice
    FROM outbox_lanes AS lane WHERE lane.id = :lane
    ON CONFLICT (lane_id, aggregate_type, aggregate_id) DO UPDATE
    SET decision = link.decision || EXCLUDED.decision
    """
).bindparams(bindparam("choice", type_=JSONB))


def decide(session: Session, lane_id: int, record: Record, choice: Json) -> None:
    """Stores a person's choice for a record, in addition to earlier ones."""
    session.execute(
        _DECIDE, {"lane": lane_id, "type": record.type, "id": record.id, "choice": choice}
    )


_FORGET = text(
    """
    UPDATE outbox_links
    SET remote_id = NULL, remote_version = NULL, stale = false, remote_number = NULL,
        remote_total = NULL, remote_balance = NULL, voided_at = NULL, note = NULL,
        sent_operation = NULL, sent_values = NULL, sent_document = NULL,
        declined_operation = NULL, declined_values = NULL, seen = NULL,
        gone_at = NULL, differs_since = NULL
    WHERE lane_id = :lane AND aggregate_type = :type AND aggregate_id = :id
    """
)


def forget(session: Session, lane_id: int, record: Record) -> None:
    """A person says that the record is not that object after all. The caller holds the lane."""
    session.execute(_FORGET, {"lane": lane_id, "type": record.type, "id": record.id})
    session.expire_all()
