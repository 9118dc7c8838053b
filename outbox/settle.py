"""Settle: turns an answer into states of entries, links and the lane's own state.

One transaction, fenced by the lane row: a drainer that lost the lease changes nothing. Statements
are set-based; rows are passed as one JSON parameter each.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

import db
from db import Sessions
from models.outbox import APPLIES_CREDIT, IS_OWN_CHECK, WAS_TAKEN_OFF, State
from models.sales import Record, RecordType
from outbox import counterparts, metrics, trouble
from outbox.company import (
    WAS_LOOKED_FOR,
    Answer,
    Declined,
    Due,
    Fault,
    Later,
    Learned,
    Outcome,
    Reading,
    Rejected,
    Remote,
    Retry,
    Sent,
    Synced,
    Unneeded,
    Waiting,
)
from outbox.lanes import Claim
from outbox.retry import MAX_CHECK_DELAY, MAX_DELAY, GiveUp, after_own_fault
from outbox.texts import as_json, storable
from prepared import prepared

SILENCES = 5  # unanswered sends of one entry alone, while the lane works, before a person must look

log = structlog.get_logger()

_FENCE = prepared(
    "fence",
    f"""
    UPDATE outbox_lanes SET claims_unsettled = 0, suspect_entry_id = NULL
    WHERE id = :lane AND lease_token = :token
    RETURNING {trouble.FACTS}
    """,  # noqa: S608  (only constants of ours are put together)
)

_STORE_ANSWER = prepared(
    "store_answer",
    """
    UPDATE outbox_dispatches
    SET answered_at = clock_timestamp(), status = :status, trace_id = coalesce(:trace_id, trace_id),
        answer = :answer
    WHERE id = :dispatch
    """,
)

# "Not taken": QuickBooks never executed it. It is sent again as soon as the lane may send, and
# doesn't count. A look-up was not counted as a send at all: what was sent before it stays sent.
_NOT_TAKEN = text(
    """
    WITH dispatch AS (
        UPDATE outbox_dispatches SET sends = greatest(sends - :sends, 0) WHERE id = :dispatch
    )
    UPDATE outbox SET available_at = clock_timestamp()
    FROM outbox_dispatch_items AS item
    WHERE item.dispatch_id = :dispatch AND item.outcome IS NULL AND outbox.id = item.entry_id
    """
)

_FREE = text(
    """
    WITH item AS (
        UPDATE outbox_dispatch_items SET outcome = 'unanswered', settled_at = clock_timestamp()
        WHERE dispatch_id = :dispatch AND outcome IS NULL
        RETURNING entry_id
    )
    UPDATE outbox SET available_at = clock_timestamp() FROM item WHERE outbox.id = item.entry_id
    """
)

# An answer was read and is settled, so the entries in it did not cause earlier crashes.
_NO_CRASH = text(
    """
    UPDATE outbox_dispatch_items SET repeats_unsettled = 0
    WHERE dispatch_id = :dispatch AND entry_id = ANY(:entries) AND outcome IS NULL
    """
)

_SETTLE_ITEMS = prepared(
    "settle_items",
    """
    UPDATE outbox_dispatch_items AS item
    SET outcome = result.outcome, settled_at = clock_timestamp()
    FROM jsonb_to_recordset(CAST(:results AS jsonb)) AS result (entry_id bigint, outcome text)
    WHERE item.dispatch_id = :dispatch AND item.entry_id = result.entry_id
      AND item.outcome IS NULL
    RETURNING item.entry_id
    """,
)


def settle(
    sessions: Sessions, claim: Claim, sent: Sent, answer: Answer, reading: Reading
) -> int | None:
    """Stores what the answer means for each entry; returns how many left the queue.

    None if the lease was lost meanwhile: then nothing was changed, and the next holder sends the
    same dispatch again. An outcome that cannot be stored fails its own entry and no other.
    """
    try:
        return _settle(sessions, claim, sent, answer, reading)
    except db.DATABASE_ERRORS:  # no entry can cause these
        raise
    except Exception:
        log.exception("settling failed, and goes on entry by entry", dispatch=sent.id)
    settled = 0
    for entry_id, outcome in reading.outcomes.items():
        count = _settle_alone(sessions, claim, sent, answer, entry_id, outcome)
        if count is None:
            return None
        settled += count
    rest = _settle(sessions, claim, sent, answer, replace(reading, outcomes={}))
    return None if rest is None else settled


def _settle(
    sessions: Sessions, claim: Claim, sent: Sent, answer: Answer, reading: Reading
) -> int | None:
    with sessions.begin() as session:
        fence = _fence(session, claim, sent)
        if fence is None:
            return None
        settled = _settle_outcomes(
            session, claim, sent, answer, reading.outcomes, is_silent=reading.is_silent
        )
        _settle_call(session, sent, answer, reading)
        trouble.settle_lane(session, sent, reading, fence)
    return settled


def take_back(sessions: Sessions, claim: Claim, sent: Sent) -> bool:
    """A stored request that was not sent after all: its entries are due at once.

    False if the lease was lost.
    """
    with sessions.begin() as session:
        if _fence(session, claim, sent) is None:
            return False
        _free(session, sent, was_taken=False)
    return True


def _settle_alone(
    sessions: Sessions, claim: Claim, sent: Sent, answer: Answer, entry_id: int, outcome: Outcome
) -> int | None:
    """Settles one entry of a dispatch that could not be settled as a
    whole; if that fails, too, the entry needs a person."""
    try:
        with sessions.begin() as session:
            if _fence(session, claim, sent) is None:
                return None
            return _settle_outcomes(session, claim, sent, answer, {entry_id: outcome})
    except db.DATABASE_ERRORS:  # no entry can cause these
        raise
    except Exception:
        log.exception("an outcome could not be stored", dispatch=sent.id, entry=entry_id)
    with sessions.begin() as session:
        if _fence(session, claim, sent) is None:
            return None
        internal = {entry_id: Rejected(Fault("internal"))}
        return _settle_outcomes(session, claim, sent, answer, internal, nobody_knows=True)


def _fence(session: Session, claim: Claim, sent: Sent) -> Row[Any] | None:
    """Locks the lane if it is still ours."""
    fence = session.execute(_FENCE, {"lane": claim.lane_id, "token": claim.token}).one_or_none()
    if fence is None:
        metrics.LATE_RESULTS.inc()
        log.warning("late result ignored", dispatch=sent.id, lane=claim.lane_id)
    return fence


def _settle_outcomes(
    session: Session,
    claim: Claim,
    sent: Sent,
    answer: Answer,
    outcomes: Mapping[int, Outcome],
    *,
    nobody_knows: bool = False,
    is_silent: bool = False,
) -> int:
    if sent.looks_up and is_silent:
        outcomes = _given_up(session, sent)
    elif sent.looks_up or is_silent:
        outcomes = _with_those_that_never_arrive(session, sent, outcomes)
    is_unsure = sent.looks_up or nobody_knows
    named = {id_: _named(outcome, is_unsure) for id_, outcome in outcomes.items()}
    open_items = _settle_items(session, sent.id, named)
    # Settling an item twice has no effect.
    outcomes = {id_: outcome for id_, outcome in outcomes.items() if id_ in open_items}
    settled = settle_entries(session, claim.lane_id, outcomes, sent.due, answer.trace_id)
    for outcome in outcomes.values():
        metrics.OUTCOMES.labels(type(outcome).__name__.lower()).inc()
    return settled


def _settle_call(session: Session, sent: Sent, answer: Answer, reading: Reading) -> None:
    """Stores what the answer means for the request. Its items are settled, or stay open."""
    if reading.unsure:
        _note_what_was_said(session, reading.unsure)
    if not sent.looks_up:
        session.execute(
            _STORE_ANSWER,
            {
                "dispatch": sent.id,
                "status": answer.status,
                "trace_id": answer.trace_id,
                "answer": storable(reading.kept_answer),
            },
        )
    _free(session, sent, was_taken=reading.taken)


def _free(session: Session, sent: Sent, *, was_taken: bool) -> None:
    """Frees the entries that the request leaves open, as far as it is known what became of it."""
    if sent.is_repeat:
        session.execute(_NO_CRASH, {"dispatch": sent.id, "entries": sorted(sent.due)})
    if sent.method == "GET" and not sent.looks_up:
        # A failed read changed nothing in QuickBooks, so its entries are free at once.
        session.execute(_FREE, {"dispatch": sent.id})
    elif not was_taken:
        sends = 0 if sent.looks_up else 1
        session.execute(_NOT_TAKEN, {"dispatch": sent.id, "sends": sends})


def settle_looked_up(
    session: Session,
    lane_id: int,
    dispatch_id: int,
    outcomes: Mapping[int, Outcome],
    due: Mapping[int, Due],
) -> None:
    """Settles open items of an unanswered dispatch without asking. The caller holds the lane."""
    if outcomes:
        _settle_items(
            session, dispatch_id, {id_: _named(outcome, True) for id_, outcome in outcomes.items()}
        )
        settle_entries(session, lane_id, outcomes, due)


def _settle_items(session: Session, dispatch_id: int, named: Mapping[int, str]) -> set[int]:
    """Stores the items' outcomes; returns which of them were open."""
    counterparts.keep_doubts(
        session, dispatch_id, [id_ for id_, name in named.items() if name == "unknown"]
    )
    results = [{"entry_id": entry_id, "outcome": name} for entry_id, name in named.items()]
    rows = session.execute(_SETTLE_ITEMS, {"dispatch": dispatch_id, "results": as_json(results)})
    return {row.entry_id for row in rows}


