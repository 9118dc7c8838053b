"""Customers of the connected company that a lead could be."""

from sqlalchemy import or_, select

from models.base import Json
from models.outbox import Counterpart
from models.quickbooks import Connection, Customer
from models.sales import RecordType
from web.access import session

MAX_CHOICES = 50  # customers to choose from; others are found by search


def free_customers(connection: Connection, wanted: str) -> list[Json]:
    """Active customers that no lead is linked to, whose name or address contains `wanted`."""
    taken = select(Counterpart.remote_id).where(
        Counterpart.lane_id == connection.lane_id,
        Counterpart.record_type == RecordType.LEAD,
        Counterpart.remote_id.is_not(None),
    )
    query = select(Customer).where(
        Customer.connection_id == connection.id, Customer.active, Customer.remote_id.not_in(taken)
    )
    if wanted:
        query = query.where(
            or_(
                Customer.name.icontains(wanted, autoescape=True),
                Customer.email.icontains(wanted, autoescape=True),
            )
        )
    found = session().scalars(query.order_by(Customer.name_key).limit(MAX_CHOICES))
    return [
        {"id": one.remote_id, "name": one.name, "email": one.email, "phone": one.phone}
        for one in found
    ]
