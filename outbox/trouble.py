"""What an answer means for its lane: go on, pause, or wait for a person.

Writes and reads are treated separately. A read that is unanswered or throttled pauses only the
lane's reads, and an answered read does not end an outage of writes.

An unanswered request may at first be its own problem. The company is blamed if another one got no
answer either; if the same one stays unanswered while the lane's other calls are answered, it counts
against that one (`settle.SILENCES`).
"""

import random
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from outbox.company import Hold, Pause, Reading, Sent
from outbox.retry import after_outage, after_refused_questions, after_throttle

PROOF_AFTER = timedelta(seconds=20)  # until the next write, sent alone, must confirm the first
REST_OF_OTHERS = timedelta(seconds=5)  # for a question that had no answer while others rest

log = structlog.get_logger()

# What `settle` reads of the lane when it locks it. Which record was unanswered, because a newer
# version of it is another entry.
FACTS = (
    "consecutive_outages, silent_entry_id, hold_suspected, sign_in, questions_unanswered,"
    " (SELECT aggregate_type || ' ' || aggregate_id FROM outbox"
    "  WHERE outbox.id = silent_entry_id) AS silent_record,"
    " (SELECT aggregate_type || ' ' || aggregate_id FROM outbox"
    "  WHERE outbox.id = silent_question_entry_id) AS silent_question_record,"
    " coalesce(pause_until > clock_timestamp(), false) AS is_resting,"
    " coalesce(questions_rest_until > clock_timestamp(), false) AS are_questions_resting"
)

_COUNT_SILENCE = text("UPDATE outbox_dispatches SET silences = silences + 1 WHERE id = :dispatch")

_FIRST_SILENCE = text(
    "UPDATE outbox_lanes SET consecutive_outages = 1, silent_entry_id = :entry WHERE id = :lane"
)

_PAUSE = text(
    """
    UPDATE outbox_lanes
    SET pause_until = clock_timestamp() + :delay, pause_reason = :reason,
        consecutive_outages = consecutive_outages + CASE WHEN :outage THEN 1 ELSE 0 END,
        outage_since = CASE WHEN :outage THEN coalesce(outage_since, clock_timestamp())
                            ELSE outage_since END,
        silent_entry_id = CASE WHEN :outage THEN :silent ELSE silent_entry_id END
    WHERE id = :lane
    """
)

_WORKS = text(
    """
    UPDATE outbox_lanes
    SET consecutive_outages = 0, outage_since = NULL, silent_entry_id = NULL, hold_suspected = NULL
    WHERE id = :lane
    """
)

# If nothing is left to send, no write would find out that the outage is over.
_NOTHING_LEFT = text(
    """
    UPDATE outbox_lanes AS lane
    SET consecutive_outages = 0, outage_since = NULL, silent_entry_id = NULL
    WHERE id = :lane AND NOT EXISTS (SELECT FROM outbox AS entry
                                     WHERE entry.lane_id = lane.id AND entry.state = 'pending')
    """
)

# The next write is sent alone (`waves`: a lane without an answer is probed with one entry).
_SUSPECT = text(
    """
    UPDATE outbox_lanes
    SET hold_suspected = :reason,
        pause_until = clock_timestamp() + :delay, pause_reason = 'refused',
        consecutive_outages = greatest(consecutive_outages, 1), silent_entry_id = NULL
    WHERE id = :lane
    """
)

_HOLD = text(
    """
    UPDATE outbox_lanes SET state = 'held', hold_reason = :reason
    WHERE id = :lane AND state = 'open'
    """
)

_REST_QUESTIONS = text(
    """
    UPDATE outbox_lanes
    SET questions_rest_until = clock_timestamp() + :delay, questions_rest_reason = :reason,
        questions_unanswered = questions_unanswered + 1, silent_question_entry_id = :entry,
        questions_rest_since = coalesce(questions_rest_since, clock_timestamp())
    WHERE id = :lane
    """
)

# After all others with a read: each pause may be one entry's fault, and ends with another one.
_ASK_LATER = text(
    """
    UPDATE outbox SET available_at = clock_timestamp() + :delay + interval '1 second'
    WHERE id = ANY(:entries) AND state = 'pending'
    """
)

_QUESTIONS_WORK = text(
    """
    UPDATE outbox_lanes
    SET questions_rest_until = NULL, questions_rest_reason = NULL, questions_unanswered = 0,
        questions_rest_since = NULL, silent_question_entry_id = NULL
    WHERE id = :lane
    """
)


def settle_lane(session: Session, sent: Sent, reading: Reading, lane: Row[Any]) -> None:
    """The lane's state after a call. `lane` holds its FACTS; the caller holds its lock."""
    if isinstance(reading.trouble, Hold) and reading.trouble.certain:
        _hold(session, sent, lane, reading.trouble.reason)
    elif sent.method == "GET":
        _settle_question(session, sent, reading, lane)
    else:
        _settle_write(session, sent, reading, lane)


# --- Writes ---------------------------------------------------------------------------------------


def _settle_write(session: Session, sent: Sent, reading: Reading, lane: Row[Any]) -> None:
    if lane.is_resting or _was_sent_before(sent, lane):
        return  # it was sent before the rest began: one trouble, however many requests saw it
    match reading.trouble:
        case Pause(reason="throttled", for_=told):
            _pause(session, sent, "throttled", after_throttle(told, _chance()))
        case Pause(reason=reason) if reading.is_silent:
            _settle_silence(session, sent, reason, lane)
        case Pause(reason=reason):
            _pause(session, sent, reason, after_outage(lane.consecutive_outages + 1, _chance()))
        case Hold(reason=reason) if reason == lane.hold_suspected:
            _hold(session, sent, lane, reason)
        case Hold(reason=reason):
            _suspect(session, sent, lane, reason)
        case None:
            _settle_answered(session, sent, reading, lane)


