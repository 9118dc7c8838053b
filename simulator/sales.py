"""Invoices and related forms: lines, totals, tax, numbers, and their effect on balances."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from simulator import refusals
from simulator.books import SPECIAL_ITEMS, Books
from simulator.clock import days_after, parse_day
from simulator.documents import (
    ZERO,
    Document,
    Json,
    in_order,
    money,
    number_of,
    part_of,
    parts_of,
    ref_of,
    text_of,
)
from simulator.refusals import Refusal
from simulator.tax import tax_of
from simulator.validation import Reader

DUE_AFTER = 30  # days, without payment terms
AUTO_NUMBER = "AUTO_GENERATE"
FIRST_NUMBER = 1001
OWED = {"Invoice", "CreditMemo"}  # open until something is applied

ORDER = tuple(
    "Deposit AllowIPNPayment AllowOnlinePayment AllowOnlineCreditCardPayment "
    "AllowOnlineACHPayment domain sparse Id SyncToken MetaData CustomField DocNumber TxnDate "
    "DepartmentRef CurrencyRef ExchangeRate PrivateNote TxnStatus LinkedTxn Line TxnTaxDetail "
    "CustomerRef CustomerMemo BillAddr ShipAddr FreeFormAddress ClassRef SalesTermRef DueDate "
    "ShipMethodRef ShipDate TrackingNum GlobalTaxCalculation TotalAmt HomeTotalAmt "
    "ApplyTaxAfterDiscount PrintStatus EmailStatus BillEmail BillEmailCc BillEmailBcc Balance "
    "HomeBalance RemainingCredit PaymentMethodRef PaymentRefNum DepositToAccountRef "
    "DeliveryInfo".split()
)
LINE_ORDER = ("Id", "LineNum", "Description", "Amount", "LinkedTxn", "DetailType")
VOIDED = "Voided"
CUSTOM_FIELDS = 3  # per sales form


@dataclass(frozen=True, slots=True)
class Totals:
    subtotal: Decimal
    discount: Decimal
    tax: Decimal

    @property
    def total(self) -> Decimal:
        return self.subtotal - self.discount + self.tax


# Checks --------------------------------------------------------------------------------------


def require_lines(draft: Document, reader: Reader) -> None:
    for line in parts_of(draft, "Line"):
        kind = _detail_type(line)
        if not kind:
            reader.refuse(refusals.required_missing("DetailType"))
        elif kind == "SalesItemLineDetail" and "Amount" not in line:
            reader.refuse(refusals.required_missing("Amount"))
    must_mail = text_of(draft, "EmailStatus") == "NeedToSend" and draft.get("sparse") is not True
    if must_mail and not text_of(part_of(draft, "BillEmail"), "Address"):
        reader.refuse(refusals.required_missing("BillEmail"))


def _detail_type(line: Document) -> str:
    told = text_of(line, "DetailType")
    if told:
        return told
    return "SalesItemLineDetail" if "SalesItemLineDetail" in line else ""


def _check_amount(line: Document, detail: Document) -> None:
    quantity, price = number_of(detail, "Qty"), number_of(detail, "UnitPrice")
    both = "Qty" in detail and "UnitPrice" in detail and (quantity or price)
    if both and money(quantity * price) != number_of(line, "Amount"):
        raise Refusal(refusals.amount_differs(number_of(line, "Amount")))


# Completing ----------------------------------------------------------------------------------


def complete(books: Books, entity: str, draft: Document, before: Document | None) -> Document:
    customer = books.company.get("Customer", ref_of(draft, "CustomerRef")) or {}
    if before and entity in OWED and books.total_applied(before):
        _check_same_customer(draft, before)
    draft = {key: value for key, value in draft.items() if value != ""}
    draft.setdefault("TxnDate", books.today())
    books.check_open_period(text_of(draft, "TxnDate"), text_of(before, "TxnDate") if before else "")
    _complete_currency(books, draft, customer)
    lines = _complete_lines(books, draft, before)
    subtotal, discount = _sums(lines)
    tax_detail, tax = tax_of(books, draft, customer, lines, subtotal, discount)
    totals = Totals(subtotal, discount, tax)
    if totals.total < 0:
        raise Refusal(refusals.business_rule("Transaction amount must be 0 or greater."))
    _complete_number(books, entity, draft, before)

    draft["Line"] = [*_with_subtotal(lines, subtotal)]
    if tax_detail:
        draft["TxnTaxDetail"] = tax_detail
    else:
        draft.pop("TxnTaxDetail", None)
    draft["TotalAmt"] = money(totals.total)
    _complete_links(entity, draft, before)
    _complete_defaults(books, entity, draft, before, customer)
    _complete_balance(books, entity, draft, before)
    return draft


def _check_same_customer(draft: Document, before: Document) -> None:
    if ref_of(before, "CustomerRef") != ref_of(draft, "CustomerRef"):
        words = "You can't change the customer of a transaction that is linked to others."
        raise Refusal(refusals.business_rule(words))


def _complete_currency(books: Books, draft: Document, customer: Document) -> None:
    sent = ref_of(draft, "CurrencyRef")
    theirs = ref_of(customer, "CurrencyRef") or books.company.home_currency
    many = books.company.preference("CurrencyPrefs").get("MultiCurrencyEnabled") is True
    if (sent and sent != theirs) or (many and not sent and theirs != books.company.home_currency):
        raise Refusal(
            refusals.business_rule(
                "The currency of the transaction is invalid for customer / vendor / account."
            )
        )
    draft["CurrencyRef"] = books.currency_ref(theirs)
    if many:
        draft.setdefault("ExchangeRate", books.exchange_rate(theirs))
    elif theirs == books.company.home_currency:
        draft.pop("ExchangeRate", None)


def _complete_lines(books: Books, draft: Document, before: Document | None) -> list[Document]:
    known = {text_of(line, "Id") for line in parts_of(before or {}, "Line") if "Id" in line}
    highest = max((int(each) for each in known if each.isdigit()), default=0)
    lines: list[Document] = []
    discounts = 0
    for line in parts_of(draft, "Line"):
        kind = _detail_type(line)
        if kind == "SubTotalLineDetail":
            continue  # QuickBooks adds its own subtotal line
        line = {**line, "DetailType": kind}
        if kind == "SalesItemLineDetail":
            line[kind] = _complete_item_detail(books, line)
        if kind == "DiscountLineDetail":
            discounts += 1
            if discounts > 1:
                raise Refusal(refusals.business_rule("Only one discount line is allowed."))
            lines.append(in_order(_complete_discount(books, line), LINE_ORDER))
            continue
        if text_of(line, "Id") not in known:
            highest += 1
            line["Id"] = str(highest)
        known.discard(text_of(line, "Id"))
        line["LineNum"] = 1 + sum("Id" in each for each in lines)
        lines.append(in_order(line, LINE_ORDER))
    return sorted(lines, key=lambda line: line["DetailType"] == "DiscountLineDetail")


def _complete_item_detail(books: Books, line: Document) -> Document:
    detail = part_of(line, "SalesItemLineDetail")
    _check_amount(line, detail)
    item_id = ref_of(detail, "ItemRef")
    completed: Document = {}
    if item_id:
        completed["ItemRef"] = (
            {"value": item_id} if item_id in SPECIAL_ITEMS else books.named_ref("Item", item_id)
        )
    for key in ("ClassRef",):
        if value := ref_of(detail, key):
            completed[key] = books.named_ref("Class", value)
    completed.update({key: value for key, value in detail.items() if key not in completed})
    completed.pop("TaxCodeRef", None)
    if not item_id:
        completed.pop("ItemRef", None)
    code = ref_of(detail, "TaxCodeRef")
    if books.company.is_us:
        if code not in ("", "TAX", "NON"):
            raise Refusal(refusals.wrong_line_tax_code())
        completed["TaxCodeRef"] = {"value": code or "NON"}
    elif code:
        tax_code = books.company.get("TaxCode", code)
        if tax_code is None:
            raise Refusal(refusals.wrong_tax_code(code))
        if tax_code.get("Active") is False:
            raise Refusal(refusals.wrong_tax_code(code))
        completed["TaxCodeRef"] = {"value": code}
    return completed


def _complete_discount(books: Books, line: Document) -> Document:
    detail = dict(part_of(line, "DiscountLineDetail"))
    percent_based = detail.get("PercentBased") is True
    if percent_based and "DiscountPercent" not in detail:
        raise Refusal(refusals.discount_incomplete())
    if not percent_based and "Amount" not in line:
        raise Refusal(refusals.discount_incomplete())
    account = ref_of(detail, "DiscountAccountRef") or "86"
    detail["DiscountAccountRef"] = books.named_ref("Account", account)
    detail.setdefault("PercentBased", percent_based)
    completed = {**line, "DiscountLineDetail": detail}
    completed.pop("Id", None)
    completed.pop("LineNum", None)
    return completed


def _sums(lines: list[Document]) -> tuple[Decimal, Decimal]:
    """The subtotal and the discount; a percentage discount's amount is computed here."""
    subtotal = sum(
        (
            number_of(line, "Amount")
            for line in lines
            if line["DetailType"] in ("SalesItemLineDetail", "GroupLineDetail")
        ),
        ZERO,
    )
    discount = ZERO
    for line in lines:
        if line["DetailType"] == "DiscountLineDetail":
            detail = part_of(line, "DiscountLineDetail")
            if detail.get("PercentBased") is True:
                line["Amount"] = money(subtotal * number_of(detail, "DiscountPercent") / 100)
            discount += number_of(line, "Amount")
    return subtotal, discount


