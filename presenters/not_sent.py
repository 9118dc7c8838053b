"""Records that were never sent: one number, the parts that add up to it, and why."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Mapped

from models.sales import Invoice, Lead, Payment
from web.access import firm, session
from web.formats import money
from web.languages import _, ngettext


@dataclass(frozen=True)
class NotSentPart:
    """The records of one type that were never sent."""

    kind: str  # in the address of their list
    name: str
    words: str  # "18 invoices"
    count: int
    amount: Decimal | None  # None for leads

    @property
    def words_with_amount(self) -> str:
        return self.words if self.amount is None else f"{self.words} {money(self.amount)}"


@dataclass(frozen=True)
class NotSent:
    """What was never sent: one number, and the parts that add up to it."""

    parts: list[NotSentPart]

    @property
    def count(self) -> int:
        return sum(part.count for part in self.parts)

    @property
    def words(self) -> str:
        """Its parts in words, without what there is none of."""
        return " · ".join(part.words_with_amount for part in self.parts if part.count)


def not_sent_parts() -> NotSent:
    """What is missing in QuickBooks because it was never sent, with amounts in dollars."""
    invoices, payments, leads = _count_of(Invoice), _count_of(Payment), _count_of(Lead)
    return NotSent(
        [
            NotSentPart(
                "invoice",
                _("Invoices"),
                ngettext("%(num)s invoice", "%(num)s invoices", invoices),
                invoices,
                _sum_of(Invoice, Invoice.total),
            ),
            NotSentPart(
                "payment",
                _("Payments"),
                ngettext("%(num)s payment", "%(num)s payments", payments),
                payments,
                _sum_of(Payment, Payment.amount - Payment.refunded_amount),
            ),
            NotSentPart(
                "lead",
                _("Leads"),
                ngettext("%(num)s lead", "%(num)s leads", leads),
                leads,
                None,
            ),
        ]
    )


def _count_of(model: type[Lead] | type[Invoice] | type[Payment]) -> int:
    return session().scalar(select(func.count()).where(*never_sent(model))) or 0


def _sum_of(
    model: type[Invoice] | type[Payment], amount: ColumnElement[Decimal] | Mapped[Decimal]
) -> Decimal:
    return session().scalar(select(func.sum(amount)).where(*never_sent(model))) or Decimal(0)


NEVER_SENT: dict[str, type[Lead] | type[Invoice] | type[Payment]] = {
    "invoice": Invoice,
    "payment": Payment,
    "lead": Lead,
}


def never_sent(model: type[Lead] | type[Invoice] | type[Payment]) -> list[ColumnElement[bool]]:
    conditions = [model.organization_id == firm().id, model.first_entry_at.is_(None)]
    if model is Invoice:
        conditions.append(Invoice.voided_at.is_(None))
    elif model is Lead:
        conditions.append(Lead.deleted_at.is_(None))
    return conditions


def why_not_sent(kind: str, *, can_send: bool) -> str:
    """Above the list of one kind."""
    if kind == "payment":
        why = _("Saved while QuickBooks was not connected, or on an invoice that isn't there.")
    else:
        why = _("Saved while QuickBooks was not connected.")
    if can_send:
        new_only = _(
            "QuickBooks gets only what is new; you can send an invoice and its payments by hand."
        )
    else:
        new_only = _("QuickBooks gets only what is new.")
    return f"{why} {new_only}"


def nothing_not_sent(kind: str) -> str:
    """In place of an empty list."""
    match kind:
        case "payment":
            return _(
                "Every payment you saved was sent, is on its way, needs attention or was skipped."
            )
        case "lead":
            return _(
                "Every lead you saved was sent, is on its way, needs attention or was skipped."
            )
        case _:
            return _(
                "Every invoice you saved was sent, is on its way, needs attention or was skipped."
            )
