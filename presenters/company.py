"""Facts read about a company that nobody has confirmed yet, in words."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation

from models.base import Json
from web.formats import money
from web.languages import _


@dataclass(frozen=True)
class LastSale:
    what: str
    at: datetime | None


def last_sale(told: Json | None) -> LastSale | None:
    """The invoice last changed in QuickBooks."""
    if not told:
        return None
    total = money(_amount(told["total"]))
    if told["number"]:
        what = _("Invoice %(number)s, %(total)s", number=told["number"], total=total)
    else:
        what = _("An invoice, %(total)s", total=total)
    return LastSale(f"{what} · {told['customer']}" if told["customer"] else what, _moment(told))


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal(0)


def _moment(told: Json) -> datetime | None:
    """None for times without a zone, whose meaning is unclear."""
    try:
        at = datetime.fromisoformat(told["changed_at"])
    except ValueError:
        return None
    return at if at.tzinfo else None
