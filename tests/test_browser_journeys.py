"""What people do, in a real browser, wide and narrow: the main jobs, and what goes wrong."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from playwright.sync_api import Browser, Locator, ViewportSize, expect
from sqlalchemy import text

from development.scenes import NARROW, WIDE
from models.accounts import Role
from tests.support.firm import new_invoice, new_lead, new_line, new_product
from tests.support.house import ARRIVES, House, Person, signed_in
from tests.support.serving import eventually

pytestmark = pytest.mark.browser


@pytest.fixture(params=[WIDE, NARROW], ids=["wide", "narrow"])
def viewport(request: pytest.FixtureRequest) -> ViewportSize:
    size: ViewportSize = request.param
    return size


@pytest.fixture
def ana(browser: Browser, house: House, viewport: ViewportSize) -> Iterator[Person]:
    with signed_in(browser, house, viewport) as ana:
        yield ana


def deactivate(ana: Person, entity: str, name: str) -> None:
    """The bookkeeper makes it inactive in QuickBooks."""
    key = "DisplayName" if entity == "Customer" else "Name"
    [there] = [one for one in ana.books(entity) if one[key] == name]
    bookkeeper = ana.house.simulator.client(ana.realm)
    told = {"Id": there["Id"], "SyncToken": there["SyncToken"], "sparse": True, "Active": False}
    assert bookkeeper.post(entity.lower(), told).status == 200
    bookkeeper.close()


def add_there(ana: Person, entity: str, name: str) -> None:
    bookkeeper = ana.house.simulator.client(ana.realm)
    assert bookkeeper.post(entity, {"DisplayName": name}).status == 200
    bookkeeper.close()


# --- The main job --------------------------------------------------------------------------------


def test_from_connect_to_an_invoice_paid_by_card_and_ach_all_comes_to_say_in_quickbooks(
    ana: Person,
) -> None:
    page = ana.page
    ana.connect()
    ana.new_lead("Kim Park", "kim@greenlawn.example")
    ana.reads("In QuickBooks")

    ana.follow("New proposal")
    page.get_by_label("What is proposed?").fill("New sprinklers")
    page.get_by_label("Tax rate, %").fill("8")
    lines = [
        ("Sprinkler repair", "3.5", "120"),
        ("Backflow test", "1", "95"),
        ("PVC parts", "12", "55"),
    ]
    for number, (description, quantity, price) in enumerate(lines):
        if number:
            ana.press("Add a line")  # on the spot, nothing is sent
        line = page.get_by_role("group", name=f"Line {number + 1}")
        line.get_by_label("Product, or what you did").fill(description)
        line.get_by_label("Quantity").fill(quantity)
        line.get_by_label("Price").fill(price)
        line.get_by_label("Taxable").set_checked(description == "PVC parts")
    ana.press("Save proposal")
    invoice = ana.new_invoice()
    ana.reads("In QuickBooks")
    ana.pay("Card", "500")
    ana.pay("ACH")
    expect(page.locator("#payments ~ table .pill")).to_have_text(
        ["In QuickBooks", "In QuickBooks"], timeout=ARRIVES
    )
    ana.go(invoice)
    page.locator("#payments ~ table a").first.click()
    ana.reads("In QuickBooks")

    [there] = ana.books("Invoice")
    assert (Decimal(str(there["TotalAmt"])), there["Balance"]) == (Decimal("1227.80"), 0)
    [customer] = ana.books("Customer")
    assert there["CustomerRef"] == {"value": customer["Id"], "name": "Kim Park"}
    assert [paid["CustomerRef"] for paid in ana.books("Payment")] == [there["CustomerRef"]] * 2


def test_a_new_company_signs_up_and_its_first_lead_is_seen_in_quickbooks(
    browser: Browser, house: House, viewport: ViewportSize
) -> None:
    with signed_in(browser, house, viewport) as ana:
        page = ana.page
        page.get_by_role("button", name="Sign out").click()
        ana.go("/sign-up")
        ana.fill("Company name", "Fresh Plumbing")
        ana.fill("Your name", "Fay Fresh")
        page.get_by_label("E-mail").fill(f"fay{ana.firm}@fresh.example")
        page.get_by_label("Password").fill("a password of her own")
        ana.press("Sign up")
        expect(page.get_by_role("heading", name="Leads")).to_be_visible()
        ana.connect()
        ana.new_lead("First Customer", "first@customer.example")
        ana.reads("In QuickBooks")
        with page.context.expect_page() as opened:
            page.get_by_role("link", name="View in QuickBooks").click()
        expect(opened.value.get_by_role("heading", name="First Customer")).to_be_visible()


@pytest.mark.parametrize("origin", ["lead", "job", "proposal"])
def test_an_invoice_made_from_any_of_them_arrives_with_its_lines(ana: Person, origin: str) -> None:
    ana.connect()
    ana.new_lead("Kim Park")
    if origin != "lead":
        ana.follow(f"New {origin}")
        ana.page.get_by_label("What is" if origin == "proposal" else "What").first.fill("Repairs")
        ana.page.get_by_label("Product, or what you did").first.fill("Sprinkler repair")
        ana.page.get_by_label("Price").first.fill("120")
        ana.press(f"Save {origin}")
    ana.new_invoice("Sprinkler repair", "120")
    ana.reads("In QuickBooks")
    [there] = ana.books("Invoice")
    assert isinstance(there["Line"], list)
    line = there["Line"][0]
    assert isinstance(line, dict)
    assert (line["Description"], line["Amount"]) == ("Sprinkler repair", 120)


# --- The connection ------------------------------------------------------------------------------


def test_what_is_made_while_disconnected_is_never_sent_and_new_things_are(ana: Person) -> None:
    ana.connect()
    ana.follow("Disconnect")
    expect(ana.page.get_by_role("link", name="Stay connected")).to_be_focused()
    ana.press("Disconnect")
    ana.told("is disconnected")
    ana.new_lead("Made meanwhile")
    ana.reads("Not sent")
    ana.connect()
    ana.new_lead("New again")
    ana.reads("In QuickBooks")
    assert [customer["DisplayName"] for customer in ana.books("Customer")] == ["New again"]


def test_records_that_wait_at_a_disconnect_go_only_when_the_owner_says_so(ana: Person) -> None:
    ana.connect()
    ana.house.simulator.fault(match={"realm": ana.realm}, do={"status": 503})
    lead = ana.new_lead("Waited")
    pill = ana.page.locator(".panel .card-head .pill")
    expect(pill).to_contain_text("Trying again", timeout=ARRIVES)
    ana.go("/settings/quickbooks")
    ana.follow("Disconnect")
    send_first = ana.page.get_by_role("button", name="Send them first, then disconnect")
    expect(send_first).to_be_focused()
    expect(ana.page.get_by_text("1 record is waiting.")).to_be_visible()
    ana.press("Disconnect now and hold it")
    ana.told("is disconnected")
    ana.house.simulator.clear_faults()
    ana.go(lead)
    ana.reads("On hold")
    ana.connect()
    expect(ana.page.get_by_text("1 record was waiting since")).to_be_visible()
    ana.go(lead)
    ana.reads("On hold")
    ana.go("/settings/quickbooks")
    ana.press("Send")
    ana.go(lead)
    ana.reads("In QuickBooks")


def test_after_quickbooks_ended_our_access_a_reconnect_sends_what_was_held(ana: Person) -> None:
    ana.connect()
    ana.house.simulator.revoke(ana.realm)
    lead = ana.new_lead("Held meanwhile")
    ana.reads("On hold")
    ana.go("/settings/quickbooks")
    expect(ana.page.get_by_text("Token expired")).to_be_visible()
    expect(ana.page.get_by_text("1 record is on hold and will be sent")).to_be_visible()
    ana.connect("Reconnect")
    ana.go(lead)
    ana.reads("In QuickBooks")


# --- What needs a person -------------------------------------------------------------------------


def test_a_name_clash_is_solved_by_each_of_its_buttons(ana: Person) -> None:
    ana.connect()
    page = ana.page

    add_there(ana, "vendor", "Green Lawn Co")
    ana.new_lead("Green Lawn Co", "one@lawn.example")
    ana.reads("Needs attention")
    invoice = ana.new_invoice()
    ana.reads("Waits for customer Green Lawn Co")
    expect(page.locator(".chain")).to_contain_text("already the name of a vendor")
    ana.follow("Change the name here")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    ana.fill("Name", "Green Lawn Co (Elm St)")
    ana.press("Save lead")
    ana.reads("In QuickBooks")
    ana.go(invoice)
    ana.reads("In QuickBooks")

    ana.new_lead("Green Lawn Co", "two@lawn.example")
    ana.reads("Needs attention")
    page.get_by_role("button", name="Send as").click()
    ana.reads("In QuickBooks")

    add_there(ana, "customer", "Harbor Cafe")
    ana.new_lead("Harbor Cafe", "new@harbor.example")
    ana.reads("Needs attention")
    ana.press("Use the existing customer Harbor Cafe")
    ana.reads("In QuickBooks")

    add_there(ana, "vendor", "Blue Door")
    ana.new_lead("Blue Door")
    ana.reads("Needs attention")
    ana.press("Skip")
    ana.reads("Skipped")
    ana.press("Undo skip")
    ana.reads("Needs attention")
    rename_vendor(ana, "Blue Door", "Blue Door Supplies")
    ana.press("Send again")
    ana.reads("In QuickBooks")
    names = [str(customer["DisplayName"]) for customer in ana.books("Customer")]
    assert len(names) == len(set(names)) == 4
    assert {"Green Lawn Co (Elm St)", "Harbor Cafe", "Blue Door"} < set(names)


def rename_vendor(ana: Person, name: str, new_name: str) -> None:
    [there] = [one for one in ana.books("Vendor") if one["DisplayName"] == name]
    told = {"Id": there["Id"], "SyncToken": there["SyncToken"], "DisplayName": new_name}
    bookkeeper = ana.house.simulator.client(ana.realm)
    assert bookkeeper.post("vendor", {**told, "sparse": True}).status == 200
    bookkeeper.close()


def test_a_deleted_item_is_replaced_once_for_all_that_used_it(ana: Person) -> None:
    ana.connect()
    assert ana.firm
    with ana.house.sessions() as session:
        cleaning = new_product(ana.firm, "Drain cleaning", "185")
        lead = new_lead(ana.firm, "Kim Park")

        def invoices(*numbers: str) -> None:
            for number in numbers:
                line = new_line(ana.firm or 0, "Drain cleaning", product=cleaning)
                session.add(new_invoice(ana.firm or 0, lead, [line], number=number))
            session.commit()

        invoices("1001")
        ana.go("/invoices")
        pills = ana.page.locator("table .pill")
        expect(pills).to_have_text(["In QuickBooks"], timeout=ARRIVES)
        deactivate(ana, "Item", "Drain cleaning")
        invoices("1002", "1003", "1004")
    ana.go("/invoices")
    wrong = ["Needs attention"] * 3
    expect(pills).to_have_text([*wrong, "In QuickBooks"], timeout=ARRIVES)
    ana.go("/settings/quickbooks")
    expect(ana.page.get_by_text("“Drain cleaning” is inactive in QuickBooks")).to_be_visible()
    ana.follow("Fix all")
    ana.follow("Use another item")
    ana.page.get_by_label("From now on use").select_option(label="Services")
    ana.page.get_by_role("main").get_by_role("button").last.click()
    ana.told("3 records will be sent now.")
    ana.go("/invoices")
    expect(pills).to_have_text(["In QuickBooks"] * 4, timeout=ARRIVES)


# --- Others --------------------------------------------------------------------------------------


def test_an_admin_finds_five_hundred_rows_and_requeues_them_all(
    browser: Browser, house: House, viewport: ViewportSize, ana: Person
) -> None:
    ana.connect()
    fail_leads(ana, 500)
    with signed_in(browser, house, viewport, role=Role.ADMIN) as dana:
        page = dana.page
        dana.go("/admin/outbox")
        page.get_by_label("Organization").select_option(value=str(ana.firm))
        page.get_by_label("State").select_option("failed")
        dana.press("Show")
        page.get_by_label("All rows that fit, on every page").check()
        dana.press("Requeue…")
        expect(page.get_by_role("heading", name="Requeue 500 rows?")).to_be_visible()
        dana.fill("Reason", "Their rule is gone.")
        dana.press("Requeue 500")
        expect(page.get_by_role("heading", name="Done")).to_be_visible(timeout=3 * ARRIVES)
        expect(page.get_by_role("definition").first).to_have_text("500")
    ana.go("/settings/record")
    expect(page_of(ana)).to_contain_text("Their rule is gone.")
    eventually(lambda: len(ana.books("Customer")) == 500)


def page_of(person: Person) -> Locator:
    return person.page.get_by_role("main")


def test_someone_in_brazil_sees_nothing_of_quickbooks(
    browser: Browser, house: House, viewport: ViewportSize
) -> None:
    with signed_in(browser, house, viewport, region="BR") as bruno:
        page = bruno.page
        seen = []
        for path in ("/leads", "/invoices", "/payments", "/settings/organization", "/account"):
            bruno.go(path)
            seen.append(page.content())
        bruno.new_lead("Mariana Costa")
        seen.append(page.content())
        bruno.new_invoice("Reparo", "120")
        seen.append(page.content())
        bruno.pay("Card")
        seen.append(page.content())
        assert not [text for text in seen if "QuickBooks" in text]
        bruno.go("/settings/quickbooks")
        expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()


# --- Without JavaScript --------------------------------------------------------------------------


@pytest.fixture
def plain(browser: Browser, house: House) -> Iterator[Person]:
    with signed_in(browser, house, WIDE, scripts=False) as ana:
        yield ana


def test_without_javascript_connect_and_send_again_work(plain: Person) -> None:
    plain.connect()
    add_there(plain, "vendor", "Green Lawn Co")
    plain.new_lead("Green Lawn Co")
    reload_until(plain, "Needs attention")
    rename_vendor(plain, "Green Lawn Co", "Green Lawn Supplies")
    plain.press("Send again")
    plain.told("It will be sent again.")
    reload_until(plain, "In QuickBooks")


def reload_until(person: Person, words: str) -> None:
    def says() -> bool:
        person.page.reload()
        return person.page.locator(".panel .card-head .pill").inner_text() == words

    eventually(says)


def test_without_javascript_an_admin_requeues_what_was_chosen(
    browser: Browser, house: House, plain: Person
) -> None:
    plain.connect()
    fail_leads(plain, 2)
    with signed_in(browser, house, WIDE, role=Role.ADMIN, scripts=False) as dana:
        dana.go(f"/admin/outbox?organization={plain.firm}&state=failed")
        for box in dana.page.locator("input[name=entry]").all():
            box.check()
        dana.press("Requeue…")
        dana.fill("Reason", "Their rule is gone.")
        dana.press("Requeue 2")
        dana.told("2 of 2 rows: requeued.")
    plain.go("/leads")
    expect(plain.page.locator("table .pill")).to_have_count(2)
    eventually(lambda: len(plain.books("Customer")) == 2)


def fail_leads(owner: Person, count: int) -> None:
    """So many leads that QuickBooks refused, as if it had done so yesterday."""
    assert owner.firm
    with owner.house.sessions() as session:
        session.add_all(new_lead(owner.firm, f"Customer {number}") for number in range(count))
        session.flush()
        session.execute(
            text(
                "UPDATE outbox SET state = 'failed', settled_at = now(), fault_code = '6000'"
                " WHERE organization_id = :firm"
            ),
            {"firm": owner.firm},
        )
        session.commit()


def test_case_s02_a_form_that_is_on_its_way_is_not_sent_again(ana: Person) -> None:
    ana.new_lead("Kim Park")
    ana.new_invoice()
    ana.follow("Record payment")
    ana.page.wait_for_url("**/payments/new")
    sent = ana.page.evaluate(
        """() => {
            let sent = 0;
            addEventListener("submit", (event) => {
                if (!event.defaultPrevented) sent += 1;
                event.preventDefault(); // an answer that takes long
            });
            for (let n = 0; n < 3; n += 1) document.querySelector("main .primary").click();
            return sent;
        }"""
    )
    assert sent == 1
