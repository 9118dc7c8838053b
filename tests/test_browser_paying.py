"""From the firm's *Send to client* to the client's receipt, in a real browser, with a real mail."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from config import Config
from db import make_engine, make_sessions
from development.scenes import NARROW, WIDE
from outbox.capture import attach
from simulator.testing import SimulatorHandle
from stripe_simulator.testing import StripeHandle
from tests.support.house import ARRIVES, House, Person, signed_in
from tests.support.postbox import Postbox, running_postbox
from tests.support.serving import eventually, serving
from tests.support.till import endpoints

pytestmark = pytest.mark.browser

WITHIN = 2.0  # seconds from Stripe's event to the books, once it is answered


@dataclass(frozen=True)
class Shop:
    owner: Person
    stripe: StripeHandle
    postbox: Postbox


@pytest.fixture
def shop(
    browser: Browser,
    environ: dict[str, str],
    simulator: SimulatorHandle,
    stripe: StripeHandle,
    tmp_path: Path,
) -> Iterator[Shop]:
    engine = make_engine(environ["DATABASE_URL"])
    sessions = make_sessions(engine)
    attach(sessions, wake=None)
    with running_postbox() as (postbox, port):
        environ |= {
            "SMTP_URL": f"smtp://127.0.0.1:{port}",
            "MAIL_FROM": "mail@dunahub.example",
            "PROXIES": "1",
        }
        Config.from_environ(environ)
        with serving(environ, tmp_path, "--workers=1") as served:
            stripe.act("endpoints", endpoints=endpoints(served.url))
            house = House(served.url, simulator, sessions)
            with signed_in(browser, house, WIDE) as owner:
                yield Shop(owner, stripe, postbox)
    engine.dispose()


def send(shop: Shop, price: str) -> tuple[str, str]:
    """A new invoice, mailed. Its page, and the link in the mail."""
    owner, known = shop.owner, len(shop.postbox.letters)
    owner.go("/leads")
    owner.page.get_by_role("link", name="Maria Santos").first.click()
    page = owner.new_invoice("Leak repair", price)
    owner.follow("Send to client")
    owner.press("Send")
    owner.told("It is being sent to maria@client.example.")
    eventually(lambda: len(shop.postbox.letters) > known)
    body = shop.postbox.letters[-1].get_body(("plain",))
    assert body
    return page, next(w for w in str(body.get_content()).split() if w.startswith("http"))


def paid_in_books(shop: Shop, count: int) -> float:
    """Seconds until so many payments are in QuickBooks' books."""
    began = time.monotonic()
    eventually(lambda: len(shop.owner.books("Payment")) == count)
    return time.monotonic() - began


def open_shop(shop: Shop) -> Person:
    """QuickBooks and Stripe are connected, and there is a client."""
    owner = shop.owner
    owner.connect()
    owner.go("/settings/payments")
    owner.press("Connect Stripe")
    owner.page.get_by_role("button", name="Agree and submit").click()  # on Stripe's page
    expect(owner.page.get_by_text("Clients can pay")).to_be_visible()
    owner.new_lead("Maria Santos", "maria@client.example")
    return owner


def test_a_client_gets_the_mail_and_pays_by_card_and_by_bank_transfer(
    shop: Shop, browser: Browser
) -> None:
    owner = open_shop(shop)

    context = browser.new_context(viewport=NARROW)
    client = context.new_page()
    page, link = send(shop, "120")
    client.goto(link)
    expect(client.get_by_text("Amount due").first).to_be_visible()
    client.get_by_role("button", name="Pay by card").click()
    client.get_by_label("Card number").fill("4000 0000 0000 0002")
    client.get_by_role("button", name="Pay $120.00").click()
    expect(client.get_by_role("alert")).to_contain_text("Your card was declined.")
    client.get_by_label("Card number").fill("4242 4242 4242 4242")
    client.get_by_role("button", name="Pay $120.00").click()
    sees_receipt(client)
    seconds = paid_in_books(shop, 1)
    assert seconds < WITHIN, seconds
    owner.go(page)
    expect(owner.page.get_by_text("opened").first).to_be_visible()

    page, link = send(shop, "80")
    client.goto(link)
    client.get_by_role("button", name="Pay from your bank account (ACH)").click()
    client.get_by_role("button", name="Pay $80.00").click()
    expect(client.get_by_role("heading", name="Your payment is on its way")).to_be_visible(
        timeout=ARRIVES
    )
    owner.go(page)
    expect(owner.page.get_by_text("A bank transfer of $80.00 is on its way.")).to_be_visible()
    shop.stripe.act("advance", seconds=400_001)
    paid_in_books(shop, 2)
    client.goto(link)
    sees_receipt(client)
    assert sorted(Decimal(str(one["TotalAmt"])) for one in owner.books("Payment")) == [80, 120]
    context.close()


