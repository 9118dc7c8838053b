"""People at DunaHub's pages in a real browser, while it runs and sends."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from playwright.sync_api import Browser, Page, ViewportSize, expect

from db import Sessions
from models.accounts import Role
from simulator.documents import Document
from simulator.testing import SimulatorHandle
from tests.support.firm import new_firm
from tests.support.visitor import PASSWORD, new_person
from tests.support.watching import Watch

ARRIVES = 20_000  # milliseconds; mostly well under one second, but the machine may be busy
_numbers = count(1)


@dataclass(frozen=True)
class House:
    url: str
    simulator: SimulatorHandle
    sessions: Sessions


@dataclass
class Person:
    """Someone signed in. An owner's firm has a QuickBooks company of its own, not yet connected."""

    house: House
    page: Page
    firm: int | None
    realm: str

    def go(self, path: str) -> None:
        self.page.goto(path)

    def press(self, button: str) -> None:
        self.page.get_by_role("main").get_by_role("button", name=button, exact=True).click()

    def follow(self, link: str) -> None:
        self.page.get_by_role("main").get_by_role("link", name=link, exact=True).click()

    def fill(self, label: str, text: str) -> None:
        self.page.get_by_label(label, exact=True).fill(text)

    def told(self, words: str) -> None:
        """What the page says about what was just done."""
        expect(self.page.get_by_role("status").first).to_contain_text(words)

    def reads(self, words: str) -> None:
        """The panel's pill comes to say this, without a reload."""
        pill = self.page.locator(".panel .card-head .pill")
        expect(pill).to_have_text(words, timeout=ARRIVES)

    # --- QuickBooks ---------------------------------------------------------------------------

    def connect(self, button: str = "Connect QuickBooks") -> None:
        self.go("/settings/quickbooks")
        self.press(button)
        self.page.locator(f"input[value='{self.realm}']").check(force=True)
        self.page.get_by_role("button", name="Connect", exact=True).click()
        if self.page.url.endswith("/company"):
            self.press("Yes, start")
        self.told("QuickBooks is connected")

    def disconnect(self, button: str = "Disconnect") -> None:
        self.go("/settings/quickbooks")
        self.follow("Disconnect")
        self.press(button)
        self.told("is disconnected")

    def books(self, entity: str) -> list[Document]:
        return self.house.simulator.books(self.realm).get(entity, [])

    # --- Records ------------------------------------------------------------------------------

    def new_lead(self, name: str, email: str = "") -> str:
        """The address of its page, which is open then."""
        self.go("/leads/new")
        self.fill("Name", name)
        self.fill("E-mail", email)
        self.press("Save lead")
        self.told("is saved")
        return self.page.url

    def new_invoice(self, description: str = "Sprinkler repair", price: str = "120") -> str:
        """For whom or what the open page is about."""
        self.follow("New invoice")
        if not self.page.get_by_label("Product, or what you did").first.input_value():
            self.page.get_by_label("Product, or what you did").first.fill(description)
            self.page.get_by_label("Price").first.fill(price)
        self.press("Save invoice")
        self.told("is saved")
        return self.page.url

    def pay(self, method: str, amount: str = "") -> None:
        self.follow("Record payment")
        if amount:
            self.page.get_by_label("Amount").fill(amount)
        self.page.get_by_label(method, exact=True).check()
        self.press("Record payment")
        self.told("The payment is recorded.")


@contextmanager
def signed_in(
    browser: Browser,
    house: House,
    viewport: ViewportSize,
    *,
    role: Role = Role.OWNER,
    region: str = "US",
    scripts: bool = True,
) -> Iterator[Person]:
    """A new person of a new firm (DunaHub's staff have none). Nothing may go wrong on their pages:
    no complaint of the browser, and no request that leaves this machine.
    """
    number = next(_numbers)
    name, email = f"Rivera Plumbing {number}", f"person{number}@rivera.example"
    with house.sessions() as session:
        firm = None if role is Role.ADMIN else new_firm(session, name=name, region=region)
        new_person(session, firm, email, role)
    realm = house.simulator.add_company(name) if firm else ""
    context = browser.new_context(
        base_url=house.url,
        viewport=viewport,
        java_script_enabled=scripts,
        extra_http_headers={"X-Forwarded-For": f"192.0.2.{number}"},
    )
    page = context.new_page()
    watch = Watch(page)
    page.goto("/sign-in")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "sign-in" not in url)
    yield Person(house, page, firm, realm)
    context.close()
    assert not watch.complaints, watch.complaints
    assert not watch.strangers, watch.strangers