def _named(outcome: Outcome, is_unsure: bool) -> str:
    """How an item's outcome is stored. After a look-up, two of them
    say what happened to the send."""
    if is_unsure and isinstance(outcome, Learned):
        return "looked_up"
    if is_unsure and isinstance(outcome, Rejected):
        return "unknown"  # unknown: if it is to be sent again, it is looked up first
    return type(outcome).__name__.lower()


_NEVER_ANSWERED = prepared(
    "never_answered",
    """
    SELECT entry.id, entry.fault_code, entry.fault_about, entry.fault_field, entry.fault_detail
    FROM outbox_dispatch_items AS item
    JOIN outbox_dispatches AS dispatch ON dispatch.id = item.dispatch_id
    JOIN outbox AS entry ON entry.id = item.entry_id
    WHERE item.entry_id = ANY(:entries)
      AND NOT EXISTS (SELECT FROM outbox_dispatch_items AS beside
                      WHERE beside.dispatch_id = item.dispatch_id
                        AND beside.position <> item.position)
    GROUP BY entry.id
    HAVING sum(dispatch.silences) >= :silences
    """,
)


def _with_those_that_never_arrive(
    session: Session, sent: Sent, outcomes: Mapping[int, Outcome]
) -> dict[int, Outcome]:
    """An entry that was sent alone repeatedly, and was never answered or found, needs a person. It
    gets the last fault reported for it."""
    sought = {item.entry_id for item in sent.items if item.intent == "look_up"}
    absent = [
        id_
        for id_, outcome in outcomes.items()
        if isinstance(outcome, Learned)
        # a look-up for a change always finds the record
        and not (id_ in sought and outcome.knowledge.get("found"))
    ]
    rows = session.execute(_NEVER_ANSWERED, {"entries": absent, "silences": SILENCES})
    return {**outcomes, **{row.id: Rejected(_said_last(row, sent)) for row in rows}}


