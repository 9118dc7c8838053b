"""A payment that is taken back as a whole is voided in QuickBooks, where the owner chose so."""

from decimal import Decimal

import pytest
from sqlalchemy import select, text, update

from models.quickbooks import Connection
from models.sales import Payment
from processors import recording
from quickbooks import facts
from tests.support.refunds import by_stripe, choose, paid, take_back, there
from tests.support.situation import SETTINGS, Situation
from tests.test_matching_books import ask, differences


@pytest.fixture
def voiding(at: Situation) -> Situation:
    """A firm that has payments voided in QuickBooks when they are taken back."""
    at.connect()
    choose(at, taken_back="void")
    return at


def test_the_payment_is_voided_and_the_invoice_is_open_on_both_sides(voiding: Situation) -> None:
    at = voiding
    invoice, payment = paid(at)
    assert there(at, "invoice", invoice)["Balance"] == 0
    take_back(at, payment)
    at.drain()
    [call] = [one for one in at.simulator.journal() if one["method"] == "POST"]
    assert call["path"].endswith("/payment")
    assert "operation=update&include=void" in call["query"]
    assert there(at, "payment", payment)["TotalAmt"] == 0
    assert there(at, "invoice", invoice)["Balance"] == at.invoice(invoice).balance == 100
    page = at.ana.open(f"/payments/{payment}").text
    assert "Voided in QuickBooks" in page
    assert "Voided in both" in page
    assert "Needs attention" not in page
    ask(at)
    assert differences(at) == []


def test_a_payment_after_it_is_applied_in_full(voiding: Situation) -> None:
    """What the void gave back to the invoice is counted, so that the next payment fits."""
    at = voiding
    invoice, payment = paid(at)
    take_back(at, payment)
    at.drain()
    link = at.link("invoice", invoice)
    assert link
    assert Decimal(link.remote_balance or 0) == 100
    again = at.pay(invoice, "100")
    at.drain()
    assert there(at, "payment", again)["UnappliedAmt"] == 0
    assert there(at, "invoice", invoice)["Balance"] == at.invoice(invoice).balance == 0
    ask(at)
    assert differences(at) == []


def test_a_payment_after_it_waits_for_the_void(voiding: Situation) -> None:
    """Taken back and paid again before anything was sent: the void goes first."""
    at = voiding
    invoice, payment = paid(at)
    other = at.save_invoice(at.save_lead("Client B"))
    at.drain()
    at.pay(other, "100")  # what is created before the void would take the other along in a batch
    take_back(at, payment)
    again = at.pay(invoice, "100")
    at.drain()
    assert there(at, "payment", again)["UnappliedAmt"] == 0
    assert there(at, "invoice", invoice)["Balance"] == at.invoice(invoice).balance == 0


def test_the_second_of_two_payments_by_mistake(voiding: Situation) -> None:
    """It was credit there: voided, nothing of it is left."""
    at = voiding
    invoice, _first = paid(at)
    second = at.pay(invoice, "100")
    at.drain()
    assert there(at, "payment", second)["UnappliedAmt"] == 100
    take_back(at, second)
    at.drain()
    assert there(at, "payment", second)["UnappliedAmt"] == 0
    assert there(at, "invoice", invoice)["Balance"] == at.invoice(invoice).balance == 0
    ask(at)
    assert differences(at) == []


def test_a_part_stays_with_a_person_and_the_rest_after_it_is_voided(voiding: Situation) -> None:
    at = voiding
    invoice, payment = paid(at)
    take_back(at, payment, "30")
    at.drain()
    assert at.fault() == "reversed"
    assert there(at, "payment", payment)["TotalAmt"] == 100
    take_back(at, payment, "70")
    at.drain()
    assert at.states()[-2:] == ["payment superseded", "payment synced"]
    assert there(at, "payment", payment)["TotalAmt"] == 0
    assert there(at, "invoice", invoice)["Balance"] == at.invoice(invoice).balance == 100


def test_what_came_and_went_before_it_was_sent_is_never_sent(voiding: Situation) -> None:
    at = voiding
    invoice = at.save_invoice(at.save_lead())
    payment = at.pay(invoice, "100")
    take_back(at, payment)
    at.drain()
    assert at.books("Payment") == []
    assert there(at, "invoice", invoice)["Balance"] == 100


@pytest.mark.parametrize("chosen", ["person", None])
def test_where_nothing_else_was_chosen_it_stays_with_a_person(
    at: Situation, chosen: str | None
) -> None:
    at.connect()
    if chosen is None:  # a connection of an earlier release
        at.session.execute(
            update(Connection).values(settings=Connection.settings.op("-")("taken_back"))
        )
        at.session.commit()
    _invoice, payment = paid(at)
    take_back(at, payment)
    at.drain()
    assert at.fault() == "reversed"
    assert there(at, "payment", payment)["TotalAmt"] == 100
    assert "was refunded or returned here" in at.ana.open(f"/payments/{payment}").text


def test_once_chosen_what_waits_for_a_person_is_voided_when_sent_again(at: Situation) -> None:
    at.connect()
    _invoice, payment = paid(at)
    take_back(at, payment)
    at.drain()
    at.ana.open(f"{SETTINGS}/arrivals").submit({"taken_back": "void"}, press="Save")
    at.drain()
    assert at.entry().state == "failed"  # a person may have entered it: nothing goes by itself
    at.ana.open(f"/payments/{payment}").submit(press="Send again")
    at.drain()
    assert at.entry().state == "synced"
    assert there(at, "payment", payment)["TotalAmt"] == 0


