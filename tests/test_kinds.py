"""Documents: exact money, clean text, and nothing of ours that QuickBooks would refuse."""

import json
from contextlib import suppress
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import Json
from models.sales import Record, RecordType
from outbox.company import Remote
from quickbooks import kinds
from quickbooks.cleaning import addresses, clean_line, clean_name, clean_text, latin, loses_letters
from quickbooks.documents import Document, Missing, NotWritable, changed, dumps, sparse
from quickbooks.kinds import customer, item, payment

CENT = Decimal("0.01")
LEAD = Record(RecordType.LEAD, 1)
PRODUCT = Record(RecordType.PRODUCT, 2)
INVOICE = Record(RecordType.INVOICE, 3)
LINKS = {LEAD: Remote("58", "0"), PRODUCT: Remote("11", "0"), INVOICE: Remote("130", "0")}
SETTINGS: Json = {
    "income_account_id": "79",
    "fallback_item_id": "99",
    "payment_methods": {"card": "3", "ach": "8"},
    "deposit_accounts": {"card": "35", "ach": None},
    "numbers": "ours",
    "tax": {"mode": "manual", "code_id": "2"},
    "tax_codes": [
        {"id": "2", "name": "California", "rates": [{"id": "3", "percent": "8"}]},
        {
            "id": "3",
            "name": "Tucson",
            "rates": [{"id": "1", "percent": "7.1"}, {"id": "2", "percent": "2"}],
        },
    ],
}


def a_lead(**fields: Any) -> Json:
    nothing = dict.fromkeys(
        "given_name family_name company_name email phone street city state postal_code".split(), ""
    )
    name: Json = {"name": "Green Lawn Co", "quickbooks_name": None, "needs": []}
    return {**name, **nothing, **fields}


def a_line(quantity: str = "1", price: str = "100", **fields: Any) -> Json:
    amount = (Decimal(quantity) * Decimal(price)).quantize(CENT, ROUND_HALF_UP)
    return {
        "product_id": None,
        "product_name": None,
        "description": "Work",
        "quantity": quantity,
        "unit_price": price,
        "amount": str(amount),
        "taxable": False,
        **fields,
    }


def an_invoice(*lines: Json, tax_rate: str = "0", **fields: Any) -> Json:
    lines = lines or (a_line(),)
    subtotal = sum((Decimal(line["amount"]) for line in lines), Decimal("0.00"))
    taxable = sum((Decimal(line["amount"]) for line in lines if line["taxable"]), Decimal(0))
    tax = (taxable * Decimal(tax_rate) / 100).quantize(CENT, ROUND_HALF_UP)
    products = {line["product_id"] for line in lines if line["product_id"] is not None}
    return {
        "needs": [
            {"type": "lead", "id": fields.get("lead_id", 1)},
            *({"type": "product", "id": id_} for id_ in sorted(products)),
        ],
        "lead_id": 1,
        "lead_name": "Green Lawn Co",
        "number": "1042",
        "issued_on": "2026-11-18",
        "due_on": "2026-12-18",
        "memo": "",
        "mark": "DH-ABCDEFGHIJKL",
        "tax_rate": tax_rate,
        "subtotal": str(subtotal),
        "tax_amount": str(tax),
        "total": str(subtotal + tax),
        "lines": list(lines),
        **fields,
    }


def a_payment(amount: str, **fields: Any) -> Json:
    return {
        "needs": [{"type": "lead", "id": 1}, {"type": "invoice", "id": 3}],
        "invoice_id": 3,
        "invoice_number": "1042",
        "lead_id": 1,
        "amount": amount,
        "invoice_total": "100.00",
        "paid_before": "0",
        "method": "card",
        "received_on": "2026-11-20",
        "note": "",
        "mark": "DH-MNOPQRSTUVWX",
        "refunded_amount": "0.00",
        **fields,
    }


def customer_of(payload: Json) -> Document:
    return customer.document(payload, {}, {})


def invoice(payload: Json, **settings: Any) -> Any:
    return kinds.invoice.document(payload, LINKS, {**SETTINGS, **settings})


# --- Money --------------------------------------------------------------------------------------


def test_rule_15_numbers_are_written_digit_by_digit() -> None:
    document = {"a": Decimal("100.00"), "b": [Decimal("1E+2"), Decimal("0.1")], "c": True, "d": 1}
    assert dumps(document) == '{"a":100.00,"b":[100,0.1],"c":true,"d":1}'
    with pytest.raises(TypeError):
        dumps({"a": 0.1})


