"""What an owner decides about changes made while disconnected, when one is in doubt, or was
declined before."""

import pytest
from sqlalchemy import text

from tests.support.situation import Situation
from tests.test_cases_counterpart import booked, decide, edit_invoice, reconnect
from tests.test_changed_while_in_doubt import forget, wait_and_drain

DEARER = {"lines-0-unit_price": "150"}


@pytest.mark.parametrize("does", ["after", "before"])
def test_what_was_declined_of_an_unanswered_create_never_goes_along(
    at: Situation, does: str
) -> None:
    at.connect()
    lead = at.save_lead()
    at.drain()
    at.simulator.fault(match={"path": "/invoice", "times": 1}, do={"reset": does})
    invoice = at.save_invoice(lead, "100")
    at.drain()
    at.disconnect()
    edit_invoice(at, invoice, **DEARER)
    reconnect(at)
    decide(at, "leave")
    wait_and_drain(at)
    assert at.entry().state == "skipped"
    assert "100 times" not in at.ana.open(f"/invoices/{invoice}").panel()
    edit_invoice(at, invoice, memo="Thanks")
    wait_and_drain(at)
    assert at.entry().state == "synced", at.entry().fault_code
    there = booked(at)
    assert there["CustomerMemo"] == {"value": "Thanks"}
    assert there["TotalAmt"] == (100 if does == "after" else 150)  # never arrived: it is new


def test_what_was_declined_is_not_sent_again_while_reads_are_refused(at: Situation) -> None:
    """Whether its create arrived is asked first, however long that takes."""
    at.connect()
    lead = at.save_lead()
    at.drain()
    at.simulator.fault(match={"path": "/invoice", "times": 1}, do={"reset": "before"})
    at.save_invoice(lead, "100")
    at.drain()
    at.disconnect()
    reconnect(at)
    at.simulator.fault(match={"path": "/query"}, do={"status": 429})
    decide(at, "leave")
    wait_and_drain(at)
    assert at.books("Invoice") == []
    at.simulator.clear_faults()
    with at.sessions.begin() as session:
        session.execute(text("UPDATE outbox_lanes SET questions_rest_until = now()"))
    wait_and_drain(at)
    assert (at.entry().state, at.books("Invoice")) == ("skipped", [])


def test_what_was_to_be_sent_again_is_looked_up_once_it_is_declined(at: Situation) -> None:
    at.connect()
    lead = at.save_lead()
    at.drain()
    at.simulator.fault(match={"path": "/invoice", "times": 1}, do={"reset": "before"})
    at.save_invoice(lead, "100")
    at.drain()
    at.disconnect()
    with at.sessions.begin() as session:  # it was looked up, and not sent again before that
        session.execute(text("UPDATE outbox_dispatches SET goes_again = true WHERE sends = 1"))
    reconnect(at)
    decide(at, "leave")
    wait_and_drain(at)
    assert (at.entry().state, at.books("Invoice")) == ("skipped", [])


def test_what_was_declined_is_counted_as_often_as_it_was_sent(at: Situation) -> None:
    at.connect()
    lead = at.save_lead()
    at.drain()
    at.simulator.fault(match={"path": "/query"}, do={"status": 429})
    at.simulator.fault(match={"path": "/invoice", "times": 2}, do={"reset": "before"})
    invoice = at.save_invoice(lead, "100")
    at.drain()
    at.pass_time()
    at.drain()
    at.disconnect()
    reconnect(at)
    decide(at, "leave")
    assert "2 times" in at.ana.open(f"/invoices/{invoice}").panel()


@pytest.mark.parametrize("does", ["after", "before"])
def test_what_was_declined_is_not_asked_about_when_a_later_answer_is_lost(
    at: Situation, does: str
) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    at.disconnect()
    edit_invoice(at, invoice, **DEARER)
    reconnect(at)
    decide(at, "leave")
    at.simulator.fault(match={"path": "/invoice", "times": 1}, do={"reset": does})
    edit_invoice(at, invoice, memo="Thanks")
    at.drain()
    forget(at)
    wait_and_drain(at)
    assert (at.entry().state, at.fault()) == ("synced", None)
    there = booked(at)
    assert (there["TotalAmt"], there["CustomerMemo"]) == (100, {"value": "Thanks"})


def test_what_is_sent_after_it_was_declined_is_sent_as_shown(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    at.disconnect()
    edit_invoice(at, invoice, **DEARER)
    reconnect(at)
    decide(at, "leave")
    at.disconnect()
    edit_invoice(at, invoice, memo="Thanks")
    reconnect(at)
    decide(at, "send")
    assert at.entry().state == "synced", at.entry().fault_code
    there = booked(at)
    assert (there["TotalAmt"], there["CustomerMemo"]) == (150, {"value": "Thanks"})


def test_an_unanswered_change_that_never_arrived_and_is_left_is_skipped(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    at.simulator.fault(match={"path": "/invoice", "times": 1}, do={"reset": "before"})
    edit_invoice(at, invoice, **DEARER)
    at.drain()
    at.disconnect()
    reconnect(at)
    decide(at, "leave")
    wait_and_drain(at)
    assert booked(at)["TotalAmt"] == 100
    assert at.entry().state == "skipped"
