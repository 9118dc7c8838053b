"""Sales tax of an invoice: who computes it, and what we send of it. Pure."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

from models.base import Json
from models.sums import taxable_after
from quickbooks import discount
from quickbooks.amounts import dollars, shortest
from quickbooks.documents import Document, fallback_item


def mode_of(settings: Json) -> str:
    """none | line | manual | billed | automated: who computes sales tax, and where it stands.

    Of companies with automated sales tax: `billed` sends ours, `automated` leaves it to QuickBooks.
    """
    return str(settings.get("tax", {}).get("mode", "none"))


def taxes_lines(payload: Json, settings: Json) -> bool:
    """Whether lines are marked taxable. Not if we charge no tax: QuickBooks would add some.

    In the US a line has TAX or NON and no other code (Intuit's API reference, Invoice).
    """
    computed = ("manual", "billed", "automated")
    return Decimal(payload["tax_rate"]) > 0 and mode_of(settings) in computed


def detail(payload: Json, settings: Json) -> Document | None:
    """Our tax, unless QuickBooks is to compute its own.

    Companies with rates of their own get all of it (code, total and a line for each rate of the
    code), because QuickBooks keeps a total that differs from its own only then. With automated
    sales tax a code and the total are kept, as others have seen, and the code is replaced.
    """
    mode = mode_of(settings)
    if mode not in ("manual", "billed") or not taxes_lines(payload, settings):
        return None
    tax = dollars(payload["tax_amount"])
    code = _tax_code(payload, settings)
    if code is None:
        return {"TotalTax": tax}
    if mode == "billed":
        return {"TxnTaxCodeRef": {"value": code["id"]}, "TotalTax": tax}
    taxable = sum(
        (Decimal(line["amount"]) for line in payload["lines"] if line["taxable"]), Decimal("0.00")
    )
    off = discount.amount_of(payload)
    if off:
        taxable = taxable_after(off, taxable, Decimal(payload["subtotal"]))
    return {
        "TxnTaxCodeRef": {"value": code["id"]},
        "TotalTax": tax,
        "TaxLine": [
            {
                "Amount": amount,
                "DetailType": "TaxLineDetail",
                "TaxLineDetail": {
                    "TaxRateRef": {"value": rate["id"]},
                    "PercentBased": True,
                    "TaxPercent": Decimal(rate["percent"]),
                    "NetAmountTaxable": taxable,
                },
            }
            for rate, amount in _shared_out(tax, code["rates"])
        ],
    }


def line(tax: Decimal, payload: Json, settings: Json) -> Document:
    """Sales tax as a separate line, for companies in which QuickBooks computes none."""
    return {
        "Amount": tax,
        "DetailType": "SalesItemLineDetail",
        "Description": f"Sales tax {shortest(Decimal(payload['tax_rate']), 0)}%",
        "SalesItemLineDetail": {
            "ItemRef": {"value": fallback_item(settings, field="lines")},
            "TaxCodeRef": {"value": "NON"},
        },
    }


def _tax_code(payload: Json, settings: Json) -> Json | None:
    """The code with the same rate, or else the company's default."""
    codes: Sequence[Json] = settings.get("tax_codes", [])
    codes = [code for code in codes if code["rates"]]
    rate = Decimal(payload["tax_rate"])
    same = [code for code in codes if sum(Decimal(one["percent"]) for one in code["rates"]) == rate]
    usual = [code for code in codes if code["id"] == settings.get("tax", {}).get("code_id")]
    preferred = [code for code in same if code in usual] or same or usual
    if mode_of(settings) == "billed":
        preferred = preferred or codes  # any: QuickBooks puts its own in its place
    return preferred[0] if preferred else None


def _shared_out(tax: Decimal, rates: Sequence[Json]) -> list[tuple[Json, Decimal]]:
    """The tax divided by the rates of its code, to the cent; the last rate gets the remainder."""
    whole = sum(Decimal(rate["percent"]) for rate in rates) or Decimal(1)
    shares: list[tuple[Json, Decimal]] = []
    left = tax
    for rate in rates[:-1]:
        share = (tax * Decimal(rate["percent"]) / whole).quantize(Decimal("0.01"), ROUND_HALF_UP)
        shares.append((rate, share))
        left -= share
    return [*shares, (rates[-1], left)]
