"""The result of comparing a month with QuickBooks, as a sentence and figures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from babel.dates import format_skeleton
from flask import url_for
from sqlalchemy import Select, select
from sqlalchemy.orm import joinedload

from languages import N_
from models.comparisons import Comparison, Kind
from models.sales import RecordType
from presenters.status import Word
from quickbooks.comparison import FINE, Month
from web.access import firm, session
from web.formats import money
from web.languages import _, language, ngettext

# --- Words ----------------------------------------------------------------------------------------


HEADINGS = {
    RecordType.LEAD: N_("Customers"),
    RecordType.INVOICE: N_("Invoices"),
    RecordType.PAYMENT: N_("Payments"),
    RecordType.REFUND: N_("Refunds"),
}


def month_name(month: Month) -> str:
    """June 2026; junho de 2026."""
    return format_skeleton("yMMMM", month.first, locale=language())


def month_title(month: Month) -> str:
    """The same, for the start of a line."""
    name = month_name(month)
    return name[:1].upper() + name[1:]


# --- Results of a comparison ----------------------------------------------------------------------


@dataclass(frozen=True)
class SideFigures:
    """One line of figures: a record type on both sides."""

    type_: RecordType
    heading: str
    here: int
    there: int
    agree: int
    sum_here: Decimal | None
    sum_there: Decimal | None
    not_sent: int  # of those here: left out, so that they can't agree
    sum_not_sent: Decimal | None  # None: not added up, as in older comparisons
    void: int  # besides those here
    differs: bool  # whether a difference explains that both sides differ

    @property
    def agreement(self) -> str:
        """How many agree of those that were to be sent."""
        if not self.here:
            return "–"
        if self.here == self.not_sent:
            return _("none sent")
        return _("%(agree)s of %(here)s", agree=self.agree, here=self.here - self.not_sent)


@dataclass(frozen=True)
class Differences:
    """The numbers of differences that a comparison found."""

    by_kind: Mapping[Kind, int]

    @property
    def real(self) -> Mapping[Kind, int]:
        """Those that need a look."""
        return {kind: count for kind, count in self.by_kind.items() if kind not in FINE}

    @property
    def differ(self) -> int:
        return sum(self.real.values())

    @property
    def made_there(self) -> int:
        return self.by_kind.get(Kind.MADE_THERE, 0)

    @property
    def are_all_made_there(self) -> bool:
        return self.made_there > 0 and not self.differ

    @property
    def moving(self) -> int:
        return self.by_kind.get(Kind.ON_ITS_WAY, 0)

    @property
    def left_out(self) -> int:
        return self.by_kind.get(Kind.LEFT_OUT, 0)


@dataclass(frozen=True)
class MonthResult:
    """The result: a pill and a sentence. `sides` are the figures below it."""

    month: Month
    comparison: Comparison
    word: Word
    sentence: str
    more: Sequence[str]  # further sentences
    counts: Mapping[Kind, int]
    sides: Sequence[SideFigures]

    @property
    def parts(self) -> Mapping[Kind, int]:
        """The parts of the number of differences."""
        return Differences(self.counts).real

    @property
    def address(self) -> str:
        return url_for("matches.show", month=str(self.month))

    @property
    def title(self) -> str:
        return month_title(self.month)


def answer_of(comparison: Comparison) -> MonthResult | None:
    """None if the month was never compared."""
    if comparison.compared_at is None:
        return None
    month, counts = Month(comparison.month), _counts(comparison)
    sides = [_side(comparison, type_) for type_ in HEADINGS if type_ in comparison.figures]
    found = Differences(counts)
    if found.differ or found.made_there or found.moving:
        word, sentence = _differing(month, found, comparison.compared_at)
    else:
        word, sentence = _matching(comparison, found, sides)
    return MonthResult(month, comparison, word, sentence, _more(found, sides), counts, sides)


def _differing(month: Month, found: Differences, at: datetime) -> tuple[Word, str]:
    """The result in a pill and in a sentence."""
    if found.are_all_made_there:
        pill = _("%(num)s only in QuickBooks", num=found.made_there)
        sentence = ngettext(
            "%(num)s record from %(month)s is only in QuickBooks.",
            "%(num)s records from %(month)s are only in QuickBooks.",
            found.made_there,
            month=month_name(month),
        )
        return Word("out", pill, "quiet", at), sentence
    if found.differ:
        pill = ngettext("%(num)s differs", "%(num)s differ", found.differ)
        sentence = ngettext(
            "%(num)s difference in %(month)s.",
            "%(num)s differences in %(month)s.",
            found.differ,
            month=month_name(month),
        )
        return Word("differs", pill, "warn", at), sentence
    pill = ngettext("%(num)s on its way", "%(num)s on their way", found.moving)
    sentence = ngettext(
        "%(month)s matches once %(num)s record has arrived.",
        "%(month)s matches once %(num)s records have arrived.",
        found.moving,
        month=month_title(month),
    )
    return Word("clock", pill, "busy", at), sentence


def _matching(
    comparison: Comparison, found: Differences, sides: Sequence[SideFigures]
) -> tuple[Word, str]:
    """The result where nothing differs, in a pill and in a sentence."""
    month, at = Month(comparison.month), comparison.compared_at
    if not any(side.here or side.there for side in sides):
        sentence = _(
            "Nothing to compare in %(month)s: nothing here, and nothing in QuickBooks.",
            month=month_name(month),
        )
        return Word("dash", _("Nothing to compare"), "quiet", at), sentence
    if found.left_out and not any(side.agree for side in sides):
        sentence = _("Nothing from %(month)s was sent to QuickBooks.", month=month_name(month))
        return Word("dash", _("Nothing was sent"), "quiet", at), sentence
    if found.left_out:
        sentence = _("Everything that was sent in %(month)s agrees.", month=month_name(month))
        return Word("check", _("What was sent agrees"), "good", at), sentence
    return Word("check", _("All agree"), "good", at), _all_agree(month_title(month), comparison)


def _more(found: Differences, sides: Sequence[SideFigures]) -> list[str]:
    """Further sentences, each with a number that its rows add up to."""
    return [*_more_of_differences(found, sides), *_more_of_uncompared(found, sides)]


def _more_of_differences(found: Differences, sides: Sequence[SideFigures]) -> Iterator[str]:
    if found.are_all_made_there and any(side.agree for side in sides):
        yield _("Everything that was sent agrees.")
    if found.made_there and found.differ:
        yield ngettext(
            "%(num)s record is only in QuickBooks.",
            "%(num)s records are only in QuickBooks.",
            found.made_there,
        )
    if found.moving and (found.made_there or found.differ):
        yield ngettext(
            "%(num)s record is on its way.", "%(num)s records are on their way.", found.moving
        )


def _more_of_uncompared(found: Differences, sides: Sequence[SideFigures]) -> Iterator[str]:
    if found.left_out:
        yield ngettext(
            "%(num)s record was not sent: %(parts)s.",
            "%(num)s records were not sent: %(parts)s.",
            found.left_out,
            parts=", ".join(counted(side.type_, side.not_sent) for side in sides if side.not_sent),
        )
    if void := ", ".join(counted(side.type_, side.void) for side in sides if side.void):
        yield _("Voided here, so counted as zero: %(parts)s.", parts=void)


def _counts(comparison: Comparison) -> dict[Kind, int]:
    counts: dict[Kind, int] = {}
    for figures in comparison.figures.values():
        for kind, count in figures["kinds"].items():
            counts[Kind(kind)] = counts.get(Kind(kind), 0) + count
    return {kind: counts[kind] for kind in Kind if kind in counts}


def _side(comparison: Comparison, type_: RecordType) -> SideFigures:
    figures = comparison.figures[type_.value]
    has_sums = type_ != RecordType.LEAD
    kinds = {Kind(kind) for kind, count in figures["kinds"].items() if count}
    return SideFigures(
        type_,
        _(HEADINGS[type_]),
        figures["here"],
        figures["there"],
        figures["agree"],
        Decimal(figures["sum_here"]) if has_sums else None,
        Decimal(figures["sum_there"]) if has_sums else None,
        figures["kinds"].get(Kind.LEFT_OUT, 0),
        Decimal(figures["sum_left_out"]) if has_sums and "sum_left_out" in figures else None,
        figures.get("void", 0) if has_sums else 0,  # customers are deleted, not void
        bool(kinds - FINE),
    )


def counted(type_: RecordType, count: int) -> str:
    """18 invoices; 1 customer."""
    match type_:
        case RecordType.LEAD:
            return ngettext("%(num)s customer", "%(num)s customers", count)
        case RecordType.PAYMENT:
            return ngettext("%(num)s payment", "%(num)s payments", count)
        case RecordType.REFUND:
            return ngettext("%(num)s refund", "%(num)s refunds", count)
        case _:
            return ngettext("%(num)s invoice", "%(num)s invoices", count)


def _all_agree(month: str, comparison: Comparison) -> str:
    invoices, payments = comparison.figures["invoice"], comparison.figures["payment"]
    billed = ngettext(
        "%(num)s invoice (%(sum)s)",
        "%(num)s invoices (%(sum)s)",
        invoices["here"],
        sum=money(invoices["sum_here"]),
    )
    paid = ngettext(
        "%(num)s payment (%(sum)s)",
        "%(num)s payments (%(sum)s)",
        payments["here"],
        sum=money(payments["sum_here"]),
    )
    return _(
        "%(month)s matches: %(invoices)s and %(payments)s on both sides.",
        month=month,
        invoices=billed,
        payments=paid,
    )


def this_month() -> Month:
    return Month.of(datetime.now(UTC).astimezone(firm().zone).date())


def comparison_of(month: Month) -> Comparison | None:
    return session().scalar(comparisons().where(Comparison.month == month.first))


def comparisons() -> Select[Comparison]:
    return (
        select(Comparison)
        .where(Comparison.organization_id == firm().id)
        .options(joinedload(Comparison.connection), joinedload(Comparison.compared_by))
    )


def latest_answers(most: int = 2) -> list[MonthResult]:
    """The latest compared months, for the settings page."""
    compared = comparisons().where(Comparison.compared_at.is_not(None))
    found = session().scalars(compared.order_by(Comparison.month.desc()).limit(most))
    return [answer for one in found if (answer := answer_of(one))]


@dataclass(frozen=True)
class ListedMonth:
    """A month in the list."""

    month: Month
    title: str
    answer: MonthResult | None
    is_running: bool

    @property
    def word(self) -> Word:
        if self.is_running:
            return Word("retry", _("Being compared"), "busy")
        if self.answer is None:
            return Word("dash", _("Not compared yet"), "quiet")
        return self.answer.word
