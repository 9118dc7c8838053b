"""Matching customers, and what blocks records: situations 21 to 33, through the app's own pages."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select, text

from models.accounts import AuditEvent
from models.outbox import Entry, Lane, State
from models.quickbooks import Connection
from models.sales import Product
from outbox.looks import due_lanes
from quickbooks import directory, facts
from tests.support.firm import entries_of, new_lead
from tests.support.serving import eventually
from tests.support.situation import RIVERA, SETTINGS, Situation, consent
from web.formats import day


def there(at: Situation, name: str, email: str = "", phone: str = "") -> str:
    """A customer who is in QuickBooks by nobody's doing here; its id."""
    body: dict[str, Any] = {"DisplayName": name}
    if email:
        body["PrimaryEmailAddr"] = {"Address": email}
    if phone:
        body["PrimaryPhone"] = {"FreeFormNumber": phone}
    return str(at.bookkeeper().post("customer", body).object("Customer")["Id"])


def names(at: Situation) -> list[str]:
    return [str(customer["DisplayName"]) for customer in at.books("Customer")]


def deactivate(at: Situation, entity: str, id_: str) -> None:
    bookkeeper = at.bookkeeper()
    known = bookkeeper.get(f"{entity.lower()}/{id_}").object(entity)
    token = known["SyncToken"]
    told = {"Id": id_, "SyncToken": token, "sparse": True, "Active": False}
    bookkeeper.post(entity.lower(), told)


# --- 21: a name that is taken -------------------------------------------------------------------


def test_situation_21_a_vendors_name_asks_and_another_name_goes_by_one_button(
    at: Situation,
) -> None:
    at.connect()
    at.bookkeeper().post("vendor", {"DisplayName": "Green Lawn Co"})
    lead = at.save_lead(phone="(916) 555-0142")
    at.drain()
    assert at.fault() == "6240"
    panel = at.ana.open(f"/leads/{lead}").panel()
    assert "“Green Lawn Co” is already the name of a vendor" in panel
    assert "Use the existing" not in panel
    at.ana.submit(press="Send as “Green Lawn Co - 555-0142”")
    assert at.lead(lead).quickbooks_name == "Green Lawn Co - 555-0142"
    assert at.lead(lead).name == "Green Lawn Co"
    at.drain()
    assert "Green Lawn Co - 555-0142" in names(at)
    assert "In QuickBooks" in at.ana.open(f"/leads/{lead}").panel()


def test_situation_21_the_existing_customer_is_linked_by_one_button_and_not_changed(
    at: Situation,
) -> None:
    at.connect()
    theirs = there(at, "Green Lawn Co", "old@lawn.example")
    lead = at.save_lead(email="new@lawn.example")
    invoice = at.save_invoice(lead)
    at.drain()
    assert at.states() == ["lead failed", "invoice pending"]
    at.ana.open(f"/leads/{lead}").submit(press="Use the existing customer Green Lawn Co")
    at.calls()
    at.drain()
    assert at.calls() == ["GET query", "POST invoice"]
    link = at.link("lead", lead)
    assert link
    assert (link.remote_id, link.note) == (theirs, "chosen by a person")
    assert "How Chosen by Ana" in at.ana.open(f"/leads/{lead}").panel()
    [customer] = [c for c in at.books("Customer") if c["Id"] == theirs]
    assert customer["PrimaryEmailAddr"]["Address"] == "old@lawn.example"
    assert "In QuickBooks" in at.ana.open(f"/invoices/{invoice}").panel()
    acts = at.session.scalars(select(AuditEvent.action)).all()
    assert "outbox.decided_link_existing" in acts


@pytest.mark.parametrize(
    "same", [{"email": "kim@lawn.example"}, {"phone": "(916) 555-0142"}], ids=["email", "phone"]
)
def test_situation_21_the_same_customer_who_came_since_is_linked_and_said_so(
    at: Situation, same: dict[str, str]
) -> None:
    at.connect()
    theirs = there(at, "Green Lawn Co", same.get("email", ""), same.get("phone", ""))
    lead = at.save_lead(**same)
    at.drain()
    link = at.link("lead", lead)
    assert link
    assert (link.remote_id, link.note) == (theirs, "was in QuickBooks already")
    assert "Was in QuickBooks already" in at.ana.open(f"/leads/{lead}").panel()


