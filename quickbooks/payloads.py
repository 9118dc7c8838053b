"""Documents for QuickBooks, made from a snapshot, links and settings. Pure functions.

Money and quantities are `Decimal` from the snapshot's strings to the digits in the body. Empty
fields are left out, so that fields in QuickBooks that we do not manage are not cleared.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from languages import N_
from models.base import Json
from models.sales import Record, RecordType
from outbox.company import Fault, Remote
from quickbooks.cleaning import clean_line, clean_name, clean_text, loses_letters

Document = dict[str, Any]

# Lengths from Intuit's API reference: Customer, Item, Invoice, Payment.
NAME_LONGEST = 500
ITEM_NAME_LONGEST = 100
NAME_PART_LONGEST = 100
COMPANY_LONGEST = 100
EMAIL_LONGEST = 100
PHONE_LONGEST = 30
ADDRESS_LINE_LONGEST = 500
ADDRESS_LINES_LONGEST = 2000  # Line1 to Line5 together
CITY_LONGEST = 255
POSTAL_CODE_LONGEST = 30
DESCRIPTION_LONGEST = 4000
NOTE_LONGEST = 4000
MEMO_LONGEST = 1000
NUMBER_LONGEST = 21
REFERENCE_LONGEST = 21  # of a payment: by convention, no limit is documented
AMOUNT_LIMIT = Decimal(10**10)  # a line's amount has ten digits before the decimal point
# for a DocNumber: QuickBooks assigns it, whatever the company's setting
GENERATED = "AUTO_GENERATE"
PRICE_LIMIT = Decimal(99_999_999_999)

ENTITY = {
    RecordType.LEAD: "Customer",
    RecordType.PRODUCT: "Item",
    RecordType.INVOICE: "Invoice",
    RecordType.PAYMENT: "Payment",
    RecordType.REFUND: "RefundReceipt",
}
# What clears a property in a sparse update: {} for objects, "" for texts, both found by others;
# null would mean "not sent".
CLEARED: Document = {
    "GivenName": "",
    "FamilyName": "",
    "CompanyName": "",
    "PrimaryEmailAddr": {},
    "PrimaryPhone": {},
    "BillAddr": {},
    "CustomerMemo": {"value": ""},
    "PrivateNote": "",
    "TxnTaxDetail": {"TotalTax": Decimal(0)},
}
# QuickBooks computes with these together: sending one without the other would restore its own
# result.
_TOGETHER = ("Line", "TxnTaxDetail")


class NotWritable(Exception):
    """QuickBooks would refuse this record, and only a person can change that."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.code)
        self.fault = fault


class Missing(Exception):
    """A record that must be in QuickBooks first has no link."""

    def __init__(self, record: Record) -> None:
        super().__init__(f"{record.type} {record.id}")
        self.record = record


@dataclass(frozen=True)
class Cleaned:
    """A field whose text changes on the way to QuickBooks."""

    field: str
    was: str
    became: str


# --- Bodies -------------------------------------------------------------------------------------


def dumps(value: object) -> str:
    """JSON with every `Decimal` written digit by digit: 100.00 stays 100.00."""
    match value:
        case dict():
            return (
                "{" + ",".join(f"{_quoted(key)}:{dumps(each)}" for key, each in value.items()) + "}"
            )
        case list() | tuple():
            return "[" + ",".join(map(dumps, value)) + "]"
        case Decimal():
            return format(value, "f")
        case float():
            raise TypeError("Money must not become a float.")
        case _:
            return _quoted(value)


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def document(
    record: Record, payload: Json, links: Mapping[Record, Remote], settings: Json
) -> Document:
    """What QuickBooks should have of the record. Raises NotWritable or Missing."""
    match record.type:
        case RecordType.LEAD:
            return customer(payload)
        case RecordType.PRODUCT:
            return item(payload, settings)
        case RecordType.INVOICE:
            return invoice(payload, links, settings)
        case RecordType.PAYMENT:
            return payment(payload, links, settings)
        case RecordType.REFUND:
            return refund_receipt(payload, links, settings)


