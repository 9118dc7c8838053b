"""The database's clock jumps, so every stored time seems to have jumped the other way."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from outbox.company import Answer, Composition, Due, Later, Problem, Sent
from outbox.metrics import waiting
from outbox.retry import MAX_CHECK_DELAY
from outbox.watchdog import SET_BACK, mend_times
from quickbooks.updating import LISTS_LAG
from tests.support.drains import drain, make_due
from tests.support.firm import entries_of, new_firm_with_lane, new_lead
from tests.support.ledger import Ledger
from tests.support.situation import RIVERA, Situation
from tests.test_raised_after_paid import priced

TIMES = {
    "outbox_lanes": "lease_until pause_until next_call_at next_batch_at created_at",
    "outbox": "available_at first_attempt_at created_at",
    "outbox_dispatches": "created_at sent_at answered_at",
}


def jump(session: Session, by: timedelta) -> None:
    """The clock moves; seen from there, all that was stored before moves the other way."""
    session.rollback()
    for table, columns in TIMES.items():
        moved = ", ".join(f"{column} = {column} - :by" for column in columns.split())
        session.execute(text(f"UPDATE {table} SET {moved}"), {"by": by})
    session.commit()


def mend(sessions: Sessions, config: Config) -> int:
    return mend_times(sessions, lease=config.lease, resend_after=config.resend_after)


@pytest.mark.parametrize("hours", [-10, -24 * 400])
def test_a_clock_that_went_back_delays_nothing_for_as_long_and_doubles_nothing(
    session: Session, sessions: Sessions, config: Config, hours: int
) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm, "Out when the clock was set"))
    session.commit()
    ledger = Ledger(after=lambda _sent: Answer(problem=Problem.UNANSWERED))
    drain(sessions, ledger, lane, config)  # booked there, and we never heard of it
    ledger.after = lambda _sent: None
    session.add(new_lead(firm, "Waited when the clock was set"))
    session.commit()
    session.execute(text("UPDATE outbox_lanes SET lease_until = now() + interval '5 s'"))
    session.commit()  # and the process that had the lease is gone
    jump(session, timedelta(hours=hours))
    drain(sessions, ledger, lane, config)
    assert len(ledger.calls) == 1  # frozen: for ten hours, or for a year

    before = SET_BACK._value.get()
    assert mend(sessions, config) == 4  # the lane, the dispatch, both entries
    assert SET_BACK._value.get() == before + 1
    assert mend(sessions, config) == 0
    drain(sessions, ledger, lane, config)
    assert len(ledger.calls) == 1  # QuickBooks may still be at work: not before `RESEND_AFTER`
    make_due(session)
    drain(sessions, ledger, lane, config)
    assert ledger.calls[1].method == "GET"  # looked for before it could be sent again
    session.rollback()
    assert [entry.state for entry in entries_of(session)] == ["synced", "synced"]
    assert len(ledger.arrivals) == len(ledger.held) == 2


def test_a_clock_that_jumps_forward_in_the_middle_of_a_call_doubles_nothing(
    session: Session, sessions: Sessions, config: Config
) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    ledger = Ledger()

    def jump_and_let_another_drain(_sent: Sent) -> None:
        ledger.after = lambda _sent: None
        jump(session, timedelta(hours=10))
        drain(sessions, ledger, lane, config)

    ledger.after = jump_and_let_another_drain
    drain(sessions, ledger, lane, config)
    session.rollback()
    assert [entry.state for entry in entries_of(session)] == ["synced"]
    assert len(ledger.arrivals) == 1


def test_times_of_a_right_clock_are_left_alone(
    session: Session, sessions: Sessions, config: Config
) -> None:
    firm, _ = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    session.execute(text("UPDATE outbox SET available_at = now() + interval '1 hour'"))
    session.execute(
        text(
            "UPDATE outbox_lanes SET lease_until = now() + interval '6 s',"
            " pause_until = now() + interval '5 min', pause_reason = 'throttled',"
            " next_call_at = now() + interval '1 min'"
        )
    )
    session.commit()
    assert mend(sessions, config) == 0
    assert waiting(session).oldest_seconds == 0


def test_a_check_of_ours_that_waits_for_lists_is_left_alone(at: Situation) -> None:
    """Nothing else waits so long: QuickBooks' lists may be of half a day ago."""
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "100")
    at.drain()
    priced(at, invoice, "100.00")  # its version is known then
    at.simulator.company(RIVERA, list_delay=86_400, list_hides_new=False)
    priced(at, invoice, "50")
    for lag in LISTS_LAG:
        assert mend(at.sessions, at.config) == 0
        left = at.session.scalar(
            text("SELECT max(available_at) - now() FROM outbox WHERE state = 'pending'")
        )
        assert lag - timedelta(seconds=30) < left <= lag
        at.pass_time()
        at.drain()


def test_no_entry_is_put_off_for_longer_than_a_right_clock_allows(
    session: Session, sessions: Sessions, config: Config
) -> None:
    class Slow(Ledger):
        def compose(self, entries: Sequence[Due], *_: object) -> Composition:
            return Composition(None, {due.entry_id: Later(timedelta(days=3)) for due in entries})

    assert max(LISTS_LAG) <= MAX_CHECK_DELAY
    firm, lane = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    drain(sessions, Slow(), lane, config)
    assert mend(sessions, config) == 0
    assert session.scalar(text("SELECT max(available_at) > now() + interval '59 min' FROM outbox"))