_CANNOT_BE_LOOKED_FOR = text(
    """
    SELECT entry.id, entry.fault_code, entry.fault_about, entry.fault_field, entry.fault_detail
    FROM outbox AS entry JOIN outbox_dispatches AS dispatch ON dispatch.id = :dispatch
    WHERE entry.id = :entry AND dispatch.silences >= :silences
    """
)


def _given_up(session: Session, sent: Sent) -> dict[int, Outcome]:
    """A look-up got no answer. If it never does while others do, a person must decide: we can't
    tell whether the record arrived."""
    if len(sent.due) > 1:
        return {}
    values = {"dispatch": sent.id, "entry": min(sent.due), "silences": 2 * SILENCES}
    rows = session.execute(_CANNOT_BE_LOOKED_FOR, values)
    return {row.id: Rejected(_said_last(row)) for row in rows}


def _said_last(row: Row[Any], found_by: Sent | None = None) -> Fault:
    """The last fault of an entry, and whether a look-up was answered: that it is not there."""
    about = {**row.fault_about, WAS_LOOKED_FOR: bool(found_by and found_by.looks_up)}
    if row.fault_code is None:
        return Fault("unanswered", about)
    return Fault(row.fault_code, about, row.fault_field, row.fault_detail or "")


_NOTE_FAULTS = text(
    """
    UPDATE outbox AS entry
    SET fault_code = row.code, fault_about = row.about, fault_field = row.field,
        fault_detail = row.detail
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row (
        id bigint, code text, about jsonb, field text, detail text)
    WHERE entry.id = row.id AND entry.state = 'pending'
    """
)