def sparse(remote: Remote, changes: Document) -> Document:
    """The body of an update that changes nothing but `changes`.

    Without `sparse`, QuickBooks clears every field that is not sent; with an old SyncToken it
    refuses (Intuit's guide, *Basic field definitions*, and each entity's API reference).
    """
    return {"Id": remote.id, "SyncToken": remote.version, "sparse": True, **changes}


def changed(before: Document, now: Document) -> Document:
    """What an update must contain to turn `before` into `now`: new values, and cleared ones."""
    changes = {key: value for key, value in now.items() if before.get(key) != value}
    changes |= {key: CLEARED[key] for key in before if key not in now and key in CLEARED}
    return completed(changes, now, before, {})


def completed(
    changes: Document, document: Document, base: Document, found: Mapping[str, Any]
) -> Document:
    """The changes together with what must be sent along; nothing if there are none.

    Tax that a document no longer has is cleared if it is in QuickBooks, or was sent: otherwise it
    would be added to a tax line.
    """
    if not any(key in changes for key in _TOGETHER):
        return changes
    whole = changes | {key: document[key] for key in _TOGETHER if key in document}
    stands = "TxnTaxDetail" in base or total_tax(found) != 0
    if "TxnTaxDetail" not in document and "Line" in whole and stands:
        whole["TxnTaxDetail"] = CLEARED["TxnTaxDetail"]
    return whole


def total_tax(found: Mapping[str, Any]) -> Decimal:
    """The tax of a document, in dollars; 0 where it tells none."""
    detail = found.get("TxnTaxDetail")
    told = detail.get("TotalTax") if isinstance(detail, dict) else None
    try:
        return Decimal(str(told or 0))
    except InvalidOperation:
        return Decimal(0)


def merged(base: Document, changes: Document) -> Document:
    """The base with the changes applied: cleared properties are removed."""
    whole = {**base, **changes}
    return {key: value for key, value in whole.items() if value != CLEARED.get(key, ...)}


def parsed(text: str | None) -> Document | None:
    """A stored document (`dumps`), with its amounts as `Decimal`."""
    document: Document | None = json.loads(text, parse_float=Decimal) if text else None
    return document


# --- Customers ----------------------------------------------------------------------------------

# Entries of the first release have no name parts.
_NAME_PARTS = {"given_name": "GivenName", "family_name": "FamilyName"}
_EMAIL = re.compile(r"[^@\s,;<>()]+@[^@\s,;<>()]+\.[^@\s,;<>().]+")


def customer(payload: Json) -> Document:
    """A lead as a customer. Its internal notes never leave DunaHub. Raises NotWritable.

    Lengths and the format of e-mail addresses: Intuit's API reference, Customer.
    """
    document: Document = {"DisplayName": customer_name(payload)}
    for field, part in _NAME_PARTS.items():
        if name := clean_name(payload.get(field, ""), NAME_PART_LONGEST):
            document[part] = name
    if company := clean_line(payload["company_name"], COMPANY_LONGEST):
        document["CompanyName"] = company
    if email := payload["email"].strip():
        document["PrimaryEmailAddr"] = {"Address": _judged_email(email)}
    if phone := clean_line(payload["phone"], PHONE_LONGEST):
        document["PrimaryPhone"] = {"FreeFormNumber": phone}
    if address := _address(payload):
        document["BillAddr"] = address
    return document


def customer_name(payload: Json) -> str:
    """The DisplayName: the name a person chose for QuickBooks, or the lead's own.

    At most 500 characters, one line, no colon (Intuit's API reference, Customer), and unique among
    customers, vendors and employees (*Handling common errors*). Raises NotWritable.
    """
    return _judged_name(payload["quickbooks_name"] or payload["name"], NAME_LONGEST)


def _judged_name(name: str, longest: int) -> str:
    if loses_letters(name):
        raise NotWritable(Fault("name_characters", about={"name": name}, field="name"))
    cleaned = clean_name(name, longest)
    if not cleaned:
        raise NotWritable(Fault("no_name", field="name"))
    return cleaned


