"""Refunds of which a person enters a part in QuickBooks, or changes there what they concern."""

from decimal import Decimal
from typing import Any

import pytest

from tests.support.refunds import (
    CHECKING,
    account,
    choose_receipts,
    paid,
    pass_and_drain,
    receipts_of,
    refund,
    refunds,
    take_back,
    there,
)
from tests.support.situation import RIVERA, Situation
from tests.test_entered_by_hand import DONE, by_hand, pay_there, refuse, say_done, stuck_invoice
from tests.test_matching_books import ask, differences

SKIP = "Skip"
TAKES_OUT = {
    "voided": {"operation": "update", "include": "void"},
    "deleted": {"operation": "delete"},
}


@pytest.fixture
def firm(at: Situation) -> Situation:
    """Voids what is taken back, and enters refund receipts."""
    at.connect()
    choose_receipts(at, taken_back="void")
    return at


def take_out(firm: Situation, payment: int, gone: str) -> None:
    """The bookkeeper voids or deletes it in QuickBooks."""
    found = there(firm, "payment", payment)
    told = {"Id": found["Id"], "SyncToken": found["SyncToken"], "sparse": True}
    assert firm.bookkeeper().post("payment", told, **TAKES_OUT[gone]).status == 200


@pytest.mark.parametrize("does", ["void", "delete"])
@pytest.mark.parametrize("button", [DONE, "Send again"])
def test_a_whole_payment_that_the_bookkeeper_took_out_is_done(
    at: Situation, does: str, button: str
) -> None:
    """The page asks for it, where the owner did not choose that we void."""
    at.connect()
    _invoice, payment = paid(at)
    refund(at, payment, "100", "open")
    at.drain()
    assert at.fault() == "reversed"
    at.simulator.act(RIVERA, does, entity="Payment", object_id=at.books("Payment")[0]["Id"])
    at.ana.open(f"/payments/{payment}").submit(press=button)
    pass_and_drain(at)
    assert at.entry().state == "synced", at.fault()
    assert "Needs attention" not in at.ana.open(f"/payments/{payment}").text


def test_a_part_that_was_entered_leaves_as_much_open_here_as_there(at: Situation) -> None:
    at.connect()
    invoice, payment = paid(at)
    refund(at, payment, "30", "open")
    at.drain()
    line = {
        "Amount": 70,
        "LinkedTxn": [{"TxnId": at.books("Invoice")[0]["Id"], "TxnType": "Invoice"}],
    }
    lowered: dict[str, Any] = {"entity": "Payment", "TotalAmt": 70, "Line": [line]}
    at.simulator.act(RIVERA, "edit", object_id=at.books("Payment")[0]["Id"], **lowered)
    at.ana.open(f"/payments/{payment}").submit(press=DONE)
    pass_and_drain(at)
    assert at.books("Invoice")[0]["Balance"] == at.invoice(invoice).balance == 30
    ask(at)
    assert differences(at) == []


# --- A part entered by hand, then the rest --------------------------------------------------------


@pytest.mark.parametrize("button", [DONE, SKIP])
def test_a_part_entered_by_hand_and_the_rest_right_after_it(firm: Situation, button: str) -> None:
    """Nothing was settled in between."""
    _invoice, payment = paid(firm)
    take_back(firm, payment, "30")
    firm.drain()
    firm.ana.open(f"/payments/{payment}").submit(press=button)
    take_back(firm, payment, "70")
    pass_and_drain(firm, 3)
    assert firm.fault() == "reversed_rest"
    assert there(firm, "payment", payment)["TotalAmt"] == 100


@pytest.mark.parametrize("button", [DONE, SKIP])
def test_a_part_entered_by_hand_is_not_voided_with_the_rest(firm: Situation, button: str) -> None:
    """The books have the part as a document of its own: a void would take it off twice."""
    _invoice, payment = paid(firm)
    take_back(firm, payment, "30")
    firm.drain()
    firm.ana.open(f"/payments/{payment}").submit(press=button)
    firm.drain()
    take_back(firm, payment, "70")
    pass_and_drain(firm, 3)
    assert firm.fault() == "reversed_rest"
    assert there(firm, "payment", payment)["TotalAmt"] == 100
    panel = firm.ana.open(f"/payments/{payment}").panel()
    assert "$30.00 of this payment" in panel
    assert "$70.00" in panel
    firm.ana.submit(press="Send again")  # nothing has changed there
    pass_and_drain(firm, 3)
    assert firm.fault() == "reversed_rest"
    take_out(firm, payment, "voided")  # and deletes what they had entered
    firm.ana.open(f"/payments/{payment}").submit(press="Send again")
    pass_and_drain(firm, 3)
    assert firm.entry().state == "synced"


