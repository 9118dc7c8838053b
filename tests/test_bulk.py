"""Many entries at once: a stored decision, carried out a piece at a time."""

import threading

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db import Sessions
from models.accounts import AuditEvent, Role
from models.outbox import BulkAct, Entry
from outbox import bulk, lanes
from quickbooks import decisions
from tests.support.connected import firm_of, new_owner
from tests.support.firm import entries_of, new_firm_with_lane, new_lead
from tests.support.visitor import new_person


@pytest.fixture
def admin_id(session: Session) -> int:
    return new_person(session, None, "admin@dunahub.example", Role.ADMIN).id


def failed_leads(session: Session, firm: int, count: int) -> list[int]:
    """So many leads whose entries need attention."""
    session.add_all([new_lead(firm, f"Customer {number}") for number in range(count)])
    session.commit()
    failed = session.execute(
        text(
            "UPDATE outbox SET state = 'failed', settled_at = now(), fault_code = '6240'"
            " WHERE organization_id = :firm AND state = 'pending' RETURNING id"
        ),
        {"firm": firm},
    )
    ids = sorted(failed.scalars())
    session.commit()
    return ids


def decided(session: Session, entries: list[int], admin_id: int, act: str = "requeue") -> int:
    bulk_id = bulk.decide(session, act, entries, admin_id, "QuickBooks is back")
    session.commit()
    return bulk_id


def fresh(session: Session, bulk_id: int) -> BulkAct:
    session.rollback()
    session.expire_all()
    return session.get_one(BulkAct, bulk_id)


def test_a_decision_about_many_is_carried_out_to_the_end_and_audited_for_each_organization(
    session: Session, sessions: Sessions, admin_id: int
) -> None:
    rivera, _ = new_firm_with_lane(session)
    oak, _ = new_firm_with_lane(session, name="Oak HVAC Inc")
    ids = failed_leads(session, rivera, bulk.ENTRIES_PER_BATCH + 50) + failed_leads(
        session, oak, 30
    )
    bulk_id = decided(session, ids, admin_id)
    assert {entry.state for entry in entries_of(session)} == {"failed"}
    assert bulk.carry_out(sessions) == len(ids)
    found = fresh(session, bulk_id)
    assert (found.done, found.position, found.refused) == (len(ids), len(ids), {})
    assert found.finished_at is not None
    assert {entry.state for entry in entries_of(session)} == {"pending"}
    noted: dict[int, list[int]] = {rivera: [], oak: []}
    for event in session.query(AuditEvent).filter(AuditEvent.action == "outbox.requeued"):
        assert (event.user_id, event.reason) == (admin_id, "QuickBooks is back")
        noted[event.organization_id or 0] += event.details["entries"]
    assert sorted(noted[rivera]) == ids[: bulk.ENTRIES_PER_BATCH + 50]
    assert sorted(noted[oak]) == ids[bulk.ENTRIES_PER_BATCH + 50 :]
    assert bulk.carry_out(sessions) == 0


def test_what_is_refused_is_counted_with_its_reason(
    session: Session, sessions: Sessions, admin_id: int
) -> None:
    rivera, lane = new_firm_with_lane(session)
    ids = failed_leads(session, rivera, 5)
    session.execute(
        text("UPDATE outbox_lanes SET state = 'closed' WHERE id = :lane"), {"lane": lane}
    )
    session.commit()
    bulk_id = decided(session, [*ids, 999_999], admin_id)
    bulk.carry_out(sessions)
    found = fresh(session, bulk_id)
    assert found.done == 0
    assert sorted(found.refused.values()) == [1, 5]


def test_a_crash_in_a_piece_loses_and_doubles_nothing(
    session: Session, sessions: Sessions, admin_id: int
) -> None:
    rivera, _ = new_firm_with_lane(session)
    ids = failed_leads(session, rivera, bulk.ENTRIES_PER_BATCH * 2)
    bulk_id = decided(session, ids, admin_id)
    session.execute(  # the second piece cannot be written
        text(
            "ALTER TABLE outbox ADD CONSTRAINT crash CHECK"
            f" (id <> {ids[-1]} OR state <> 'pending') NOT VALID"
        )
    )
    session.commit()
    with pytest.raises(Exception, match="crash"):
        bulk.carry_out(sessions)
    found = fresh(session, bulk_id)
    assert (found.position, found.done, found.finished_at) == (
        bulk.ENTRIES_PER_BATCH,
        bulk.ENTRIES_PER_BATCH,
        None,
    )
    session.execute(text("ALTER TABLE outbox DROP CONSTRAINT crash"))
    session.commit()
    assert bulk.carry_out(sessions) == bulk.ENTRIES_PER_BATCH
    found = fresh(session, bulk_id)
    assert (found.done, found.finished_at is not None) == (len(ids), True)


def test_two_processes_share_the_decisions_and_judge_each_entry_once(
    session: Session, sessions: Sessions, admin_id: int
) -> None:
    rivera, _ = new_firm_with_lane(session)
    ids = failed_leads(session, rivera, bulk.ENTRIES_PER_BATCH * 3)
    for start in range(0, len(ids), bulk.ENTRIES_PER_BATCH):
        decided(session, ids[start : start + bulk.ENTRIES_PER_BATCH], admin_id)
    judged: list[int] = []
    threads = [
        threading.Thread(target=lambda: judged.append(bulk.carry_out(sessions))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    judged.append(bulk.carry_out(sessions))
    assert sum(judged) == len(ids)
    assert {entry.state for entry in entries_of(session)} == {"pending"}


def test_case_e31_many_of_one_cause_are_sent_again_a_part_at_a_time(
    session: Session, sessions: Sessions
) -> None:
    owner = new_owner(session)
    firm = firm_of(owner)
    lane = lanes.create(session, firm).id
    session.commit()
    ids = failed_leads(session, firm, 2 * bulk.ENTRIES_PER_BATCH + 50)
    acted = decisions.send_alike(session, session.get_one(Entry, ids[0]), owner.id)
    session.commit()
    assert sorted(acted.done) == ids
    assert sum(entry.state == "pending" for entry in entries_of(session)) == bulk.ENTRIES_PER_BATCH
    assert bulk.carry_out(sessions) == len(ids) - bulk.ENTRIES_PER_BATCH
    assert {entry.state for entry in entries_of(session)} == {"pending"}
    writers = "SELECT count(DISTINCT xmin::text) FROM outbox WHERE lane_id = :lane"
    assert (session.scalar(text(writers), {"lane": lane}) or 0) >= 3
