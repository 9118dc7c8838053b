"""Short words for a company of the simulator inside the test's own process."""

from __future__ import annotations

from decimal import Decimal

from simulator.documents import Document, Json, number_of, part_of, parts_of, text_of
from simulator.local import LocalCompany, Reply, json_of

START = 1_790_000_000.0  # 2026-09-21T07:13:20-07:00


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def made(reply: Reply, entity: str) -> Document:
    assert reply.status == 200, reply.body
    document = part_of(json_of(reply), entity)
    assert document, reply.body
    return document


def fault_of(reply: Reply) -> Document:
    """The first error of a fault, however its keys are spelled."""
    body = json_of(reply)
    fault = part_of(body, "Fault") or part_of(body, "fault")
    errors = parts_of(fault, "Error") or parts_of(fault, "error")
    return {key.lower(): value for key, value in errors[0].items()}


def customer(company: LocalCompany, name: str = "Ana Rivera", **values: Json) -> str:
    reply = company.handle("POST", "customer", {}, {"DisplayName": name, **values})
    return text_of(made(reply, "Customer"), "Id")


def form(
    customer_id: str, amount: int | Decimal = 100, tax: str = "NON", **values: Json
) -> Document:
    """The body of an invoice, a credit memo and the like."""
    line: Document = {
        "Amount": amount,
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"ItemRef": {"value": "1"}, "TaxCodeRef": {"value": tax}},
    }
    return {"CustomerRef": {"value": customer_id}, "Line": [line], **values}


def invoice(company: LocalCompany, customer_id: str, amount: int | Decimal = 100) -> str:
    reply = company.handle("POST", "invoice", {}, form(customer_id, amount))
    return text_of(made(reply, "Invoice"), "Id")


def payment(company: LocalCompany, customer_id: str, amount: int, invoice_id: str = "") -> str:
    lines: list[Json] = []
    if invoice_id:
        link: Document = {"TxnId": invoice_id, "TxnType": "Invoice"}
        lines = [{"Amount": amount, "LinkedTxn": [link]}]
    body = {"CustomerRef": {"value": customer_id}, "TotalAmt": amount, "Line": lines}
    return text_of(made(company.handle("POST", "payment", {}, body), "Payment"), "Id")


def found(company: LocalCompany, statement: str) -> list[Document]:
    reply = company.handle("GET", "query", {"query": statement})
    assert reply.status == 200, reply.body
    rows = part_of(json_of(reply), "QueryResponse")
    return next((parts_of(rows, key) for key in rows if isinstance(rows[key], list)), [])


def balance(company: LocalCompany, invoice_id: str) -> Decimal:
    return number_of(company.get("Invoice", invoice_id) or {}, "Balance")