@pytest.mark.parametrize("button", [DONE, SKIP])
def test_a_part_taken_off_the_payment_itself_is_voided_with_the_rest(
    firm: Situation, button: str
) -> None:
    invoice, payment = paid(firm)
    take_back(firm, payment, "30")
    firm.drain()
    found = there(firm, "payment", payment)
    less = {key: found[key] for key in ("Id", "SyncToken", "CustomerRef")}
    line = {**found["Line"][0], "Amount": Decimal(70)}
    firm.bookkeeper().post("payment", {**less, "sparse": True, "TotalAmt": 70, "Line": [line]})
    assert there(firm, "payment", payment)["TotalAmt"] == 70
    firm.ana.open(f"/payments/{payment}").submit(press=button)
    firm.drain()
    take_back(firm, payment, "70")
    pass_and_drain(firm, 3)
    assert firm.entry().state == "synced", firm.fault()
    assert there(firm, "payment", payment)["TotalAmt"] == 0
    assert there(firm, "invoice", invoice)["Balance"] == firm.invoice(invoice).balance == 100


@pytest.mark.parametrize("button", [DONE, SKIP])
def test_what_was_left_and_entered_by_hand_is_asked_about(firm: Situation, button: str) -> None:
    """A part was taken back before anything was sent: a person entered the rest."""
    invoice = firm.save_invoice(firm.save_lead())
    firm.drain()
    payment = firm.pay(invoice, "100")
    take_back(firm, payment, "30")
    firm.drain()
    assert firm.fault() == "reversed_unsent"
    entered = pay_there(firm, there(firm, "invoice", invoice), "70")
    firm.ana.open(f"/payments/{payment}").submit(press=button)
    firm.drain()
    assert firm.entry().state == ("synced" if button == DONE else "skipped"), firm.fault()
    take_back(firm, payment, "70")
    pass_and_drain(firm, 3)
    [there_] = [one for one in firm.books("Payment") if one["Id"] == entered["Id"]]
    if button == DONE:  # it is known which one it is
        assert firm.entry().state == "synced"
        assert there_["TotalAmt"] == 0
    else:
        assert firm.fault() == "reversed_rest"
        assert there_["TotalAmt"] == 70


# --- Credit --------------------------------------------------------------------------------------


def test_what_was_credit_is_applied_once_there_is_room(firm: Situation) -> None:
    """Paid twice, and the first is taken back: the second pays the invoice."""
    invoice, first = paid(firm)
    second = firm.pay(invoice, "60")
    third = firm.pay(invoice, "60")
    firm.drain()
    assert [there(firm, "payment", one)["UnappliedAmt"] for one in (second, third)] == [60, 60]
    take_back(firm, first)
    pass_and_drain(firm, 4)
    assert there(firm, "payment", second)["UnappliedAmt"] == 0
    assert there(firm, "payment", third)["UnappliedAmt"] == 20
    assert there(firm, "invoice", invoice)["Balance"] == firm.invoice(invoice).balance + 20 == 0
    assert {state.split()[1] for state in firm.states()} == {"synced"}
    ask(firm)
    assert differences(firm) == []


def test_credit_that_the_bookkeeper_used_stays_where_it_is(firm: Situation) -> None:
    invoice, first = paid(firm)
    second = firm.pay(invoice, "100")
    other = firm.save_invoice(firm.save_lead("Client B"))
    firm.drain()
    found, owed = there(firm, "payment", second), there(firm, "invoice", other)
    told: dict[str, Any] = {key: found[key] for key in ("Id", "SyncToken")}
    told |= {"sparse": True, "TotalAmt": 100, "CustomerRef": owed["CustomerRef"]}
    pays = [{"TxnId": owed["Id"], "TxnType": "Invoice"}]
    told["Line"] = [{"Amount": Decimal(100), "LinkedTxn": pays}]
    assert firm.bookkeeper().post("payment", told).status == 200
    take_back(firm, first)
    pass_and_drain(firm, 4)
    assert there(firm, "payment", second)["Line"][0]["LinkedTxn"][0]["TxnId"] == owed["Id"]
    assert there(firm, "invoice", other)["Balance"] == 0
    assert {state.split()[1] for state in firm.states()} == {"synced"}


def test_credit_is_applied_after_a_disconnect_too(firm: Situation) -> None:
    invoice, first = paid(firm)
    second = firm.pay(invoice, "100")
    firm.drain()
    firm.disconnect()
    take_back(firm, first)
    firm.connect()
    firm.ana.open("/settings/quickbooks").submit(press="Send the changes")
    pass_and_drain(firm, 4)
    assert there(firm, "payment", second)["UnappliedAmt"] == 0
    assert there(firm, "invoice", invoice)["Balance"] == 0