def _settle_silence(session: Session, sent: Sent, reason: str, lane: Row[Any]) -> None:
    """Nothing came back. It counts against the request as long as no other one is known to be
    unanswered, also in an outage: perhaps nothing else waits that could end it."""
    outages, is_the_only_one = lane.consecutive_outages, _is_the_only_one(sent, lane)
    if not outages or is_the_only_one:
        _count_silence(session, sent)
    if not outages:
        session.execute(_FIRST_SILENCE, {"lane": sent.lane_id, "entry": _first(sent)})
    elif outages > 1 or not is_the_only_one:
        delay = after_outage(outages + 1, _chance())
        _pause(session, sent, reason, delay, is_silent=True)


def _settle_answered(session: Session, sent: Sent, reading: Reading, lane: Row[Any]) -> None:
    if sent.due.keys() - reading.outcomes.keys() and not lane.consecutive_outages:
        _count_silence(session, sent)  # the answer lacked some items of a batch
    if lane.consecutive_outages or lane.hold_suspected:
        session.execute(_WORKS, {"lane": sent.lane_id})


def _was_sent_before(sent: Sent, lane: Row[Any]) -> bool:
    """Whether the trouble that the lane is recovering from was noticed while this was under way. Of
    a single silence the next answer tells whether it is trouble."""
    is_one_silence = lane.consecutive_outages == 1 and lane.silent_entry_id is not None
    return bool(sent.outages < lane.consecutive_outages and not is_one_silence)


def _is_the_only_one(sent: Sent, lane: Row[Any]) -> bool:
    """Whether the unanswered call before was for the same record, while reads are answered. During
    an outage records take turns, so then no other one waits."""
    is_same = lane.silent_record == _first_record(sent)
    return bool(is_same and not lane.questions_unanswered)


def _first(sent: Sent) -> int:
    return min(sent.due)


def _first_record(sent: Sent) -> str:
    record = sent.due[_first(sent)].record
    return f"{record.type} {record.id}"


def _count_silence(session: Session, sent: Sent) -> None:
    session.execute(_COUNT_SILENCE, {"dispatch": sent.id})


def _pause(
    session: Session, sent: Sent, reason: str, delay: timedelta, *, is_silent: bool = False
) -> None:
    values = {"lane": sent.lane_id, "delay": delay, "reason": reason}
    values |= {"outage": reason == "outage", "silent": _first(sent) if is_silent else None}
    session.execute(_PAUSE, values)
    seconds = delay / timedelta(seconds=1)
    log.warning("lane paused", lane=sent.lane_id, reason=reason, seconds=seconds)


# --- Holds ----------------------------------------------------------------------------------------


def _suspect(session: Session, sent: Sent, lane: Row[Any], reason: str) -> None:
    if sent.sign_in != lane.sign_in:
        return  # about an earlier sign-in: a person who has reconnected is not asked again
    session.execute(_SUSPECT, {"lane": sent.lane_id, "reason": reason, "delay": PROOF_AFTER})
    log.warning("lane asks once more before it is held", lane=sent.lane_id, reason=reason)


def _hold(session: Session, sent: Sent, lane: Row[Any], reason: str) -> None:
    if sent.sign_in != lane.sign_in:
        return
    session.execute(_HOLD, {"lane": sent.lane_id, "reason": reason})
    log.warning("lane held", lane=sent.lane_id, reason=reason)


# --- Questions ------------------------------------------------------------------------------------


def _settle_question(session: Session, sent: Sent, reading: Reading, lane: Row[Any]) -> None:
    if reading.trouble is None:
        if lane.questions_unanswered and not lane.are_questions_resting:
            session.execute(_QUESTIONS_WORK, {"lane": sent.lane_id})
        if lane.consecutive_outages:
            session.execute(_NOTHING_LEFT, {"lane": sent.lane_id})
        return
    if lane.are_questions_resting:
        _ask_later(session, sent, REST_OF_OTHERS)
        return
    is_first = not lane.questions_unanswered
    is_own = (
        lane.questions_unanswered == 1
        and lane.silent_question_record == _first_record(sent)
        and not lane.consecutive_outages
    )
    if reading.is_silent and (is_first or is_own):
        _count_silence(session, sent)
    _rest_questions(session, sent, reading, 0 if is_own else lane.questions_unanswered)


def _rest_questions(session: Session, sent: Sent, reading: Reading, before: int) -> None:
    match reading.trouble:
        case Pause(reason="throttled", for_=told):
            reason, delay = "throttled", after_refused_questions(before + 1, told, _chance())
        case _:
            reason, delay = "outage", after_outage(before + 1, _chance())
    session.execute(
        _REST_QUESTIONS,
        {"lane": sent.lane_id, "delay": delay, "reason": reason, "entry": _first(sent)},
    )
    _ask_later(session, sent, delay)
    seconds = delay / timedelta(seconds=1)
    log.warning("questions of a lane rest", lane=sent.lane_id, reason=reason, seconds=seconds)


def _ask_later(session: Session, sent: Sent, delay: timedelta) -> None:
    if not sent.looks_up:
        session.execute(_ASK_LATER, {"entries": sorted(sent.due), "delay": delay})


def _chance() -> float:
    return random.random()  # noqa: S311  (spreads probes, guards nothing)
