"""Differences of a month's comparison, as rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from flask import url_for
from sqlalchemy import Select, select

from languages import N_
from models.comparisons import Comparison, Difference, Kind, Reason
from models.outbox import Entry, State
from models.quickbooks import Connection, ConnectionStatus
from models.sales import Payment, Record, RecordType
from presenters.addresses import address_of, help_address_of
from presenters.difference_kinds import ABOUT, About
from presenters.month import HEADINGS, MonthResult
from presenters.situations import current_entries
from presenters.status import Word, words_of
from quickbooks.links import record_url
from web.access import dunahub, firm, is_visit, person, session
from web.formats import day, money
from web.languages import _
from web.paging import Page, page_of

REASONS = {
    Reason.NOT_CONNECTED: N_("Saved while QuickBooks was not connected"),
    Reason.ITS_INVOICE: N_("Its invoice isn't in QuickBooks"),
    Reason.SKIPPED: N_("Someone skipped it"),
    Reason.OTHER_COMPANY: N_("It went to another QuickBooks company"),
}


@dataclass(frozen=True)
class DifferenceRow:
    """A difference as a row: the record, both sides, its state now, and what helps."""

    difference: Difference
    title: str
    here: str
    there: str
    remark: str | None
    address: str | None  # of the record in DunaHub
    quickbooks_address: str | None
    since: Word | None  # its status now, if it changed after the comparison
    link: tuple[str, str] | None  # text and address of a helpful link
    # label and POST address of a helpful button, and the question that it answers
    act: tuple[str, str, str] | None


@dataclass(frozen=True)
class Group:
    kind: Kind
    about: About
    count: int
    rows: Sequence[DifferenceRow]


def groups_of(answer: MonthResult, most: int) -> list[Group]:
    """Differences by kind, at most `most` each, in a fixed number of queries per kind."""
    groups = []
    for kind, count in answer.counts.items():
        query = differences_of(answer.comparison).where(Difference.kind == kind)
        rows = session().scalars(query.order_by(Difference.id).limit(most)).all()
        groups.append(Group(kind, ABOUT[kind], count, items_of(answer.comparison, rows)))
    return groups


def differences_of(comparison: Comparison) -> Select[Difference]:
    return select(Difference).where(
        Difference.organization_id == firm().id, Difference.comparison_id == comparison.id
    )


def items_of(comparison: Comparison, rows: Sequence[Difference]) -> list[DifferenceRow]:
    company = comparison.connection
    ids = {type_: _ids(rows, type_) for type_ in HEADINGS}
    entries, words = _news_of(ids, company)
    invoices = _invoices_of(ids[RecordType.PAYMENT])
    may_act = _may_act_in(company)
    items = []
    for row in rows:
        entry = entries.get(row.record) if row.record else None
        since = words.get(row.record) if row.record and _moved_on(entry, comparison) else None
        helps = may_act and since is None
        items.append(
            DifferenceRow(
                difference=row,
                title=_title(row),
                here=_shown_here(row),
                there=_shown_there(row),
                remark=remark_of(row),
                address=_address(row),
                quickbooks_address=_address_in_quickbooks(row, company),
                since=since,
                link=_link_for(row, entry, invoices) if helps else None,
                act=_act_on(row, entry) if helps else None,
            )
        )
    return items


def _may_act_in(company: Connection | None) -> bool:
    is_connected = company is not None and company.status == ConnectionStatus.CONNECTED
    return is_connected and not is_visit() and person().keeps_books


def _shown_here(row: Difference) -> str:
    if row.kind == Kind.VOID_HERE:
        return _("Void")
    return _shown(row, row.ours, row.our_amount, row.record_id is not None)


def _shown_there(row: Difference) -> str:
    if row.kind == Kind.VOIDED_THERE:
        return _("Void")
    return _shown(row, row.theirs, row.their_amount, _is_there(row))


def _ids(rows: Sequence[Difference], type_: RecordType) -> list[int]:
    return [row.record_id for row in rows if row.record_type == type_ and row.record_id]


def _news_of(
    ids: Mapping[RecordType, Sequence[int]], company: Connection | None
) -> tuple[dict[Record, Entry], dict[Record, Word]]:
    """The newest entry of each record for this company, with its status word."""
    entries: dict[Record, Entry] = {}
    words: dict[Record, Word] = {}
    for type_, keys in ids.items():
        if not keys or company is None:
            continue
        found = current_entries(session(), firm().id, type_, keys, company.lane_id)
        entries |= {Record(type_, key): entry for key, entry in found.items()}
        words |= {Record(type_, key): word for key, word in words_of(type_, keys).items()}
    return entries, words


def _is_there(row: Difference) -> bool:
    return row.remote_id is not None and row.kind != Kind.DELETED_THERE


def _address_in_quickbooks(row: Difference, company: Connection | None) -> str | None:
    if company is None or row.remote_id is None or not _is_there(row):
        return None
    return record_url(dunahub().config, company, row.record_type, row.remote_id)


def _moved_on(entry: Entry | None, comparison: Comparison) -> bool:
    """Whether anything happened to the record after the comparison."""
    compared_at = comparison.compared_at
    if entry is None or compared_at is None:
        return False
    return entry.created_at > compared_at or (
        entry.settled_at is None or entry.settled_at > compared_at
    )


def _title(row: Difference) -> str:
    match row.record_type:
        case RecordType.INVOICE if row.title:
            return _("Invoice %(number)s", number=row.title)
        case RecordType.INVOICE:
            return _("Invoice without a number")
        case RecordType.PAYMENT if row.record_id:
            return _("Payment for invoice %(number)s", number=row.title)
        case RecordType.PAYMENT if row.title:
            return _("Payment %(number)s", number=row.title)
        case RecordType.PAYMENT:
            return _("Payment")
        case RecordType.REFUND if row.record_id:
            return _("Refund for invoice %(number)s", number=row.title)
        case RecordType.REFUND:
            return _("Refund receipt")
        case _:
            return row.title


def _shown(row: Difference, words: str | None, amount: Decimal | None, is_there: bool) -> str:
    """One side of a row; "" if the record is missing there."""
    if row.record_type == RecordType.LEAD:
        return _("Yes") if is_there else ""
    match row.kind:
        case Kind.OTHER_CUSTOMER | Kind.OTHER_LINES:
            return words or ""
        case Kind.OTHER_MONTH:
            return day(words)
        case _:
            return money(amount)


def remark_of(row: Difference) -> str | None:
    if row.kind == Kind.MADE_THERE and row.reason == Reason.LOOKS_LIKE:
        match row.record_type:
            case RecordType.LEAD:
                return _("It has the name of a customer you saved here this month.")
            case RecordType.INVOICE:
                return _(
                    "Same customer, day and total as invoice %(number)s here: was it entered"
                    " twice?",
                    number=row.ours,
                )
            case RecordType.REFUND:
                return _(
                    "Same customer, day and amount as the refund for invoice %(number)s here: was"
                    " it entered twice?",
                    number=row.ours,
                )
            case _:
                return _(
                    "Same customer, day and amount as the payment for invoice %(number)s here: was"
                    " it entered twice?",
                    number=row.ours,
                )
    return _(REASONS[row.reason]) if row.reason else None


def _address(row: Difference) -> str | None:
    return address_of(row.record) if row.record else None


_SENT_AGAIN = frozenset(
    {
        Kind.DELETED_THERE,
        Kind.VOIDED_THERE,
        Kind.VOID_HERE,
        Kind.OTHER_TOTAL,
        Kind.OFF_INVOICE,
        Kind.OTHER_CUSTOMER,
        Kind.OTHER_LINES,
        Kind.OTHER_MONTH,
    }
)


def _act_on(row: Difference, entry: Entry | None) -> tuple[str, str, str] | None:
    if entry is None:
        return None
    if row.kind in _SENT_AGAIN and entry.state in (State.SYNCED, State.FAILED):
        return _("Send again"), url_for("outbox.requeue", entry_id=entry.id), entry.question
    if row.reason == Reason.SKIPPED and entry.state == State.SKIPPED:
        return _("Undo skip"), url_for("outbox.undo_skip", entry_id=entry.id), entry.question
    return None


def _link_for(
    row: Difference, entry: Entry | None, invoices: Mapping[int, int]
) -> tuple[str, str] | None:
    if row.kind == Kind.NEEDS_ATTENTION and entry:
        return _("Fix"), help_address_of(entry) or _address(row) or ""
    if row.reason not in (Reason.NOT_CONNECTED, Reason.ITS_INVOICE) or row.record_id is None:
        return None
    match row.record_type:
        case RecordType.INVOICE:
            return _("Send"), url_for("sending.show", invoice_id=row.record_id)
        case RecordType.PAYMENT if row.reason == Reason.ITS_INVOICE:
            invoice_id = invoices[row.record_id]
            address = url_for("sending.show", invoice_id=invoice_id, payment=row.record_id)
            return _("Send"), address
        case RecordType.PAYMENT:
            return _("Send"), url_for("sending.show_payment", payment_id=row.record_id)
        case _:
            return None


def _invoices_of(payment_ids: Sequence[int]) -> dict[int, int]:
    if not payment_ids:
        return {}
    found = session().execute(
        select(Payment.id, Payment.invoice_id).where(
            Payment.organization_id == firm().id, Payment.id.in_(payment_ids)
        )
    )
    return dict(found.all())


@dataclass(frozen=True)
class Listed:
    """All differences of one kind, by page."""

    group: Group
    page: Page[Difference]


def listed_of(answer: MonthResult, kind: Kind) -> Listed:
    query = differences_of(answer.comparison).where(Difference.kind == kind)
    page = page_of(query, Difference.id)
    items = items_of(answer.comparison, page.rows)
    return Listed(Group(kind, ABOUT[kind], answer.counts.get(kind, 0), items), page)
