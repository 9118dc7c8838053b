"""Reports, computed from what transactions post to accounts.

Other reports than the known ones have only a header and say that there are no data. Parameters that
matter are the dates, and `summarize_column_by` for profit and loss.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from simulator.books import Books
from simulator.clock import parse_day
from simulator.documents import (
    ZERO,
    Document,
    Json,
    money,
    number_of,
    part_of,
    parts_of,
    ref_of,
    text_of,
)
from simulator.schema import SALES_FORMS

MAX_COLUMNS = 1000  # days that a report is split into
RECEIVABLE, PAYABLE, TAX_PAYABLE, UNDEPOSITED, DISCOUNTS = "84", "33", "90", "4", "86"
ITEM_INCOME = "1"  # for a line without an item
NATURAL_CREDIT = {"Liability", "Equity", "Revenue"}  # shown with the opposite sign
ASSETS = ("Bank", "Accounts Receivable", "Other Current Asset", "Fixed Asset", "Other Asset")
LIABILITIES = (
    "Accounts Payable",
    "Credit Card",
    "Other Current Liability",
    "Long Term Liability",
)
AGES = (("Current", -(10**6), 0), ("1 - 30", 1, 30), ("31 - 60", 31, 60), ("61 - 90", 61, 90))


@dataclass(frozen=True, slots=True)
class Posting:
    """What one transaction posts to one account; debits are positive."""

    date: str
    entity: str
    txn: Document
    account: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Asked:
    books: Books
    name: str
    start: str
    end: str
    periods: list[tuple[str, str]]  # periods of the columns before the total
    postings: list[Posting]

    def within(self, start: str, end: str) -> Iterable[Posting]:
        return (each for each in self.postings if start <= each.date <= end)

    def until(self) -> Iterable[Posting]:
        return (each for each in self.postings if each.date <= self.end)


def report(books: Books, name: str, query: dict[str, str]) -> Document:
    """`query` is from the URL: start_date, end_date, report_date.
    Raises ValueError for an invalid date."""
    today = books.today()
    end = parse_day(query.get("end_date") or query.get("report_date") or today).isoformat()
    start = parse_day(query.get("start_date") or f"{end[:4]}-01-01").isoformat()
    summarized = query.get("summarize_column_by") or "Total"
    periods = list(_periods(start, end, summarized))
    asked = Asked(books, name, start, end, periods, list(_postings(books)))
    maker = _REPORTS.get(name)
    columns, rows = maker(asked) if maker else ((), [])
    no_data = "false" if rows else "true"
    options: list[Json] = [
        {"Name": "AccountingStandard", "Value": "GAAP"},
        {"Name": "NoReportData", "Value": no_data},
    ]
    return {
        "Header": {
            "Time": books.stamp(),
            "ReportName": name,
            "ReportBasis": query.get("accounting_method") or "Accrual",
            "StartPeriod": start,
            "EndPeriod": end,
            "SummarizeColumnsBy": summarized,
            "Currency": books.company.home_currency,
            "Option": options,
        },
        "Columns": {"Column": [_column(*column) for column in columns]},
        "Rows": {"Row": [*rows]} if rows else {},
    }


Column = tuple[str, str, str, *tuple[tuple[str, str], ...]]  # title, type, key, further metadata
Table = tuple[tuple[Column, ...], list[Document]]


def _column(title: str, kind: str, key: str, *more: tuple[str, str]) -> Document:
    told: list[Json] = [{"Name": name, "Value": value} for name, value in (*more, ("ColKey", key))]
    return {"ColTitle": title, "ColType": kind, "MetaData": told}


def _periods(start: str, end: str, by: str) -> Iterable[tuple[str, str]]:
    """Days, or the parts of months or years between the dates; none for a total only."""
    # length of the common prefix of dates in a period
    length = {"Days": 10, "Month": 7, "Year": 4}.get(by)
    if length is None:
        return
    first = day = parse_day(start)
    last = parse_day(end)
    for _ in range(MAX_COLUMNS):
        if day > last:
            return
        after = day + timedelta(days=1)
        if after > last or after.isoformat()[:length] != first.isoformat()[:length]:
            yield first.isoformat(), day.isoformat()
            first = after
        day = after


# What transactions post ----------------------------------------------------------------------


def _postings(books: Books) -> Iterable[Posting]:
    for entity in (*SALES_FORMS, "Payment", "Bill", "VendorCredit", "Deposit", "JournalEntry"):
        for txn in books.company.all(entity).values():
            for account, amount in _accounts(books, entity, txn):
                if amount:
                    yield Posting(text_of(txn, "TxnDate"), entity, txn, account, amount)


def _accounts(books: Books, entity: str, txn: Document) -> Iterable[tuple[str, Decimal]]:
    """The accounts it posts to, debits positive; the sum is zero."""
    total = number_of(txn, "TotalAmt")
    match entity:
        case "Invoice":
            yield RECEIVABLE, total
            yield from ((account, -amount) for account, amount in _income(books, txn))
        case "CreditMemo":
            yield RECEIVABLE, -total
            yield from _income(books, txn)
        case "SalesReceipt":
            yield ref_of(txn, "DepositToAccountRef") or UNDEPOSITED, total
            yield from ((account, -amount) for account, amount in _income(books, txn))
        case "RefundReceipt":
            yield ref_of(txn, "DepositToAccountRef") or UNDEPOSITED, -total
            yield from _income(books, txn)
        case "Payment":
            yield ref_of(txn, "DepositToAccountRef") or UNDEPOSITED, total
            yield RECEIVABLE, -total
        case "Bill" | "VendorCredit":
            sign = 1 if entity == "Bill" else -1
            yield ref_of(txn, "APAccountRef") or PAYABLE, -sign * total
            for line in parts_of(txn, "Line"):
                detail = part_of(line, "AccountBasedExpenseLineDetail")
                yield ref_of(detail, "AccountRef") or "31", sign * number_of(line, "Amount")
        case "Deposit":
            yield ref_of(txn, "DepositToAccountRef"), total
            for line in parts_of(txn, "Line"):
                detail = part_of(line, "DepositLineDetail")
                yield ref_of(detail, "AccountRef") or UNDEPOSITED, -number_of(line, "Amount")
        case "JournalEntry":
            for line in parts_of(txn, "Line"):
                detail = part_of(line, "JournalEntryLineDetail")
                sign = 1 if detail.get("PostingType") == "Debit" else -1
                yield ref_of(detail, "AccountRef"), sign * number_of(line, "Amount")


def _income(books: Books, txn: Document) -> Iterable[tuple[str, Decimal]]:
    for line in parts_of(txn, "Line"):
        amount = number_of(line, "Amount")
        if line.get("DetailType") == "SalesItemLineDetail":
            item = books.company.get(
                "Item", ref_of(part_of(line, "SalesItemLineDetail"), "ItemRef")
            )
            yield ref_of(item or {}, "IncomeAccountRef") or ITEM_INCOME, amount
        elif line.get("DetailType") == "DiscountLineDetail":
            detail = part_of(line, "DiscountLineDetail")
            yield ref_of(detail, "DiscountAccountRef") or DISCOUNTS, -amount
    yield TAX_PAYABLE, number_of(part_of(txn, "TxnTaxDetail"), "TotalTax")


# Rows ----------------------------------------------------------------------------------------


def _cell(value: str, object_id: str = "") -> Document:
    return {"value": value, "id": object_id} if object_id else {"value": value}


def _money(amount: Decimal) -> str:
    return f"{money(amount):f}"


def _data(*cells: Document) -> Document:
    return {"ColData": [*cells], "type": "Data"}


def _section(title: str, rows: list[Document], total: list[str], group: str) -> Document:
    blank = [_cell("") for _ in total]
    summary: list[Document] = [_cell(f"Total {title}"), *(_cell(each) for each in total)]
    return {
        "Header": {"ColData": [_cell(title), *blank]},
        "Rows": {"Row": [*rows]},
        "Summary": {"ColData": [*summary]},
        "type": "Section",
        "group": group,
    }


def _summary(title: str, amounts: list[Decimal], group: str) -> Document:
    told: list[Json] = [_cell(title), *(_cell(_money(each)) for each in amounts)]
    return {"Summary": {"ColData": told}, "type": "Section", "group": group}


def _balances(books: Books, postings: Iterable[Posting]) -> dict[str, Decimal]:
    """By account, as shown in reports: income and debts are positive."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for each in postings:
        sums[each.account] += each.amount
    return {
        account: -amount if _classification(books, account) in NATURAL_CREDIT else amount
        for account, amount in sums.items()
        if amount
    }