def _with_subtotal(lines: list[Document], subtotal: Decimal) -> list[Document]:
    """The subtotal line comes after the items and before a discount; it has no id."""
    closing: Document = {
        "Amount": money(subtotal),
        "DetailType": "SubTotalLineDetail",
        "SubTotalLineDetail": {},
    }
    discounts = [line for line in lines if line["DetailType"] == "DiscountLineDetail"]
    return [*lines[: len(lines) - len(discounts)], closing, *discounts]


# Numbers -------------------------------------------------------------------------------------


def _sequence(entity: str) -> str:
    return "numbers:Estimate" if entity == "Estimate" else "numbers"


def _complete_number(books: Books, entity: str, draft: Document, before: Document | None) -> None:
    company = books.company
    custom = company.preference("SalesFormsPrefs").get("CustomTxnNumbers") is True
    number = text_of(draft, "DocNumber")
    automatic = number == AUTO_NUMBER or draft.get("AutoDocNumber") is True
    draft.pop("AutoDocNumber", None)
    if automatic or (not number and not before and not custom):
        highest = company.sequences.get(_sequence(entity), FIRST_NUMBER - 1)
        draft["DocNumber"] = str(highest + 1)
        books.world.skip_ids(company, _sequence(entity), highest + 1)
        return
    if not number and before and not custom:
        number = text_of(before, "DocNumber")  # kept, even if a full update omits it
        if number:
            draft["DocNumber"] = number
        return
    if not number:
        draft.pop("DocNumber", None)
        return
    if custom and company.switches.warn_duplicate_numbers:
        _check_number(books, entity, number, text_of(before, "Id") if before else "")
    if number.isdigit() and len(number) < 16:
        books.world.skip_ids(company, _sequence(entity), int(number))


