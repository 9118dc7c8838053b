"""Entries as rows of a list, for settings, activity and the admin's outbox."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import Select

from models.accounts import Organization
from models.outbox import Entry
from presenters.addresses import address_in_quickbooks, address_of, explanation_of, help_address_of
from presenters.names import called, first_up
from presenters.record_types import SHOWN, parts_of
from presenters.situations import situations_of
from presenters.status import Word, our_total, say
from quickbooks.faults import Explanation
from web.access import person, session, step_out
from web.formats import current_zone, money
from web.languages import _

AT_ONCE = 500  # rows of a download in memory at a time


@dataclass(frozen=True)
class Row:
    entry: Entry
    organization: Organization
    word: Word
    title: str  # "Invoice 1043 · Green Lawn Co"
    amount: str | None
    refunded: str | None  # for a payment
    address: str | None  # of the record in DunaHub
    quickbooks_address: str | None
    explanation: Explanation | None
    fix_address: str | None

    @property
    def amounts(self) -> str:
        """Its amount, and what of it was refunded."""
        refunded = self.refunded and _("%(amount)s refunded", amount=money(self.refunded))
        return " · ".join(part for part in (money(self.amount), refunded) if part)

    @property
    def help_address(self) -> str | None:
        """Where a person may do something about it."""
        if self.fix_address or self.word.tone == "bad":
            return self.fix_address or self.address
        return None

    @property
    def help_words(self) -> str:
        return _("Fix") if self.fix_address or person().keeps_books else _("See why")


def rows_of(entries: Sequence[Entry]) -> list[Row]:
    """Uses a fixed number of queries; times are in the reader's zone."""
    now, zone = datetime.now(UTC), current_zone()
    situations = situations_of(session(), entries)
    rows = []
    for entry in entries:
        it = situations[entry.id]
        rows.append(
            Row(
                entry,
                it.organization,
                say(it, now, zone),
                title_of(entry),
                our_total(entry),
                _refunded(entry),
                address_of(entry.record),
                address_in_quickbooks(it.connection, it.link),
                explanation_of(entry, it.link),
                help_address_of(entry),
            )
        )
    return rows


def _refunded(entry: Entry) -> str | None:
    told = entry.payload.get("refunded_amount")
    return str(told) if told and Decimal(told) else None


def all_rows(fitting: Select[Entry]) -> Iterator[Row]:
    """All rows of the list, newest first, for a streamed file.

    Reads by key, like pages do, so that a slow download holds no cursor open.
    """
    newest_first = fitting.order_by(Entry.id.desc()).limit(AT_ONCE)
    part = list(session().scalars(newest_first))
    while part:
        yield from rows_of(part)
        before = part[-1].id
        step_out()
        part = list(session().scalars(newest_first.where(Entry.id < before)))


def title_of(entry: Entry) -> str:
    """The record's title at the time of the entry."""
    payload, row = entry.payload, SHOWN[entry.record_type].row
    if row is None:
        return first_up(called(entry.record_type, payload.get("title", "")))
    return _(row, **{name: payload.get(name, "") for name in parts_of(row)[1::2]})