def _judged_email(email: str) -> str:
    """One address, or several separated by commas, as QuickBooks keeps them in one field."""
    parts = [part for part in re.split(r"[,;\s]+", email.removeprefix("mailto:")) if part]
    if len(parts) > 1:
        email = ",".join(_judged_address(part) for part in parts)
    else:
        email = _judged_address(email.removeprefix("mailto:"))
    if len(email) > EMAIL_LONGEST:
        about = {"label": N_("The e-mail address"), "max": EMAIL_LONGEST}
        raise NotWritable(Fault("2050", about=about, field="email"))
    return email


def _judged_address(email: str) -> str:
    if not email.isascii() or not _EMAIL.fullmatch(email):
        raise NotWritable(Fault("2210", about={"email": email}, field="email"))
    return email


def _address(payload: Json) -> Document:
    street = [clean_line(line, ADDRESS_LINE_LONGEST) for line in payload["street"].splitlines()]
    street = [line for line in street if line]
    if len(street) > 5:
        street = [*street[:4], clean_line(" ".join(street[4:]), ADDRESS_LINE_LONGEST)]
    room = ADDRESS_LINES_LONGEST
    address: Document = {}
    for position, line in enumerate(street, start=1):
        if kept := line[:room].rstrip():
            address[f"Line{position}"] = kept
        room -= len(kept)
    rest = {
        "City": clean_line(payload["city"], CITY_LONGEST),
        "CountrySubDivisionCode": clean_line(payload["state"], CITY_LONGEST),
        "PostalCode": clean_line(payload["postal_code"], POSTAL_CODE_LONGEST),
    }
    return address | {key: value for key, value in rest.items() if value}


# --- Items --------------------------------------------------------------------------------------


def item(payload: Json, settings: Json) -> Document:
    """A product as a service item, without inventory. Raises NotWritable.

    Type and income account are required (Intuit's API reference, Item).
    """
    account = settings.get("income_account_id")
    if not account:
        raise NotWritable(Fault("no_income_account", about={"item": payload["name"]}))
    document: Document = {
        "Name": item_name(payload),
        "Type": "Service",
        "IncomeAccountRef": {"value": account},
        "UnitPrice": shortest(_price(payload["unit_price"])),
        "Taxable": payload["taxable"],
    }
    if description := clean_text(payload["description"], DESCRIPTION_LONGEST):
        document["Description"] = description
    return document


def item_name(payload: Json) -> str:
    """At most 100 characters, one line, no colon (Intuit's API reference, Item).

    Raises NotWritable.
    """
    # Older snapshots have no separate name for QuickBooks.
    return _judged_name(payload.get("quickbooks_name") or payload["name"], ITEM_NAME_LONGEST)


# --- Invoices -----------------------------------------------------------------------------------


def invoice(payload: Json, links: Mapping[Record, Remote], settings: Json) -> Document:
    """An invoice with all its lines; dates as given, amounts in dollars as we computed them.

    All lines, because an update replaces them as a set (Intuit's API reference, Invoice). Raises
    NotWritable or Missing.
    """
    if not payload["lines"]:
        raise NotWritable(Fault("no_lines", field="lines"))
    if Decimal(payload["total"]) < 0:
        raise NotWritable(
            Fault("negative_total", about={"amount": payload["total"]}, field="lines")
        )
    document: Document = {
        "CustomerRef": {"value": linked(links, RecordType.LEAD, payload["lead_id"])}
    }
    if settings.get("numbers") == "generated":
        document["DocNumber"] = GENERATED
    elif carries_our_number(settings):
        document["DocNumber"] = document_number(payload)
    document["TxnDate"] = payload["issued_on"]
    document["DueDate"] = payload["due_on"]
    document["Line"] = _lines(payload, links, settings)
    if tax := _tax_detail(payload, settings):
        document["TxnTaxDetail"] = tax
    if memo := clean_text(payload["memo"], MEMO_LONGEST):
        document["CustomerMemo"] = {"value": memo}
    # Our number and mark, by which the invoice is found whatever number QuickBooks gave it.
    document["PrivateNote"] = f"DunaHub invoice {document_number(payload)}, {payload['mark']}"
    if settings.get("multicurrency"):
        document["CurrencyRef"] = {"value": "USD"}
    return document


