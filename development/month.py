"""Last month's records of the demo firms, so that DunaHub can be seen in use."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import requests
from sqlalchemy import select
from sqlalchemy.orm import Session

from models.accounts import Organization, Region
from models.sales import (
    Invoice,
    InvoiceLine,
    Job,
    JobLine,
    JobStatus,
    Lead,
    Payment,
    PaymentMethod,
    Product,
)

# Whom the first firm's QuickBooks company has already: one of the same e-mail address, one by a
# client's company, and one of the same name who may be another person.
CUSTOMERS_THERE: tuple[dict[str, object], ...] = (
    {"DisplayName": "Grace Lindqvist", "PrimaryEmailAddr": {"Address": "grace.l@example.com"}},
    {"DisplayName": "Corner Bookshop", "PrimaryEmailAddr": {"Address": "dee@corner.example"}},
    {
        "DisplayName": "Walt Brenner",
        "PrimaryEmailAddr": {"Address": "walt@brenner-roofing.example"},
        "PrimaryPhone": {"FreeFormNumber": "(707) 555-0170"},
    },
)
COMPANY = "9341450000000001"  # the simulator's Rivera Plumbing LLC

DAYS = 30
TERMS = timedelta(days=15)
CLIENTS = (  # name, company, e-mail, phone, city
    ("Maria Santos", "", "maria.santos@example.com", "(415) 555-0101", "San Francisco"),
    ("Tom Okafor", "", "tom.okafor@example.com", "(415) 555-0102", "Daly City"),
    ("Priya Raman", "Sunrise Bakery", "priya@sunrise.example", "(510) 555-0103", "Oakland"),
    ("Jonas Weber", "", "jonas.weber@example.com", "(510) 555-0104", "Berkeley"),
    ("Helen Cho", "Lakeview Dental", "office@lakeview.example", "(510) 555-0105", "Alameda"),
    ("Omar Haddad", "Blue Door Cafe", "omar@bluedoor.example", "(415) 555-0106", "San Francisco"),
    ("Grace Lindqvist", "", "grace.l@example.com", "(650) 555-0107", "San Mateo"),
    ("Sam Whitfield", "Northside Gym", "sam@northside.example", "(510) 555-0108", "Oakland"),
    ("Ines Moreau", "Fern & Stone", "hello@fernstone.example", "(415) 555-0109", "San Francisco"),
    ("Walt Brenner", "", "walt.brenner@example.com", "(650) 555-0110", "Pacifica"),
    ("Dee Castillo", "Corner Bookshop", "dee@corner.example", "(510) 555-0111", "Berkeley"),
    ("Yuki Tanabe", "", "yuki.tanabe@example.com", "(415) 555-0112", "San Francisco"),
)
WORK = (  # days ago, client, quantity of first and second product, percent paid
    (29, 0, "1", "2", 100),
    (27, 2, "2", "0", 100),
    (26, 4, "1", "3.5", 100),
    (24, 1, "0", "2.5", 100),
    (22, 5, "1", "1", 0),
    (21, 3, "1", "4", 100),
    (20, 7, "3", "0", 50),
    (18, 6, "0", "3", 100),
    (17, 0, "1", "0", 0),
    (15, 8, "2", "2", 100),
    (13, 9, "1", "1.5", 100),
    (12, 4, "0", "6", 0),
    (10, 2, "1", "2", 100),
    (8, 10, "2", "1", 0),
    (6, 11, "1", "3", 100),
    (5, 5, "0", "2", 0),
    (3, 1, "1", "1", 100),
    (2, 7, "1", "2.5", 0),
    (1, 8, "0", "1.5", 0),
    (0, 6, "1", "2", 0),
)


def add(session: Session) -> None:
    """Adds them to each demo firm with products. Nothing is sent:
    QuickBooks isn't connected yet."""
    session.flush()
    for organization in session.scalars(select(Organization).order_by(Organization.id)).all():
        products = session.scalars(
            select(Product)
            .where(Product.organization_id == organization.id)
            .order_by(Product.id)
            .limit(2)
        ).all()
        if organization.region == Region.US and len(products) == 2:
            _add_month(session, organization, products[0], products[1])


