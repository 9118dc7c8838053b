"""A button does what its page said, or the page is shown again with a sentence that says why."""

from typing import Any

import pytest

from processors import recording
from processors.processor import AccountStanding
from tests.support.refunds import CHECKING, account, choose
from tests.support.situation import ANA, SETTINGS, Situation
from tests.support.till import Till
from tests.support.visitor import Visitor
from tests.test_edited_there import booked, edit_invoice, with_late_fee
from tests.test_matching_books import ask
from tests.test_refunds_online import there

# --- A refund -------------------------------------------------------------------------------------

CHECK_IT = "What was refunded of it has changed since you opened this page."


def end_access(till: Till) -> None:
    recording.end_account(till.session, till.account)
    till.session.commit()


def regain_access(till: Till) -> None:
    recording.note_standing(till.session, AccountStanding(till.account, True, True, True, True))
    till.session.commit()


def sums(till: Till) -> tuple[list[int], int, int]:
    """What went back at Stripe, in cents; what is left of the payment; what is open."""
    [left], open_ = till.sums()
    return there(till), int(left), int(open_)


def refund_page(till: Till) -> Visitor:
    return Visitor(till.app).sign_in(ANA).open(f"/payments/{till.payments[0].id}/refund")


def test_what_was_to_be_recorded_by_hand_does_not_go_back_through_stripe(till: Till) -> None:
    till.pay()
    end_access(till)
    page = refund_page(till)
    assert "Record a refund or return" in page.text
    regain_access(till)
    page.submit({"amount": "30"}, press="Record refund")
    assert "Stripe is connected again since you opened this page" in page.text
    assert "Refund through Stripe" in page.text
    assert sums(till) == ([], 100, 0)
    page.submit({"amount": "30"}, press="Refund it")  # now they know
    assert sums(till) == ([3000], 70, 30)


def test_what_was_to_go_back_through_stripe_is_not_recorded_by_hand(till: Till) -> None:
    till.pay()
    page = refund_page(till)
    assert "Refund through Stripe" in page.text
    end_access(till)
    page.submit({"amount": "30"}, press="Refund it")
    assert "Stripe was disconnected since you opened this page" in page.text
    assert sums(till) == ([], 100, 0)
    page.submit({"amount": "30"}, press="Record refund")
    assert "The refund is recorded." in page.text
    assert sums(till) == ([], 70, 30)


@pytest.mark.parametrize("by_hand", [False, True])
def test_two_people_with_one_page_each_refund_once(till: Till, by_hand: bool) -> None:
    till.pay()
    if by_hand:
        end_access(till)
    button = "Record refund" if by_hand else "Refund it"
    first, second = refund_page(till), refund_page(till)
    first.submit({"amount": "30"}, press=button)
    second.submit({"amount": "30"}, press=button)
    assert CHECK_IT in second.text
    assert sums(till) == ([] if by_hand else [3000], 70, 30)
    second.submit({"amount": "20"}, press=button)  # it was other money
    assert sums(till)[1:] == (50, 50)


# --- Send this invoice ----------------------------------------------------------------------------

INVOICE_CHANGED = "This invoice, or what was paid on it, has changed since you opened this page."


def unsent_invoice(at: Situation) -> tuple[int, int]:
    """An invoice of $100 of a time without QuickBooks, with a payment of $20; it is back."""
    invoice = at.save_invoice(at.save_lead(), "100")
    payment = at.pay(invoice, "20")
    at.connect()
    return invoice, payment


def test_what_was_paid_since_the_preview_goes_along(at: Situation) -> None:
    invoice, _payment = unsent_invoice(at)
    bob = Visitor(at.app).sign_in(ANA).open(f"/quickbooks/send/invoices/{invoice}")
    at.pay(invoice, "30")
    bob.submit({"agrees": "y"}, press="Send it")
    assert INVOICE_CHANGED in bob.text
    assert at.states() == []
    bob.submit({"agrees": "y", "payment": "2"}, press="Send it")
    assert "is being sent to QuickBooks now with 1 payment" in bob.text
    at.drain()
    assert [int(one["TotalAmt"]) for one in at.books("Payment")] == [30]


def test_what_was_left_out_stays_left_out_when_the_page_is_shown_again(at: Situation) -> None:
    invoice, left_out = unsent_invoice(at)
    second = at.pay(invoice, "30")
    page = at.ana.open(f"/quickbooks/send/invoices/{invoice}")
    token = str(page.page.select_one("[name=shown]")["value"])  # type: ignore[index]
    at.pay(invoice, "40")
    told = {"agrees": "y", "payment": str(second), "shown": token}
    page.post(f"/quickbooks/send/invoices/{invoice}", told)
    boxes = {
        str(one["value"]): one.has_attr("checked") for one in page.page.select("[name=payment]")
    }
    assert boxes == {str(left_out): False, str(second): True, str(second + 1): True}