def document_number(payload: Json) -> str:
    """Our number as a DocNumber: at most 21 characters (Intuit's API reference, Invoice)."""
    return clean_line(payload["number"], NUMBER_LONGEST)


def carries_our_number(settings: Json) -> bool:
    """False in companies that number their forms themselves, where our number could be taken twice.

    Intuit's API reference, Invoice: don't send a DocNumber if CustomTxnNumbers is off.
    """
    return settings.get("numbers") not in ("quickbooks", "generated")


def linked(links: Mapping[Record, Remote], type_: RecordType, id_: int) -> str:
    """The id of a record's counterpart. Raises Missing."""
    record = Record(type_, id_)
    if record not in links:
        raise Missing(record)
    return links[record].id


def _lines(payload: Json, links: Mapping[Record, Remote], settings: Json) -> list[Document]:
    lines = [_line(line, payload, links, settings) for line in payload["lines"]]
    tax = Decimal(payload["tax_amount"])
    if tax and tax_mode(settings) == "line":
        lines.append(_tax_line(tax, payload, settings))
    return lines


def _line(line: Json, payload: Json, links: Mapping[Record, Remote], settings: Json) -> Document:
    amount = _amount(line["amount"])
    quantity, price = Decimal(line["quantity"]), _price(line["unit_price"])
    description = clean_text(
        line["description"] or line.get("product_name") or "", DESCRIPTION_LONGEST
    )
    detail: Document = {"ItemRef": {"value": _item_of(line, links, settings)}}
    if _quickbooks_agrees(quantity, price, amount):
        detail |= {"Qty": shortest(quantity), "UnitPrice": shortest(price)}
    else:
        asked = f"{shortest(quantity)} x {shortest(price)}"
        description = clean_text(f"{asked} {description}", DESCRIPTION_LONGEST)
    is_taxed = line["taxable"] and taxes_lines(payload, settings)
    detail["TaxCodeRef"] = {"value": "TAX" if is_taxed else "NON"}
    document: Document = {"Amount": amount, "DetailType": "SalesItemLineDetail"}
    if description:
        document["Description"] = description
    return document | {"SalesItemLineDetail": detail}


def _item_of(line: Json, links: Mapping[Record, Remote], settings: Json) -> str:
    if line["product_id"] is not None:
        return linked(links, RecordType.PRODUCT, line["product_id"])
    fallback = settings.get("fallback_item_id")
    if not fallback:
        raise NotWritable(Fault("no_fallback_item", field="lines"))
    return str(fallback)


def _quickbooks_agrees(quantity: Decimal, price: Decimal, amount: Decimal) -> bool:
    """Whether QuickBooks computes the same amount, however it rounds half cents (its fault 6070).

    Otherwise the line is sent as an amount only.
    """
    exact = quantity * price
    nearest = exact.quantize(Decimal("0.01"), ROUND_HALF_UP)
    is_half = abs(exact * 100 % 1) == Decimal("0.5")
    return nearest == amount and not is_half and quantity != 0


def _tax_line(tax: Decimal, payload: Json, settings: Json) -> Document:
    """Sales tax as a separate line, for companies in which QuickBooks computes none."""
    fallback = settings.get("fallback_item_id")
    if not fallback:
        raise NotWritable(Fault("no_fallback_item", field="lines"))
    return {
        "Amount": tax,
        "DetailType": "SalesItemLineDetail",
        "Description": f"Sales tax {shortest(Decimal(payload['tax_rate']), 0)}%",
        "SalesItemLineDetail": {
            "ItemRef": {"value": str(fallback)},
            "TaxCodeRef": {"value": "NON"},
        },
    }