def test_situation_21_a_changed_name_goes_by_itself(at: Situation) -> None:
    at.connect()
    at.bookkeeper().post("vendor", {"DisplayName": "Green Lawn Co"})
    lead = at.save_lead()
    at.drain()
    address = at.ana.open(f"/leads/{lead}").page.find("a", string="Change the name here")
    assert address
    at.ana.open(str(address["href"])).submit({"name": "Green Lawn Fresno"})  # type: ignore[index]
    at.drain()
    assert names(at) == ["Green Lawn Fresno"]


# --- 22: who is in QuickBooks already ------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (("Green Lawn Co", "kim@lawn.example"), {"email": "KIM@lawn.example"}),
        (("Green lawn co", ""), {"email": "kim@lawn.example"}),
        (("Green Lawn Co", "", "916-555-0142"), {"phone": "(916) 555-0142"}),
    ],
)
def test_situation_22_the_one_who_is_there_is_linked_without_a_call(
    at: Situation, theirs: tuple[str, ...], ours: dict[str, str]
) -> None:
    known = there(at, *theirs)
    at.connect()
    lead = at.save_lead(**ours)
    at.drain()
    assert at.calls() == []
    link = at.link("lead", lead)
    assert link
    assert link.remote_id == known
    assert "was in QuickBooks already, with the same" in (link.note or "")
    assert len(names(at)) == 1


def test_situation_22_several_are_asked_about_and_the_chosen_one_is_linked(at: Situation) -> None:
    there(at, "Lawn North", "office@lawn.example")
    south = there(at, "Lawn South", "office@lawn.example")
    at.connect()
    lead = at.save_lead(email="office@lawn.example")
    at.drain()
    assert at.fault() == "several_customers"
    at.ana.open(f"/leads/{lead}")
    assert "Lawn North (office@lawn.example), Lawn South" in at.ana.panel()
    ask = at.ana.page.find("a", string="Choose the customer")
    assert ask
    at.ana.open(str(ask["href"]))  # type: ignore[index]
    assert "None of them: create a new customer" in at.ana.text
    at.ana.submit({"customer": south})
    at.drain()
    link = at.link("lead", lead)
    assert link
    assert link.remote_id == south
    assert len(names(at)) == 2


def test_situation_22_none_of_several_makes_a_new_one(at: Situation) -> None:
    there(at, "Lawn North", "office@lawn.example")
    there(at, "Lawn South", "office@lawn.example")
    at.connect()
    at.save_lead(email="office@lawn.example")
    at.drain()
    at.ana.open(f"/quickbooks/fixes/{at.entry().id}/choose_customer").submit({"customer": "new"})
    at.drain()
    assert sorted(names(at)) == ["Green Lawn Co", "Lawn North", "Lawn South"]


def test_situation_22_a_name_with_other_particulars_is_asked_about(at: Situation) -> None:
    there(at, "Green Lawn Co", "someone@else.example")
    at.connect()
    at.save_lead(email="kim@lawn.example")
    at.drain()
    assert at.fault() == "6240"
    assert len(names(at)) == 1


def test_situation_22_nobody_there_creates_and_costs_no_read(at: Situation) -> None:
    there(at, "Somebody Else", "else@lawn.example")
    at.connect()
    at.save_lead(email="kim@lawn.example")
    at.drain()
    assert at.calls() == ["POST customer"]


def test_situation_22_the_directory_costs_a_read_a_thousand_and_then_one_call_a_day(
    at: Situation,
) -> None:
    at.ana.open("/")
    bookkeeper = at.bookkeeper()
    for start in range(0, 1020, 30):
        made: list[dict[str, Any]] = [
            {
                "bId": str(number),
                "operation": "create",
                "Customer": {"DisplayName": f"Customer {start + number}"},
            }
            for number in range(30)
        ]
        bookkeeper.batch(*made)
    back = at.to_intuit()
    at.simulator.clear_journal()
    at.come_back(consent(back, RIVERA))
    asked = [call["query"] for call in at.simulator.journal() if call["method"] == "GET"]
    assert len([query for query in asked if "Customer" in query]) == 2
    at.simulator.advance(3000)  # a day later, told in minutes
    there(at, "Later Lawn", "later@lawn.example")
    with at.sessions.begin() as session:
        later = "UPDATE quickbooks_connections SET customers_read_at = now() + interval '80 min'"
        session.execute(text(later))
    at.simulator.clear_journal()
    assert directory.refresh(at.sessions, at.config, at.connection.id)
    assert at.calls() == ["GET cdc"]
    lead = at.save_lead("Later Lawn", email="later@lawn.example")
    at.drain()
    assert at.link("lead", lead)
    assert at.calls() == []