def _check_number(books: Books, entity: str, number: str, own_id: str) -> None:
    if "allowduplicatedocnum" in books.includes:
        return
    for other in books.company.with_value(entity, "DocNumber", number):
        if text_of(other, "Id") != own_id:
            raise Refusal(refusals.duplicate_number(number, entity, text_of(other, "Id")))


# Defaults, links, balances -------------------------------------------------------------------


def _complete_links(entity: str, draft: Document, before: Document | None) -> None:
    """Links to payments are created by the payment; links in the client's document are ignored."""
    kept = (
        [link for link in parts_of(before, "LinkedTxn") if text_of(link, "TxnType") == "Payment"]
        if before
        else []
    )
    sent = [link for link in parts_of(draft, "LinkedTxn") if text_of(link, "TxnType") != "Payment"]
    links = [*kept, *sent]
    if links or entity == "Invoice":
        draft["LinkedTxn"] = list(links)
    else:
        draft.pop("LinkedTxn", None)


def _complete_defaults(
    books: Books, entity: str, draft: Document, before: Document | None, customer: Document
) -> None:
    if entity == "Invoice":
        draft["AllowIPNPayment"] = draft["AllowOnlinePayment"] = False
        draft.setdefault("AllowOnlineCreditCardPayment", False)
        draft.setdefault("AllowOnlineACHPayment", False)
        if "DueDate" not in draft:
            draft["DueDate"] = _due_date(books, draft, customer)
    if customer:
        draft["CustomerRef"] = {
            "value": text_of(customer, "Id"),
            "name": text_of(customer, "DisplayName"),
        }
    if term := ref_of(draft, "SalesTermRef"):
        draft["SalesTermRef"] = books.named_ref("Term", term)
    else:
        draft.pop("SalesTermRef", None)
    for key, target in (("ClassRef", "Class"), ("DepartmentRef", "Department")):
        if value := ref_of(draft, key):
            draft[key] = books.named_ref(target, value)
    if not before:
        for address in ("BillAddr", "ShipAddr"):
            if address in customer:
                draft.setdefault(address, customer[address])
    books.addressed(draft, before, "BillAddr", "ShipAddr")
    draft.setdefault("ApplyTaxAfterDiscount", False)
    draft.setdefault("PrintStatus", "NeedToPrint")
    draft.setdefault("EmailStatus", "NotSet")
    for email in ("BillEmail", "BillEmailCc", "BillEmailBcc"):
        if email in draft and not text_of(part_of(draft, email), "Address"):
            del draft[email]
    if before and "DeliveryInfo" in before:
        draft["DeliveryInfo"] = before["DeliveryInfo"]
    _complete_custom_fields(books, draft)
    if entity == "Estimate":
        draft.setdefault("TxnStatus", "Pending")
    if entity in ("SalesReceipt", "RefundReceipt"):
        account = ref_of(draft, "DepositToAccountRef") or "4"
        draft["DepositToAccountRef"] = books.named_ref("Account", account)
        if method := ref_of(draft, "PaymentMethodRef"):
            draft["PaymentMethodRef"] = books.named_ref("PaymentMethod", method)


