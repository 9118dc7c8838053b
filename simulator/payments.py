"""Payments: what they are applied to, in both directions, and what stays unapplied."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from simulator import refusals
from simulator.books import Books
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
from simulator.sales import VOIDED, owed
from simulator.schema import SCHEMAS
from simulator.validation import Reader

UNDEPOSITED_FUNDS = "4"
DEPOSIT_ACCOUNT_TYPES = {"Bank", "Other Current Asset"}
SETTLES = ("Invoice", "CreditMemo")  # transactions whose balance a payment line may change

ORDER = tuple(
    "CustomerRef DepositToAccountRef PaymentMethodRef PaymentRefNum TotalAmt UnappliedAmt "
    "ProcessPayment domain sparse Id SyncToken MetaData TxnDate CurrencyRef ExchangeRate "
    "PrivateNote LinkedTxn Line".split()
)

# (entity, id) → amount applied
Applied = dict[tuple[str, str], Decimal]


# Checks --------------------------------------------------------------------------------------


def require_lines(draft: Document, reader: Reader) -> None:
    for line in parts_of(draft, "Line"):
        if "Amount" not in line:
            reader.refuse(refusals.required_missing("Amount"))
        if not parts_of(line, "LinkedTxn"):
            reader.refuse(refusals.required_missing("LinkedTxn"))


def check_not_deposited(books: Books, payment_id: str) -> None:
    for deposit in books.company.all("Deposit").values():
        for line in parts_of(deposit, "Line"):
            for link in parts_of(line, "LinkedTxn"):
                if _as_id(link.get("TxnId")) == payment_id and link.get("TxnType") == "Payment":
                    raise Refusal(refusals.deposited())


def _as_id(value: object) -> str:
    return str(value) if isinstance(value, str | int) else ""


# Completing ----------------------------------------------------------------------------------


def complete(books: Books, draft: Document, before: Document | None) -> Document:
    draft = {key: value for key, value in draft.items() if value != ""}
    if "TotalAmt" not in draft:
        raise Refusal(refusals.business_rule("You must set a transaction amount."))
    if number_of(draft, "TotalAmt") < 0:
        raise Refusal(refusals.business_rule("Transaction amount must be 0 or greater."))
    if before:
        check_not_deposited(books, text_of(before, "Id"))
    draft.setdefault("TxnDate", books.today())
    books.check_open_period(text_of(draft, "TxnDate"), text_of(before, "TxnDate") if before else "")
    customer = books.company.get("Customer", ref_of(draft, "CustomerRef")) or {}
    _complete_account_and_method(books, draft)
    _check_card(draft)
    _check_currency(books, draft, customer)
    applied = _check_lines(books, draft, before)
    unapplied = number_of(draft, "TotalAmt") - _net(applied)
    if unapplied < 0:
        raise Refusal(
            refusals.business_rule(
                "The amount applied cannot exceed the total amount of the payment."
            )
        )
    draft["CustomerRef"] = {
        "value": text_of(customer, "Id"),
        "name": text_of(customer, "DisplayName"),
    }
    draft["UnappliedAmt"] = money(unapplied)
    draft["ProcessPayment"] = False
    draft["Line"] = [*_complete_lines(books, draft, before)]
    return draft


def _complete_account_and_method(books: Books, draft: Document) -> None:
    account_id = ref_of(draft, "DepositToAccountRef") or UNDEPOSITED_FUNDS
    account = books.company.get("Account", account_id)
    if account and text_of(account, "AccountType") not in DEPOSIT_ACCOUNT_TYPES:
        raise Refusal(
            refusals.business_rule(
                "You must deposit to a bank account or another current asset account."
            )
        )
    draft["DepositToAccountRef"] = {"value": account_id}
    if method := ref_of(draft, "PaymentMethodRef"):
        draft["PaymentMethodRef"] = {"value": method}
    else:
        draft.pop("PaymentMethodRef", None)


def _check_card(draft: Document) -> None:
    charge = part_of(part_of(draft, "CreditCardPayment"), "CreditChargeInfo")
    number = text_of(charge, "Number")
    if sum(character.isdigit() for character in number) > 4:
        raise Refusal(refusals.raw_card_number())


def _check_currency(books: Books, draft: Document, customer: Document) -> None:
    sent = ref_of(draft, "CurrencyRef")
    theirs = ref_of(customer, "CurrencyRef") or books.company.home_currency
    if sent and sent != theirs:
        raise Refusal(
            refusals.business_rule(
                "The currency of the transaction is invalid for customer / vendor / account."
            )
        )
    draft["CurrencyRef"] = books.currency_ref(theirs)


def _check_lines(books: Books, draft: Document, before: Document | None) -> Applied:
    payer = ref_of(draft, "CustomerRef")
    was_applied = applied_by(before)
    applied: Applied = defaultdict(Decimal)
    for line in parts_of(draft, "Line"):
        amount = number_of(line, "Amount")
        if amount < 0:
            raise Refusal(refusals.negative_amount("Line.Amount"))
        for link in parts_of(line, "LinkedTxn"):
            entity, txn_id = text_of(link, "TxnType"), text_of(link, "TxnId")
            if entity not in SETTLES:
                continue
            txn = books.company.get(entity, txn_id)
            if txn is None:
                raise Refusal(refusals.deleted_meanwhile())
            if not _may_pay(books, payer, ref_of(txn, "CustomerRef")):
                raise Refusal(
                    refusals.cannot_link(f"{entity} {txn_id} belongs to another customer.")
                )
            applied[entity, txn_id] += amount
            open_before = number_of(txn, "Balance") + was_applied.get((entity, txn_id), ZERO)
            if applied[entity, txn_id] > open_before:
                if not open_before:
                    raise Refusal(refusals.cannot_link(f"{entity} {txn_id} has no open balance."))
                raise Refusal(
                    refusals.business_rule(
                        "The amount applied cannot exceed the open balance of the linked "
                        "transaction."
                    )
                )
    return applied


def _may_pay(books: Books, payer: str, owner: str) -> bool:
    """A customer can pay its own transactions and those of its sub-customers."""
    while owner:
        if owner == payer:
            return True
        owner = ref_of(books.company.get("Customer", owner) or {}, "ParentRef")
    return False


def applied_by(payment: Document | None) -> Applied:
    applied: Applied = defaultdict(Decimal)
    for line in parts_of(payment, "Line") if payment else ():
        for link in parts_of(line, "LinkedTxn"):
            entity, txn_id = text_of(link, "TxnType"), text_of(link, "TxnId")
            if entity in SETTLES:
                applied[entity, txn_id] += number_of(line, "Amount")
    return applied


def _net(applied: Applied) -> Decimal:
    """Credits applied in the same payment add to the money."""
    return sum(
        (-amount if entity == "CreditMemo" else amount for (entity, _), amount in applied.items()),
        ZERO,
    )


def _complete_lines(books: Books, draft: Document, before: Document | None) -> Iterable[Document]:
    was_applied = applied_by(before)
    for line in parts_of(draft, "Line"):
        links = parts_of(line, "LinkedTxn")
        first = links[0] if links else {}
        entity, txn_id = text_of(first, "TxnType"), text_of(first, "TxnId")
        txn = books.company.get(entity, txn_id)
        completed: Document = {"Amount": number_of(line, "Amount")}
        if txn:
            open_balance = number_of(txn, "Balance") + was_applied.get((entity, txn_id), ZERO)
            completed["LineEx"] = _line_ex(txn_id, open_balance, text_of(txn, "DocNumber"))
        completed["LinkedTxn"] = [
            {"TxnId": text_of(link, "TxnId"), "TxnType": text_of(link, "TxnType")} for link in links
        ]
        yield completed


def _line_ex(txn_id: str, open_balance: Decimal, number: str) -> Document:
    pairs = [("txnId", txn_id), ("txnOpenBalance", f"{money(open_balance):f}")]
    if number:
        pairs.append(("txnReferenceNumber", number))
    return {
        "any": [
            {
                "name": "{http://schema.intuit.com/finance/v3}NameValue",
                "nil": False,
                "value": {"Name": name, "Value": value},
                "declaredType": "com.intuit.schema.finance.v3.NameValue",
                "scope": "javax.xml.bind.JAXBElement$GlobalScope",
                "globalScope": True,
                "typeSubstituted": False,
            }
            for name, value in pairs
        ]
    }


# Settling ------------------------------------------------------------------------------------


def settle(books: Books, before: Document | None, after: Document | None) -> None:
    """Updates balances and links of everything that the payment
    touches, before and after the change."""
    payment = after or before or {}
    was, now = applied_by(before), applied_by(after)
    for key in {**was, **now}:
        if was.get(key, ZERO) == now.get(key, ZERO) and (key in was) == (key in now):
            continue
        _apply(books, text_of(payment, "Id"), key, was.get(key, ZERO), now.get(key), after)
    change = _unapplied(before) - _unapplied(after)
    if before and after and ref_of(before, "CustomerRef") != ref_of(after, "CustomerRef"):
        books.move_balance(ref_of(before, "CustomerRef"), _unapplied(before))
        change = -_unapplied(after)
    books.move_balance(ref_of(payment, "CustomerRef"), change)


def _unapplied(payment: Document | None) -> Decimal:
    return number_of(payment, "UnappliedAmt") if payment else ZERO


def _apply(
    books: Books,
    payment_id: str,
    key: tuple[str, str],
    was: Decimal,
    now: Decimal | None,
    after: Document | None,
) -> None:
    entity, txn_id = key
    txn = books.company.get(entity, txn_id)
    if txn is None:
        return
    balance = money(number_of(txn, "Balance") + was - (now or ZERO))
    links = [
        link
        for link in parts_of(txn, "LinkedTxn")
        if (link.get("TxnId"), link.get("TxnType")) != (payment_id, "Payment")
    ]
    if after is not None and now is not None:
        links.append({"TxnId": payment_id, "TxnType": "Payment"})
    values: Document = {"Balance": balance, "LinkedTxn": list(links)}
    if entity == "CreditMemo":
        values["RemainingCredit"] = balance
    changed = books.changed(txn, **values)
    books.world.put(books.company, entity, changed)
    books.move_balance(ref_of(txn, "CustomerRef"), owed(entity, changed) - owed(entity, txn))


def voided(books: Books, payment: Document) -> Document:
    note = text_of(payment, "PrivateNote")
    values: Document = {
        "PrivateNote": f"{VOIDED} - {note}" if note else VOIDED,
        "TotalAmt": ZERO,
        "UnappliedAmt": ZERO,
        "Line": [],
    }
    return in_order(books.changed(payment, **values), ORDER)


def release(books: Books, entity: str, txn_id: str, down_to: Decimal) -> None:
    """Unapplies payments from a transaction until at most `down_to` is applied to it."""
    key = (entity, txn_id)
    txn = books.company.get(entity, txn_id) or {}
    linked = [link for link in parts_of(txn, "LinkedTxn") if link.get("TxnType") == "Payment"]
    payments = [books.company.get("Payment", text_of(link, "TxnId")) for link in linked]
    total = sum((applied_by(payment)[key] for payment in payments), ZERO)
    for payment in reversed([payment for payment in payments if payment]):
        if total <= down_to:
            return
        taken = min(applied_by(payment)[key], total - down_to)
        total -= taken
        shortened = _shorten(payment, key, taken)
        after = books.changed(payment, Line=list(shortened))
        after["UnappliedAmt"] = money(number_of(after, "TotalAmt") - _net(applied_by(after)))
        if number_of(after, "UnappliedAmt") < 0:  # a credit removed from its invoice
            after["UnappliedAmt"] = ZERO
        settle(books, payment, after)
        books.world.put(books.company, "Payment", after)


def _shorten(payment: Document, key: tuple[str, str], by: Decimal) -> list[Document]:
    lines: list[Document] = []
    for line in reversed(parts_of(payment, "Line")):
        links = [(link.get("TxnType"), link.get("TxnId")) for link in parts_of(line, "LinkedTxn")]
        if key in links and by:
            amount = number_of(line, "Amount")
            cut = min(amount, by)
            by -= cut
            if cut == amount:
                continue
            line = {**line, "Amount": money(amount - cut)}
        lines.insert(0, line)
    return lines


# Credit that finds its own way ---------------------------------------------------------------


def apply_open_credit(books: Books, invoice_id: str) -> None:
    """With AutoApplyCredit, a new invoice uses its customer's prepayments and credits."""
    if not _applies(books, "AutoApplyCredit"):
        return
    invoice = books.company.get("Invoice", invoice_id) or {}
    customer_id = ref_of(invoice, "CustomerRef")
    for payment in list(books.company.with_value("Payment", "CustomerRef", customer_id)):
        balance = number_of(books.company.get("Invoice", invoice_id) or {}, "Balance")
        amount = min(balance, number_of(payment, "UnappliedAmt"))
        if amount > 0:
            _add_line(books, payment, invoice_id, amount)
    for credit in list(books.company.with_value("CreditMemo", "CustomerRef", customer_id)):
        _credit(books, customer_id, invoice_id, text_of(credit, "Id"))