def _note_what_was_said(session: Session, unsure: Mapping[int, Fault]) -> None:
    """Stores faults of entries that stay open, to show a person if
    nothing more is ever found out."""
    rows = [{"id": entry_id, **vars(fault)} for entry_id, fault in unsure.items()]
    session.execute(_NOTE_FAULTS, {"rows": as_json(rows)})


# --- Entries ------------------------------------------------------------------------------------


@dataclass
class _Row:
    """The new state of one entry, as one row of the settling statement."""

    entry_id: int
    state: str = State.PENDING
    spends_attempt: bool = False
    delay: float = 0  # seconds until it may be sent again, while pending
    waits_for_type: str | None = None
    waits_for_id: int | None = None
    keeps_fault: bool = False
    fault_code: str | None = None
    fault_about: dict[str, Any] | None = None
    fault_field: str | None = None
    fault_detail: str | None = None
    knowledge: dict[str, Any] | None = None
    checks: bool | None = None


_SETTLE_ENTRIES = prepared(
    "settle_entries",
    """
    UPDATE outbox AS entry
    SET state = row.state,
        settled_at = CASE WHEN row.state = 'pending' THEN NULL ELSE clock_timestamp() END,
        attempts = entry.attempts + CASE WHEN row.spends_attempt THEN 1 ELSE 0 END,
        available_at = CASE WHEN row.state = 'pending'
                            THEN clock_timestamp() + make_interval(secs => row.delay)
                            ELSE entry.available_at END,
        waits_for_type = row.waits_for_type,
        waits_for_id = row.waits_for_id,
        fault_code = CASE WHEN row.keeps_fault THEN entry.fault_code ELSE row.fault_code END,
        fault_about = CASE WHEN row.keeps_fault THEN entry.fault_about
                           ELSE coalesce(row.fault_about, '{}'::jsonb) END,
        fault_field = CASE WHEN row.keeps_fault THEN entry.fault_field ELSE row.fault_field END,
        fault_detail = CASE WHEN row.keeps_fault THEN entry.fault_detail ELSE row.fault_detail END,
        knowledge = entry.knowledge || coalesce(row.knowledge, '{}'::jsonb),
        checks = coalesce(row.checks, entry.checks),
        trace_id = coalesce(:trace_id, entry.trace_id)
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row (
        entry_id bigint, state text, spends_attempt boolean, delay double precision,
        waits_for_type text, waits_for_id bigint, keeps_fault boolean, fault_code text,
        fault_about jsonb, fault_field text, fault_detail text, knowledge jsonb, checks boolean)
    -- by its key: the index by state reads all that waits
    WHERE entry.id = ANY(CAST(:entries AS bigint[])) AND entry.id = row.entry_id
      AND entry.state || '' = 'pending'
    RETURNING entry.id, entry.state,
              extract(epoch FROM clock_timestamp() - entry.created_at) AS seconds
    """,
)

_ATTEMPTS = prepared(
    "attempts",
    """
    SELECT id, attempts, clock_timestamp() - coalesce(first_attempt_at, clock_timestamp()) AS since
    FROM outbox WHERE id = ANY(:entries)
    """,
)