quantities = st.decimals(Decimal("-9999"), Decimal("99999"), places=4)
prices = st.decimals(Decimal("-9999"), Decimal("99999"), places=4)


@settings(max_examples=500)
@given(quantities, prices)
def test_rule_15_a_line_never_contradicts_quickbooks_arithmetic(
    quantity: Decimal, price: Decimal
) -> None:
    line = a_line(str(quantity), str(price))
    if Decimal(line["amount"]) < 0:
        line["amount"] = str(abs(Decimal(line["amount"])))  # a total below zero is refused before
    sent = invoice(an_invoice(line))["Line"][0]
    assert sent["Amount"] == Decimal(line["amount"])
    detail = sent["SalesItemLineDetail"]
    if "Qty" in detail:
        exact = detail["Qty"] * detail["UnitPrice"]
        for rounding in ("ROUND_HALF_UP", "ROUND_HALF_EVEN", "ROUND_HALF_DOWN"):
            assert exact.quantize(CENT, rounding) == sent["Amount"]
    else:
        assert " x " in sent["Description"]
    assert json.loads(dumps(sent), parse_float=Decimal)["Amount"] == sent["Amount"]


lines = st.builds(
    lambda quantity, price, taxable: a_line(str(quantity), str(price), taxable=taxable),
    st.decimals(Decimal(0), Decimal(9999), places=4),
    st.decimals(Decimal(0), Decimal(9999), places=4),
    st.booleans(),
)


@settings(max_examples=300)
@given(st.lists(lines, min_size=1, max_size=8), st.sampled_from(["0", "8", "9.1", "8.25"]))
def test_rule_15_lines_and_tax_add_up_to_our_total(lines: list[Json], rate: str) -> None:
    payload = an_invoice(*lines, tax_rate=rate)
    for mode in ("manual", "line"):
        document = invoice(payload, tax={"mode": mode, "code_id": "2"})
        total = sum((line["Amount"] for line in document["Line"]), Decimal(0))
        detail = document.get("TxnTaxDetail", {})
        total += detail.get("TotalTax", Decimal(0))
        assert total == Decimal(payload["total"])
        if "TaxLine" in detail:
            assert sum(line["Amount"] for line in detail["TaxLine"]) == detail["TotalTax"]


def test_a_half_cent_is_sent_as_an_amount_alone() -> None:
    (line,) = invoice(an_invoice(a_line("128.35", "14.50")))["Line"]
    assert line["Amount"] == Decimal("1861.08")
    assert "Qty" not in line["SalesItemLineDetail"]
    assert line["Description"] == "128.35 x 14.50 Work"


@pytest.mark.parametrize(
    ("amount", "fields", "applied"),
    [
        ("40.00", {}, "40.00"),
        ("100.00", {}, "100.00"),
        ("120.00", {}, "100.00"),  # above the balance: the rest stays as credit
        ("40.00", {"paid_before": "80.00"}, "20.00"),
        ("40.00", {"paid_before": "100.00"}, None),
        ("40.00", {"paid_before": "140.00"}, None),
    ],
)
def test_a_payment_puts_on_the_invoice_what_it_still_takes(
    amount: str, fields: Json, applied: str | None
) -> None:
    document = payment.document(a_payment(amount, **fields), LINKS, SETTINGS)
    assert document["TotalAmt"] == Decimal(amount)
    assert [line["Amount"] for line in document["Line"]] == ([Decimal(applied)] if applied else [])


def test_a_payment_goes_by_quickbooks_total_where_it_knows_it() -> None:
    links = {**LINKS, INVOICE: Remote("130", "0", total="99.99")}
    document = payment.document(a_payment("100.00"), links, SETTINGS)
    assert document["Line"][0]["Amount"] == Decimal("99.99")


def test_a_payment_names_its_method_account_and_mark() -> None:
    card = payment.document(a_payment("40.00"), LINKS, SETTINGS)
    assert card["PaymentMethodRef"] == {"value": "3"}
    assert card["DepositToAccountRef"] == {"value": "35"}
    assert card["PaymentRefNum"] == "DH-MNOPQRSTUVWX"
    ach = payment.document(a_payment("40.00", method="ach"), LINKS, SETTINGS)
    assert ach["PaymentMethodRef"] == {"value": "8"}
    assert "DepositToAccountRef" not in ach


