"""Rules 5 and 10 to 12 in hard cases: silence, refusals, broken processes and databases."""

import itertools
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.orm import Session

from config import Config
from db import Sessions, make_engine, make_sessions
from development.postgres import running_postgres
from models.base import Json
from models.outbox import DispatchItem, Entry, State
from models.sales import Record
from outbox import actions, lanes, metrics
from outbox.company import (
    Answer,
    Composition,
    Due,
    Learned,
    Outcome,
    Pause,
    Problem,
    Reading,
    Rejected,
    Remote,
    Sent,
    Synced,
)
from outbox.dispatches import next_dispatch
from outbox.poller import Poller, drain_lane
from outbox.retry import MAX_RETRY_TIME, PATIENT_ATTEMPTS, Again, GiveUp, after_own_fault
from outbox.scheduler import Engine as OutboxEngine
from outbox.settle import settle
from tests.support.drains import drain, make_due, make_older
from tests.support.firm import (
    entries_of,
    lane_of,
    new_firm_with_lane,
    new_lead,
    states,
)
from tests.support.ledger import SILENT, Ledger, TalkingLedger


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


class AskingLedger(Ledger):
    """Asks again what was not answered, and takes a company that does not answer for one down."""

    def compose(
        self,
        entries: Sequence[Due],
        links: Mapping[Record, Remote],
        settings: Json,
        taken: frozenset[str] = frozenset(),
    ) -> Composition:
        asking = [replace(due, looks_first="unseen" in due.knowledge) for due in entries]
        return super().compose(
            [due if due.looks_first else asked for due, asked in zip(entries, asking, strict=True)],
            links,
            settings,
        )

    def read(self, sent: Sent, answer: Answer) -> Reading:
        if sent.method == "GET" and answer.status == 500:
            unseen = Learned({"unseen": True})
            return Reading(dict.fromkeys(sent.due, unseen), Pause("outage"))
        return super().read(sent, answer)


class Uncomposable(Ledger):
    def compose(
        self,
        entries: Sequence[Due],
        links: Mapping[Record, Remote],
        settings: Json,
        taken: frozenset[str] = frozenset(),
    ) -> Composition:
        raise ValueError("what it needs was taken away meanwhile")


# --- Silence ------------------------------------------------------------------------------------


