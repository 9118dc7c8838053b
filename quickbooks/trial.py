"""What would happen to a firm's records in a company, without any calls.

Uses the engine's own rules (`composing`, `kinds`), and what was read of the company when it was
chosen, or last since. It cannot foresee what only QuickBooks knows: whether a vendor or employee
has a customer's name, and the tax that it computes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from models.base import Json
from models.outbox import Counterpart, Operation
from models.quickbooks import Connection, UnconfirmedCompany
from models.sales import Record, RecordType
from models.snapshots import SNAPSHOTS
from outbox import counterparts
from outbox.company import Due, Fault, Rejected, Remote, Synced
from quickbooks import directory, kinds, matching, tax
from quickbooks.composing import compose
from quickbooks.discount import amount_of
from quickbooks.documents import Document, NotWritable
from quickbooks.facts import FALLBACK_ITEM, for_documents
from quickbooks.faults import ours
from quickbooks.whose import SAME_EMAIL

LEADS = 10  # the newest: enough to see the rules at work
_SUGGESTION_LONGEST = kinds.customer.NAME_LONGEST - 10  # a number still fits behind it
CREATED_AT_START = "0"  # the item for lines without a product, where the company has none
_YET_TO_COME = Remote("0", "0")  # what goes along with an invoice, and has no number there yet


class Fate(StrEnum):
    """What would happen to a lead."""

    THERE = "there"  # sent before, or linked
    LINK = "link"
    CREATE = "create"
    ASK = "ask"
    WAIT = "wait"  # until the company's customers have been read


class Act(StrEnum):
    """What an owner may choose beforehand for a lead that would ask."""

    USE = "use"  # this customer
    ACTIVATE = "activate"  # this customer, which is inactive there
    CREATE = "create"
    CREATE_AS = "create_as"  # by this name, because its own is taken


@dataclass(frozen=True)
class Choice:
    """One possible answer for a lead that would ask."""

    act: Act
    value: str = ""  # the customer's id, or the name
    customer: Json | None = None  # name, email and phone of the customer

    @property
    def key(self) -> str:
        """The value in the form, as it is stored."""
        return f"{self.act}:{self.value}"

    @classmethod
    def of(cls, key: str) -> "Choice":
        """The choice with this key. Raises ValueError for an unknown act."""
        act, _, value = key.partition(":")
        return cls(Act(act), value)

    @property
    def decision(self) -> Json:
        """The same for the engine: `decisions`."""
        uses = self.act in (Act.USE, Act.ACTIVATE)
        return {
            "use": self.value if uses else None,
            "activate": self.act == Act.ACTIVATE,
            "anew": not uses,
        }


@dataclass(frozen=True)
class TriedLead:
    """What would happen to a lead in QuickBooks."""

    key: int
    name: str
    fate: Fate
    customer: str | None = None  # in QuickBooks: whom it would be linked to, or what it would be
    customer_id: str | None = None
    shares_email: bool | None = None  # with that customer, else the name; None if it was chosen
    fault: Fault | None = None  # what would be asked
    choices: Sequence[Choice] = ()  # what can be answered beforehand
    chosen: str = ""  # the key of the choice that was made


@dataclass(frozen=True)
class TriedLine:
    """A line of an invoice as QuickBooks would show it."""

    description: str
    item: str
    is_new_item: bool
    amount: Decimal


@dataclass(frozen=True)
class TriedInvoice:
    """An invoice as it would be sent."""

    key: int
    number: str
    is_our_number: bool
    customer: TriedLead
    issued_on: str
    due_on: str
    lines: Sequence[TriedLine]
    discount: Decimal  # taken off the subtotal, sent as a line of its own
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
    choices: Mapping[int, str]  # what was chosen for leads that would ask


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
        {int(key): choice for key, choice in company.choices.items()},
    )


def books_of_connection(session: Session, connection: Connection, leads: Sequence[Due]) -> Books:
    """Of a company that is connected, as far as these leads need it."""
    was_read = connection.customers_read_at is not None
    known = counterparts.counterparts_of(session, connection.lane_id, leads).known
    return Books(
        _settings(connection.settings, connection.facts),
        connection.facts,
        directory.candidates(session, connection.lane_id, leads, was_read=was_read),
        _links(session, connection.lane_id),
        {
            record.id: choice
            for record, one in known.items()
            if _is_lead(record) and (choice := _choice_of(one.decision))
        },
    )


def _choice_of(decision: Json) -> str | None:
    if used := decision.get("use"):
        act = Act.ACTIVATE if decision.get("activate") else Act.USE
        return Choice(act, str(used)).key
    return Choice(Act.CREATE).key if decision.get("anew") else None


def _settings(settings: Json, facts: Json) -> Json:
    effective = for_documents(Connection(settings=settings, facts=facts))
    # Where the company has no item for lines without a product, confirming it makes one.
    fallback = effective.get("fallback_item_id") or CREATED_AT_START
    return {**effective, "fallback_item_id": fallback}


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
                "currency": matching.currency_of(row),
                "lead_id": holders.get(str(row["Id"])),
                "lead_name": None,
            }


# --- Leads ----------------------------------------------------------------------------------------


def newest_leads(session: Session, organization_id: int, most: int = LEADS) -> list[Due]:
    """As they would be captured now, the oldest first."""
    newest = "lead.organization_id = :firm AND lead.deleted_at IS NULL ORDER BY lead.id DESC"
    return _due(session, RecordType.LEAD, newest, firm=organization_id, most=most)


def _due(session: Session, type_: RecordType, which: str, most: int, **named: object) -> list[Due]:
    rows = session.execute(
        text(f"{SNAPSHOTS[type_]} WHERE {which} LIMIT :most"), {**named, "most": most}
    ).all()
    return [
        Due(row.id, Record(type_, row.id), Operation.SAVE, row.payload) for row in reversed(rows)
    ]


class _Customers:
    """The company's customers while leads are tried one after the other: whom one of them takes,
    the next can't have."""

    def __init__(self, customers: list[Json] | None) -> None:
        self.listed = None if customers is None else [dict(one) for one in customers]
        self.by_id = {one["id"]: one for one in self.listed or []}
        self.created: dict[str, Due] = {}  # by their names, as names are compared
        self.sent: list[Json] = []  # those of leads that were tried before

    @property
    def known(self) -> list[Json] | None:
        """Those that a lead may be, as `directory.candidates`."""
        return None if self.listed is None else [*self.listed, *self.sent]

    def has(self, name: str) -> bool:
        key = matching.name_key(name)
        return key in self.created or any(
            matching.name_key(one["name"]) == key for one in self.listed or []
        )

    def follow(self, lead: Due, tried: TriedLead) -> None:
        """Changes them as the lead would."""
        if tried.fate in (Fate.LINK, Fate.CREATE):
            id_ = tried.customer_id or f"of lead {lead.record.id}"
            values = dict(lead.payload)
            if tried.fate == Fate.CREATE:
                values["quickbooks_name"] = tried.customer
            self.sent.append(
                directory.as_sent(str(id_), "0", values, lead.record.id, values["name"])
            )
        if tried.fate == Fate.LINK and (taken := self.by_id.get(str(tried.customer_id))):
            taken.update(lead_id=lead.record.id, lead_name=lead.payload["name"], active=True)
        elif tried.fate == Fate.CREATE:
            self.created[matching.name_key(str(tried.customer))] = lead