def apply_new_credit(books: Books, credit_memo_id: str) -> None:
    """With AutoApplyCredit, a new credit memo is applied to the oldest invoices."""
    if not _applies(books, "AutoApplyCredit"):
        return
    credit = books.company.get("CreditMemo", credit_memo_id) or {}
    customer_id = ref_of(credit, "CustomerRef")
    for invoice in _oldest_first(books, customer_id):
        _credit(books, customer_id, text_of(invoice, "Id"), credit_memo_id)


def _credit(books: Books, customer_id: str, invoice_id: str, credit_memo_id: str) -> None:
    """Links the two by a zero payment, like QuickBooks."""
    invoice = books.company.get("Invoice", invoice_id) or {}
    credit = books.company.get("CreditMemo", credit_memo_id) or {}
    amount = money(min(number_of(invoice, "Balance"), number_of(credit, "Balance")))
    if amount <= 0:
        return
    lines: list[Json] = [
        {"Amount": amount, "LinkedTxn": [{"TxnId": txn_id, "TxnType": entity}]}
        for entity, txn_id in (("Invoice", invoice_id), ("CreditMemo", credit_memo_id))
    ]
    draft: Document = {
        "CustomerRef": {"value": customer_id},
        "TotalAmt": ZERO,
        "PrivateNote": "Created by QB Online to link credits to charges.",
        "Line": lines,
    }
    completed = complete(books, draft, None)
    payment_id = books.world.next_id(books.company, SCHEMAS["Payment"])
    payment = in_order({**completed, **books.system_fields(payment_id, None)}, ORDER)
    settle(books, None, payment)
    books.world.put(books.company, "Payment", payment)


