"""Differences between a month's books here and in QuickBooks. Pure.

Records are matched by their links, or by the mark in our documents if the link is unknown to us.
Amounts are compared to the cent; void documents count as zero.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from models.comparisons import Kind, Reason
from models.outbox import State
from models.sales import RecordType
from quickbooks.matching import name_key

COMPARED = (RecordType.LEAD, RecordType.INVOICE, RecordType.PAYMENT)
_MARK = re.compile(r"DH-[A-Z2-7]{12}")  # as made by `models.sales.new_mark`
_VOIDED = "Voided"  # the beginning of a void document's note

Place = tuple[str, str]  # key by which two documents look alike


WILL_SETTLE = frozenset({Kind.ON_ITS_WAY, Kind.LEFT_OUT})  # these are not counted as differences


@dataclass(frozen=True)
class Month:
    """A calendar month. A document belongs to it by its date, which has no time zone."""

    first: date

    @classmethod
    def of(cls, day: date) -> "Month":
        """The month that has this day."""
        return cls(day.replace(day=1))

    @property
    def next(self) -> "Month":
        """The month after it."""
        year, month = self.first.year, self.first.month
        return Month(date(year + month // 12, month % 12 + 1, 1))

    @property
    def previous(self) -> "Month":
        """The month before it."""
        year, month = self.first.year, self.first.month
        return Month(date(year - (month == 1), (month - 2) % 12 + 1, 1))

    def includes(self, day: date) -> bool:
        """Whether this day is one of its days."""
        return self.first <= day < self.next.first

    def begins_at(self, zone: ZoneInfo) -> datetime:
        """Midnight of its first day in this zone, with that day's offset."""
        return datetime.combine(self.first, time(), zone)

    def __str__(self) -> str:
        return f"{self.first:%Y-%m}"


@dataclass(frozen=True)
class Ours:
    """A record as QuickBooks should have it."""

    key: int
    title: str  # its number or name
    name: str  # the customer's
    day: date
    amount: Decimal
    stands: bool  # neither void nor deleted
    mark: str | None = None
    remote_id: str | None = None
    customer_id: str | None = None  # the customer's id in QuickBooks
    state: str | None = None  # of its newest entry for this company
    was_elsewhere: bool = False  # it has entries for another company
    lacks_invoice: bool = False  # a payment whose invoice was never sent
    paid_back: Decimal = Decimal(0)

    @property
    def is_moving(self) -> bool:
        """Whether something of it is still to be sent, so that a difference means nothing yet."""
        return self.state == State.PENDING


@dataclass(frozen=True)
class Theirs:
    """A customer, an invoice or a payment as QuickBooks has it."""

    id: str
    title: str
    name: str
    day: date
    amount: Decimal
    stands: bool  # neither void nor inactive
    customer_id: str | None = None
    mark: str | None = None
    is_part: bool = False  # a project or sub-customer: part of another customer


@dataclass(frozen=True)
class Found:
    """One difference."""

    kind: Kind
    type: RecordType
    ours: Ours | None
    theirs: Theirs | None
    reason: Reason | None = None
    like: str | None = None  # what a document created in QuickBooks resembles


@dataclass(frozen=True)
class Figures:
    """Totals of the month on both sides, and how much of ours agrees completely."""

    here: int
    there: int
    agree: int
    sum_here: Decimal
    sum_there: Decimal


@dataclass(frozen=True)
class Compared:
    """The result for one record type: the totals, and all differences."""

    figures: Figures
    found: Sequence[Found]


# --- What QuickBooks told -----------------------------------------------------------------------