# Entries that waited for a record that now changed are checked again by the next claim.
_RELEASE = prepared(
    "release",
    """
    UPDATE outbox SET waits_for_type = NULL, waits_for_id = NULL
    FROM jsonb_to_recordset(CAST(:records AS jsonb)) AS record (type text, id bigint)
    WHERE outbox.lane_id = :lane AND outbox.waits_for_type = record.type
      AND outbox.waits_for_id = record.id
    """,
)


# QuickBooks raises an invoice's version when a payment is applied to it. For a changed payment, we
# don't know what the invoice can still be paid.
_APPLY_PAYMENTS = prepared(
    "apply_payments",
    """
    WITH payment AS (
        SELECT invoice, CASE WHEN bool_and(applied IS NOT NULL) THEN sum(applied) END AS applied
        FROM jsonb_to_recordset(CAST(:payments AS jsonb)) AS row (invoice bigint, applied numeric)
        GROUP BY invoice
    )
    UPDATE outbox_links AS link
    SET stale = true, remote_balance = (link.remote_balance::numeric - payment.applied)::text,
        updated_at = clock_timestamp()
    FROM payment
    WHERE link.lane_id = :lane AND link.aggregate_type = 'invoice'
      AND link.aggregate_id = payment.invoice
    """,
)

# Whether a failed or skipped entry is the last that a person saved of its record: older ones are
# history, and no person saved a check of ours.
_IS_LAST_WORD = f"""(
    NOT entry.{IS_OWN_CHECK}
    AND NOT EXISTS (
        SELECT FROM outbox AS newer
        WHERE newer.lane_id + 0 = :lane AND newer.aggregate_type = 'payment'
          AND newer.aggregate_id = entry.aggregate_id AND newer.id > entry.id
          AND newer.state || '' = 'synced'
          AND NOT newer.{IS_OWN_CHECK}))"""

# Payments of these invoices are read, and what is credit of them is applied as far as it can be:
# a void gave the invoice its balance back, or it was raised. Or it was lowered: QuickBooks took
# some off them, and does not say of which. What counts is the credit stored for each, even if part
# of it or of others was paid back. The values are those that QuickBooks acknowledged, so that no
# change here counts as sent with them.
_READ_PAYMENTS = text(
    f"""
    INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id,
                        operation, payload, taken_along_for, checks, knowledge)
    SELECT link.organization_id, :lane, 'payment', payment.id, 'save', standing.payload,
           'invoice ' || (standing.payload ->> 'invoice_number'), true,
           jsonb_build_object(CAST(:why AS text), true)
           || CASE WHEN :why = '{WAS_TAKEN_OFF}' THEN jsonb_build_object('at_most', '0')
                   ELSE jsonb_build_object() END
    FROM payments AS payment
    JOIN outbox_links AS billed
      ON billed.lane_id = :lane AND billed.aggregate_type = 'invoice'
     AND billed.aggregate_id = payment.invoice_id
    JOIN outbox_links AS link
      ON link.lane_id = :lane AND link.aggregate_type = 'payment'
     AND link.aggregate_id = payment.id AND link.remote_id IS NOT NULL
     AND link.voided_at IS NULL
    CROSS JOIN LATERAL (
        SELECT coalesce(link.declined_values, link.sent_values) AS payload) AS standing
    WHERE payment.invoice_id = ANY(:invoices) AND payment.id <> ALL(:besides)
      AND standing.payload IS NOT NULL
      AND (:why = '{WAS_TAKEN_OFF}'
           OR coalesce(link.remote_balance::numeric > 0, true)
              AND coalesce(billed.remote_balance::numeric > 0, true))
      AND NOT EXISTS (
        SELECT FROM outbox AS entry
        WHERE entry.lane_id + 0 = :lane AND entry.aggregate_type = 'payment'
          AND entry.aggregate_id = payment.id
          AND CASE entry.state || ''
              -- anything captured goes instead; and what was taken off is read before it goes back
              WHEN 'pending'
                  THEN :why <> '{WAS_TAKEN_OFF}' OR NOT entry.knowledge ? '{APPLIES_CREDIT}'
              WHEN 'failed' THEN {_IS_LAST_WORD}
              WHEN 'skipped' THEN {_IS_LAST_WORD}
              ELSE false END)
    ORDER BY payment.id
    """  # noqa: S608  (only constants of ours are put together)
)

