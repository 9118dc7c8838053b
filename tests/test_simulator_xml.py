"""Intuit's XML: what JSON can say, XML can, both ways, with children in the schema's order."""

from __future__ import annotations

from decimal import Decimal
from xml.etree import ElementTree

import pytest

from simulator.documents import Document, Json, part_of, parts_of
from simulator.elements import TYPES, Element
from simulator.local import LocalCompany, Reply
from simulator.markup import NAMESPACE, parse_xml, to_xml
from tests.support.local import Time, customer, form, invoice, made, payment
from tests.test_simulator_elements import BASES, value_of

XML = {"Accept": "application/xml", "Content-Type": "application/xml"}
SPACE = {"q": NAMESPACE}


@pytest.fixture
def company() -> LocalCompany:
    company = LocalCompany(Time())
    customer(company)
    return company


def written(entity: str, body: Document) -> bytes:
    """Our own XML, without the envelope of an answer: what an SDK sends."""
    whole = to_xml({entity: body}, 0.0).decode()
    inside = whole[whole.index(f"<{entity}") : whole.rindex("</IntuitResponse>")]
    return inside.replace(f"<{entity}", f'<{entity} xmlns="{NAMESPACE}"', 1).encode()


def send(company: LocalCompany, entity: str, body: Document, **query: object) -> Reply:
    return company.handle("POST", entity.lower(), query, written(entity, body), XML)


def root(reply: Reply) -> ElementTree.Element:
    assert reply.headers["Content-Type"] == "application/xml"
    return ElementTree.fromstring(reply.body)  # noqa: S314 - our own


def text(element: ElementTree.Element, path: str) -> str | None:
    found = element.find("/".join(f"q:{step}" for step in path.split("/")), SPACE)
    return None if found is None else found.text


INVOICE = f"""<?xml version="1.0" encoding="utf-8"?>
<Invoice xmlns="{NAMESPACE}" domain="QBO" sparse="false">
  <DocNumber>A &amp; 1</DocNumber>
  <TxnDate>2026-09-01</TxnDate>
  <Line>
    <Description>Labor &lt;long&gt;</Description>
    <Amount>187.50</Amount>
    <DetailType>SalesItemLineDetail</DetailType>
    <SalesItemLineDetail>
      <ItemRef name="Services">1</ItemRef>
      <UnitPrice>75</UnitPrice>
      <Qty>2.5</Qty>
      <TaxCodeRef>NON</TaxCodeRef>
    </SalesItemLineDetail>
  </Line>
  <CustomerRef>1</CustomerRef>
  <CustomerMemo>Thank you</CustomerMemo>
  <BillEmail><Address>ana@example.com</Address></BillEmail>
  <ApplyTaxAfterDiscount>false</ApplyTaxAfterDiscount>
</Invoice>"""


def test_an_invoice_in_xml_is_the_invoice(company: LocalCompany) -> None:
    reply = company.handle("POST", "invoice", {}, INVOICE, XML)
    stored = company.all("Invoice")[0]
    line = parts_of(stored, "Line")[0]

    assert (stored["DocNumber"], stored["TotalAmt"]) == ("A & 1", Decimal("187.50"))
    assert line["Description"] == "Labor <long>"
    assert part_of(line, "SalesItemLineDetail")["Qty"] == Decimal("2.5")
    assert part_of(stored, "CustomerMemo")["value"] == "Thank you"
    answer = root(reply)
    assert text(answer, "Invoice/CustomerRef") == "1"
    assert text(answer, "Invoice/Line/SalesItemLineDetail/ItemRef") == "1"
    assert text(answer, "Invoice/BillEmail/Address") == "ana@example.com"
    item = answer.find(".//q:ItemRef", SPACE)
    assert item is not None
    assert item.attrib == {"name": "Services"}