def _classification(books: Books, account: str) -> str:
    return text_of(books.company.get("Account", account) or {}, "Classification")


def _account_rows(
    books: Books, columns: list[dict[str, Decimal]], kind: str
) -> tuple[list[Document], list[Decimal]]:
    """A row per account of this type, a cell per column; and the sums of the columns."""
    rows: list[Document] = []
    totals = [ZERO] * len(columns)
    used = sorted(
        {account for column in columns for account in column}, key=lambda each: int(each or 0)
    )
    for account_id in used:
        account = books.company.get("Account", account_id) or {}
        if text_of(account, "AccountType") == kind:
            amounts = [column.get(account_id, ZERO) for column in columns]
            name = text_of(account, "FullyQualifiedName")
            rows.append(_data(_cell(name, account_id), *(_cell(_money(each)) for each in amounts)))
            totals = _added(totals, amounts)
    return rows, totals


def _added(left: list[Decimal], right: list[Decimal], sign: int = 1) -> list[Decimal]:
    return [one + sign * other for one, other in zip(left, right, strict=True)]


# The reports ---------------------------------------------------------------------------------

_ACCOUNT: Column = ("", "Account", "account")
_TOTAL: Column = ("Total", "Money", "total")


def _profit_and_loss(asked: Asked) -> Table:
    columns = [_balances(asked.books, asked.within(*period)) for period in asked.periods]
    columns.append(_balances(asked.books, asked.within(asked.start, asked.end)))
    profit = [ZERO] * len(columns)
    rows: list[Document] = []
    for title, kind, group, sign, subtotal in (
        ("Income", "Income", "Income", 1, ""),
        ("Cost of Goods Sold", "Cost of Goods Sold", "COGS", -1, "Gross Profit"),
        ("Expenses", "Expense", "Expenses", -1, "Net Operating Income"),
        ("Other Income", "Other Income", "OtherIncome", 1, ""),
        ("Other Expenses", "Other Expense", "OtherExpenses", -1, ""),
    ):
        found, totals = _account_rows(asked.books, columns, kind)
        if found:
            rows.append(_section(title, found, [_money(each) for each in totals], group))
        profit = _added(profit, totals, sign)
        if subtotal:
            rows.append(_summary(subtotal, profit, subtotal.replace(" ", "")))
    rows.append(_summary("Net Income", profit, "NetIncome"))
    return (_ACCOUNT, *(_period(*each) for each in asked.periods), _TOTAL), rows


