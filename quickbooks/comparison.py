"""Differences between a month's books here and in QuickBooks. Pure.

Records are matched by their links, or by the mark in our documents if the link is unknown to us.
Amounts are compared to the cent; void documents count as zero. Invoices are compared by customer,
lines and balance too, payments by the invoice they pay. Record pages use the same rules
(`presenters/apart.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from models.comparisons import Kind, Reason
from models.outbox import State
from models.sales import RecordType
from outbox.company import Remote
from quickbooks.documents import Document
from quickbooks.matching import MARK, looks_void, name_key, number, remote_of

COMPARED = (RecordType.LEAD, RecordType.INVOICE, RecordType.PAYMENT, RecordType.REFUND)
CENT = Decimal("0.01")

Place = tuple[str, str]  # key by which two documents look alike


WILL_SETTLE = frozenset({Kind.ON_ITS_WAY, Kind.LEFT_OUT})
FINE = WILL_SETTLE | {Kind.MADE_THERE}  # these are not counted as differences


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
    remote: Remote | None = None  # its counterpart, as we know it
    customer_id: str | None = None  # the customer's id in QuickBooks
    invoice_id: str | None = None  # of a payment: its invoice's id in QuickBooks
    balance: Decimal | None = None  # of an invoice: what should be open there, if known
    sent: Document | None = None  # as it was sent; None if it was only linked
    state: str | None = None  # of its newest entry for this company
    was_elsewhere: bool = False  # it has entries for another company
    lacks_invoice: bool = False  # a payment whose invoice was never sent
    paid_back: Decimal = Decimal(0)
    has_moved: bool = False  # QuickBooks reported it after the comparison began
    was_gone: bool = False  # the last comparison found it deleted
    differed: bool = False  # the last comparison found a difference

    @property
    def remote_id(self) -> str | None:
        """The id of its counterpart, if it has one."""
        return self.remote.id if self.remote else None

    @property
    def is_moving(self) -> bool:
        """Whether something of it is still to be sent, so that a difference means nothing yet."""
        return self.state == State.PENDING or self.has_moved

    @property
    def applied(self) -> Decimal:
        """How much of a payment should be applied to invoices there."""
        return self.amount if self.sent is None else sum(_applied(self.sent).values(), Decimal(0))


@dataclass(frozen=True)
class Theirs:
    """A customer, an invoice, a payment or a refund receipt as QuickBooks has it."""

    id: str
    title: str
    name: str
    day: date
    amount: Decimal
    stands: bool  # neither void nor inactive
    customer_id: str | None = None
    mark: str | None = None
    is_part: bool = False  # a project or sub-customer: part of another customer
    balance: Decimal | None = None  # of an invoice
    object: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def remote(self) -> Remote:
        """What our counterpart stores of it."""
        is_void = not self.stands and "TotalAmt" in self.object
        return replace(remote_of(self.object), voided=is_void)

    def applied_as(self, own: Ours) -> Decimal:
        """How much of a payment is applied to the invoices it was sent for."""
        there = _applied(self.object)
        if own.sent is None:
            return there.get(own.invoice_id or "", Decimal(0))
        meant = _applied(own.sent)
        return sum((min(there.get(id_, Decimal(0)), meant[id_]) for id_ in meant), Decimal(0))


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
    void: int  # void or taken back here, so neither counted nor added
    sum_here: Decimal
    sum_there: Decimal
    sum_left_out: Decimal  # of those here that were not sent


@dataclass(frozen=True)
class News:
    """What was found of a record of ours, if our counterpart says something else."""

    record_id: int
    remote_id: str
    theirs: Theirs | None  # None: it was deleted there
    differs: bool


@dataclass(frozen=True)
class Compared:
    """The result for one record type: totals, differences, and news for our counterparts."""

    figures: Figures
    found: Sequence[Found]
    news: Sequence[News] = ()


# --- What QuickBooks has --------------------------------------------------------------------------


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
            object=row,
        )
    customer = row.get("CustomerRef") or {}
    total, note = _cents(row["TotalAmt"]), _text(row.get("PrivateNote"))
    number = _text(row.get("DocNumber" if type_ == RecordType.INVOICE else "PaymentRefNum"))
    mark = MARK.search(note if type_ == RecordType.INVOICE else f"{number} {note}")
    return Theirs(
        str(row["Id"]),
        number,
        _text(customer.get("name")),
        date.fromisoformat(str(row["TxnDate"])[:10]),
        total,
        stands=not looks_void(row),
        customer_id=str(customer["value"]) if customer.get("value") else None,
        mark=mark[0] if mark else None,
        balance=_cents(row["Balance"]) if type_ == RecordType.INVOICE else None,
        object=row,
    )


def _applied(document: Mapping[str, Any]) -> dict[str, Decimal]:
    """How much of a payment is applied to each invoice, by the invoice's id."""
    applied: dict[str, Decimal] = {}
    for line in document.get("Line") or ():
        for linked in line.get("LinkedTxn") or ():
            if linked.get("TxnType") == "Invoice":
                id_ = str(linked.get("TxnId"))
                applied[id_] = applied.get(id_, Decimal(0)) + _cents(line.get("Amount") or 0)
    return applied


def _text(told: object) -> str:
    return "" if told is None else str(told).replace("\0", "")  # PostgreSQL cannot store NUL


def _cents(told: object) -> Decimal:
    return Decimal(str(told)).quantize(CENT, ROUND_HALF_UP)


# --- Comparing ------------------------------------------------------------------------------------


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
        for one in _judged(type_, own, pairs.get(own.key))
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
    news = _news(month, ours, pairs, found)
    return Compared(figures, sorted(found, key=_place_in_list), news)


