"""Differences found by *Does it match?* are shown on the record's page and in lists, too."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from models.comparisons import Difference
from models.outbox import Counterpart
from tests.support.situation import Situation
from tests.test_matching_books import ask, comparison, differences, in_quickbooks, paid_invoice


@pytest.fixture
def firm(at: Situation) -> Situation:
    at.connect()
    return at


def change(firm: Situation, kind: str, key: int, **fields: object) -> dict[str, Any]:
    """The bookkeeper changes it in QuickBooks."""
    found = in_quickbooks(firm, kind, key)
    told = {"Id": found["Id"], "SyncToken": found["SyncToken"], "sparse": True, **fields}
    return firm.bookkeeper().post(kind, told).object(kind.capitalize())


def do(firm: Situation, kind: str, key: int, operation: str) -> None:
    found = in_quickbooks(firm, kind, key)
    told = {"Id": found["Id"], "SyncToken": found["SyncToken"]}
    assert firm.bookkeeper().post(kind, told, operation=operation).status == 200


def take_off(firm: Situation, payment: int) -> None:
    """The bookkeeper takes the payment off its invoice: it becomes the customer's credit."""
    there = in_quickbooks(firm, "payment", payment)
    customer, amount = there["CustomerRef"], there["TotalAmt"]
    after = change(firm, "payment", payment, CustomerRef=customer, TotalAmt=amount, Line=[])
    assert after["UnappliedAmt"] == amount


def found(firm: Situation) -> dict[str, tuple[str | None, str | None]]:
    """Kind → both sides of each difference."""
    firm.session.rollback()
    rows = firm.session.scalars(select(Difference).order_by(Difference.id)).all()
    return {
        row.kind: (row.ours, row.theirs)
        if row.ours or row.theirs
        else (str(row.our_amount), str(row.their_amount))
        for row in rows
    }


def pills(firm: Situation, path: str) -> str:
    firm.ana.open(path)
    return " | ".join(one.get_text(" ", strip=True) for one in firm.ana.page.select("main .pill"))


# --- A payment and its invoice -------------------------------------------------------------------


def test_case_e33_a_payment_taken_off_its_invoice_is_found_and_every_page_says_so(
    firm: Situation,
) -> None:
    _, invoice, payment = paid_invoice(firm, "100")
    take_off(firm, payment)
    page = ask(firm)
    assert found(firm) == {"off_invoice": ("100.00", "0.00"), "other_balance": ("0.00", "100.00")}
    assert "2 differences in" in page.text
    assert "Payment applied differently" in page.text
    assert "In QuickBooks, applied differently" in firm.ana.open(f"/payments/{payment}").panel()
    assert "In QuickBooks, balance differs" in firm.ana.open(f"/invoices/{invoice}").panel()
    assert "In QuickBooks, applied differently" in pills(firm, "/payments")
    assert "In QuickBooks, balance differs" in pills(firm, "/invoices")


def test_sent_again_it_is_back_on_its_invoice_and_the_pages_say_so(firm: Situation) -> None:
    _, invoice, payment = paid_invoice(firm, "100")
    take_off(firm, payment)
    number = firm.invoice(invoice).number
    ask(firm).submit(press=f"Send again Payment for invoice {number}")
    firm.drain()
    assert in_quickbooks(firm, "invoice", invoice)["Balance"] == 0
    panel = firm.ana.open(f"/payments/{payment}").panel()
    assert "In QuickBooks" in panel
    assert "applied differently" not in panel
    assert "balance differs" not in firm.ana.open(f"/invoices/{invoice}").panel()
    assert "All agree" in ask(firm).text


@pytest.mark.parametrize("amount", ["100", "40"])
def test_a_payment_of_an_invoice_voided_here_agrees_and_may_be_sent_again(
    firm: Situation, amount: str
) -> None:
    _, invoice, payment = paid_invoice(firm, amount)
    firm.ana.open(f"/invoices/{invoice}/void").submit(press="Void the invoice")
    firm.drain()
    assert in_quickbooks(firm, "payment", payment)["UnappliedAmt"] == Decimal(amount)
    assert "All agree" in ask(firm).text
    assert "applied differently" not in firm.ana.open(f"/payments/{payment}").text
    firm.ana.open(f"/payments/{payment}").submit(press="Send again")
    firm.drain()
    assert (firm.fault(), firm.entry().state) == (None, "synced")
    assert in_quickbooks(firm, "payment", payment)["TotalAmt"] == Decimal(amount)
    assert "All agree" in ask(firm).text