def tax_mode(settings: Json) -> str:
    """none | line | manual | billed | automated: who computes sales tax, and where it stands.

    Of companies with automated sales tax: `billed` sends ours, `automated` leaves it to QuickBooks.
    """
    return str(settings.get("tax", {}).get("mode", "none"))


def taxes_lines(payload: Json, settings: Json) -> bool:
    """Whether lines are marked taxable. Not if we charge no tax: QuickBooks would add some.

    In the US a line has TAX or NON and no other code (Intuit's API reference, Invoice).
    """
    computed = ("manual", "billed", "automated")
    return Decimal(payload["tax_rate"]) > 0 and tax_mode(settings) in computed


def _tax_detail(payload: Json, settings: Json) -> Document | None:
    """Our tax, unless QuickBooks is to compute its own.

    Companies with rates of their own get all of it (code, total and a line for each rate of the
    code), because QuickBooks keeps a total that differs from its own only then. With automated
    sales tax a code and the total are kept, as others have seen, and the code is replaced.
    """
    mode = tax_mode(settings)
    if mode not in ("manual", "billed") or not taxes_lines(payload, settings):
        return None
    tax = _amount(payload["tax_amount"])
    code = _tax_code(payload, settings)
    if code is None:
        return {"TotalTax": tax}
    if mode == "billed":
        return {"TxnTaxCodeRef": {"value": code["id"]}, "TotalTax": tax}
    taxable = sum(
        (Decimal(line["amount"]) for line in payload["lines"] if line["taxable"]), Decimal("0.00")
    )
    return {
        "TxnTaxCodeRef": {"value": code["id"]},
        "TotalTax": tax,
        "TaxLine": [
            {
                "Amount": amount,
                "DetailType": "TaxLineDetail",
                "TaxLineDetail": {
                    "TaxRateRef": {"value": rate["id"]},
                    "PercentBased": True,
                    "TaxPercent": Decimal(rate["percent"]),
                    "NetAmountTaxable": taxable,
                },
            }
            for rate, amount in _shared_out(tax, code["rates"])
        ],
    }


def _tax_code(payload: Json, settings: Json) -> Json | None:
    """The code with the same rate, or else the company's default."""
    codes: Sequence[Json] = settings.get("tax_codes", [])
    codes = [code for code in codes if code["rates"]]
    rate = Decimal(payload["tax_rate"])
    same = [code for code in codes if sum(Decimal(one["percent"]) for one in code["rates"]) == rate]
    usual = [code for code in codes if code["id"] == settings.get("tax", {}).get("code_id")]
    preferred = [code for code in same if code in usual] or same or usual
    if tax_mode(settings) == "billed":
        preferred = preferred or codes  # any: QuickBooks puts its own in its place
    return preferred[0] if preferred else None


def _shared_out(tax: Decimal, rates: Sequence[Json]) -> list[tuple[Json, Decimal]]:
    """The tax divided by the rates of its code, to the cent; the last rate gets the remainder."""
    whole = sum(Decimal(rate["percent"]) for rate in rates) or Decimal(1)
    shares: list[tuple[Json, Decimal]] = []
    left = tax
    for rate in rates[:-1]:
        share = (tax * Decimal(rate["percent"]) / whole).quantize(Decimal("0.01"), ROUND_HALF_UP)
        shares.append((rate, share))
        left -= share
    return [*shares, (rates[-1], left)]


# --- Payments -----------------------------------------------------------------------------------


