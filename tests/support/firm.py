"""A small firm to test with: organization, lane, and the records it writes."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.accounts import Organization
from models.outbox import Entry, Lane
from models.sales import Invoice, InvoiceLine, Lead, Payment, Product, RecordType
from outbox import lanes


def new_firm(session: Session, *, name: str = "Rivera Plumbing LLC", region: str = "US") -> int:
    """An organization without QuickBooks. Commits."""
    firm = Organization(name=name, region=region, time_zone="America/Los_Angeles")
    session.add(firm)
    session.commit()
    return firm.id


def new_firm_with_lane(session: Session, *, name: str = "Rivera Plumbing LLC") -> tuple[int, int]:
    """An organization whose lane takes entries: (organization, lane). Commits."""
    firm = new_firm(session, name=name)
    lane = lanes.create(session, firm)
    session.commit()
    return firm, lane.id


def new_lead(firm: int, name: str = "Green Lawn Co", **fields: str) -> Lead:
    return Lead(organization_id=firm, name=name, **fields)


def new_product(firm: int, name: str = "Sprinkler repair", price: str = "120") -> Product:
    return Product(organization_id=firm, name=name, unit_price=Decimal(price))


def new_line(
    firm: int,
    description: str = "Sprinkler repair",
    quantity: str = "1",
    price: str = "100",
    *,
    position: int = 1,
    product: Product | None = None,
    taxable: bool = False,
) -> InvoiceLine:
    return InvoiceLine(
        organization_id=firm,
        position=position,
        product=product,
        description=description,
        quantity=Decimal(quantity),
        unit_price=Decimal(price),
        taxable=taxable,
    )


def new_invoice(
    firm: int,
    lead: Lead,
    lines: Sequence[InvoiceLine] = (),
    *,
    number: str = "1001",
    tax_rate: str = "0",
) -> Invoice:
    return Invoice(
        organization_id=firm,
        lead=lead,
        number=number,
        issued_on=date(2026, 11, 18),
        due_on=date(2026, 12, 18),
        tax_rate=Decimal(tax_rate),
        lines=list(lines) or [new_line(firm)],
    )


def new_payment(firm: int, invoice: Invoice, amount: str = "40", method: str = "card") -> Payment:
    return Payment(
        organization_id=firm,
        invoice=invoice,
        amount=Decimal(amount),
        method=method,
        received_on=date(2026, 11, 20),
    )


def entries_of(
    session: Session, type_: RecordType | None = None, record_id: int | None = None
) -> list[Entry]:
    """Entries in the order of their numbers, as the database has them now."""
    session.rollback()
    session.expire_all()
    query = select(Entry).order_by(Entry.id)
    if type_ is not None:
        query = query.where(Entry.record_type == type_)
    if record_id is not None:
        query = query.where(Entry.record_id == record_id)
    return list(session.scalars(query))


def states(session: Session) -> list[str]:
    """Of every entry, in order."""
    return [entry.state for entry in entries_of(session)]


def lane_of(session: Session, lane_id: int) -> Lane:
    session.expire_all()
    return session.get_one(Lane, lane_id)