# How much QuickBooks took off at most, over all payments of the invoice: with each lowering more.
_NOTE_TAKEN_OFF = text(
    f"""
    UPDATE outbox AS entry
    SET knowledge = entry.knowledge || jsonb_build_object(
        'at_most', ((entry.knowledge ->> 'at_most')::numeric + lowered.taken)::text)
    FROM jsonb_to_recordset(CAST(:lowered AS jsonb)) AS lowered (invoice bigint, taken numeric)
    JOIN payments AS payment ON payment.invoice_id = lowered.invoice
    WHERE entry.lane_id = :lane AND entry.state = 'pending' AND entry.aggregate_type = 'payment'
      AND entry.aggregate_id = payment.id
      AND entry.knowledge ?& ARRAY['{WAS_TAKEN_OFF}', 'at_most']
    """  # noqa: S608  (only constants of ours are put together)
)


def settle_entries(
    session: Session,
    lane_id: int,
    outcomes: Mapping[int, Outcome],
    due: Mapping[int, Due],
    trace_id: str | None = None,
) -> int:
    """Writes outcomes to entries and links; returns how many entries left the queue.

    The caller holds the lane. Counterparts come first: one that is taken turns its entry's success
    into a question for a person.
    """
    if not outcomes:
        return 0
    outcomes = counterparts.write(session, lane_id, outcomes, due)
    rows = _rows(session, outcomes, due)
    settled = session.execute(
        _SETTLE_ENTRIES,
        {
            "entries": [row.entry_id for row in rows],
            "rows": as_json([vars(row) for row in rows]),
            "trace_id": trace_id,
        },
    )
    for entry in settled:
        if entry.state == State.SYNCED and not due[entry.id].checks:  # sent again: not a delay
            metrics.DELAYS.observe(max(0.0, float(entry.seconds)))
    moved = [row.entry_id for row in rows if row.state != State.PENDING]
    _release(session, lane_id, [due[entry_id].record for entry_id in moved])
    _release_newer(
        session,
        lane_id,
        [id_ for id_, outcome in outcomes.items() if isinstance(outcome, Later | Retry | Waiting)],
    )
    _settle_money(session, lane_id, [(due[id_], outcome) for id_, outcome in outcomes.items()])
    if any(isinstance(outcome, Synced) for outcome in outcomes.values()):
        session.execute(_NOTE_SYNCED, {"lane": lane_id})
    return len(moved)


_NOTE_SYNCED = text("UPDATE outbox_lanes SET last_synced_at = clock_timestamp() WHERE id = :lane")


def _settle_money(session: Session, lane_id: int, settled: Sequence[tuple[Due, Outcome]]) -> None:
    """Stores and reads what follows for balances, of invoices and of their payments."""
    if payments := [one for one in settled if one[0].record.type == RecordType.PAYMENT]:
        _apply_payments(session, lane_id, payments)
        freed, entered = list(_freed(payments)), list(_entered(payments))
        _read_payments(session, lane_id, freed, APPLIES_CREDIT, besides=entered)
    if invoices := [one for one in settled if one[0].record.type == RecordType.INVOICE]:
        _read_payments(session, lane_id, list(_raised(invoices)), APPLIES_CREDIT)
        _read_lowered(session, lane_id, dict(_lowered(invoices)))


def _apply_payments(
    session: Session, lane_id: int, payments: Sequence[tuple[Due, Outcome]]
) -> None:
    """Stores what payments took of their invoices' balances, or gave back."""
    rows = [
        {"invoice": due.payload["invoice_id"], "applied": applied}
        for due, outcome in payments
        for applied in _applied(outcome, due)
    ]
    if rows:
        session.execute(_APPLY_PAYMENTS, {"lane": lane_id, "payments": as_json(rows)})


