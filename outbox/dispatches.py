"""Deliver, first half: chooses, composes and stores the next request before it is sent.

`next_dispatch` does it in one transaction, under the lane's row lock:

1. A dispatch without an answer comes first: it is repeated byte for byte, or, if it is old or was
   sent often, looked up.
2. Otherwise a wave is chosen: the newest free entry of each due record, with all it needs in
   place. Older free entries of those records are superseded. Entries that must wait are marked with
   what they wait for.
3. The company composes one request of the wave. Entries it settles without a request are settled
   here; the request is stored, and sent after the commit.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

import structlog
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.base import Json
from models.outbox import Entry
from models.sales import Record, RecordType
from outbox.company import (
    Company,
    Composition,
    Doubt,
    Draft,
    Due,
    Fault,
    Item,
    Later,
    Outcome,
    Rejected,
    Remote,
    Sent,
    Waiting,
)
from outbox.counterparts import REQUEST_ID_TRUSTED_FOR, counterparts_of, keep_doubts
from outbox.in_flight import InFlight
from outbox.lanes import (
    FAIL_AFTER,
    SOLO_AFTER,
    SPEND,
    Claim,
    Renewed,
    budget_after,
    release,
    renew,
)
from outbox.pace import Limits
from outbox.settle import settle_entries, settle_looked_up
from outbox.waves import Loaded, Wave, choose_wave, due_from, load
from prepared import prepared

MAX_ROUNDS = 20  # look-ups in one turn of a lane that find nothing to send
SENDS_BEFORE_LOOK_UP = 3
# if the next batch is at least this far away, one entry may be sent alone
SINGLE_FITS = timedelta(milliseconds=300)

# for what meets a request whose outcome is unknown: until it is asked again whether that is known
ASK_AGAIN = timedelta(seconds=5)
BETWEEN_CLAIMS = "\x1f"  # in no name, number or address that is sent

FEW_IN_FLIGHT = 2  # while the company wants fewer calls
NOTHING = InFlight()  # for callers that send one request after another

log = structlog.get_logger()


@dataclass(frozen=True)
class Rest:
    """Nothing to send now, but the lane wants another turn after this long: its rate
    budget is spent (it is paused then), or it was searched for long enough without
    finding anything to send."""

    for_: timedelta


@dataclass(frozen=True)
class Blocked:
    """Everything that could be sent conflicts with a request in progress."""


def next_dispatch(
    sessions: Sessions,
    claim: Claim,
    company: Company,
    config: Config,
    under_way: InFlight = NOTHING,
) -> Sent | Rest | None:
    """Stores the next request of this lane and renews the lease; None when there is none now.

    None also means: lease lost, or lane closed, held or paused; or what is due must wait until a
    request under way has its answer. Without a request, and with none under way, the lane is given
    back.
    """
    blocked: set[RecordType] = set()
    for _ in range(MAX_ROUNDS):
        next_ = _look_once(sessions, claim, company, config, under_way, blocked)
        if not isinstance(next_, _LookAgain):
            return next_
    with sessions.begin() as session:
        _give_back(session, claim, under_way)
    return Rest(timedelta(0))


@dataclass(frozen=True)
class _LookAgain:
    """All that was looked at was settled or has to wait; there may be more after it."""


def _look_once(
    sessions: Sessions,
    claim: Claim,
    company: Company,
    config: Config,
    under_way: InFlight,
    blocked: set[RecordType],
) -> Sent | Rest | _LookAgain | None:
    with sessions.begin() as session:
        lane = renew(session, claim, config.lease)
        if lane is None:
            _give_back(session, claim, under_way)
            return None
        if _has_enough(claim, lane, under_way):
            return None
        if wait := company.limits.slowed(lane.slowdown).calls.wait(lane.next_call_at, lane.now):
            return _rest(session, claim, wait, under_way)
        loaded = load(session, claim, config.resend_after)
        if not loaded.is_due_again:
            return _next_of_wave(session, claim, lane, loaded, company, config, under_way, blocked)
        if under_way.count:
            return None  # it may be sent once nothing else is in progress
        unanswered = _unanswered(session, claim, lane, config)
    if unanswered is None:
        return _LookAgain()
    return _repeat(sessions, claim, unanswered, company, config) or _LookAgain()


def _has_enough(claim: Claim, lane: Renewed, under_way: InFlight) -> bool:
    """Whether no other request may be sent beside those under way."""
    if not under_way.count:
        return False
    is_trial = lane.consecutive_outages > 0 or claim.takes_one  # a trial must be alone
    return is_trial or (lane.slowdown > 1 and under_way.count >= FEW_IN_FLIGHT)


def _next_of_wave(
    session: Session,
    claim: Claim,
    lane: Renewed,
    loaded: Loaded,
    company: Company,
    config: Config,
    under_way: InFlight,
    blocked: set[RecordType],
) -> Sent | Rest | _LookAgain | None:
    size = company.limits.slowed(lane.slowdown).wave
    wave = choose_wave(session, claim, lane, loaded, size, config.resend_after, blocked)
    if wave is None:
        _give_back(session, claim, under_way)
        return None
    if blocked and not wave.due:
        return None
    stored = _compose_and_store(
        session, claim, lane, wave, company, config, under_way, loaded.doubted
    )
    if isinstance(stored, Blocked):
        blocked.add(wave.due[0].record.type)  # records of other types may be sent
        return _LookAgain()
    return stored or _LookAgain()


def _give_back(session: Session, claim: Claim, under_way: InFlight) -> None:
    if not under_way.count:
        release(session, claim)


def _rest(session: Session, claim: Claim, wait: timedelta, under_way: InFlight) -> Rest:
    if under_way.count:
        return Rest(wait)
    release(session, claim)
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
          AND entry.available_at <= now() AND NOT entry.withheld
        ORDER BY item.dispatch_id
        LIMIT 1
    )
    """
)

