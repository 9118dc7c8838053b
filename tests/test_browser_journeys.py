"""What people do, in a real browser, wide and narrow: the main jobs, and what goes wrong."""

import re
from collections.abc import Iterator
from decimal import Decimal

import pytest
from playwright.sync_api import Browser, Locator, ViewportSize, expect
from sqlalchemy import text

from development.scenes import NARROW, WIDE
from models.accounts import Organization, Role
from tests.support.firm import new_invoice, new_lead, new_line, new_product
from tests.support.house import ARRIVES, House, Person, signed_in
from tests.support.serving import eventually

pytestmark = pytest.mark.browser


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
    page.get_by_label("What are you proposing?").fill("New sprinklers")
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
        if viewport == NARROW:
            page.get_by_text("Menu", exact=True).click()
        page.get_by_role("button", name="Sign out").click()
        ana.go("/sign-up")
        ana.fill("Company name", "Fresh Plumbing")
        ana.fill("Your name", "Fay Fresh")
        page.get_by_label("E-mail").fill(f"fay{ana.firm}@fresh.example")
        page.get_by_label("Password").fill("a password of her own")
        ana.press("Sign up")
        expect(page.get_by_role("heading", name="Fresh Plumbing")).to_be_visible()
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
        ana.page.get_by_label("What are" if origin == "proposal" else "What").first.fill("Repairs")
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
    expect(ana.page.get_by_text("1 record waited or changed here")).to_be_visible()
    ana.go(lead)
    ana.reads("On hold")
    ana.go("/settings/quickbooks")
    ana.press("Send the changes")
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
    ana.page.get_by_label("From now on, use").select_option(label="Services")
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
        page.get_by_label("All matching rows, on every page").check()
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


# --- The invoice form -----------------------------------------------------------------------------


def new_invoice_of(ana: Person) -> None:
    """The form for a new lead, of a firm with a rate of 7.5 % and two products."""
    assert ana.firm
    with ana.house.sessions() as session:
        session.get_one(Organization, ana.firm).tax_rate = Decimal("7.5")
        drain, permit = (
            new_product(ana.firm, "Drain cleaning", "149"),
            new_product(ana.firm, "Permit"),
        )
        drain.description, drain.taxable = "Main line, up to 50 ft", True
        session.add_all([drain, permit])
        session.commit()
    ana.new_lead("Mary Johnson")
    ana.follow("New invoice")
    expect(ana.page.locator(".line")).to_have_count(1)


def test_the_box_finds_products_and_amounts_follow_while_typing(ana: Person) -> None:
    new_invoice_of(ana)
    page, line = ana.page, ana.page.locator(".line").first
    box = line.get_by_label("Product, or what you did")
    box.press_sequentially("drain cl")
    found = page.get_by_role("listbox").get_by_role("option")
    expect(found).to_have_text(["Drain cleaningMain line, up to 50 ft$149.00"])
    box.press("ArrowDown")
    box.press("Enter")
    expect(box).to_have_value("Main line, up to 50 ft")
    expect(line.get_by_label("Quantity")).to_be_focused()
    line.get_by_label("Quantity").fill("2")
    expect(line.locator("output")).to_have_text("$298.00")
    ana.press("Add a line")
    added = page.locator(".line").last
    added.get_by_label("Product, or what you did").fill("Faucet")
    added.get_by_label("Price").fill("1,120.05")
    expect(added.get_by_label("Taxable")).to_be_checked()
    expect(page.locator("[data-sum=tax]")).to_have_text("$106.35")  # 7.5 % of 1,418.05
    for total in page.locator("[data-sum=total]").all():
        expect(total).to_have_text("$1,524.40")
    expect(page.locator(".save-bar")).to_be_in_viewport()
    ana.press("Save invoice")
    ana.told("is saved")
    expect(page.locator("dd.total").first).to_have_text("$1,524.40")


def test_what_was_said_of_tax_by_hand_stays_when_a_product_is_chosen(ana: Person) -> None:
    new_invoice_of(ana)
    line = ana.page.locator(".line").first
    line.get_by_label("Taxable").uncheck()
    box = line.get_by_label("Product, or what you did")
    box.press_sequentially("drain cl")
    box.press("ArrowDown")
    box.press("Enter")
    expect(box).to_have_value("Main line, up to 50 ft")
    expect(line.get_by_label("Taxable")).not_to_be_checked()
    ana.press("Add a line")
    added = ana.page.locator(".line").last
    expect(added.get_by_label("Taxable")).to_be_checked()
    box = added.get_by_label("Product, or what you did")
    box.press_sequentially("permit")
    box.press("ArrowDown")
    box.press("Enter")
    expect(added.get_by_label("Taxable")).not_to_be_checked()  # as the product says


