"""A look finds every lane with something due, also by what the process remembers."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from outbox import looks
from outbox.looks import Looks
from tests.support.firm import new_firm_with_lane, new_lead

CHURNED = 3_000


def firms(session: Session, count: int) -> list[tuple[int, int]]:
    return [new_firm_with_lane(session, name=f"Firm {number}") for number in range(count)]


def save(session: Session, firm: int, name: str) -> None:
    session.add(new_lead(firm, name))
    session.commit()


def settle(session: Session, lane: int) -> None:
    session.execute(
        text(
            "UPDATE outbox SET state = 'synced', settled_at = now()"
            " WHERE lane_id = :lane AND state = 'pending'"
        ),
        {"lane": lane},
    )
    session.commit()


def remembers(session: Session) -> Looks:
    """As after two looks that took too long."""
    remembering = Looks(slow=timedelta(seconds=-60))
    for _ in range(2):
        assert looked(session, remembering) == []
    return remembering


def looked(session: Session, remembering: Looks) -> list[int]:
    found = sorted(remembering.due_lanes(session))
    session.rollback()
    return found


def test_what_comes_after_a_look_is_found_in_lanes_that_are_remembered_and_in_others(
    session: Session,
) -> None:
    remembering = remembers(session)
    (a, lane_a), (b, lane_b), (c, lane_c), (_d, _lane_d) = firms(session, 4)
    save(session, b, "One")
    assert looked(session, remembering) == [lane_b]
    save(session, b, "Another")
    save(session, a, "Before it")
    save(session, c, "After it")
    for _ in range(2):  # as unknown lanes, then as remembered ones
        assert looked(session, remembering) == [lane_a, lane_b, lane_c]
    settle(session, lane_b)
    assert looked(session, remembering) == [lane_a, lane_c]
    save(session, b, "Again")
    assert looked(session, remembering) == [lane_a, lane_b, lane_c]


def test_a_remembered_lane_whose_pause_ends_and_an_entry_whose_time_comes_are_found(
    session: Session,
) -> None:
    remembering = remembers(session)
    ((firm, lane), (other, other_lane)) = firms(session, 2)
    save(session, firm, "Paused")
    save(session, other, "Due later")
    assert looked(session, remembering) == [lane, other_lane]
    session.execute(
        text(
            "UPDATE outbox_lanes SET pause_reason = 'outage',"
            " pause_until = clock_timestamp() + interval '1 hour' WHERE id = :lane"
        ),
        {"lane": lane},
    )
    later = text(
        "UPDATE outbox SET available_at = clock_timestamp() + make_interval(secs => :seconds)"
        " WHERE lane_id = :lane"
    )
    session.execute(later, {"lane": other_lane, "seconds": 3600})
    session.commit()
    assert looked(session, remembering) == []
    session.execute(text("UPDATE outbox_lanes SET pause_until = NULL, pause_reason = NULL"))
    session.execute(later, {"lane": other_lane, "seconds": 0})
    session.commit()
    assert looked(session, remembering) == [lane, other_lane]


def test_what_is_older_than_what_is_remembered_is_found_by_the_next_full_look(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembering = remembers(session)
    ((firm, lane),) = firms(session, 1)
    save(session, firm, "One")
    assert looked(session, remembering) == [lane]
    session.execute(text("UPDATE outbox SET available_at = now() - interval '1 hour'"))
    session.commit()
    assert looked(session, remembering) == []
    monkeypatch.setattr(looks, "FULL_LOOK_AFTER", timedelta(0))
    assert looked(session, remembering) == [lane]


def test_a_process_whose_looks_are_fast_remembers_nothing_and_finds_all(session: Session) -> None:
    looking = Looks(slow=timedelta(minutes=1))
    ((firm, lane),) = firms(session, 1)
    save(session, firm, "One")
    for _ in range(3):
        assert looked(session, looking) == [lane]
    session.execute(text("UPDATE outbox SET available_at = now() - interval '1 hour'"))
    session.commit()
    assert looked(session, looking) == [lane]


def test_a_process_whose_looks_are_fast_again_finds_all_at_once(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = remembers(session)
    ((firm, lane),) = firms(session, 1)
    save(session, firm, "One")
    assert looked(session, looking) == [lane]
    looking.slow = timedelta(minutes=1)
    with monkeypatch.context() as now:
        now.setattr(looks, "FULL_LOOK_AFTER", timedelta(0))
        assert looked(session, looking) == [lane]
    session.execute(text("UPDATE outbox SET available_at = now() - interval '1 hour'"))
    session.commit()
    assert looked(session, looking) == [lane]


@pytest.fixture
def old_snapshot(database_url: str, engine: Engine) -> Iterator[None]:
    address = engine.url
    onlooker = create_engine(address, poolclass=NullPool, isolation_level="REPEATABLE READ")
    with onlooker.connect() as connection:
        connection.execute(text("SELECT count(*) FROM organizations"))
        yield


def test_a_look_under_an_old_snapshot_does_not_read_what_is_long_settled(
    session: Session, engine: Engine, old_snapshot: None
) -> None:
    remembering = remembers(session)
    ((firm, lane),) = firms(session, 1)
    save(session, firm, "One")
    assert looked(session, remembering) == [lane]
    session.execute(
        text(
            "INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id, operation,"
            " payload, available_at)"
            " SELECT organization_id, lane_id, aggregate_type, aggregate_id, operation, payload,"
            "   now() - interval '1 hour' FROM outbox CROSS JOIN generate_series(1, :count)"
        ),
        {"count": CHURNED},
    )
    session.commit()
    settle(session, lane)
    save(session, firm, "Two")
    asked: list[tuple[str, Any]] = []
    event.listen(engine, "before_cursor_execute", lambda *told: asked.append((told[2], told[3])))
    assert looked(session, remembering) == [lane]
    assert looked(session, Looks()) == [lane]
    remembered, full = (pages_read(session, *one) for one in asked if "WITH RECURSIVE" in one[0])
    assert remembered < 20
    assert full > 5 * remembered, "nothing old was left to read: the test shows nothing"


def pages_read(session: Session, statement: str, parameters: Any) -> int:
    cursor = session.connection().connection.cursor()
    cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement, parameters)
    row = cursor.fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
