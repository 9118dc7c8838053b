"""The customer in QuickBooks that a person chose for a lead: which one, and who chose."""

import json

from sqlalchemy import false, or_, select
from sqlalchemy.orm import joinedload

from models.accounts import AuditEvent
from models.base import Json
from models.outbox import Counterpart, Entry
from models.quickbooks import Connection, Customer
from models.sales import Lead, Record, RecordType
from web.access import firm, own, session
from web.languages import _

BY_A_PERSON = "chosen by a person"  # the note of a link, as it is stored
_MAX_ENTRIES = 20  # of one record: its newest, about which a person decided last


def choice_in(connection: Connection | None, record: Record) -> str:
    """What was chosen for a lead and is done when it is sent, as a sentence; "" if nothing."""
    if connection is None or record.type != RecordType.LEAD:
        return ""
    link = session().scalar(
        select(Counterpart).where(
            Counterpart.lane_id == connection.lane_id,
            Counterpart.record == record,
            Counterpart.remote_id.is_(None),
        )
    )
    if link is None:
        return ""
    what = _what(connection, link.decision, own(Lead, record.id))
    by = _who_decided(record, connection) if what else None
    return what + " " + _("Chosen by %(name)s.", name=by) if by else what


def _what(connection: Connection, decision: Json, lead: Lead) -> str:
    if remote_id := decision.get("use"):
        customer = session().get(Customer, (connection.id, remote_id))
        if customer is None:
            return _("When it is sent, it is linked to the customer that was chosen for it.")
        if decision.get("activate"):
            return _(
                "When it is sent, the customer “%(name)s” is made active again and linked.",
                name=customer.name,
            )
        return _("When it is sent, it is linked to the customer “%(name)s”.", name=customer.name)
    if decision.get("anew"):
        name = lead.quickbooks_name or lead.name
        return _("When it is sent, a new customer “%(name)s” is created.", name=name)
    return ""


def customer_there(link: Counterpart, connection: Connection | None) -> str:
    """The customer's name, as QuickBooks said it last; "" if it is not known."""
    if link.record_type != RecordType.LEAD or link.remote_id is None:
        return ""
    if name := json.loads(link.seen or "{}").get("DisplayName"):
        return str(name)
    key = (connection.id, link.remote_id) if connection else None
    customer = session().get(Customer, key) if key else None
    return customer.name if customer else ""


def who_chose(link: Counterpart, connection: Connection | None) -> str | None:
    """Who chose this link. None: no person did, or it is not known who."""
    if link.note != BY_A_PERSON or connection is None:
        return None
    return _who_decided(link.record, connection)


def _who_decided(record: Record, connection: Connection) -> str | None:
    """Who decided about this record last, or confirmed the company, where the first choices are."""
    entries = select(Entry.id).where(Entry.organization_id == firm().id, Entry.record == record)
    ids = session().scalars(entries.order_by(Entry.id.desc()).limit(_MAX_ENTRIES)).all()
    decided = (
        select(AuditEvent)
        .where(
            AuditEvent.organization_id == firm().id,
            AuditEvent.action.startswith("outbox.decided_")
            | (AuditEvent.action == "outbox.customer_taken_back"),
            or_(*(AuditEvent.details.contains({"entries": [key]}) for key in ids), false()),
        )
        .options(joinedload(AuditEvent.user))
        .order_by(AuditEvent.id.desc())
        .limit(1)
    )
    event = session().scalar(decided)
    user = event.user if event else connection.connected_by
    return user.name if user else None