def _read_payments(
    session: Session, lane_id: int, invoices: Sequence[int], why: str, besides: Sequence[int] = ()
) -> None:
    if invoices:
        values = {"lane": lane_id, "invoices": invoices, "why": why, "besides": list(besides)}
        session.execute(_READ_PAYMENTS, values)


def _read_lowered(session: Session, lane_id: int, lowered: Mapping[int, Decimal]) -> None:
    """Reads the payments of these invoices, of which QuickBooks took so much off."""
    if lowered:
        _read_payments(session, lane_id, list(lowered), WAS_TAKEN_OFF)
        rows = [{"invoice": id_, "taken": str(taken)} for id_, taken in lowered.items()]
        session.execute(_NOTE_TAKEN_OFF, {"lane": lane_id, "lowered": as_json(rows)})


def _freed(payments: Sequence[tuple[Due, Outcome]]) -> Iterator[int]:
    """The invoices of payments that may take less in QuickBooks now: void, by our request or
    otherwise, or as a person entered them. How much they took is not always known: the answer may
    be lost, and the void is looked up. And of those that QuickBooks took some off: the invoice may
    have been raised before that was read. A new payment that left credit may have been composed
    when its invoice took less."""
    for due, outcome in payments:
        match outcome:
            case Synced(remote=Remote(voided=True)):
                yield due.payload["invoice_id"]
            case Synced() if due.known.decision.get("entered") or WAS_TAKEN_OFF in due.knowledge:
                yield due.payload["invoice_id"]
            case Synced(remote=Remote(balance=str(credit))) if not due.known.remote:
                if Decimal(credit) > 0:
                    yield due.payload["invoice_id"]


def _entered(payments: Sequence[tuple[Due, Outcome]]) -> Iterator[int]:
    """The payments that a person entered, and left as they are there."""
    for due, _outcome in payments:
        if due.known.decision.get("entered"):
            yield due.record.id


def _raised(invoices: Sequence[tuple[Due, Outcome]]) -> Iterator[int]:
    """The invoices that have a higher total in QuickBooks now, and are not paid there."""
    for due, total, balance in _changed_totals(invoices):
        if total > min(_totals_before(due)) and balance > 0:
            yield due.record.id


def _lowered(invoices: Sequence[tuple[Due, Outcome]]) -> Iterator[tuple[int, Decimal]]:
    """The invoices that have a lower total in QuickBooks now, with how much QuickBooks took off
    their payments at most: what they paid above the total. Of one that is still open it took
    nothing off."""
    for due, total, balance in _changed_totals(invoices):
        taken = _paid_before(due) - total
        if total < max(_totals_before(due)) and balance <= 0 and taken > 0:
            yield due.record.id, taken


def _paid_before(due: Due) -> Decimal:
    """What of an invoice was paid in QuickBooks before this entry, at most. A balance that goes
    with another total is of after it."""
    before, remote = max(_totals_before(due)), due.known.remote
    if remote and remote.total and remote.balance and Decimal(remote.total) == before:
        return before - Decimal(remote.balance)
    return before


def _changed_totals(
    invoices: Sequence[tuple[Due, Outcome]],
) -> Iterator[tuple[Due, Decimal, Decimal]]:
    """Invoices that were there before and now match ours, with total and balance."""
    for due, outcome in invoices:
        match outcome:
            case Synced(remote=Remote(total=str(total), balance=str(balance), voided=False)) if (
                _totals_before(due)
            ):
                yield due, Decimal(total), Decimal(balance)


def _totals_before(due: Due) -> list[Decimal]:
    """An invoice's total in QuickBooks before this entry. What is known of it there may be the new
    one already, if the answer to the change was lost and it was read since."""
    remote, sent = due.known.remote, due.known.sent_values
    known = [remote and remote.total, sent and sent.get("total")]
    return [Decimal(total) for total in known if total]


def _applied(outcome: Outcome, due: Due) -> tuple[str | None, ...]:
    """What a payment took of its invoice's balance, if anything; None if that is not known."""
    match outcome:
        case Synced(applied=applied):
            return (applied,)
        case Learned(remote=Remote()) | Learned(knowledge={"found": dict()}) if (
            not due.known.remote
        ):
            return (None,)  # it was found to be there
        case _:
            return ()


