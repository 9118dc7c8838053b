"""Sales tax: manual, automated (Intuit's), and Canada's codes per line."""

from __future__ import annotations

from decimal import Decimal

from simulator import refusals
from simulator.books import Books
from simulator.documents import (
    ZERO,
    Document,
    money,
    number_of,
    part_of,
    parts_of,
    ref_of,
    text_of,
)
from simulator.refusals import Refusal

# Automated sales tax uses the shipping address; codes of these states are in the books.
AUTOMATED_CODES = {"CA": "2", "AZ": "3", "NY": "4", "TX": "5", "FL": "6", "WA": "7"}
NO_NEXUS_CODE = "8"


def tax_of(
    books: Books,
    draft: Document,
    customer: Document,
    lines: list[Document],
    subtotal: Decimal,
    discount: Decimal,
) -> tuple[Document, Decimal]:
    """The TxnTaxDetail to store, and the tax included in the total."""
    preferences = books.company.preference("TaxPrefs")
    if preferences.get("UsingSalesTax") is False:
        return {}, ZERO
    if not books.company.is_us:
        return _tax_by_line(books, draft, lines)
    taxable = _taxable(draft, lines, subtotal, discount)
    if preferences.get("PartnerTaxEnabled") is True:
        return _automated_tax(books, draft, customer, taxable)
    return _manual_tax(books, part_of(draft, "TxnTaxDetail"), taxable)


def _taxable(
    draft: Document, lines: list[Document], subtotal: Decimal, discount: Decimal
) -> Decimal:
    taxable = sum(
        (
            number_of(line, "Amount")
            for line in lines
            if ref_of(part_of(line, "SalesItemLineDetail"), "TaxCodeRef") == "TAX"
        ),
        ZERO,
    )
    if draft.get("ApplyTaxAfterDiscount") is True and subtotal:
        taxable -= money(discount * taxable / subtotal)
    return taxable


def _manual_tax(books: Books, sent: Document, taxable: Decimal) -> tuple[Document, Decimal]:
    """By the code that was sent. Tax lines sent with it override our computation."""
    code = ref_of(sent, "TxnTaxCodeRef")
    if code in ("", "TAX", "NON"):
        total = number_of(sent, "TotalTax")
        return {"TotalTax": total}, total
    told_lines = parts_of(sent, "TaxLine")
    detail, total = _tax_by_code(books, code, taxable)
    if told_lines and "TotalTax" in sent and number_of(sent, "TotalTax") != total:
        total = number_of(sent, "TotalTax")
        detail = {**detail, "TotalTax": total, "TaxLine": list(told_lines)}
    return detail, total


def _automated_tax(
    books: Books, draft: Document, customer: Document, taxable: Decimal
) -> tuple[Document, Decimal]:
    exempt = customer.get("Taxable") is False
    address = part_of(draft, "ShipAddr") or part_of(customer, "ShipAddr")
    if not text_of(address, "CountrySubDivisionCode"):
        info = books.company.get("CompanyInfo", "1") or {}
        address = part_of(info, "CompanyAddr")
    state = text_of(address, "CountrySubDivisionCode").upper()
    code = AUTOMATED_CODES.get(state, NO_NEXUS_CODE)
    detail, total = _tax_by_code(books, code, ZERO if exempt else taxable)
    sent = part_of(draft, "TxnTaxDetail")
    is_told = bool(ref_of(sent, "TxnTaxCodeRef")) and "TotalTax" in sent
    if is_told and books.company.switches.tax_override_kept:
        return _overridden(detail, total, number_of(sent, "TotalTax"))
    return detail, total


def _overridden(detail: Document, total: Decimal, told: Decimal) -> tuple[Document, Decimal]:
    """The tax that was sent, divided among its lines in the computed proportions."""
    lines = parts_of(detail, "TaxLine")
    left = told
    shared: list[Document] = []
    for line in lines:
        share = money(told * number_of(line, "Amount") / total) if total else ZERO
        amount = left if line is lines[-1] else share
        left -= amount
        shared.append({**line, "Amount": amount})
    return {**detail, "TotalTax": told, **({"TaxLine": list(shared)} if lines else {})}, told


def _tax_by_code(books: Books, code: str, taxable: Decimal) -> tuple[Document, Decimal]:
    tax_code = books.company.get("TaxCode", code)
    if tax_code is None or tax_code.get("Active") is False:
        raise Refusal(refusals.wrong_tax_code(code))
    details = parts_of(part_of(tax_code, "SalesTaxRateList"), "TaxRateDetail")
    if not books.company.switches.fine_tax_rates:
        _check_rates(books, [ref_of(detail, "TaxRateRef") for detail in details])
    lines = [_tax_line(books, ref_of(detail, "TaxRateRef"), taxable) for detail in details]
    total = sum((number_of(line, "Amount") for line in lines), ZERO)
    detail: Document = {"TxnTaxCodeRef": {"value": code}, "TotalTax": total}
    if taxable:
        detail["TaxLine"] = list(lines)
    return detail, total


def _check_rates(books: Books, rate_ids: list[str]) -> None:
    for rate_id in rate_ids:
        rate = number_of(books.company.get("TaxRate", rate_id) or {}, "RateValue")
        if rate != money(rate):
            raise Refusal(refusals.tax_not_calculated())


def _tax_line(books: Books, rate_id: str, taxable: Decimal) -> Document:
    rate = number_of(books.company.get("TaxRate", rate_id) or {}, "RateValue")
    return {
        "Amount": money(taxable * rate / 100),
        "DetailType": "TaxLineDetail",
        "TaxLineDetail": {
            "TaxRateRef": {"value": rate_id},
            "PercentBased": True,
            "TaxPercent": rate,
            "NetAmountTaxable": money(taxable),
        },
    }


def _tax_by_line(books: Books, draft: Document, lines: list[Document]) -> tuple[Document, Decimal]:
    """Outside the US every line has its own code, and the form says whether amounts include tax."""
    mode = text_of(draft, "GlobalTaxCalculation") or "TaxExcluded"
    draft["GlobalTaxCalculation"] = mode
    items = [line for line in lines if line["DetailType"] == "SalesItemLineDetail"]
    if mode == "NotApplicable":
        return {"TotalTax": ZERO}, ZERO
    by_code: dict[str, Decimal] = {}
    for line in items:
        code = ref_of(part_of(line, "SalesItemLineDetail"), "TaxCodeRef")
        if not code:
            raise Refusal(
                refusals.business_rule(
                    "Make sure all your transactions have a GST/HST rate before you save.",
                    "Assurez-vous que toutes vos opérations ont un taux de TPS/TVH avant "
                    "d'enregistrer.",
                )
            )
        by_code[code] = by_code.get(code, ZERO) + number_of(line, "Amount")
    tax_lines: list[Document] = []
    total = ZERO
    for code, amount in by_code.items():
        detail, tax = _tax_by_code(books, code, amount)
        if mode == "TaxInclusive":
            percent = sum(
                (
                    number_of(part_of(line, "TaxLineDetail"), "TaxPercent")
                    for line in parts_of(detail, "TaxLine")
                ),
                ZERO,
            )
            detail, tax = _tax_by_code(books, code, money(amount * 100 / (100 + percent)))
        tax_lines.extend(parts_of(detail, "TaxLine"))
        total += tax
    contained = mode == "TaxInclusive"  # amounts stay as sent, including tax
    return {"TotalTax": total, "TaxLine": list(tax_lines)}, ZERO if contained else total