def _add_month(
    session: Session, organization: Organization, first: Product, second: Product
) -> None:
    today = organization.day_at(datetime.now(UTC))
    leads = [_lead(organization, today, number) for number in range(len(CLIENTS))]
    session.add_all(leads)
    for ago, client, *quantities, paid in WORK:
        issued = today - timedelta(days=ago)
        organization.last_invoice_number += 1
        invoice = Invoice(
            organization_id=organization.id,
            lead=leads[client],
            number=str(organization.last_invoice_number),
            issued_on=issued,
            due_on=issued + TERMS,
            tax_rate=organization.tax_rate,
            created_at=_morning(organization, issued),
            lines=[
                _line(organization, position, product, str(quantity))
                for position, (product, quantity) in enumerate(
                    zip((first, second), quantities, strict=True), 1
                )
                if Decimal(str(quantity))
            ],
        )
        session.add(invoice)
        session.flush()
        session.refresh(invoice)  # the database computes its sums
        if paid:
            session.add(_payment(organization, invoice, paid, min(issued + timedelta(4), today)))
    session.add_all(_jobs(organization, leads, first, today))


def _lead(organization: Organization, today: date, number: int) -> Lead:
    name, company, email, phone, city = CLIENTS[number]
    return Lead(
        organization_id=organization.id,
        name=name,
        company_name=company,
        email=email,
        phone=phone,
        city=city,
        state="CA",
        created_at=_morning(organization, today - timedelta(days=DAYS - number)),
    )


def _line(
    organization: Organization, position: int, product: Product, quantity: str
) -> InvoiceLine:
    return InvoiceLine(
        organization_id=organization.id,
        position=position,
        product_id=product.id,
        description=product.description or product.name,
        quantity=Decimal(quantity),
        unit_price=product.unit_price,
        taxable=product.taxable,
    )


def _payment(organization: Organization, invoice: Invoice, percent: int, day: date) -> Payment:
    amount = (invoice.total * percent / 100).quantize(Decimal("0.01"))
    method = PaymentMethod.ACH if int(invoice.number) % 3 == 0 else PaymentMethod.CARD
    return Payment(
        organization_id=organization.id,
        invoice_id=invoice.id,
        amount=amount,
        method=method,
        received_on=day,
        created_at=_morning(organization, day),
    )


def _jobs(
    organization: Organization, leads: list[Lead], product: Product, today: date
) -> list[Job]:
    planned = ((0, 3, "Leaking shut-off valve"), (1, 9, "Second visit"), (4, 10, "Yearly check"))
    return [
        Job(
            organization_id=organization.id,
            lead=leads[client],
            title=title,
            status=JobStatus.SCHEDULED,
            scheduled_on=today + timedelta(days=days),
            lines=[
                JobLine(
                    organization_id=organization.id,
                    position=1,
                    product_id=product.id,
                    description=product.description or product.name,
                    quantity=Decimal(1),
                    unit_price=product.unit_price,
                    taxable=product.taxable,
                )
            ],
        )
        for days, client, title in planned
    ]


def _morning(organization: Organization, day: date) -> datetime:
    return datetime.combine(day, time(9, 30), tzinfo=organization.zone)


def add_there(simulator_url: str) -> None:
    """Customers and a sale to the simulated company, so that the test drive has something to link
    and to ask. Only to one that has no customer yet."""
    books = requests.get(f"{simulator_url}/_simulator/books/{COMPANY}", timeout=10).json()
    if books.get("Customer"):
        return
    customers = [_there(simulator_url, "Customer", one) for one in CUSTOMERS_THERE]
    service = {"ItemRef": {"value": books["Item"][0]["Id"]}, "Qty": 1, "UnitPrice": 240}
    sold = {"Amount": 240, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": service}
    month_ago = datetime.now(UTC).date() - timedelta(days=DAYS)
    sale: dict[str, object] = {
        "CustomerRef": {"value": customers[0]["Id"]},
        "DocNumber": "988",
        "TxnDate": month_ago.isoformat(),
        "Line": [sold],
    }
    _there(simulator_url, "Invoice", sale)


def _there(simulator_url: str, entity: str, values: dict[str, object]) -> dict[str, object]:
    act = {"act": "create", "entity": entity, **values}
    answer = requests.post(f"{simulator_url}/_simulator/acts/{COMPANY}", json=act, timeout=10)
    answer.raise_for_status()
    created: dict[str, object] = answer.json()
    return created