def test_one_that_never_arrives_while_others_do_goes_to_a_person(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add_all([new_lead(firm, "Swallowed"), new_lead(firm, "Fine")])
    session.commit()
    swallowed = entries_of(session)[0].id
    ledger.fail = lambda sent: SILENT if sent.method == "POST" and swallowed in sent.due else None
    for number in range(40):
        session.add(new_lead(firm, f"Other {number}"))
        session.commit()
        make_due(session)
        drain(sessions, ledger, lane, config)
        if session.get_one(Entry, swallowed).state != State.PENDING:
            break
        session.rollback()
    entry = entries_of(session)[0]
    assert (entry.state, entry.fault_code) == ("failed", "unanswered")
    assert states(session).count("failed") == 1
    alone = [len(call.items) for call in ledger.calls if swallowed in call.due]
    assert alone[:2] == [3, 3]  # the same batch, never rebuilt before the look-up
    assert set(alone[2:]) == {1}
    assert entry.attempts == 1


def test_a_newer_version_of_one_that_never_arrives_is_no_outage(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    """Rules 12 and 13: it is the same record that is not answered, and reads are."""
    firm, lane = new_firm_with_lane(session)
    lead = new_lead(firm, "Swallowed")
    session.add(lead)
    session.commit()
    ledger.fail = lambda sent: SILENT if sent.method == "POST" else None
    for _ in range(2):
        make_due(session)
        drain(sessions, ledger, lane, config)
    lead.name = "Swallowed, too"
    session.commit()
    for _ in range(20):
        make_due(session)
        drain(sessions, ledger, lane, config)
    older, newer = entries_of(session)
    assert (older.state, newer.state) == ("superseded", "failed")
    assert newer.fault_code == "unanswered"
    assert lane_of(session, lane).outage_since is None


def test_one_that_never_arrives_goes_to_a_person_after_an_outage_too(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    """Rules 12 and 13: nothing else waits that could end the outage, and reads are answered."""
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm, "Swallowed"))
    session.commit()
    ledger.fail = lambda _sent: Answer(problem=Problem.NOT_SENT)
    for _ in range(3):
        make_due(session)
        drain(sessions, ledger, lane, config)
    assert lane_of(session, lane).consecutive_outages == 3
    ledger.fail = lambda sent: SILENT if sent.method == "POST" else None
    for _ in range(20):
        make_due(session)
        drain(sessions, ledger, lane, config)
    [entry] = entries_of(session)
    assert (entry.state, entry.fault_code) == ("failed", "unanswered")


def test_a_company_that_answers_nobody_is_down_and_costs_no_entry_anything(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    """Rule 12."""
    ledger.fail = lambda _sent: SILENT
    firm, lane = new_firm_with_lane(session)
    session.add_all([new_lead(firm, f"Customer {number}") for number in range(70)])
    session.commit()
    drain(sessions, ledger, lane, config)
    assert len(ledger.calls) == 2  # a second silence in a row is an outage
    assert lane_of(session, lane).pause_reason == "outage"
    for _ in range(30):
        make_due(session)
        drain(sessions, ledger, lane, config)
    assert {(entry.state, entry.attempts) for entry in entries_of(session)} == {("pending", 0)}
    ledger.fail = lambda _sent: None
    for _ in range(30):
        make_due(session)
        drain(sessions, ledger, lane, config)
    assert set(states(session)) == {"synced"}
    assert len(ledger.creates()) == 70


def test_a_question_that_is_never_answered_is_not_the_only_probe(
    session: Session, sessions: Sessions, config: Config
) -> None:
    """Rules 11 and 12: while the company seems to be down, another entry is tried each time."""
    ledger = AskingLedger()
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm, "Odd"))
    session.commit()
    make_older(session)  # so that it is looked for first
    session.add_all([new_lead(firm, "Free"), new_lead(firm, "Free too")])
    session.commit()
    ledger.fail = lambda sent: Answer(500) if sent.method == "GET" else None
    for _ in range(6):
        make_due(session)
        drain(sessions, ledger, lane, config)
    assert states(session) == ["pending", "synced", "synced"]


def test_an_outage_that_a_person_calls_over_is_over_with_the_first_answer(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    """Else its days would be counted for ever, and told to the owner."""
    ledger.rejects = {"Refused"}
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm, "Refused"))
    session.commit()
    drain(sessions, ledger, lane, config)
    ledger.rejects = set()
    ledger.fail = lambda _sent: Answer(problem=Problem.NOT_SENT)
    session.add(new_lead(firm, "Next"))
    session.commit()
    drain(sessions, ledger, lane, config)
    assert lane_of(session, lane).outage_since is not None
    ledger.fail = lambda _sent: None
    assert actions.requeue(session, [entries_of(session)[0].id], organization_id=firm).done
    session.commit()
    drain(sessions, ledger, lane, config)
    assert states(session) == ["synced", "synced"]
    assert lane_of(session, lane).outage_since is None


def test_an_outage_ends_when_the_last_that_waits_is_skipped(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    """Nobody would find out that QuickBooks is back, and the owner be told of days without it."""
    ledger.fail = lambda _sent: Answer(problem=Problem.NOT_SENT)
    firm, lane = new_firm_with_lane(session)
    session.add_all([new_lead(firm, "One"), new_lead(firm, "Two")])
    session.commit()
    drain(sessions, ledger, lane, config)
    for entry, is_over in [(entry, entry.id == 2) for entry in entries_of(session)]:
        assert actions.skip(session, [entry.id], organization_id=firm).done
        session.commit()
        assert (lane_of(session, lane).outage_since is None) == is_over


def test_after_an_outage_one_entry_is_tried_first(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    ledger.fail = lambda _sent: Answer(problem=Problem.NOT_SENT)
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm, "First"))
    session.commit()
    drain(sessions, ledger, lane, config)
    lanes.hold(session, lane, "signed_out")
    session.execute(text("UPDATE outbox_lanes SET state = 'open', hold_reason = NULL"))
    actions.skip(session, [entries_of(session)[0].id], organization_id=firm)
    session.add_all([new_lead(firm, f"Customer {number}") for number in range(9)])
    session.commit()
    make_due(session)
    ledger.fail = lambda _sent: None
    drain(sessions, ledger, lane, config)
    assert [len(call.items) for call in ledger.calls] == [1, 1, 8]


