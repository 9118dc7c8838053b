"""The values of an invoice or proposal as printed, in the reader's language.

The print view, the client's page and the PDF all show these.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from babel import numbers
from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from languages import N_, Reader
from models.accounts import Organization
from models.clients import Letterhead
from models.outbox import Counterpart
from models.processors import ProcessorAccount
from models.quickbooks import Connection
from models.sales import (
    DiscountKind,
    Invoice,
    InvoiceLine,
    Lead,
    Proposal,
    ProposalLine,
    ProposalStatus,
    RecordType,
)
from models.sums import CENT, Totals, discount_of, totals_of


@dataclass(frozen=True)
class Firm:
    """The sender of the document."""

    name: str
    address: str
    phone: str
    email: str
    license_number: str
    logo: bytes | None  # PNG
    has_logo: bool

    @property
    def initials(self) -> str:
        """Shown instead of a missing logo: RP for Rivera Plumbing LLC."""
        words = [word for word in self.name.split() if word[0].isalnum()]
        return "".join(word[0] for word in words[:2]).upper() or "•"


@dataclass(frozen=True)
class PaperLine:
    title: str
    description: str  # "" when the title says it all
    quantity: str
    price: str
    amount: str
    is_one: bool
    taxable: bool


@dataclass(frozen=True)
class Paper:
    """A document as text. `due` is empty for a proposal and a void invoice."""

    firm: Firm
    number: str  # as the client knows it
    title: str  # Invoice 1043
    reference: str  # our own number, if the title shows QuickBooks'
    about: str  # title of a proposal
    dates: tuple[str, ...]  # Issued Nov 28, 2026
    client: tuple[str, ...]  # name and address, line by line
    lines: tuple[PaperLine, ...]
    sums: tuple[tuple[str, str], ...]  # label and amount; the last one is the total
    paid: str
    due: str
    stamp: str  # VOID, PAID, or the client's answer to a proposal
    is_good_news: bool  # PAID, ACCEPTED
    message: str
    takes_payments: bool  # the client can pay it online


def paper_of(session: Session, document: Invoice | Proposal, reader: Reader) -> Paper:
    """The printed values of this document for this reader. The logo's bytes are not included."""
    organization = session.get_one(Organization, document.organization_id)
    write = _writer(organization, reader)
    firm = firm_of(session, organization)
    if isinstance(document, Invoice):
        return _invoice(session, document, firm, write)
    return _proposal(document, firm, write, organization)


def money_of(amount: Decimal, organization: Organization, reader: Reader) -> str:
    """An amount in the firm's currency, in the reader's format."""
    return _writer(organization, reader).money(amount)


def _writer(organization: Organization, reader: Reader) -> "_Writer":
    return _Writer(reader, "USD" if organization.has_quickbooks else "BRL")


def firm_of(session: Session, organization: Organization, *, with_logo: bool = False) -> Firm:
    query = select(Letterhead).where(Letterhead.organization_id == organization.id)
    if with_logo:
        query = query.options(undefer(Letterhead.logo))
    head = session.scalar(query.execution_options(populate_existing=with_logo))
    if head is None:
        return Firm(organization.name, "", "", "", "", None, has_logo=False)
    return Firm(
        name=organization.name,
        address=head.address,
        phone=head.phone,
        email=head.email,
        license_number=head.license_number,
        logo=head.logo if with_logo else None,
        has_logo=head.logo_digest is not None,
    )


def number_for_client(session: Session, invoice: Invoice) -> str:
    """QuickBooks' number if it differs from ours, because clients see that one, too."""
    found = session.scalar(
        select(Counterpart.remote_number)
        .join(Connection, Connection.lane_id == Counterpart.lane_id)
        .where(
            Counterpart.record_type == RecordType.INVOICE,
            Counterpart.record_id == invoice.id,
            Connection.organization_id == invoice.organization_id,
            Connection.is_live,
        )
    )
    return found or invoice.number


# --- The two kinds --------------------------------------------------------------------------------


def _invoice(session: Session, invoice: Invoice, firm: Firm, write: "_Writer") -> Paper:
    number = number_for_client(session, invoice)
    is_void = invoice.voided_at is not None
    is_paid = not is_void and invoice.balance <= 0 < invoice.total
    return Paper(
        firm=firm,
        number=number,
        title=write.say(N_("Invoice %(number)s")) % {"number": number},
        reference="" if number == invoice.number else invoice.number,
        about="",
        dates=(
            write.say(N_("Issued %(day)s")) % {"day": write.day(invoice.issued_on)},
            write.say(N_("Due %(day)s")) % {"day": write.day(invoice.due_on)},
        ),
        client=_address(invoice.lead),
        lines=tuple(_line(line, write) for line in invoice.lines),
        sums=_sums(
            Totals(invoice.subtotal, invoice.discount_amount, invoice.tax_amount),
            invoice,
            write,
        ),
        paid=write.money(invoice.paid_amount) if invoice.paid_amount else "",
        due="" if is_void else write.money(max(invoice.balance, Decimal(0))),
        stamp=write.say(N_("VOID")) if is_void else write.say(N_("PAID")) if is_paid else "",
        is_good_news=not is_void,
        message=invoice.memo,
        takes_payments=not is_void and _takes_payments(session, invoice),
    )