LOST: list[dict[str, object]] = [
    {"reset": "after"},
    {"timeout": "after"},
    {"status": 500, "after_commit": True},
    {"reset": "before"},
    {"truncate": True},
]


@pytest.mark.parametrize("do", LOST)
def test_credit_is_applied_though_the_answer_to_the_void_is_lost(
    firm: Situation, do: dict[str, object]
) -> None:
    invoice, first = paid(firm)
    second = firm.pay(invoice, "100")
    firm.drain()
    assert there(firm, "payment", second)["UnappliedAmt"] == 100
    firm.simulator.fault(match={"entity": "Payment", "method": "POST"}, do=do)
    take_back(firm, first)
    firm.drain()
    firm.simulator.clear_faults()
    pass_and_drain(firm, 8)
    assert there(firm, "payment", first)["TotalAmt"] == 0
    assert there(firm, "payment", second)["UnappliedAmt"] == 0
    assert there(firm, "invoice", invoice)["Balance"] == firm.invoice(invoice).balance == 0


@pytest.mark.parametrize("do", LOST)
def test_credit_is_applied_though_the_answer_to_the_voided_payment_was_lost(
    firm: Situation, do: dict[str, object]
) -> None:
    """It was taken back before it was known whether it had arrived; the second was sent first."""
    invoice = firm.save_invoice(firm.save_lead())
    firm.drain()
    firm.simulator.fault(match={"entity": "Payment", "method": "POST"}, do=do)
    first = firm.pay(invoice, "100")
    firm.drain()
    firm.simulator.clear_faults()
    second = firm.pay(invoice, "100")
    take_back(firm, first)
    pass_and_drain(firm, 8)
    assert there(firm, "payment", second)["UnappliedAmt"] == 0
    assert there(firm, "invoice", invoice)["Balance"] == firm.invoice(invoice).balance == 0


@pytest.mark.parametrize("gone", ["voided", "deleted"])
def test_credit_is_applied_though_the_payment_taken_back_is_gone_there_already(
    firm: Situation, gone: str
) -> None:
    invoice, first = paid(firm)
    second = firm.pay(invoice, "100")
    firm.drain()
    take_out(firm, first, gone)
    take_back(firm, first)
    pass_and_drain(firm, 8)
    assert there(firm, "payment", second)["UnappliedAmt"] == 0
    assert there(firm, "invoice", invoice)["Balance"] == firm.invoice(invoice).balance == 0


# --- A refund of a payment that is gone there -----------------------------------------------------


@pytest.mark.parametrize("gone", ["voided", "deleted"])
def test_no_receipt_is_made_for_a_payment_that_is_gone_there(firm: Situation, gone: str) -> None:
    _invoice, payment = paid(firm)
    take_out(firm, payment, gone)
    refund(firm, payment)
    pass_and_drain(firm, 3)
    assert firm.fault() == "its_payment_gone"
    assert receipts_of(firm) == []
    [ours] = refunds(firm)
    assert "is voided or deleted in QuickBooks" in firm.ana.open(f"/refunds/{ours.id}").panel()


def test_a_receipt_is_made_once_its_payment_is_there_again(firm: Situation) -> None:
    _invoice, payment = paid(firm)
    take_out(firm, payment, "voided")
    refund(firm, payment)
    pass_and_drain(firm, 3)
    firm.ana.open(f"/payments/{payment}").submit(press="Send again")
    firm.drain()
    firm.ana.open(f"/payments/{payment}").submit(press="Send it again as new")
    pass_and_drain(firm, 3)
    [ours] = refunds(firm)
    firm.ana.open(f"/refunds/{ours.id}").submit(press="Send again")
    pass_and_drain(firm, 3)
    assert firm.entry().state == "synced"
    assert [one["TotalAmt"] for one in receipts_of(firm)] == [30]


# --- Refund receipts entered by hand --------------------------------------------------------------


def receipt_there(firm: Situation, amount: str = "30", note: str = "") -> dict[str, Any]:
    [billed] = firm.books("Invoice")
    item = next(str(one["Id"]) for one in firm.books("Item") if one["Type"] == "Service")
    line = {
        "Amount": Decimal(amount),
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"ItemRef": {"value": item}, "TaxCodeRef": {"value": "NON"}},
    }
    told = {
        "CustomerRef": billed["CustomerRef"],
        "DepositToAccountRef": {"value": account(firm, CHECKING)},
        "Line": [line],
        "PrivateNote": note,
    }
    return firm.bookkeeper().post("refundreceipt", told).object("RefundReceipt")


def by_hand_refund(at: Situation) -> int:
    """A refund that stays with a person."""
    at.connect()
    _invoice, payment = paid(at)
    refund(at, payment)
    at.drain()
    assert at.fault() == "refund_by_hand"
    [ours] = refunds(at)
    return ours.id