_ITEMS = text(
    """
    SELECT item.position, item.intent, item.document, item.outcome, item.repeats_unsettled, entry.*,
           entry.available_at <= now() AS is_due,
           EXISTS (SELECT FROM outbox_links AS link
                   WHERE link.lane_id = entry.lane_id
                     AND link.aggregate_type = entry.aggregate_type
                     AND link.aggregate_id = entry.aggregate_id
                     AND link.decision -> 'skip' IS NOT NULL) AS is_declined
    FROM outbox_dispatch_items AS item JOIN outbox AS entry ON entry.id = item.entry_id
    WHERE item.dispatch_id = :dispatch
    ORDER BY item.position
    """
).columns(operation=Entry.operation.type)

_SPEND = text(SPEND)

_SEND_AGAIN = text(
    """
    UPDATE outbox_dispatches
    SET sends = sends + 1, sent_at = clock_timestamp(), goes_again = false
    WHERE id = :dispatch
    """
)

_COUNT_REPEAT = text(
    """
    UPDATE outbox_dispatch_items SET repeats_unsettled = repeats_unsettled + 1
    WHERE dispatch_id = :dispatch AND entry_id = ANY(:entries)
    """
)

# Items that need another kind of question are asked in the next round.
_ASK_NEXT = text(
    """
    WITH item AS (
        UPDATE outbox_dispatch_items SET repeats_unsettled = repeats_unsettled - 1
        WHERE dispatch_id = :dispatch AND entry_id = ANY(:entries)
        RETURNING entry_id
    )
    UPDATE outbox SET available_at = clock_timestamp() FROM item WHERE outbox.id = item.entry_id
    """
)

