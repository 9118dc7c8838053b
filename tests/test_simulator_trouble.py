"""Problems that people report of the real QuickBooks, each reproduced in one line."""

from __future__ import annotations

from decimal import Decimal

import pytest

from simulator.documents import Document, number_of, part_of, parts_of, ref_of, text_of
from simulator.local import LocalCompany, json_of
from simulator.refusals import BY_CODE, ROWS
from tests.support.local import (
    Time,
    balance,
    customer,
    fault_of,
    form,
    found,
    invoice,
    made,
    payment,
)

INTERNAL = "Business Validation Error: Unexpected Internal Error. (-30003)"


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def company(time: Time) -> LocalCompany:
    return LocalCompany(time, seed=1)


# Answers that do not say what happened -----------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "detail"),
    [({"code": "10000"}, "System Failure Error"), ({"code": "6000", "detail": INTERNAL}, INTERNAL)],
)
def test_an_internal_error_is_told_of_work_that_was_done(
    company: LocalCompany, fault: Document, detail: str
) -> None:
    ana = customer(company)
    company.fault(match={"entity": "Invoice", "nth": 1}, do={"fault": fault, "after_commit": True})
    refused = company.handle("POST", "invoice", {"requestid": "a"}, form(ana))

    assert refused.status == 400
    assert fault_of(refused)["code"] == fault["code"]
    assert detail in str(fault_of(refused)["detail"])
    assert len(company.all("Invoice")) == 1
    again = company.handle("POST", "invoice", {"requestid": "a"}, form(ana))
    assert made(again, "Invoice")["Id"] == company.all("Invoice")[0]["Id"]


@pytest.mark.parametrize(("which", "told"), [({}, 3), ({"bId": "2"}, 1), ({"index": 0}, 1)])
def test_items_of_a_batch_fail_though_they_were_done(
    company: LocalCompany, which: Document, told: int
) -> None:
    ana = customer(company)
    company.fault(do={"item_fault": {"code": "10000", "after_commit": True, **which}})
    items = [{"bId": str(n), "operation": "create", "Invoice": form(ana, n)} for n in (1, 2, 3)]
    reply = company.handle("POST", "batch", {"requestid": "b"}, {"BatchItemRequest": items})

    assert reply.status == 200
    assert reply.body.count(b'"code":"10000"') == told
    assert len(company.all("Invoice")) == 3


def test_a_5xx_carries_a_code_of_another_meaning(company: LocalCompany) -> None:
    company.fault(do={"status": 500, "code": "3100"})
    reply = company.handle("POST", "customer", {}, {"DisplayName": "Ana"})

    assert reply.status == 500
    assert fault_of(reply) == {
        "message": "message=InternalServerError; errorCode=003100; statusCode=500",
        "detail": None,
        "code": "3100",
        "element": None,
    }


def test_a_success_carries_a_fault(company: LocalCompany) -> None:
    company.fault(do={"fault": {"code": "6190", "status": 200}})
    reply = company.handle("POST", "customer", {}, {"DisplayName": "Ana"})

    assert (reply.status, fault_of(reply)["code"]) == (200, "6190")


def test_a_401_says_nothing(company: LocalCompany) -> None:
    company.fault(do={"status": 401, "body": ""})
    assert company.handle("GET", "preferences")[::2] == (401, b"")


def test_an_empty_object_comes_instead_of_a_list(company: LocalCompany) -> None:
    company.fault(match={"operation": "query"}, do={"status": 200, "body": {}})
    assert company.handle("GET", "query", {"query": "select * from Customer"}).body == b"{}"


def test_an_answer_is_about_another_object(company: LocalCompany) -> None:
    ana, ben = customer(company), customer(company, "Ben Ode")
    company.fault(match={"operation": "update"}, do={"answer_of": ben})
    body = {"Id": ana, "SyncToken": "0", "sparse": True, "Notes": "x"}
    reply = company.handle("POST", "customer", {}, body)

    assert made(reply, "Customer")["Id"] == ben
    assert (company.get("Customer", ana) or {})["Notes"] == "x"


