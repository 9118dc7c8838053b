"""Every code that can be provoked is provoked, and the order in which QuickBooks looks is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from simulator.documents import Document
from simulator.seed import CRAIG, ERABLE
from simulator.testing import ApiAnswer, ApiClient, SimulatorHandle


@pytest.fixture
def api(simulator: SimulatorHandle) -> Iterator[ApiClient]:
    client = simulator.client(CRAIG)
    yield client
    client.close()


def line(amount: float = 100, **detail: object) -> Document:
    told: Document = {"ItemRef": {"value": "1"}}
    told.update(detail)  # type: ignore[arg-type]
    return {
        "Amount": Decimal(str(amount)),
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": told,
    }


def invoice(**values: object) -> Document:
    body: Document = {"CustomerRef": {"value": "1"}, "Line": [line()]}
    body.update(values)  # type: ignore[arg-type]
    return body


def payment(amount: float, invoice_id: str, customer: str = "1", total: float = 0) -> Document:
    return {
        "TotalAmt": Decimal(str(total or amount)),
        "CustomerRef": {"value": customer},
        "Line": [
            {
                "Amount": Decimal(str(amount)),
                "LinkedTxn": [{"TxnId": invoice_id, "TxnType": "Invoice"}],
            }
        ],
    }


def customer(**values: object) -> Document:
    return {"DisplayName": "Somebody New", **values}  # type: ignore[dict-item]


def item(**values: object) -> Document:
    body: Document = {"Name": "New", "Type": "Service", "IncomeAccountRef": {"value": "1"}}
    body.update(values)  # type: ignore[arg-type]
    return body


Provoke = Callable[[ApiClient], ApiAnswer]


def posting(path: str, body: Document, **query: str) -> Provoke:
    return lambda api: api.post(path, body, **query)


def querying(statement: str) -> Provoke:
    return lambda api: api.get("query", query=statement)


def sub_customers_six_deep(api: ApiClient) -> ApiAnswer:
    parent = "1"
    for depth in range(6):
        child = {"DisplayName": f"Depth {depth}", "ParentRef": {"value": parent}}
        answer = api.post("customer", child)
        if answer.status != 200:
            return answer
        parent = str(answer.object("Customer")["Id"])
    return answer


def a_parent_below_its_child(api: ApiClient) -> ApiAnswer:
    body = {"Id": "7", "SyncToken": "0", "sparse": True, "ParentRef": {"value": "8"}}
    return api.post("customer", body)


def stale_update(api: ApiClient) -> ApiAnswer:
    update = {"Id": "1", "SyncToken": "0", "sparse": True, "Notes": "a"}
    assert api.post("customer", update).status == 200
    return api.post("customer", update)


def a_number_twice(api: ApiClient) -> ApiAnswer:
    assert api.post("invoice", invoice(DocNumber="A-1")).status == 200
    return api.post("invoice", invoice(DocNumber="A-1"))


def a_deposited_payment(api: ApiClient) -> ApiAnswer:
    link = {"TxnId": "128", "TxnType": "Payment", "TxnLineId": "0"}
    deposit = {
        "DepositToAccountRef": {"value": "35"},
        "Line": [{"Amount": 50, "LinkedTxn": [link]}],
    }
    assert api.post("deposit", deposit).status == 200
    body = {"Id": "128", "SyncToken": "0"}
    return api.post("payment", body, operation="delete")


def an_inactive_customer(api: ApiClient) -> ApiAnswer:
    api.post("customer", {"Id": "3", "SyncToken": "0", "sparse": True, "Active": False})
    return api.post("invoice", invoice(CustomerRef={"value": "3"}))


def a_category_as_item(api: ApiClient) -> ApiAnswer:
    made = api.post("item", {"Name": "Kinds", "Type": "Category"}).object("Item")
    return api.post("invoice", invoice(Line=[line(ItemRef={"value": made["Id"]})]))


def too_many_items(api: ApiClient) -> ApiAnswer:
    items = [{"bId": str(n), "Query": "select * from Term"} for n in range(31)]
    return api.post("batch", {"BatchItemRequest": items})


def a_latin_byte(api: ApiClient) -> ApiAnswer:
    return api.call("POST", "customer", b'{"DisplayName":"Andr\xe9m"}')


def a_form_body(api: ApiClient) -> ApiAnswer:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return api.call("POST", "customer", b"DisplayName=Ana", headers=headers)


LONG = "x" * 45
INVALID_DATE = "2026-02-31"
PROVOKED: list[tuple[str, str, Provoke]] = [
    ("500", "no such operation", posting("invoice", {"Id": "9"}, operation="merge")),
    ("500", "lists are not deleted", posting("customer", {"Id": "1"}, operation="delete")),
    ("610", "nothing there", lambda api: api.get("invoice/424242")),
    ("610", "a vendor is no customer", lambda api: api.get("customer/48")),
    ("610", "pays what is gone", posting("payment", payment(5, "4242"))),
    ("620", "pays another's invoice", posting("payment", payment(5, "70"))),
    ("620", "pays a paid invoice", posting("payment", payment(5, "13", "3"))),
    (
        "800",
        "still has payments",
        posting("invoice", {"Id": "70", "SyncToken": "1"}, operation="delete"),
    ),
    ("900", "a parent below its child", a_parent_below_its_child),
    ("1040", "thirty-one items", too_many_items),
    ("1050", "not JSON", a_form_body),
    (
        "2000",
        "no such entity",
        lambda api: api.get("cdc", entities="Nix", changedSince="2026-01-01"),
    ),
    ("2010", "unknown property", posting("customer", customer(Colour="red"))),
    ("2010", "unknown inside", posting("invoice", invoice(Line=[{"Amount": 1, "Nix": 1}]))),
    ("2010", "a list that is none", posting("invoice", invoice(Line="none"))),
    ("2010", "Latin-1", a_latin_byte),
    ("2010", "no JSON", lambda api: api.call("POST", "customer", b"{")),
    ("2010", "no body", lambda api: api.call("POST", "customer", b"")),
    ("2020", "no lines", posting("invoice", {"CustomerRef": {"value": "1"}})),
    ("2020", "no customer", posting("invoice", {"Line": [line()]})),
    (
        "2020",
        "no amount",
        posting("invoice", invoice(Line=[{"DetailType": "SalesItemLineDetail"}])),
    ),
    ("2020", "no item type", posting("item", {"Name": "New"})),
    ("2020", "no income account", posting("item", {"Name": "New", "Type": "Service"})),
    ("2020", "no version", posting("customer", customer(Id="1"))),
    ("2020", "no version to void", posting("invoice", {"Id": "9"}, operation="void")),
    ("2030", "an id of letters", posting("customer", customer(Id="abc", SyncToken="0"))),
    ("2040", "a colon", posting("customer", customer(DisplayName="A:B"))),
    ("2040", "a tab", posting("item", item(Name="A\tB"))),
    ("2050", "a long number", posting("invoice", invoice(DocNumber=LONG))),
    ("2050", "a long phone", posting("customer", customer(Mobile={"FreeFormNumber": LONG}))),
    ("2050", "a long method", posting("paymentmethod", {"Name": LONG})),
    ("2060", "a date the wrong way", posting("invoice", invoice(TxnDate="31.01.2026"))),
    ("2070", "a date that is none", posting("invoice", invoice(TxnDate=INVALID_DATE))),
    ("2080", "words for a number", posting("item", item(UnitPrice="much"))),
    ("2130", "a long request id", posting("customer", customer(), requestid="r" * 51)),
    ("2140", "too much money", posting("payment", payment(1, "9", total=1e12))),
    ("2170", "no such value", posting("invoice", invoice(EmailStatus="Lost"))),
    ("2200", "no absolute address", posting("customer", customer(WebAddr={"URI": "x.com"}))),
    ("2210", "no e-mail", posting("customer", customer(PrimaryEmailAddr={"Address": "x"}))),
    ("2220", "no currency", posting("customer", customer(CurrencyRef={"value": "XYZ"}))),
    ("2230", "neither true nor false", posting("customer", customer(Taxable="maybe"))),
    ("2290", "a negative line", posting("payment", payment(-5, "9", total=5))),
    ("2500", "no such customer", posting("invoice", invoice(CustomerRef={"value": "75000"}))),
    ("2500", "no such item", posting("invoice", invoice(Line=[line(ItemRef={"value": "999"})]))),
    ("2500", "an inactive customer", an_inactive_customer),
    ("2500", "a category", a_category_as_item),
    ("2500", "no such account", posting("item", item(IncomeAccountRef={"value": "999"}))),
    ("2600", "a bId twice", posting("batch", {"BatchItemRequest": [{"bId": "a"}, {"bId": "a"}]})),
    ("4000", "no sense", querying("select * Customer")),
    ("4000", "two conditions, no AND", querying("select * from Invoice where Id='1' TxnDate='2'")),
    ("4000", "an apostrophe", querying("select * from Customer where DisplayName='A's'")),
    ("4000", "double quotes", querying('select * from Customer where DisplayName = "A"')),
    ("4000", "OR", querying("select * from Term where Id = '1' or Id = '2'")),
    ("4001", "no such entity", querying("select * from Custmoer")),
    ("4001", "no such property", querying("select * from Customer where Nix = '1'")),
    ("4001", "not filterable", querying("select * from Invoice where PrivateNote = 'x'")),
    ("4001", "no results", querying("select * from Customer maxresults 0")),
    ("2030", "an id of words", querying("select * from Customer where Id = 'abc'")),
    ("2030", "a list of ids", querying("select * from Invoice where Id in ('9', '-1')")),
    ("5010", "stale", stale_update),
    ("6000", "no total", posting("payment", {"CustomerRef": {"value": "1"}})),
    ("6000", "more than is open", posting("payment", payment(500, "75"))),
    ("6000", "more than was paid", posting("payment", payment(50, "75", total=20))),
    ("6000", "below zero", posting("invoice", invoice(Line=[line(-5)]))),
    ("6000", "another currency", posting("invoice", invoice(CurrencyRef={"value": "EUR"}))),
    ("6010", "no account type", posting("account", {"Name": "New"})),
    ("6070", "wrong product", posting("invoice", invoice(Line=[line(1000, Qty=2, UnitPrice=5)]))),
    ("6080", "no name", posting("customer", {"Notes": "who?"})),
    (
        "6090",
        "half a discount",
        posting(
            "invoice",
            invoice(
                Line=[
                    line(),
                    {
                        "DetailType": "DiscountLineDetail",
                        "DiscountLineDetail": {"PercentBased": True},
                    },
                ]
            ),
        ),
    ),
    (
        "6100",
        "neither TAX nor NON",
        posting("invoice", invoice(Line=[line(TaxCodeRef={"value": "2"})])),
    ),
    (
        "6160",
        "no such tax",
        posting("invoice", invoice(TxnTaxDetail={"TxnTaxCodeRef": {"value": "99"}})),
    ),
    ("6180", "six levels", sub_customers_six_deep),
    ("6240", "a vendor's name", posting("customer", customer(DisplayName="PG&E"))),
    ("6240", "in other letters", posting("vendor", {"DisplayName": "  cool   CARS "})),
    ("6240", "an inactive one's name", posting("customer", customer(DisplayName="Emily Platt"))),
    ("6240", "an item's name", posting("item", item(Name="Design"))),
    ("6240", "a method's name", posting("paymentmethod", {"Name": "Cash"})),
    (
        "6420",
        "mail without address",
        posting("customer", customer(PreferredDeliveryMethod="Email")),
    ),
    ("6430", "income to a bank", posting("item", item(IncomeAccountRef={"value": "35"}))),
    (
        "6530",
        "a card number",
        posting(
            "payment",
            {
                **payment(1, "9"),
                "CreditCardPayment": {"CreditChargeInfo": {"Number": "4111111111111111"}},
            },
        ),
    ),
    ("6540", "deposited", a_deposited_payment),
]


@pytest.mark.parametrize(
    ("code", "provoke"),
    [pytest.param(code, provoke, id=f"{code} {what}") for code, what, provoke in PROVOKED],
)
def test_code(api: ApiClient, code: str, provoke: Provoke) -> None:
    answer = provoke(api)
    assert answer.status == 400, answer.text
    assert answer.code == code, answer.text
    assert answer.error["message"]
    assert answer.error["detail"]


# Codes that hang on the company ------------------------------------------------------------------


def test_the_books_are_closed(api: ApiClient, simulator: SimulatorHandle) -> None:
    simulator.company(CRAIG, BookCloseDate="2026-06-30")
    assert api.post("invoice", invoice(TxnDate="2026-06-30")).code == "6200"
    assert api.post("invoice", invoice(TxnDate="2026-07-01")).status == 200
    simulator.company(CRAIG, book_close_password=True)
    answer = api.post("payment", {"Id": "71", "SyncToken": "0"}, operation="delete")
    assert answer.code == "6210"
    assert answer.error["message"] == "Account Period Closed, Cannot Update Through Services API"


def test_the_subscription_has_ended(api: ApiClient, simulator: SimulatorHandle) -> None:
    simulator.company(CRAIG, subscription_lapsed=True)
    assert api.post("customer", customer()).code == "6190"
    assert api.get("customer/1").status == 200  # reading goes on
    info = api.get(f"companyinfo/{CRAIG}").text
    assert '{"Name":"SubscriptionStatus","Value":"EXPIRED"}' in info


def test_numbers_of_our_own_are_unique(api: ApiClient, simulator: SimulatorHandle) -> None:
    simulator.company(CRAIG, CustomTxnNumbers=True)
    answer = a_number_twice(api)
    assert answer.code == "6140"
    assert "DocNumber=A-1 is assigned to TxnType=Invoice with TxnId=146" in answer.text
    allowed = api.post("invoice", invoice(DocNumber="A-1"), include="allowduplicatedocnum")
    assert allowed.status == 200
    assert "DocNumber" not in api.post("invoice", invoice()).object("Invoice")
    automatic = api.post("invoice", invoice(DocNumber="AUTO_GENERATE")).object("Invoice")
    assert automatic["DocNumber"] == "1038"
    simulator.company(CRAIG, warn_duplicate_numbers=False)
    assert a_number_twice(api).status == 200


def test_quickbooks_numbers_by_itself(api: ApiClient) -> None:
    assert api.post("invoice", invoice()).object("Invoice")["DocNumber"] == "1038"
    assert api.post("invoice", invoice(DocNumber="2000")).object("Invoice")["DocNumber"] == "2000"
    assert api.post("invoice", invoice()).object("Invoice")["DocNumber"] == "2001"


def test_the_wording_of_other_times(api: ApiClient, simulator: SimulatorHandle) -> None:
    taken = customer(DisplayName="Cool Cars")
    for era, tail in (("id", "Id=3"), ("null", "null"), ("words", "use a different name.")):
        simulator.company(CRAIG, duplicate_name_detail=era)
        assert str(api.post("customer", taken).error["detail"]).endswith(tail)


def test_inactive_ones_are_told_either_way(api: ApiClient, simulator: SimulatorHandle) -> None:
    simulator.company(CRAIG, inactive_ref_code="610")
    answer = an_inactive_customer(api)
    assert answer.code == "610"
    assert "has been made inactive" in answer.text


def test_an_inactive_name_may_be_free(api: ApiClient, simulator: SimulatorHandle) -> None:
    simulator.company(CRAIG, inactive_names_reserved=False)
    assert api.post("customer", customer(DisplayName="Emily Platt")).status == 200


def test_several_errors_at_once(api: ApiClient, simulator: SimulatorHandle) -> None:
    both = invoice(DocNumber=LONG, PONumber=LONG)
    assert api.post("invoice", both).text.count('"code"') == 1
    simulator.company(CRAIG, multiple_errors=True)
    assert api.post("invoice", both).text.count('"code":"2050"') == 2


def test_french_words(api: ApiClient, simulator: SimulatorHandle) -> None:
    french = simulator.client(ERABLE)
    try:
        assert french.post("customer", {"DisplayName": "Abélard"}).status == 200
        answer = french.post("customer", {"DisplayName": "Abélard"})
        assert answer.error["detail"] == "Ce nom existe déjà. : Id=1"
        assert answer.code == "6240"
    finally:
        french.close()


# The order of the checks -----------------------------------------------------------------------

ORDER: list[tuple[str, Document]] = [
    ("2010", {"Nix": 1}),
    ("2020", {"Line": []}),
    ("2050", {"DocNumber": LONG}),
    ("2060", {"TxnDate": "31.1."}),
    ("2500", {"CustomerRef": {"value": "4242"}}),
    ("6070", {"Line": [line(99, Qty=2, UnitPrice=5)]}),
]


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_earliest_check_speaks(api: ApiClient, first: int) -> None:
    """Everything from here on is wrong; what comes first is told."""
    wrong: Document = {}
    for _, values in reversed(ORDER[first:]):
        wrong.update(values)
    assert api.post("invoice", invoice(**wrong)).code == ORDER[first][0]


def test_existence_comes_before_references(api: ApiClient) -> None:
    body = invoice(Id="4242", SyncToken="0", CustomerRef={"value": "4242"})
    assert api.post("invoice", body).code == "610"
    body = invoice(Id="9", SyncToken="7", CustomerRef={"value": "4242"})
    assert api.post("invoice", body).code == "5010"


# The gateway -------------------------------------------------------------------------------------


def test_401_403_and_429(api: ApiClient, simulator: SimulatorHandle) -> None:
    assert api.call("GET", "customer/1", headers={"Authorization": ""}).code == "3202"
    simulator.company(CRAIG, user_lost_admin=True)
    answer = api.get("customer/1")
    assert (answer.status, answer.code) == (401, "120")
    simulator.company(CRAIG, user_lost_admin=False, wrong_environment=True)
    answer = api.get("customer/1")
    assert (answer.status, answer.code) == (403, "3100")
    simulator.company(CRAIG, gateway_format="xml")
    answer = api.get("customer/1")
    assert answer.headers["Content-Type"] == "application/xml"
    assert '<Fault type="SERVICE"><Error code="3100">' in answer.text
    simulator.company(CRAIG, gateway_format="json", wrong_environment=False)
    simulator.revoke(CRAIG)
    answer = api.get("customer/1")
    assert (answer.status, answer.code) == (401, "3200")


def test_another_company_is_not_ours(api: ApiClient) -> None:
    api.realm = ERABLE
    answer = api.get("customer/1")
    assert (answer.status, answer.code) == (403, "3100")


def test_600_when_asked_for(api: ApiClient, simulator: SimulatorHandle) -> None:
    simulator.company(CRAIG, requestid_mismatch="600")
    assert api.post("customer", customer(), requestid="r1").status == 200
    assert api.post("customer", customer(), requestid="r1").status == 200
    assert api.post("customer", customer(Notes="x"), requestid="r1").code == "600"
