"""What a firm sees before it trusts us with its books, in a real browser, wide and narrow."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from pyotp import TOTP

from models.accounts import Role
from tests.support.firm import new_invoice, new_lead
from tests.support.house import Person
from tests.support.visitor import PASSWORD, new_person

pytestmark = pytest.mark.browser

NAME, ADDRESS = "Green Lawn Co", "office@greenlawn.example"


def choose_company(ana: Person, realm: str) -> None:
    """At Intuit, as far as our question."""
    ana.go("/settings/quickbooks")
    ana.press("Connect QuickBooks")
    ana.page.locator(f"input[value='{realm}']").check(force=True)
    ana.page.get_by_role("button", name="Connect", exact=True).click()
    expect(ana.page.get_by_role("heading", name="Is this your company?")).to_be_visible()


def fits(ana: Person) -> None:
    """Nothing is wider than the window."""
    wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert ana.page.evaluate(wider) <= 0


def test_the_wrong_company_is_noticed_and_another_one_chosen(ana: Person) -> None:
    other = ana.house.simulator.add_company("Oak HVAC of somebody else")
    choose_company(ana, other)
    expect(ana.page.get_by_text("The names are different.")).to_be_visible()
    expect(ana.page.get_by_role("button", name="Choose another company")).to_be_focused()
    fits(ana)
    ana.press("Choose another company")
    ana.page.locator(f"input[value='{ana.realm}']").check(force=True)
    ana.page.get_by_role("button", name="Connect", exact=True).click()
    expect(ana.page.get_by_text("The names are different.")).to_have_count(0)
    before = ana.books("Item")
    ana.press("Yes, start")
    ana.told("QuickBooks is connected")
    assert [one["Name"] for one in ana.books("Item")[len(before) :]] == ["DunaHub services"]
    names = [one["Name"] for one in ana.house.simulator.books(other)["Item"]]
    assert "DunaHub services" not in names


def test_what_is_chosen_in_the_test_drive_is_what_happens(ana: Person) -> None:
    page = ana.page
    bookkeeper = ana.house.simulator.client(ana.realm)
    there = {"DisplayName": NAME, "PrimaryEmailAddr": {"Address": "old@greenlawn.example"}}
    assert bookkeeper.post("customer", there).status == 200
    bookkeeper.close()
    assert ana.firm
    with ana.house.sessions() as session:
        lead = new_lead(ana.firm, NAME, email=ADDRESS)
        session.add_all([lead, new_invoice(ana.firm, lead, number="A-1")])
        session.commit()
        key = lead.id
    choose_company(ana, ana.realm)
    start = page.get_by_role("button", name="Yes, start")
    ana.follow("See what would happen")
    expect(start).to_be_in_viewport()  # from here on, wherever one reads
    expect(page.get_by_text("1 lead would need your answer.")).to_be_visible()
    which = page.get_by_label(f"What to do with {NAME}")
    which.select_option(label=f"It is {NAME} (old@greenlawn.example)")
    ana.press("Show what my choices do")
    expect(page.get_by_text(f"Would link to the customer “{NAME}”")).to_be_visible()
    page.get_by_text("Change how records arrive").click()
    page.get_by_label("Checks go to").select_option(label="Checking")
    fits(ana)
    ana.press("Show what changes")
    checks = page.locator("dt", has_text="Checks go to").locator("+ dd")
    expect(checks).to_contain_text("Checking")
    assert len(ana.books("Customer")) == 1
    ana.press("Yes, start")
    ana.told("QuickBooks is connected")
    ana.go(f"/leads/{key}/edit")
    ana.fill("Phone", "(415) 555-0101")
    ana.press("Save lead")
    ana.reads("In QuickBooks")
    [customer] = ana.books("Customer")
    assert (customer["DisplayName"], customer["SyncToken"]) == (NAME, "0")  # only linked
    ana.go("/settings/quickbooks/test-drive")
    expect(page.get_by_role("main").get_by_text("1 is in QuickBooks", exact=True)).to_be_visible()
    fits(ana)


def test_a_new_firm_is_led_by_its_first_steps_until_they_are_done(ana: Person) -> None:
    page = ana.page
    ana.go("/")
    steps = page.get_by_role("region", name="First steps")
    before = steps.get_by_role("link").count()
    assert before >= 6
    fits(ana)
    steps.get_by_role("link", name=re.compile("lead", re.IGNORECASE)).click()
    ana.fill("Name", NAME)
    ana.press("Save lead")
    ana.new_invoice()
    ana.go("/")
    expect(steps.get_by_role("link")).to_have_count(before - 2)
    expect(page.get_by_role("region", name="Money")).to_contain_text("$120.00")
    ana.press("Hide this list")
    expect(steps).to_have_count(0)


def test_the_accountant_reads_by_a_link_until_it_is_revoked(ana: Person, browser: Browser) -> None:
    ana.connect()
    ana.new_lead(NAME)
    ana.reads("In QuickBooks")
    ana.go("/settings/quickbooks/accountant")
    ana.fill("Who it's for", "Dana at Miller CPA")
    ana.press("Create the link")
    fits(ana)
    path = "/" + ana.page.locator("main code").inner_text().split("/", 3)[3]
    size = ana.page.viewport_size
    assert size
    context = browser.new_context(base_url=ana.house.url, viewport=size)
    dana = context.new_page()
    dana.goto(path)
    expect(dana.get_by_text(NAME).first).to_be_visible()
    assert dana.evaluate("document.documentElement.scrollWidth") <= size["width"]
    with dana.expect_download() as file:
        dana.get_by_role("link", name=re.compile("CSV")).first.click()
    assert NAME in Path(file.value.path()).read_text()
    assert dana.goto("/leads") is not None
    assert "/sign-in" in dana.url
    ana.go("/settings/quickbooks/accountant")
    expect(ana.page.get_by_text("never visited")).to_have_count(0)
    ana.press("Revoke the link for Dana at Miller CPA")
    answer = dana.goto(path)
    assert answer
    assert answer.status == 404
    context.close()


def test_a_colleague_is_removed_and_a_second_factor_asked_for(ana: Person) -> None:
    page = ana.page
    with ana.house.sessions() as session:
        tom = new_person(session, ana.firm, f"tom{ana.firm}@rivera.example", Role.MEMBER)
        name = tom.name
    ana.go("/settings/people")
    ana.follow(name)
    page.get_by_label("Permissions").select_option("bookkeeper")
    ana.press("Save")
    fits(ana)
    ana.go("/settings/people")
    expect(page.get_by_role("row", name=re.compile(name))).to_contain_text("Bookkeeper")
    ana.follow(name)
    ana.press("Remove")
    expect(page.get_by_role("link", name=name)).to_have_count(0)

    ana.go("/account/second-factor")
    ana.follow("Turn on")
    secret = page.locator("main code").inner_text().replace(" ", "")
    page.get_by_role("textbox", name="Code").fill(TOTP(secret).now())
    fits(ana)
    ana.press("Turn on")
    expect(page.get_by_role("heading", name="Keep these recovery codes")).to_be_visible()
    code = page.locator("main code").first.inner_text()
    ana.go("/account")
    email = page.locator("main strong").first.inner_text()
    if page.get_by_text("Menu", exact=True).is_visible():
        page.get_by_text("Menu", exact=True).click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    ana.go("/sign-in")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    ana.press("Sign in")
    page.get_by_role("textbox", name="Code").fill(code)
    fits(ana)
    ana.press("Sign in")
    page.wait_for_url(lambda url: "sign-in" not in url)


def test_customers_come_from_a_file_and_from_quickbooks_and_go_again(
    ana: Person, tmp_path: Path
) -> None:
    page = ana.page
    file = tmp_path / "customers.csv"
    file.write_text(
        f"Name,Email\n{NAME},{ADDRESS}\n{NAME.upper()},\nHarbor Cafe,h@harbor.example\n"
    )
    ana.go("/leads")
    ana.follow("Import")
    page.get_by_label("CSV file").set_input_files(file)
    ana.press("Review it")
    expect(page.get_by_role("heading", name="2 new leads")).to_be_visible()
    expect(page.get_by_role("heading", name="1 is already here")).to_be_visible()
    fits(ana)
    ana.press("Save as leads")
    ana.told("2 leads are saved.")
    ana.press("Undo the import")
    ana.go("/leads")
    expect(page.get_by_text(NAME)).to_have_count(0)

    bookkeeper = ana.house.simulator.client(ana.realm)
    assert bookkeeper.post("customer", {"DisplayName": "Of ten years"}).status == 200
    bookkeeper.close()
    ana.connect()
    ana.go("/leads/imports/new")
    ana.press("Review them")
    expect(page.get_by_role("heading", name="1 new lead")).to_be_visible()
    ana.press("Save as leads")
    ana.go("/leads")
    ana.page.get_by_role("link", name="Of ten years").first.click()
    ana.reads("In QuickBooks")
    assert [one["DisplayName"] for one in ana.books("Customer")] == ["Of ten years"]
