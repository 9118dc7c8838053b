"""Several processes at one outbox: rules 7, 9 and 10, and the token refresh of rule 8."""

import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.base import Json
from models.outbox import Entry, State
from models.quickbooks import Connection
from models.sales import Lead
from outbox import counterparts, lanes, looks, waves
from outbox.looks import due_lanes
from outbox.poller import drain_lane
from quickbooks.delivery import QuickBooks
from simulator.testing import SimulatorHandle
from tests.support.connected import connect, new_owner
from tests.support.crash_workers import working
from tests.support.drains import drain, make_due
from tests.support.firm import entries_of, new_firm_with_lane, new_lead
from tests.support.ledger import Ledger
from tests.support.plans import nodes_of, plan_of
from tests.support.serving import eventually

Connect = Callable[[], Connection]


@pytest.fixture
def connect_one(
    session: Session, sessions: Sessions, config: Config, simulator: SimulatorHandle
) -> Connect:
    """Connects one more firm to a company of its own."""

    def make() -> Connection:
        number = session.query(Connection).count()
        owner = new_owner(session, email=f"owner{number}@example.com")
        return connect(sessions, config, owner, simulator.add_company(f"Company {number}"))

    return make


def states(sessions: Sessions) -> Counter[str]:
    with sessions() as session:
        return Counter(session.scalars(select(Entry.state)))


def customers(simulator: SimulatorHandle, connection: Connection) -> Counter[str]:
    books = simulator.books(connection.realm_id)
    return Counter(str(one["DisplayName"]) for one in books["Customer"])


# --- Rule 7 -------------------------------------------------------------------------------------


def test_rule_7_eight_drainers_and_three_writers_in_processes_of_their_own(
    session: Session, sessions: Sessions, environ: dict[str, str], simulator: SimulatorHandle,
    connect_one: Connect,
) -> None:  # fmt: skip
    firms = [connect_one() for _ in range(3)]
    leads = [new_lead(one.organization_id, "Contested") for one in firms]
    session.add_all(leads)
    session.commit()
    ids = [lead.id for lead in leads]
    with working("drain", 8, environ) as drainers:
        told = {"leads": ids, "firms": [one.organization_id for one in firms], "rounds": 5}
        with working("write", 3, environ, **told) as writers:
            assert writers.finish() == [5, 5, 5]
        eventually(lambda: not states(sessions)["pending"], lambda: states(sessions))
        drainers.finish()
    assert set(states(sessions)) <= {"synced", "superseded"}
    with sessions() as fresh:
        for connection, lead_id in zip(firms, ids, strict=True):
            found = customers(simulator, connection)
            assert found.most_common(1)[0][1] == 1
            assert sum(name.startswith("Customer ") for name in found) == 15
            phone = fresh.get_one(Lead, lead_id).phone
            [contested] = [
                one
                for one in simulator.books(connection.realm_id)["Customer"]
                if one["DisplayName"] == "Contested"
            ]
            assert phone in str(contested["PrimaryPhone"])


# --- Rule 8 -------------------------------------------------------------------------------------


def test_rule_8_eight_processes_refresh_one_expired_token_once(
    sessions: Sessions, environ: dict[str, str], simulator: SimulatorHandle, connect_one: Connect
) -> None:
    connection = connect_one()
    with sessions.begin() as session:
        session.execute(text("UPDATE quickbooks_tokens SET access_expires_at = now()"))
    simulator.clear_journal()
    with working("refresh", 8, environ, connection=connection.id) as workers:
        assert workers.finish() == [True] * 8
    asked = [one for one in simulator.journal() if one["path"] == "/oauth2/v1/tokens/bearer"]
    assert len(asked) == 1


# --- Rule 9 -------------------------------------------------------------------------------------


def test_rule_9_two_processes_stopped_beyond_their_leases_change_nothing_late(
    session: Session, sessions: Sessions, config: Config, environ: dict[str, str],
    simulator: SimulatorHandle, connect_one: Connect,
) -> None:  # fmt: skip
    firms = [connect_one(), connect_one()]
    for connection in firms:
        simulator.company(connection.realm_id, latency=1.0)
        session.add(new_lead(connection.organization_id))
    session.commit()
    simulator.clear_journal()
    with working("drain", 2, environ) as drainers:
        eventually(lambda: len(simulator.journal()) == 2)
        drainers.signal(signal.SIGSTOP)
        for _ in range(4):  # on a busy machine an answer may take longer than a call waits
            make_due(session)
            for connection in firms:
                drain(sessions, QuickBooks(sessions, config), connection.lane_id, config)
        assert states(sessions) == {"synced": 2}
        before = everything(session)
        drainers.signal(signal.SIGCONT)
        late = drainers.finish()
    assert sum(late) == 2
    assert everything(session) == before
    for connection in firms:
        assert customers(simulator, connection)["Green Lawn Co"] == 1


