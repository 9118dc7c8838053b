"""Every property that Intuit's schema knows is accepted, also those that we do nothing with."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal

import pytest

from simulator.documents import Document, Json, part_of, parts_of
from simulator.elements import ENUMERATIONS, NUMBERS, REFERENCES, TYPES, Element
from simulator.local import LocalCompany, Reply, json_of
from simulator.testing import SimulatorHandle, running_simulator
from tests.support.local import Time, customer, form, found, made

DEEPEST = 4  # lines hold groups, which hold lines
VALUES: dict[str, Json] = {
    "boolean": True,
    "date": "2026-01-02",
    "dateTime": "2026-01-02T03:04:05-08:00",
    "IntuitAnyType": {},
    "TelephoneNumber": {"FreeFormNumber": "(555) 010-0000"},
    "EmailAddress": {"Address": "ana@example.com"},
    "WebSiteAddress": {"URI": "https://example.com"},
}
BASES: dict[str, Document] = {
    "Customer": {"DisplayName": "Ben Ode"},
    "Item": {"Name": "Drain", "Type": "Service", "IncomeAccountRef": {"value": "1"}},
    "Invoice": form("1"),
    "Payment": {"CustomerRef": {"value": "1"}, "TotalAmt": Decimal(1)},
}


def value_of(element: Element, depth: int = 0) -> Json:
    value: Json
    if element.type in VALUES:
        value = VALUES[element.type]
    elif element.type in REFERENCES:
        value = {"value": "1"}
    elif element.type in ENUMERATIONS:
        value = ENUMERATIONS[element.type][0]
    elif element.type in NUMBERS:
        value = 1
    elif element.type in TYPES:
        children = TYPES[element.type].values() if depth < DEEPEST else ()
        value = {child.name: value_of(child, depth + 1) for child in children}
    else:
        value = "1"
    return [value] if element.repeats else value


@pytest.fixture(scope="module")
def company() -> LocalCompany:
    company = LocalCompany(Time())
    customer(company)
    return company


def codes(reply: Reply) -> set[str]:
    fault = part_of(json_of(reply), "Fault")
    return {str(error["code"]) for error in parts_of(fault, "Error")}


@pytest.mark.parametrize("entity", BASES)
def test_no_known_property_is_refused_as_unknown(company: LocalCompany, entity: str) -> None:
    for element in TYPES[entity].values():
        body = {**BASES[entity], element.name: value_of(element)}
        reply = company.copy().handle("POST", entity.lower(), {}, body)
        assert "2010" not in codes(reply), (element, reply.body)


PARTS = sorted({name for name in TYPES["Line"] if name.endswith("Detail") and name in TYPES})


@pytest.mark.parametrize("part", PARTS)
def test_no_known_part_of_a_line_is_refused_as_unknown(company: LocalCompany, part: str) -> None:
    for element in TYPES[part].values():
        line: Document = {**parts_of(form("1"), "Line")[0], part: {element.name: value_of(element)}}
        reply = company.copy().handle("POST", "invoice", {}, {**form("1"), "Line": [line]})
        assert "2010" not in codes(reply), (element, reply.body)


def test_an_unknown_property_still_is(company: LocalCompany) -> None:
    for body in ({**BASES["Invoice"], "Colour": "red"}, {**BASES["Invoice"], "cfdiUse": 1}):
        assert codes(company.handle("POST", "invoice", {}, body)) == {"2010"}


def test_what_was_not_known_before_is_stored(company: LocalCompany) -> None:
    body: Document = {
        **BASES["Customer"],
        "ContactName": "Ana",
        "CustomField": [{"DefinitionId": "1", "StringValue": "A"}],
    }
    assert (
        made(company.copy().handle("POST", "customer", {}, body), "Customer")["ContactName"]
        == "Ana"
    )


# Batches, pages and compression ------------------------------------------------------------------


def test_a_batch_item_needs_neither_a_bid_nor_an_operation(company: LocalCompany) -> None:
    items: list[Json] = [{"Customer": {"DisplayName": "No Bid"}}, {"Query": "select * from Term"}]
    other = company.copy()
    body = {"BatchItemRequest": items}
    answer = json_of(other.handle("POST", "batch", {"requestid": "b"}, body))
    first, second = parts_of(answer, "BatchItemResponse")

    assert part_of(first, "Customer")["DisplayName"] == "No Bid"
    assert "bId" not in first
    assert "QueryResponse" in second
    update: Document = {"Id": "1", "SyncToken": "0", "sparse": True, "Notes": "x"}
    other.handle("POST", "batch", {}, {"BatchItemRequest": [{"Customer": update}]})
    assert (other.get("Customer", "1") or {})["Notes"] == "x"


def test_position_zero_is_the_first(company: LocalCompany) -> None:
    for entity in ("Term", "TaxCode"):
        first = found(company, f"select * from {entity} startposition 1 maxresults 2")
        assert found(company, f"select * from {entity} startposition 0 maxresults 2") == first


@pytest.mark.parametrize("entity", ["Term", "TaxCode", "Account"])
def test_pages_end(company: LocalCompany, entity: str) -> None:
    start, pages = 1, 0
    while found(company, f"select * from {entity} startposition {start} maxresults 3"):
        start, pages = start + 3, pages + 1
        assert pages < 50


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorHandle]:
    with running_simulator() as handle:
        yield handle


def test_an_answer_is_compressed_when_asked_for(simulator: SimulatorHandle) -> None:
    api = simulator.client(simulator.grant()["realm_id"])
    plain = api.raw("GET", "preferences")
    packed = api.raw("GET", "preferences", headers={"Accept-Encoding": "gzip"})

    assert "Content-Encoding" not in plain[1]
    assert packed[1]["Content-Encoding"] == "gzip"
    unpacked = json.loads(gzip.decompress(packed[2]))
    assert unpacked["Preferences"] == json.loads(plain[2])["Preferences"]
    api.close()
