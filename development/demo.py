"""bin/demo: the main job from a fresh start, done through pages and checked in the books.

Signs in, connects QuickBooks, creates a lead, a proposal and its invoice with three lines and tax,
records two payments. A client pays two more invoices through Stripe. Then it checks the simulated
company's books.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from development.browser import Browser, Unexpected
from development.stack import CannotStart, Stack, free_port, running_stack
from models.passwords import DEMO_PASSWORD

PATIENCE = 30.0  # seconds for everything to arrive
CUSTOMER = "Rosa Delgado"
TAX_RATE = Decimal("8.625")
LINES = (  # description, quantity, price, taxable, amount
    ("Tankless water heater", "1", "1249.00", True, "1249.00"),
    ("Plumber, per hour", "3.5", "96.50", False, "337.75"),
    ("City permit", "2", "35.25", False, "70.50"),
)
DISCOUNT_PERCENT, DISCOUNT = "5", Decimal("82.86")  # of the invoice, taken off before tax
TAX, TOTAL = Decimal("102.34"), Decimal("1676.73")
PAYMENTS = (("card", Decimal("1000.00")), ("ach", Decimal("676.73")))

ONLINE_SUM = "120.00"
ONLINE = (("Pay by card", ""), ("Pay from your bank account", "000123456789"))

Books = dict[str, list[dict[str, Any]]]  # as the simulator's control interface returns them


@dataclass(frozen=True)
class Check:
    what: str
    expected: str
    found: str

    @property
    def holds(self) -> bool:
        return self.expected == self.found


@dataclass(frozen=True)
class Outcome:
    checks: tuple[Check, ...]
    seconds_to_arrive: float  # from pressing the last button to the last record in the books

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/demo", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args().json
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="dunahub-demo-") as folder:
        try:
            with running_stack(
                Path(folder), free_port(), free_port(), free_port(), environ()
            ) as stack:
                try:
                    outcome = go_through(stack, say=_silent if as_json else print)
                except (Unexpected, requests.RequestException) as problem:
                    raise Unexpected(f"{problem}\n{stack.children[-1].log_end()}") from problem
        except (CannotStart, Unexpected) as problem:
            print(json.dumps({"ok": False, "problem": str(problem)}) if as_json else problem)
            return 1
    print(_json(outcome) if as_json else _table(outcome))
    return 0 if outcome.holds else 1


def environ() -> dict[str, str]:
    """Our environment, without variables that would point the demo at
    a real database or company."""
    theirs = ("DATABASE_URL", "DATA_DIR", "BASE_URL", "SIMULATOR_URL", "QUICKBOOKS_", "STRIPE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(theirs)}


def go_through(stack: Stack, say: Callable[[str], object]) -> Outcome:
    browser = Browser(stack.url)
    try:
        say("Signing in as Ana …")
        sign_in(browser, "ana@rivera.example")
        say("Connecting QuickBooks …")
        realm_id = connect(browser)
        before = _books(stack, realm_id)
        say("Writing a lead, a proposal, its invoice and two payments …")
        record_pages, last_saved_at = work(browser)
        books = _await_arrival(stack, realm_id, before)
        seconds = time.monotonic() - last_saved_at
        say("Connecting Stripe; a client pays one invoice by card, another by bank transfer …")
        known = _books(stack, realm_id)
        paid = pay_online(stack, browser, _id_in(record_pages[0]))
        came = _await_payments(stack, realm_id, known, len(paid))
        checks = [*_judge(books), *_judge_pages(browser, record_pages), *paid, came]
        return Outcome(tuple(checks), round(seconds, 2))
    finally:
        browser.close()


def sign_in(browser: Browser, email: str) -> None:
    browser.open("/sign-in")
    browser.submit({"email": email, "password": DEMO_PASSWORD})


def connect(browser: Browser, realm_id: str = "") -> str:
    """Goes through the consent page for this company, or the first one offered. Returns its id."""
    browser.open("/settings/quickbooks")
    browser.submit(press="Connect")
    browser.submit({"realm_id": realm_id}, press="Connect")  # on QuickBooks' page
    came_by = browser.visited
    browser.submit(press="Yes, start")
    for address in came_by:
        if realm_ids := parse_qs(urlsplit(address).query).get("realmId"):
            return realm_ids[0]
    raise Unexpected(f"Consent did not lead back: {came_by}")


def work(browser: Browser) -> tuple[list[str], float]:
    """What the owner does. Returns the records' pages, and when the last button was pressed."""
    browser.open("/leads/new")
    browser.submit(
        {"name": CUSTOMER, "email": "rosa@delgado.example", "phone": "(415) 555-0177"}, press="Save"
    )
    lead_page = browser.url
    browser.open(f"/proposals/new?lead={_id_in(lead_page)}")
    browser.submit(
        {"title": "Tankless water heater", "tax_rate": str(TAX_RATE)} | _line_fields(), press="Save"
    )
    browser.open(f"/invoices/new?proposal={_id_in(browser.url)}")
    browser.submit({"memo": "Thank you!", "discount_value": DISCOUNT_PERCENT}, press="Save invoice")
    invoice_page = browser.url
    for method, amount in PAYMENTS:
        browser.open(f"/invoices/{_id_in(invoice_page)}/payments/new")
        pressed_at = time.monotonic()
        browser.submit({"amount": str(amount), "method": method}, press="Record")
    return [lead_page, invoice_page], pressed_at


