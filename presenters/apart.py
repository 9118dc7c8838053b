"""How a record is otherwise in QuickBooks, once a comparison found that it is.

In what it differs is judged by what the counterpart holds now, with the comparison's own rules: so
the record's page says what *Does it match?* says, and stops when an answer of QuickBooks ends it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from models.comparisons import Kind
from models.outbox import Counterpart, Entry, Operation
from models.sales import RecordType
from quickbooks import own_books
from quickbooks.comparison import Ours, Theirs, kinds_of, theirs_of
from quickbooks.documents import parsed

Place = tuple[int, RecordType, int]  # lane, kind, record
Group = tuple[int, int, RecordType]  # organization, lane, kind
_UTC = ZoneInfo("UTC")  # documents have no time, and of customers the day is not compared


@dataclass(frozen=True)
class Apart:
    """All that differs, both sides, and since when that is known."""

    kinds: Sequence[Kind]
    ours: Ours
    theirs: Theirs
    since: datetime


def apart_of(
    session: Session, entries: Sequence[Entry], links: Mapping[Place, Counterpart]
) -> dict[Place, Apart]:
    """The differences that a comparison found in these entries' records, and that still are."""
    found: dict[Place, Apart] = {}
    for (organization_id, lane_id, type_), of_records in _that_differed(entries, links).items():
        for own in own_books.some(session, organization_id, lane_id, type_, of_records, _UTC):
            if apart := _apart(type_, own, of_records[own.key]):
                found[lane_id, type_, own.key] = apart
    return found


def _that_differed(
    entries: Sequence[Entry], links: Mapping[Place, Counterpart]
) -> dict[Group, dict[int, Counterpart]]:
    """Counterparts of which a comparison found a difference."""
    groups: dict[Group, dict[int, Counterpart]] = {}
    for entry in entries:
        if entry.operation != Operation.SAVE or entry.record_type == RecordType.PRODUCT:
            continue  # products are not compared
        link = links.get((entry.lane_id, entry.record_type, entry.record_id))
        if link and link.differs_since and link.seen:
            group = (entry.organization_id, entry.lane_id, entry.record_type)
            groups.setdefault(group, {})[entry.record_id] = link
    return groups


def _apart(type_: RecordType, own: Ours, link: Counterpart) -> Apart | None:
    theirs = _theirs(type_, link)
    kinds = kinds_of(type_, own, theirs) if theirs else []
    if not theirs or not kinds or not link.differs_since:
        return None
    return Apart(kinds, own, theirs, link.differs_since)


def _theirs(type_: RecordType, link: Counterpart) -> Theirs | None:
    """QuickBooks' own view, as it was told last; of a balance we know what we put on it since."""
    created = {"MetaData": {"CreateTime": datetime.now(UTC).isoformat()}}
    try:
        theirs = theirs_of(type_, {**created, **(parsed(link.seen) or {})}, _UTC)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return None
    if type_ != RecordType.INVOICE:
        return theirs
    balance = None if link.remote_balance is None else Decimal(link.remote_balance)
    return replace(theirs, balance=balance)