def test_what_the_bookkeeper_paid_with_the_credit_of_a_void_invoice_stays(firm: Situation) -> None:
    lead, invoice, payment = paid_invoice(firm, "100")
    other = firm.save_invoice(lead, "70")
    firm.drain()
    firm.ana.open(f"/invoices/{invoice}/void").submit(press="Void the invoice")
    firm.drain()
    there = in_quickbooks(firm, "payment", payment)
    pays = [{"TxnId": in_quickbooks(firm, "invoice", other)["Id"], "TxnType": "Invoice"}]
    own = {key: there[key] for key in ("CustomerRef", "TotalAmt")}
    change(firm, "payment", payment, Line=[{"Amount": Decimal("70"), "LinkedTxn": pays}], **own)
    firm.ana.open(f"/payments/{payment}").submit(press="Send again")
    firm.drain()
    assert firm.fault() is None
    assert in_quickbooks(firm, "invoice", other)["Balance"] == 0


def test_put_right_there_the_next_comparison_ends_it(firm: Situation) -> None:
    _, invoice, payment = paid_invoice(firm, "40")
    there = in_quickbooks(firm, "payment", payment)
    take_off(firm, payment)
    ask(firm)
    assert "balance differs" in firm.ana.open(f"/invoices/{invoice}").panel()
    own = {key: there[key] for key in ("CustomerRef", "TotalAmt", "Line")}
    change(firm, "payment", payment, **own)
    assert "All agree" in ask(firm).text
    for path in (f"/invoices/{invoice}", f"/payments/{payment}"):
        assert "differs" not in firm.ana.open(path).panel()
        assert "applied differently" not in firm.ana.open(path).panel()


def test_a_part_that_was_taken_off_is_found(firm: Situation) -> None:
    _, _, payment = paid_invoice(firm, "40")
    there = in_quickbooks(firm, "payment", payment)
    line = {**there["Line"][0], "Amount": Decimal("15")}
    own = {key: there[key] for key in ("CustomerRef", "TotalAmt")}
    change(firm, "payment", payment, Line=[line], **own)
    ask(firm)
    assert found(firm) == {"off_invoice": ("40.00", "15.00"), "other_balance": ("60.00", "85.00")}
    panel = firm.ana.open(f"/payments/{payment}").panel()
    assert "$40.00 of it was applied to its invoice; now $15.00 is applied there." in panel


def test_a_payment_entered_there_by_hand_changes_the_invoices_balance(firm: Situation) -> None:
    _, invoice, _ = paid_invoice(firm, "40")
    there = in_quickbooks(firm, "invoice", invoice)
    pays = [{"TxnId": there["Id"], "TxnType": "Invoice"}]
    line = {"Amount": Decimal("25"), "LinkedTxn": pays}
    told = {"CustomerRef": there["CustomerRef"], "TotalAmt": Decimal("25"), "Line": [line]}
    firm.bookkeeper().post("payment", told).object("Payment")
    page = ask(firm)
    assert found(firm)["other_balance"] == ("60.00", "35.00")
    assert set(found(firm)) == {"other_balance", "made_there"}
    assert "1 difference in" in page.text  # what was entered there by hand is fine
    assert "1 record is only in QuickBooks." in page.text
    assert [pill.get_text(strip=True) for pill in page.page.select(".card-head .pill")] == [
        "1 differs"
    ]
    home = firm.ana.open("/")
    assert "1 difference from QuickBooks in" in home.text
    assert (
        "Its open balance there should be $60.00, but it's $35.00."
        in firm.ana.open(f"/invoices/{invoice}").panel()
    )


def test_what_is_kept_as_credit_on_both_sides_agrees(firm: Situation) -> None:
    paid_invoice(firm, "150")
    assert "All agree" in ask(firm).text


def test_a_payment_that_was_not_sent_is_no_difference_of_its_invoice(firm: Situation) -> None:
    lead = firm.save_lead()
    invoice = firm.save_invoice(lead)
    firm.drain()
    firm.pay(invoice, "40")
    firm.ana.post(f"/outbox/{firm.entry().id}/skip", {"question": firm.entry().question})
    ask(firm)
    assert [kind for kind, _, _ in differences(firm)] == ["left_out"]


