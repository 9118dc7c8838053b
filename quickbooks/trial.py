"""What would happen to a firm's records in a company, without any calls.

Uses the engine's own rules (`composing`, `payloads`), and what was read of the company when it was
chosen, or last since. It cannot foresee what only QuickBooks knows: whether a vendor or employee
has a customer's name, and the tax that it computes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from models.base import Json
from models.outbox import Counterpart, Operation
from models.quickbooks import Connection, UnconfirmedCompany
from models.sales import Record, RecordType
from models.snapshots import SNAPSHOTS
from outbox.company import Due, Fault, Rejected, Remote, Synced
from quickbooks import directory, matching, payloads
from quickbooks.composing import compose
from quickbooks.facts import FALLBACK_ITEM, for_documents
from quickbooks.faults import ours
from quickbooks.payloads import NotWritable

LEADS = 10  # the newest: enough to see the rules at work
_YET_TO_COME = Remote("0", "0")  # sent along with an invoice, so it has no id there yet


class Fate(StrEnum):
    """What would happen to a lead."""

    THERE = "there"  # sent before, or linked
    LINK = "link"
    CREATE = "create"
    ASK = "ask"
    WAIT = "wait"  # until the company's customers have been read


@dataclass(frozen=True)
class TriedLead:
    """What would happen to a lead in QuickBooks."""

    key: int
    name: str
    fate: Fate
    customer: str | None = None  # the customer in QuickBooks that it would be linked to
    customer_id: str | None = None
    fault: Fault | None = None  # the question that a person would get


@dataclass(frozen=True)
class TriedLine:
    """A line of an invoice as QuickBooks would show it."""

    description: str
    item: str
    is_new_item: bool
    quantity: str
    price: str
    amount: str


@dataclass(frozen=True)
class TriedInvoice:
    """An invoice as it would be sent."""

    key: int
    number: str
    is_our_number: bool
    customer: str
    issued_on: str
    due_on: str
    lines: Sequence[TriedLine]
    tax: str  # as we computed it
    tax_mode: str  # none | line | manual | billed | automated: who computes it there
    total: str
    income_account: str | None
    fault: Fault | None = None  # the question that a person would get


@dataclass(frozen=True)
class Books:
    """What we know of a company, connected or only chosen."""

    settings: Json
    facts: Json
    customers: list[Json] | None  # from `directory.candidates`; None: not read
    links: Mapping[Record, Remote]


# --- What we know ---------------------------------------------------------------------------------


def books_of_choice(
    session: Session, company: UnconfirmedCompany, known: Connection | None
) -> Books:
    """For a company not confirmed yet. `known`: it was connected before."""
    links = _links(session, known.lane_id) if known else {}
    holders = {remote.id: record.id for record, remote in links.items() if _is_lead(record)}
    customers = company.customers
    return Books(
        _settings(company.settings, company.facts),
        company.facts,
        None if customers is None else list(_candidates(customers, holders)),
        links,
    )


def books_of_connection(session: Session, connection: Connection, leads: Sequence[Due]) -> Books:
    """For the connected company."""
    was_read = connection.customers_read_at is not None
    return Books(
        _settings(connection.settings, connection.facts),
        connection.facts,
        directory.candidates(session, connection.lane_id, leads, was_read=was_read),
        _links(session, connection.lane_id),
    )


def _settings(settings: Json, facts: Json) -> Json:
    effective = for_documents(Connection(settings=settings, facts=facts))
    # If the company has no item for lines without a product, confirming creates one.
    return {**effective, "fallback_item_id": effective.get("fallback_item_id") or "0"}


def _links(session: Session, lane_id: int) -> dict[Record, Remote]:
    found = session.scalars(select(Counterpart).where(Counterpart.lane_id == lane_id))
    return {
        one.record: Remote(one.remote_id, one.remote_version or "0")
        for one in found
        if one.remote_id is not None
    }


def _is_lead(record: Record) -> bool:
    return record.type == RecordType.LEAD


def _candidates(rows: Sequence[Json], holders: Mapping[str, int]) -> Iterator[Json]:
    for row in rows:
        if matching.is_object(row) and row.get("DisplayName"):
            yield {
                "id": str(row["Id"]),
                "version": str(row["SyncToken"]),
                "name": str(row["DisplayName"]),
                "email": matching.email_of(row),
                "phone": matching.phone_of(row),
                "active": row.get("Active") is not False,
                "lead_id": holders.get(str(row["Id"])),
                "lead_name": None,
            }


# --- Leads ----------------------------------------------------------------------------------------


def newest_leads(session: Session, organization_id: int, most: int = LEADS) -> list[Due]:
    """As they would be captured now, oldest first."""
    rows = session.execute(
        text(
            f"{SNAPSHOTS[RecordType.LEAD]} WHERE lead.organization_id = :firm"
            " AND lead.deleted_at IS NULL ORDER BY lead.id DESC LIMIT :most"
        ),
        {"firm": organization_id, "most": most},
    ).all()
    return [
        Due(row.id, Record(RecordType.LEAD, row.id), Operation.SAVE, row.payload)
        for row in reversed(rows)
    ]


def try_leads(leads: Sequence[Due], books: Books) -> list[TriedLead]:
    """One after the other, as they would be sent: a customer linked
    to one is not available to the next."""
    customers = None if books.customers is None else [dict(one) for one in books.customers]
    names: dict[str, Due] = {}  # customers that earlier leads would create
    tried = []
    for lead in leads:
        one = _try_lead(lead, customers, names, books)
        tried.append(one)
        if one.fate == Fate.LINK:
            for customer in customers or []:
                if customer["id"] == one.customer_id:
                    customer.update(lead_id=lead.record.id, lead_name=lead.payload["name"])
        elif one.fate == Fate.CREATE:
            names[matching.name_key(payloads.customer_name(lead.payload))] = lead
    return tried


def _try_lead(
    lead: Due, customers: list[Json] | None, names: Mapping[str, Due], books: Books
) -> TriedLead:
    key, name = lead.record.id, str(lead.payload["name"])
    if lead.record in books.links:
        return TriedLead(key, name, Fate.THERE)
    composed = compose([lead], books.links, {**books.settings, "customers": customers})
    verdict = composed.verdicts.get(lead.entry_id)
    if isinstance(verdict, Synced) and verdict.remote:
        names_there = {one["id"]: str(one["name"]) for one in customers or []}
        there = verdict.remote.id
        return TriedLead(key, name, Fate.LINK, names_there.get(there), there)
    if isinstance(verdict, Rejected):
        return TriedLead(key, name, Fate.ASK, fault=verdict.fault)
    if composed.draft is None:
        return TriedLead(key, name, Fate.WAIT)
    if matching.name_key(payloads.customer_name(lead.payload)) in names:
        about = {"holder_name": f"“{payloads.customer_name(lead.payload)}”"}
        return TriedLead(key, name, Fate.ASK, fault=ours("taken_by_another_record", lead, about))
    return TriedLead(key, name, Fate.CREATE)


# --- An invoice -----------------------------------------------------------------------------------


def newest_invoice(session: Session, organization_id: int) -> Due | None:
    """The firm's newest invoice that is not void, as if it were due; None if there is none."""
    row = session.execute(
        text(
            f"{SNAPSHOTS[RecordType.INVOICE]} WHERE invoice.organization_id = :firm"
            " AND invoice.voided_at IS NULL ORDER BY invoice.id DESC LIMIT 1"
        ),
        {"firm": organization_id},
    ).one_or_none()
    if row is None:
        return None
    return Due(row.id, Record(RecordType.INVOICE, row.id), Operation.SAVE, row.payload)


