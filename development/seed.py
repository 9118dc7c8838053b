"""Demo organizations, put once into an empty database."""

from datetime import timedelta
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import make_engine, make_sessions
from development import month
from models.accounts import Organization, Region, Role, User
from models.clients import Letterhead
from models.passwords import DEMO_PASSWORD, hash_password
from models.sales import Job, JobLine, Lead, Product, Proposal, ProposalLine, ProposalStatus
from outbox.capture import attach


def seed_once(database_url: str, *, with_a_month: bool = False) -> bool:
    """Seeds a database that holds no user yet; any other it leaves alone. Returns whether it did.

    `with_a_month`: adds last month's records to each firm.
    """
    engine = make_engine(database_url, pool_size=1)
    sessions = make_sessions(engine)
    attach(sessions)
    with sessions() as session:
        is_empty = session.scalar(select(User.id).limit(1)) is None
        if is_empty:
            _seed(session)
            if with_a_month:
                month.add(session)
            session.commit()
    engine.dispose()
    return is_empty


def _seed(session: Session) -> None:
    password_hash = hash_password(DEMO_PASSWORD)

    def firm(
        name: str, region: Region, time_zone: str, tax_rate: str, *people: tuple[str, str, Role]
    ) -> int:
        organization = Organization(
            name=name, region=region, time_zone=time_zone, tax_rate=Decimal(tax_rate)
        )
        session.add(organization)
        session.flush()
        for email, person, role in people:
            session.add(
                User(
                    organization_id=organization.id,
                    email=email,
                    name=person,
                    role=role,
                    password_hash=password_hash,
                )
            )
        return organization.id

    rivera = firm(
        "Rivera Plumbing LLC",
        Region.US,
        "America/Los_Angeles",
        "8.625",
        ("ana@rivera.example", "Ana Rivera", Role.OWNER),
        ("tom@rivera.example", "Tom Becker", Role.MEMBER),
    )
    oak = firm(
        "Oak HVAC Inc",
        Region.US,
        "America/Chicago",
        "10.25",
        ("carla@oakhvac.example", "Carla Oak", Role.OWNER),
    )
    silva = firm(
        "Silva Reformas",
        Region.BR,
        "America/Sao_Paulo",
        "5",
        ("bruno@silva.example", "Bruno Silva", Role.OWNER),
    )
    session.add(
        User(
            email="admin@dunahub.example",
            name="Dana Hub",
            role=Role.ADMIN,
            password_hash=password_hash,
        )
    )
    session.add(
        Letterhead(
            organization_id=rivera,
            address="210 Oak Ave\nSacramento, CA 95814",
            phone="(916) 555-0142",
            email="office@rivera.example",
            license_number="884210",
        )
    )
    _plumbing(session, rivera)
    _heating(session, oak)
    session.add(Lead(organization_id=silva, name="Mariana Costa", city="São Paulo"))


def _plumbing(session: Session, organization_id: int) -> None:
    def product(name: str, description: str, price: str, *, taxable: bool) -> Product:
        return Product(
            organization_id=organization_id,
            name=name,
            description=description,
            unit_price=Decimal(price),
            taxable=taxable,
        )

    cleaning = product("Drain cleaning", "Clear a blocked drain", "185", taxable=False)
    heater = product("Water heater, 50 gal", "Gas water heater, installed", "1249", taxable=True)
    labor = product("Labor", "Plumber, per hour", "96.50", taxable=False)
    maria = Lead(
        organization_id=organization_id,
        name="Maria Okafor",
        email="maria.okafor@example.com",
        phone="(415) 555-0142",
        street="2210 Clement St",
        city="San Francisco",
        state="CA",
        postal_code="94121",
    )
    lawn = Lead(
        organization_id=organization_id,
        name="Peter Lindqvist",
        given_name="Peter",
        family_name="Lindqvist",
        company_name="Green Lawn Co",
        email="office@greenlawn.example",
        phone="(510) 555-0187",
        street="88 Orchard Ave",
        city="Oakland",
        state="CA",
        postal_code="94610",
        notes="Gate code with the office.",
    )
    session.add_all([cleaning, heater, labor, maria, lawn])
    session.flush()
    session.add(
        Job(
            organization_id=organization_id,
            lead=lawn,
            title="Replace the sprinkler valve",
            scheduled_on=session.scalar(select(func.current_date() + timedelta(days=3))),
            lines=[_job_line(organization_id, "Replace the sprinkler valve", "640")],
        )
    )
    session.add(
        Proposal(
            organization_id=organization_id,
            lead=maria,
            number=_next_proposal_number(session, organization_id),
            title="New water heater",
            status=ProposalStatus.SENT,
            tax_rate=Decimal("8.625"),
            lines=[
                ProposalLine(
                    organization_id=organization_id,
                    position=position,
                    product_id=item.id,
                    description=item.description,
                    quantity=Decimal(quantity),
                    unit_price=item.unit_price,
                    taxable=item.taxable,
                )
                for position, (item, quantity) in enumerate([(heater, "1"), (labor, "3.5")], 1)
            ],
        )
    )


def _heating(session: Session, organization_id: int) -> None:
    school = Lead(
        organization_id=organization_id,
        name="Helen Brandt",
        given_name="Helen",
        family_name="Brandt",
        company_name="Lakeside Montessori",
        email="helen@lakeside.example",
        phone="(312) 555-0119",
        city="Chicago",
        state="IL",
        postal_code="60640",
    )
    session.add_all(
        [
            Product(
                organization_id=organization_id,
                name="Furnace tune-up",
                description="Yearly inspection and cleaning",
                unit_price=Decimal("149"),
            ),
            Product(
                organization_id=organization_id,
                name="Filter 16×25",
                description="MERV 11 filter",
                unit_price=Decimal("24.90"),
                taxable=True,
            ),
            school,
            Job(
                organization_id=organization_id,
                lead=school,
                title="Autumn furnace tune-up",
                lines=[_job_line(organization_id, "Furnace tune-up", "149", quantity="2")],
            ),
        ]
    )


def _job_line(
    organization_id: int, description: str, price: str, *, quantity: str = "1"
) -> JobLine:
    return JobLine(
        organization_id=organization_id,
        position=1,
        description=description,
        quantity=Decimal(quantity),
        unit_price=Decimal(price),
    )


def _next_proposal_number(session: Session, organization_id: int) -> str:
    organization = session.get_one(Organization, organization_id)
    organization.last_proposal_number += 1
    return str(organization.last_proposal_number)