# --- Deleted and void -----------------------------------------------------------------------------


def test_case_e33_an_invoice_found_deleted_says_so_on_its_page_and_in_lists(
    firm: Situation,
) -> None:
    lead = firm.save_lead()
    invoice = firm.save_invoice(lead)
    firm.drain()
    do(firm, "invoice", invoice, "delete")
    ask(firm)
    panel = firm.ana.open(f"/invoices/{invoice}").panel()
    assert "Deleted in QuickBooks" in panel
    assert "$100.00 here, deleted there" in panel
    assert "View in QuickBooks" not in panel
    assert "Deleted in QuickBooks" in pills(firm, "/invoices")
    assert "Deleted in QuickBooks" in pills(firm, f"/leads/{lead}")


def test_found_deleted_it_is_sent_as_new_by_the_usual_way(firm: Situation) -> None:
    invoice = firm.save_invoice(firm.save_lead())
    firm.drain()
    do(firm, "invoice", invoice, "delete")
    ask(firm)
    firm.ana.open(f"/invoices/{invoice}").submit(press="Send again")
    firm.drain()
    assert "Needs attention" in firm.ana.open(f"/invoices/{invoice}").panel()
    firm.ana.submit(press="Send it again as new")
    firm.drain()
    assert [one["TotalAmt"] for one in firm.books("Invoice")] == [100]
    panel = firm.ana.open(f"/invoices/{invoice}").panel()
    assert "In QuickBooks" in panel
    assert "Deleted" not in panel
    assert "All agree" in ask(firm).text


def test_an_invoice_found_void_says_so_and_takes_no_payment_there(firm: Situation) -> None:
    invoice = firm.save_invoice(firm.save_lead())
    firm.drain()
    do(firm, "invoice", invoice, "void")
    ask(firm)
    panel = firm.ana.open(f"/invoices/{invoice}").panel()
    assert "Voided in QuickBooks" in panel
    assert "$100.00 here, voided there" in panel
    payment = firm.pay(invoice, "40")
    firm.drain()
    assert firm.fault() == "invoice_voided"
    assert "Needs attention" in firm.ana.open(f"/payments/{payment}").panel()


def test_a_payment_deleted_there_says_so_on_its_page(firm: Situation) -> None:
    _, invoice, payment = paid_invoice(firm, "40")
    do(firm, "payment", payment, "delete")
    ask(firm)
    assert set(found(firm)) == {"deleted_there", "other_balance"}
    assert "Deleted in QuickBooks" in firm.ana.open(f"/payments/{payment}").panel()
    assert "balance differs" in firm.ana.open(f"/invoices/{invoice}").panel()


# --- Customer and lines ---------------------------------------------------------------------------


def test_an_invoice_moved_to_another_customer_says_whose_it_is_there(firm: Situation) -> None:
    invoice = firm.save_invoice(firm.save_lead())
    firm.drain()
    other = firm.bookkeeper().post("customer", {"DisplayName": "Red Lawn Co"}).object("Customer")
    change(firm, "invoice", invoice, CustomerRef={"value": other["Id"]})
    ask(firm)
    assert found(firm)["other_customer"] == ("Green Lawn Co", "Red Lawn Co")
    assert set(found(firm)) == {"other_customer", "made_there"}  # they are new there, too
    panel = firm.ana.open(f"/invoices/{invoice}").panel()
    assert "In QuickBooks, with another customer" in panel
    assert "In QuickBooks it belongs to Red Lawn Co." in panel
    firm.ana.submit(press="Send again")
    firm.drain()
    assert "another customer" not in firm.ana.open(f"/invoices/{invoice}").panel()
    ask(firm)
    assert set(found(firm)) == {"made_there"}


