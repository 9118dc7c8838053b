"""Acts of people inside QuickBooks while an app is connected: edit, move, merge, void, close.

QuickBooks' rules apply, so an act can be refused (`Refusal`). Every act is in the log when it
returns. Acts return objects as they are afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from simulator import operations, payments, refusals, sales
from simulator.books import Books
from simulator.documents import (
    ZERO,
    Document,
    Json,
    dump_json,
    money,
    number_of,
    parse_json,
    parts_of,
    ref_of,
    text_of,
)
from simulator.refusals import Refusal
from simulator.schema import NAME_ENTITIES, SCHEMAS
from simulator.store import DELETED_SUFFIX, Company, World
from simulator.switches import set_switch


@dataclass(frozen=True, slots=True)
class Bookkeeper:
    world: World
    company: Company

    def create(self, entity: str, **values: object) -> Document:
        return self._save(entity, dict(values))

    def edit(self, entity: str, object_id: str, **values: object) -> Document:
        """Changes only these properties; without any, only the version changes."""
        before = self._current(entity, object_id)
        if not values:
            operations.touch(self._books, entity, object_id)
            self.world.log.commit()
            return self._current(entity, object_id)
        version = {"Id": object_id, "SyncToken": text_of(before, "SyncToken")}
        if entity == "Payment" and "Line" not in values:
            values = {"Line": [_plain_line(line) for line in parts_of(before, "Line")], **values}
        return self._save(entity, {**values, **version, "sparse": True})

    def move(self, entity: str, object_id: str, customer_id: str) -> Document:
        """Moves it to another customer. Payments stay with their
        customer and are unapplied first."""
        self._current(entity, object_id)
        if entity in sales.OWED:
            payments.release(self._books, entity, object_id, ZERO)
        values: dict[str, object] = {"CustomerRef": {"value": customer_id}}
        if entity == "Payment":
            values["Line"] = []
        return self.edit(entity, object_id, **values)

    def void(self, entity: str, object_id: str) -> Document:
        voided = operations.void(self._books, SCHEMAS[entity], self._version(entity, object_id))
        self.world.log.commit()
        return voided

    def delete(self, entity: str, object_id: str) -> None:
        """Deletes a transaction. Payments of an invoice are unapplied
        first, as on QuickBooks' screen."""
        if entity in sales.OWED:
            payments.release(self._books, entity, object_id, ZERO)
        operations.delete(self._books, SCHEMAS[entity], self._version(entity, object_id))
        self.world.log.commit()

    def deactivate(self, entity: str, object_id: str) -> Document:
        return self.edit(entity, object_id, **self._name(entity, object_id), Active=False)

    def reactivate(self, entity: str, object_id: str) -> Document:
        return self.edit(entity, object_id, **self._name(entity, object_id), Active=True)

    # Money ------------------------------------------------------------------------------------

    def apply(
        self, payment_id: str, invoice_id: str, amount: Decimal | int | None = None
    ) -> Document:
        """Applies unapplied money to an invoice: `amount`, or as much as possible."""
        payment = self._current("Payment", payment_id)
        invoice = self._current("Invoice", invoice_id)
        most = min(number_of(payment, "UnappliedAmt"), number_of(invoice, "Balance"))
        lines = [_plain_line(line) for line in parts_of(payment, "Line")]
        lines.append(_line("Invoice", invoice_id, money(most if amount is None else amount)))
        return self.edit("Payment", payment_id, Line=lines)

    def unapply(self, payment_id: str, invoice_id: str) -> Document:
        """Unapplies the payment; the money becomes the customer's credit."""
        payment = self._current("Payment", payment_id)
        lines = [
            _plain_line(line)
            for line in parts_of(payment, "Line")
            if not any(link.get("TxnId") == invoice_id for link in parts_of(line, "LinkedTxn"))
        ]
        return self.edit("Payment", payment_id, Line=lines)

    def apply_credit(
        self, credit_memo_id: str, invoice_id: str, amount: Decimal | int | None = None
    ) -> Document:
        """Applies a credit memo to an invoice, through a zero payment that links the two."""
        credit = self._current("CreditMemo", credit_memo_id)
        invoice = self._current("Invoice", invoice_id)
        most = min(number_of(credit, "Balance"), number_of(invoice, "Balance"))
        applied = money(most if amount is None else amount)
        return self.create(
            "Payment",
            TotalAmt=ZERO,
            CustomerRef={"value": ref_of(invoice, "CustomerRef")},
            Line=[
                _line("Invoice", invoice_id, applied),
                _line("CreditMemo", credit_memo_id, applied),
            ],
        )

    def deposit(self, payment_id: str, account_id: str = "35") -> Document:
        """Deposits it to the bank. After that the payment cannot be changed (6540)."""
        line = {
            "Amount": number_of(self._current("Payment", payment_id), "TotalAmt"),
            "LinkedTxn": [{"TxnId": payment_id, "TxnType": "Payment", "TxnLineId": "0"}],
        }
        return self.create("Deposit", DepositToAccountRef={"value": account_id}, Line=[line])

    # Names ------------------------------------------------------------------------------------

    def merge_customers(self, from_id: str, into_id: str) -> None:
        """Merges the first customer into the second.

        QuickBooks keeps the merged customer as an inactive one; with `merged_customers` "gone" it
        answers 610.
        """
        merged = self._current("Customer", from_id)
        into = self._current("Customer", into_id)
        reference: Document = {"value": into_id, "name": text_of(into, "DisplayName")}
        for entity, objects in self.company.objects.items():
            for document in list(objects.values()):
                if ref_of(document, "CustomerRef") == from_id:
                    changed = self._books.changed(document, CustomerRef=reference)
                    self.world.put(self.company, entity, changed)
        for child in list(self.company.with_value("Customer", "ParentRef", from_id)):
            changed = self._books.changed(child, ParentRef={"value": into_id})
            self.world.put(self.company, "Customer", changed)
        balance = number_of(merged, "Balance")
        self._books.move_balance(from_id, -balance)
        self._books.move_balance(into_id, balance)
        self.deactivate("Customer", from_id)
        if self.company.switches.merged_customers == "gone":
            self.world.delete(self.company, "Customer", from_id)
        self.world.log.commit()

    # The company ------------------------------------------------------------------------------

    def close_books(self, until: str, has_password: bool = False) -> None:
        self.set(BookCloseDate=until, book_close_password=has_password)

    def open_books(self) -> None:
        self.set(BookCloseDate=None)

    def set(self, **switches: Json | float) -> None:
        """`set(CustomTxnNumbers=True, UsingSalesTax=False, MultiCurrencyEnabled=True)`"""
        for name, value in switches.items():
            set_switch(self.world, self.company, name, value)
        self.world.log.commit()

    # ------------------------------------------------------------------------------------------

    @property
    def _books(self) -> Books:
        return Books(self.world, self.company)

    def _current(self, entity: str, object_id: str) -> Document:
        document = self.company.get(entity, object_id)
        if document is None:
            raise Refusal(refusals.not_found())
        return document

    def _version(self, entity: str, object_id: str) -> Document:
        return {"Id": object_id, "SyncToken": self._current(entity, object_id)["SyncToken"]}

    def _name(self, entity: str, object_id: str) -> dict[str, object]:
        name = "DisplayName" if entity in NAME_ENTITIES else "Name"
        told = text_of(self._current(entity, object_id), name)
        return {name: told.removesuffix(DELETED_SUFFIX)}

    def _save(self, entity: str, values: dict[str, object]) -> Document:
        body = parse_json(dump_json(values))
        saved = operations.save(self._books, SCHEMAS[entity], body)
        self.world.log.commit()
        return saved


def _line(entity: str, txn_id: str, amount: Decimal) -> dict[str, object]:
    return {"Amount": amount, "LinkedTxn": [{"TxnId": txn_id, "TxnType": entity}]}


def _plain_line(line: Document) -> dict[str, object]:
    return {key: line[key] for key in ("Amount", "LinkedTxn") if key in line}