def _takes_payments(session: Session, invoice: Invoice) -> bool:
    accounts = session.scalars(
        select(ProcessorAccount).where(ProcessorAccount.organization_id == invoice.organization_id)
    )
    return invoice.balance > 0 and any(account.can_charge for account in accounts)


def _proposal(
    proposal: Proposal, firm: Firm, write: "_Writer", organization: Organization
) -> Paper:
    amounts = [(line.amount, line.taxable) for line in proposal.lines]
    written_on = organization.day_at(proposal.created_at)
    answers = {"accepted": N_("ACCEPTED"), "declined": N_("DECLINED")}
    stamp = answers.get(proposal.status, "")
    return Paper(
        firm=firm,
        number=proposal.number,
        title=write.say(N_("Proposal %(number)s")) % {"number": proposal.number},
        reference="",
        about=proposal.title,
        dates=(write.say(N_("Issued %(day)s")) % {"day": write.day(written_on)},),
        client=_address(proposal.lead),
        lines=tuple(_line(line, write) for line in proposal.lines),
        sums=_sums(totals_of(amounts, proposal.tax_rate, discount_of(proposal)), proposal, write),
        paid="",
        due="",
        stamp=write.say(stamp) if stamp else "",
        is_good_news=proposal.status == ProposalStatus.ACCEPTED,
        message="",
        takes_payments=False,
    )


def _address(lead: Lead) -> tuple[str, ...]:
    place = f"{lead.city}{', ' if lead.city and lead.state else ''}{lead.state} {lead.postal_code}"
    names = [lead.name, lead.contact if lead.contact != lead.name else "", lead.company_name]
    return tuple(_once(part for part in [*names, lead.street, place.strip()] if part))


def _once(parts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(parts))


def _line(line: InvoiceLine | ProposalLine, write: "_Writer") -> PaperLine:
    """The product as title, the text as description. Without a
    product, the text's first line is the title."""
    if line.product is not None:
        title, description = line.product.name, line.description
        description = "" if description.strip() == title.strip() else description
    else:
        title, _, description = line.description.strip().partition("\n")
    return PaperLine(
        title=title,
        description=description.strip(),
        quantity=write.number(line.quantity),
        price=write.money(line.unit_price),
        amount=write.money(line.amount),
        is_one=line.quantity == 1,
        taxable=line.taxable,
    )


def _sums(
    totals: Totals, document: Invoice | Proposal, write: "_Writer"
) -> tuple[tuple[str, str], ...]:
    between: list[tuple[str, str]] = []
    if totals.discount_amount:
        label = write.say(N_("Discount"))
        if document.discount_kind == DiscountKind.PERCENT:
            told = {"percent": write.number(document.discount_value)}
            label = write.say(N_("Discount %(percent)s%%")) % told
        between.append((label, write.money(-totals.discount_amount)))
    if totals.tax_amount:
        label = write.say(N_("Sales tax %(rate)s%%")) % {"rate": write.number(document.tax_rate)}
        between.append((label, write.money(totals.tax_amount)))
    subtotal = [(write.say(N_("Subtotal")), write.money(totals.subtotal))] if between else []
    return (*subtotal, *between, (write.say(N_("Total")), write.money(totals.total)))


class _Writer:
    """Formats words, amounts and dates for one reader, in the firm's currency."""

    def __init__(self, reader: Reader, currency: str) -> None:
        self._reader, self._currency = reader, currency

    def say(self, text: str) -> str:
        return self._reader.say(text)

    def day(self, value: date) -> str:
        return self._reader.day(value.isoformat())

    def money(self, amount: Decimal) -> str:
        text = numbers.format_currency(
            amount if amount.as_tuple().exponent == -2 else _short(amount),
            self._currency,
            locale=self._reader.language,
            decimal_quantization=False,
        )
        return text.replace("-", "−")

    def number(self, value: Decimal) -> str:
        return numbers.format_decimal(
            value, locale=self._reader.language, decimal_quantization=False
        )


def _short(amount: Decimal) -> Decimal:
    """Two decimals, or as many as the price has: 12.5000 becomes 12.50, 0.0125 stays."""
    cents = amount.quantize(CENT, ROUND_HALF_UP)
    return cents if cents == amount else amount.normalize()
