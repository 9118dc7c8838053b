"""History is deleted in small steps; what may still be needed stays."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.base import Json
from models.outbox import Dispatch, DispatchItem, Entry
from models.sales import Lead
from outbox import prune as pruning
from outbox.prune import FAILURES_KEPT, HISTORY_KEPT_FOR, prune
from tests.support.drains import drain
from tests.support.firm import entries_of, new_firm_with_lane, new_lead
from tests.support.ledger import Ledger


@pytest.fixture
def lead(session: Session, sessions: Sessions, config: Config) -> Lead:
    """A lead that was sent, refused once, mended, and changed twice since."""
    firm, lane = new_firm_with_lane(session)
    lead = new_lead(firm, "A")
    session.add(lead)
    session.commit()
    ledger = Ledger()
    drain(sessions, ledger, lane, config)
    ledger.rejects = {"B"}
    for name in ("B", "C", "D"):
        lead.name = name
        session.commit()
        drain(sessions, ledger, lane, config)
    return lead


def grow_old(session: Session, age: timedelta) -> None:
    session.rollback()
    session.execute(
        text("UPDATE outbox SET settled_at = settled_at - :age, created_at = created_at - :age"),
        {"age": age},
    )
    session.execute(
        text("UPDATE outbox_dispatches SET created_at = created_at - :age"), {"age": age}
    )
    session.commit()


def titles(session: Session) -> list[str]:
    return [entry.payload["title"] for entry in entries_of(session)]


def test_young_history_stays(session: Session, sessions: Sessions, lead: Lead) -> None:
    grow_old(session, HISTORY_KEPT_FOR - timedelta(days=1))
    assert prune(sessions) == 0
    assert titles(session) == ["A", "B", "C", "D"]


def test_old_history_goes_but_failures_and_the_newest_stay(
    session: Session, sessions: Sessions, lead: Lead
) -> None:
    grow_old(session, HISTORY_KEPT_FOR + timedelta(days=1))
    assert prune(sessions) == 2
    assert titles(session) == ["B", "D"]
    assert session.query(Dispatch).count() == session.query(DispatchItem).count() == 2


def test_failures_go_much_later(session: Session, sessions: Sessions, lead: Lead) -> None:
    grow_old(session, FAILURES_KEPT + timedelta(days=1))
    assert prune(sessions) == 3
    assert titles(session) == ["D"]


def test_what_is_not_resolved_stays_for_ever(
    session: Session, sessions: Sessions, lead: Lead
) -> None:
    session.execute(text("UPDATE outbox SET state = 'failed'"))
    session.commit()
    grow_old(session, FAILURES_KEPT * 2)
    assert prune(sessions) == 0


def test_no_gap_in_the_numbers_stops_it(
    session: Session, sessions: Sessions, lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "NUMBERS_PER_STATEMENT", 1)
    grow_old(session, FAILURES_KEPT + timedelta(days=1))
    assert prune(sessions) == 3
    assert titles(session) == ["D"]


def nodes(plan: Json) -> Iterator[tuple[str, str | None]]:
    """Each step of a plan and the table it reads, by the name the statement gives it."""
    yield plan["Node Type"], plan.get("Alias")
    for below in plan.get("Plans", []):
        yield from nodes(below)


def test_each_statement_reads_one_slice_of_the_table_and_no_more(
    session: Session, lead: Lead
) -> None:
    session.execute(
        text(
            "INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id, operation,"
            " payload, state, settled_at, created_at)"
            " SELECT organization_id, lane_id, 'lead', number % 5000, 'save', '{}', 'synced',"
            " now() - interval '1 year', now() - interval '1 year'"
            " FROM outbox, generate_series(1, 30000) AS number WHERE outbox.id = 1"
        )
    )
    session.commit()
    session.execute(text("ANALYZE outbox"))
    plan = session.execute(
        text("EXPLAIN (ANALYZE, FORMAT JSON) " + pruning._PRUNE_ENTRIES.text),
        {"after": 10_000, "slice": 5000, "kept": HISTORY_KEPT_FOR, "failures_kept": FAILURES_KEPT},
    ).scalar_one()
    assert ("Seq Scan", "entry") not in set(nodes(plan[0]["Plan"]))
    assert plan[0]["Execution Time"] < 2000
    assert session.query(Entry).count() == 30_004 - 5000