def _applies(books: Books, preference: str) -> bool:
    return books.company.preference("SalesFormsPrefs").get(preference) is True


def _oldest_first(books: Books, customer_id: str) -> list[Document]:
    invoices = books.company.with_value("Invoice", "CustomerRef", customer_id)
    return sorted(invoices, key=lambda each: text_of(each, "TxnDate"))


def apply_to_open_invoices(books: Books, payment_id: str) -> None:
    """With AutoApplyPayments, unapplied money pays the oldest invoices."""
    if not _applies(books, "AutoApplyPayments"):
        return
    payment = books.company.get("Payment", payment_id) or {}
    customer_id = ref_of(payment, "CustomerRef")
    for invoice in _oldest_first(books, customer_id):
        payment = books.company.get("Payment", payment_id) or {}
        amount = min(number_of(invoice, "Balance"), number_of(payment, "UnappliedAmt"))
        if amount > 0:
            _add_line(books, payment, text_of(invoice, "Id"), amount)


def _add_line(books: Books, payment: Document, invoice_id: str, amount: Decimal) -> None:
    invoice = books.company.get("Invoice", invoice_id) or {}
    line: Document = {
        "Amount": money(amount),
        "LineEx": _line_ex(
            invoice_id, number_of(invoice, "Balance"), text_of(invoice, "DocNumber")
        ),
        "LinkedTxn": [{"TxnId": invoice_id, "TxnType": "Invoice"}],
    }
    after = books.changed(
        payment,
        Line=[*parts_of(payment, "Line"), line],
        UnappliedAmt=money(number_of(payment, "UnappliedAmt") - amount),
    )
    settle(books, payment, after)
    books.world.put(books.company, "Payment", after)