def theirs_of(type_: RecordType, row: Mapping[str, Any], zone: ZoneInfo) -> Theirs:
    """Parses a row of a query. Raises KeyError or ValueError if it lacks required fields."""
    if type_ == RecordType.LEAD:
        name = _text(row["DisplayName"])
        created = datetime.fromisoformat(str(row["MetaData"]["CreateTime"]))
        return Theirs(
            str(row["Id"]),
            name,
            name,
            created.astimezone(zone).date(),
            Decimal(0),
            stands=row.get("Active") is not False,
            is_part=row.get("Job") is True or row.get("IsProject") is True,
        )
    customer = row.get("CustomerRef") or {}
    total, note = _cents(row["TotalAmt"]), _text(row.get("PrivateNote"))
    number = _text(row.get("DocNumber" if type_ == RecordType.INVOICE else "PaymentRefNum"))
    mark = _MARK.search(note if type_ == RecordType.INVOICE else number)
    return Theirs(
        str(row["Id"]),
        number,
        _text(customer.get("name")),
        date.fromisoformat(str(row["TxnDate"])[:10]),
        total,
        stands=not (total == 0 and note.startswith(_VOIDED)),
        customer_id=str(customer["value"]) if customer.get("value") else None,
        mark=mark[0] if mark else None,
    )


def _text(told: object) -> str:
    return "" if told is None else str(told).replace("\0", "")  # PostgreSQL cannot store NUL


def _cents(told: object) -> Decimal:
    return Decimal(str(told)).quantize(Decimal("0.01"), ROUND_HALF_UP)


# --- Beside each other --------------------------------------------------------------------------


def unseen(month: Month, ours: Iterable[Ours], theirs: Iterable[Theirs]) -> list[str]:
    """Ids of the month's records missing from QuickBooks' list: deleted, moved to another date, or
    missed because the list shifted while it was read."""
    seen = {one.id for one in theirs}
    return [
        one.remote_id
        for one in ours
        if one.remote_id and one.remote_id not in seen and month.includes(one.day)
    ]


def compare(
    type_: RecordType, month: Month, ours: Sequence[Ours], theirs: Sequence[Theirs]
) -> Compared:
    """Compares the month's records of one type with those in QuickBooks.

    `ours` holds the month's records and all that `theirs` are linked to or marked as; `theirs`
    holds the month's list, and what was looked up by id.
    """
    pairs, twice, made = _paired(ours, theirs)
    found = [
        one
        for own in ours
        for one in _judged(type_, month, own, pairs.get(own.key))
        if month.includes(own.day) or _is_in(month, pairs.get(own.key))
    ]
    found += [
        Found(Kind.TWICE_THERE, type_, own, one)
        for own, one in twice
        if one.stands and month.includes(one.day)
    ]
    strangers = [one for one in made if one.stands and not one.is_part and month.includes(one.day)]
    found += _made_there(type_, ours, strangers)
    figures = _figures(type_, month, ours, pairs, strangers, [one for _, one in twice], found)
    return Compared(figures, sorted(found, key=_place_in_list))


def _is_in(month: Month, one: Theirs | None) -> bool:
    return one is not None and month.includes(one.day)


def _paired(
    ours: Sequence[Ours], theirs: Sequence[Theirs]
) -> tuple[dict[int, Theirs], list[tuple[Ours, Theirs]], list[Theirs]]:
    """Pairs records by link, then by mark; a second document with the
    same mark is a duplicate of the first."""
    by_link = {own.remote_id: own for own in ours if own.remote_id}
    by_mark = {own.mark: own for own in ours if own.mark}
    pairs = {by_link[one.id].key: one for one in theirs if one.id in by_link}
    twice: list[tuple[Ours, Theirs]] = []
    made: list[Theirs] = []
    for one in theirs:
        if one.id in by_link:
            continue
        own = by_mark.get(one.mark) if one.mark else None
        if own is None:
            made.append(one)
        elif pairs.setdefault(own.key, one) is not one:
            twice.append((own, one))
    return pairs, twice, made


def _judged(type_: RecordType, month: Month, own: Ours, one: Theirs | None) -> list[Found]:
    if one is None:
        missing = _why_missing(own) if own.stands else None
        return [Found(missing[0], type_, own, None, missing[1])] if missing else []
    kinds = _customer_kinds(own, one) if type_ == RecordType.LEAD else _kinds(month, own, one)
    if kinds and own.is_moving:
        kinds = [Kind.ON_ITS_WAY]
    return [Found(kind, type_, own, one) for kind in kinds]