@pytest.mark.parametrize("theirs", [("Green Lawn", "kim@lawn.example"), ("Green Lawn Co", "")])
def test_situation_22_nobody_is_made_twice_while_the_directory_could_not_be_read(
    at: Situation, theirs: tuple[str, str]
) -> None:
    known = there(at, *theirs)
    at.simulator.fault(match={"body": "from Customer"}, do={"status": 503})
    at.connect()
    lead = at.save_lead(email="kim@lawn.example")
    invoice = at.save_invoice(lead)
    at.drain()
    assert at.calls() == []
    assert at.states() == ["lead pending", "invoice pending"]
    assert {entry.attempts for entry in entries_of(at.session)} == {0}
    assert "We are loading your QuickBooks customers first" in at.ana.open(f"/leads/{lead}").panel()
    assert "We are loading the customers of" in at.ana.open(SETTINGS).text
    assert directory.read_missing(at.sessions, at.config) == 0
    at.simulator.clear_faults()
    wait_is_over()
    assert directory.read_missing(at.sessions, at.config) == 1
    assert directory.read_missing(at.sessions, at.config) == 0
    at.calls()
    at.drain()
    assert at.calls() == ["POST invoice"]
    link = at.link("lead", lead)
    assert link
    assert link.remote_id == known
    assert len(names(at)) == 1
    assert "In QuickBooks" in at.ana.open(f"/invoices/{invoice}").panel()
    assert "We are loading the customers" not in at.ana.open(SETTINGS).text


def test_case_e30_leads_that_wait_for_the_list_cost_nothing_and_hold_up_nobody(
    at: Situation,
) -> None:
    at.connect()
    known = at.save_lead("Green Lawn Co")
    at.drain()
    with at.sessions.begin() as session:
        session.execute(text("UPDATE quickbooks_connections SET customers_read_at = NULL"))
        session.add_all([new_lead(at.firm, f"Customer {number}") for number in range(50)])
    at.save_invoice(known)
    at.calls()
    at.drain()
    assert at.calls() == ["POST invoice"]
    with at.sessions() as session:
        assert due_lanes(session) == []
        soon = "SELECT count(*) FROM outbox WHERE available_at < now() + interval '30 min'"
        assert session.scalar(text(f"{soon} AND state = 'pending'")) == 0
    assert directory.refresh(at.sessions, at.config, at.connection.id)
    with at.sessions() as session:
        assert due_lanes(session) == [at.connection.lane_id]
    for _ in range(3):
        at.drain()
    assert set(at.states()) == {"lead synced", "invoice synced"}


def test_a_list_is_read_with_a_renewed_token_after_quickbooks_rejected_an_early_one(
    at: Situation,
) -> None:
    at.connect()
    with at.sessions.begin() as session:
        session.execute(text("UPDATE quickbooks_connections SET customers_read_at = NULL"))
    at.simulator.advance(3700)  # the token has run out there, and not by our clock
    assert directory.refresh(at.sessions, at.config, at.connection.id)
    at.simulator.fault(match={"path": "/v3/company"}, do={"status": 401})  # whatever the token
    assert not directory.refresh(at.sessions, at.config, at.connection.id)


def wait_is_over(minutes: int = 60) -> None:
    """So long ago is what this process remembers of directories that it could not read."""
    for unread in directory.unread.values():
        unread.again_at -= minutes * 60


def reads_missing(at: Situation) -> list[str]:
    """The pages that a look for missing directories asks for."""
    at.simulator.clear_journal()
    assert directory.read_missing(at.sessions, at.config) == 0
    calls = at.simulator.journal()
    asked = [parse_qs(urlsplit(str(call["query"])).path) for call in calls]
    return [found["query"][0].split()[-1] for found in asked if "query" in found]


def test_situation_22_a_directory_that_cannot_be_read_is_tried_ever_more_seldom(
    at: Situation,
) -> None:
    at.simulator.fault(match={"body": "from Customer"}, do={"status": 503})
    at.connect()
    for minutes in (1, 2, 4, 8, 16, 32, 60, 60):
        assert len(reads_missing(at)) == 1
        wait_is_over(minutes - 1)
        assert reads_missing(at) == []
        assert directory.refresh_due(at.sessions, at.config) == 0
        assert at.simulator.journal() == []
        wait_is_over(1)
    at.simulator.clear_faults()
    assert directory.read_missing(at.sessions, at.config) == 1
    assert directory.read_missing(at.sessions, at.config) == 0
    assert directory.unread == {}