def try_leads(leads: Sequence[Due], books: Books) -> list[TriedLead]:
    """One after the other, as they would go."""
    customers = _Customers(books.customers)
    tried = []
    for lead in leads:
        one = _try_lead(lead, customers, books)
        customers.follow(lead, one)
        tried.append(one)
    return tried


def _try_lead(lead: Due, customers: _Customers, books: Books) -> TriedLead:
    asked = _without_choice(lead, customers, books)
    chosen = books.choices.get(lead.record.id)
    if chosen is None or asked.fate in (Fate.THERE, Fate.WAIT):
        return asked
    choice = Choice.of(chosen)
    told = _as_chosen(lead, choice, customers)
    offered = asked.choices
    if choice.key not in {one.key for one in offered}:
        offered = (*offered, replace(choice, customer=customers.by_id.get(choice.value)))
    return replace(told, choices=offered, chosen=choice.key)


def _without_choice(lead: Due, customers: _Customers, books: Books) -> TriedLead:
    key, name = lead.record.id, str(lead.payload["name"])
    if lead.record in books.links:
        return TriedLead(key, name, Fate.THERE)
    settings = {**books.settings, "customers": customers.known}
    composed = compose([lead], books.links, settings)
    verdict = composed.verdicts.get(lead.entry_id)
    if isinstance(verdict, Synced) and verdict.remote:
        there = verdict.remote.id
        shares_email = verdict.note == SAME_EMAIL
        return TriedLead(key, name, Fate.LINK, customers.by_id[there]["name"], there, shares_email)
    if isinstance(verdict, Rejected):
        return _asking(lead, verdict.fault, customers)
    if composed.draft is None:
        return TriedLead(key, name, Fate.WAIT)
    return _create(lead, kinds.customer.name_of(lead.payload), customers)