@pytest.mark.parametrize("edit", ["split", "words", "price"])
def test_lines_edited_there_with_the_same_total_are_found(firm: Situation, edit: str) -> None:
    invoice = firm.save_invoice(firm.save_lead(), "100")
    firm.drain()
    there = in_quickbooks(firm, "invoice", invoice)
    [line] = [one for one in there["Line"] if one["DetailType"] == "SalesItemLineDetail"]
    detail = line["SalesItemLineDetail"]
    match edit:
        case "split":
            bare = {key: detail[key] for key in ("ItemRef", "TaxCodeRef")}
            half = {**line, "Amount": Decimal("50"), "SalesItemLineDetail": bare}
            lines = [half, {key: value for key, value in half.items() if key != "Id"}]
        case "words":
            lines = [{**line, "Description": "Sprinkler repair, second visit"}]
        case _:
            twice = {**detail, "Qty": Decimal("2"), "UnitPrice": Decimal("50")}
            lines = [{**line, "SalesItemLineDetail": twice}]
    change(firm, "invoice", invoice, Line=lines)
    page = ask(firm)
    assert [kind for kind, _, _ in differences(firm)] == ["other_lines"]
    assert "Different lines" in page.text
    assert "Sprinkler repair $100.00" in page.text
    assert "In QuickBooks, lines differ" in firm.ana.open(f"/invoices/{invoice}").panel()
    firm.ana.submit(press="Send again")
    firm.drain()
    assert "lines differ" not in firm.ana.open(f"/invoices/{invoice}").panel()
    assert "All agree" in ask(firm).text


def test_texts_that_quickbooks_spaces_otherwise_agree(firm: Situation) -> None:
    invoice = firm.save_invoice(firm.save_lead(), "100")
    firm.drain()
    there = in_quickbooks(firm, "invoice", invoice)
    [line] = [one for one in there["Line"] if one["DetailType"] == "SalesItemLineDetail"]
    words = {"Amount": Decimal(0), "DetailType": "DescriptionOnly", "Description": "Thank you"}
    change(firm, "invoice", invoice, Line=[{**line, "Description": "Sprinkler  repair "}, words])
    assert "All agree" in ask(firm).text


def test_a_customer_made_inactive_there_says_so_on_the_leads_page(firm: Situation) -> None:
    lead = firm.save_lead()
    firm.drain()
    link = firm.link("lead", lead)
    assert link
    known = firm.bookkeeper().get(f"customer/{link.remote_id}").object("Customer")
    told = {"Id": known["Id"], "SyncToken": known["SyncToken"], "sparse": True, "Active": False}
    firm.bookkeeper().post("customer", told).object("Customer")
    ask(firm)
    assert set(found(firm)) == {"inactive_there"}
    assert "Inactive in QuickBooks" in firm.ana.open(f"/leads/{lead}").panel()
    assert "Inactive in QuickBooks" in pills(firm, "/leads")


# --- What is remembered ---------------------------------------------------------------------------


def test_what_quickbooks_told_since_is_not_overwritten_by_an_older_look(firm: Situation) -> None:
    """An answer that comes while the comparison reads is newer than what it read."""
    _, invoice, payment = paid_invoice(firm, "100")
    take_off(firm, payment)
    with firm.sessions.begin() as session:
        for link in session.scalars(select(Counterpart)):
            link.updated_at = link.updated_at.replace(year=link.updated_at.year + 1)
    ask(firm)
    assert set(found(firm)) == {"on_its_way"}
    link_now = firm.link("invoice", invoice)
    assert link_now
    assert (link_now.remote_balance, link_now.differs_since) == ("0.00", None)


def test_equal_books_leave_counterparts_as_they_are(firm: Situation) -> None:
    lead = firm.save_lead()
    invoice = firm.save_invoice(lead)
    firm.drain()
    before = firm.link("invoice", invoice)
    assert before
    known = (before.updated_at, before.stale)
    ask(firm)
    after = firm.link("invoice", invoice)
    assert after
    assert (after.updated_at, after.stale) == known
    assert comparison(firm).reads == 3


def test_a_change_here_after_the_comparison_writes_over_nothing_of_theirs(firm: Situation) -> None:
    """The learned version is read again first, as any that somebody else wrote."""
    invoice = firm.save_invoice(firm.save_lead())
    firm.drain()
    change(firm, "invoice", invoice, CustomerMemo={"value": "See you in spring"})
    ask(firm)
    assert differences(firm) == []
    firm.calls()
    firm.ana.open(f"/invoices/{invoice}/edit").submit({"due_on": "2031-01-31"})
    firm.drain()
    assert firm.calls() == ["GET query", "POST invoice"]
    there = in_quickbooks(firm, "invoice", invoice)
    assert there["DueDate"] == "2031-01-31"
    assert there["CustomerMemo"]["value"] == "See you in spring"
