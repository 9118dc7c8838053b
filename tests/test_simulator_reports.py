"""Reports have the rows that a reader expects, and they agree with the books."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from simulator.documents import Document, number_of, part_of, parts_of, text_of
from simulator.local import LocalCompany, json_of
from simulator.seed import CRAIG
from simulator.testing import ApiClient, running_simulator
from tests.support.local import Time, customer, form, invoice, payment


@pytest.fixture(scope="module")
def api() -> Iterator[ApiClient]:
    with running_simulator() as simulator:
        client = simulator.client(CRAIG)
        yield client
        client.close()


def report(api: ApiClient, name: str, **query: object) -> Document:
    return api.get(f"reports/{name}", **{"end_date": "2026-12-31", **query}).body


def rows(report: Document) -> list[Document]:
    return parts_of(part_of(report, "Rows"), "Row")


def cells(row: Document, inside: str = "") -> list[str]:
    holder = part_of(row, inside) if inside else row
    return [text_of(cell, "value") for cell in parts_of(holder, "ColData")]


def of_group(report: Document, group: str) -> Document:
    return next(row for row in rows(report) if row.get("group") == group)


def test_profit_and_loss_has_sections_and_a_net_income(api: ApiClient) -> None:
    told = report(api, "ProfitAndLoss")
    groups = [row["group"] for row in rows(told)]
    income = Decimal(cells(of_group(told, "Income"), "Summary")[1])
    expenses = Decimal(cells(of_group(told, "Expenses"), "Summary")[1])
    net = Decimal(cells(of_group(told, "NetIncome"), "Summary")[1])

    assert groups == ["Income", "GrossProfit", "Expenses", "NetOperatingIncome", "NetIncome"]
    assert net == income - expenses
    assert expenses == Decimal("1051.64")  # the bills
    assert text_of(part_of(told, "Header"), "ReportName") == "ProfitAndLoss"


def test_a_report_keeps_to_its_dates(api: ApiClient) -> None:
    may = report(api, "ProfitAndLoss", start_date="2026-05-01", end_date="2026-05-31")
    june = report(api, "ProfitAndLoss", start_date="2026-06-01", end_date="2026-06-30")

    assert cells(of_group(may, "Expenses"), "Summary") == ["Total Expenses", "103.55"]
    assert cells(of_group(june, "Expenses"), "Summary") == ["Total Expenses", "873.23"]
    assert api.get("reports/ProfitAndLoss", start_date="soon").code == "2060"


@pytest.mark.parametrize(
    ("by", "first", "count"),
    [
        ("Days", ("2026-06-29", "2026-06-29"), 4),
        ("Month", ("2026-06-29", "2026-06-30"), 2),
        ("Year", ("2026-06-29", "2026-07-02"), 1),
        ("Total", None, 0),
    ],
)
def test_profit_and_loss_has_a_column_for_each_period(
    api: ApiClient, by: str, first: tuple[str, str] | None, count: int
) -> None:
    dates = {"start_date": "2026-06-29", "end_date": "2026-07-02"}
    told = report(api, "ProfitAndLoss", summarize_column_by=by, **dates)
    columns = parts_of(part_of(told, "Columns"), "Column")
    keys = [
        {text_of(each, "Name"): text_of(each, "Value") for each in parts_of(column, "MetaData")}
        for column in columns
    ]
    net = cells(of_group(told, "NetIncome"), "Summary")[1:]

    assert len(columns) == count + 2
    if first:
        assert (keys[1]["StartDate"], keys[1]["EndDate"]) == first
        assert sum(map(Decimal, net[:-1])) == Decimal(net[-1])


def test_what_is_owned_is_what_is_owed(api: ApiClient) -> None:
    owned, owed = (cells(row, "Summary")[1] for row in rows(report(api, "BalanceSheet")))
    total = cells(rows(report(api, "TrialBalance"))[-1], "Summary")

    assert owned == owed
    assert total[1] == total[2]


@pytest.mark.parametrize(
    ("name", "entity"), [("CustomerBalance", "Customer"), ("VendorBalance", "Vendor")]
)
def test_balances_are_those_of_the_names(api: ApiClient, name: str, entity: str) -> None:
    found = api.query(f"select * from {entity} maxresults 1000")
    balances = {
        text_of(each, "DisplayName"): number_of(each, "Balance")
        for each in parts_of(found, entity)
        if number_of(each, "Balance")
    }
    told = {row[0]: Decimal(row[1]) for row in map(cells, rows(report(api, name))[:-1])}

    assert told == balances


@pytest.mark.parametrize("name", ["AgedReceivables", "AgedPayables"])
def test_ages_add_up(api: ApiClient, name: str) -> None:
    for row in map(cells, rows(report(api, name, report_date="2026-07-31"))[:-1]):
        assert sum(map(Decimal, row[1:-1])) == Decimal(row[-1])


def test_every_row_has_a_cell_for_each_column(api: ApiClient) -> None:
    for name in ("TransactionList", "GeneralLedger", "AccountList", "AgedReceivables"):
        told = report(api, name)
        width = len(parts_of(part_of(told, "Columns"), "Column"))
        for row in rows(told):
            inside = [row, *rows(row), part_of(row, "Summary"), part_of(row, "Header")]
            widths = {len(cells(each)) for each in inside if "ColData" in each}
            assert widths == {width}, (name, row)


def test_a_report_that_is_not_made_says_so(api: ApiClient) -> None:
    told = report(api, "TaxSummary")
    assert told["Rows"] == {}
    assert "'NoReportData', 'Value': 'true'" in str(told)


def test_a_void_and_a_credit_leave_the_books_balanced() -> None:
    company = LocalCompany(Time())
    ana = customer(company)
    voided, paid = invoice(company, ana), invoice(company, ana)
    payment(company, ana, 40, paid)
    company.handle("POST", "creditmemo", {}, form(ana, 30))
    company.bookkeeper.void("Invoice", voided)
    told = json_of(company.handle("GET", "reports/BalanceSheet"))

    assert [cells(row, "Summary")[1] for row in rows(told)] == ["70.00", "70.00"]


# The sample company ------------------------------------------------------------------------------


def test_the_sample_company_has_more_than_invoices(api: ApiClient) -> None:
    counts = {
        entity: api.query(f"select count(*) from {entity}")["totalCount"]
        for entity in ("Vendor", "Bill", "CreditMemo", "Estimate")
    }
    assert counts == {"Vendor": 31, "Bill": 6, "CreditMemo": 1, "Estimate": 2}
    numbered = parts_of(api.query("select * from Vendor where AcctNum = '39765'"), "Vendor")
    assert [each["Id"] for each in numbered] == ["38"]
    estimate = api.get("estimate/100").object("Estimate")
    assert estimate["LinkedTxn"] == [{"TxnId": "130", "TxnType": "Invoice"}]
    line = parts_of(api.get("invoice/27").object("Invoice"), "Line")[0]
    assert line["Description"] == "Rock Fountain"
    assert api.get("customer/5").object("Customer")["DefaultTaxCodeRef"] == {"value": "2"}