def test_a_changed_total_is_shown_before_it_goes(at: Situation) -> None:
    invoice, _payment = unsent_invoice(at)
    bob = Visitor(at.app).sign_in(ANA).open(f"/quickbooks/send/invoices/{invoice}")
    at.ana.open(f"/invoices/{invoice}/edit").submit(
        {"lines-0-unit_price": "900"}, press="Save invoice"
    )
    bob.submit({"agrees": "y"}, press="Send it")
    assert INVOICE_CHANGED in bob.text
    assert at.states() == []


def left_behind(at: Situation) -> tuple[int, int]:
    """Its invoice was sent without it."""
    invoice, payment = unsent_invoice(at)
    at.ana.open(f"/quickbooks/send/invoices/{invoice}")
    token = str(at.ana.page.select_one("[name=shown]")["value"])  # type: ignore[index]
    at.ana.post(f"/quickbooks/send/invoices/{invoice}", {"agrees": "y", "shown": token})
    at.drain()
    assert at.books("Payment") == []
    return invoice, payment


def test_a_payment_that_its_invoice_left_behind_is_sent_alone(at: Situation) -> None:
    invoice, payment = left_behind(at)
    panel = at.ana.open(f"/payments/{payment}").panel()
    assert "Not sent It was not sent with its invoice." in panel
    link = at.ana.page.find("a", string="Send this payment")
    assert link
    at.ana.open(f"/quickbooks/send/invoices/{invoice}?payment={payment}")  # an old page's link
    assert at.ana.path == link["href"]  # type: ignore[index]
    bob = Visitor(at.app).sign_in(ANA).open(at.ana.path)
    at.ana.submit(press="Send it")
    assert "Nothing was sent. Tick the box first." in at.ana.text
    at.ana.submit({"agrees": "y"}, press="Send it")
    assert "The payment is being sent to QuickBooks now." in at.ana.text
    bob.submit({"agrees": "y"}, press="Send it")
    assert "This payment can't be sent by hand: it was sent" in bob.text
    at.drain()
    assert [int(one["TotalAmt"]) for one in at.books("Payment")] == [20]
    assert [int(one["Balance"]) for one in at.books("Invoice")] == [80]


def test_a_payment_whose_invoice_changed_since_its_preview_is_shown_again(at: Situation) -> None:
    invoice, payment = left_behind(at)
    bob = Visitor(at.app).sign_in(ANA).open(f"/quickbooks/send/payments/{payment}")
    edit = at.ana.open(f"/invoices/{invoice}/edit")
    edit.submit({"lines-0-unit_price": "90"}, press="Save invoice")
    bob.submit({"agrees": "y"}, press="Send it")
    assert "This payment, or its invoice, has changed since you opened this page." in bob.text
    at.drain()
    assert at.books("Payment") == []


def test_does_it_match_leads_to_a_payment_that_was_left_behind(at: Situation) -> None:
    _invoice, payment = left_behind(at)
    ask(at)
    links = at.ana.page.select("a[href^='/quickbooks/send/']")
    assert [str(one["href"]) for one in links] == [f"/quickbooks/send/payments/{payment}"]


def test_a_payment_of_an_invoice_that_was_not_sent_does_not_go_alone(at: Situation) -> None:
    _invoice, payment = unsent_invoice(at)
    at.ana.open(f"/quickbooks/send/payments/{payment}")
    assert "This payment can't be sent by hand" in at.ana.text


# --- What needs attention -------------------------------------------------------------------------

CHANGED = "This has changed since you opened the page. Look at it again, then decide."


def refused(at: Situation) -> None:
    """QuickBooks refuses the next change of an invoice, which sending again would solve."""
    match = {"path": "/invoice", "times": 1}
    at.simulator.fault(match=match, do={"fault": {"code": "6220"}})


def asked_about_edits(at: Situation) -> tuple[int, Visitor]:
    """An invoice that was refused and, once sent again, asks about what the bookkeeper changed;
    and the page of someone who saw only the first."""
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    refused(at)
    edit_invoice(at, invoice, **{"lines-0-unit_price": "110"})
    bob = Visitor(at.app).sign_in(ANA).open(f"/invoices/{invoice}")
    with_late_fee(at)  # the bookkeeper
    at.ana.open(f"/invoices/{invoice}").submit(press="Send again")
    at.pass_time()
    at.drain()
    assert at.fault() == "edited_there"
    return invoice, bob


@pytest.mark.parametrize("button", ["Send again", "Skip"])
def test_an_old_button_does_not_answer_another_question(at: Situation, button: str) -> None:
    _invoice, bob = asked_about_edits(at)
    bob.submit(press=button)
    assert CHANGED in bob.text
    at.pass_time()
    at.drain()
    assert (at.fault(), booked(at)["TotalAmt"]) == ("edited_there", 125)
    link = at.link("invoice", 1)
    assert link
    assert link.declined_values is None
    bob.submit(press="Send it as it is here")  # now they have seen it
    at.pass_time()
    at.drain()
    assert booked(at)["TotalAmt"] == 110