def _period(start: str, end: str) -> Column:
    title = start if start == end else f"{start} - {end}"
    return title, "Money", title, ("StartDate", start), ("EndDate", end)


def _balance_sheet(asked: Asked) -> Table:
    books = asked.books
    balances = _balances(books, asked.until())
    by_kind = {
        kind: _account_rows(books, [balances], kind) for kind in (*ASSETS, *LIABILITIES, "Equity")
    }
    sections = {
        kind: _section(kind, rows, [_money(total[0])], kind.title().replace(" ", ""))
        for kind, (rows, total) in by_kind.items()
        if rows
    }
    profit = sum(
        (
            amount if _classification(books, account) == "Revenue" else -amount
            for account, amount in balances.items()
            if _classification(books, account) in ("Revenue", "Expense")
        ),
        ZERO,
    )
    owned = sum((by_kind[kind][1][0] for kind in ASSETS), ZERO)
    owed = sum((by_kind[kind][1][0] for kind in by_kind if kind not in ASSETS), profit)
    net = _data(_cell("Net Income"), _cell(_money(profit)))
    above = [sections[kind] for kind in sections if kind in ASSETS]
    below = [sections[kind] for kind in sections if kind not in ASSETS]
    return (_ACCOUNT, _TOTAL), [
        _section("ASSETS", above, [_money(owned)], "TotalAssets"),
        _section(
            "LIABILITIES AND EQUITY", [*below, net], [_money(owed)], "TotalLiabilitiesAndEquity"
        ),
    ]