_STILL_OPEN = text(
    """
    SELECT entry_id FROM outbox_dispatch_items
    WHERE dispatch_id = :dispatch AND entry_id = ANY(:entries) AND outcome IS NULL
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


@dataclass(frozen=True)
class _Unanswered:
    """A dispatch whose outcome is unknown, and the items to ask about next."""

    dispatch: Row[Any]
    items: Sequence[Row[Any]]  # all of its items, in order
    asked: Sequence[Row[Any]]
    looks_up: bool


def _unanswered(
    session: Session, claim: Claim, lane: Renewed, config: Config
) -> _Unanswered | None:
    """The oldest unanswered dispatch that is due. It is counted before it is touched, because a
    crash rolls back everything else, and the cause of crashes must be found.

    A dispatch that ended in crashes repeatedly is looked up item by item, and finally given up.
    """
    row = session.execute(_DUE_AGAIN, {"lane": claim.lane_id}).one_or_none()
    if row is None:
        return None
    items = session.execute(_ITEMS, {"dispatch": row.id}).all()
    waiting = [item for item in items if item.outcome is None]
    if lane.questions_rest:
        waiting = _safe_unasked(session, row, waiting, lane.questions_rest)
        if not any(item.is_due for item in waiting):
            return None
    asked, looks_up = _asked_next(row, waiting, may_look_up=not lane.questions_rest)
    if _is_given_up(session, claim, row, asked):
        return None
    entries = [item.id for item in asked]
    session.execute(_COUNT_REPEAT, {"dispatch": row.id, "entries": entries})
    session.execute(_EXPECT_ANSWER, {"entries": entries, "after": config.resend_after})
    return _Unanswered(row, items, asked, looks_up)


def _safe_unasked(
    session: Session, dispatch: Row[Any], waiting: Sequence[Row[Any]], reads_rest: timedelta
) -> list[Row[Any]]:
    """What may be sent again while reads pause, because QuickBooks recognizes the request's id.

    Neither what a person declined, nor a create that is older than its id is trusted: those wait
    until they can be looked up.
    """
    is_old = bool(dispatch.sends) and dispatch.age >= REQUEST_ID_TRUSTED_FOR
    is_safe = {
        item.id: not item.is_declined and not (is_old and item.intent == "create")
        for item in waiting
    }
    if unsafe := [entry for entry, safe in is_safe.items() if not safe]:
        session.execute(_EXPECT_ANSWER, {"entries": unsafe, "after": reads_rest})
    return [item for item in waiting if is_safe[item.id]]


def _asked_next(
    dispatch: Row[Any], waiting: Sequence[Row[Any]], *, may_look_up: bool
) -> tuple[Sequence[Row[Any]], bool]:
    """The items to ask about, and whether they are looked up rather than sent again."""
    looks_up = may_look_up and _is_to_be_looked_up(dispatch, waiting)
    asked = [item for item in waiting if item.is_due] if looks_up else waiting
    if looks_up and dispatch.silences > dispatch.sends:
        asked = asked[:1]  # a look-up got no answer, and one of the items may be the reason
    worst = max(asked, key=lambda item: item.repeats_unsettled)
    if worst.repeats_unsettled >= SOLO_AFTER - 1:  # the first send adds one
        return [worst], True
    return asked, looks_up


def _is_given_up(
    session: Session, claim: Claim, dispatch: Row[Any], asked: Sequence[Row[Any]]
) -> bool:
    """Whether asking about this item, alone, ended in too many crashes: then a person must look."""
    worst = asked[0]
    if worst.repeats_unsettled < FAIL_AFTER - 1:
        return False
    log.error("entry given up: eight calls for it ended in a crash", entry=worst.id)
    poison, due = Rejected(Fault("poison")), due_from(worst)
    settle_looked_up(session, claim.lane_id, dispatch.id, {worst.id: poison}, {worst.id: due})
    return True


def _is_to_be_looked_up(dispatch: Row[Any], waiting: Sequence[Row[Any]]) -> bool:
    """Whether to ask what happened to a dispatch before sending it again.

    Nobody promises that QuickBooks recognizes every request id. So a request that could create a
    second object is looked up before it is sent a second time. What a person declined is never
    sent again.
    """
    if any(item.is_declined for item in waiting):
        return True
    if dispatch.sends and any(item.intent == "create" for item in waiting):
        return not dispatch.goes_again or dispatch.age >= REQUEST_ID_TRUSTED_FOR
    return bool(dispatch.sends >= SENDS_BEFORE_LOOK_UP or dispatch.age >= REQUEST_ID_TRUSTED_FOR)


def _repeat(
    sessions: Sessions, claim: Claim, unanswered: _Unanswered, company: Company, config: Config
) -> Sent | None:
    with sessions.begin() as session:
        lane = renew(session, claim, config.lease)
        if lane is None:
            return None
        row = unanswered.dispatch
        entries = [item.id for item in unanswered.asked]
        still_open = session.execute(
            _STILL_OPEN, {"dispatch": row.id, "entries": entries}
        ).scalars()
        if left := set(entries) - set(still_open):
            # A person has decided about some of it since it was chosen, so it is chosen again.
            others = sorted(set(entries) - left)
            session.execute(_ASK_NEXT, {"dispatch": row.id, "entries": others})
            return None
        is_batch = row.path == "batch" and not unanswered.looks_up
        items = len(entries) if is_batch else 1
        budget = budget_after(lane, company.limits, items=items, is_batch=is_batch)
        session.execute(_SPEND, {"lane": claim.lane_id, **budget})
        if unanswered.looks_up:
            return _look_up(session, claim, lane, row, unanswered.asked, company)
        session.execute(_SEND_AGAIN, {"dispatch": row.id})
        asked = [due_from(item) for item in unanswered.asked]
        counterparts = counterparts_of(session, claim.lane_id, asked)
        log.info("dispatch sent again", dispatch=row.id, lane=claim.lane_id, sends=row.sends + 1)
        return Sent(
            id=row.id,
            lane_id=claim.lane_id,
            request_id=row.request_id,
            method=row.method,
            path=row.path,
            query=row.query,
            body=_body_of(unanswered, company),
            items=[Item(item.id, item.intent, item.document) for item in unanswered.items],
            due={one.entry_id: counterparts.informed(one) for one in asked},
            sends=row.sends + 1,
            is_repeat=True,
            sign_in=lane.sign_in,
            outages=lane.consecutive_outages,
            goes_alone=True,
        )


def _body_of(unanswered: _Unanswered, company: Company) -> str | None:
    """What is sent again: only items without an outcome. What became of the others is known, and
    QuickBooks may not remember that it did them."""
    body: str | None = unanswered.dispatch.body
    if len(unanswered.asked) == len(unanswered.items):
        return body
    return body and company.part_of(body, [item.position for item in unanswered.asked])


def _doubted(due: Due, doubts: Mapping[int, Doubt]) -> Due:
    """The entry with the request that is looked up among its record's doubts."""
    others = [one for one in due.known.doubts if one.request != doubts[due.entry_id].request]
    return replace(due, known=replace(due.known, doubts=(*others, doubts[due.entry_id])))


def _look_up(
    session: Session,
    claim: Claim,
    lane: Renewed,
    dispatch: Row[Any],
    items: Sequence[Row[Any]],
    company: Company,
) -> Sent | None:
    """Asks what happened to a dispatch. A read: not stored, but its answer settles the items.

    Items that need a different question (by customer and day) stay due and are asked about one
    after another.
    """
    in_doubt = [due_from(item, looks_first=True) for item in items]
    counterparts = counterparts_of(session, claim.lane_id, in_doubt)
    keep_doubts(session, dispatch.id, [item.id for item in items])
    doubts = {
        item.id: Doubt(dispatch.id, item.intent, item.document, age=dispatch.age) for item in items
    }
    due = {one.entry_id: _doubted(counterparts.informed(one), doubts) for one in in_doubt}
    settings = company.settings(session, claim.lane_id, list(due.values()))
    composition = _compose(company, list(due.values()), counterparts.links, settings)
    # Items that need no question, or cannot be asked about because their own mapping is broken.
    known = {
        entry_id: verdict
        for entry_id, verdict in composition.verdicts.items()
        if not isinstance(verdict, Waiting)
    }
    settle_looked_up(session, claim.lane_id, dispatch.id, known, due)
    draft = composition.draft
    if draft is None or draft.method != "GET":
        if due.keys() - known.keys():
            log.error("no look-up for an unanswered dispatch", dispatch=dispatch.id)
        return None
    asked = [item.entry_id for item in draft.items]
    later = sorted(due.keys() - known.keys() - set(asked))
    session.execute(_ASK_NEXT, {"dispatch": dispatch.id, "entries": later})
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
        is_repeat=True,
        looks_up=True,
        sign_in=lane.sign_in,
        claims=draft.claims,
        outages=lane.consecutive_outages,
    )


