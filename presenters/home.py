"""The firm's home page: unpaid money, and setup steps left."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from flask import url_for
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import joinedload

from languages import N_
from models.accounts import Organization
from models.base import Base
from models.clients import Letterhead
from models.quickbooks import Connection
from models.sales import Invoice, Job, JobStatus, Lead, Payment, Product
from presenters.month import latest_answers, month_name
from web.access import firm, person, session
from web.formats import money as formatted
from web.formats import plain
from web.languages import _, ngettext

ROWS_SHOWN = 5  # rows per list; each links to the full list
DUE_SOON_WITHIN = timedelta(days=7)


@dataclass(frozen=True)
class Sum:
    amount: Decimal
    count: int


@dataclass(frozen=True)
class Money:
    due: Sum
    overdue: Sum
    received: Sum  # this month


@dataclass(frozen=True)
class Figure:
    """A number of the home page, and the list that it counts."""

    number: str
    words: str
    address: str
    is_bad: bool = False


def figures(needs: str) -> list[Figure]:
    """`needs`: how many things in QuickBooks need a person; "" for none."""
    sums = money()
    shown = [
        Figure(
            formatted(sums.due.amount),
            ngettext("due · %(num)s invoice", "due · %(num)s invoices", sums.due.count),
            url_for("invoices.index", state="open"),
        ),
        Figure(
            formatted(sums.overdue.amount),
            ngettext("overdue · %(num)s invoice", "overdue · %(num)s invoices", sums.overdue.count),
            url_for("invoices.index", state="overdue"),
            is_bad=sums.overdue.count > 0,
        ),
        Figure(
            formatted(sums.received.amount), _("received this month"), url_for("payments.index")
        ),
    ]
    if firm().has_quickbooks:
        shown.append(_of_quickbooks(needs))
    return shown


def _of_quickbooks(needs: str) -> Figure:
    """What needs a person there; else what the last comparison found."""
    if needs:
        return Figure(needs, _("QuickBooks needs you"), url_for("quickbooks.show"), is_bad=True)
    for answer in latest_answers(most=1):
        if differing := sum(answer.parts.values()):
            words = ngettext(
                "difference from QuickBooks in %(month)s",
                "differences from QuickBooks in %(month)s",
                differing,
                month=month_name(answer.month),
            )
            return Figure(plain(differing), words, answer.address, is_bad=True)
    return Figure("0", _("Nothing in QuickBooks needs you"), url_for("quickbooks.show"))


def today() -> date:
    return firm().day_at(datetime.now(UTC))


def money() -> Money:
    owed = Invoice.total - Invoice.paid_amount
    is_late = Invoice.due_on < today()
    row = (
        session()
        .execute(
            select(
                func.coalesce(func.sum(owed), 0).label("due"),
                func.count().label("number"),
                func.coalesce(func.sum(owed).filter(is_late), 0).label("overdue"),
                func.count().filter(is_late).label("late"),
            ).where(*_is_owed())
        )
        .one()
    )
    first = today().replace(day=1)
    kept = Payment.amount - Payment.refunded_amount - Payment.goodwill_amount
    received = (
        session()
        .execute(
            select(
                func.coalesce(func.sum(kept), 0).label("sum"),
                func.count().label("number"),
            ).where(Payment.organization_id == firm().id, Payment.received_on >= first)
        )
        .one()
    )
    return Money(
        Sum(row.due, row.number), Sum(row.overdue, row.late), Sum(received.sum, received.number)
    )


def _is_owed() -> list[ColumnElement[bool]]:
    return [
        Invoice.organization_id == firm().id,
        Invoice.voided_at.is_(None),
        Invoice.total > Invoice.paid_amount,
    ]


def late_invoices() -> list[Invoice]:
    """The longest overdue first."""
    query = (
        select(Invoice)
        .where(*_is_owed(), Invoice.due_on < today())
        .options(joinedload(Invoice.lead))
        .order_by(Invoice.due_on, Invoice.id)
    )
    return list(session().scalars(query.limit(ROWS_SHOWN)))


def next_jobs() -> list[Job]:
    query = (
        select(Job)
        .where(
            Job.organization_id == firm().id,
            Job.status != JobStatus.DONE,
            Job.scheduled_on.between(today(), today() + DUE_SOON_WITHIN),
        )
        .options(joinedload(Job.lead))
        .order_by(Job.scheduled_on, Job.id)
    )
    return list(session().scalars(query.limit(ROWS_SHOWN)))


# --- What is still to be set up -------------------------------------------------------------------


@dataclass(frozen=True)
class SetupStep:
    name: str
    why: str
    address: str
    is_done: bool


def steps() -> list[SetupStep]:
    """Setup steps for a new firm, in a good order. Empty once all are done."""
    organization = firm()
    found = [
        *(_steps_of_owners(organization) if person().is_owner else []),
        _step(
            N_("Add a product or service"),
            N_("Its price and description go on proposals and invoices."),
            "products.show_new",
            _has(Product),
        ),
        _step(
            N_("Add a lead"),
            N_("Someone who wants work done."),
            "leads.show_new",
            _has(Lead),
        ),
        _step(
            N_("Create an invoice"),
            N_("From a lead, a job or a proposal."),
            "invoices.show_new",
            _has(Invoice),
        ),
        *(_step_of_quickbooks(organization) if person().is_owner else []),
        _step(
            N_("Record a payment"),
            N_("Open the invoice that it is for."),
            "invoices.index",
            _has(Payment),
        ),
    ]
    return found if any(not step.is_done for step in found) else []


def _steps_of_owners(organization: Organization) -> list[SetupStep]:
    return [
        _step(
            N_("Fill in your letterhead"),
            N_("Your address and phone number on proposals and invoices."),
            "settings.show_letterhead",
            _has(Letterhead),
        ),
        _step(
            N_("Set your tax rate"),
            N_("New proposals and invoices start with it."),
            "settings.show_organization",
            organization.tax_rate > 0,
        ),
    ]


def _step_of_quickbooks(organization: Organization) -> list[SetupStep]:
    if not organization.has_quickbooks:
        return []
    step = _step(
        N_("Connect QuickBooks"),
        N_("Records go there automatically. Nothing is written before you confirm the company."),
        "quickbooks.show",
        _has(Connection),
    )
    return [step]


def _step(name: str, why: str, endpoint: str, is_done: bool) -> SetupStep:
    return SetupStep(_(name), _(why), url_for(endpoint), is_done)


def _has(model: type[Base]) -> bool:
    query: Select[int] = select(1).where(model.__table__.c.organization_id == firm().id).limit(1)
    return session().scalar(query) is not None
