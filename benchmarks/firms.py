"""Firms with a QuickBooks company each, connected as by an owner, and their records."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.quickbooks import Connection
from models.sales import Invoice, InvoiceLine, Lead, Payment, Product
from simulator.testing import SimulatorHandle
from tests.support.connected import connect, firm_of, new_owner
from tests.support.firm import new_firm

ISSUED_ON, DUE_ON = date(2026, 11, 18), date(2026, 12, 18)
COMMIT_EVERY = 500  # records, while a database is filled


@dataclass(frozen=True)
class Firm:
    id: int
    lane_id: int
    realm: str
    product_ids: Sequence[int]


def new_firms(
    sessions: Sessions, config: Config, simulator: SimulatorHandle, count: int
) -> list[Firm]:
    """Organizations with their own companies, connected through Intuit's consent page."""
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the simulator speaks plain http
    return [_new_firm(sessions, config, simulator, number) for number in range(count)]


def _new_firm(sessions: Sessions, config: Config, simulator: SimulatorHandle, number: int) -> Firm:
    realm = simulator.add_company(f"Company {number}")
    simulator.company(realm, CustomTxnNumbers=True)  # our own invoice numbers
    with sessions() as session:
        firm_id = new_firm(session, name=f"Firm {number}")
        owner = new_owner(session, firm_id, f"owner{number}@example.com")
        products = [
            Product(organization_id=firm_id, name=f"Service {each}", unit_price=Decimal(80))
            for each in range(3)
        ]
        session.add_all(products)
        session.commit()
        product_ids = tuple(product.id for product in products)
    assert firm_of(owner) == firm_id
    connect(sessions, config, owner, realm)
    with sessions() as session:
        lane_id = session.scalars(
            select(Connection.lane_id).where(Connection.organization_id == firm_id)
        ).one()
    return Firm(firm_id, lane_id, realm, product_ids)


def new_customer(firm: Firm, name: str) -> Lead:
    return Lead(
        organization_id=firm.id,
        name=name,
        email=f"{name.replace(' ', '.').lower()}@example.com",
        phone="555-0142",
        street="12 Main Street",
        city="Fresno",
        state="CA",
        postal_code="93650",
    )


def new_invoice(firm: Firm, customer: Lead, number: str, *, lines: int = 3) -> Invoice:
    return Invoice(
        organization_id=firm.id,
        lead=customer,
        number=number,
        issued_on=ISSUED_ON,
        due_on=DUE_ON,
        tax_rate=Decimal(0),
        lines=[
            InvoiceLine(
                organization_id=firm.id,
                position=position,
                product_id=firm.product_ids[position % len(firm.product_ids)],
                description="Labor and parts",
                quantity=Decimal("1.5"),
                unit_price=Decimal(80 + position),
            )
            for position in range(lines)
        ],
    )


def new_payment(firm: Firm, invoice: Invoice) -> Payment:
    return Payment(
        organization_id=firm.id,
        invoice=invoice,
        amount=Decimal(40),
        method="card",
        received_on=ISSUED_ON,
    )


def save_customers(session: Session, firm: Firm, count: int) -> list[Lead]:
    saved: list[Lead] = []
    for first in range(0, count, COMMIT_EVERY):
        names = range(first, min(first + COMMIT_EVERY, count))
        some = [new_customer(firm, f"Customer {number}") for number in names]
        session.add_all(some)
        session.commit()
        saved += some
    return saved


def save_chains(session: Session, firm: Firm, customers: int, invoices: int, payments: int) -> None:
    """Customers, invoices for them in turn, and payments of the first invoices."""
    people = save_customers(session, firm, customers)
    made: list[Invoice] = []
    for number in range(invoices):
        made.append(new_invoice(firm, people[number % customers], str(1000 + number)))
        session.add(made[-1])
        if number % COMMIT_EVERY == COMMIT_EVERY - 1:
            session.commit()
    session.commit()
    for invoice in made[:payments]:
        session.add(new_payment(firm, invoice))
    session.commit()