# --- 2. Compose and store -----------------------------------------------------------------------

# In one statement, because a wave is stored many times a second.
_STORE = prepared(
    "store",
    f"""
    WITH lane AS ({SPEND}),
    dispatch AS (
        INSERT INTO outbox_dispatches (organization_id, lane_id, request_id, method, path, query,
                                       body, sends, sent_at)
        VALUES (:organization, :lane, :request_id, :method, :path, :query,
                :body, 1, clock_timestamp())
        RETURNING id
    ), item AS (
        INSERT INTO outbox_dispatch_items (dispatch_id, position, organization_id, lane_id,
                                           entry_id, intent, document, claims)
        SELECT dispatch.id, item.position - 1, :organization, :lane, item.entry_id, item.intent,
               item.document, string_to_array(item.claims, :between)
        FROM dispatch, unnest(CAST(:entries AS bigint[]), CAST(:intents AS text[]),
                              CAST(:documents AS text[]), CAST(:claims AS text[]))
          WITH ORDINALITY AS item (entry_id, intent, document, claims, position)
    ), entry AS (
        UPDATE outbox
        SET available_at = clock_timestamp() + CAST(:after AS interval),
            first_attempt_at = coalesce(first_attempt_at, clock_timestamp())
        WHERE id = ANY(:entries)
    )
    SELECT id FROM dispatch
    """,  # noqa: S608  (only constants of ours are put together)
)