def test_a_payment_on_a_voided_invoice_goes_to_a_person() -> None:
    links = {**LINKS, INVOICE: Remote("130", "3", voided=True)}
    with pytest.raises(NotWritable) as refusal:
        payment.document(a_payment("40.00"), links, SETTINGS)
    assert refusal.value.fault.code == "invoice_voided"


# --- Tax ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "rate", "codes"),
    [
        ("manual", "8", ["TAX", "NON"]),
        ("manual", "0", ["NON", "NON"]),  # QuickBooks must not add what we do not charge
        ("automated", "8", ["TAX", "NON"]),
        ("none", "8", ["NON", "NON"]),
        ("line", "8", ["NON", "NON", "NON"]),
    ],
)
def test_each_line_says_whether_it_is_taxed(mode: str, rate: str, codes: list[str]) -> None:
    payload = an_invoice(a_line(taxable=True), a_line(), tax_rate=rate)
    document = invoice(payload, tax={"mode": mode, "code_id": "2"})
    told = [line["SalesItemLineDetail"]["TaxCodeRef"]["value"] for line in document["Line"]]
    assert told == codes
    assert ("TxnTaxDetail" in document) == (mode == "manual" and rate != "0")


@pytest.mark.parametrize(
    ("rate", "code", "shares"),
    [
        ("8", "2", ["8.00"]),
        ("9.1", "3", ["7.10", "2.00"]),
        ("8.25", "2", ["8.25"]),  # no code of this rate: the usual one, with our amount
    ],
)
def test_our_tax_is_told_in_full(rate: str, code: str, shares: list[str]) -> None:
    detail = invoice(an_invoice(a_line(taxable=True), tax_rate=rate))["TxnTaxDetail"]
    assert detail["TxnTaxCodeRef"] == {"value": code}
    assert [line["Amount"] for line in detail["TaxLine"]] == [Decimal(share) for share in shares]
    assert detail["TaxLine"][0]["TaxLineDetail"]["NetAmountTaxable"] == 100


def test_tax_goes_together_with_its_lines_and_is_taken_away_by_name() -> None:
    before = invoice(an_invoice(a_line(taxable=True), tax_rate="8"))
    without_tax = invoice(an_invoice(a_line(taxable=True), tax_rate="0"))
    assert changed(before, without_tax)["TxnTaxDetail"] == {"TotalTax": 0}
    other_text = invoice(an_invoice(a_line(taxable=True, description="Other"), tax_rate="8"))
    assert set(changed(before, other_text)) == {"Line", "TxnTaxDetail"}


# --- What QuickBooks would refuse ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "code", "field"),
    [
        (an_invoice(lines=[]), "no_lines", "lines"),
        (an_invoice(total="-1.00"), "negative_total", "lines"),
        (an_invoice(a_line("1", "99999999999")), "amount_too_large", "lines"),
    ],
)
def test_an_impossible_invoice_names_its_field(payload: Json, code: str, field: str) -> None:
    with pytest.raises(NotWritable) as refusal:
        invoice(payload)
    assert (refusal.value.fault.code, refusal.value.fault.field) == (code, field)


def test_a_zero_invoice_is_fine() -> None:
    assert invoice(an_invoice(a_line("1", "0")))["Line"][0]["Amount"] == 0


def test_rule_11_what_is_not_there_yet_is_named() -> None:
    with pytest.raises(Missing) as missing:
        kinds.invoice.document(an_invoice(), {}, SETTINGS)
    assert missing.value.record == LEAD


def test_lines_without_a_product_need_the_fallback_item() -> None:
    with pytest.raises(NotWritable) as refusal:
        invoice(an_invoice(), fallback_item_id=None)
    assert refusal.value.fault.code == "no_fallback_item"
    with_product = an_invoice(a_line(product_id=2))
    line = invoice(with_product, fallback_item_id=None)["Line"][0]
    assert line["SalesItemLineDetail"]["ItemRef"] == {"value": "11"}


def test_quickbooks_numbers_where_the_company_wants_it() -> None:
    document = invoice(an_invoice(), numbers="quickbooks")
    assert "DocNumber" not in document
    assert document["PrivateNote"] == "DunaHub invoice 1042, DH-ABCDEFGHIJKL"
    assert invoice(an_invoice())["DocNumber"] == "1042"


