"""Failed records grouped by cause. One decision usually fixes all records of a cause."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import groupby

from sqlalchemy import ColumnElement, FunctionFilter, case, cast, func, select
from sqlalchemy.orm import aliased, joinedload

from models.accounts import Organization
from models.base import MONEY
from models.outbox import Entry, State
from models.sales import RecordType
from presenters.buttons import PRIMARY, Button
from presenters.counts import needs_attention
from presenters.rows import Row, rows_of
from quickbooks.catalogue import SEND_AGAIN
from quickbooks.faults import Explanation, explain
from web.access import person, session
from web.formats import money
from web.languages import _, ngettext, reader

MAX_CAUSES = 20  # on the settings page; the list shows all
RECORDS_NAMED = 5  # of each cause

# What the fault is about, if it is the same for all: a missing item, the holder of a name.
_about = Entry.fault_about
_thing: ColumnElement[str] = func.coalesce(_about["item_id"].astext, _about["holder_id"].astext, "")


@dataclass(frozen=True)
class Trouble:
    """All records that failed for one cause."""

    code: str
    thing: str
    explanation: Explanation
    count: int
    invoices: Decimal  # total, in dollars
    payments: Decimal
    named: Sequence[Row]  # the newest ones

    @property
    def first(self) -> Row:
        return self.named[0]

    @property
    def sums(self) -> str:
        """How many records, and how much money they are about."""
        parts = [
            ngettext("%(num)s record", "%(num)s records", self.count),
            self.invoices and _("%(sum)s of invoices", sum=money(self.invoices)),
            self.payments and _("%(sum)s of payments", sum=money(self.payments)),
        ]
        return " · ".join(part for part in parts if part)

    @property
    def more(self) -> int:
        return self.count - len(self.named)

    @property
    def button(self) -> Button | None:
        """What one presses to solve it; None if each record is solved by itself."""
        if self.count == 1 and self.first.fix_address:
            return Button(_("Fix"), self.first.fix_address, look=PRIMARY)
        if (self.count > 1 and not self.is_shared) or self.first.address is None:
            return None
        if not person().keeps_books:
            return Button(_("See why"), self.first.address)
        return Button(self._fix_words(), self.first.address, look=PRIMARY)

    def _fix_words(self) -> str:
        match self.count:
            case 1:
                return _("Fix")
            case 2:
                return _("Fix both")
            case _:
                return _("Fix all")

    @property
    def is_sent_again(self) -> bool:
        return _is_sent_again(self.explanation)

    @property
    def is_shared(self) -> bool:
        """Whether one decision fixes all of them, because they share the same obstacle."""
        return self.code in ("item_inactive", "its_customer_inactive", "its_customer_currency")


def troubles_of(organization: Organization) -> list[Trouble]:
    """Counts all records, lists the newest of each cause; the largest cause comes first."""
    alike = (Entry.fault_code, _thing)
    ranked = (
        select(
            Entry.id,
            func.coalesce(Entry.fault_code, "").label("code"),
            _thing.label("thing"),
            func.count().over(partition_by=alike).label("records"),
            _sum(RecordType.INVOICE, "total").over(partition_by=alike).label("invoices"),
            _sum(RecordType.PAYMENT, "amount").over(partition_by=alike).label("payments"),
            func.row_number().over(partition_by=alike, order_by=Entry.id.desc()).label("place"),
        )
        .join(Entry.lane)
        .where(Entry.organization_id == organization.id, needs_attention())
        .subquery()
    )
    found = session().execute(
        select(ranked)
        .where(ranked.c.place <= RECORDS_NAMED)
        .order_by(ranked.c.records.desc(), ranked.c.code, ranked.c.thing, ranked.c.place)
        .limit(MAX_CAUSES * RECORDS_NAMED)
    )
    causes = [list(alike) for _, alike in groupby(found, key=lambda one: (one.code, one.thing))]
    rows = _rows([one.id for cause in causes for one in cause])
    return [
        Trouble(
            code=cause[0].code,
            thing=cause[0].thing,
            explanation=rows[cause[0].id].explanation
            or explain(cause[0].code, {}, reader=reader()),
            count=cause[0].records,
            invoices=cause[0].invoices or Decimal(0),
            payments=cause[0].payments or Decimal(0),
            named=[rows[one.id] for one in cause],
        )
        for cause in causes
    ]


def sendable(
    organization: Organization,
    those: Sequence[ColumnElement[bool]] = (),
    *,
    most: int | None = None,
) -> list[int]:
    """Entries that *Send all again* sends: failed, in the connected company, without a newer
    version, and of a cause that sending again may fix."""
    newer = aliased(Entry)
    replaced = (
        select(newer.id)
        .where(
            newer.lane_id == Entry.lane_id,
            newer.record_type == Entry.record_type,
            newer.record_id == Entry.record_id,
            newer.id > Entry.id,
            newer.state.in_([State.PENDING, State.SYNCED, State.FAILED]),
        )
        .exists()
    )
    found = session().execute(
        select(Entry.id, Entry.fault_code)
        .join(Entry.lane)
        .where(
            Entry.organization_id == organization.id,
            needs_attention(),
            ~replaced,
            *those,
        )
        .order_by(Entry.id)
        .limit(most)
    )
    helps = cache(_may_be_sent_again)
    return [entry_id for entry_id, code in found if helps(code or "")]


def _may_be_sent_again(code: str) -> bool:
    return _is_sent_again(explain(code, {}, reader=reader()))


def _is_sent_again(explanation: Explanation) -> bool:
    """Whether sending again may help without overwriting a change made in QuickBooks: that is
    decided for each record, on its page."""
    return any(
        action.name == SEND_AGAIN.name and not action.is_up_to_the_person
        for action in explanation.actions
    )


def _sum(kind: RecordType, key: str) -> FunctionFilter[Decimal]:
    """Of what was reversed that part, and else what is left of it."""
    amount = cast(Entry.payload[key].astext, MONEY)
    refunded = func.coalesce(cast(Entry.payload["refunded_amount"].astext, MONEY), 0)
    is_about_refund = Entry.fault_code.startswith("reversed")
    amounts = func.sum(case((is_about_refund, refunded), else_=amount - refunded))
    return amounts.filter(Entry.record_type == kind)


def _rows(ids: Sequence[int]) -> dict[int, Row]:
    entries = session().scalars(
        select(Entry).where(Entry.id.in_(ids)).options(joinedload(Entry.lane))
    )
    return {row.entry.id: row for row in rows_of(entries.all())}


def with_cause(code: str, thing: str) -> Sequence[ColumnElement[bool]]:
    """SQL condition for the entries of one cause."""
    return (Entry.fault_code == code, _thing == thing)