def _rows(session: Session, outcomes: Mapping[int, Outcome], due: Mapping[int, Due]) -> list[_Row]:
    retried = [entry_id for entry_id, outcome in outcomes.items() if isinstance(outcome, Retry)]
    history: dict[int, Row[Any]] = {}
    if retried:
        history = {row.id: row for row in session.execute(_ATTEMPTS, {"entries": retried})}
    rows = [
        _row(entry_id, outcome, history.get(entry_id)) for entry_id, outcome in outcomes.items()
    ]
    return [
        _in_time(_ended(row), MAX_CHECK_DELAY)
        if due[row.entry_id].is_own_check
        else _in_time(row, MAX_DELAY)
        for row in rows
    ]


def _in_time(row: _Row, longest: timedelta) -> _Row:
    """What waits longer is taken for an entry of before the clock went back (`watchdog.py`)."""
    row.delay = min(row.delay, longest.total_seconds())
    return row


def _ended(row: _Row) -> _Row:
    """A check of ours that could not be carried out ends, because no person wanted it. Its fault
    stays for the payment's page: the payment is in QuickBooks as it was."""
    return replace(row, state=State.SYNCED, checks=False) if row.state == State.FAILED else row


def _row(entry_id: int, outcome: Outcome, history: Any) -> _Row:
    match outcome:
        case Synced(note=note):
            return _Row(
                entry_id, State.SYNCED, checks=False, knowledge={"note": note} if note else None
            )
        case Unneeded():
            return _Row(entry_id, State.SUPERSEDED)
        case Declined():
            return _Row(entry_id, State.SKIPPED)
        case Learned(knowledge=knowledge):
            checks = False if knowledge.get("checked") else None
            return _Row(entry_id, keeps_fault=True, knowledge=dict(knowledge), checks=checks)
        case Later(after=after, knowledge=knowledge):
            delay = after.total_seconds()
            return _Row(entry_id, keeps_fault=True, knowledge=dict(knowledge), delay=delay)
        case Waiting(for_record=record):
            return _Row(entry_id, waits_for_type=record.type, waits_for_id=record.id)
        case Retry(fault=fault):
            decision = after_own_fault(history.attempts + 1, history.since, random.random())  # noqa: S311
            if isinstance(decision, GiveUp):
                return _faulty(_Row(entry_id, State.FAILED, spends_attempt=True), fault)
            seconds = decision.after.total_seconds()
            return _faulty(_Row(entry_id, spends_attempt=True, delay=seconds), fault)
        case Rejected(fault=fault):
            return _faulty(_Row(entry_id, State.FAILED, spends_attempt=True), fault)


def _faulty(row: _Row, fault: Fault) -> _Row:
    row.fault_code = fault.code
    row.fault_about = dict(fault.about)
    row.fault_field = fault.field
    row.fault_detail = fault.detail
    return row


def _release(session: Session, lane_id: int, records: list[Record]) -> None:
    if records:
        rows = [{"type": record.type, "id": record.id} for record in records]
        session.execute(_RELEASE, {"lane": lane_id, "records": as_json(rows)})


# A newer entry of a record only waited while an older one was being sent.
_RELEASE_NEWER = prepared(
    "release_newer",
    """
    UPDATE outbox AS newer SET waits_for_type = NULL, waits_for_id = NULL
    FROM outbox AS entry
    WHERE entry.id = ANY(:entries) AND newer.lane_id = :lane
      AND newer.waits_for_type = entry.aggregate_type AND newer.waits_for_id = entry.aggregate_id
      AND newer.aggregate_type = entry.aggregate_type AND newer.aggregate_id = entry.aggregate_id
    """,
)


def _release_newer(session: Session, lane_id: int, freed: Sequence[int]) -> None:
    """An entry that is free again may be superseded by what was
    written meanwhile, such as a fix."""
    if freed:
        session.execute(_RELEASE_NEWER, {"entries": sorted(freed), "lane": lane_id})
