"""Recent acts of people, for the owner: what was done, and to which records."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from flask import url_for
from sqlalchemy import select

from models.accounts import AuditEvent
from models.base import Json
from models.outbox import Entry
from models.sales import Invoice, Payment, Proposal
from presenters.addresses import address_of
from presenters.month import month_title
from presenters.rows import title_of
from quickbooks.comparison import Month
from web.access import firm, session
from web.audit_words import staff_word
from web.languages import _

RECORDS_NAMED = 3  # records listed per act


@dataclass(frozen=True)
class Named:
    title: str
    address: str | None = None


@dataclass(frozen=True)
class ActRow:
    event: AuditEvent
    about: Sequence[Named]
    more: int  # number of further records


def acts_of(events: Sequence[AuditEvent]) -> list[ActRow]:
    """Uses four queries, however many events there are."""
    entries = _entries({key for event in events for key in _entry_ids(event)[:RECORDS_NAMED]})
    numbered = [event for event in events if "number" in event.details]
    invoices = _invoices(
        {str(event.details["number"]) for event in numbered if not _is_of_proposal(event)}
    )
    proposals = _proposals(
        {str(event.details["number"]) for event in numbered if _is_of_proposal(event)}
    )
    payments = _payments({key for event in events if (key := _payment_id(event))})
    return [_act(event, entries, invoices, proposals, payments) for event in events]


def _act(
    event: AuditEvent,
    entries: dict[int, Named],
    invoices: dict[str, str],
    proposals: dict[str, str],
    payments: dict[int, Named],
) -> ActRow:
    ids = _entry_ids(event)
    about = [entries[key] for key in ids[:RECORDS_NAMED] if key in entries]
    if "number" in event.details and not about:
        about.append(_numbered(event, invoices, proposals))
    if (key := _payment_id(event)) in payments and key is not None:
        about.append(payments[key])
    about += _named_in(event.details)
    more = max(0, len(ids) - RECORDS_NAMED) if ids else int(event.details.get("count") or 0)
    return ActRow(event, about, more)


def _numbered(event: AuditEvent, invoices: dict[str, str], proposals: dict[str, str]) -> Named:
    number = str(event.details["number"])
    if _is_of_proposal(event):
        return Named(_("Proposal %(number)s", number=number), proposals.get(number))
    return Named(_("Invoice %(number)s", number=number), invoices.get(number))


def _named_in(told: Json) -> Iterator[Named]:
    """What an event's details say without a look into the books."""
    for name in ("company", "email"):
        if told.get(name):
            yield Named(str(told[name]))
    if told.get("role"):
        yield Named(staff_word(str(told["role"])))
    if month := _month(told.get("month")):
        address = url_for("matches.show", month=month) if firm().has_quickbooks else None
        yield Named(month_title(month), address)


def _is_of_proposal(event: AuditEvent) -> bool:
    """Letters and links say so in their details, the clients' answers by their name."""
    return event.action.startswith("proposal.") or event.details.get("document") == "proposal"


def _entry_ids(event: AuditEvent) -> list[int]:
    told = event.details.get("entries")
    return list(dict.fromkeys(told)) if isinstance(told, list) else []


def _payment_id(event: AuditEvent) -> int | None:
    told = event.details.get("payment")
    return told if isinstance(told, int) else None


def _month(told: object) -> Month | None:
    if not isinstance(told, str) or not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", told):
        return None
    return Month(date(int(told[:4]), int(told[5:]), 1))


def _entries(ids: Iterable[int]) -> dict[int, Named]:
    found = session().scalars(
        select(Entry).where(Entry.organization_id == firm().id, Entry.id.in_(list(ids)))
    )
    return {
        entry.id: Named(
            title_of(entry),
            address_of(entry.record),
        )
        for entry in found
    }


def _invoices(numbers: Iterable[str]) -> dict[str, str]:
    found = session().execute(
        select(Invoice.number, Invoice.id).where(
            Invoice.organization_id == firm().id, Invoice.number.in_(list(numbers))
        )
    )
    return {number: url_for("invoices.show", invoice_id=key) for number, key in found}


def _proposals(numbers: Iterable[str]) -> dict[str, str]:
    found = session().execute(
        select(Proposal.number, Proposal.id).where(
            Proposal.organization_id == firm().id, Proposal.number.in_(list(numbers))
        )
    )
    return {number: url_for("proposals.show", proposal_id=key) for number, key in found}


def _payments(ids: Iterable[int]) -> dict[int, Named]:
    found = session().execute(
        select(Payment.id, Invoice.number)
        .join(Payment.invoice)
        .where(Payment.organization_id == firm().id, Payment.id.in_(list(ids)))
    )
    return {
        key: Named(
            _("Payment for invoice %(number)s", number=number),
            url_for("payments.show", payment_id=key),
        )
        for key, number in found
    }