@pytest.mark.parametrize("trouble", [{"status": 504}, {"reset": "before"}])
def test_situation_22_a_page_that_takes_too_long_is_asked_for_in_smaller_ones(
    at: Situation, trouble: dict[str, object]
) -> None:
    at.simulator.fault(match={"body": "from Customer"}, do=trouble)
    at.connect()
    asked = []
    for _ in range(6):
        asked += reads_missing(at)
        wait_is_over()
    assert asked == ["1000", "500", "250", "125", "100", "100"]
    at.simulator.clear_faults()
    for number in range(101):
        there(at, f"Customer {number}")
    at.simulator.clear_journal()
    assert directory.read_missing(at.sessions, at.config) == 1
    assert len([call for call in at.simulator.journal() if call["method"] == "GET"]) == 2
    assert at.session.scalar(text("SELECT count(*) FROM quickbooks_customers")) == 101


def test_situation_22_the_owner_is_told_when_the_directory_cannot_be_read_for_long(
    at: Situation,
) -> None:
    at.simulator.fault(match={"body": "from Customer"}, do={"status": 503})
    at.connect()
    connected_before(at, 59)
    assert "We are loading the customers of" in at.ana.open(SETTINGS).text
    connected_before(at, 61)
    page = at.ana.open(SETTINGS).text
    assert "We are loading the customers of" not in page
    assert "We couldn't load the customers of" in page
    assert "New customers wait here" in page


def connected_before(at: Situation, minutes: int) -> None:
    with at.sessions.begin() as session:
        back = {"back": timedelta(minutes=minutes)}
        moved = "UPDATE quickbooks_connections SET connected_at = now() - :back"
        session.execute(text(moved), back)


# --- 23 and 24: changed over there ---------------------------------------------------------------


def test_situation_23_a_customer_renamed_there_keeps_its_name(at: Situation) -> None:
    at.connect()
    lead = at.save_lead(email="kim@lawn.example")
    at.drain()
    [customer] = at.books("Customer")
    renamed = {"Id": customer["Id"], "SyncToken": "0", "sparse": True, "DisplayName": "GL Company"}
    at.bookkeeper().post("customer", renamed)
    at.ana.open(f"/leads/{lead}/edit").submit({"phone": "916-555-0199"})
    at.drain()
    [customer] = at.books("Customer")
    assert customer["DisplayName"] == "GL Company"
    assert customer["PrimaryPhone"]["FreeFormNumber"] == "916-555-0199"
    assert at.entry().state == "synced"


@pytest.mark.parametrize("code", ["2500", "610"])
def test_situation_24_an_inactive_customer_is_named_and_reactivated_for_all_its_invoices(
    at: Situation, code: str
) -> None:
    at.simulator.company(RIVERA, inactive_ref_code=code)
    at.connect()
    lead = at.save_lead()
    at.drain()
    [customer] = at.books("Customer")
    deactivate(at, "Customer", customer["Id"])
    first, second = at.save_invoice(lead), at.save_invoice(lead)
    at.drain()
    assert [at.fault(-2), at.fault(-1)] == ["its_customer_inactive"] * 2
    panel = at.ana.open(f"/invoices/{first}").panel()
    assert "The customer “Green Lawn Co” was deleted or made inactive" in panel
    at.ana.submit(press="Reactivate it in QuickBooks")
    at.drain()
    [customer] = at.books("Customer")
    assert customer["Active"] is True
    assert customer["DisplayName"] == "Green Lawn Co"
    assert len(at.books("Invoice")) == 2
    for invoice in (first, second):
        assert "In QuickBooks" in at.ana.open(f"/invoices/{invoice}").panel()


def test_situation_24_another_customer_is_linked_instead(at: Situation) -> None:
    other = there(at, "Green Lawn North")
    at.connect()
    lead = at.save_lead(email="kim@lawn.example")
    at.drain()
    [mine] = [c for c in at.books("Customer") if c["Id"] != other]
    deactivate(at, "Customer", mine["Id"])
    at.save_invoice(lead)
    at.drain()
    at.ana.open(f"/quickbooks/fixes/{at.entry().id}/choose_customer").submit({"customer": other})
    at.drain()
    [invoice] = at.books("Invoice")
    assert invoice["CustomerRef"]["value"] == other