def everything(session: Session) -> list[Any]:
    session.rollback()
    tables = ("outbox", "outbox_dispatches", "outbox_dispatch_items", "outbox_links")
    return [session.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2")).all() for table in tables]


# --- Rule 10 ------------------------------------------------------------------------------------

SLACK = 20  # seconds that a busy machine may take to start a process and send


@pytest.mark.parametrize(
    ("while_running", "replays_faults"),
    [
        ("wait", True),
        ("duplicate", True),
        pytest.param("600", True, marks=pytest.mark.full),
        pytest.param("wait", False, marks=pytest.mark.full),
        pytest.param("600", False, marks=pytest.mark.full),
    ],
)
def test_rule_10_the_only_process_is_killed_with_thirty_entries_in_flight(
    session: Session, sessions: Sessions, config: Config, environ: dict[str, str],
    simulator: SimulatorHandle, connect_one: Connect, while_running: str, replays_faults: bool,
) -> None:  # fmt: skip
    """QuickBooks goes on with the first copy; one of the thirty is refused."""
    connection = connect_one()
    simulator.company(
        connection.realm_id,
        latency_per_item=0.04,
        works_on_after_hangup=2.0,
        requestid_while_running=while_running,
        replay_faults=replays_faults,
    )
    firm = connection.organization_id
    names = [f"Customer {number}" for number in range(29)]
    session.add_all([new_lead(firm, name) for name in [*names, "x" * 600]])
    session.commit()
    simulator.clear_journal()
    with working("serve", 1, environ) as only:
        eventually(lambda: any("batch" in one["path"] for one in simulator.journal()))
        only.signal(signal.SIGKILL)
    killed_at = time.monotonic()
    session.add(new_lead(firm, "Unrelated"))
    session.commit()
    [unrelated] = [one for one in entries_of(session) if one.payload["title"] == "Unrelated"]
    with working("serve", 1, environ) as again:
        eventually(lambda: is_synced(sessions, unrelated.id))
        assert time.monotonic() - killed_at < config.lease.total_seconds() + SLACK
        eventually(lambda: not states(sessions)["pending"], lambda: states(sessions))
        assert time.monotonic() - killed_at < config.resend_after.total_seconds() + SLACK
        again.finish()
    found = customers(simulator, connection)
    assert all(found[name] == 1 for name in [*names, "Unrelated"])
    assert states(sessions)["synced"] >= 30


def is_synced(sessions: Sessions, entry_id: int) -> bool:
    with sessions() as session:
        return session.get_one(Entry, entry_id).state == State.SYNCED


# --- One never delays another -------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 14, 28, 29])
@pytest.mark.parametrize("trouble", ["rejected", "breaks compose"])
def test_one_that_can_never_succeed_delays_no_other_wherever_it_stands(
    session: Session, sessions: Sessions, config: Config, place: int, trouble: str
) -> None:
    ledger = Ledger(rejects={"rejected"})
    firm, lane = new_firm_with_lane(session)
    titles = [f"Customer {number}" for number in range(30)]
    titles[place] = trouble
    session.add_all([new_lead(firm, title) for title in titles])
    session.commit()
    drain_lane(sessions, ledger, lane, config, threading.Event())
    by_title = {entry.payload["title"]: entry.state for entry in entries_of(session)}
    assert by_title.pop(trouble) == "failed"
    assert set(by_title.values()) == {"synced"}


@pytest.mark.parametrize("place", [0, 7, 14])
def test_an_item_that_quickbooks_refuses_delays_no_other_of_its_batch(
    session: Session, sessions: Sessions, config: Config, simulator: SimulatorHandle,
    connect_one: Connect, place: int,
) -> None:  # fmt: skip
    connection = connect_one()
    session.add_all(
        [new_lead(connection.organization_id, f"Customer {number}") for number in range(15)]
    )
    session.commit()
    simulator.fault(match={"path": "/batch"}, do={"item_fault": {"index": place, "code": "2020"}})
    drain_lane(
        sessions, QuickBooks(sessions, config), connection.lane_id, config, threading.Event()
    )
    found = [entry.state for entry in entries_of(session)]
    assert found.pop(place) == "failed"
    assert set(found) == {"synced"}


@pytest.mark.parametrize("answered", [True, False])
def test_a_batch_refused_as_a_whole_is_split_but_never_one_without_an_answer(
    session: Session, sessions: Sessions, config: Config, simulator: SimulatorHandle,
    connect_one: Connect, answered: bool,
) -> None:  # fmt: skip
    connection = connect_one()
    session.add_all(
        [new_lead(connection.organization_id, f"Customer {number}") for number in range(3)]
    )
    session.commit()
    simulator.clear_journal()
    do: Json = {"fault": {"code": "2010"}} if answered else {"timeout": "after"}
    simulator.fault(match={"path": "/batch"}, do=do)
    company = QuickBooks(sessions, config)
    for _ in range(4):
        drain_lane(sessions, company, connection.lane_id, config, threading.Event())
        make_due(session)
    sent = [one for one in simulator.journal() if one["method"] == "POST"]
    if answered:
        assert [one["path"].rsplit("/", 1)[1] for one in sent] == ["batch"] + ["customer"] * 3
    else:
        assert len({one["requestid"] for one in sent}) == 1
    assert states(sessions) == {"synced": 3}
    assert customers(simulator, connection).most_common(1)[0][1] == 1


# --- The queue behind a held lane ---------------------------------------------------------------


def fill(session: Session, lane: int, firm: int, count: int) -> None:
    session.execute(
        text(
            "INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id, operation,"
            " payload) SELECT :firm, :lane, 'lead', 1000000 + number, 'save',"
            """ '{"title": "x", "needs": []}' FROM generate_series(1, :count) AS number"""
        ),
        {"firm": firm, "lane": lane, "count": count},
    )
    session.commit()
    session.execute(text("ANALYZE outbox"))
    session.commit()


def test_finding_work_reads_nothing_of_what_stands_behind_a_held_lane(session: Session) -> None:
    firm, lane = new_firm_with_lane(session)
    fill(session, lane, firm, 20_000)
    lanes.hold(session, lane, "signed_out")
    other, open_lane = new_firm_with_lane(session, name="Other")
    session.add(new_lead(other))
    session.commit()
    assert due_lanes(session) == [open_lane]
    asked = {"lanes": [], "since": [], "late": timedelta(0)}
    nodes = list(nodes_of(plan_of(session, looks._LOOK, asked)))
    of_outbox = [one for one in nodes if one.get("Relation Name") == "outbox"]
    assert {one["Node Type"] for one in of_outbox} <= {"Index Scan", "Index Only Scan"}
    rows = [
        (one["Actual Rows"] + one.get("Rows Removed by Filter", 0)) * one["Actual Loops"]
        for one in of_outbox
    ]
    assert sum(rows) < 20


@pytest.mark.parametrize("state", ["pending", "synced"])
def test_choosing_a_wave_reads_of_its_records_only(session: Session, state: str) -> None:
    """Whatever the planner believes: a queue's figures are always late."""
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    fill(session, lane, firm, 5_000)
    settled = "NULL" if state == "pending" else "now()"
    session.execute(text(f"UPDATE outbox SET state = '{state}', settled_at = {settled}"))
    session.commit()
    asked = {"lane": lane, "records": '[{"type": "lead", "id": 1, "own": true}]'}
    asked |= {"old": timedelta(minutes=10), "resend_after": timedelta(minutes=2)}
    for statement in (waves._LOAD[1], counterparts._COUNTERPARTS):
        for node in nodes_of(plan_of(session, statement, asked)):
            read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            assert read * node["Actual Loops"] < 5, node


@pytest.mark.full
def test_a_hundred_thousand_behind_a_held_lane_cost_the_others_less_than_a_tenth(
    session: Session, sessions: Sessions, config: Config
) -> None:
    ledger = Ledger()
    firm, open_lane = new_firm_with_lane(session, name="Other")
    held_firm, held = new_firm_with_lane(session)
    lanes.hold(session, held, "signed_out")
    session.commit()

    def latency(number: int) -> float:
        session.add(new_lead(firm, f"Customer {number}"))
        session.commit()
        begin = time.perf_counter()
        with sessions() as mine:
            assert due_lanes(mine) == [open_lane]
        drain(sessions, ledger, open_lane, config)
        return time.perf_counter() - begin

    def median(first: int) -> float:
        return statistics.median(latency(number) for number in range(first, first + 150))

    alone = min(median(0), median(1000))
    fill(session, held, held_firm, 100_000)
    behind = min(median(2000), median(3000))
    print(f"alone {alone * 1000:.2f} ms, behind {behind * 1000:.2f} ms")  # noqa: T201
    assert behind < alone * 1.1
