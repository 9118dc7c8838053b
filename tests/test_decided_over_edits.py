"""A person's decision about one thing does not overwrite what a bookkeeper changed in another.

Only *Send it as it is here*, and *Send again* of a record that counts as sent, make it equal to
ours.
"""

import pytest
from sqlalchemy import text

from tests.support.situation import RIVERA, Situation
from tests.test_edited_there import LEAVE_THEIRS, SEND_OURS, booked, edit_invoice, press, there

REACTIVATE = "Reactivate it in QuickBooks"


def edit_lead(at: Situation, lead: int, **fields: str) -> None:
    at.ana.open(f"/leads/{lead}/edit").submit(fields)
    at.drain()


def phone_there(at: Situation) -> str:
    [customer] = at.books("Customer")
    return str(customer["PrimaryPhone"]["FreeFormNumber"])


def inactive_with_their_phone(at: Situation, **changes: object) -> int:
    """A customer of ours with a phone number of theirs, inactive; returns the lead."""
    at.connect()
    lead = at.save_lead(phone="916-555-0111")
    at.drain()
    theirs = {"PrimaryPhone": {"FreeFormNumber": "916-555-0999"}, **changes}
    there(at, "Customer", **{"DisplayName": "Green Lawn Co", "Active": False, **theirs})
    return lead


@pytest.mark.parametrize("name", ["Green Lawn Co", "Renamed Lawn"])
def test_reactivating_the_customer_of_an_invoice_keeps_what_was_changed_there(
    at: Situation, name: str
) -> None:
    lead = inactive_with_their_phone(at, DisplayName=name)
    invoice = at.save_invoice(lead)
    at.drain()
    assert at.fault() == "its_customer_inactive"
    press(at, f"/invoices/{invoice}", REACTIVATE)
    customer = booked(at, "Customer")
    assert (customer["Active"], customer["DisplayName"]) == (True, name)
    assert phone_there(at) == "916-555-0999"
    assert len(at.books("Invoice")) == 1
    assert "In QuickBooks" in at.ana.open(f"/leads/{lead}").panel()


def test_what_both_changed_of_a_reactivated_customer_is_asked_about(at: Situation) -> None:
    lead = inactive_with_their_phone(at)
    edit_lead(at, lead, phone="916-555-0222")
    assert at.fault() == "customer_inactive"
    press(at, f"/leads/{lead}", REACTIVATE)
    assert (phone_there(at), at.fault()) == ("916-555-0999", "edited_there")
    assert booked(at, "Customer")["Active"] is True
    invoice = at.save_invoice(lead)  # waits for the answer
    at.drain()
    press(at, f"/leads/{lead}", LEAVE_THEIRS)
    assert phone_there(at) == "916-555-0999"
    assert "In QuickBooks" in at.ana.open(f"/invoices/{invoice}").panel()
    there(at, "Customer", DisplayName="Green Lawn Co", Active=False)
    edit_lead(at, lead, email="kim@lawn.example")
    assert at.fault() == "customer_inactive"  # the old decision is not carried out a second time


def test_ours_goes_to_a_reactivated_customer_when_a_person_says_so(at: Situation) -> None:
    lead = inactive_with_their_phone(at)
    edit_lead(at, lead, phone="916-555-0222")
    press(at, f"/leads/{lead}", REACTIVATE)
    press(at, f"/leads/{lead}", SEND_OURS)
    assert (phone_there(at), at.entry().state) == ("916-555-0222", "synced")


def test_a_customer_is_reactivated_although_its_new_name_is_taken(at: Situation) -> None:
    lead = inactive_with_their_phone(at)
    at.bookkeeper().post("customer", {"DisplayName": "Blue Lake HOA"})
    invoice = at.save_invoice(lead)
    at.drain()
    edit_lead(at, lead, name="Blue Lake HOA")
    press(at, f"/invoices/{invoice}", REACTIVATE)
    assert at.fault() == "6240"  # the lead's name is a matter of its own
    assert "In QuickBooks" in at.ana.open(f"/invoices/{invoice}").panel()
    [customer] = [one for one in at.books("Customer") if one["DisplayName"] == "Green Lawn Co"]
    assert customer["Active"] is True


def test_an_invoice_goes_though_its_customer_was_only_reactivated_after_it(at: Situation) -> None:
    lead = inactive_with_their_phone(at)
    invoice = at.save_invoice(lead)
    at.drain()
    at.simulator.fault(match={"path": "query", "times": 1}, do={"reset": "after"})
    press(at, f"/invoices/{invoice}", REACTIVATE)
    for _ in range(4):
        with at.sessions.begin() as session:
            session.execute(text("UPDATE outbox_lanes SET questions_rest_until = NULL"))
        at.pass_time()
        at.drain()
    assert at.states()[-1] == "invoice synced", at.fault()


def test_what_only_they_changed_stays_when_a_refused_change_is_sent_again(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    at.simulator.company(RIVERA, BookCloseDate="2030-01-01")
    edit_invoice(at, invoice, **{"lines-0-unit_price": "110"})
    assert at.entry().state == "failed", at.entry().fault_code
    at.simulator.company(RIVERA, BookCloseDate=None)
    there(at, "Invoice", DueDate="2031-02-03")
    press(at, f"/invoices/{invoice}", "Try again")
    invoiced = booked(at)
    assert (invoiced["TotalAmt"], invoiced["DueDate"]) == (110, "2031-02-03")


def test_what_both_changed_is_asked_about_when_a_refused_change_is_sent_again(
    at: Situation,
) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    at.simulator.company(RIVERA, BookCloseDate="2030-01-01")
    edit_invoice(at, invoice, memo="ours")
    at.simulator.company(RIVERA, BookCloseDate=None)
    there(at, "Invoice", CustomerMemo={"value": "theirs"})
    press(at, f"/invoices/{invoice}", "Try again")
    assert (at.fault(), booked(at)["CustomerMemo"]["value"]) == ("edited_there", "theirs")
    press(at, f"/invoices/{invoice}", SEND_OURS)
    assert (at.entry().state, booked(at)["CustomerMemo"]["value"]) == ("synced", "ours")
