"""A record's amount here, which may have changed since it was sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.sales import GoodwillRefund, Invoice, Payment, RecordType


@dataclass(frozen=True)
class Amount:
    """A record's amount here."""

    total: Decimal
    is_void: bool = False
    paid_back: Decimal = Decimal(0)  # of a payment, so that it no longer counts


def amounts_here(session: Session, kind: RecordType, ids: Sequence[int]) -> dict[int, Amount]:
    """Of the records themselves, by their ids; empty for records without an amount."""
    match kind:
        case RecordType.INVOICE:
            invoices = session.execute(
                select(Invoice.id, Invoice.total, Invoice.voided_at).where(Invoice.id.in_(ids))
            )
            return {key: Amount(total, voided_at is not None) for key, total, voided_at in invoices}
        case RecordType.PAYMENT:
            payments = session.execute(
                select(Payment.id, Payment.amount, Payment.refunded_amount).where(
                    Payment.id.in_(ids)
                )
            )
            return {key: Amount(amount, paid_back=back) for key, amount, back in payments}
        case RecordType.REFUND:
            model = GoodwillRefund
            refunds = session.execute(
                select(model.id, model.amount, model.voided_at).where(model.id.in_(ids))
            )
            return {
                key: Amount(amount, voided_at is not None) for key, amount, voided_at in refunds
            }
        case RecordType.LEAD | RecordType.PRODUCT:
            return {}