def pay_online(stack: Stack, browser: Browser, lead_id: int) -> list[Check]:
    """A client pays invoices through their links: one by card, one by bank transfer."""
    browser.open("/settings/payments")
    browser.submit(press="Connect Stripe")
    browser.submit(press="Agree and submit")  # on Stripe's page
    checks = []
    for button, account in ONLINE:
        browser.open(f"/invoices/new?lead={lead_id}")
        line = {
            "lines-0-description": "Leak repair",
            "lines-0-unit_price": ONLINE_SUM,
            "tax_rate": "0",
        }
        browser.submit(line, press="Save invoice")
        browser.submit(press="Create a link")
        link = browser.page.select_one("#client-link")
        if link is None:
            raise Unexpected(f"{browser.url} has no link for the client")
        page = _pay_as_client(stack, str(link["value"]), button, account)
        checks.append(Check(f"{button}: the client reads", "Paid. Thank you!", page))
    return checks


def _pay_as_client(stack: Stack, link: str, button: str, account: str) -> str:
    client = Browser(link)
    try:
        client.open(link)
        client.submit(press=button)
        client.submit({"account": account} if account else {}, press="Pay $")  # on Stripe's page
        if account:  # takes days; the demo doesn't wait for it
            days = {"seconds": 5 * 24 * 3600}
            requests.post(f"{stack.stripe_url}/_simulator/advance", json=days, timeout=10)
        deadline = time.monotonic() + PATIENCE
        while "Paid. Thank you!" not in client.text and time.monotonic() < deadline:
            time.sleep(0.2)
            client.open(link)
        heading = client.page.select_one("h1")
        return " ".join(heading.get_text(" ").split()) if heading else ""
    finally:
        client.close()


def _await_payments(stack: Stack, realm_id: str, before: Books, count: int) -> Check:
    deadline = time.monotonic() + PATIENCE
    while True:
        books = _books(stack, realm_id)
        new = _without(books.get("Payment", []), before.get("Payment", []))
        if len(new) >= count or time.monotonic() > deadline:
            sums = _listed(_money(one["TotalAmt"]) for one in new)
            return Check("paid online, in the books", _listed([ONLINE_SUM] * count), sums)
        time.sleep(0.05)


def _line_fields() -> dict[str, str]:
    fields = {}
    for row, (description, quantity, price, taxable, _amount) in enumerate(LINES):
        fields[f"lines-{row}-description"] = description
        fields[f"lines-{row}-quantity"] = quantity
        fields[f"lines-{row}-unit_price"] = price
        fields[f"lines-{row}-taxable"] = "y" if taxable else "false"
    return fields


def _id_in(page: str) -> int:
    return int(urlsplit(page).path.rsplit("/", 1)[-1])


# --- The books ----------------------------------------------------------------------------------


def _books(stack: Stack, realm_id: str) -> Books:
    address = f"{stack.simulator_url}/_simulator/books/{realm_id}"
    answer = requests.get(address, timeout=10)
    answer.raise_for_status()
    books: Books = json.loads(answer.text, parse_float=Decimal, parse_int=Decimal)
    return books


