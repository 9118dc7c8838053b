"""What was saved without QuickBooks goes there all at once, after a preview."""

from sqlalchemy import select

from models.accounts import AuditEvent, Role
from tests.support.situation import SETTINGS, Situation
from tests.support.visitor import Visitor, new_person

NOT_SENT = f"{SETTINGS}/not-sent"


def gap(at: Situation, count: int = 3) -> None:
    """Invoices of $100 with a payment of $80 each, of a time without QuickBooks; it is back."""
    at.connect()
    at.disconnect()
    lead = at.save_lead()
    for _ in range(count):
        at.pay(at.save_invoice(lead, "100"), "80")
    at.connect()


def test_all_invoices_go_with_their_payments_after_a_preview(at: Situation) -> None:
    gap(at)
    at.ana.open(NOT_SENT)
    link = at.ana.page.find("a", string="Send all…")
    assert link
    at.ana.open(str(link["href"]))  # type: ignore[index]
    assert "Send 3 invoices to QuickBooks?" in at.ana.text
    assert "3 · $300.00" in at.ana.text
    assert "3 · $240.00" in at.ana.text
    assert "would count that income twice" in at.ana.text
    at.ana.submit(press="Send them")
    assert "Nothing was sent. Tick the box first" in at.ana.text
    assert at.states() == []
    at.ana.submit({"agrees": "y"}, press="Send them")
    assert "6 records are being sent to QuickBooks now." in at.ana.text
    assert "None." in at.ana.text
    at.drain()
    assert {int(one["TotalAmt"]) for one in at.books("Invoice")} == {100}
    assert [int(one["Balance"]) for one in at.books("Invoice")] == [20, 20, 20]
    act = at.session.scalars(select(AuditEvent).where(AuditEvent.action == "outbox.sent_by_hand"))
    assert len(act.one().details["entries"]) == 6


def test_what_was_saved_after_the_preview_is_not_sent_with_it(at: Situation) -> None:
    gap(at, 1)
    at.ana.open("/quickbooks/send/all/invoice")
    shown = at.ana.page.select_one("[name=newest]")
    assert shown
    at.disconnect()
    at.save_invoice(1, "500")
    at.connect()
    at.ana.post("/quickbooks/send/all/invoice", {"agrees": "y", "newest": shown["value"]})
    at.drain()
    assert [int(one["TotalAmt"]) for one in at.books("Invoice")] == [100]


def test_leads_can_go_all_at_once_too(at: Situation) -> None:
    at.connect()
    at.disconnect()
    for name in ("One", "Two"):
        at.save_lead(name)
    at.connect()
    at.ana.open("/quickbooks/send/all/lead").submit({"agrees": "y"}, press="Send them")
    at.drain()
    assert sorted(one["DisplayName"] for one in at.books("Customer")) == ["One", "Two"]


def test_nothing_is_offered_to_whoever_may_not_or_without_a_company(at: Situation) -> None:
    gap(at, 1)
    new_person(at.session, at.firm, "tom@rivera.example", Role.MEMBER)
    tom = Visitor(at.app).sign_in("tom@rivera.example")
    assert "Send all" not in tom.open(NOT_SENT).text
    at.disconnect()
    assert "Send all" not in at.ana.open(NOT_SENT).text
    assert "There is nothing to send" in at.ana.open("/quickbooks/send/all/invoice").text
    assert at.ana.open("/quickbooks/send/all/payment").status == 404