def test_a_detail_carries_markup(company: LocalCompany) -> None:
    company.fault(do={"fault": {"code": "6000", "detail": 'See <a href="https://x">here</a>'}})
    assert "<a href" in str(fault_of(company.handle("POST", "customer", {}, {}))["detail"])


@pytest.mark.parametrize(
    "body", [{"error": "invalid_grant"}, {"access_token": "a", "refresh_token": None}]
)
def test_one_token_answer_is_wrong_and_the_next_is_right(
    company: LocalCompany, body: Document
) -> None:
    tokens = company.connect()
    status = 400 if "error" in body else 200
    company.fault(
        match={"operation": "refresh_token", "nth": 1}, do={"status": status, "body": body}
    )
    ask = f"grant_type=refresh_token&refresh_token={tokens['refresh_token']}"
    headers = {
        "Authorization": company.basic_authorization,
        "Content-Type": "application/x-www-form-urlencoded",
    }
    path = "/oauth2/v1/tokens/bearer"

    assert json_of(company.handle("POST", path, {}, ask, headers)) == body
    assert "access_token" in json_of(company.handle("POST", path, {}, ask, headers))


# Request ids -------------------------------------------------------------------------------------


def test_a_request_id_is_forgotten(time: Time) -> None:
    company = LocalCompany(time, requestid_ttl=5)
    ana = customer(company)
    for later in (0, 5, 6):
        time.now += later
        assert company.handle("POST", "invoice", {"requestid": "a"}, form(ana)).status == 200

    assert len(company.all("Invoice")) == 2


# Reads -------------------------------------------------------------------------------------------


def test_reads_are_used_up_and_writes_pass(company: LocalCompany, time: Time) -> None:
    company.set(reads_a_month=2)
    ana = customer(company)
    path = f"customer/{ana}"
    statuses = [company.handle("GET", path).status for _ in range(3)]

    assert statuses == [200, 200, 429]
    assert company.handle("GET", "query", {"query": "select * from Term"}).status == 429
    assert company.handle("POST", "query", {}, "select * from Term").status == 429
    batch = [
        {"bId": "1", "operation": "create", "Invoice": form(ana)},
        {"bId": "2", "Query": "select * from Term"},
    ]
    reply = company.handle("POST", "batch", {}, {"BatchItemRequest": batch})
    assert reply.body.count(b'"code":"3001"') == 1
    assert len(company.all("Invoice")) == 1
    time.now += 15 * 86400  # October
    assert company.handle("GET", path).status == 200


def test_a_list_fails_for_what_is_in_one_row(company: LocalCompany) -> None:
    customer(company)
    ben = customer(company, "Ben Ode")
    do: Document = {"status": 500, "answer_has": "Ben Ode"}
    company.fault(match={"operation": "query"}, do=do)
    ask = "select * from Customer startposition {} maxresults 1"

    assert company.handle("GET", "query", {"query": ask.format(1)}).status == 200
    assert company.handle("GET", "query", {"query": ask.format(2)}).status == 500
    assert company.handle("GET", f"customer/{ben}").status == 200


def test_a_list_is_stale(company: LocalCompany, time: Time) -> None:
    company.set(list_delay=60)
    ana = customer(company)
    time.now += 10
    company.bookkeeper.edit("Customer", ana, Notes="new")
    ask = "select * from Customer where DisplayName = 'Ana Rivera'"

    assert found(company, ask)[0]["SyncToken"] == "0"
    assert made(company.handle("GET", f"customer/{ana}"), "Customer")["SyncToken"] == "1"
    stale = {"Id": ana, "SyncToken": "0", "sparse": True, "Notes": "mine"}
    assert fault_of(company.handle("POST", "customer", {}, stale))["code"] == "5010"
    time.now += 61
    assert found(company, ask)[0]["SyncToken"] == "1"


def test_a_stale_list_hides_what_is_new_and_shows_what_is_gone(
    company: LocalCompany, time: Time
) -> None:
    ana = customer(company)
    gone = invoice(company, ana)
    company.set(list_delay=60, list_hides_new=True)
    new = invoice(company, ana)
    company.bookkeeper.delete("Invoice", gone)

    assert [each["Id"] for each in found(company, "select * from Invoice")] == [gone]
    time.now += 61
    assert [each["Id"] for each in found(company, "select * from Invoice")] == [new]