def test_situation_24_never_created_again_unless_a_person_says_so(at: Situation) -> None:
    at.connect()
    lead = at.save_lead()
    at.drain()
    [customer] = at.books("Customer")
    deactivate(at, "Customer", customer["Id"])
    at.ana.open(f"/leads/{lead}/edit").submit({"phone": "916-555-0199"})
    at.drain()
    assert at.entry().state == "failed"
    assert len(names(at)) == 1
    assert "Reactivate it in QuickBooks" in at.ana.open(f"/leads/{lead}").panel()
    at.ana.submit(press="Reactivate it in QuickBooks")
    at.drain()
    [customer] = at.books("Customer")
    assert customer["Active"] is True
    assert customer["PrimaryPhone"]["FreeFormNumber"] == "916-555-0199"


# --- 25 and 26: leads ----------------------------------------------------------------------------


def test_situation_25_a_deleted_lead_stays_there_and_an_unsent_one_is_dropped(
    at: Situation,
) -> None:
    at.connect()
    sent = at.save_lead("Sent")
    at.drain()
    unsent = at.save_lead("Never sent")
    for lead in (sent, unsent):
        at.ana.open(f"/leads/{lead}/delete").submit(press="Delete the lead")
    at.drain()
    assert names(at) == ["Sent"]
    [customer] = at.books("Customer")
    assert customer["Active"] is True
    assert at.link("lead", sent)
    assert "Nothing to send" in at.ana.open(f"/leads/{unsent}").panel()


def test_situation_26_two_leads_of_one_customer_are_asked_about(at: Situation) -> None:
    there(at, "Green Lawn Co", "kim@lawn.example")
    at.connect()
    first = at.save_lead(email="kim@lawn.example")
    second = at.save_lead("Kim Green", email="kim@lawn.example")
    at.drain()
    links = [at.link("lead", first), at.link("lead", second)]
    if not links[0]:  # both were in one wave
        links.reverse()
    assert links[0]
    assert links[1] is None
    asked = entries_of(at.session)[-1]
    # Looked at together, the second has another name than the customer with its e-mail address.
    assert asked.fault_code in ("taken_by_another_record", "perhaps_another")
    at.ana.open(f"/leads/{second}")
    assert "Needs attention" in at.ana.panel()


def test_situation_26_a_separate_customer_is_made_when_a_person_says_so(at: Situation) -> None:
    there(at, "Green Lawn Co", "kim@lawn.example")
    at.connect()
    at.save_lead(email="kim@lawn.example")
    at.drain()
    second = at.save_lead("Kim Green", email="kim@lawn.example")
    at.drain()
    panel = at.ana.open(f"/leads/{second}").panel()
    assert "belongs to the lead “Green Lawn Co” here" in panel
    at.ana.submit(press="Create a separate customer")
    at.drain()
    assert sorted(names(at)) == ["Green Lawn Co", "Kim Green"]


# --- 27 to 30: invoices --------------------------------------------------------------------------


def test_situation_27_only_the_newest_version_goes_out_and_history_keeps_each(
    at: Situation,
) -> None:
    at.connect()
    lead = at.save_lead()
    invoice = at.save_invoice(lead, "100")
    at.ana.open(f"/invoices/{invoice}/edit").submit(
        {"lines-0-unit_price": "120"}, press="Save invoice"
    )
    at.calls()
    at.drain()
    assert at.calls() == ["POST customer", "POST invoice"]
    [sent] = at.books("Invoice")
    assert str(sent["TotalAmt"]).startswith("120")
    assert "Replaced by a newer version" in at.ana.open(f"/invoices/{invoice}").panel()


def test_situation_28_a_paid_invoice_is_updated_and_less_than_paid_is_warned_about(
    at: Situation,
) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "80")
    at.drain()
    at.ana.open(f"/invoices/{invoice}/edit")
    at.ana.submit({"lines-0-unit_price": "50"}, press="Save invoice")
    assert "Save it with the lower total" in at.ana.text
    at.ana.submit({"confirms_below_paid": "y"}, press="Save invoice")
    at.drain()
    [sent] = at.books("Invoice")
    assert str(sent["TotalAmt"]).startswith("50")
    assert at.entry().state == "synced"


def test_situation_29_a_void_is_asked_about_with_payments_and_arrives(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "80")
    at.drain()
    at.ana.open(f"/invoices/{invoice}/void")
    assert "$80.00 was already paid on it" in at.ana.text
    at.ana.submit(press="Void the invoice")
    at.drain()
    [sent] = at.books("Invoice")
    assert str(sent["TotalAmt"]).startswith("0")
    assert "Voided in QuickBooks" in at.ana.open(f"/invoices/{invoice}").panel()


def test_situation_29_what_was_not_sent_is_not_sent_nor_its_payments(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "80")
    at.ana.open(f"/invoices/{invoice}/void").submit(press="Void the invoice")
    at.drain()
    assert at.books("Invoice") == []
    assert at.books("Payment") == []