def test_an_item_needs_an_income_account() -> None:
    product = {"name": "A", "description": "", "unit_price": "75.5000", "taxable": True}
    assert item.document(product, {}, SETTINGS)["UnitPrice"] == Decimal("75.50")
    with pytest.raises(NotWritable) as refusal:
        item.document(product, {}, {})
    assert refusal.value.fault.code == "no_income_account"


# --- Names and text -----------------------------------------------------------------------------


def test_a_lead_becomes_a_customer() -> None:
    document = customer_of(
        a_lead(
            company_name="Green: Lawn",
            email=" green@lawn.example ",
            phone="(415) 555-0142",
            street="1 Main St\nSuite 2",
            city="Fresno",
            state="CA",
            postal_code="93650",
            given_name="Kim",
            family_name="Ng: Owner",
        )
    )
    assert document == {
        "DisplayName": "Green Lawn Co",
        "GivenName": "Kim",
        "FamilyName": "Ng - Owner",
        "CompanyName": "Green: Lawn",
        "PrimaryEmailAddr": {"Address": "green@lawn.example"},
        "PrimaryPhone": {"FreeFormNumber": "(415) 555-0142"},
        "BillAddr": {
            "Line1": "1 Main St",
            "Line2": "Suite 2",
            "City": "Fresno",
            "CountrySubDivisionCode": "CA",
            "PostalCode": "93650",
        },
    }
    assert customer_of(a_lead()) == {"DisplayName": "Green Lawn Co"}


def test_name_parts_are_cleaned_like_names_and_the_cleaning_is_told() -> None:
    lead = a_lead(given_name="Ana\tLucía:", family_name="R" * 120)
    document = customer_of(lead)
    assert (document["GivenName"], document["FamilyName"]) == ("Ana Lucía -", "R" * 100)
    told = customer.cleanings(lead)
    assert [cleaned.field for cleaned in told] == ["given_name", "family_name"]


def test_a_name_part_that_was_emptied_is_cleared_there() -> None:
    before = customer_of(a_lead(given_name="Kim", family_name="Ng"))
    now = customer_of(a_lead(family_name="Ng"))
    assert changed(before, now) == {"GivenName": ""}


def test_an_entry_of_the_first_release_has_no_name_parts() -> None:
    lead = a_lead()
    del lead["given_name"], lead["family_name"]
    assert customer_of(lead) == {"DisplayName": "Green Lawn Co"}
    assert customer.cleanings(lead) == []


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("Amy's Bird & Sons", "Amy's Bird & Sons"),
        ("Green:Lawn", "Green - Lawn"),
        ("Green\tLawn\nCo", "Green Lawn Co"),
        ("  Green   Lawn ", "Green Lawn"),
        ("“Green” – Lawn’s", '"Green" - Lawn\'s'),
        ("Green 🌱 Lawn", "Green Lawn"),
        ("Łukasz Dvořák", "Lukasz Dvorák"),
        ("José Ñuñez", "José Ñuñez"),
        ("Jose\u0301", "José"),
        ("Green\u200bLawn\u202e", "GreenLawn"),
        ("x" * 600, "x" * 500),
    ],
)
def test_names_are_cleaned(name: str, sent: str) -> None:
    assert customer_of(a_lead(name=name))["DisplayName"] == sent
    found = {one.field: one.became for one in customer.cleanings(a_lead(name=name))}
    assert ("name" in found) == (" ".join(name.split()) != sent)


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("billing@oak.example.", "billing@oak.example"),
        ("MAILTO:Billing@oak.example", "Billing@oak.example"),
        ("mailto: b@oak.example", "b@oak.example"),
        ("mailto:f@oak.example,mailto:b@oak.example", "f@oak.example,b@oak.example"),
        ("<b@oak.example>", "b@oak.example"),
        ("b@oak.example;", "b@oak.example"),
        ("b@oak.example<mailto:b@oak.example>", "b@oak.example"),
        ("Oak Inc. <b@oak.example>; 'f@oak.example'", "b@oak.example,f@oak.example"),
        ("b@oak.example\u200b", "b@oak.example"),
        ("\ufeffb@oak.example f@oak.example", "b@oak.example,f@oak.example"),
        ("o'brien@oak.example", "o'brien@oak.example"),
    ],
)
def test_case_r12_what_is_sent_is_what_is_compared(typed: str, sent: str) -> None:
    there = customer_of(a_lead(email=typed))["PrimaryEmailAddr"]
    assert there == {"Address": sent}
    assert ",".join(addresses(typed)) == sent.lower()


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"name": "גינה ירוקה"}, "name_characters", "name"),
        ({"name": "绿色草坪"}, "name_characters", "name"),
        ({"name": "🌱"}, "no_name", "name"),
        ({"name": " : "}, None, None),
        ({"email": "nobody"}, "2210", "email"),
        ({"email": "a@b"}, "2210", "email"),
        ({"email": "jo hn@lawn.example"}, "2210", "email"),
        ({"email": "Oak, Inc. <b@oak.example>"}, "2210", "email"),
        ({"email": "jürgen@lawn.example"}, "2210", "email"),
        ({"email": "a" * 100 + "@lawn.example"}, "2050", "email"),
    ],
)
def test_what_cannot_be_cleaned_names_its_field(
    fields: Json, code: str | None, field: str | None
) -> None:
    if code is None:
        assert customer_of(a_lead(**fields))["DisplayName"] == "-"
        return
    with pytest.raises(NotWritable) as refusal:
        customer_of(a_lead(**fields))
    assert (refusal.value.fault.code, refusal.value.fault.field) == (code, field)