def _compose_and_store(
    session: Session,
    claim: Claim,
    lane: Renewed,
    wave: Wave,
    company: Company,
    config: Config,
    under_way: InFlight,
    doubted: frozenset[str],
) -> Sent | Rest | Blocked | None:
    if not wave.due:
        return None
    settings = company.settings(session, claim.lane_id, wave.due)
    taken = under_way.claims | doubted
    compose = partial(_compose, company, links=wave.links, settings=settings, taken=taken)
    composition = compose(wave.due)
    _settle_due(session, claim, wave.due, composition.verdicts)
    draft = composition.draft
    if draft is None:
        if composition.verdicts:
            return None
        return _nothing_goes(session, claim, wave, under_way, is_doubted=bool(doubted))
    if draft.method == "GET" and lane.questions_rest:
        rest = Later(lane.questions_rest)
        _settle_due(session, claim, wave.due, {item.entry_id: rest for item in draft.items})
        return None
    limits = company.limits.slowed(lane.slowdown)
    if wait := _wait_for_batch(limits, lane, draft):
        first = [one for one in wave.due if one.entry_id == draft.items[0].entry_id]
        single = compose(first).draft if _single_fits(limits, lane, wait) else None
        if single is None or single.is_batch:
            return _rest(session, claim, wait, under_way)
        draft = single
    budget = budget_after(lane, company.limits, items=len(draft.items), is_batch=draft.is_batch)
    return _store(session, claim, lane, draft, wave, budget, config)


def _nothing_goes(
    session: Session, claim: Claim, wave: Wave, under_way: InFlight, *, is_doubted: bool
) -> Blocked | None:
    """All of a wave meets what requests under way, or in doubt, may change."""
    if under_way.count:
        return Blocked()
    if not is_doubted:
        raise RuntimeError("The company neither composed nor settled anything of a wave.")
    later = Later(ASK_AGAIN)
    _settle_due(session, claim, wave.due, {one.entry_id: later for one in wave.due})
    return None


def _settle_due(
    session: Session, claim: Claim, due: Sequence[Due], outcomes: Mapping[int, Outcome]
) -> None:
    settle_entries(session, claim.lane_id, outcomes, {one.entry_id: one for one in due})


def _wait_for_batch(limits: Limits, lane: Renewed, draft: Draft) -> timedelta:
    weight = limits.weight(len(draft.items), is_batch=draft.is_batch)
    return limits.batches.wait(lane.next_batch_at, lane.now, weight)


def _single_fits(limits: Limits, lane: Renewed, wait: timedelta) -> bool:
    """Whether one entry may be sent alone while the next batch must wait."""
    return wait > SINGLE_FITS and lane.slowdown == 1 and not limits.counts_items


def _compose(
    company: Company,
    due: Sequence[Due],
    links: Mapping[Record, Remote],
    settings: Json,
    taken: frozenset[str] = frozenset(),
) -> Composition:
    """Composes. An exception for one entry becomes that entry's
    outcome and does not fail the wave."""
    try:
        return company.compose(due, links, settings, taken)
    except Exception:
        if len(due) > 1:
            verdicts: dict[int, Outcome] = {}
            for one in due:
                composition = _compose(company, [one], links, settings, taken)
                if composition.draft is None:
                    verdicts |= composition.verdicts
            if verdicts:
                return Composition(None, verdicts)
            raise
        log.exception("composing failed", entry=due[0].entry_id)
        return Composition(None, {due[0].entry_id: Rejected(Fault("internal"))})


def _store(
    session: Session,
    claim: Claim,
    lane: Renewed,
    draft: Draft,
    wave: Wave,
    budget: Mapping[str, datetime | None],
    config: Config,
) -> Sent:
    request_id = uuid.uuid4().hex  # random: a restored backup must not repeat it
    writes = draft.method != "GET"
    query = urlencode({**draft.query, "requestid": request_id} if writes else draft.query)
    entries = [item.entry_id for item in draft.items]
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
            "entries": entries,
            "intents": [item.intent for item in draft.items],
            "documents": [item.document for item in draft.items],
            "claims": [BETWEEN_CLAIMS.join(sorted(item.claims)) for item in draft.items],
            "between": BETWEEN_CLAIMS,
            "after": config.resend_after,
            **budget,
        },
    ).scalar_one()
    return Sent(
        id=dispatch_id,
        lane_id=claim.lane_id,
        request_id=request_id,
        method=draft.method,
        path=draft.path,
        query=query,
        body=draft.body,
        items=draft.items,
        due={one.entry_id: one for one in wave.due if one.entry_id in entries},
        sign_in=lane.sign_in,
        claims=draft.claims,
        outages=lane.consecutive_outages,
        leaves_more=not (wave.is_all and len(entries) == len(wave.due)),
    )