def test_a_refund_receipt_entered_by_hand_is_found_and_linked(at: Situation) -> None:
    ours = by_hand_refund(at)
    entered = receipt_there(at)
    assert "In QuickBooks" in say_done(at, "refund", ours)
    link = at.link("refund", ours)
    assert link
    assert link.remote_id == entered["Id"]
    assert len(receipts_of(at)) == 1
    ask(at)
    assert differences(at) == []


def test_a_refund_receipt_that_is_not_there_or_twice_there_says_so(at: Situation) -> None:
    ours = by_hand_refund(at)
    receipt_there(at, "29")
    panel = say_done(at, "refund", ours)
    assert "We looked for a refund receipt of $30.00" in panel
    assert "and found none" in panel
    for _ in range(2):
        receipt_there(at)
    assert "QuickBooks has 2 that match, for $30.00" in say_done(at, "refund", ours)


def test_another_refund_of_ours_is_not_taken_for_it(at: Situation) -> None:
    ours = by_hand_refund(at)
    receipt_there(at, note="DunaHub refund, invoice 9, DH-ABCDEFGHIJKL.")
    assert "and found none" in say_done(at, "refund", ours)


# --- Entered by hand, and then void here ----------------------------------------------------------


def test_an_invoice_entered_by_hand_and_voided_here_is_voided_there(firm: Situation) -> None:
    """QuickBooks could not be asked yet when the invoice was voided here."""
    lead, invoice = stuck_invoice(firm)
    entered = by_hand(firm, lead, DocNumber=firm.invoice(invoice).number)
    firm.ana.open(f"/invoices/{invoice}").submit(press=DONE)
    firm.ana.open(f"/invoices/{invoice}/void").submit(press="Void the invoice")
    pass_and_drain(firm, 3)
    [billed] = firm.books("Invoice")
    assert (billed["Id"], billed["TotalAmt"]) == (entered["Id"], 0)
    assert firm.entry().state == "synced"
    ask(firm)
    assert differences(firm) == []


def test_one_that_was_not_entered_and_voided_here_says_so(firm: Situation) -> None:
    _lead, invoice = stuck_invoice(firm)
    firm.ana.open(f"/invoices/{invoice}").submit(press=DONE)
    firm.ana.open(f"/invoices/{invoice}/void").submit(press="Void the invoice")
    pass_and_drain(firm, 3)
    assert firm.fault() == "not_entered_invoice"
    firm.ana.open(f"/invoices/{invoice}").submit(press="Send again")
    pass_and_drain(firm, 3)
    assert firm.entry().state == "superseded"  # nothing there to void


def test_a_payment_entered_by_hand_and_taken_back_here_is_voided_there(firm: Situation) -> None:
    invoice = firm.save_invoice(firm.save_lead())
    firm.drain()
    refuse(firm, "payment")
    payment = firm.pay(invoice, "100")
    firm.drain()
    pay_there(firm, there(firm, "invoice", invoice), "100")
    firm.ana.open(f"/payments/{payment}").submit(press=DONE)
    take_back(firm, payment)
    pass_and_drain(firm, 3)
    assert firm.entry().state == "synced", firm.fault()
    assert there(firm, "payment", payment)["TotalAmt"] == 0
    assert there(firm, "invoice", invoice)["Balance"] == 100


def test_what_was_entered_is_looked_for_as_it_was_entered(at: Situation) -> None:
    """Where QuickBooks numbers invoices they are found by their total: of then, not of now."""
    at.simulator.company(RIVERA, CustomTxnNumbers=False)
    at.connect()
    lead, invoice = stuck_invoice(at)
    entered = by_hand(at, lead)
    at.ana.open(f"/invoices/{invoice}").submit(press=DONE)
    edit = at.ana.open(f"/invoices/{invoice}/edit")
    edit.submit({"lines-0-unit_price": "120"}, press="Save invoice")
    pass_and_drain(at, 3)
    [booked] = at.books("Invoice")
    assert (booked["Id"], booked["TotalAmt"]) == (entered["Id"], 120)


def test_a_part_entered_by_hand_changes_nothing_about_what_should_be_open(firm: Situation) -> None:
    """The payment is on its invoice there as before: what they entered is a document of its own."""
    invoice, payment = paid(firm)
    take_back(firm, payment, "30")
    firm.drain()
    firm.ana.open(f"/payments/{payment}").submit(press=DONE)
    pass_and_drain(firm, 3)
    ask(firm)
    assert [kind for kind, _type, _title in differences(firm)] == ["paid_back"]
    assert "open balance there should be" not in firm.ana.open(f"/invoices/{invoice}").text