def test_an_old_send_again_overwrites_nothing_of_what_was_sent_since(at: Situation) -> None:
    """A colleague solved it; the bookkeeper changed it there later."""
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    refused(at)
    edit_invoice(at, invoice, **{"lines-0-unit_price": "110"})
    bob = Visitor(at.app).sign_in(ANA).open(f"/invoices/{invoice}")
    at.ana.open(f"/invoices/{invoice}").submit(press="Send again")
    at.pass_time()
    at.drain()
    assert at.entry().state == "synced"
    with_late_fee(at)
    total = booked(at)["TotalAmt"]
    bob.submit(press="Send again")
    assert CHANGED in bob.text
    at.drain()
    assert booked(at)["TotalAmt"] == total


def test_an_old_undo_does_not_take_back_another_skip(at: Situation) -> None:
    at.connect()
    at.bookkeeper().post("vendor", {"DisplayName": "Green Lawn Co"})
    lead = at.save_lead()
    at.drain()
    at.ana.open(f"/leads/{lead}").submit(press="Skip")
    bob = Visitor(at.app).sign_in(ANA).open(f"/leads/{lead}")
    at.ana.open(f"/leads/{lead}").submit(press="Undo skip")
    at.session.rollback()
    at.drain()
    bob.submit(press="Undo skip")
    assert "Only what was skipped can be taken back." in bob.text
    assert at.entry().state == "failed"


def green_lawn(at: Situation, address: str) -> str:
    """A customer of that name. Its id there."""
    told = {"DisplayName": "Green Lawn Co", "PrimaryEmailAddr": {"Address": address}}
    return str(at.bookkeeper().post("customer", told).object("Customer")["Id"])


def test_an_old_choice_does_not_answer_for_another_customer(at: Situation) -> None:
    """The page offered one customer; when it was sent again, another one has the name."""
    at.connect()
    first = green_lawn(at, "old@lawn.example")
    lead = at.save_lead(email="new@lawn.example")
    at.drain()
    bob = Visitor(at.app).sign_in(ANA).open(f"/leads/{lead}")
    found = at.bookkeeper().get(f"customer/{first}").object("Customer")
    told = {"Id": first, "SyncToken": found["SyncToken"], "sparse": True}
    assert at.bookkeeper().post("customer", told | {"DisplayName": "Blue Lawn"}).status == 200
    second = green_lawn(at, "second@lawn.example")
    at.ana.open(f"/leads/{lead}").submit(press="Send again")
    at.pass_time()
    at.drain()
    assert at.entry().fault_about["holder_id"] == second
    bob.submit(press="Use the existing customer Green Lawn Co")
    assert CHANGED in bob.text
    assert at.entry().state == "failed"


def test_an_old_page_takes_back_no_other_customer(at: Situation) -> None:
    at.connect()
    others = [
        str(at.bookkeeper().post("customer", {"DisplayName": name}).object("Customer")["Id"])
        for name in ("Blue Lawn", "Red Lawn")
    ]
    lead = at.save_lead()
    at.read_directory()
    at.drain()
    bob = Visitor(at.app).sign_in(ANA).open(f"/quickbooks/customers/{lead}")
    at.ana.open(f"/quickbooks/customers/{lead}").submit({"customer": others[0]})
    at.pass_time()
    at.drain()
    bob.submit({"customer": "new"}, press="Use this one")
    assert CHANGED in bob.text
    link = at.link("lead", lead)
    assert link
    assert link.remote_id == others[0]


# --- How records arrive ---------------------------------------------------------------------------

ARRIVALS = f"{SETTINGS}/arrivals"


def chosen(at: Situation) -> dict[str, Any]:
    return dict(at.connection.settings)


def test_an_old_form_keeps_what_a_colleague_chose_since(at: Situation) -> None:
    at.connect()
    checking = account(at, CHECKING)
    bob = Visitor(at.app).sign_in(ANA).open(ARRIVALS)
    choose(at, card_deposits=checking, tax="line")
    bob.submit({"numbers": "ours", "cash_deposits": checking}, press="Save")
    assert "Saved. From now on" in bob.text
    assert chosen(at)["deposit_accounts"]["card"] == checking
    assert chosen(at)["deposit_accounts"]["cash"] == checking
    assert (chosen(at)["tax"]["mode"], chosen(at)["numbers"]) == ("line", "ours")


def test_what_one_form_chose_is_checked_with_what_the_other_chose(at: Situation) -> None:
    """Refund receipts need an account that the other one has just taken away."""
    at.connect()
    checking = account(at, CHECKING)
    choose(at, refund_account=checking)
    bob = Visitor(at.app).sign_in(ANA).open(ARRIVALS)
    choose(at, refund_account="")
    bob.submit({"refunds": "receipt"}, press="Save")
    assert "QuickBooks can't pay refunds from Undeposited Funds." in bob.text
    assert chosen(at)["refunds"] == "person"