def test_a_price_is_read_while_typing_as_it_is_read_when_saved(ana: Person) -> None:
    new_invoice_of(ana)
    price, amount = ana.page.get_by_label("Price"), ana.page.locator(".line output").first
    for typed, read in (
        ("12 50", ""),
        ("1 234.50", "$1,234.50"),
        ("12,50", ""),
        ("0,500", ""),
        ("1,234,567", "$1,234,567.00"),
        ("- $5", "−$5.00"),
        ("1.005", "$1.01"),
    ):
        price.fill(typed)
        expect(amount).to_have_text(read)
    price.fill("12 50")
    ana.page.get_by_label("Product, or what you did").fill("Visit")
    ana.press("Save invoice")
    expect(ana.page.locator(".line-errors")).to_contain_text("Type a number, like 1234.50.")


def test_a_discount_is_added_up_while_it_is_typed(ana: Person) -> None:
    new_invoice_of(ana)
    page = ana.page
    page.get_by_label("Product, or what you did").fill("Drain cleaning")
    page.get_by_label("Price").fill("389")
    expect(page.locator("[data-sum=discount]")).to_be_hidden()
    page.locator(".discount summary").click()
    typed = page.get_by_label("Discount", exact=True)
    for words, off, total in (
        ("5", "−$19.45", "$397.27"),
        ("33.333", "−$129.67", "$278.78"),
        ("$20", "−$20.00", "$396.68"),
        ("400", "−$389.00", "$0.00"),
    ):
        typed.fill(words)
        expect(page.locator("[data-sum=discount]")).to_have_text(off)
        for shown in page.locator("[data-sum=total]").all():
            expect(shown).to_have_text(total)
    typed.fill("19.45")
    page.get_by_label("Percent or amount").select_option("amount")
    expect(page.locator("[data-sum=percent]")).to_have_text("")
    ana.press("Save invoice")
    ana.told("is saved")
    expect(page.locator("dl.totals").first).to_contain_text("−$19.45")
    expect(page.locator("dd.total").first).to_have_text("$397.27")


def test_a_draft_is_kept_and_finished_later(ana: Person) -> None:
    new_invoice_of(ana)
    page = ana.page
    page.get_by_label("Product, or what you did").fill("Water heater")
    ana.press("Save draft")
    ana.told("The draft is saved.")
    ana.go("/invoices")
    ana.follow("1 draft is not finished")
    page.locator("tbody tr").first.click()
    page.get_by_label("Price").fill("100")
    ana.press("Finish invoice")
    ana.told("Invoice 1001 is saved.")
    expect(page.locator("dd.total").first).to_have_text("$107.50")


def test_a_line_is_removed_and_kept_without_a_round_trip(ana: Person) -> None:
    new_invoice_of(ana)
    page = ana.page
    for work, price in (("One", "10"), ("Two", "20")):
        if work != "One":
            ana.press("Add a line")
        page.get_by_label("Product, or what you did").last.fill(work)
        page.get_by_label("Price").last.fill(price)
    page.get_by_role("button", name="Remove line 1").click()
    expect(page.locator(".line")).to_have_count(1)
    expect(page.locator("[data-sum=subtotal]")).to_have_text("$20.00")
    ana.press("Save invoice")
    ana.told("is saved")
    ana.follow("Edit")
    page.get_by_role("button", name="Remove line 1").click()
    expect(page.locator("[data-sum=subtotal]")).to_have_text("$0.00")
    page.get_by_role("button", name="Keep line 1").click()
    expect(page.locator("[data-sum=subtotal]")).to_have_text("$20.00")


def test_terms_and_the_day_follow_each_other(ana: Person) -> None:
    new_invoice_of(ana)
    page = ana.page
    ana.fill("Issued", "2026-11-20")
    expect(page.get_by_label("Due on")).to_have_value("2026-12-20")
    page.get_by_label("Due", exact=True).select_option("in 7 days")
    expect(page.get_by_label("Due on")).to_have_value("2026-11-27")
    ana.fill("Due on", "2026-11-29")
    expect(page.get_by_label("Due", exact=True)).to_have_value("")


def test_a_row_opens_wherever_it_is_tapped(ana: Person) -> None:
    ana.new_lead("Mary Johnson")
    ana.new_invoice()
    ana.go("/invoices")
    place = ana.page.locator("tbody tr td.balance").bounding_box()
    assert place
    ana.page.mouse.click(place["x"] + 5, place["y"] + 5)
    ana.page.wait_for_url(re.compile(r"/invoices/\d+$"))


def test_settings_is_reached_without_scrolling_sideways(
    ana: Person, viewport: ViewportSize
) -> None:
    page = ana.page
    if viewport == NARROW:
        page.get_by_text("Menu", exact=True).click()
    link = page.get_by_role("link", name="Settings")
    expect(link).to_be_in_viewport(ratio=1)
    link.click()
    page.wait_for_url("**/settings/**")
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
