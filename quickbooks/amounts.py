"""Amounts, prices and quantities, from a snapshot's texts to QuickBooks' digits. Pure."""

from decimal import ROUND_HALF_UP, Decimal

from outbox.company import Fault
from quickbooks.documents import NotWritable

MAX_AMOUNT = Decimal("9999999999.99")  # of a line: ten digits before the decimal point
MAX_PRICE = Decimal(99_999_999_999)


def cents(text: str) -> Decimal:
    """Dollars rounded half-up to the cent."""
    return Decimal(text).quantize(Decimal("0.01"), ROUND_HALF_UP)


def dollars(text: str) -> Decimal:
    """An amount to the cent. Raises NotWritable if QuickBooks cannot store it."""
    return _at_most(MAX_AMOUNT, cents(text))


def unit_price(text: str) -> Decimal:
    """A price in dollars, with its decimals. Raises NotWritable if QuickBooks cannot store it."""
    return _at_most(MAX_PRICE, Decimal(text))


def _at_most(limit: Decimal, amount: Decimal) -> Decimal:
    if abs(amount) > limit:
        about = {"amount": f"${amount:,}"}
        raise NotWritable(Fault("amount_too_large", about=about, field="lines"))
    return amount


def shortest(number: Decimal, places: int = 2) -> Decimal:
    """Without unneeded zeros, but with at least `places` decimals unless it is whole."""
    bare = number.normalize()
    exponent = bare.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= 0:
        return bare.quantize(Decimal(1))
    return (
        bare
        if isinstance(exponent, int) and -exponent >= places
        else number.quantize(Decimal(1).scaleb(-places))
    )