def payment(payload: Json, links: Mapping[Record, Remote], settings: Json) -> Document:
    """A payment applied to its invoice, in dollars. The excess stays the customer's credit.

    The excess is TotalAmt minus the lines: UnappliedAmt (Intuit's API reference, Payment). Raises
    NotWritable or Missing.
    """
    invoice_id = linked(links, RecordType.INVOICE, payload["invoice_id"])
    billed = links[Record(RecordType.INVOICE, payload["invoice_id"])]
    if billed.voided:
        raise NotWritable(Fault("invoice_voided", about={"invoice": payload["invoice_number"]}))
    method = payload["method"]
    amount = _amount(payload["amount"])
    applied = min(amount, _open_balance(payload, billed))
    document: Document = {
        "CustomerRef": {"value": linked(links, RecordType.LEAD, payload["lead_id"])},
        "TotalAmt": amount,
        "TxnDate": payload["received_on"],
        "PaymentRefNum": payment_reference(payload),
    }
    if method_id := settings.get("payment_methods", {}).get(method):
        document["PaymentMethodRef"] = {"value": method_id}
    if account := deposit_account(payload, settings):
        document["DepositToAccountRef"] = {"value": account}
    if settings.get("multicurrency"):
        document["CurrencyRef"] = {"value": "USD"}
    note = f"Invoice {payload['invoice_number']}. {payload['note']}"
    document["PrivateNote"] = clean_text(note, NOTE_LONGEST)
    document["Line"] = []
    if applied > 0:
        pays = [{"TxnId": invoice_id, "TxnType": "Invoice"}]
        document["Line"] = [{"Amount": applied, "LinkedTxn": pays}]
    return document


def came_by_stripe(payload: Json) -> bool:
    """Whether the money came through Stripe: it is paid out later, less Stripe's fees."""
    return payload.get("through") == "stripe"


def deposit_account(payload: Json, settings: Json) -> str | None:
    """Where the money lands: what came through Stripe in its own account, where one was chosen.

    Bank or Other Current Asset; without one QuickBooks takes Undeposited Funds (Intuit's API
    reference, Payment).
    """
    by_stripe = settings.get("stripe_account_id") if came_by_stripe(payload) else None
    account: str | None = by_stripe or settings.get("deposit_accounts", {}).get(payload["method"])
    return account


def payment_reference(payload: Json) -> str:
    """The payment's mark as its PaymentRefNum, by which it can be found."""
    return str(payload["mark"])[:REFERENCE_LONGEST]


def _open_balance(payload: Json, billed: Remote) -> Decimal:
    """What the invoice can still be paid in QuickBooks: the last
    known balance, minus what we applied since."""
    if billed.balance is not None:
        return max(_cents(billed.balance), Decimal("0.00"))
    total = _cents(billed.total if billed.total is not None else payload["invoice_total"])
    return max(total - _cents(payload["paid_before"]), Decimal("0.00"))


# --- Refunds ------------------------------------------------------------------------------------


def refund_receipt(payload: Json, links: Mapping[Record, Remote], settings: Json) -> Document:
    """A refund as a refund receipt, in dollars: less income, and the invoice stays paid.

    One line of the item for lines without a product, untaxed, so that its total is ours. The
    account is where the money comes from, and must be given (Intuit's API reference,
    RefundReceipt). Raises NotWritable or Missing.
    """
    fallback = settings.get("fallback_item_id")
    if not fallback:
        raise NotWritable(Fault("no_fallback_item"))
    account = refund_account(payload, settings)
    if not account:
        raise NotWritable(Fault("no_refund_account"))
    description = f"Refund, invoice {payload['invoice_number']}"
    detail: Document = {"ItemRef": {"value": str(fallback)}, "TaxCodeRef": {"value": "NON"}}
    document: Document = {
        "CustomerRef": {"value": linked(links, RecordType.LEAD, payload["lead_id"])},
        "TxnDate": payload["refunded_on"],
        "PaymentRefNum": payment_reference(payload),
        "DepositToAccountRef": {"value": account},
        "Line": [
            {
                "Amount": _amount(payload["amount"]),
                "DetailType": "SalesItemLineDetail",
                "Description": description,
                "SalesItemLineDetail": detail,
            }
        ],
    }
    if method_id := settings.get("payment_methods", {}).get(payload["paid_by"]):
        document["PaymentMethodRef"] = {"value": method_id}
    if settings.get("multicurrency"):
        document["CurrencyRef"] = {"value": "USD"}
    mark = f"DunaHub refund, invoice {payload['invoice_number']}, {payload['mark']}"
    document["PrivateNote"] = clean_text(f"{mark}. {payload['note']}", NOTE_LONGEST)
    return document