def _await_arrival(stack: Stack, realm_id: str, before: Books) -> Books:
    """What was added to the books since `before`, once the last payment has arrived."""
    deadline = time.monotonic() + PATIENCE
    while True:
        books = _books(stack, realm_id)
        new = {kind: _without(objects, before.get(kind, [])) for kind, objects in books.items()}
        if len(new.get("Payment", [])) >= len(PAYMENTS) or time.monotonic() > deadline:
            return new
        time.sleep(0.02)


def _without(objects: list[dict[str, Any]], known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ids = {one["Id"] for one in known}
    return [one for one in objects if one["Id"] not in ids]


def _judge(books: Books) -> list[Check]:
    customers, invoices = books.get("Customer", []), books.get("Invoice", [])
    payments = sorted(books.get("Payment", []), key=lambda one: -Decimal(one["TotalAmt"]))
    checks = [
        Check("customers", CUSTOMER, _listed(one["DisplayName"] for one in customers)),
        Check("invoices", "1", str(len(invoices))),
        Check(
            "payments",
            _listed(_money(sum_) for _, sum_ in PAYMENTS),
            _listed(_money(one["TotalAmt"]) for one in payments),
        ),
    ]
    if not (customers and invoices):
        return checks
    customer_id, invoice = customers[0]["Id"], invoices[0]
    lines = [line for line in invoice["Line"] if line["DetailType"] == "SalesItemLineDetail"]
    off = [line for line in invoice["Line"] if line["DetailType"] == "DiscountLineDetail"]
    paid = [
        link["TxnId"]
        for payment in payments
        for line in payment["Line"]
        for link in line["LinkedTxn"]
    ]
    return [
        *checks,
        Check("invoice's customer", customer_id, invoice["CustomerRef"]["value"]),
        Check("invoice's lines", _listed(map(_line, LINES)), _listed(map(_line_there, lines))),
        Check("invoice's discount", str(DISCOUNT), _listed(_money(one["Amount"]) for one in off)),
        Check("invoice's tax", str(TAX), _money(invoice["TxnTaxDetail"]["TotalTax"])),
        Check("invoice's total", str(TOTAL), _money(invoice["TotalAmt"])),
        Check("invoice's balance", "0.00", _money(invoice["Balance"])),
        Check("payments are for", _listed([invoice["Id"]] * len(PAYMENTS)), _listed(paid)),
    ]


def _judge_pages(browser: Browser, pages: list[str]) -> list[Check]:
    checks = []
    for page in pages:
        browser.open(page)
        state = "In QuickBooks" if "In QuickBooks" in browser.text else "something else"
        checks.append(Check(f"{urlsplit(page).path} says", "In QuickBooks", state))
    return checks


def _line(line: tuple[str, str, str, bool, str]) -> str:
    description, quantity, price, _taxable, amount = line
    return f"{description}: {Decimal(quantity):f} × {_money(Decimal(price))} = {amount}"


def _line_there(line: Mapping[str, Any]) -> str:
    detail = line["SalesItemLineDetail"]
    quantity, price = Decimal(detail["Qty"]).normalize(), _money(detail["UnitPrice"])
    return f"{line['Description']}: {quantity:f} × {price} = {_money(line['Amount'])}"


def _money(amount: Decimal) -> str:
    return f"{Decimal(amount):.2f}"


def _listed(things: Any) -> str:
    return ", ".join(str(thing) for thing in things)


# --- What is printed ----------------------------------------------------------------------------


def _json(outcome: Outcome) -> str:
    checks = [asdict(check) | {"ok": check.holds} for check in outcome.checks]
    summary = {"ok": outcome.holds, "seconds_to_arrive": outcome.seconds_to_arrive}
    return json.dumps(summary | {"checks": checks}, ensure_ascii=False)


def _table(outcome: Outcome) -> str:
    width = max(len(check.what) for check in outcome.checks)
    rows = [""]
    for check in outcome.checks:
        mark = "✓" if check.holds else "✗"
        rows.append(f"{mark} {check.what:{width}}  {check.found or 'none'}")
        if not check.holds:
            rows.append(f"  {'expected':{width}}  {check.expected}")
    rows.append(f"\nIn QuickBooks {outcome.seconds_to_arrive} s after the last button was pressed.")
    return "\n".join(rows)


def _silent(_line: str) -> None: ...


if __name__ == "__main__":
    sys.exit(main())