@pytest.mark.parametrize(
    "do",
    [
        {"reset": "after"},
        {"timeout": "after"},
        {"status": 500, "after_commit": True},
        {"reset": "before"},
        {"status": 503},
        {"truncate": True},
        {"fault": {"code": "10000"}, "after_commit": True},
    ],
)
def test_an_answer_that_is_lost_is_looked_for(voiding: Situation, do: dict[str, object]) -> None:
    at = voiding
    invoice, payment = paid(at)
    at.simulator.fault(match={"entity": "Payment", "method": "POST"}, do=do)
    take_back(at, payment)
    at.drain()
    at.simulator.clear_faults()
    for _ in range(8):
        at.pass_time()
        at.drain()
    assert at.entry().state == "synced"
    assert there(at, "payment", payment)["TotalAmt"] == 0
    assert there(at, "invoice", invoice)["Balance"] == at.invoice(invoice).balance == 100
    at.pay(invoice, "100")
    at.drain()
    assert there(at, "invoice", invoice)["Balance"] == at.invoice(invoice).balance == 0


def test_voided_or_deleted_there_already_is_as_it_should_be(voiding: Situation) -> None:
    at = voiding
    for number, operation in enumerate(
        ({"operation": "update", "include": "void"}, {"operation": "delete"})
    ):
        _invoice, payment = paid(at, number=str(number))
        found = there(at, "payment", payment)
        told = {"Id": found["Id"], "SyncToken": found["SyncToken"], "sparse": True}
        at.bookkeeper().post("payment", told, **operation)
        take_back(at, payment)
        at.drain()
        for _ in range(4):
            at.pass_time()
            at.drain()
        assert at.entry().state == "synced", at.entry().fault_code


def test_one_that_was_deposited_says_what_to_do(voiding: Situation) -> None:
    at = voiding
    _invoice, payment = paid(at)
    found = there(at, "payment", payment)
    line = {
        "Amount": Decimal(100),
        "DetailType": "DepositLineDetail",
        "LinkedTxn": [{"TxnId": found["Id"], "TxnType": "Payment", "TxnLineId": "0"}],
    }
    at.bookkeeper().post("deposit", {"DepositToAccountRef": {"value": "35"}, "Line": [line]})
    take_back(at, payment)
    at.drain()
    assert (at.entry().state, at.fault()) == ("failed", "6540")
    assert "part of a bank deposit" in at.ana.open(f"/payments/{payment}").text


def test_money_that_came_back_after_all_is_asked_about_and_sent_as_new(voiding: Situation) -> None:
    """A dispute that was lost and then won: voided there, and the money stands again."""
    at = voiding
    invoice, payment = paid(at)
    take_back(at, payment)
    at.drain()
    at.session.rollback()
    again = recording.lock_payment(at.session, payment, invoice)
    again.refunded_amount = Decimal(0)
    at.session.commit()
    at.drain()
    assert at.fault() == "voided_there"
    at.ana.open(f"/payments/{payment}").submit(press="Send it again as new")
    for _ in range(4):
        at.pass_time()
        at.drain()
    assert at.entry().state == "synced", at.entry().fault_code
    assert there(at, "payment", payment)["TotalAmt"] == 100
    assert there(at, "invoice", invoice)["Balance"] == at.invoice(invoice).balance == 0
    assert len(at.books("Payment")) == 2


def test_taken_back_while_disconnected_is_shown_and_voided_once_sent(voiding: Situation) -> None:
    at = voiding
    invoice, payment = paid(at)
    at.disconnect()
    take_back(at, payment)
    at.connect()
    at.drain()
    assert there(at, "payment", payment)["TotalAmt"] == 100
    at.ana.open(SETTINGS).submit(press="Send the changes")
    for _ in range(4):
        at.pass_time()
        at.drain()
    assert there(at, "payment", payment)["TotalAmt"] == 0
    assert there(at, "invoice", invoice)["Balance"] == at.invoice(invoice).balance == 100


# --- Where the money lands ------------------------------------------------------------------------


def test_what_came_through_stripe_goes_to_an_account_of_its_own(at: Situation) -> None:
    at.connect()
    at.bookkeeper().post(
        "account", {"Name": "Stripe clearing", "AccountType": "Other Current Asset"}
    )
    at.session.execute(text("UPDATE quickbooks_connections SET facts_read_at = '2020-01-01'"))
    at.session.commit()
    assert facts.refresh(at.sessions, at.config, at.connection.id)
    [clearing] = [one for one in at.books("Account") if one["Name"] == "Stripe clearing"]
    assert clearing["Id"] in {one["id"] for one in at.connection.facts["deposit_accounts"]}
    checking = next(one for one in at.books("Account") if one["Name"] == "Checking")
    chosen = {"stripe_deposits": clearing["Id"], "card_deposits": checking["Id"]}
    at.ana.open(f"{SETTINGS}/arrivals").submit(chosen, press="Save")
    first, second = (at.save_invoice(at.save_lead(f"Client {one}")) for one in "AB")
    online = by_stripe(at, first)
    by_hand = at.pay(second, "100")
    at.drain()
    assert there(at, "payment", online)["DepositToAccountRef"]["value"] == clearing["Id"]
    assert there(at, "payment", by_hand)["DepositToAccountRef"]["value"] == checking["Id"]


def test_without_a_choice_it_goes_where_cards_go(at: Situation) -> None:
    at.connect()
    checking = next(one for one in at.books("Account") if one["Name"] == "Checking")
    at.ana.open(f"{SETTINGS}/arrivals").submit({"card_deposits": checking["Id"]}, press="Save")
    online = by_stripe(at, at.save_invoice(at.save_lead()))
    at.drain()
    assert there(at, "payment", online)["DepositToAccountRef"]["value"] == checking["Id"]
    assert at.session.scalars(select(Payment)).one().id == online
