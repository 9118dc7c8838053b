"""Addresses of a record: its page, the form that fixes it, and its page in QuickBooks."""

from typing import Any

from flask import url_for

from models.outbox import Counterpart, Entry, LaneState, State
from models.quickbooks import Connection
from models.sales import Record
from presenters.record_types import SHOWN
from quickbooks.faults import IS_LINKED, Explanation, explain
from quickbooks.links import record_url
from web.access import dunahub, person
from web.languages import reader


def address_in_quickbooks(connection: Connection | None, link: Counterpart | None) -> str | None:
    """The object's page in QuickBooks, for a person who is signed in there."""
    if connection is None or link is None or link.remote_id is None or link.gone_at:
        return None
    return record_url(dunahub().config, connection, link.record_type, link.remote_id)


def explanation_of(entry: Entry, link: Counterpart | None = None) -> Explanation | None:
    """Explains why an entry failed or is being retried. `link`: what QuickBooks has of its record,
    without which its effect is not known."""
    if not entry.fault_code:
        return None
    about = {"record": entry.record_type, IS_LINKED: link is not None, **entry.fault_about}
    return explain(entry.fault_code, about, entry.fault_detail or "", reader())


def address_of(record: Record) -> str:
    """The record's page in DunaHub."""
    return _address(SHOWN[record.type].page, record)


def _address(endpoint: str, record: Record, **values: str) -> str:
    known: dict[str, Any] = {SHOWN[record.type].key: record.id, **values}
    return url_for(endpoint, **known)


# Decisions about a record that are made on its page, in its panel.
_CHOICES = frozenset(
    "link_existing send_as choose_customer create_new create_again reactivate other_item fallback"
    " let_quickbooks_number".split()
)


def help_address_of(entry: Entry) -> str | None:
    """Where this person fixes it: by a choice on the record's page, or in the record's form."""
    explanation = explanation_of(entry)
    offered = {action.name for action in explanation.actions} if explanation else set()
    has_panel = SHOWN[entry.record_type].has_panel
    if is_failed(entry) and offered & _CHOICES and has_panel and person().keeps_books:
        panel = f"panel-{entry.record_type.value}-{entry.record_id}"
        return f"{address_of(entry.record)}#{panel}"
    return fix_address_of(entry)


def fix_address_of(entry: Entry) -> str | None:
    """The record's form, at the field that fixes its fault."""
    explanation = explanation_of(entry)
    fix = entry.fault_field or (explanation.field if explanation else None)
    form = SHOWN[entry.record_type].form
    if not is_failed(entry) or not fix or form is None:
        return None
    return _address(form, entry.record, fix=fix)


def is_failed(entry: Entry) -> bool:
    """Whether it needs a person now, and not once its company is connected again."""
    return entry.state == State.FAILED and entry.lane.state != LaneState.CLOSED