@pytest.mark.full
def test_money_that_goes_back_is_the_same_on_both_sides(shop: Shop, browser: Browser) -> None:
    """A part out of goodwill, and a bank transfer that the bank takes back after it arrived."""
    owner = open_shop(shop)
    choose_how_money_goes_back(owner)
    context = browser.new_context(viewport=NARROW)
    client = context.new_page()

    page, link = send(shop, "120")
    client.goto(link)
    client.get_by_role("button", name="Pay by card").click()
    client.get_by_label("Card number").fill("4242 4242 4242 4242")
    client.get_by_role("button", name="Pay $120.00").click()
    sees_receipt(client)
    paid_in_books(shop, 1)
    owner.go(page)
    owner.page.locator("section:has(#payments) td a").first.click()
    owner.follow("Refund through Stripe")
    owner.fill("Refunded or returned", "20")
    owner.page.get_by_label("The invoice afterwards").select_option("paid")
    owner.press("Refund it")
    owner.told("The money is on its way back to your client.")
    eventually(lambda: len(owner.books("RefundReceipt")) == 1)
    [receipt] = owner.books("RefundReceipt")
    assert receipt["TotalAmt"] == 20
    client.goto(link)
    sees_receipt(client)
    expect(client.get_by_text("$20.00 returned to you")).to_be_visible()

    page, link = send(shop, "80")
    client.goto(link)
    client.get_by_role("button", name="Pay from your bank account (ACH)").click()
    client.get_by_role("button", name="Pay $80.00").click()
    expect(client.get_by_role("heading", name="Your payment is on its way")).to_be_visible(
        timeout=ARRIVES
    )
    shop.stripe.act("advance", seconds=400_001)
    paid_in_books(shop, 2)
    bank_takes_it_back(shop)
    eventually(lambda: any(one["TotalAmt"] == 0 for one in owner.books("Payment")))  # voided
    assert sorted(Decimal(str(one["Balance"])) for one in owner.books("Invoice")) == [0, 80]
    client.goto(link)
    expect(client.get_by_role("button", name="Pay by card")).to_be_visible()
    owner.go(page)
    expect(owner.page.get_by_text("refunded or returned", exact=True)).to_be_visible()
    context.close()


def bank_takes_it_back(shop: Shop) -> None:
    """The newest payment, days after it arrived."""
    for account, things in shop.stripe.everything()["objects"].items():
        charges = [one for one in things.values() if one["object"] == "charge"]
        if charges:
            shop.stripe.act("return", account=account, charge=charges[-1]["id"])


def choose_how_money_goes_back(owner: Person) -> None:
    owner.go("/settings/quickbooks/arrivals")
    for label, choice in (
        ("A payment that was returned or reversed", "The payment is voided in QuickBooks too"),
        ("A refund after which the invoice stays paid", "A refund receipt in QuickBooks"),
        ("Refunds are paid from", "Checking"),
    ):
        owner.page.get_by_label(label, exact=True).select_option(label=choice)
    owner.press("Save")
    owner.told("Saved. From now on")


def sees_receipt(client: Page) -> None:
    # Stripe repeats an event that a busy machine did not answer in time.
    paid = client.get_by_role("heading", name="Paid. Thank you!")
    expect(paid).to_be_visible(timeout=3 * ARRIVES)
