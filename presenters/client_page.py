"""Values of the page that a client sees at the secret address."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from clients.paper import Paper, money_of
from languages import N_, Reader
from models.accounts import Organization
from models.processors import Charge, Checkout, CheckoutState, ProcessorAccount
from models.sales import Invoice, InvoiceStatus, PaymentMethod
from processors import paying
from processors.processor import MAX_AMOUNT, MIN_AMOUNT

FAILURES = {  # of a bank transfer, by Stripe's code
    "insufficient_funds": N_("The account did not have enough money."),
    "account_closed": N_("The account is closed."),
    "no_account": N_("The bank does not know this account."),
    "debit_not_authorized": N_("The bank did not allow the transfer."),
}


@dataclass(frozen=True)
class ClientReceipt:
    day: str
    how: str
    amount: str
    taken_back: str


@dataclass(frozen=True)
class InvoicePage:
    """`state` is due, overdue, part_paid, on_its_way, paid or void."""

    state: str
    headline: str  # above the amount
    amount: str
    below: str  # below the amount
    by_card: bool
    by_ach: bool
    on_its_way: str  # sum of transfers in progress
    failure: str  # why the last transfer failed
    how_to_pay: tuple[str, ...]  # sentences, where something is due that can't be paid online
    receipts: tuple[ClientReceipt, ...]


def invoice_page(
    session: Session,
    invoice: Invoice,
    paper: Paper,
    account: ProcessorAccount | None,
    coming: Decimal,
    reader: Reader,
    today: date,
) -> InvoicePage:
    """`coming` is the sum of transfers in progress."""
    organization = session.get_one(Organization, invoice.organization_id)

    def money(amount: Decimal) -> str:
        return money_of(amount, organization, reader)

    left = max(invoice.balance - coming, Decimal(0))
    state = _state(invoice, coming, today)
    can_pay = account is not None and account.can_charge and bool(paying.within_limits(left))
    return InvoicePage(
        state=state,
        headline=_headline(state, reader),
        amount=money(invoice.paid_amount if state == "paid" else left),
        below=_below(state, invoice, paper, reader, money(invoice.total)),
        by_card=can_pay and account is not None and account.takes_cards,
        by_ach=can_pay and account is not None and account.takes_ach,
        on_its_way=money(coming) if coming else "",
        failure=_failure(session, invoice, reader) if left else "",
        how_to_pay=() if can_pay or not left else _how_to_pay(left, account, paper, reader),
        receipts=_receipts(session, invoice, reader, organization),
    )


def _state(invoice: Invoice, coming: Decimal, today: date) -> str:
    if invoice.status == InvoiceStatus.VOID:
        return "void"
    if invoice.status == InvoiceStatus.PAID:
        return "paid"
    if invoice.balance <= 0:
        return "nothing_due"
    if coming >= invoice.balance:
        return "on_its_way"
    if invoice.due_on < today:
        return "overdue"
    return "part_paid" if invoice.status == InvoiceStatus.PARTLY_PAID else "due"


def _headline(state: str, reader: Reader) -> str:
    words = {
        "void": N_("Nothing is due"),
        "nothing_due": N_("Nothing is due"),
        "paid": N_("Paid. Thank you!"),
        "on_its_way": N_("Your payment is on its way"),
        "overdue": N_("Overdue"),
    }
    return reader.say(words.get(state, N_("Amount due")))


def _below(state: str, invoice: Invoice, paper: Paper, reader: Reader, total: str) -> str:
    due = reader.say(N_("%(document)s · due %(day)s")) % {
        "document": paper.title,
        "day": reader.day(invoice.due_on.isoformat()),
    }
    match state:
        case "void" | "paid" | "on_its_way" | "nothing_due":
            return paper.title
        case _ if invoice.paid_amount:
            paid = reader.say(N_("%(paid)s of %(total)s is already paid."))
            return f"{due}\n{paid % {'paid': paper.paid, 'total': total}}"
        case _:
            return due


def _how_to_pay(
    left: Decimal, account: ProcessorAccount | None, paper: Paper, reader: Reader
) -> tuple[str, ...]:
    """Why there is no button, and whom to ask. What the firm wrote about it is on the invoice."""
    firm = paper.firm
    can_charge = account is not None and account.can_charge
    if can_charge and left < MIN_AMOUNT:
        why = N_("An amount this small can't be paid online.")
    elif can_charge and left > MAX_AMOUNT:
        why = N_("An amount this large can't be paid online.")
    else:
        why = N_("This invoice can't be paid online.")
    if firm.phone and firm.email:
        ask = N_("Ask %(firm)s how to pay: call %(phone)s or write to %(email)s.")
    elif firm.phone:
        ask = N_("Ask %(firm)s how to pay: call %(phone)s.")
    elif firm.email:
        ask = N_("Ask %(firm)s how to pay: write to %(email)s.")
    else:
        ask = N_("Ask %(firm)s how to pay.")
    phone = firm.phone.replace(" ", "\u00a0")
    told = {"firm": firm.name, "phone": phone, "email": firm.email}
    return reader.say(why), reader.say(ask) % told


def _failure(session: Session, invoice: Invoice, reader: Reader) -> str:
    """Why the client's last attempt failed, if it was a bank transfer."""
    last = session.scalar(
        select(Checkout)
        .where(
            Checkout.invoice_id == invoice.id,
            Checkout.state.not_in((CheckoutState.OPENING, CheckoutState.EXPIRED)),
        )
        .order_by(Checkout.id.desc())
        .limit(1)
    )
    if last is None or last.state != CheckoutState.FAILED:
        return ""
    return reader.say(FAILURES.get(last.failure or "", N_("The bank did not say why.")))


def _receipts(
    session: Session, invoice: Invoice, reader: Reader, organization: Organization
) -> tuple[ClientReceipt, ...]:
    labels = dict(
        session.execute(
            select(Charge.payment_id, Charge.label).where(
                Charge.payment_id.in_([payment.id for payment in invoice.payments])
            )
        ).all()
    )
    methods = {
        PaymentMethod.CARD: N_("Card"),
        PaymentMethod.ACH: N_("Bank transfer"),
        PaymentMethod.CHECK: N_("Check"),
        PaymentMethod.CASH: N_("Cash"),
    }
    return tuple(
        ClientReceipt(
            day=reader.day(payment.received_on.isoformat()),
            how=labels.get(payment.id) or reader.say(methods[payment.method]),
            amount=money_of(payment.amount, organization, reader),
            taken_back=money_of(payment.went_back, organization, reader)
            if payment.went_back
            else "",
        )
        for payment in invoice.payments
    )
