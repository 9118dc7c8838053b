"""What people do, in a real browser: the main job, a name clash mended, an end and a new start."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect
from sqlalchemy.orm import Session

from development.chromium import running_chromium
from simulator.testing import SimulatorHandle
from tests.support.connected import RIVERA
from tests.support.firm import new_firm
from tests.support.serving import Served, serving
from tests.support.visitor import PASSWORD, new_person

pytestmark = pytest.mark.browser

ARRIVES = 15_000  # milliseconds; mostly well under one second, but the machine may be busy
SIZES: dict[str, ViewportSize] = {
    "desk": {"width": 1280, "height": 900},
    "phone": {"width": 360, "height": 740},
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def served(
    environ: dict[str, str], simulator: SimulatorHandle, session: Session, tmp_path: Path
) -> Iterator[Served]:
    new_person(session, new_firm(session), "ana@rivera.example")
    with serving(environ, tmp_path, "--workers=1", "--threads=4") as served:
        yield served


@pytest.fixture(params=SIZES)
def page(
    chromium: Browser, served: Served, simulator: SimulatorHandle, request: pytest.FixtureRequest
) -> Iterator[Page]:
    """Ana's page, signed in. No console error, no failed request, and none that leaves the host."""
    context = chromium.new_context(base_url=served.url, viewport=SIZES[request.param])
    page = context.new_page()
    trouble: list[str] = []
    hosts = (served.url, simulator.url)
    page.on("console", lambda told: trouble.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on(
        "request",
        lambda asked: None if asked.url.startswith(hosts) else trouble.append(asked.url),
    )
    sign_in(page)
    yield page
    context.close()
    assert trouble == []


def sign_in(page: Page) -> None:
    page.goto("/sign-in")
    page.get_by_label("E-mail").fill("ana@rivera.example")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Leads")).to_be_visible()


def connect(page: Page, button: str = "Connect QuickBooks") -> None:
    page.goto("/settings/quickbooks")
    page.get_by_role("button", name=button).click()
    page.locator(f"input[value='{RIVERA}']").check(force=True)
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("QuickBooks is connected")


def new_lead(page: Page, name: str, email: str) -> None:
    page.goto("/leads/new")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("E-mail").fill(email)
    page.get_by_role("button", name="Save lead").click()


def new_invoice(page: Page, description: str, price: str) -> str:
    """From the lead whose page is open; the invoice's page is open then, at this address."""
    page.get_by_role("link", name="New invoice").click()
    page.get_by_label("Description").first.fill(description)
    page.get_by_label("Price").first.fill(price)
    page.get_by_role("button", name="Save invoice").click()
    expect(page.get_by_role("status")).to_contain_text("is saved")
    return page.url


def record_payment(page: Page, method: str, amount: str | None = None) -> None:
    page.get_by_role("link", name="Record payment").click()
    if amount:
        page.get_by_label("Amount").fill(amount)
    page.get_by_label(method, exact=True).check()
    page.get_by_role("button", name="Record payment").click()
    expect(page.get_by_role("status")).to_contain_text("The payment is recorded.")


def expect_pill(page: Page, words: str) -> None:
    """The panel's pill comes to say this, without a reload."""
    expect(page.locator(".panel .card-head .pill")).to_have_text(words, timeout=ARRIVES)


def test_from_connect_to_a_paid_invoice_everything_comes_to_say_in_quickbooks(
    page: Page, simulator: SimulatorHandle
) -> None:
    connect(page)
    new_lead(page, "Kim Park", "kim@greenlawn.example")
    expect_pill(page, "In QuickBooks")

    page.get_by_role("link", name="New proposal").click()
    page.get_by_label("What is proposed?").fill("New sprinklers")
    page.get_by_label("Tax rate, %").fill("8")
    lines = [("Sprinkler repair", "3.5", "120"), ("Backflow test", "1", "95")]
    for number, (description, quantity, price) in enumerate(lines):
        line = page.get_by_role("group", name=f"Line {number + 1}")
        line.get_by_label("Description").fill(description)
        line.get_by_label("Quantity").fill(quantity)
        line.get_by_label("Price").fill(price)
    page.get_by_role("button", name="Add lines").click()  # on the spot, nothing is sent
    added = page.locator(".line").last
    added.get_by_label("Description").fill("PVC parts")
    added.get_by_label("Quantity").fill("12")
    added.get_by_label("Price").fill("55")
    added.get_by_label("Taxable").check()
    page.get_by_role("button", name="Save proposal").click()

    page.get_by_role("link", name="New invoice").click()
    page.get_by_role("button", name="Save invoice").click()
    expect_pill(page, "In QuickBooks")
    invoice = page.url
    record_payment(page, "Card", "500")
    record_payment(page, "ACH")
    expect(page.locator("#payments ~ table .pill")).to_have_text(
        ["In QuickBooks", "In QuickBooks"], timeout=ARRIVES
    )
    page.goto(invoice)
    page.locator("#payments ~ table a").first.click()
    expect_pill(page, "In QuickBooks")

    books = simulator.books(RIVERA)
    [there] = [i for i in books["Invoice"] if i["DocNumber"] == "1001"]
    assert (Decimal(str(there["TotalAmt"])), Decimal(str(there["Balance"]))) == (
        Decimal("1227.80"),
        Decimal(0),
    )
    [customer] = [c for c in books["Customer"] if c["DisplayName"] == "Kim Park"]
    paid = [p for p in books["Payment"] if p["CustomerRef"] == there["CustomerRef"]]
    assert there["CustomerRef"]["value"] == customer["Id"]  # type: ignore[index,call-overload]
    assert len(paid) == 2


def test_a_name_clash_shows_why_and_goes_by_itself_once_the_name_is_changed(page: Page) -> None:
    connect(page)
    new_lead(page, "Green Lawn Co", "one@lawn.example")
    expect_pill(page, "In QuickBooks")
    new_lead(page, "Green Lawn Co", "two@lawn.example")
    expect_pill(page, "Needs attention")
    invoice = new_invoice(page, "Sprinkler repair", "120")
    expect_pill(page, "Waits for customer Green Lawn Co")
    expect(page.locator(".chain")).to_contain_text("already the name of another customer")
    page.get_by_role("link", name="Change the name here").click()
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.get_by_label("Name", exact=True).fill("Green Lawn Co (Elm St)")
    page.get_by_role("button", name="Save lead").click()
    expect_pill(page, "In QuickBooks")
    page.goto(invoice)
    expect_pill(page, "In QuickBooks")


def test_what_is_made_while_disconnected_is_never_sent_and_new_things_are(
    page: Page, simulator: SimulatorHandle
) -> None:
    connect(page)
    page.get_by_role("link", name="Disconnect").click()
    expect(page.get_by_role("link", name="Stay connected")).to_be_focused()
    page.get_by_role("button", name="Disconnect").click()
    expect(page.get_by_role("status")).to_contain_text("is disconnected")
    new_lead(page, "Made meanwhile", "a@b.example")
    expect_pill(page, "Not sent")
    connect(page)
    new_lead(page, "New again", "c@d.example")
    expect_pill(page, "In QuickBooks")
    names = {customer["DisplayName"] for customer in simulator.books(RIVERA)["Customer"]}
    assert "New again" in names
    assert "Made meanwhile" not in names


def test_without_javascript_connect_send_again_and_the_state_after_a_reload_work(
    chromium: Browser, served: Served
) -> None:
    context = chromium.new_context(base_url=served.url, java_script_enabled=False)
    page = context.new_page()
    sign_in(page)
    connect(page)
    new_lead(page, "Green Lawn Co", "one@lawn.example")
    reload_until(page, "In QuickBooks")
    new_lead(page, "Green Lawn Co", "two@lawn.example")
    reload_until(page, "Needs attention")
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_role("status")).to_contain_text("It will be sent again.")
    reload_until(page, "Needs attention")
    context.close()


def reload_until(page: Page, words: str) -> None:
    for _ in range(60):
        if page.locator(".panel .card-head .pill").inner_text() == words:
            return
        page.wait_for_timeout(250)
        page.reload()
    expect_pill(page, words)