# The books ---------------------------------------------------------------------------------------


def test_a_closed_period_is_told_as_a_conflict_on_create(company: LocalCompany) -> None:
    company.set(BookCloseDate="2026-12-31", closed_period_code="5010")
    told = fault_of(company.handle("POST", "invoice", {}, form(customer(company))))

    assert told["code"] == "5010"
    assert told["message"] == "Account Period Closed"
    assert told["detail"] == "The account period has closed. {1}"


@pytest.mark.parametrize(("kept", "total"), [(True, "109.38"), (False, "108")])
def test_an_override_of_automated_tax_is_kept_or_not(
    company: LocalCompany, kept: bool, total: str
) -> None:
    company.set(PartnerTaxEnabled=True, tax_override_kept=kept)
    ana = customer(company, ShipAddr={"CountrySubDivisionCode": "CA"})
    told: Document = {"TxnTaxCodeRef": {"value": "2"}, "TotalTax": Decimal("9.38")}
    reply = company.handle("POST", "invoice", {}, form(ana, tax="TAX", TxnTaxDetail=told))
    taxed = made(reply, "Invoice")

    assert number_of(taxed, "TotalAmt") == Decimal(total)
    lines = parts_of(part_of(taxed, "TxnTaxDetail"), "TaxLine")
    assert sum(number_of(line, "Amount") for line in lines) == Decimal(total) - 100


def test_an_override_is_shared_by_the_lines_of_tax(company: LocalCompany) -> None:
    company.set(PartnerTaxEnabled=True)
    ana = customer(company, ShipAddr={"CountrySubDivisionCode": "AZ"})  # 7.1 % and 2 %
    told: Document = {"TxnTaxCodeRef": {"value": "3"}, "TotalTax": Decimal("9.17")}
    reply = company.handle("POST", "invoice", {}, form(ana, tax="TAX", TxnTaxDetail=told))
    lines = parts_of(part_of(made(reply, "Invoice"), "TxnTaxDetail"), "TaxLine")

    assert [number_of(line, "Amount") for line in lines] == [Decimal("7.15"), Decimal("2.02")]


def test_a_tax_rate_with_three_decimals_is_refused(company: LocalCompany) -> None:
    company.set(fine_tax_rates=False)
    ana = customer(company)
    by_code: dict[str, Document] = {
        code: {"TxnTaxCodeRef": {"value": code}}
        for code in ("2", "4")  # 8 %, 8.875 %
    }
    replies = {
        code: company.handle("POST", "invoice", {}, form(ana, tax="TAX", TxnTaxDetail=told))
        for code, told in by_code.items()
    }

    assert replies["2"].status == 200
    assert fault_of(replies["4"])["code"] == "6000"
    assert "error while calculating tax" in str(fault_of(replies["4"])["detail"])


def test_credit_finds_a_new_invoice(company: LocalCompany) -> None:
    company.set(AutoApplyCredit=True)
    ana = customer(company)
    payment(company, ana, 20)
    company.handle("POST", "creditmemo", {}, form(ana, 30))
    created = made(company.handle("POST", "invoice", {}, form(ana, 100)), "Invoice")

    assert number_of(created, "Balance") == 50  # told by the answer to the create itself
    assert [number_of(each, "Balance") for each in company.all("CreditMemo")] == [0]
    assert [number_of(each, "TotalAmt") for each in company.all("Payment")] == [20, 0]
    assert number_of(company.get("Customer", ana) or {}, "Balance") == 50


def test_a_new_credit_memo_finds_the_oldest_invoices(company: LocalCompany, time: Time) -> None:
    company.set(AutoApplyCredit=True)
    ana = customer(company)
    first = invoice(company, ana, 10)
    time.now += 86400
    second = invoice(company, ana, 100)
    company.handle("POST", "creditmemo", {}, form(ana, 30))

    assert [balance(company, each) for each in (first, second)] == [0, 80]