def _due_date(books: Books, draft: Document, customer: Document) -> str:
    term_id = ref_of(draft, "SalesTermRef") or ref_of(customer, "SalesTermRef")
    term = books.company.get("Term", term_id)
    days = int(number_of(term, "DueDays")) if term else DUE_AFTER
    try:
        return days_after(parse_day(text_of(draft, "TxnDate")), days)
    except OverflowError:
        return text_of(draft, "TxnDate")


def _complete_custom_fields(books: Books, draft: Document) -> None:
    """All fields that the company has defined, with values where sent; others are dropped."""
    sent = {text_of(each, "DefinitionId"): each for each in parts_of(draft, "CustomField")}
    draft.pop("CustomField", None)
    completed: list[Document] = []
    for definition in _custom_definitions(books):
        told = sent.get(text_of(definition, "DefinitionId"), {})
        value = text_of(told, "StringValue")
        completed.append({**definition, **({"StringValue": value} if value else {})})
    if completed:
        draft["CustomField"] = list(completed)


def _custom_definitions(books: Books) -> list[Document]:
    preferences: dict[str, Json] = {}
    for group in parts_of(books.company.preference("SalesFormsPrefs"), "CustomField"):
        for each in parts_of(group, "CustomField"):
            value = each.get("BooleanValue", each.get("StringValue"))
            preferences[text_of(each, "Name")] = value
    return [
        {
            "DefinitionId": str(number),
            "Name": preferences.get(f"SalesFormsPrefs.SalesCustomName{number}", ""),
            "Type": "StringType",
        }
        for number in range(1, CUSTOM_FIELDS + 1)
        if preferences.get(f"SalesFormsPrefs.UseSalesCustom{number}") is True
    ]


def _complete_balance(books: Books, entity: str, draft: Document, before: Document | None) -> None:
    total = number_of(draft, "TotalAmt")
    applied = books.total_applied(before) if before else ZERO
    if entity == "Invoice":
        draft["Balance"] = money(total - min(applied, total))
    elif entity == "CreditMemo":
        draft["Balance"] = draft["RemainingCredit"] = money(total - min(applied, total))
    elif entity != "Estimate":
        draft["Balance"] = ZERO
    if "ExchangeRate" in draft:
        rate = number_of(draft, "ExchangeRate")
        draft["HomeTotalAmt"] = money(total * rate)
        if entity == "Invoice":
            draft["HomeBalance"] = money(number_of(draft, "Balance") * rate)


def owed(entity: str, document: Document | None) -> Decimal:
    """The amount that this form adds to its customer's balance."""
    if document is None:
        return ZERO
    if entity == "Invoice":
        return number_of(document, "Balance")
    return -number_of(document, "Balance") if entity == "CreditMemo" else ZERO


def voided(books: Books, document: Document) -> Document:
    """All amounts are zero, the note says so, the number stays."""
    note = text_of(document, "PrivateNote")
    lines: list[Document] = []
    for line in parts_of(document, "Line"):
        line = {**line, "Amount": ZERO} if "Amount" in line else dict(line)
        detail = part_of(line, "SalesItemLineDetail")
        if detail:
            zeros: Document = {key: ZERO for key in ("UnitPrice", "Qty") if key in detail}
            line["SalesItemLineDetail"] = {**detail, **zeros}
        lines.append(line)
    values: Document = {
        "PrivateNote": f"{VOIDED} - {note}" if note else VOIDED,
        "Line": list(lines),
        "TxnTaxDetail": {"TotalTax": ZERO},
        "TotalAmt": ZERO,
        "Balance": ZERO,
    }
    if "HomeTotalAmt" in document:
        values["HomeTotalAmt"] = values["HomeBalance"] = ZERO
    return in_order(books.changed(document, **values), ORDER)