def in_schema_order(element: ElementTree.Element, kind: str) -> None:
    names = [child.tag.rpartition("}")[2] for child in element]
    order = list(TYPES[kind])
    known = [name for name in names if name in order]
    assert known == sorted(known, key=order.index), kind
    assert names[: len(known)] == known, kind  # what the schema does not know comes last
    for child in element:
        name = child.tag.rpartition("}")[2]
        inner = TYPES[kind].get(name)
        if inner and inner.type in TYPES:
            in_schema_order(child, inner.type)


def test_children_are_in_the_order_of_the_schema(company: LocalCompany) -> None:
    invoice_id = invoice(company, "1")
    payment_id = payment(company, "1", 40, invoice_id)
    for entity, object_id in (
        ("Customer", "1"),
        ("Item", "1"),
        ("Invoice", invoice_id),
        ("Payment", payment_id),
    ):
        answer = root(company.handle("GET", f"{entity.lower()}/{object_id}", {}, None, XML))
        in_schema_order(answer[0], entity)
        assert answer[0].attrib == {"domain": "QBO", "sparse": "false"}


@pytest.mark.parametrize("entity", BASES)
def test_no_known_property_is_refused_as_unknown_in_xml(company: LocalCompany, entity: str) -> None:
    for element in TYPES[entity].values():
        body = {**BASES[entity], element.name: value_of(element)}
        reply = send(company.copy(), entity, body)
        assert b'code="2010"' not in reply.body, (element, reply.body)


def test_an_unknown_element_is_refused(company: LocalCompany) -> None:
    assert b'<Error code="2010"' in send(company, "Customer", {"Colour": "red"}).body


@pytest.mark.parametrize("entity", BASES)
def test_what_was_written_is_read_back(entity: str) -> None:
    for element in TYPES[entity].values():
        body: Document = {element.name: value_of(element)}
        assert comparable(parse_xml(written(entity, body))) == comparable(body), element


def comparable(value: Json) -> object:
    """Without what XML cannot tell apart: an empty object, text that looks like a number."""
    if isinstance(value, dict):
        kept = {key: comparable(each) for key, each in value.items()}
        return {key: each for key, each in kept.items() if each not in ({}, "", [])}
    if isinstance(value, list):
        return [each for each in map(comparable, value) if each != {}]
    return str(value)


def test_a_sparse_update_a_void_and_a_delete(company: LocalCompany) -> None:
    invoice_id = invoice(company, "1")
    update: Document = {"Id": invoice_id, "SyncToken": "0", "sparse": True, "PrivateNote": "x"}
    assert text(root(send(company, "Invoice", update)), "Invoice/PrivateNote") == "x"
    named: Document = {"Id": invoice_id, "SyncToken": "1"}
    voided = root(send(company, "Invoice", named, operation="void"))
    assert text(voided, "Invoice/TotalAmt") == "0"
    deleted = root(send(company, "Invoice", {**named, "SyncToken": "2"}, operation="delete"))
    assert deleted[0].attrib == {"domain": "QBO", "status": "Deleted"}
    assert company.all("Invoice") == []


def test_an_entity_that_the_facts_leave_out(company: LocalCompany) -> None:
    vendor = f"""<Vendor xmlns="{NAMESPACE}"><DisplayName>Pumps</DisplayName>
      <BillAddr><Line1>1 Main</Line1></BillAddr><TermRef>3</TermRef></Vendor>"""
    answer = root(company.handle("POST", "vendor", {}, vendor, XML))
    assert text(answer, "Vendor/BillAddr/Line1") == "1 Main"
    bill = f"""<Bill xmlns="{NAMESPACE}"><Line><Amount>5.50</Amount>
      <DetailType>AccountBasedExpenseLineDetail</DetailType>
      <AccountBasedExpenseLineDetail><AccountRef>7</AccountRef></AccountBasedExpenseLineDetail>
      </Line><VendorRef>1</VendorRef></Bill>"""
    answer = root(company.handle("POST", "bill", {}, bill, XML))
    assert text(answer, "Bill/TotalAmt") == "5.50"
    assert text(answer, "Bill/VendorRef") == "1"


# Envelopes ---------------------------------------------------------------------------------------