def ended_there(at: Situation, operation: str) -> tuple[int, str]:
    """An invoice was sent, ended by the bookkeeper, and is edited here. Its ids, here and there."""
    at.connect()
    invoice = at.save_invoice(at.save_lead())
    at.drain()
    [sent] = at.books("Invoice")
    at.bookkeeper().post(
        "invoice", {"Id": sent["Id"], "SyncToken": sent["SyncToken"]}, operation=operation
    )
    at.ana.open(f"/invoices/{invoice}/edit").submit({"memo": "Thanks"}, press="Save invoice")
    at.drain()
    return invoice, sent["Id"]


def test_situation_30_an_invoice_deleted_there_is_sent_as_new_or_no_more(at: Situation) -> None:
    invoice, before = ended_there(at, "delete")
    panel = at.ana.open(f"/invoices/{invoice}").panel()
    assert "was deleted in QuickBooks" in panel
    assert "Stop sending it" in panel
    assert at.books("Invoice") == []
    at.ana.submit(press="Send it again as new")
    at.drain()
    [again] = at.books("Invoice")
    assert again["Id"] != before
    link = at.link("invoice", invoice)
    assert link
    assert link.remote_id == again["Id"]


def test_situation_30_an_invoice_voided_there_is_sent_as_new_once(at: Situation) -> None:
    invoice, _ = ended_there(at, "void")
    assert at.fault() == "voided_there"
    at.ana.open(f"/invoices/{invoice}").submit(press="Send it again as new")
    at.drain()
    open_ = [i for i in at.books("Invoice") if i["TotalAmt"] != 0]
    assert len(open_) == 1
    assert at.entry().state == "synced"
    at.ana.open(f"/invoices/{invoice}/edit").submit({"memo": "Thanks a lot"}, press="Save invoice")
    at.drain()
    assert len(at.books("Invoice")) == 2
    assert at.entry().state == "synced"


@pytest.mark.parametrize("deleted", [False, True])
def test_situation_30_what_is_sent_as_new_takes_its_payments_along(
    at: Situation, deleted: bool
) -> None:
    """Over there they became credit: without this the invoice would look unpaid, silently."""
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    first, second = at.pay(invoice, "50"), at.pay(invoice, "30", "ach")
    at.drain()
    [sent] = at.books("Invoice")
    bookkeeper = at.bookkeeper()
    if deleted:
        for booked in at.books("Payment"):
            known = {key: booked[key] for key in ("Id", "SyncToken", "TotalAmt", "CustomerRef")}
            bookkeeper.post("payment", {**known, "sparse": True, "Line": []})
        [sent] = at.books("Invoice")
    bookkeeper.post(
        "invoice",
        {"Id": sent["Id"], "SyncToken": sent["SyncToken"]},
        operation="delete" if deleted else "void",
    )
    assert sum(int(one["UnappliedAmt"]) for one in at.books("Payment")) == 80
    third = at.pay(invoice, "20")
    at.drain()
    assert "In QuickBooks" not in at.ana.open(f"/payments/{third}").panel()
    at.ana.open(f"/invoices/{invoice}/edit").submit({"memo": "Thanks"}, press="Save invoice")
    at.drain()
    at.ana.open(f"/invoices/{invoice}").submit(press="Send it again as new")
    assert "4 records will be sent now." in at.ana.text
    at.calls()
    at.drain()
    [new] = [one for one in at.books("Invoice") if one["Id"] != sent["Id"]]
    assert (int(new["TotalAmt"]), int(new["Balance"])) == (100, 0)
    assert [int(one["UnappliedAmt"]) for one in at.books("Payment")] == [0, 0, 0]
    assert len(at.books("Payment")) == 3
    for payment in (first, second, third):
        assert "In QuickBooks" in at.ana.open(f"/payments/{payment}").panel()
    reads = [call for call in at.calls() if call.startswith("GET")]
    # a person's decision, paid for once; one is the balance before the new payment
    assert len(reads) <= 4


def test_situation_30_a_void_of_what_was_deleted_there_is_done(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead())
    at.drain()
    [sent] = at.books("Invoice")
    gone = {"Id": sent["Id"], "SyncToken": sent["SyncToken"]}
    at.bookkeeper().post("invoice", gone, operation="delete")
    at.ana.open(f"/invoices/{invoice}/void").submit(press="Void the invoice")
    at.drain()
    assert at.entry().state == "synced"
    assert "Voided in QuickBooks" in at.ana.open(f"/invoices/{invoice}").panel()