def refund_account(payload: Json, settings: Json) -> str | None:
    """Where the money comes from: Stripe's own account for what goes back through Stripe, else what
    the owner chose for refunds, else where such payments land."""
    by_stripe = settings.get("stripe_account_id") if came_by_stripe(payload) else None
    chosen: str | None = by_stripe or settings.get("refund_account_id")
    return chosen or settings.get("deposit_accounts", {}).get(payload["paid_by"])


# --- Numbers ------------------------------------------------------------------------------------


def _cents(text: str) -> Decimal:
    return Decimal(text).quantize(Decimal("0.01"), ROUND_HALF_UP)


def _amount(text: str) -> Decimal:
    amount = _cents(text)
    if abs(amount) >= AMOUNT_LIMIT:
        raise NotWritable(
            Fault("amount_too_large", about={"amount": f"${amount:,}"}, field="lines")
        )
    return amount


def _price(text: str) -> Decimal:
    price = Decimal(text)
    if abs(price) > PRICE_LIMIT:
        raise NotWritable(Fault("amount_too_large", about={"amount": f"${price:,}"}, field="lines"))
    return price


def shortest(number: Decimal, places: int = 2) -> Decimal:
    """Without unneeded zeros, but with at least `places` decimals unless it is whole."""
    bare = number.normalize()
    exponent = bare.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= 0:
        return bare.quantize(Decimal(1))
    return (
        bare
        if isinstance(exponent, int) and -exponent >= places
        else number.quantize(Decimal(1).scaleb(-places))
    )


# --- What became different on the way ------------------------------------------------------------


def cleanings(type_: RecordType, payload: Json) -> list[Cleaned]:
    """The fields of a snapshot whose text QuickBooks gets in another form, for people to see."""
    found: list[Cleaned] = []

    def note(field: str, was: str | None, became: str) -> None:
        if was and " ".join(was.split()) != " ".join(became.split()):
            found.append(Cleaned(field, was, became))

    match type_:
        case RecordType.LEAD:
            name = payload["quickbooks_name"] or payload["name"]
            note("name", name, clean_name(name, NAME_LONGEST))
            for field in _NAME_PARTS:
                part = payload.get(field, "")
                note(field, part, clean_name(part, NAME_PART_LONGEST))
            note(
                "company_name",
                payload["company_name"],
                clean_line(payload["company_name"], COMPANY_LONGEST),
            )
            note("phone", payload["phone"], clean_line(payload["phone"], PHONE_LONGEST))
            for field, longest in (
                ("city", CITY_LONGEST),
                ("state", CITY_LONGEST),
                ("postal_code", POSTAL_CODE_LONGEST),
            ):
                note(field, payload[field], clean_line(payload[field], longest))
            address = _address(payload)
            lines = [address.get(f"Line{position}", "") for position in range(1, 6)]
            note("street", payload["street"], " ".join(filter(None, lines)))
        case RecordType.PRODUCT:
            note("name", payload["name"], clean_name(payload["name"], ITEM_NAME_LONGEST))
            note(
                "description",
                payload["description"],
                clean_text(payload["description"], DESCRIPTION_LONGEST),
            )
        case RecordType.INVOICE:
            note("number", payload["number"], document_number(payload))
            note("memo", payload["memo"], clean_text(payload["memo"], MEMO_LONGEST))
            for line in payload["lines"]:
                note(
                    "lines",
                    line["description"],
                    clean_text(line["description"], DESCRIPTION_LONGEST),
                )
        case RecordType.PAYMENT:
            note("note", payload["note"], clean_text(payload["note"], NOTE_LONGEST))
        case RecordType.REFUND:
            note("note", payload["note"], clean_text(payload["note"], NOTE_LONGEST))
    return found
