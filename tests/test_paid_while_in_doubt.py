"""An invoice that is paid while it is not known whether another payment of it arrived."""

import pytest

from tests.support.situation import SETTINGS, Situation
from tests.test_cases_counterpart import booked
from tests.test_changed_while_in_doubt import wait_and_drain
from tests.test_raised_after_paid import unapplied


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_an_invoice_can_be_paid_is_asked_once(at: Situation, when: str) -> None:
    """The answer counts, though it may be of before the other payment, which waits for the
    owner's decision."""
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    at.simulator.fault(match={"path": "/payment", "times": 1}, do={"reset": when})
    at.pay(invoice, "40")
    at.drain()
    at.disconnect()
    at.connect()
    at.pay(invoice, "150")
    at.pass_time()
    at.calls()
    at.drain()
    written = [call for call in at.calls() if call == "POST payment"]
    # the last one is a check of ours: whether there is more room for the credit
    states = ["payment pending", "payment synced", "payment synced"]
    assert (len(written), at.states()[-3:]) == (1, states)
    assert booked(at)["Balance"] == 0
    at.ana.open(SETTINGS).submit(press="Send the changes")
    wait_and_drain(at)
    assert {state.split()[1] for state in at.states()} == {"synced"}
    assert (booked(at)["Balance"], sum(unapplied(at))) == (0, 90)