def _why_missing(own: Ours) -> tuple[Kind, Reason | None]:
    """Why one of our records is missing in QuickBooks."""
    if own.is_moving:
        return Kind.ON_ITS_WAY, None
    if own.remote_id:
        return Kind.DELETED_THERE, None
    if own.state == State.FAILED:
        return Kind.NEEDS_ATTENTION, None
    if own.state == State.SKIPPED:
        return Kind.LEFT_OUT, Reason.SKIPPED
    if own.was_elsewhere and own.state is None:
        return Kind.LEFT_OUT, Reason.OTHER_COMPANY
    # Superseded and never sent: a payment of an invoice that was voided before it was sent.
    lacks_invoice = own.lacks_invoice or own.state == State.SUPERSEDED
    return Kind.LEFT_OUT, Reason.ITS_INVOICE if lacks_invoice else Reason.NOT_CONNECTED


def _customer_kinds(own: Ours, one: Theirs) -> list[Kind]:
    return [Kind.INACTIVE_THERE] if own.stands and not one.stands else []


def _kinds(month: Month, own: Ours, one: Theirs) -> list[Kind]:
    """All differences of a document that both sides have."""
    if not own.stands:
        kind = Kind.PAID_BACK if own.paid_back else Kind.VOID_HERE
        return [kind] if one.stands and one.amount else []
    if not one.stands:
        return [Kind.VOIDED_THERE]
    kinds = []
    if own.amount != one.amount:
        is_back = own.paid_back and own.amount + own.paid_back == one.amount
        kinds.append(Kind.PAID_BACK if is_back else Kind.OTHER_TOTAL)
    if own.customer_id and one.customer_id and own.customer_id != one.customer_id:
        kinds.append(Kind.OTHER_CUSTOMER)
    if month.includes(own.day) != month.includes(one.day):
        kinds.append(Kind.OTHER_MONTH)
    return kinds


def _made_there(
    type_: RecordType, ours: Sequence[Ours], strangers: Sequence[Theirs]
) -> list[Found]:
    """Documents created in QuickBooks, with the record of ours that each may duplicate."""
    known = {place: own for own in ours if own.stands for place in _places(type_, own)}
    found = []
    for one in strangers:
        like = next((known[place] for place in _places(type_, one) if place in known), None)
        reason = Reason.LOOKS_LIKE if like else None
        title = like.title if like else None
        found.append(Found(Kind.MADE_THERE, type_, None, one, reason, title))
    return found


def _places(type_: RecordType, one: Ours | Theirs) -> list[Place]:
    """Keys to find duplicates by: the same name; or the same customer, day and amount."""
    if type_ == RecordType.LEAD:
        return [("", name_key(one.title))]
    what = f"{one.day} {one.amount}"
    whose = [one.customer_id] if one.customer_id else []
    return [(who, what) for who in (*whose, name_key(one.name)) if who and one.amount]


def _figures(
    type_: RecordType,
    month: Month,
    ours: Sequence[Ours],
    pairs: Mapping[int, Theirs],
    strangers: Sequence[Theirs],
    doubles: Sequence[Theirs],
    found: Sequence[Found],
) -> Figures:
    here = [own for own in ours if own.stands and month.includes(own.day)]
    if type_ == RecordType.LEAD:  # our customer may have been in QuickBooks long before this month
        kept = [pairs[own.key] for own in here if own.key in pairs]
    else:
        kept = [one for one in (*pairs.values(), *doubles) if month.includes(one.day)]
    there = [one for one in (*kept, *strangers) if one.stands]
    differing = {one.ours.key for one in found if one.ours}
    return Figures(
        here=len(here),
        there=len(there),
        agree=sum(own.key not in differing for own in here),
        sum_here=sum((own.amount for own in here), Decimal("0.00")),
        sum_there=sum((one.amount for one in there), Decimal("0.00")),
    )


def _place_in_list(one: Found) -> tuple[int, date, str]:
    shown = one.ours or one.theirs
    assert shown
    return list(Kind).index(one.kind), shown.day, shown.title
