"""The sums of a document with lines, as the database computes an invoice's (`models/sales.py`)."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from models.sales import Discounted, DiscountKind

CENT = Decimal("0.01")


@dataclass(frozen=True)
class Discount:
    """One discount for a whole document: a percentage of its subtotal, or an amount."""

    kind: str = DiscountKind.PERCENT
    value: Decimal = Decimal(0)

    def off(self, subtotal: Decimal) -> Decimal:
        """What it takes off: never more than there is."""
        is_percent = self.kind == DiscountKind.PERCENT
        amount = subtotal * self.value / 100 if is_percent else self.value
        return max(min(_cents(amount), subtotal), Decimal(0))


def discount_of(document: Discounted) -> Discount:
    return Discount(document.discount_kind, document.discount_value)


@dataclass(frozen=True)
class Totals:
    subtotal: Decimal
    discount_amount: Decimal
    tax_amount: Decimal

    @property
    def total(self) -> Decimal:
        return self.subtotal - self.discount_amount + self.tax_amount


def totals_of(
    amounts: Iterable[tuple[Decimal, bool]], tax_rate: Decimal, discount: Discount | None = None
) -> Totals:
    """`amounts`: each line's, and whether it is taxable. Tax is computed after the discount."""
    amounts = list(amounts)
    subtotal = sum((amount for amount, _is_taxable in amounts), Decimal(0))
    taxable = sum((amount for amount, is_taxable in amounts if is_taxable), Decimal(0))
    off = (discount or Discount()).off(subtotal)
    return Totals(subtotal, off, _cents(taxable_after(off, taxable, subtotal) * tax_rate / 100))


def taxable_after(discount: Decimal, taxable: Decimal, subtotal: Decimal) -> Decimal:
    """What is taxed of the taxable lines: the discount is shared out among all lines."""
    return taxable - _cents(discount * taxable / subtotal) if discount else taxable


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_UP)