def test_a_void_while_lists_lag_is_not_said_to_be_done(at: Situation) -> None:
    """A payment made its version stale a moment ago, and the list does not have it yet."""
    at.connect()
    at.simulator.company(RIVERA, list_delay=86_400, list_hides_new=True)
    invoice = at.save_invoice(at.save_lead())
    at.pay(invoice, "40")
    at.drain()
    at.ana.open(f"/invoices/{invoice}/void").submit(press="Void the invoice")
    at.drain()
    assert "Voided in QuickBooks" not in at.ana.open(f"/invoices/{invoice}").panel()
    at.simulator.company(RIVERA, list_delay=0, list_hides_new=False)
    at.ana.submit(press="Send again")
    at.drain()
    assert [one["TotalAmt"] for one in at.books("Invoice")] == [0]


# --- 31 to 33 ------------------------------------------------------------------------------------


def a_number_that_is_taken(at: Situation) -> int:
    at.simulator.company(RIVERA, CustomTxnNumbers=True)
    at.connect()
    item = at.connection.settings["fallback_item_id"]
    line = {
        "Amount": 7,
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"ItemRef": {"value": item}},
    }
    customer = {"value": there(at, "Walk-in")}
    invoice = at.save_invoice(at.save_lead())
    number = at.invoice(invoice).number
    at.bookkeeper().post("invoice", {"CustomerRef": customer, "DocNumber": number, "Line": [line]})
    at.drain()
    assert at.fault() == "6140"
    return invoice


def test_situation_31_a_taken_number_may_be_quickbooks_to_choose(at: Situation) -> None:
    invoice = a_number_that_is_taken(at)
    at.ana.open(f"/invoices/{invoice}").submit(press="Let QuickBooks number it")
    at.drain()
    assert at.entry().state == "synced"
    link = at.link("invoice", invoice)
    assert link
    assert link.remote_number not in (None, at.invoice(invoice).number)
    at.ana.open(f"/invoices/{invoice}/edit").submit({"memo": "Thanks"}, press="Save invoice")
    at.drain()
    assert at.entry().state == "synced"
    again = at.link("invoice", invoice)
    assert again
    assert again.remote_number == link.remote_number


def test_situation_31_another_number_goes_by_itself(at: Situation) -> None:
    invoice = a_number_that_is_taken(at)
    fix = at.ana.open(f"/invoices/{invoice}").page.find("a", string="Send with another number")
    assert fix
    at.ana.open(str(fix["href"])).submit({"number": "N-1"}, press="Save invoice")  # type: ignore[index]
    at.drain()
    assert at.entry().state == "synced"
    assert "N-1" in [i["DocNumber"] for i in at.books("Invoice")]


@pytest.mark.parametrize("numbered_here", [True, False])
def test_situation_31_an_unanswered_invoice_is_found_whoever_numbers_meanwhile(
    at: Situation, numbered_here: bool
) -> None:
    at.simulator.company(RIVERA, CustomTxnNumbers=numbered_here)
    at.connect()
    invoice = at.save_invoice(at.save_lead())
    at.simulator.fault(match={"path": "/invoice", "times": 1}, do={"reset": "after"})
    at.drain()
    assert len(at.books("Invoice")) == 1
    at.simulator.company(RIVERA, CustomTxnNumbers=not numbered_here)
    assert facts.refresh(at.sessions, at.config, at.connection.id)
    with at.sessions.begin() as session:  # QuickBooks may have forgotten the request id
        old = "UPDATE outbox_dispatches SET created_at = created_at - interval '11 min'"
        session.execute(text(old))
    for _ in range(3):
        at.pass_time()
        at.drain()
    assert len(at.books("Invoice")) == 1
    assert at.link("invoice", invoice)
    assert at.entry().state == "synced"


def an_item_that_is_gone(at: Situation) -> tuple[int, list[int]]:
    """A product whose item was made inactive over there, and two invoices that need it."""
    at.connect()
    at.ana.open("/products/new").submit({"name": "Drain cleaning", "unit_price": "90"})
    at.session.rollback()
    product = at.session.scalars(select(Product.id)).one()
    lead = at.save_lead()
    line = {"lines-0-product_id": str(product)}
    at.save_invoice(lead, **line)
    at.drain()
    link = at.link("product", product)
    assert link
    deactivate(at, "Item", str(link.remote_id))
    invoices = [at.save_invoice(lead, **line), at.save_invoice(lead, **line)]
    at.drain()
    assert [at.fault(-2), at.fault(-1)] == ["item_inactive"] * 2
    panel = at.ana.open(f"/invoices/{invoices[0]}").panel()
    assert "The item “Drain cleaning” on line 1 was deleted or made inactive" in panel
    return product, invoices