def test_crashes_of_our_own_are_no_evidence_against_an_entry(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    for _ in range(12):
        claim = lanes.lease_lane(sessions, lane, config.lease)
        assert claim is not None
        sent = next_dispatch(sessions, claim, ledger, config)
        if isinstance(sent, Sent) and sent.looks_up:
            answer = ledger.send(sent)
            settle(sessions, claim, sent, answer, ledger.read(sent, answer))
        make_due(session)  # … and the process is gone before the request was out
    drain(sessions, ledger, lane, config)
    assert states(session) == ["synced"]
    assert entries_of(session)[0].attempts == 0


def test_what_a_look_up_could_not_tell_is_looked_for_before_it_is_sent_again(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    ledger.after = lambda sent: SILENT if sent.method == "POST" else None
    drain(sessions, ledger, lane, config)
    make_due(session)

    drain(sessions, Uncomposable(), lane, config)
    [entry] = entries_of(session)
    assert (entry.state, entry.fault_code) == ("failed", "internal")
    assert actions.requeue(session, [entry.id], organization_id=firm).done
    session.commit()
    drain(sessions, ledger, lane, config)
    assert ledger.calls[-1].method == "GET"
    assert ledger.creates() == ["lead 1"]
    assert states(session) == ["synced"]


def test_a_newer_version_of_what_may_have_arrived_is_looked_for_too(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    """A person mends the record instead of sending it again: the old request may have been done."""
    firm, lane = new_firm_with_lane(session)
    lead = new_lead(firm)
    session.add(lead)
    session.commit()
    ledger.after = lambda sent: SILENT if sent.method == "POST" else None
    drain(sessions, ledger, lane, config)
    make_due(session)
    drain(sessions, Uncomposable(), lane, config)
    assert states(session) == ["failed"]
    ledger.after = lambda _sent: None
    lead.phone = "555-0142"
    session.commit()
    lead.phone = "555-0143"  # … twice, so that the first is only history
    session.commit()
    drain(sessions, ledger, lane, config)
    assert ledger.creates() == ["lead 1"]
    assert ledger.arrivals[-1].payload["phone"] == "555-0143"
    assert states(session) == ["superseded", "superseded", "synced"]


# --- What cannot be read or stored --------------------------------------------------------------


class Illegible(Ledger):
    """What it says of one entry raises, and of the others can be read."""

    def read(self, sent: Sent, answer: Answer) -> Reading:
        if any(due.payload["title"] == "Illegible" for due in sent.due.values()):
            raise ValueError("what is this?")
        return super().read(sent, answer)


def test_an_answer_that_cannot_be_read_for_one_entry_settles_the_others(
    session: Session, sessions: Sessions, config: Config
) -> None:
    """Rule 10: it is looked up like one that never came, and goes to a person at last."""
    ledger = Illegible()
    firm, lane = new_firm_with_lane(session)
    session.add_all([new_lead(firm, name) for name in ("One", "Illegible", "Three")])
    session.commit()
    drain(sessions, ledger, lane, config)
    assert states(session)[::2] == ["synced", "synced"]
    for _ in range(3):
        make_due(session)
        drain(sessions, ledger, lane, config)
    assert ledger.calls[-1].method == "GET"
    found = entries_of(session)[1]
    assert (found.state, found.fault_code) == ("failed", "internal")
    assert actions.requeue(session, [found.id], organization_id=firm).done
    session.commit()
    healthy = Ledger(held=ledger.held, latest=ledger.latest)
    drain(sessions, healthy, lane, config)
    assert healthy.calls[0].method == "GET"
    assert healthy.creates() == []
    assert states(session) == ["synced"] * 3


class Forgetful(Ledger):
    """Says of one of them what no column holds."""

    def read(self, sent: Sent, answer: Answer) -> Reading:
        reading = super().read(sent, answer)
        outcomes: dict[int, Outcome] = {}
        for entry_id, outcome in reading.outcomes.items():
            nameless = sent.due[entry_id].payload["title"] == "Nameless"
            broken = Synced(Remote("7", "0", stale="perhaps"))  # type: ignore[arg-type]
            outcomes[entry_id] = broken if nameless else outcome
        return replace(reading, outcomes=outcomes)


def test_an_outcome_that_cannot_be_stored_is_its_entrys_trouble(
    session: Session, sessions: Sessions, config: Config
) -> None:
    """Rule 10. Nobody knows whether it arrived: sent again, it is looked for."""
    ledger = Forgetful()
    firm, lane = new_firm_with_lane(session)
    session.add_all([new_lead(firm, name) for name in ("One", "Nameless", "Three")])
    session.commit()
    drain(sessions, ledger, lane, config)
    assert states(session) == ["synced", "failed", "synced"]
    found = entries_of(session)[1]
    assert found.fault_code == "internal"
    assert actions.requeue(session, [found.id], organization_id=firm).done
    session.commit()
    healthy = Ledger(held=ledger.held, latest=ledger.latest)
    drain(sessions, healthy, lane, config)
    assert healthy.calls[0].method == "GET"
    assert healthy.creates() == []
    assert states(session) == ["synced"] * 3


@pytest.mark.parametrize(
    "needs", [None, '"Unheard of"', "5", "[5]", '[{"type": "lead", "id": "Unheard of"}]']
)
def test_an_entry_that_cannot_even_be_looked_at_is_given_up_and_the_rest_goes(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config, needs: str | None
) -> None:
    """Rule 10: a snapshot of another release, say, that chooses no wave but raises."""
    firm, lane = new_firm_with_lane(session)
    session.add_all([new_lead(firm, name) for name in ("One", "Unheard of", "Three")])
    session.commit()
    others = "payload - 'needs'"
    damaged = f"{others} || jsonb_build_object('needs', CAST(:needs AS jsonb))"
    session.execute(
        text(f"UPDATE outbox SET payload = {damaged if needs else others} WHERE aggregate_id = 2"),
        {"needs": needs} if needs else {},
    )
    session.commit()
    for _ in range(lanes.FAIL_AFTER + 4):
        with suppress(KeyError, TypeError, ValueError, DataError):
            drain(sessions, ledger, lane, config)
        make_due(session)
    assert states(session) == ["synced", "failed", "synced"]
    assert entries_of(session)[1].fault_code == "poison"


def test_the_next_entry_is_not_given_up_for_the_crashes_of_the_one_before(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    """Rule 10. One dropped connection is enough for a crash."""
    firm, lane = new_firm_with_lane(session)
    session.add_all([new_lead(firm, "Poison"), new_lead(firm, "Next")])
    session.commit()
    for _ in range(lanes.FAIL_AFTER - 1):
        assert lanes.lease_lane(sessions, lane, config.lease)
        make_due(session)
    session.execute(text("UPDATE outbox_lanes SET suspect_entry_id = 1"))
    session.commit()
    claim = lanes.lease_lane(sessions, lane, config.lease)
    assert claim
    assert isinstance(next_dispatch(sessions, claim, ledger, config), Sent)
    session.execute(text("DELETE FROM outbox_dispatch_items"))  # a crash, as if never stored
    session.commit()
    assert states(session) == ["failed", "pending"]
    make_due(session)
    drain(sessions, ledger, lane, config)
    assert states(session) == ["failed", "synced"]


@pytest.mark.parametrize("is_lost", [True, False])
def test_no_call_begins_with_less_lease_left_than_it_may_take(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config,
    monkeypatch: pytest.MonkeyPatch, is_lost: bool,
) -> None:  # fmt: skip
    """Rule 9: this process was stopped between storing the dispatch and sending it."""
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    times = [0.0]  # then a long while passes, in which someone else may claim the lane

    def clock() -> float:
        if times:
            return times.pop()
        if is_lost:
            session.execute(text("UPDATE outbox_lanes SET lease_token = lease_token + 1"))
            session.commit()
        return 1000.0

    monkeypatch.setattr("outbox.poller.time.monotonic", clock)
    drain_lane(sessions, ledger, lane, config, threading.Event())
    monkeypatch.undo()
    assert len(ledger.calls) == (0 if is_lost else 1)
    make_due(session)
    drain(sessions, ledger, lane, config)
    assert states(session) == ["synced"]
    assert [call.method for call in ledger.calls].count("POST") == 1


def test_a_slow_database_delays_a_call_and_does_not_keep_it_from_going(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    passed = itertools.count()  # a second at each look: longer than `LATE`, well within the lease
    monkeypatch.setattr("outbox.poller.time.monotonic", lambda: float(next(passed)))
    drain_lane(sessions, ledger, lane, config, threading.Event())
    monkeypatch.undo()
    assert len(ledger.calls) == 1
    assert states(session) == ["synced"]


@pytest.mark.parametrize("when", ["while it was out", "after it was found"])
def test_a_newer_version_does_not_forget_that_the_older_had_arrived(
    session: Session, sessions: Sessions, config: Config, when: str
) -> None:
    ledger = TalkingLedger()
    ledger.after = lambda sent: SILENT if sent.method == "POST" else None
    firm, lane = new_firm_with_lane(session)
    lead = new_lead(firm, "Old name")
    session.add(lead)
    session.commit()
    drain(sessions, ledger, lane, config)
    make_due(session)
    if when == "while it was out":
        lead.name = "New name"
        session.commit()
    claim = lanes.lease_lane(sessions, lane, config.lease)
    assert claim
    sent = next_dispatch(sessions, claim, ledger, config)
    assert isinstance(sent, Sent)
    answer = ledger.send(sent)
    settle(sessions, claim, sent, answer, ledger.read(sent, answer))
    with sessions.begin() as own:
        lanes.release(own, claim)
    ledger.after = lambda _sent: None
    lead.name = "New name"
    session.commit()
    drain(sessions, ledger, lane, config)
    assert [(a.intent, a.payload["name"]) for a in ledger.arrivals] == [
        ("create", "Old name"),
        ("update", "New name"),
    ]
    assert states(session) == ["synced", "synced"]


# --- Patience -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempts", "since", "gives_up"),
    [
        (1, timedelta(0), False),
        (PATIENT_ATTEMPTS, MAX_RETRY_TIME, True),
        (PATIENT_ATTEMPTS, MAX_RETRY_TIME - timedelta(seconds=1), False),
        (2, MAX_RETRY_TIME * 10, False),  # a hold of a month, and then a second failure
    ],
)
def test_rule_12_patience_counts_the_entrys_own_failures(
    attempts: int, since: timedelta, gives_up: bool
) -> None:
    decision = after_own_fault(attempts, since, 0.5)
    assert isinstance(decision, GiveUp if gives_up else Again)


# --- Strange answers ----------------------------------------------------------------------------


@pytest.mark.parametrize("odd", ["a\0b", "\ud800 alone", "\\u0000", "🙂" * 10])
def test_an_answer_that_postgresql_cannot_store_is_settled_nevertheless(
    session: Session, sessions: Sessions, config: Config, odd: str
) -> None:
    class Odd(Ledger):
        def read(self, sent: Sent, answer: Answer) -> Reading:
            reading = super().read(sent, answer)
            learned = Learned({odd: [odd, {"found": odd}]})
            outcomes: dict[int, Outcome] = {
                entry_id: learned if isinstance(outcome, Rejected) else outcome
                for entry_id, outcome in reading.outcomes.items()
            }
            self.rejects = set()
            return Reading(outcomes, kept_answer=odd)

    ledger = Odd(rejects={"Green Lawn Co"})
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    drain(sessions, ledger, lane, config)
    assert states(session) == ["synced"]
    assert len(ledger.calls) == 2


# --- The database goes away ---------------------------------------------------------------------


def eventually(sessions: Sessions, state: str, count: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with sessions() as session:
                if session.query(Entry).filter_by(state=state).count() == count:
                    return
        except OperationalError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def poller(sessions: Sessions, ledger: Ledger, config: Config) -> Iterator[Poller]:
    poller = Poller(sessions, ledger, config)
    poller.start()
    yield poller
    poller.stop()


def kill_backends(session: Session) -> None:
    session.execute(
        text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    )
    session.commit()


def test_dropped_connections_heal_by_themselves(
    session: Session, sessions: Sessions, ledger: Ledger, poller: Poller
) -> None:
    firm, lane = new_firm_with_lane(session)
    for number in range(5):
        session.add(new_lead(firm, f"Customer {number}"))
        session.commit()
        kill_backends(session)
        poller.look()
        poller.wake(lane)
    ends_at = time.monotonic() + 30
    while session.query(Entry).filter_by(state="pending").count() and time.monotonic() < ends_at:
        session.rollback()
        poller.look()
        time.sleep(0.05)
    session.rollback()
    assert set(states(session)) == {"synced"}
    assert len(ledger.creates()) == 5


def test_a_connection_that_drops_is_reported_as_that_and_handed_back(
    session: Session, sessions: Sessions, engine: Engine
) -> None:
    in_use = engine.pool.checkedout()  # type: ignore[attr-defined]

    def work() -> None:
        with sessions.begin() as other:
            other.execute(text("SELECT 1"))
            kill_backends(session)
            other.execute(text("SELECT 1"))

    with pytest.raises(OperationalError):
        work()
    assert engine.pool.checkedout() == in_use  # type: ignore[attr-defined]


def test_a_commit_that_fails_is_made_good_by_the_next_claim(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config, engine: Engine
) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    for failing in range(1, 6):  # the commit of the claim, of the dispatch, of the settling, …
        commits = iter(range(1, 100))

        def fail(_connection: object, commits: Iterator[int] = commits, at: int = failing) -> None:
            if next(commits) == at:
                raise OperationalError("COMMIT", None, Exception("gone"))

        event.listen(engine, "commit", fail)
        try:
            drain_lane(sessions, ledger, lane, config, threading.Event())
        except OperationalError:
            pass
        finally:
            event.remove(engine, "commit", fail)
        make_due(session)
    drain(sessions, ledger, lane, config)
    assert states(session) == ["synced"]
    assert ledger.creates() == ["lead 1"]


def test_a_full_pool_delays_and_loses_nothing(
    session: Session, database_url: str, ledger: Ledger, config: Config
) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    engine = make_engine(database_url, pool_size=1)
    engine.pool._timeout = 0.2  # type: ignore[attr-defined]
    taken = [engine.connect(), engine.connect()]
    poller = Poller(make_sessions(engine), ledger, config)
    poller.start()
    poller.wake(lane)
    poller.look()
    for connection in taken:
        connection.close()
    poller.look()
    eventually(make_sessions(engine), "synced", 1)
    assert poller.stop()
    engine.dispose()


def test_a_restart_of_the_database_heals_by_itself(
    open_folder: Path, ledger: Ledger, config: Config
) -> None:
    from development.database import migrate
    from outbox.capture import attach

    folder = open_folder / "data"
    with running_postgres(folder, throwaway=True) as server:
        migrate(server.url())
        engine = make_engine(server.url(), pool_size=4)
        sessions = make_sessions(engine)
        attach(sessions)
        with sessions() as session:
            firm, lane = new_firm_with_lane(session)
            session.add(new_lead(firm, "Before"))
            session.commit()
        poller = Poller(sessions, ledger, config)
        poller.start()
        poller.wake(lane)
        eventually(sessions, "synced", 1)
    poller.look()  # nobody is there: logged, and that is all
    poller.wake(lane)
    with running_postgres(folder, throwaway=True) as server:
        with sessions() as session:
            session.add(new_lead(firm, "After"))
            session.commit()
        poller.wake(lane)
        eventually(sessions, "synced", 2)
        assert poller.stop()
        engine.dispose()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_scheduler_whose_thread_died_is_replaced(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("outbox.scheduler.DEAD_AFTER", 0.3)
    engine = OutboxEngine(sessions, ledger, config)
    engine.start()
    try:
        scheduler = engine._scheduler

        def burst() -> float:
            sys.exit()  # what escapes here ends the thread, and `running` stays true

        monkeypatch.setattr(scheduler, "_process_jobs", burst)
        scheduler.wakeup()
        scheduler._thread.join(10)
        assert scheduler.running
        ends_at = time.monotonic() + 20
        while engine._scheduler is scheduler and time.monotonic() < ends_at:
            time.sleep(0.05)
        assert engine._scheduler is not scheduler
        firm, _ = new_firm_with_lane(session)
        session.add(new_lead(firm))
        session.commit()
        eventually(sessions, "synced", 1)
    finally:
        engine.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_drainer_whose_thread_died_is_replaced(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("outbox.scheduler.DEAD_AFTER", 0.3)

    def end(_sent: Sent) -> None:
        ledger.fail = lambda _sent: None
        sys.exit()  # no Exception: what escapes here ends the thread, and nobody hears of it

    ledger.fail = end
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    one = replace(config, drainers=1, poll_interval=timedelta(days=1))
    replaced = metrics.DRAINERS_REPLACED._value.get()
    engine = OutboxEngine(sessions, ledger, one)
    engine.start()
    try:
        ends_at = time.monotonic() + 20
        while metrics.DRAINERS_REPLACED._value.get() == replaced and time.monotonic() < ends_at:
            time.sleep(0.05)
        assert metrics.DRAINERS_REPLACED._value.get() == replaced + 1
        assert engine.drainers_alive == 1
        make_due(session)
        engine.wake(lane)
        eventually(sessions, "synced", 1)
    finally:
        engine.stop()


# --- Entries and links are what they were -------------------------------------------------------


def test_rule_4_a_committed_entry_is_never_rewritten_by_the_session_that_wrote_it(
    session: Session,
) -> None:
    firm, _ = new_firm_with_lane(session)
    lead = new_lead(firm, "First")
    session.add(lead)
    session.commit()
    lead.name = "Second"
    session.commit()
    assert [entry.payload["name"] for entry in entries_of(session)] == ["First", "Second"]


def test_rule_14_another_company_never_sees_a_link_and_the_first_finds_it_again(
    session: Session, sessions: Sessions, config: Config
) -> None:
    firm, first = new_firm_with_lane(session)
    lead = new_lead(firm)
    session.add(lead)
    session.commit()
    theirs, others = Ledger(), Ledger()
    drain(sessions, theirs, first, config)
    lanes.close(session, first)
    second = lanes.create(session, firm).id
    lead.phone = "2"
    session.commit()
    drain(sessions, others, second, config)
    assert [arrival.intent for arrival in others.arrivals] == ["create"]
    lanes.close(session, second)
    lanes.reopen(session, first)
    lead.phone = "3"
    session.commit()
    drain(sessions, theirs, first, config)
    assert [arrival.intent for arrival in theirs.arrivals] == ["create"]  # the owner decides
    lanes.send_waiting(session, first)
    session.commit()
    drain(sessions, theirs, first, config)
    assert [arrival.intent for arrival in theirs.arrivals] == ["create", "update"]


def test_rule_14_a_counterpart_that_another_record_has_is_not_stolen(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    firm, lane = new_firm_with_lane(session)
    leads = [new_lead(firm, "One"), new_lead(firm, "Two")]
    session.add_all(leads)
    session.commit()
    make_older(session)  # so that they are looked for first
    ledger.held = {f"lead {lead.id}": "7" for lead in leads}
    drain(sessions, ledger, lane, config)
    assert sorted((e.state, e.fault_code) for e in entries_of(session)) == [
        ("failed", "taken_by_another_record"),
        ("synced", None),
    ]


def test_rule_9_who_lost_the_lease_stores_nothing_and_takes_it_from_nobody(
    session: Session, sessions: Sessions, ledger: Ledger, config: Config
) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    slow = lanes.lease_lane(sessions, lane, config.lease)
    make_due(session)
    holder = lanes.lease_lane(sessions, lane, config.lease)
    assert slow
    assert holder
    until = lane_of(session, lane).lease_until
    assert next_dispatch(sessions, slow, ledger, config) is None
    lanes.hand_back(sessions, slow)
    assert not session.query(DispatchItem).count()
    session.rollback()
    assert lane_of(session, lane).lease_until == until
