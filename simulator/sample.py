"""Craig's Design and Landscaping Services: the well-known sample company, with a summer's work."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from simulator.books import Books
from simulator.clock import PACIFIC
from simulator.documents import Document, Json, money, number_of
from simulator.operations import save
from simulator.schema import SCHEMAS
from simulator.seeding import Seeds, custom_flag, rows
from simulator.store import Company, World

EMPLOYEES = (("54", "John", "Johnson", True), ("55", "Emily", "Platt", False))
LAST_TRANSACTION = 145
RECORDED_WITHOUT_TAX_CODE = "1"  # Amy, in recorded traffic


def seed_craig(world: World, company: Company) -> None:
    seeds = Seeds(world, company)
    for row in rows("craig-customers"):
        _seed_customer(seeds, row)
    for row in rows("craig-vendors"):
        _seed_vendor(seeds, row)
    for object_id, given, family, active in EMPLOYEES:
        name = f"{given} {family}"
        employee: Document = {
            "BillableTime": False,
            "GivenName": given,
            "FamilyName": family,
            "DisplayName": name if active else f"{name} (deleted)",
            "PrintOnCheckName": name,
            "Active": active,
        }
        seeds.put("Employee", object_id, employee, "names")
    preferences = company.all("Preferences")["1"]
    crew: Document = {"Name": "SalesFormsPrefs.SalesCustomName1", "Type": "StringType"}
    custom: list[Json] = [
        {"CustomField": [custom_flag(number, number == 1) for number in range(1, 4)]},
        {"CustomField": [{**crew, "StringValue": "Crew #"}]},
    ]
    forms: Document = {**company.preference("SalesFormsPrefs"), "CustomField": custom}
    world.put(company, "Preferences", {**preferences, "SalesFormsPrefs": forms})
    _seed_transactions(world, company)
    fees = company.all("Account")["5"]
    name = "Fees Billed (deleted)"
    inactive: Document = {"Name": name, "FullyQualifiedName": name, "Active": False}
    world.put(company, "Account", {**fees, **inactive, "SyncToken": "1"})


def _seed_vendor(seeds: Seeds, row: dict[str, str]) -> None:
    name = row["name"]
    values: Document = {
        "Balance": 0,
        "Vendor1099": False,
        "CurrencyRef": seeds.currency,
        "DisplayName": name,
        "PrintOnCheckName": name.removesuffix(" (deleted)"),
        "Active": not name.endswith(" (deleted)"),
    }
    if row["number"]:
        values["AcctNum"] = row["number"]
    if row["phone"]:
        values["PrimaryPhone"] = {"FreeFormNumber": row["phone"]}
    if row["line"]:
        values["BillAddr"] = _address(seeds, row)
        values["TermRef"] = {"value": "3"}
    seeds.put("Vendor", row["id"], values, "names")


def _address(seeds: Seeds, row: dict[str, str]) -> Document:
    address_id = int(row["id"]) + 1
    seeds.world.skip_ids(seeds.company, "addresses", address_id)
    return {
        "Id": str(address_id),
        "Line1": row["line"],
        "City": row["city"],
        "CountrySubDivisionCode": row["state"],
        "PostalCode": row["zip"],
        "Lat": "INVALID",
        "Long": "INVALID",
    }


def _seed_customer(seeds: Seeds, row: dict[str, str]) -> None:
    above = seeds.company.get("Customer", row["parent"])
    name = row["name"]
    values: Document = {"Taxable": row["taxable"] == "true"}
    if row["line"]:
        values["BillAddr"] = values["ShipAddr"] = _address(seeds, row)
    values |= {"Job": above is not None, "BillWithParent": False}
    if above:
        values |= {"ParentRef": {"value": row["parent"]}, "Level": 1}
    values |= {
        "Balance": 0,
        "BalanceWithJobs": 0,
        "CurrencyRef": seeds.currency,
        "PreferredDeliveryMethod": "Print",
        "GivenName": row["given"],
        "FamilyName": row["family"],
        "FullyQualifiedName": f"{above['FullyQualifiedName']}:{name}" if above else name,
        "CompanyName": row["firm"],
        "DisplayName": name,
        "PrintOnCheckName": row["firm"] or name,
        "Active": True,
    }
    if row["taxable"] == "true" and row["id"] != RECORDED_WITHOUT_TAX_CODE:
        values["DefaultTaxCodeRef"] = {"value": "2"}
    if row["phone"]:
        values["PrimaryPhone"] = {"FreeFormNumber": row["phone"]}
    if row["email"]:
        values["PrimaryEmailAddr"] = {"Address": row["email"]}
    kept: Document = {key: value for key, value in values.items() if value != ""}
    seeds.put("Customer", row["id"], kept, "names")


def _seed_transactions(world: World, company: Company) -> None:
    """Through the normal operations, in the order of their ids, with the clock set back."""
    offset = world.clock.offset
    books = Books(world, company)
    told = [*rows("craig-transactions"), *rows("craig-bills")]
    for row in sorted(told, key=lambda row: int(row["id"])):
        noon = datetime.fromisoformat(f"{row['date']}T12:00:00").replace(tzinfo=PACIFIC)
        world.clock.offset = noon.timestamp() - world.clock.source()
        company.sequences["transactions"] = int(row["id"]) - 1
        body: Document = {"TxnDate": row["date"]}
        if "vendor" in row:
            save(books, SCHEMAS["Bill"], body | _bill_body(company, row))
            _owe(world, company, row)
            continue
        if row["customer"]:
            body["CustomerRef"] = {"value": row["customer"]}
        is_payment = row["entity"] == "Payment"
        body |= _payment_body(row) if is_payment else _form_body(company, row)
        save(books, SCHEMAS[row["entity"]], body)
    _link_estimate(world, company)
    world.clock.offset = offset
    world.skip_ids(company, "transactions", LAST_TRANSACTION)


def _payment_body(row: dict[str, str]) -> Document:
    amount = Decimal(row["amount"])
    body: Document = {"TotalAmt": amount, "PaymentMethodRef": {"value": row["method"]}}
    if row["reference"]:
        body["PaymentRefNum"] = row["reference"]
    if row["invoice"]:
        link: Document = {"TxnId": row["invoice"], "TxnType": "Invoice"}
        body["Line"] = [{"Amount": amount, "LinkedTxn": [link]}]
    return body


def _bill_body(company: Company, row: dict[str, str]) -> Document:
    account = company.all("Account")[row["account"]]
    vendor = company.all("Vendor")[row["vendor"]]
    detail: Document = {
        "AccountRef": {"value": row["account"], "name": account["FullyQualifiedName"]},
        "BillableStatus": "NotBillable",
        "TaxCodeRef": {"value": "NON"},
    }
    line: Document = {
        "Description": row["words"],
        "Amount": Decimal(row["amount"]),
        "DetailType": "AccountBasedExpenseLineDetail",
        "AccountBasedExpenseLineDetail": detail,
    }
    body: Document = {
        "DueDate": row["due"],
        "VendorRef": {"value": row["vendor"], "name": vendor["DisplayName"]},
        "APAccountRef": {"value": "33", "name": "Accounts Payable (A/P)"},
        "Line": [line],
    }
    return body | ({"DocNumber": row["number"]} if row["number"] else {})


def _owe(world: World, company: Company, row: dict[str, str]) -> None:
    vendor = company.all("Vendor")[row["vendor"]]
    balance = money(number_of(vendor, "Balance") + Decimal(row["amount"]))
    world.put(company, "Vendor", {**vendor, "Balance": balance})


def _link_estimate(world: World, company: Company) -> None:
    """An estimate that was accepted and billed; both documents refer to each other."""
    estimate, invoice = company.all("Estimate")["100"], company.all("Invoice")["130"]
    link: Document = {"TxnId": "130", "TxnType": "Invoice"}
    back: Document = {"TxnId": "100", "TxnType": "Estimate"}
    world.put(company, "Estimate", {**estimate, "TxnStatus": "Closed", "LinkedTxn": [link]})
    world.put(company, "Invoice", {**invoice, "LinkedTxn": [back]})


def _form_body(company: Company, row: dict[str, str]) -> Document:
    quantity, price = Decimal(row["quantity"]), Decimal(row["price"])
    item = company.all("Item")[row["item"]]
    words: Document = {"Description": item["Description"]} if "Description" in item else {}
    line: Document = {
        **words,
        "Amount": money(quantity * price),
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {
            "ItemRef": {"value": row["item"]},
            "UnitPrice": price,
            "Qty": quantity,
            "TaxCodeRef": {"value": "TAX" if row["taxed"] else "NON"},
        },
    }
    body: Document = {"DocNumber": row["number"], "Line": [line]}
    if row["taxed"]:
        body["TxnTaxDetail"] = {"TxnTaxCodeRef": {"value": "2"}}
    return body