def _create(lead: Due, name: str, customers: _Customers) -> TriedLead:
    if matching.name_key(name) in customers.created:
        about = {"holder_name": f"“{name}”"}
        return _asking(lead, ours("taken_by_another_record", lead, about), customers)
    # An active customer does not keep what marks the inactive ones.
    created = name.removesuffix(matching.INACTIVE_SUFFIX)
    return TriedLead(lead.record.id, str(lead.payload["name"]), Fate.CREATE, created)


def _as_chosen(lead: Due, choice: Choice, customers: _Customers) -> TriedLead:
    key, name = lead.record.id, str(lead.payload["name"])
    if choice.act in (Act.USE, Act.ACTIVATE):
        found = customers.by_id.get(choice.value)
        there = None if found is None else str(found["name"]).removesuffix(matching.INACTIVE_SUFFIX)
        return TriedLead(key, name, Fate.LINK, there, choice.value)
    try:
        created = choice.value or kinds.customer.name_of(lead.payload)
    except NotWritable as refusal:
        return _asking(lead, refusal.fault, customers)
    if customers.has(created):
        about = {"name": created}
        return _asking(lead, ours("6240", lead, about), customers)
    return _create(lead, created, customers)


# --- What can be chosen for a lead ----------------------------------------------------------------

# Faults whose cure is to say which customer it is. For the others the lead itself must change.
_ABOUT_CUSTOMERS = (
    "several_customers",
    "perhaps_another",
    "perhaps_ours",
    "taken_by_another_record",
    "customer_inactive",
    "other_currency",
    "6240",
)


def _asking(lead: Due, fault: Fault, customers: _Customers) -> TriedLead:
    choices = tuple(_choices(lead, fault, customers)) if fault.code in _ABOUT_CUSTOMERS else ()
    return TriedLead(
        lead.record.id, str(lead.payload["name"]), Fate.ASK, fault=fault, choices=choices
    )


def _choices(lead: Due, fault: Fault, customers: _Customers) -> Iterator[Choice]:
    told = [one["id"] for one in fault.about.get("candidates") or []]
    for id_ in filter(None, told or [fault.about.get("holder_id")]):
        one = customers.by_id.get(str(id_))
        if one is not None and not matching.has_other_currency(one.get("currency", "")):
            shown = {"name": one["name"], "email": one["email"], "phone": one["phone"]}
            yield Choice(Act.USE if one["active"] else Act.ACTIVATE, one["id"], shown)
    if customers.has(kinds.customer.name_of(lead.payload)):
        yield Choice(Act.CREATE_AS, _free_name(lead, customers))
    else:
        yield Choice(Act.CREATE)


def _free_name(lead: Due, customers: _Customers) -> str:
    """The name that would be suggested, with a number where that is taken too."""
    named = {**lead.payload, "quickbooks_name": kinds.customer.suggested_name(lead.payload)}
    suggested = name = kinds.customer.name_of(named)[:_SUGGESTION_LONGEST]
    number = 2
    while customers.has(name):
        number += 1
        name = f"{suggested} {number}"
    return name


# --- Invoices -------------------------------------------------------------------------------------