def _news(
    month: Month, ours: Sequence[Ours], pairs: Mapping[int, Theirs], found: Sequence[Found]
) -> list[News]:
    """Skips records that were settled while we read: that answer of QuickBooks is newer."""
    differing = {one.ours.key for one in found if one.ours and one.kind not in WILL_SETTLE}
    news = []
    for own in ours:
        one = pairs.get(own.key)
        if own.remote is None or own.has_moved or (one is None and not month.includes(own.day)):
            continue
        if one is not None and one.id != own.remote.id:
            continue  # another copy, found by its mark: its version is not that of ours
        differs = own.key in differing
        is_gone = one is None
        told = own.remote if one is None else one.remote
        if (told, differs, is_gone) != (own.remote, own.differed, own.was_gone):
            news.append(News(own.key, own.remote.id, one, differs))
    return news


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


def _judged(type_: RecordType, own: Ours, one: Theirs | None) -> list[Found]:
    if one is None:
        missing = _why_missing(own) if own.stands else None
        return [Found(missing[0], type_, own, None, missing[1])] if missing else []
    kinds = kinds_of(type_, own, one)
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


def kinds_of(type_: RecordType, own: Ours, one: Theirs) -> list[Kind]:
    """All differences of a record that both sides have."""
    if type_ == RecordType.LEAD:
        return [Kind.INACTIVE_THERE] if own.stands and not one.stands else []
    if own.stands and one.stands:
        return _kinds_of_standing(type_, own, one)
    if own.stands:
        return [Kind.VOIDED_THERE]
    kind = Kind.PAID_BACK if own.paid_back else Kind.VOID_HERE
    return [kind] if one.stands and one.amount else []


def _kinds_of_standing(type_: RecordType, own: Ours, one: Theirs) -> list[Kind]:
    kinds = []
    if own.amount != one.amount:
        is_back = own.paid_back and own.amount + own.paid_back == one.amount
        kinds.append(Kind.PAID_BACK if is_back else Kind.OTHER_TOTAL)
    else:  # with another total these differ anyway
        kinds += _kinds_of_equal_totals(type_, own, one)
    if own.customer_id and one.customer_id and own.customer_id != one.customer_id:
        kinds.append(Kind.OTHER_CUSTOMER)
    if Month.of(own.day) != Month.of(one.day):
        kinds.append(Kind.OTHER_MONTH)
    return kinds


def _kinds_of_equal_totals(type_: RecordType, own: Ours, one: Theirs) -> list[Kind]:
    if type_ == RecordType.PAYMENT:
        is_off = own.applied and one.applied_as(own) < (own.applied if own.sent else CENT)
        return [Kind.OFF_INVOICE] if is_off else []
    kinds = []
    if None not in (own.balance, one.balance) and own.balance != one.balance:
        kinds.append(Kind.OTHER_BALANCE)
    if any(lines_apart(own, one)):
        kinds.append(Kind.OTHER_LINES)
    return kinds


# --- Lines --------------------------------------------------------------------------------------

_COUNTED = ("SalesItemLineDetail", "DiscountLineDetail", "GroupLineDetail")  # the rest is words


def lines_apart(own: Ours, one: Theirs) -> tuple[list[Document], list[Document]]:
    """Lines that only we have, and lines that only QuickBooks has. Their order does not count.

    None of an invoice that was only linked: it never had lines of ours.
    """
    if own.sent is None:
        return [], []
    left = [line for line in one.object.get("Line") or () if line.get("DetailType") in _COUNTED]
    only_here = []
    for line in own.sent["Line"]:
        same = next((other for other in left if _is_same_line(line, other)), None)
        if same is None:
            only_here.append(line)
        else:
            left.remove(same)
    return only_here, left


def _is_same_line(ours: Document, theirs: Document) -> bool:
    """Whether it is the line we sent. Spaces in texts and fields we left out do not count."""
    kind = ours["DetailType"]
    detail, other = ours.get(kind) or {}, theirs.get(kind) or {}
    return (
        kind == theirs.get("DetailType")
        and number(theirs.get("Amount")) == number(ours["Amount"])
        and _words(ours.get("Description")) == _words(theirs.get("Description"))
        and _ref(detail) == _ref(other)
        and all(
            number(other.get(name)) == number(detail[name])
            for name in ("Qty", "UnitPrice")
            if name in detail
        )
    )


def _ref(detail: Mapping[str, Any]) -> object:
    return (detail.get("ItemRef") or {}).get("value")


def _words(told: object) -> list[str]:
    return _text(told).split()


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
    of_month = [own for own in ours if month.includes(own.day)]
    here = _standing(of_month)
    if type_ == RecordType.LEAD:  # our customer may have been in QuickBooks long before this month
        kept = [pairs[own.key] for own in here if own.key in pairs]
    else:
        kept = [one for one in (*pairs.values(), *doubles) if month.includes(one.day)]
    there = _standing((*kept, *strangers))
    differing = {one.ours.key for one in found if one.ours}
    left_out = {one.ours.key for one in found if one.ours and one.kind == Kind.LEFT_OUT}
    return Figures(
        here=len(here),
        there=len(there),
        agree=sum(own.key not in differing for own in here),
        void=len(of_month) - len(here),
        sum_here=sum((own.amount for own in here), Decimal("0.00")),
        sum_there=sum((one.amount for one in there), Decimal("0.00")),
        sum_left_out=sum((own.amount for own in here if own.key in left_out), Decimal("0.00")),
    )


Side = TypeVar("Side", Ours, Theirs)


def _standing(records: Iterable[Side]) -> list[Side]:
    return [one for one in records if one.stands]


def _place_in_list(one: Found) -> tuple[int, date, str]:
    shown = one.ours or one.theirs
    assert shown
    return list(Kind).index(one.kind), shown.day, shown.title