def _trial_balance(asked: Asked) -> Table:
    columns: tuple[Column, ...] = (
        ("", "Account", "account"),
        ("Debit", "Money", "debt_home_amt"),
        ("Credit", "Money", "credit_home_amt"),
    )
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for each in asked.until():
        sums[each.account] += each.amount
    rows: list[Document] = []
    for account_id, amount in sorted(sums.items(), key=lambda each: int(each[0] or 0)):
        account = asked.books.company.get("Account", account_id) or {}
        debit, credit = (_money(amount), "") if amount > 0 else ("", _money(-amount))
        name = text_of(account, "FullyQualifiedName")
        rows.append(_data(_cell(name, account_id), _cell(debit), _cell(credit)))
    debits = _money(sum((each for each in sums.values() if each > 0), ZERO))
    credits = _money(-sum((each for each in sums.values() if each < 0), ZERO))
    told: list[Json] = [_cell("TOTAL"), _cell(debits), _cell(credits)]
    total: Document = {"Summary": {"ColData": told}, "type": "Section", "group": "GrandTotal"}
    return columns, [*rows, total]


_TXN_COLUMNS: tuple[Column, ...] = (
    ("Date", "Date", "tx_date"),
    ("Transaction Type", "String", "txn_type"),
    ("Num", "String", "doc_num"),
    ("Name", "String", "name"),
    ("Memo/Description", "String", "memo"),
    ("Account", "String", "account_name"),
    ("Amount", "Money", "subt_nat_amount"),
)


def _txn_row(books: Books, posting: Posting, amount: Decimal) -> Document:
    txn = posting.txn
    name = part_of(txn, "CustomerRef") or part_of(txn, "VendorRef")
    account = books.company.get("Account", posting.account) or {}
    return _data(
        _cell(posting.date),
        _cell(posting.entity, text_of(txn, "Id")),
        _cell(text_of(txn, "DocNumber")),
        _cell(text_of(name, "name"), text_of(name, "value")),
        _cell(text_of(txn, "PrivateNote")),
        _cell(text_of(account, "FullyQualifiedName"), posting.account),
        _cell(_money(amount)),
    )


def _transaction_list(asked: Asked) -> Table:
    """Each transaction once, under its main account."""
    seen: set[str] = set()
    rows: list[Document] = []
    for each in sorted(asked.within(asked.start, asked.end), key=_by_date):
        if text_of(each.txn, "Id") not in seen:
            seen.add(text_of(each.txn, "Id"))
            rows.append(_txn_row(asked.books, each, number_of(each.txn, "TotalAmt")))
    return _TXN_COLUMNS, rows


def _general_ledger(asked: Asked) -> Table:
    by_account: dict[str, list[Posting]] = defaultdict(list)
    for each in sorted(asked.within(asked.start, asked.end), key=_by_date):
        by_account[each.account].append(each)
    rows: list[Document] = []
    for account_id, postings in sorted(by_account.items(), key=lambda each: int(each[0] or 0)):
        account = asked.books.company.get("Account", account_id) or {}
        sign = -1 if text_of(account, "Classification") in NATURAL_CREDIT else 1
        told = [_txn_row(asked.books, each, sign * each.amount) for each in postings]
        total = sign * sum((each.amount for each in postings), ZERO)
        blank = [""] * (len(_TXN_COLUMNS) - 2)
        name = text_of(account, "FullyQualifiedName")
        rows.append(_section(name, told, [*blank, _money(total)], ""))
    return _TXN_COLUMNS, rows


def _by_date(posting: Posting) -> tuple[str, int]:
    return posting.date, int(text_of(posting.txn, "Id") or 0)


def _who_owes(entity: str, key: str, forms: tuple[str, ...]) -> Callable[[Asked], Table]:
    def table(asked: Asked) -> Table:
        owed: dict[str, Decimal] = defaultdict(Decimal)
        for txn, open_amount in _open_forms(asked, forms):
            owed[ref_of(txn, f"{entity}Ref")] += open_amount
        rows = [
            _data(_cell(name, object_id), _cell(_money(owed[object_id])))
            for object_id, name in _names(asked.books, entity, owed)
        ]
        columns: tuple[Column, ...] = (("", entity, key), ("Total", "Money", "total"))
        return columns, _with_total(rows, [_money(sum(owed.values(), ZERO))])

    return table