def test_a_payment_without_a_purpose_finds_the_oldest_invoice(company: LocalCompany) -> None:
    company.set(AutoApplyPayments=True)
    ana = customer(company)
    first, second = invoice(company, ana, 60), invoice(company, ana, 60)
    body = {"CustomerRef": {"value": ana}, "TotalAmt": 100}
    created = made(company.handle("POST", "payment", {}, body), "Payment")

    assert number_of(created, "UnappliedAmt") == 0
    assert [balance(company, each) for each in (first, second)] == [0, 20]


def test_a_customer_has_another_currency(company: LocalCompany) -> None:
    company.set(MultiCurrencyEnabled=True)
    zoe = customer(company, "Zoë Blanc", CurrencyRef={"value": "EUR"})
    refused = company.handle("POST", "invoice", {}, form(zoe))
    reply = company.handle("POST", "invoice", {}, form(zoe, CurrencyRef={"value": "EUR"}))

    assert "currency of the transaction is invalid" in str(fault_of(refused)["detail"])
    created = made(reply, "Invoice")
    assert created["ExchangeRate"] == Decimal("1.08")
    assert (created["TotalAmt"], created["HomeTotalAmt"]) == (100, 108)


def test_one_field_holds_two_addresses(company: LocalCompany) -> None:
    both = "front@pm.example,billing@pm.example"
    ana = customer(company, PrimaryEmailAddr={"Address": both})
    statement = f"select * from Customer where PrimaryEmailAddr = '{both}'"

    assert [each["Id"] for each in found(company, statement)] == [ana]
    assert found(company, statement.replace("front@pm.example,", "")) == []


def test_a_category_has_the_name_that_a_product_wants(company: LocalCompany) -> None:
    category = company.bookkeeper.create("Item", Name="Drains", Type="Category")
    wanted: Document = {"Name": "Drains", "Type": "Service", "IncomeAccountRef": {"value": "1"}}
    told = fault_of(company.handle("POST", "item", {}, wanted))
    inside = {**wanted, "SubItem": True, "ParentRef": {"value": category["Id"]}}
    item = made(company.handle("POST", "item", {}, inside), "Item")

    assert (told["code"], told["detail"]) == (
        "6240",
        f"The name supplied already exists. : Id={category['Id']}",
    )
    assert item["FullyQualifiedName"] == "Drains:Drains"
    types = [text_of(each, "Type") for each in found(company, "select * from Item")]
    assert "Category" in types


def test_an_inactive_account_refuses_the_payment(company: LocalCompany) -> None:
    ana = customer(company)
    company.bookkeeper.deactivate("Account", "35")
    body = {"CustomerRef": {"value": ana}, "TotalAmt": 5, "DepositToAccountRef": {"value": "35"}}

    assert fault_of(company.handle("POST", "payment", {}, body))["code"] == "2500"


def test_a_payment_meets_an_invoice_that_was_moved(company: LocalCompany) -> None:
    ana, ben = customer(company), customer(company, "Ben Ode")
    invoice_id = invoice(company, ana)
    company.bookkeeper.move("Invoice", invoice_id, ben)
    link = {"TxnId": invoice_id, "TxnType": "Invoice"}
    body = {
        "CustomerRef": {"value": ana},
        "TotalAmt": 5,
        "Line": [{"Amount": 5, "LinkedTxn": [link]}],
    }

    assert fault_of(company.handle("POST", "payment", {}, body))["code"] == "620"
    assert ref_of(company.get("Invoice", invoice_id) or {}, "CustomerRef") == ben


# Every code ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_code_can_be_provoked_in_one_line(company: LocalCompany, code: str) -> None:
    company.fault(do={"fault": {"code": code}})
    reply = company.handle("POST", "customer", {}, {"DisplayName": "Ana"})
    told = fault_of(reply)

    assert (reply.status, told["code"]) == (400, code)
    assert told["message"]
    assert "{" not in str(told["detail"]).replace("{1}", "")


def test_every_row_of_the_table_is_worded(company: LocalCompany) -> None:
    for name, row in ROWS.items():
        fault = row(*"abcd")
        assert fault.detail, name
        assert fault.in_language("fr").message, name
    assert len(BY_CODE) >= 55
