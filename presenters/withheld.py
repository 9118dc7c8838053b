"""Changes made while QuickBooks was disconnected, with both values, for the owner to decide."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from languages import N_
from models.base import Json
from models.outbox import Entry, Operation, State
from models.quickbooks import Connection
from outbox.changes import changed_fields
from presenters.addresses import address_of
from presenters.rows import title_of
from web.access import session
from web.formats import money
from web.languages import _

MAX_RECORDS_SHOWN = 25

_LABELS = {
    "name": N_("Name"),
    "quickbooks_name": N_("Name in QuickBooks"),
    "given_name": N_("First name"),
    "family_name": N_("Last name"),
    "company_name": N_("Company"),
    "email": N_("E-mail"),
    "phone": N_("Phone"),
    "street": N_("Street"),
    "city": N_("City"),
    "state": N_("State"),
    "postal_code": N_("ZIP code"),
    "number": N_("Number"),
    "issued_on": N_("Date"),
    "due_on": N_("Due"),
    "memo": N_("Message"),
    "total": N_("Total"),
    "amount": N_("Amount"),
    "refunded_amount": N_("Refunded"),
    "received_on": N_("Received"),
    "refunded_on": N_("Date"),
    "note": N_("Note"),
}
_MONEY = frozenset({"total", "amount", "refunded_amount"})


@dataclass(frozen=True)
class ChangedValue:
    """One field that differs."""

    label: str
    there: str  # as it was sent
    here: str


@dataclass(frozen=True)
class Withheld:
    """One record that waits for the owner's decision."""

    title: str
    address: str | None
    is_new: bool  # never sent before
    changes: tuple[ChangedValue, ...]


def withheld_of(connection: Connection) -> list[Withheld]:
    """The first records that wait, with what was sent and what DunaHub has now."""
    entries = (
        session()
        .scalars(
            select(Entry)
            .where(
                Entry.lane_id == connection.lane_id,
                Entry.organization_id == connection.organization_id,
                Entry.state == State.PENDING,
                Entry.withheld,
            )
            .order_by(Entry.id.desc())
            .limit(MAX_RECORDS_SHOWN)
        )
        .all()
    )
    newest = {entry.record: entry for entry in reversed(entries)}
    return [_shown(entry) for entry in newest.values()]


def _shown(entry: Entry) -> Withheld:
    link = entry.counterpart
    sent = link.sent_values if link else None
    changes = () if sent is None else tuple(_changes(entry, sent))
    return Withheld(title_of(entry), address_of(entry.record), sent is None, changes)


def _changes(entry: Entry, sent: Json) -> Iterator[ChangedValue]:
    if entry.operation is Operation.VOID:
        yield ChangedValue(_("State"), _("in use"), _("void"))
        return
    for field in changed_fields(entry.payload, sent):
        if field in _LABELS:
            yield ChangedValue(_(_LABELS[field]), _value(field, sent), _value(field, entry.payload))


def _value(field: str, payload: Json) -> str:
    value: Any = payload.get(field)
    if value in (None, ""):
        return "–"
    return money(value) if field in _MONEY else str(value)
