"""Sales tax: manual, automated, in Canada; and credit that QuickBooks applies by itself."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from simulator.documents import Document, part_of, parts_of, ref_of, text_of
from simulator.seed import ERABLE, RIVERA
from simulator.testing import ApiClient, SimulatorHandle


@pytest.fixture
def api(simulator: SimulatorHandle) -> Iterator[ApiClient]:
    client = simulator.client(RIVERA)
    yield client
    client.close()


def customer(api: ApiClient, state: str = "CA", **values: object) -> str:
    body = {"DisplayName": "Nora", "ShipAddr": {"CountrySubDivisionCode": state}, **values}
    return text_of(api.post("customer", body).object("Customer"), "Id")


def invoice(api: ApiClient, customer_id: str, codes: list[str], **values: object) -> Document:
    lines = [
        {
            "Amount": 100,
            "DetailType": "SalesItemLineDetail",
            "SalesItemLineDetail": {"ItemRef": {"value": "4"}, "TaxCodeRef": {"value": code}},
        }
        for code in codes
    ]
    body = {"CustomerRef": {"value": customer_id}, "Line": lines, **values}
    return api.post("invoice", body).object("Invoice")


def tax(document: Document) -> object:
    return part_of(document, "TxnTaxDetail").get("TotalTax")


def test_manual_tax_needs_its_code(api: ApiClient) -> None:
    nora = customer(api)
    assert tax(invoice(api, nora, ["TAX"])) == 0
    by_code = {"TxnTaxDetail": {"TxnTaxCodeRef": {"value": "2"}}}
    made = invoice(api, nora, ["TAX", "NON", "TAX"], **by_code)
    assert (tax(made), made["TotalAmt"]) == (16, 316)
    two_rates = {"TxnTaxDetail": {"TxnTaxCodeRef": {"value": "3"}}}
    made = invoice(api, nora, ["TAX"], **two_rates)
    assert tax(made) == Decimal("9.10")
    assert len(parts_of(part_of(made, "TxnTaxDetail"), "TaxLine")) == 2


def test_a_total_of_tax_without_a_code_is_taken(api: ApiClient) -> None:
    told = {"TxnTaxDetail": {"TotalTax": 7.25}}
    assert invoice(api, customer(api), ["TAX"], **told)["TotalAmt"] == Decimal("107.25")


@pytest.mark.parametrize(
    ("state", "rate"), [("CA", "8"), ("NY", "8.88"), ("TX", "8.25"), ("OR", "0")]
)
def test_automated_tax_goes_by_the_address(
    api: ApiClient, simulator: SimulatorHandle, state: str, rate: str
) -> None:
    simulator.company(RIVERA, PartnerTaxEnabled=True, tax_override_kept=False)
    ours = {"TxnTaxDetail": {"TxnTaxCodeRef": {"value": "3"}, "TotalTax": 1}}
    assert tax(invoice(api, customer(api, state), ["TAX"], **ours)) == Decimal(rate)


def test_an_exempt_customer_pays_none(api: ApiClient, simulator: SimulatorHandle) -> None:
    simulator.company(RIVERA, PartnerTaxEnabled=True)
    assert tax(invoice(api, customer(api, Taxable=False), ["TAX"])) == 0


def test_a_company_without_sales_tax_ignores_it(api: ApiClient, simulator: SimulatorHandle) -> None:
    simulator.company(RIVERA, UsingSalesTax=False)
    by_code = {"TxnTaxDetail": {"TxnTaxCodeRef": {"value": "2"}}}
    made = invoice(api, customer(api), ["TAX"], **by_code)
    assert "TxnTaxDetail" not in made
    assert made["TotalAmt"] == 100


def test_a_discount_comes_before_tax_when_asked(api: ApiClient) -> None:
    nora = customer(api)
    discount = {
        "DetailType": "DiscountLineDetail",
        "DiscountLineDetail": {"PercentBased": True, "DiscountPercent": 10},
    }
    line = {
        "Amount": 100,
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"TaxCodeRef": {"value": "TAX"}},
    }
    body = {
        "CustomerRef": {"value": nora},
        "Line": [line, discount],
        "TxnTaxDetail": {"TxnTaxCodeRef": {"value": "2"}},
    }
    made = api.post("invoice", body).object("Invoice")
    assert [each["DetailType"] for each in parts_of(made, "Line")] == [
        "SalesItemLineDetail",
        "SubTotalLineDetail",
        "DiscountLineDetail",
    ]
    assert (tax(made), made["TotalAmt"]) == (8, 98)
    made = api.post("invoice", {**body, "ApplyTaxAfterDiscount": True}).object("Invoice")
    assert (tax(made), made["TotalAmt"]) == (Decimal("7.20"), Decimal("97.20"))


def test_canada_taxes_line_by_line(simulator: SimulatorHandle) -> None:
    api = simulator.client(ERABLE)
    nora = customer(api, "QC")
    made = invoice(api, nora, ["6", "3"])
    assert ref_of(made, "CurrencyRef") == "CAD"
    assert (tax(made), made["TotalAmt"]) == (Decimal("14.98"), Decimal("214.98"))
    inclusive = invoice(api, nora, ["4"], GlobalTaxCalculation="TaxInclusive")
    assert (tax(inclusive), inclusive["TotalAmt"]) == (Decimal("4.76"), 100)
    missing = {"CustomerRef": {"value": nora}, "Line": [{"Amount": 1, "SalesItemLineDetail": {}}]}
    answer = api.post("invoice", missing)
    assert answer.code == "6000"
    assert "TPS/TVH" in str(answer.error["detail"])
    api.close()


def test_credit_finds_its_own_way_when_switched_on(
    api: ApiClient, simulator: SimulatorHandle
) -> None:
    nora = customer(api)
    ahead = api.post("payment", {"TotalAmt": 30, "CustomerRef": {"value": nora}})
    payment_id = text_of(ahead.object("Payment"), "Id")
    assert invoice(api, nora, ["NON"])["Balance"] == 100
    simulator.company(RIVERA, AutoApplyCredit=True)
    made = invoice(api, nora, ["NON"])
    assert made["Balance"] == 70
    assert made["LinkedTxn"] == [{"TxnId": payment_id, "TxnType": "Payment"}]
    assert api.get(f"payment/{payment_id}").object("Payment")["UnappliedAmt"] == 0
    simulator.company(RIVERA, AutoApplyPayments=True)
    more = api.post("payment", {"TotalAmt": 150, "CustomerRef": {"value": nora}})
    assert more.object("Payment")["UnappliedAmt"] == 0
    assert api.get(f"customer/{nora}").object("Customer")["Balance"] == 20


def test_an_invoice_made_smaller_frees_what_was_paid(api: ApiClient) -> None:
    nora = customer(api)
    made = invoice(api, nora, ["NON", "NON"])
    link = {"TxnId": made["Id"], "TxnType": "Invoice"}
    body = {
        "TotalAmt": 200,
        "CustomerRef": {"value": nora},
        "Line": [{"Amount": 200, "LinkedTxn": [link]}],
    }
    payment = api.post("payment", body).object("Payment")
    smaller = invoice(api, nora, ["NON"], Id=made["Id"], SyncToken="1")
    assert (smaller["TotalAmt"], smaller["Balance"]) == (100, 0)
    assert api.get(f"payment/{payment['Id']}").object("Payment")["UnappliedAmt"] == 100
    assert api.get(f"customer/{nora}").object("Customer")["Balance"] == -100