def newest_invoices(session: Session, organization_id: int, most: int = 1) -> list[Due]:
    """The firm's newest invoices that are not void, as if they were due, the oldest first."""
    newest = (
        "invoice.organization_id = :firm AND invoice.voided_at IS NULL ORDER BY invoice.id DESC"
    )
    return _due(session, RecordType.INVOICE, newest, firm=organization_id, most=most)


def needed_by(session: Session, invoices: Sequence[Due]) -> list[Due]:
    """The leads and products of these invoices, as they would be captured now."""
    found: list[Due] = []
    for type_ in (RecordType.LEAD, RecordType.PRODUCT):
        ids = {
            need["id"]
            for invoice in invoices
            for need in invoice.payload["needs"]
            if need["type"] == type_
        }
        which = f"{type_.value}.id = ANY(:ids) ORDER BY {type_.value}.id DESC"
        found += _due(session, type_, which, ids=sorted(ids), most=len(ids))
    return found


def try_invoice(
    invoice: Due, needed: Sequence[Due], customer: TriedLead, books: Books
) -> TriedInvoice:
    """As QuickBooks would get it, or why it would not. `needed`: `needed_by` it."""
    payload, settings = invoice.payload, books.settings
    links = {**{one.record: _YET_TO_COME for one in needed}, **books.links}
    products = {one.record.id: one for one in needed if one.record.type == RecordType.PRODUCT}
    document: Document = {}
    fault = None
    try:
        for product in products.values():
            if product.record not in books.links:
                kinds.item.document(product.payload, {}, settings)
        document = kinds.invoice.document(payload, links, settings)
    except NotWritable as refusal:
        fault = refusal.fault
    items = books.facts.get("items", [])
    fallback = _named(items, settings["fallback_item_id"]) or FALLBACK_ITEM
    names = [
        _item_name(products.get(line["product_id"]), fallback, books) for line in payload["lines"]
    ]
    known = {matching.name_key(one["name"]) for one in items}
    return TriedInvoice(
        key=invoice.record.id,
        number=str(document.get("DocNumber") or payload["number"]),
        is_our_number=kinds.invoice.carries_our_number(settings),
        customer=customer,
        issued_on=payload["issued_on"],
        due_on=payload["due_on"],
        lines=list(_lines(payload, document, names, fallback, known)),
        discount=amount_of(payload),
        tax=payload["tax_amount"],
        tax_mode=_tax_mode(payload, settings),
        total=payload["total"],
        income_account=_named(
            books.facts.get("income_accounts", []), settings.get("income_account_id")
        ),
        fault=fault,
    )


def _tax_mode(payload: Json, settings: Json) -> str:
    """Whether QuickBooks adds tax does not depend on ours: less than half a cent is none here."""
    is_taxed = any(line["taxable"] for line in payload["lines"])
    if Decimal(payload["tax_amount"]) or (is_taxed and tax.taxes_lines(payload, settings)):
        return tax.mode_of(settings)
    return "none"


def _lines(
    payload: Json,
    document: Document,
    names: Sequence[str],
    fallback: str,
    known: set[str],
) -> Iterator[TriedLine]:
    """As they would be sent; where nothing would be, as they are here."""
    if not document:
        for line, item in zip(payload["lines"], names, strict=True):
            is_new = matching.name_key(item) not in known
            yield TriedLine(line["description"], item, is_new, Decimal(line["amount"]))
        return
    sent = [line for line in document["Line"] if "SalesItemLineDetail" in line]
    for line, item in zip(sent, [*names, *[fallback] * (len(sent) - len(names))], strict=True):
        is_new = matching.name_key(item) not in known
        yield TriedLine(line.get("Description", ""), item, is_new, line["Amount"])


def _item_name(product: Due | None, fallback: str, books: Books) -> str:
    """Of a line: the item of its product, or the one for lines without a product."""
    if product is None:
        return fallback
    if (linked := books.links.get(product.record)) is not None:
        there = _named(books.facts.get("items", []), linked.id)
        if there is not None:
            return there
    try:
        return kinds.item.name_of(product.payload)
    except NotWritable:
        return str(product.payload["name"])


def _named(rows: Sequence[Json], key: object) -> str | None:
    return next((str(row["name"]) for row in rows if row["id"] == key), None)
