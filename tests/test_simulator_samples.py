"""What was recorded of the real service: the same keys, types, status and headers come back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

import pytest

from simulator.documents import Document, Json
from simulator.seed import CRAIG
from simulator.testing import ApiAnswer, ApiClient, SimulatorHandle


@pytest.fixture
def api(simulator: SimulatorHandle) -> Iterator[ApiClient]:
    client = simulator.client(CRAIG)
    yield client
    client.close()


def recorded(text: str) -> Document:
    parsed: Json = json.loads(text, parse_float=Decimal)
    assert isinstance(parsed, dict)
    return parsed


def same_shape(ours: Json, theirs: Json, path: str = "") -> None:
    """Keys in the same order, values of the same type; lists by their first element."""
    numbers = int | Decimal
    if isinstance(theirs, dict):
        assert isinstance(ours, dict), path
        assert list(ours) == list(theirs), path
        for key in theirs:
            same_shape(ours[key], theirs[key], f"{path}.{key}")
    elif isinstance(theirs, list):
        assert isinstance(ours, list), path
        assert bool(ours) == bool(theirs), path
        for index, (mine, yours) in enumerate(zip(ours, theirs, strict=True)):
            same_shape(mine, yours, f"{path}[{index}]")
    elif isinstance(theirs, numbers) and not isinstance(theirs, bool):
        assert isinstance(ours, numbers), path
        assert not isinstance(ours, bool), path
    else:
        assert type(ours) is type(theirs), path


CUSTOMER = """{"Customer":{"Taxable":true,"Job":false,"BillWithParent":false,"Balance":0,
"BalanceWithJobs":0,"CurrencyRef":{"value":"USD","name":"United States Dollar"},
"PreferredDeliveryMethod":"Print","domain":"QBO","sparse":false,"Id":"70","SyncToken":"0",
"MetaData":{"CreateTime":"2020-09-29T05:58:16-07:00","LastUpdatedTime":"2020-09-29T05:58:16-07:00"},
"FullyQualifiedName":"Doe5, Jane","DisplayName":"Doe5, Jane","PrintOnCheckName":"Doe5, Jane",
"Active":true,"DefaultTaxCodeRef":{"value":"2"}},"time":"2020-09-29T05:58:16.187-07:00"}"""

AMY = """{"Taxable":true,"BillAddr":{"Id":"2","Line1":"4581 Finch St.","City":"Bayshore",
"CountrySubDivisionCode":"CA","PostalCode":"94326","Lat":"INVALID","Long":"INVALID"},
"ShipAddr":{"Id":"2","Line1":"4581 Finch St.","City":"Bayshore","CountrySubDivisionCode":"CA",
"PostalCode":"94326","Lat":"INVALID","Long":"INVALID"},"Job":false,"BillWithParent":false,
"Balance":639.00,"BalanceWithJobs":639.00,
"CurrencyRef":{"value":"USD","name":"United States Dollar"},"PreferredDeliveryMethod":"Print",
"domain":"QBO","sparse":false,"Id":"1","SyncToken":"0",
"MetaData":{"CreateTime":"2015-10-01T16:48:43-07:00","LastUpdatedTime":"2020-09-29T06:02:35-07:00"},
"GivenName":"Amy","FamilyName":"Lauterbach","FullyQualifiedName":"Amy's Bird Sanctuary",
"CompanyName":"Amy's Bird Sanctuary","DisplayName":"Amy's Bird Sanctuary",
"PrintOnCheckName":"Amy's Bird Sanctuary","Active":true,
"PrimaryPhone":{"FreeFormNumber":"(650) 555-3311"},
"PrimaryEmailAddr":{"Address":"Birds@Intuit.com"}}"""

INVOICE_REQUEST = recorded("""{"Line":[{"Amount":100.0,"DetailType":"SalesItemLineDetail",
"SalesItemLineDetail":{"ItemRef":{"value":"1","name":"Services"}}}],"CustomerRef":{"value":"1"}}""")

INVOICE = """{"Invoice":{"AllowIPNPayment":false,"AllowOnlinePayment":false,
"AllowOnlineCreditCardPayment":false,"AllowOnlineACHPayment":false,"domain":"QBO","sparse":false,
"Id":"266","SyncToken":"0","MetaData":{"CreateTime":"2020-09-29T05:58:07-07:00",
"LastUpdatedTime":"2020-09-29T05:58:07-07:00"},
"CustomField":[{"DefinitionId":"1","Name":"Crew #","Type":"StringType"}],"DocNumber":"1043",
"TxnDate":"2020-09-29","CurrencyRef":{"value":"USD","name":"United States Dollar"},"LinkedTxn":[],
"Line":[{"Id":"1","LineNum":1,"Amount":100.00,"DetailType":"SalesItemLineDetail",
"SalesItemLineDetail":{"ItemRef":{"value":"1","name":"Services"},"TaxCodeRef":{"value":"NON"}}},
{"Amount":100.00,"DetailType":"SubTotalLineDetail","SubTotalLineDetail":{}}],
"TxnTaxDetail":{"TotalTax":0},"CustomerRef":{"value":"1","name":"Amy's Bird Sanctuary"},
"BillAddr":{"Id":"2","Line1":"4581 Finch St.","City":"Bayshore","CountrySubDivisionCode":"CA",
"PostalCode":"94326","Lat":"INVALID","Long":"INVALID"},
"ShipAddr":{"Id":"2","Line1":"4581 Finch St.","City":"Bayshore","CountrySubDivisionCode":"CA",
"PostalCode":"94326","Lat":"INVALID","Long":"INVALID"},"DueDate":"2020-10-29","TotalAmt":100.00,
"ApplyTaxAfterDiscount":false,"PrintStatus":"NeedToPrint","EmailStatus":"NotSet",
"Balance":100.00},"time":"2020-09-29T05:58:07.300-07:00"}"""

ACCOUNT = """{"Account":{"Name":"Fees Billed (deleted)","SubAccount":false,
"FullyQualifiedName":"Fees Billed (deleted)","Active":false,"Classification":"Revenue",
"AccountType":"Income","AccountSubType":"ServiceFeeIncome","CurrentBalance":0,
"CurrentBalanceWithSubAccounts":0,"CurrencyRef":{"value":"USD","name":"United States Dollar"},
"domain":"QBO","sparse":false,"Id":"5","SyncToken":"1",
"MetaData":{"CreateTime":"2015-10-01T14:42:07-07:00","LastUpdatedTime":"2018-01-05T12:15:34-08:00"}},
"time":"2020-09-29T06:03:07.405-07:00"}"""

VENDOR = """{"Balance":0,"Vendor1099":false,
"CurrencyRef":{"value":"USD","name":"United States Dollar"},"domain":"QBO","sparse":false,"Id":"71",
"SyncToken":"0","MetaData":{"CreateTime":"2020-09-29T08:13:18-07:00",
"LastUpdatedTime":"2020-09-29T08:13:20-07:00"},"DisplayName":"Boraski Family Store",
"PrintOnCheckName":"Boraski Family Store","Active":true}"""

SUCCESS_HEADERS = {
    "Content-Type": "application/json;charset=utf-8",
    "Cache-Control": "max-age=0, no-cache, no-store, must-revalidate, private",
    "Expires": "0",
    "Strict-Transport-Security": "max-age=15552000",
}


def is_success(answer: ApiAnswer) -> None:
    assert answer.status == 200
    for name, value in SUCCESS_HEADERS.items():
        assert answer.headers[name] == value
    for name in ("intuit_tid", "QBO-Version", "Service-Time", "X-Spanid", "X-Amzn-Trace-Id"):
        assert answer.headers[name]
    assert answer.headers["intuit_tid"].startswith("1-")


def is_refusal(answer: ApiAnswer) -> None:
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["intuit_tid"]
    assert "QBO-Version" not in answer.headers


def test_a_customer_is_created(api: ApiClient) -> None:
    answer = api.post("customer", {"DisplayName": "Doe5, Jane"})
    is_success(answer)
    same_shape(answer.body, recorded(CUSTOMER))


def test_a_customer_is_queried(api: ApiClient) -> None:
    statement = r"SELECT * FROM Customer WHERE DisplayName = 'Amy\'s Bird Sanctuary'"
    answer = api.get("query", query=statement)
    is_success(answer)
    assert list(answer.body) == ["QueryResponse", "time"]
    inside = answer.object("QueryResponse")
    assert list(inside) == ["Customer", "startPosition", "maxResults"]
    rows = inside["Customer"]
    assert isinstance(rows, list)
    same_shape(rows[0], recorded(AMY))


def test_a_full_update_follows_the_name(api: ApiClient) -> None:
    made = api.post("customer", {"DisplayName": "Jack Doe", "Notes": "gone"}).object("Customer")
    update = {
        "DisplayName": "Jack Moe",
        "PrimaryPhone": {"FreeFormNumber": "(415) 444-1234"},
        "Id": made["Id"],
        "SyncToken": "0",
    }
    changed = api.post("customer", update).object("Customer")
    assert changed["SyncToken"] == "1"
    assert changed["FullyQualifiedName"] == changed["PrintOnCheckName"] == "Jack Moe"
    assert "Notes" not in changed  # what a full update leaves out is blanked


def test_a_sparse_update_clears_what_is_sent_empty(api: ApiClient) -> None:
    update = {"Id": "1", "SyncToken": "0", "sparse": True, "PrimaryPhone": {}, "DisplayName": ""}
    changed = api.post("customer", update).object("Customer")
    assert "PrimaryPhone" not in changed
    assert changed["DisplayName"] == "Amy's Bird Sanctuary"  # names stay
    assert changed["PrimaryEmailAddr"] == {"Address": "Birds@Intuit.com"}


def test_an_invoice_is_created(api: ApiClient) -> None:
    answer = api.post("invoice", INVOICE_REQUEST)
    is_success(answer)
    same_shape(answer.body, recorded(INVOICE))
    assert '"TotalAmt":100.00,' in answer.text  # money has two decimals
    assert '"TotalTax":0}' in answer.text  # and zero has none


def test_an_invoice_is_voided(api: ApiClient) -> None:
    made = api.post("invoice", INVOICE_REQUEST).object("Invoice")
    voiding = {"Id": made["Id"], "SyncToken": "0"}
    voided = api.post("invoice", voiding, operation="void").object("Invoice")
    assert (voided["SyncToken"], voided["PrivateNote"]) == ("1", "Voided")
    assert (voided["TotalAmt"], voided["Balance"]) == (0, 0)
    assert voided["TxnTaxDetail"] == {"TotalTax": 0}
    assert (voided["DocNumber"], voided["TxnDate"]) == (made["DocNumber"], made["TxnDate"])
    lines = voided["Line"]
    assert isinstance(lines, list)
    assert [line["Amount"] for line in lines if isinstance(line, dict)] == [0, 0]


def test_an_invoice_is_deleted(api: ApiClient) -> None:
    made = api.post("invoice", INVOICE_REQUEST).object("Invoice")
    naming = {"Id": made["Id"], "SyncToken": "0"}
    answer = api.post("invoice", naming, operation="delete")
    is_success(answer)
    deleted = {"domain": "QBO", "status": "Deleted", "Id": made["Id"]}
    assert answer.object("Invoice") == deleted
    assert api.get(f"invoice/{made['Id']}").code == "610"
    assert api.post("invoice", naming, operation="delete").code == "610"


def test_a_payment_stays_unapplied(api: ApiClient) -> None:
    payment = api.post("payment", {"TotalAmt": 25.0, "CustomerRef": {"value": "20"}})
    body = payment.object("Payment")
    assert body["DepositToAccountRef"] == {"value": "4"}
    assert (body["UnappliedAmt"], body["TotalAmt"], body["Line"]) == (25, 25, [])
    assert body["ProcessPayment"] is False
    assert body["CustomerRef"] == {"value": "20", "name": "Red Rock Diner"}


def test_a_payment_is_applied(api: ApiClient) -> None:
    """Invoice 70 of the sample company: 156 less the 85 paid before leaves 71 open."""
    body = {
        "TotalAmt": 65.0,
        "CustomerRef": {"value": "20"},
        "Line": [{"Amount": 55.0, "LinkedTxn": [{"TxnId": "70", "TxnType": "Invoice"}]}],
    }
    before = api.get("invoice/70").object("Invoice")
    payment = api.post("payment", body).object("Payment")
    assert payment["UnappliedAmt"] == 10
    lines = payment["Line"]
    assert isinstance(lines, list)
    line = lines[0]
    assert isinstance(line, dict)
    pairs = json.dumps(line["LineEx"])
    for value in ('"70"', '"71.00"', '"1024"'):
        assert value in pairs
    after = api.get("invoice/70").object("Invoice")
    assert after["Balance"] == 16
    assert after["SyncToken"] == str(int(str(before["SyncToken"])) + 1)
    assert {"TxnId": payment["Id"], "TxnType": "Payment"} in list(after["LinkedTxn"])  # type: ignore[arg-type]


def test_a_payment_is_voided(api: ApiClient) -> None:
    body = {"SyncToken": "0", "Id": "71", "sparse": True}
    answer = api.post("payment", body, operation="update", include="void")
    voided = answer.object("Payment")
    assert voided["SyncToken"] == "1"
    assert (voided["UnappliedAmt"], voided["TotalAmt"], voided["Line"]) == (0, 0, [])
    assert voided["PrivateNote"] == "Voided"
    assert voided["PaymentMethodRef"] == {"value": "1"}
    assert api.get("invoice/70").object("Invoice")["Balance"] == 156


def test_manual_tax_is_eight_percent(api: ApiClient) -> None:
    line = {
        "Amount": 335.25,
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"ItemRef": {"value": "5"}, "TaxCodeRef": {"value": "TAX"}},
    }
    body = {
        "Line": [line],
        "CustomerRef": {"value": "1"},
        "TxnTaxDetail": {"TxnTaxCodeRef": {"value": "2"}},
    }
    invoice = api.post("invoice", body).object("Invoice")
    assert invoice["TotalAmt"] == Decimal("362.07")
    assert invoice["TxnTaxDetail"] == recorded("""{"TxnTaxCodeRef":{"value":"2"},"TotalTax":26.82,
    "TaxLine":[{"Amount":26.82,"DetailType":"TaxLineDetail","TaxLineDetail":{"TaxRateRef":
    {"value":"3"},"PercentBased":true,"TaxPercent":8,"NetAmountTaxable":335.25}}]}""")


def test_an_inactive_account_is_read_and_deactivated_again(api: ApiClient) -> None:
    answer = api.get("account/5")
    is_success(answer)
    same_shape(answer.body, recorded(ACCOUNT))
    again = {"Id": "5", "SyncToken": "1", "sparse": True, "Active": False}
    again["Name"] = "Fees Billed (deleted)"
    assert api.post("account", again).object("Account") == answer.object("Account")


def test_a_batch_answers_item_by_item(api: ApiClient) -> None:
    api.post("salesreceipt", {"Id": "11", "SyncToken": "0", "sparse": True, "PrivateNote": "x"})
    answers = api.batch(
        {"bId": "bid1", "operation": "create", "Vendor": {"DisplayName": "Boraski Family Store"}},
        {"bId": "bid2", "operation": "delete", "Invoice": {"Id": "99999", "SyncToken": "0"}},
        {
            "bId": "bid3",
            "operation": "update",
            "SalesReceipt": {"sparse": True, "Id": "11", "SyncToken": "0", "PrivateNote": "y"},
        },
        {"bId": "bid4", "Query": "select * from SalesReceipt where TotalAmt > '300.00'"},
    )
    assert [answer["bId"] for answer in answers] == ["bid1", "bid2", "bid3", "bid4"]
    same_shape(answers[0]["Vendor"], recorded(VENDOR))
    fault = '{"Error":[{"Message":"","Detail":"","code":"","element":""}],"type":""}'
    same_shape(answers[1]["Fault"], recorded(fault))
    assert '"610"' in json.dumps(answers[1])
    assert '"5010"' in json.dumps(answers[2])
    found = answers[3]["QueryResponse"]
    assert isinstance(found, dict)
    rows = found["SalesReceipt"]
    assert isinstance(rows, list)
    assert [row["Id"] for row in rows if isinstance(row, dict)] == ["11", "17"]
    assert found["maxResults"] == 2


def test_nothing_has_changed(api: ApiClient, simulator: SimulatorHandle) -> None:
    answer = api.get("cdc", entities="Transfer", changedSince="2026-01-01T00:00:00-08:00")
    assert answer.body["CDCResponse"] == [{"QueryResponse": [{}]}]


def test_deleted_ones_are_told_as_changes(api: ApiClient) -> None:
    made = api.post("invoice", INVOICE_REQUEST).object("Invoice")
    api.post("invoice", {"Id": made["Id"], "SyncToken": "0"}, operation="delete")
    changes = api.get("cdc", entities="Invoice,Customer", changedSince=made["TxnDate"]).text
    assert f'{{"domain":"QBO","status":"Deleted","Id":"{made["Id"]}"' in changes
    assert '"DisplayName":"Amy\'s Bird Sanctuary"' in changes  # her balance moved


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT COUNT(*) FROM Customer", {"totalCount": 29}),
        ("select * from Customer where Id = '999'", {}),
        ("SELECT * FROM Customer WHERE Id IN ('5', '6', '7') ORDERBY Id", ["5", "6", "7"]),
        ("SELECT * FROM Customer MAXRESULTS 2 STARTPOSITION 1", ["8", "9"]),
        ("SELECT * FROM Vendor WHERE Active IN (true, false) AND Id = '53'", ["53"]),
        ("SELECT * FROM Vendor WHERE Id = '53'", {}),
        ("select * from payment where totalamt > '300.00' order by totalamt desc", ["32"]),
        ("select * from payment Where Metadata.LastUpdatedTime>'2026-07-10'", ["135"]),
        ("SELECT * FROM Account WHERE Name = 'checking'", ["35"]),
        ("SELECT * FROM Customer WHERE DisplayName LIKE '%Photo%'", ["11"]),
        ("SELECT * FROM Invoice WHERE CustomerRef = '1' ORDERBY Id", ["9", "75"]),
        ("SELECT * FROM Customer WHERE PrimaryEmailAddr = 'birds@intuit.com'", ["1"]),
    ],
)
def test_queries(api: ApiClient, statement: str, expected: object) -> None:
    if "MAXRESULTS 2" in statement:  # lists come by their full name
        names = api.query("SELECT * FROM Customer MAXRESULTS 2")["Customer"]
        assert isinstance(names, list)
        expected = [row["Id"] for row in names if isinstance(row, dict)]
    found = api.query(statement)
    rows = next((value for value in found.values() if isinstance(value, list)), None)
    if rows is None:
        assert found == expected
    elif "totalamt" in statement:
        assert [row["Id"] for row in rows if isinstance(row, dict)][:1] == expected
    else:
        assert [row["Id"] for row in rows if isinstance(row, dict)] == expected


def test_a_query_may_be_posted(api: ApiClient) -> None:
    statement = b"select Id, DisplayName from Customer where Id = '1'"
    headers = {"Content-Type": "application/text"}
    answer = api.call("POST", "query", statement, headers=headers)
    rows = answer.object("QueryResponse")["Customer"]
    assert isinstance(rows, list)
    partial = {"Id": "1", "DisplayName": "Amy's Bird Sanctuary", "domain": "QBO", "sparse": True}
    assert rows == [partial]


def test_xml_is_the_default_language(api: ApiClient) -> None:
    answer = api.call("GET", "customer/1", headers={"Accept": "*/*"})
    assert answer.headers["Content-Type"] == "application/xml"
    assert "<DisplayName>Amy's Bird Sanctuary</DisplayName>" in answer.text
    answer = api.call("GET", "customer/999", headers={"Accept": "*/*"})
    assert '<Fault type="ValidationFault"><Error code="610">' in answer.text
    answer = api.call("GET", "customer/1", query={"format": "json"}, headers={"Accept": "*/*"})
    is_success(answer)


# Faults, word for word ---------------------------------------------------------------------------


def test_an_unknown_property(api: ApiClient) -> None:
    answer = api.post("invoice", {"BadJson": True})
    is_refusal(answer)
    assert answer.error["message"] == "Request has invalid or unsupported property"
    detail = str(answer.error["detail"])
    begin = (
        'Property Name:Unrecognized field "BadJson" (class com.intuit.schema.finance.v3.Invoice)'
    )
    assert detail.startswith(begin)
    assert detail.endswith("[truncated]])\n specified is unsupported or invalid")


def test_an_unknown_resource(api: ApiClient) -> None:
    answer = api.get("customer/1/5")
    is_refusal(answer)
    assert (answer.code, answer.error["message"]) == ("500", "Unsupported Operation")
    assert str(answer.error["detail"]).endswith("is not supported.")


def test_an_id_that_is_no_number(api: ApiClient) -> None:
    error = api.get("customer/1.5").error
    assert error["detail"] == "Id should be a valid number. Supplied value:1.5"
    assert (error["code"], error["element"]) == ("2030", "Id")


def test_a_token_that_is_no_more(api: ApiClient) -> None:
    answer = api.call("GET", "customer/1", headers={"Authorization": "Bearer AB0160"})
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="Intuit", error="invalid_token"'
    same_shape(
        answer.body,
        recorded("""{"warnings":null,"intuitObject":null,"fault":{"error":[{"message":
    "message=AuthenticationFailed; errorCode=003200; statusCode=401","detail":
    "Token expired: AB0160","code":"3200","element":null}],"type":"AUTHENTICATION"},"report":null,
    "queryResponse":null,"batchItemResponse":[],"attachableResponse":[],"syncErrorResponse":null,
    "requestId":null,"time":1601391072830,"status":null,"cdcresponse":[]}"""),
    )
    assert answer.error["detail"] == "Token expired: AB0160"
