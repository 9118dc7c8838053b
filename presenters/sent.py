"""What changed: by cleaning text for QuickBooks, and in DunaHub since it was sent."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from languages import N_
from models.base import Json
from models.outbox import Entry
from models.snapshots import SNAPSHOTS
from quickbooks.kinds import KINDS
from web.access import session
from web.formats import money
from web.languages import _

LABELS = {
    "name": N_("Name"),
    "quickbooks_name": N_("Name in QuickBooks"),
    "company_name": N_("Company"),
    "email": N_("E-mail"),
    "phone": N_("Phone"),
    "street": N_("Street"),
    "city": N_("City"),
    "state": N_("State"),
    "postal_code": N_("ZIP code"),
    "number": N_("Number"),
    "issued_on": N_("Issued"),
    "due_on": N_("Due"),
    "memo": N_("Message to the customer"),
    "lines": N_("Lines"),
    "discount_amount": N_("Discount"),
    "tax_amount": N_("Tax"),
    "total": N_("Total"),
    "amount": N_("Amount"),
    "method": N_("Paid by"),
    "received_on": N_("Received"),
    "note": N_("Note"),
    "refunded_amount": N_("Refunded or returned"),
    "refunded_on": N_("Refunded"),
}
_AMOUNTS = frozenset({"discount_amount", "tax_amount", "total", "amount", "refunded_amount"})
_SEEN_AS_A_WHOLE = frozenset({"lines"})


@dataclass(frozen=True)
class Change:
    label: str
    was: str
    now: str


def cleaned_of(entry: Entry) -> Sequence[Change]:
    """Texts that QuickBooks cannot store as they are, with what it got instead."""
    return [
        Change(_(LABELS[one.field]) if one.field in LABELS else one.field, one.was, one.became)
        for one in KINDS[entry.record_type].cleanings(entry.payload)
    ]


def changes_since(entry: Entry) -> Sequence[Change]:
    """Fields of the record that have changed since this entry."""
    now = _as_it_is(entry)
    if now is None:
        return []
    was = entry.payload
    if "discount_amount" in {**was, **now}:  # left out of a snapshot without a discount
        was, now = {"discount_amount": "0.00", **was}, {"discount_amount": "0.00", **now}
    return [
        Change(_(label), _shown(name, was), _shown(name, now))
        for name, label in LABELS.items()
        if name in now and name in was and now[name] != was[name]
    ]


def _as_it_is(entry: Entry) -> Json | None:
    kind = entry.record_type
    row = session().execute(
        text(f"SELECT payload FROM ({SNAPSHOTS[kind]} WHERE {kind.value}.id = :id) AS snapshot"),  # noqa: S608
        {"id": entry.record_id},
    )
    found: Json | None = row.scalar_one_or_none()
    return found


def _shown(name: str, payload: Json) -> str:
    value = payload[name]
    if name in _SEEN_AS_A_WHOLE:
        return "; ".join(f"{line['description']} {money(line['amount'])}" for line in value)
    if name in _AMOUNTS:
        return money(value)
    return str(value or _("nothing"))