def test_a_name_chosen_for_quickbooks_wins() -> None:
    lead = a_lead(name="גינה ירוקה", quickbooks_name="Green Garden")
    assert customer_of(lead)["DisplayName"] == "Green Garden"


anything = st.text(alphabet=st.characters(codec="utf-8"), max_size=60) | st.text(max_size=60)


@settings(max_examples=500)
@given(anything, st.integers(4, 80))
def test_cleaning_twice_changes_nothing_more_and_fits(text: str, longest: int) -> None:
    for clean in (clean_name, clean_line, clean_text):
        once = clean(text, longest)
        assert clean(once, longest) == once
        assert len(once) <= longest
        assert once.encode("latin-1").decode("latin-1") == once
        assert not loses_letters(once)
        assert "\t" not in once
    assert ":" not in clean_name(text, longest)
    assert "\n" not in clean_line(text, longest)


@given(st.text(alphabet=st.characters(codec="ascii")))
def test_plain_text_is_cleaned_the_same_with_and_without_a_foreign_letter(text: str) -> None:
    """Nearly all texts take the short way through `latin`; it must lead to the same end."""
    assert latin("é" + text) == "é" + latin(text)


@given(anything.filter(str.strip))
def test_every_text_makes_a_document_or_asks_for_another_name(text: str) -> None:
    fields = dict.fromkeys("company_name phone street city state postal_code".split(), text)
    with suppress(NotWritable):
        document = customer_of(a_lead(name=text, **fields))
        assert json.loads(dumps(document)) == document
    document = invoice(an_invoice(a_line(description=text), memo=text))
    assert json.loads(dumps(document), parse_float=Decimal)["TxnDate"] == "2026-11-18"


def test_long_texts_are_cut_where_everyone_sees_it() -> None:
    document = invoice(an_invoice(a_line(description="x" * 10_000), memo="y" * 2000))
    description = document["Line"][0]["Description"]
    assert (len(description), description[-3:]) == (4000, "...")
    assert len(document["CustomerMemo"]["value"]) == 1000
    fields = [
        one.field
        for one in kinds.invoice.cleanings(
            an_invoice(a_line(description="x" * 10_000), memo="y" * 2000)
        )
    ]
    assert fields == ["memo", "lines"]


def test_a_long_street_keeps_to_five_lines_and_two_thousand_characters() -> None:
    street = "\n".join("street " + "x" * 480 for _ in range(9))
    address = customer_of(a_lead(street=street))["BillAddr"]
    assert set(address) <= {f"Line{n}" for n in range(1, 6)}
    assert sum(map(len, address.values())) <= 2000


# --- Updates ------------------------------------------------------------------------------------


def test_an_update_says_only_what_changed_and_clears_what_went() -> None:
    before = customer_of(a_lead(email="a@lawn.example", phone="1", city="Fresno"))
    now = customer_of(a_lead(email="b@lawn.example"))
    assert changed(before, now) == {
        "PrimaryEmailAddr": {"Address": "b@lawn.example"},
        "PrimaryPhone": {},
        "BillAddr": {},
    }
    assert changed(now, now) == {}
    assert sparse(Remote("58", "3"), {"CompanyName": ""}) == {
        "Id": "58",
        "SyncToken": "3",
        "sparse": True,
        "CompanyName": "",
    }