def _aged(entity: str, key: str, forms: tuple[str, ...]) -> Callable[[Asked], Table]:
    def table(asked: Asked) -> Table:
        titles = [title for title, _, _ in AGES] + ["91 and over"]
        owed: dict[str, list[Decimal]] = defaultdict(lambda: [ZERO] * len(titles))
        for txn, open_amount in _open_forms(asked, forms):
            due = text_of(txn, "DueDate") or text_of(txn, "TxnDate")
            days = (parse_day(asked.end) - parse_day(due)).days
            age = next((n for n, (_, low, high) in enumerate(AGES) if low <= days <= high), 4)
            owed[ref_of(txn, f"{entity}Ref")][age] += open_amount
        rows = [
            _data(_cell(name, object_id), *(_cell(each) for each in _aged_cells(owed[object_id])))
            for object_id, name in _names(asked.books, entity, owed)
        ]
        columns: tuple[Column, ...] = (
            ("", entity, key),
            *((title, "Money", str(n)) for n, title in enumerate(titles)),
            ("Total", "Money", "total"),
        )
        sums = [sum(column, ZERO) for column in zip(*owed.values(), strict=True)]
        return columns, _with_total(rows, _aged_cells(sums or [ZERO] * len(titles)))

    return table


def _aged_cells(amounts: list[Decimal]) -> list[str]:
    return [*(_money(each) for each in amounts), _money(sum(amounts, ZERO))]


def _open_forms(asked: Asked, forms: tuple[str, ...]) -> Iterable[tuple[Document, Decimal]]:
    """Open amounts by form; credits are subtracted."""
    for entity in forms:
        for txn in asked.books.company.all(entity).values():
            is_payment = entity == "Payment"
            amount = number_of(txn, "UnappliedAmt" if is_payment else "Balance")
            if amount and text_of(txn, "TxnDate") <= asked.end:
                yield (
                    txn,
                    -amount if entity in ("Payment", "CreditMemo", "VendorCredit") else amount,
                )


def _names(books: Books, entity: str, ids: Iterable[str]) -> list[tuple[str, str]]:
    named = [(each, text_of(books.company.get(entity, each) or {}, "DisplayName")) for each in ids]
    return sorted(named, key=lambda pair: pair[1].casefold())


def _with_total(rows: list[Document], total: list[str]) -> list[Document]:
    if not rows:
        return []
    told: list[Json] = [_cell("TOTAL"), *(_cell(each) for each in total)]
    return [*rows, {"Summary": {"ColData": told}, "type": "Section", "group": "GrandTotal"}]


def _account_list(asked: Asked) -> Table:
    columns: tuple[Column, ...] = (
        ("Account", "String", "account_name"),
        ("Type", "String", "account_type"),
        ("Detail type", "String", "detail_acc_type"),
        ("Balance", "Money", "account_bal"),
    )
    balances = _balances(asked.books, asked.until())
    rows = [
        _data(
            _cell(text_of(account, "FullyQualifiedName"), account_id),
            _cell(text_of(account, "AccountType")),
            _cell(text_of(account, "AccountSubType")),
            _cell(_money(balances.get(account_id, ZERO))),
        )
        for account_id, account in asked.books.company.all("Account").items()
        if account.get("Active") is not False
    ]
    return columns, rows


_CUSTOMER_FORMS = ("Invoice", "CreditMemo", "Payment")
_VENDOR_FORMS = ("Bill", "VendorCredit")
_REPORTS: dict[str, Callable[[Asked], Table]] = {
    "ProfitAndLoss": _profit_and_loss,
    "BalanceSheet": _balance_sheet,
    "TrialBalance": _trial_balance,
    "TransactionList": _transaction_list,
    "GeneralLedger": _general_ledger,
    "CustomerBalance": _who_owes("Customer", "cust", _CUSTOMER_FORMS),
    "VendorBalance": _who_owes("Vendor", "vend", _VENDOR_FORMS),
    "AgedReceivables": _aged("Customer", "cust", _CUSTOMER_FORMS),
    "AgedPayables": _aged("Vendor", "vend", _VENDOR_FORMS),
    "AccountList": _account_list,
}
