"""Customers of the connected company that a lead could be, and the lead that has one already."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import url_for
from sqlalchemy import ColumnElement, or_, select

from models.base import Json
from models.outbox import Counterpart, Entry, State
from models.quickbooks import Connection, Customer
from models.sales import Lead, RecordType
from quickbooks.matching import OUR_CURRENCY
from web.access import session
from web.languages import _

MAX_CHOICES = 50  # customers to choose from; others are found by search


def can_be_invoiced() -> ColumnElement[bool]:
    """SQL condition for customers whose currency our invoices can have."""
    return Customer.currency.in_(["", OUR_CURRENCY])


def free_customers(connection: Connection, wanted: str) -> list[Json]:
    """Active customers that no lead is linked to, whose name or address contains `wanted`, without
    those whose currency our invoices can't have."""
    taken = select(Counterpart.remote_id).where(
        Counterpart.lane_id == connection.lane_id,
        Counterpart.record_type == RecordType.LEAD,
        Counterpart.remote_id.is_not(None),
    )
    query = select(Customer).where(
        Customer.connection_id == connection.id,
        Customer.active,
        can_be_invoiced(),
        Customer.remote_id.not_in(taken),
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


@dataclass(frozen=True)
class LeadAlike:
    """One of two leads that could be the same customer, with what tells them apart."""

    label: str
    name: str
    address: str | None  # of its page
    told: Sequence[str]  # where it is, phone number, e-mail address


def leads_alike(entry: Entry) -> Sequence[LeadAlike]:
    """This lead and the other one that has its customer in QuickBooks; () if there is none."""
    if entry.state != State.FAILED or entry.fault_code != "taken_by_another_record":
        return ()
    other = session().scalar(
        select(Lead)
        .join(Counterpart, Counterpart.record_id == Lead.id)
        .where(
            Lead.organization_id == entry.organization_id,
            Lead.id != entry.record_id,
            Counterpart.lane_id == entry.lane_id,
            Counterpart.record_type == RecordType.LEAD,
            Counterpart.remote_id == str(entry.fault_about.get("holder_id", "")),
        )
        .limit(1)
    )
    this = session().get(Lead, entry.record_id)
    if other is None or this is None or entry.record_type != RecordType.LEAD:
        return ()
    page = url_for("leads.show", lead_id=other.id)
    return (
        LeadAlike(_("The other lead"), other.name, page, _told(other)),
        LeadAlike(_("This lead"), this.name, None, _told(this)),
    )


def _told(lead: Lead) -> list[str]:
    place = f"{lead.city}{', ' if lead.city and lead.state else ''}{lead.state} {lead.postal_code}"
    parts = [lead.company_name, lead.street, place.strip(), lead.phone, lead.email]
    return [part for part in parts if part]
