"""A record's amount here, which may have changed since it was sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import inspect, literal, null, select
from sqlalchemy.orm import Session

from models.sales import MODELS, RecordType


@dataclass(frozen=True)
class Amount:
    """A record's amount here."""

    total: Decimal
    is_void: bool = False
    paid_back: Decimal = Decimal(0)  # of a payment, so that it no longer counts


def amounts_here(session: Session, kind: RecordType, ids: Sequence[int]) -> dict[int, Amount]:
    """Of the records themselves, by their ids; empty for records without an amount."""
    columns = inspect(MODELS[kind]).columns
    amount = columns.get("total", columns.get("amount"))
    if amount is None:
        return {}
    voided_at = columns.get("voided_at", null())
    paid_back = columns.get("refunded_amount", literal(Decimal(0)))
    rows = session.execute(
        select(columns["id"], amount, voided_at, paid_back).where(columns["id"].in_(ids))
    )
    return {
        key: Amount(total, is_void=voided is not None, paid_back=back)
        for key, total, voided, back in rows
    }