def try_invoice(invoice: Due, books: Books) -> TriedInvoice:
    """The invoice as QuickBooks would get it."""
    payload, settings = invoice.payload, books.settings
    needed = {Record(RecordType(one["type"]), one["id"]): _YET_TO_COME for one in payload["needs"]}
    document: dict[str, Any] = {}
    fault = None
    try:
        document = payloads.invoice(payload, {**needed, **books.links}, settings)
    except NotWritable as refusal:
        fault = refusal.fault
    items = {matching.name_key(one["name"]) for one in books.facts.get("items", [])}
    fallback = _named(books.facts.get("items", []), settings["fallback_item_id"])
    accounts = books.facts.get("income_accounts", [])
    return TriedInvoice(
        key=invoice.record.id,
        number=str(document.get("DocNumber") or payload["number"]),
        is_our_number=payloads.carries_our_number(settings),
        customer=str(payload["lead_name"]),
        issued_on=payload["issued_on"],
        due_on=payload["due_on"],
        lines=[_line(line, items, fallback) for line in payload["lines"]],
        tax=payload["tax_amount"],
        tax_mode=payloads.tax_mode(settings) if Decimal(payload["tax_amount"]) else "none",
        total=payload["total"],
        income_account=_named(accounts, settings.get("income_account_id")),
        fault=fault,
    )


def _line(line: Json, items: set[str], fallback: str | None) -> TriedLine:
    name = line["product_name"]
    item = str(name) if name else fallback or FALLBACK_ITEM
    is_new = matching.name_key(item) not in items
    return TriedLine(
        line["description"], item, is_new, line["quantity"], line["unit_price"], line["amount"]
    )


def _named(rows: Sequence[Json], key: object) -> str | None:
    return next((str(row["name"]) for row in rows if row["id"] == key), None)