def test_a_query(company: LocalCompany) -> None:
    statement = "select * from Term maxresults 2"
    response = root(company.handle("GET", "query", {"query": statement}, None, XML))[0]
    assert response.attrib == {"startPosition": "1", "maxResults": "2"}
    assert [child.tag for child in response] == [f"{{{NAMESPACE}}}Term"] * 2
    statement = "select count(*) from Term"
    response = root(company.handle("GET", "query", {"query": statement}, None, XML))[0]
    assert response.attrib == {"totalCount": "4"}


def test_a_batch(company: LocalCompany) -> None:
    batch = f"""<IntuitBatchRequest xmlns="{NAMESPACE}">
      <BatchItemRequest bId="a" operation="create">
        <Customer><DisplayName>Ben Ode</DisplayName></Customer></BatchItemRequest>
      <BatchItemRequest bId="b" operation="create">
        <Customer><DisplayName>Ben Ode</DisplayName></Customer></BatchItemRequest>
      <BatchItemRequest bId="c"><Query>select * from Term</Query></BatchItemRequest>
    </IntuitBatchRequest>"""
    answer = root(company.handle("POST", "batch", {"requestid": "r"}, batch, XML))

    assert [item.attrib for item in answer] == [{"bId": "a"}, {"bId": "b"}, {"bId": "c"}]
    assert text(answer[0], "Customer/DisplayName") == "Ben Ode"
    error = answer[1].find("q:Fault/q:Error", SPACE)
    assert error is not None
    assert error.attrib["code"] == "6240"
    assert len(answer[2].findall("q:QueryResponse/q:Term", SPACE)) == 4
    again = root(company.handle("POST", "batch", {"requestid": "r"}, batch, XML))
    assert text(again[0], "Customer/Id") == text(answer[0], "Customer/Id")
    assert len(company.all("Customer")) == 2


def test_changes(company: LocalCompany) -> None:
    invoice_id = invoice(company, "1")
    company.bookkeeper.delete("Invoice", invoice_id)
    query = {"entities": "Customer,Invoice", "changedSince": "2026-01-01T00:00:00-08:00"}
    customers, invoices = root(company.handle("GET", "cdc", query, None, XML))[0]

    assert text(customers, "Customer/Id") == "1"
    assert invoices[0].attrib == {"domain": "QBO", "status": "Deleted"}


def test_a_fault_and_a_repeat(company: LocalCompany) -> None:
    for _ in range(2):
        reply = company.handle("POST", "invoice", {"requestid": "x"}, INVOICE, XML)
        assert text(root(reply), "Invoice/Id") == "1"
    refused = send(company, "Invoice", {**form("424242")})
    assert refused.status == 400
    error = root(refused).find("q:Fault/q:Error", SPACE)
    assert error is not None
    assert error.attrib["code"] == "2500"


def test_json_in_and_xml_out_and_the_other_way(company: LocalCompany) -> None:
    out = company.handle("POST", "customer", {}, {"DisplayName": "A"}, {"Accept": "*/*"})
    assert text(root(out), "Customer/DisplayName") == "A"
    body = written("Customer", {"DisplayName": "B"})
    made(company.handle("POST", "customer", {}, body, {"Content-Type": "text/xml"}), "Customer")


@pytest.mark.parametrize(
    "body",
    [
        b"<Customer",
        b"",
        b'<!DOCTYPE x [<!ENTITY a "b">]><Customer><DisplayName>&a;</DisplayName></Customer>',
    ],
)
def test_bad_xml_is_refused(company: LocalCompany, body: bytes) -> None:
    reply = company.handle("POST", "customer", {}, body, XML)
    assert reply.status == 400
    assert b'code="2010"' in reply.body


def test_a_character_that_xml_cannot_hold_is_left_out() -> None:
    told = to_xml({"Customer": {"DisplayName": "A\x0bB", "Notes": None}}, 0.0)
    assert b"<DisplayName>AB</DisplayName></Customer>" in told


def test_an_element_knows_what_it_is() -> None:
    assert TYPES["Invoice"]["Line"] == Element("Line", "Line", repeats=True)