def settled(at: Situation) -> set[State]:
    return {entry.state for entry in entries_of(at.session)} - {State.SUPERSEDED}


def test_situation_32_another_item_clears_every_invoice_with_that_cause(at: Situation) -> None:
    product, invoices = an_item_that_is_gone(at)
    at.ana.open(f"/invoices/{invoices[0]}")
    ask = at.ana.page.find("a", string="Use another item")
    assert ask
    at.ana.open(str(ask["href"]))  # type: ignore[index]
    assert "2 records have this cause" in at.ana.text
    items = {item["name"]: item["id"] for item in at.connection.facts["items"]}
    at.ana.submit({"item": items["DunaHub services"]})
    at.drain()
    assert settled(at) == {"synced"}
    link = at.link("product", product)
    assert link
    assert link.remote_id == items["DunaHub services"]
    assert len(at.books("Invoice")) == 3


@pytest.mark.parametrize("press", ["Reactivate it in QuickBooks", "Use the fallback from now on"])
def test_situation_32_one_button_clears_every_invoice_with_that_cause(
    at: Situation, press: str
) -> None:
    product, invoices = an_item_that_is_gone(at)
    at.ana.open(f"/invoices/{invoices[1]}").submit(press=press)
    at.drain()
    assert settled(at) == {"synced"}
    assert len(at.books("Invoice")) == 3
    link = at.link("product", product)
    assert link
    [item] = [one for one in at.books("Item") if one["Id"] == link.remote_id]
    assert item["Active"] is True


def test_another_item_waits_for_a_disconnect_that_is_under_way(at: Situation) -> None:
    """Both want the connection and the lane: in one order, or neither would ever get them."""
    at.connect()
    lead = at.save_lead()
    at.save_invoice(lead)
    at.drain()
    items = {item["name"]: item["id"] for item in at.connection.facts["items"]}
    deactivate(at, "Item", at.connection.settings["fallback_item_id"])
    at.save_invoice(lead)
    at.drain()
    assert at.fault() == "item_inactive"
    chosen = next(id_ for name, id_ in items.items() if name != "DunaHub services")
    at.ana.open(f"/quickbooks/fixes/{at.entry().id}/other_item")
    at.session.rollback()
    waits = text(
        "SELECT FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    with ThreadPoolExecutor(1) as other:
        with at.sessions.begin() as closing:
            closing.execute(select(Connection.id).with_for_update(key_share=True))
            pressed = other.submit(at.ana.submit, {"item": chosen})
            eventually(lambda: at.session.execute(waits).all())
            closing.execute(select(Lane.id).with_for_update())
        pressed.result()
    assert "It will be sent now." in at.ana.text
    assert at.connection.settings["fallback_item_id"] == chosen


def test_situation_33_closed_books_wait_for_a_person_with_a_note_to_copy(at: Situation) -> None:
    at.connect()
    at.simulator.company(RIVERA, BookCloseDate=date.today().replace(year=2027).isoformat())
    invoice = at.save_invoice(at.save_lead())
    at.drain()
    assert at.fault() == "6200"
    at.calls()
    at.pass_time()
    at.drain()
    assert at.calls() == []
    at.ana.open(f"/invoices/{invoice}")
    issued = at.invoice(invoice).issued_on
    assert f"The books in QuickBooks are closed for {day(issued)}" in at.ana.panel()
    link = at.ana.page.find("a", string="Copy a note for my accountant")
    assert link
    at.ana.open(str(link["href"]))  # type: ignore[index]
    assert f"Invoice {at.invoice(invoice).number} · Green Lawn Co" in at.ana.text
    at.simulator.company(RIVERA, BookCloseDate=None)
    at.ana.open(f"/invoices/{invoice}").submit(press="Try again")
    at.drain()
    assert at.entry().state == "synced"


def test_a_choice_that_was_not_offered_is_not_found(at: Situation) -> None:
    at.connect()
    at.bookkeeper().post("vendor", {"DisplayName": "Green Lawn Co"})
    at.save_lead()
    at.drain()
    entry: Entry = at.entry()
    for choice in ("link_existing", "create_new", "other_item", "nonsense"):
        at.ana.post(f"/quickbooks/fixes/{entry.id}/{choice}")
        assert at.ana.status == 404, choice
